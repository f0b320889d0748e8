//! The cases of `benches/cases` on this machine, by the same code and the same names.
//!
//! Each is one call on buffers that are not in a loop of their own, as on the devices. The
//! cryptography is the portable one, as there.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::HashMap;
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
        self.0.push(*case);
    }
}

/// All cases once.
fn round() -> Vec<Case> {
    let mut host = Host::default();
    let mut memory = Box::new(Memory::new());
    wg_bench_cases::run(&mut host, &mut memory).expect("the right answers");
    host.0
}

fn cases(criterion: &mut Criterion) {
    // A round measures every case, so what it says of the others is kept for them.
    let kept = RefCell::new(HashMap::<&str, Vec<u64>>::new());
    let next = |name: &'static str| loop {
        if let Some(nanos) = kept.borrow_mut().get_mut(name).and_then(Vec::pop) {
            return nanos;
        }
        for case in round() {
            kept.borrow_mut().entry(case.name).or_default().push(case.count);
        }
    };
    let mut group = criterion.benchmark_group("cases");
    group.sample_size(50).warm_up_time(Duration::from_millis(100));
    group.measurement_time(Duration::from_millis(300));
    for Case { name, bytes, .. } in round() {
        if bytes > 0 {
            group.throughput(Throughput::Bytes(bytes as u64));
        }
        group.bench_function(name, |b| {
            b.iter_custom(|n| Duration::from_nanos((0..n).map(|_| next(name)).sum()));
        });
    }
    group.finish();
}

criterion_group!(benches, cases);
criterion_main!(benches);
