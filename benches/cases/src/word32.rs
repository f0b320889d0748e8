//! Whether what `word32` executes depends on secrets: each function many times over, with secrets
//! of the edges and at random, and the least and the most that a run of it took.
#![allow(dead_code, reason = "what no case needs")]
#![allow(clippy::duplicate_mod, reason = "the parts, beside the whole in `primitives`")]

use core::fmt;
use core::hint::black_box;

use wg_core::rand_core::TryRng;

use crate::CycleCounter;
use crate::engine::{Memory, Seeded};
use crate::measure::called;
use crate::primitives::{crypto, portable};

// The parts, which only a parent module reaches.
#[path = "../../../wg-core/src/crypto/word32/chacha20.rs"]
mod chacha20;
#[path = "../../../wg-core/src/crypto/word32/field.rs"]
mod field;
#[path = "../../../wg-core/src/crypto/word32/poly1305.rs"]
mod poly1305;

use chacha20::{Block, ChaCha20};
use field::Field;
use poly1305::Poly1305;

/// The halves of the AEAD.
pub(crate) mod halves {
    use super::{Block, ChaCha20, Poly1305, set_mac_key};

    /// Encrypts from the block with this number on.
    pub(crate) fn chacha20(key: &[u8; 32], nonce: &[u8; 12], block: u32, buf: &mut [u8]) {
        let mut input = [block, 0, 0, 0];
        for (to, bytes) in input.iter_mut().skip(1).zip(nonce.as_chunks().0) {
            *to = u32::from_le_bytes(*bytes);
        }
        ChaCha20::new(key, input).apply(buf);
    }

    /// The tag of a message, and zeros up to a multiple of 16 bytes.
    pub(crate) fn poly1305(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        let mut block = Block([0; 16]);
        set_mac_key(&mut block, key);
        let mut mac = Poly1305::new(&block);
        mac.update_padded(message);
        mac.finish()
    }
}

/// A block that a Poly1305 takes its key from.
fn set_mac_key(block: &mut Block, key: &[u8; 32]) {
    for (to, bytes) in block.0.iter_mut().zip(key.as_chunks().0) {
        *to = u32::from_ne_bytes(*bytes);
    }
}

/// How often a function runs that is no whole X25519.
const RUNS: usize = 10_000;

/// What the runs of one function took, all of them with the same public lengths.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The function's name.
    pub name: &'static str,
    /// How often it ran.
    pub runs: usize,
    /// What the run took that took the least.
    pub least: u64,
    /// What the run took that took the most.
    pub most: u64,
}

/// `spread NAME RUNS LEAST MOST`, as `cargo xtask constant-time` reads it.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, runs, least, most } = self;
        write!(f, "spread {name} {runs} {least} {most}")
    }
}

impl Spread {
    fn new(name: &'static str) -> Self {
        Self { name, runs: 0, least: u64::MAX, most: 0 }
    }

    fn add(&mut self, count: u64) {
        self.runs += 1;
        self.least = self.least.min(count);
        self.most = self.most.max(count);
    }

    fn count<R>(&mut self, counter: &impl CycleCounter, work: impl FnOnce() -> R) -> R {
        let (result, count) = counted(counter, work);
        self.add(count);
        result
    }
}

#[inline(never)]
fn counted<R>(counter: &impl CycleCounter, work: impl FnOnce() -> R) -> (R, u64) {
    let start = counter.read();
    let result = called(work);
    (result, counter.between(start, counter.read()))
}

/// Counts every function and reports on each: `curve_runs` of X25519, 10,000 of the others.
///
/// The last two branch: on purpose, and on Xtensa because the compiler makes carries branches.
pub fn run(
    counter: &impl CycleCounter,
    memory: &mut Memory,
    curve_runs: usize,
    mut report: impl FnMut(&Spread),
) {
    let mut secrets = Secrets { runs: 0, rng: Seeded::new(0x600d_5eed) };
    numbers(counter, &mut secrets, &mut report);
    ciphers(counter, &mut secrets, &mut report);
    messages(counter, &mut memory.packet.0, &mut secrets, &mut report);
    curve(counter, curve_runs, &mut secrets, &mut report);
    branching(counter, &mut secrets, &mut report);
}

/// 0, 1, p - 1, p, p + 1, all ones without and with the highest bit, that bit alone, and bits by
/// turns.
const EDGES: [[u8; 32]; 9] = [
    around(0, 0, 0),
    around(1, 0, 0),
    around(0xec, 0xff, 0x7f),
    around(0xed, 0xff, 0x7f),
    around(0xee, 0xff, 0x7f),
    around(0xff, 0xff, 0x7f),
    around(0xff, 0xff, 0xff),
    around(0, 0, 0x80),
    around(0xaa, 0xaa, 0xaa),
];

const fn around(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    (bytes[0], bytes[31]) = (first, last);
    bytes
}

/// Gives every pair of edges, and then pairs at random.
struct Secrets {
    runs: usize,
    rng: Seeded,
}

impl Secrets {
    fn again(&mut self) -> &mut Self {
        self.runs = 0;
        self
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let Ok(()) = self.rng.try_fill_bytes(&mut bytes);
        bytes
    }

    fn pair(&mut self) -> ([u8; 32], [u8; 32]) {
        let (first, second) = (self.runs / EDGES.len(), self.runs % EDGES.len());
        self.runs += 1;
        match EDGES.get(first) {
            Some(first) => (*first, EDGES[second]),
            None => (self.random(), self.random()),
        }
    }
}

/// The field.
fn numbers(counter: &impl CycleCounter, secrets: &mut Secrets, report: &mut impl FnMut(&Spread)) {
    let mut spreads = [
        "field_from_bytes",
        "field_sum_and_difference",
        "field_difference",
        "field_product",
        "field_product_of_differences",
        "field_square",
        "field_sum_with_121666_times",
        "field_change",
        "field_to_bytes",
    ]
    .map(Spread::new);
    secrets.again();
    for _ in 0..RUNS {
        let (a, b) = secrets.pair();
        let [from, sum, difference, product, of_differences, square, small, change, to] =
            &mut spreads;
        let (mut x, y) = (from.count(counter, || Field::from_bytes(&a)), Field::from_bytes(&b));
        to.count(counter, || x.to_bytes());
        let (mut s, mut d, mut r) = (Field::ZERO, Field::ZERO, Field::ZERO);
        sum.count(counter, || Field::set_sum_and_difference(&mut s, &mut d, &x, &y));
        difference.count(counter, || d.set_difference(&x, &y));
        product.count(counter, || r.set_product(&x, &y));
        to.count(counter, || r.to_bytes());
        of_differences.count(counter, || r.set_product(&s, &d));
        to.count(counter, || r.to_bytes());
        square.count(counter, || r.set_square(&d));
        small.count(counter, || s.set_sum_with_121666_times(&x, &r));
        to.count(counter, || s.to_bytes());
        let mask = -i32::from(b[0] & 1);
        change.count(counter, || x.change_to(&d, black_box(mask)));
    }
    spreads.iter().for_each(report);
}

/// ChaCha20 and Poly1305.
fn ciphers(counter: &impl CycleCounter, secrets: &mut Secrets, report: &mut impl FnMut(&Spread)) {
    let mut spreads = ["chacha20_block", "poly1305_32", "poly1305_100"].map(Spread::new);
    let [block, short, long] = &mut spreads;
    secrets.again();
    for run in 0..RUNS {
        let (key, other) = secrets.pair();
        let [a, b, c, d, ..] = other;
        let input = [u32::from_ne_bytes([a, b, c, d]); 4];
        block.count(counter, || ChaCha20::new(&key, input).next_block());

        let mut mac_key = Block([0; 16]);
        set_mac_key(&mut mac_key, &key);
        let mut message = [[0; 32]; 4];
        message.fill_with(|| secrets.random());
        if run.is_multiple_of(8) {
            // With a factor of 1 the sums around p, which is 2^130 - 5.
            mac_key.0[..4].copy_from_slice(&[1, 0, 0, 0]);
            message[0] = [0xff; 32];
            message[0][0] = (run / 8) as u8;
            message[1] = [0; 32];
        }
        let message = message.as_flattened();
        for (spread, len) in [(&mut *short, 32), (&mut *long, 100)] {
            spread.count(counter, || {
                let mut mac = Poly1305::new(&mac_key);
                mac.update_padded(&message[..len]);
                mac.finish()
            });
        }
    }
    spreads.iter().for_each(report);
}

/// The AEADs, at an aligned address and at another.
fn messages(
    counter: &impl CycleCounter,
    packet: &mut [u8],
    secrets: &mut Secrets,
    report: &mut impl FnMut(&Spread),
) {
    let mut sealing = ["seal_100", "seal_100_unaligned"].map(Spread::new);
    let mut opening = ["open_100", "open_100_unaligned"].map(Spread::new);
    let mut refusing = ["open_100_forged", "open_100_unaligned_forged"].map(Spread::new);
    let mut extended = ["xseal_100", "xopen_100"].map(Spread::new);
    secrets.again();
    for run in 0..RUNS {
        let (key, text) = secrets.pair();
        let nonce = secrets.random();
        for start in [0, 1] {
            let buf = &mut packet[start..][..100];
            buf[..32].copy_from_slice(&text);
            let tag = sealing[start].count(counter, || crypto::seal(&key, 7, &[], buf));
            let mut forged = tag;
            forged[run % 16] ^= 1 << (run / 16 % 8);
            let refused =
                refusing[start].count(counter, || crypto::open(&key, 7, &[], buf, &forged));
            debug_assert!(refused.is_err());
            let opened = opening[start].count(counter, || crypto::open(&key, 7, &[], buf, &tag));
            debug_assert!(opened.is_ok());
        }
        let buf = &mut packet[..100];
        let [xseal, xopen] = &mut extended;
        let tag = xseal.count(counter, || crypto::xseal(&key, &nonce, &[], buf));
        let opened = xopen.count(counter, || crypto::xopen(&key, &nonce, &[], buf, &tag));
        debug_assert!(opened.is_ok());
    }
    for spread in sealing.iter().chain(&opening).chain(&refusing).chain(&extended) {
        report(spread);
    }
}

/// X25519. Whether there is a shared secret is no secret: it is refused in the open.
fn curve(
    counter: &impl CycleCounter,
    runs: usize,
    secrets: &mut Secrets,
    report: &mut impl FnMut(&Spread),
) {
    let (mut shared, mut none) = (Spread::new("x25519"), Spread::new("x25519_all_zero"));
    secrets.again();
    for _ in 0..runs {
        let (private, public) = secrets.pair();
        let (secret, count) = counted(counter, || crypto::dh(&private, &public));
        if secret.is_some() { shared.add(count) } else { none.add(count) }
    }
    report(&shared);
    report(&none);
}

/// What a check of the above must find: a branch on a secret, and the portable Poly1305, whose
/// carries are branches on Xtensa.
fn branching(counter: &impl CycleCounter, secrets: &mut Secrets, report: &mut impl FnMut(&Spread)) {
    let mut spreads = ["branching_swap", "portable_poly1305_32"].map(Spread::new);
    let [swap, poly1305] = &mut spreads;
    secrets.again();
    for _ in 0..RUNS {
        let (key, message) = secrets.pair();
        let (mut a, mut b) = (Field::from_bytes(&key), Field::from_bytes(&message));
        swap.count(counter, || {
            if black_box(message[0] & 1) == 1 {
                core::mem::swap(&mut a, &mut b);
                black_box((&mut a, &mut b));
            }
        });
        poly1305.count(counter, || portable_poly1305(&key, &message));
    }
    spreads.iter().for_each(report);
}

/// A function, so that its branches can be found in the assembly.
#[inline(never)]
fn portable_poly1305(key: &[u8; 32], message: &[u8; 32]) -> [u8; 16] {
    portable::poly1305(key, message)
}
