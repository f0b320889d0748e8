//! The timers of one peer, and of ten thousand.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wg_benches::time_of;
use wg_benches::timers::{Boringtun, Ours};

/// Nothing is due: once round for each side.
fn wait(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers/wait");
    for peers in [1, 10_000] {
        let mut ours = Ours::new(peers);
        group.bench_function(BenchmarkId::new("ours", peers), |b| {
            b.iter_custom(|n| time_of(n, || ours.wait()));
        });
        let mut theirs = Boringtun::new(peers);
        group.bench_function(BenchmarkId::new("boringtun", peers), |b| {
            b.iter_custom(|n| time_of(n, || theirs.tick()));
        });
    }
    group.finish();
}

/// A deadline passes, and the next one is armed.
fn serve(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers/serve");
    for peers in [1, 10_000] {
        let mut ours = Ours::new(peers);
        group.bench_function(BenchmarkId::new("ours", peers), |b| {
            b.iter_custom(|n| time_of(n, || ours.serve()));
        });
    }
    group.finish();
}

criterion_group!(benches, wait, serve);
criterion_main!(benches);
