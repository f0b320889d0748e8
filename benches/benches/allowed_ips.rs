//! Finding the peer of an inner packet.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wg_benches::routes::Routes;
use wg_benches::time_of;

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("allowed_ips");
    for count in [1, 100, 10_000, 100_000] {
        let mut routes = Routes::new(count);
        group.bench_function(BenchmarkId::new("ours", count), |b| {
            b.iter_custom(|n| time_of(n, || routes.ours()));
        });
        group.bench_function(BenchmarkId::new("boringtun", count), |b| {
            b.iter_custom(|n| time_of(n, || routes.boringtun()));
        });
    }
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
