//! Packets through the device, beside boringtun. The sides open each other's bytes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wg_benches::time_of;
use wg_benches::transport::Transport;

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    for len in [64, 512, 1420] {
        group.throughput(Throughput::Bytes(len as u64));
        let mut transport = Transport::new(len);
        group.bench_function(BenchmarkId::new("ours", len), |b| {
            b.iter_custom(|n| time_of(n, || transport.seal_ours()));
        });
        group.bench_function(BenchmarkId::new("boringtun", len), |b| {
            b.iter_custom(|n| time_of(n, || transport.seal_boringtun()));
        });
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for len in [64, 512, 1420] {
        group.throughput(Throughput::Bytes(len as u64));
        let mut transport = Transport::new(len);
        group.bench_function(BenchmarkId::new("ours", len), |b| {
            b.iter_custom(|n| {
                time_of(n, || {
                    transport.seal_boringtun();
                    transport.open_ours()
                })
            });
        });
        group.bench_function(BenchmarkId::new("boringtun", len), |b| {
            b.iter_custom(|n| {
                time_of(n, || {
                    transport.seal_ours();
                    transport.open_boringtun()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seal, open);
criterion_main!(benches);
