//! What a datagram costs that goes no further.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wg_benches::refusals::{Refusals, Wrong};
use wg_benches::time_of;

fn refuse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refuse");
    for (name, wrong) in Wrong::ALL {
        let mut refusals = Refusals::new(wrong);
        group.bench_function(BenchmarkId::new("ours", name), |b| {
            b.iter_custom(|n| time_of(n, || refusals.ours()));
        });
        group.bench_function(BenchmarkId::new("boringtun", name), |b| {
            b.iter_custom(|n| time_of(n, || refusals.boringtun()));
        });
    }
    group.finish();
}

criterion_group!(benches, refuse);
criterion_main!(benches);
