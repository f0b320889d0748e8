//! ChaCha20-Poly1305 alone: the portable crate, and ring, which boringtun uses.

use core::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wg_benches::aead::{named, ring};

const KEY: [u8; 32] = [7; 32];

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("aead/seal");
    for len in [64, 512, 1420] {
        group.throughput(Throughput::Bytes(len as u64));
        let mut text = vec![0; len];
        let key = named::Key::new(&KEY);
        group.bench_function(BenchmarkId::new("chacha20poly1305", len), |b| {
            b.iter(|| key.seal(black_box(1), &mut text));
        });
        let key = ring::Key::new(&KEY);
        group.bench_function(BenchmarkId::new("ring", len), |b| {
            b.iter(|| key.seal(black_box(1), &mut text));
        });
    }
    group.finish();
}

/// Decrypts in place, so that the ciphertext has to be put back each time: a copy of `len`
/// bytes is in the figure.
fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("aead/open");
    for len in [64, 512, 1420] {
        group.throughput(Throughput::Bytes(len as u64));
        let key = named::Key::new(&KEY);
        let mut sealed = vec![0; len];
        let tag = key.seal(1, &mut sealed);
        let mut text = sealed.clone();
        group.bench_function(BenchmarkId::new("chacha20poly1305", len), |b| {
            b.iter(|| {
                text.copy_from_slice(&sealed);
                assert!(key.open(black_box(1), &mut text, &tag));
            });
        });
        let key = ring::Key::new(&KEY);
        group.bench_function(BenchmarkId::new("ring", len), |b| {
            b.iter(|| {
                text.copy_from_slice(&sealed);
                assert!(key.open(black_box(1), &mut text, &tag));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, seal, open);
criterion_main!(benches);
