//! The cases of `benches/cases` on this machine, by the same code and the same names.
//!
//! Each is one call on buffers that are not in a loop of their own, as on the devices. The
//! cryptography is the portable one, as there.

use core::time::Duration;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wg_bench_cases::{Case, CycleCounter, Machine, Memory};

/// Counts nanoseconds, and keeps what was measured.
#[derive(Default)]
struct Host(Vec<Case>);

impl CycleCounter for Host {
    type Reading = Instant;

    fn read(&self) -> Instant {
        Instant::now()
    }

    fn between(&self, start: Instant, end: Instant) -> u64 {
        (end - start).as_nanos() as u64
    }
}

impl Machine for Host {
    fn stack_of<R>(&mut self, run: impl FnOnce(&Self) -> R) -> (R, Option<usize>) {
        (run(self), None)
    }

    fn report(&mut self, case: &Case) {
        // Criterion takes no call that took no time; a clock may say so of the shortest.
        self.0.push(Case { count: case.count.max(1), ..*case });
    }
}

/// The most calls of a case that one of criterion's samples takes.
const ROUNDS: u64 = 10;

/// All cases once.
fn round() -> Vec<Case> {
    let mut host = Host::default();
    let mut memory = Box::new(Memory::new());
    wg_bench_cases::run(&mut host, &mut memory).expect("the right answers");
    host.0
}

fn cases(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cases");
    group.sample_size(50).warm_up_time(Duration::from_millis(100));
    group.measurement_time(Duration::from_millis(300));
    for Case { name, bytes, .. } in round() {
        group.throughput(match bytes {
            0 => Throughput::Elements(1),
            _ => Throughput::Bytes(bytes as u64),
        });
        group.bench_function(name, |b| {
            // A round does all cases, and criterion asks for millions of a short one: a few
            // stand for them.
            b.iter_custom(|n| {
                let done = n.min(ROUNDS);
                let nanos = |case: Case| (case.name == name).then_some(case.count);
                let sum = (0..done).flat_map(|_| round()).filter_map(nanos).sum();
                Duration::from_nanos(sum).mul_f64(n as f64 / done as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, cases);
criterion_main!(benches);
