//! The sum of the blocks in five limbs of 26 bits, without a carry between words: for Xtensa,
//! where the compiler branches on one.

use core::hint::black_box;

use zeroize::{Zeroize, ZeroizeOnDrop};

const MASK: u32 = (1 << 26) - 1;

/// A number below 2^26, and 64 times it.
type Factor = [u32; 2];

/// The blocks so far, as a polynomial of `r`, modulo p, which is 2^130 - 5.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Accumulator {
    r: [Factor; 5],
    /// What is above 2^130 of `r` shifted by one limb, and by up to four, modulo p: 5 times the
    /// last limbs of `r`.
    above: ([Factor; 1], [Factor; 2], [Factor; 3], [Factor; 4]),
    /// All but the first are below 2^26. The first may be up to 21.25 x 2^27 greater.
    h: [u32; 5],
}

impl Accumulator {
    /// `r` is clamped: its last limb has 20 bits.
    pub(super) fn new(r: [u32; 4]) -> Self {
        let r = limbs(r);
        let [_, r1, r2, r3, r4] = r;
        let above = (
            factors(five_times([r4])),
            factors(five_times([r3, r4])),
            factors(five_times([r2, r3, r4])),
            factors(five_times([r1, r2, r3, r4])),
        );
        Self { r: factors(r), above, h: [0; 5] }
    }

    /// Reads whole blocks of little-endian words.
    #[inline(never)]
    pub(super) fn update(&mut self, blocks: &[[u32; 4]]) {
        // For `column`.
        let Self { r: [r0, r1, r2, r3, r4], above, h: sum } = black_box(self);
        let ([a0], [b0, b1], [c0, c1, c2], [d0, d1, d2, d3]) = above;
        let mut h = *sum;
        for block in blocks {
            let [m0, m1, m2, m3, m4] = limbs(block.map(u32::from_le));
            let [h0, h1, h2, h3, h4] = h;
            let x = [h0 + m0, h1 + m1, h2 + m2, h3 + m3, h4 + (m4 | 1 << 24)];
            let (h0, carry) = split(column(x, [r0, a0, b0, c0, d0]), 0);
            let (h1, carry) = split(column(x, [r1, r0, b1, c1, d1]), carry);
            let (h2, carry) = split(column(x, [r2, r1, r0, c2, d2]), carry);
            let (h3, carry) = split(column(x, [r3, r2, r1, r0, d3]), carry);
            let (h4, carry) = split(column(x, [r4, r3, r2, r1, r0]), carry);
            // 2^130 is 5. The carry is below 4.25 x 2^27: the first x has 32 bits, but meets r4;
            // the others are below 2^27, and the last is below 1.5 x 2^26.
            h = [h0 + 5 * carry, h1, h2, h3, h4];
        }
        *sum = h;
    }

    /// The four words of the sum that a tag has: modulo p, then modulo 2^128.
    #[inline(never)]
    pub(super) fn reduced(&self) -> [u32; 4] {
        let [mut h0, mut h1, mut h2, mut h3, mut h4] = self.h;
        // Twice around: the first time may leave a carry for the first limb.
        for _ in 0..2 {
            h1 += h0 >> 26;
            h0 &= MASK;
            h2 += h1 >> 26;
            h1 &= MASK;
            h3 += h2 >> 26;
            h2 &= MASK;
            h4 += h3 >> 26;
            h3 &= MASK;
            h0 += 5 * (h4 >> 26);
            h4 &= MASK;
        }
        // h + 5 - 2^130 is h - p: negative unless h is p or more.
        let g0 = h0 + 5;
        let g1 = h1 + (g0 >> 26);
        let g2 = h2 + (g1 >> 26);
        let g3 = h3 + (g2 >> 26);
        let g4 = h4 + (g3 >> 26);
        let is_reduced = black_box((g4 >> 26).wrapping_sub(1));
        let choose = |g: u32, h: u32| ((g ^ h) & !is_reduced ^ h) & MASK;
        let [h0, h1, h2] = [choose(g0, h0), choose(g1, h1), choose(g2, h2)];
        let [h3, h4] = [choose(g3, h3), choose(g4, h4)];
        [h0 | h1 << 26, h1 >> 6 | h2 << 20, h2 >> 12 | h3 << 14, h3 >> 18 | h4 << 8]
    }
}

/// A sum of products, in two words that need no carry between them: the sum modulo 2^32, and
/// that of each product's multiples of 2^26.
struct Column {
    lo: u32,
    hi: u32,
}

impl Column {
    #[inline(always)]
    fn plus_product(self, x: u32, [factor, times_64]: &Factor) -> Self {
        Self {
            lo: self.lo.wrapping_add(x.wrapping_mul(*factor)),
            hi: self.hi + ((u64::from(x) * u64::from(*times_64)) >> 32) as u32,
        }
    }
}

/// The sum of all x is below 2^32, and so is `hi`: a factor's part in it is less than x.
///
/// The factors are more than there are registers. The black box is nothing that is executed: the
/// compiler just cannot load them before, to keep copies of them all.
#[inline(always)]
fn column([x0, x1, x2, x3, x4]: [u32; 5], [f0, f1, f2, f3, f4]: [&Factor; 5]) -> Column {
    black_box(());
    let none = Column { lo: 0, hi: 0 };
    none.plus_product(x0, f0)
        .plus_product(x1, f1)
        .plus_product(x2, f2)
        .plus_product(x3, f3)
        .plus_product(x4, f4)
}

/// The limb of a column and what it carries, with what the column before carried.
#[inline(always)]
fn split(Column { lo, hi }: Column, carry: u32) -> (u32, u32) {
    let lo = lo.wrapping_add(carry);
    // `hi` lacks less than 2^26 of each of five products, and the carry, which is below 27 x 2^27:
    // all of that has 32 bits.
    let lacking = lo.wrapping_sub(hi << 26);
    (lo & MASK, hi + (lacking >> 26))
}

/// Five times a number in limbs of 26 bits, of which the last has 20, and room for a carry.
fn five_times<const N: usize>(mut limbs: [u32; N]) -> [u32; N] {
    let mut carry = 0;
    for limb in &mut limbs {
        carry += 5 * *limb;
        *limb = carry & MASK;
        carry >>= 26;
    }
    limbs
}

fn factors<const N: usize>(limbs: [u32; N]) -> [Factor; N] {
    limbs.map(|limb| [limb, limb << 6])
}

/// Four words of 32 bits in five limbs.
#[inline(always)]
fn limbs([w0, w1, w2, w3]: [u32; 4]) -> [u32; 5] {
    [
        w0 & MASK,
        (w0 >> 26 | w1 << 6) & MASK,
        (w1 >> 20 | w2 << 12) & MASK,
        (w2 >> 14 | w3 << 18) & MASK,
        w3 >> 8,
    ]
}
