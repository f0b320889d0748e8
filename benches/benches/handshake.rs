//! A handshake by both sides, with the packet that confirms it.

use criterion::{Criterion, criterion_group, criterion_main};
use wg_benches::handshake::{Boringtun, Ours};
use wg_benches::time_of;

fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    let mut ours = Ours::new();
    group.bench_function("ours", |b| b.iter_custom(|n| time_of(n, || ours.handshake())));
    let mut theirs = Boringtun::new();
    group.bench_function("boringtun", |b| b.iter_custom(|n| time_of(n, || theirs.handshake())));
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
