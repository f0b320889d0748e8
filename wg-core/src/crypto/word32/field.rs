//! Numbers modulo 2^255 - 19, in ten limbs of 26 and 25 bits by turns.

use core::hint::black_box;

use zeroize::{Zeroize, ZeroizeOnDrop};

const MASK_26: i32 = (1 << 26) - 1;
const MASK_25: i32 = (1 << 25) - 1;

/// A number, not reduced to the smallest.
///
/// Every product is *carried*: it has limbs of 0 to 2^26 - 1 at even and 0 to 2^25 - 1 at odd
/// places, but its second limb may be up to 2^8 below or above that.
///
/// Sums less `p`, and differences, of carried numbers are not carried again: their limbs are as
/// large, of either sign (the second up to 2^9 larger), and products take them as they are.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Field([i32; 10]);

impl Field {
    pub(super) const ZERO: Self = Self([0; 10]);
    pub(super) const ONE: Self = Self([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// Of 32 bytes, little endian; the highest bit is left out (RFC 7748 section 5).
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 8];
        for (to, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *to = u32::from_le_bytes(*bytes);
        }
        let [w0, w1, w2, w3, w4, w5, w6, w7] = words;
        words.zeroize();
        let limbs = [
            w0,
            w0 >> 26 | w1 << 6,
            w1 >> 19 | w2 << 13,
            w2 >> 13 | w3 << 19,
            w3 >> 6,
            w4,
            w4 >> 25 | w5 << 7,
            w5 >> 19 | w6 << 13,
            w6 >> 12 | w7 << 20,
            w7 >> 6,
        ];
        let mut place = 0;
        Self(limbs.map(|limb| {
            let mask = if place % 2 == 0 { MASK_26 } else { MASK_25 };
            place += 1;
            limb as i32 & mask
        }))
    }

    /// Of a carried number: 32 bytes, little endian, the smallest of those that are the same.
    #[inline(never)]
    pub(super) fn to_bytes(&self) -> [u8; 32] {
        let mut limbs = self.clone();
        // Whether p has to be taken off, or for a negative second limb added: the carry out
        // of the number plus 19.
        let mut carry = 19;
        let widths = [26, 25].into_iter().cycle();
        for (limb, width) in limbs.0.iter().zip(widths.clone()) {
            carry = (limb + carry) >> width;
        }
        carry *= 19;
        for (limb, width) in limbs.0.iter_mut().zip(widths) {
            *limb += carry;
            carry = *limb >> width;
            *limb &= (1 << width) - 1;
        }
        let [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9] = limbs.0.map(|limb| limb as u32);
        let words = [
            h0 | h1 << 26,
            h1 >> 6 | h2 << 19,
            h2 >> 13 | h3 << 13,
            h3 >> 19 | h4 << 6,
            h5 | h6 << 25,
            h6 >> 7 | h7 << 19,
            h7 >> 13 | h8 << 12,
            h8 >> 20 | h9 << 6,
        ];
        let mut bytes = [0; 32];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        bytes
    }

    /// Of two carried numbers, their sum less p, which centres its limbs around 0, and their
    /// difference.
    #[inline(always)]
    pub(super) fn set_sum_and_difference(
        sum: &mut Self,
        difference: &mut Self,
        a: &Self,
        b: &Self,
    ) {
        const P: [i32; 10] = [
            MASK_26 - 18,
            MASK_25,
            MASK_26,
            MASK_25,
            MASK_26,
            MASK_25,
            MASK_26,
            MASK_25,
            MASK_26,
            MASK_25,
        ];
        let to = sum.0.iter_mut().zip(&mut difference.0);
        for (((sum, difference), (a, b)), p) in to.zip(a.0.iter().zip(&b.0)).zip(P) {
            *sum = a + b - p;
            *difference = a - b;
        }
    }

    /// Of two carried numbers.
    #[inline(always)]
    pub(super) fn set_difference(&mut self, a: &Self, b: &Self) {
        for ((to, a), b) in self.0.iter_mut().zip(&a.0).zip(&b.0) {
            *to = a - b;
        }
    }

    /// Becomes `other` where every bit of `mask` is set; none may be.
    #[inline(always)]
    pub(super) fn change_to(&mut self, other: &Self, mask: i32) {
        for (to, other) in self.0.iter_mut().zip(&other.0) {
            *to ^= (*to ^ other) & mask;
        }
    }

    /// The carried product.
    #[inline(never)]
    pub(super) fn set_product(&mut self, a: &Self, b: &Self) {
        let [g0, g1, g2, g3, g4, g5, g6, g7, g8, g9] = b.0;
        // 2^255 is 19.
        let [w1, w2, w3, w4, w5] = [19 * g1, 19 * g2, 19 * g3, 19 * g4, 19 * g5];
        let [w6, w7, w8, w9] = [19 * g6, 19 * g7, 19 * g8, 19 * g9];
        // In memory, for `Column::of_10`, and times 2, as two odd places make one that is twice as
        // high as where their product is added.
        let mut factors = (
            [g0, g1, g2, g3, g4, g5, g6, g7, g8, g9],
            [w2, w3, w4, w5, w6, w7, w8, w9],
            [2 * g1, 2 * g3, 2 * g5, 2 * g7],
            [2 * w1, 2 * w3, 2 * w5, 2 * w7, 2 * w9],
        );
        black_box(&mut factors);
        let (g, w, [d1, d3, d5, d7], [v1, v3, v5, v7, v9]) = &factors;
        let [g0, g1, g2, g3, g4, g5, g6, g7, g8, g9] = g;
        let [w2, w3, w4, w5, w6, w7, w8, w9] = w;
        let Self(h) = black_box(self);
        let [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9] = h;
        let f = &a.0;
        let c = Column::ZERO;
        let c = Column::<28>::of_10(f, [g0, v9, w8, v7, w6, v5, w4, v3, w2, v1]).even(c, h0);
        let c = Column::<28>::of_10(f, [g1, g0, w9, w8, w7, w6, w5, w4, w3, w2]).odd(c, h1);
        let c = Column::<28>::of_10(f, [g2, d1, g0, v9, w8, v7, w6, v5, w4, v3]).even(c, h2);
        let c = Column::<28>::of_10(f, [g3, g2, g1, g0, w9, w8, w7, w6, w5, w4]).odd(c, h3);
        let c = Column::<28>::of_10(f, [g4, d3, g2, d1, g0, v9, w8, v7, w6, v5]).even(c, h4);
        let c = Column::<28>::of_10(f, [g5, g4, g3, g2, g1, g0, w9, w8, w7, w6]).odd(c, h5);
        let c = Column::<28>::of_10(f, [g6, d5, g4, d3, g2, d1, g0, v9, w8, v7]).even(c, h6);
        let c = Column::<28>::of_10(f, [g7, g6, g5, g4, g3, g2, g1, g0, w9, w8]).odd(c, h7);
        let c = Column::<28>::of_10(f, [g8, d7, g6, d5, g4, d3, g2, d1, g0, v9]).even(c, h8);
        let c = Column::<28>::of_10(f, [g9, g8, g7, g6, g5, g4, g3, g2, g1, g0]).odd(c, h9);
        wrap(h, c.carry::<25>());
    }

    /// The carried square, `times` over: at least once.
    pub(super) fn set_square_times(&mut self, a: &Self, times: u32) {
        self.set_square(a);
        for _ in 1..times {
            let from = self.clone();
            self.set_square(&from);
        }
    }

    /// The carried square.
    #[inline(never)]
    pub(super) fn set_square(&mut self, a: &Self) {
        let [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9] = a.0;
        let [e0, e1, e2, e3, e4] = [2 * f0, 2 * f1, 2 * f2, 2 * f3, 2 * f4];
        let [e5, e6, e7, e8] = [2 * f5, 2 * f6, 2 * f7, 2 * f8];
        let [w5, w6, w7, w8, w9] = [19 * f5, 19 * f6, 19 * f7, 19 * f8, 19 * f9];
        let [v5, v7, v9] = [2 * w5, 2 * w7, 2 * w9];
        let Self(h) = self;
        let [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9] = h;
        let c = Column::ZERO;
        let c = Column::<29>::of_6([f0, e1, e2, e3, e4, f5], [f0, v9, w8, v7, w6, v5]).even(c, h0);
        let c = Column::<29>::of_5([e0, e2, e3, e4, e5], [f1, w9, w8, w7, w6]).odd(c, h1);
        let c = Column::<29>::of_6([e0, e1, e3, e4, e5, f6], [f2, f1, v9, w8, v7, w6]).even(c, h2);
        let c = Column::<29>::of_5([e0, e1, e4, e5, e6], [f3, f2, w9, w8, w7]).odd(c, h3);
        let c = Column::<29>::of_6([e0, e1, f2, e5, e6, f7], [f4, e3, f2, v9, w8, v7]).even(c, h4);
        let c = Column::<29>::of_5([e0, e1, e2, e6, e7], [f5, f4, f3, w9, w8]).odd(c, h5);
        let c = Column::<29>::of_6([e0, e1, e2, f3, e7, f8], [f6, e5, f4, e3, v9, w8]).even(c, h6);
        let c = Column::<29>::of_5([e0, e1, e2, e3, e8], [f7, f6, f5, f4, w9]).odd(c, h7);
        let c = Column::<29>::of_6([e0, e1, e2, e3, f4, f9], [f8, e7, f6, e5, f4, v9]).even(c, h8);
        let c = Column::<29>::of_5([e0, e1, e2, e3, e4], [f9, f8, f7, f6, f5]).odd(c, h9);
        wrap(h, c.carry::<25>());
    }

    /// `a` + 121666 `b`, carried.
    #[inline(never)]
    pub(super) fn set_sum_with_121666_times(&mut self, a: &Self, b: &Self) {
        let mut carry = 0;
        let (to, _) = self.0.as_chunks_mut();
        let pairs = a.0.as_chunks().0.iter().zip(b.0.as_chunks().0);
        for ([even, odd], ([a0, a1], [b0, b1])) in to.iter_mut().zip(pairs) {
            (*even, carry) = sum_with_121666_times::<26>(*a0, *b0, carry);
            (*odd, carry) = sum_with_121666_times::<25>(*a1, *b1, carry);
        }
        let [first, second, ..] = &mut self.0;
        *first += 19 * carry;
        *second += *first >> 26;
        *first &= MASK_26;
    }
}

/// A sum of products, in two words that need no carry between them: the sum modulo 2^32, and
/// the sum of each product's multiples of 2^SHIFT.
///
/// A processor without a carry flag has to compare for a carry, and the compiler for Xtensa
/// branches on it. What the sum is above `hi` times 2^SHIFT is below 2^SHIFT for each product. So
/// `lo` tells it for up to 2^(32 - SHIFT) - 1 products, of which the carry of the column before is
/// one; and `hi` has room for a sum within 2^(31 + SHIFT). The largest, the first of a product, has
/// 124.5 x 2^52.
#[derive(Clone, Copy)]
struct Column<const SHIFT: u32> {
    lo: u32,
    hi: i32,
}

impl<const SHIFT: u32> Column<SHIFT> {
    const ZERO: Self = Self { lo: 0, hi: 0 };

    // Written out, because at the opt-levels for size a loop stays one, with its arrays in memory.

    #[inline(always)]
    fn of_5([x0, x1, x2, x3, x4]: [i32; 5], [y0, y1, y2, y3, y4]: [i32; 5]) -> Self {
        let sum = Self::ZERO.plus_product(x0, y0).plus_product(x1, y1).plus_product(x2, y2);
        sum.plus_product(x3, y3).plus_product(x4, y4)
    }

    #[inline(always)]
    fn of_6([x0, x1, x2, x3, x4, x5]: [i32; 6], [y0, y1, y2, y3, y4, y5]: [i32; 6]) -> Self {
        Self::of_5([x0, x1, x2, x3, x4], [y0, y1, y2, y3, y4]).plus_product(x5, y5)
    }

    /// The compiler likes to start all columns at once, and runs out of registers. The black box
    /// is nothing that is executed; but what it could reach in memory, which are the limb of the
    /// column before and the factors of this one, has to be written before it, or read after it.
    #[inline(always)]
    fn of_10(x: &[i32; 10], y: [&i32; 10]) -> Self {
        black_box(());
        let ([x0, x1, x2, x3, x4, x5, x6, x7, x8, x9], [y0, y1, y2, y3, y4, y5, y6, y7, y8, y9]) =
            (x, y);
        let sum = Self::of_5([*x0, *x1, *x2, *x3, *x4], [*y0, *y1, *y2, *y3, *y4]);
        let sum = sum.plus_product(*x5, *y5).plus_product(*x6, *y6).plus_product(*x7, *y7);
        sum.plus_product(*x8, *y8).plus_product(*x9, *y9)
    }

    /// `x` is below 2^(SHIFT - 1), of either sign.
    #[inline(always)]
    fn plus_product(self, x: i32, y: i32) -> Self {
        Self {
            lo: self.lo.wrapping_add(x.wrapping_mul(y) as u32),
            hi: self.hi.wrapping_add(high_word(x << (32 - SHIFT), y)),
        }
    }

    /// The multiples of 2^WIDTH in a column, modulo 2^32: all of them for a sum within
    /// 2^(31 + WIDTH), as that of the last column is.
    #[inline(always)]
    fn carry<const WIDTH: u32>(self) -> i32 {
        let rest = self.lo.wrapping_sub((self.hi as u32) << SHIFT);
        (self.hi << (SHIFT - WIDTH)).wrapping_add((rest >> WIDTH) as i32)
    }

    /// With what the column before carries, whose limb has WIDTH bits.
    #[inline(always)]
    fn after<const WIDTH: u32>(self, before: Self) -> Self {
        Self {
            lo: self.lo.wrapping_add(before.carry::<WIDTH>() as u32),
            hi: self.hi.wrapping_add(before.hi >> WIDTH),
        }
    }

    /// With what the column before carries, of an even place: stores the limb, of 26 bits.
    #[inline(always)]
    fn even(self, before: Self, limb: &mut i32) -> Self {
        let sum = self.after::<25>(before);
        *limb = sum.lo as i32 & MASK_26;
        sum
    }

    /// With what the column before carries, of an odd place: stores the limb, of 25 bits.
    #[inline(always)]
    fn odd(self, before: Self, limb: &mut i32) -> Self {
        let sum = self.after::<26>(before);
        *limb = sum.lo as i32 & MASK_25;
        sum
    }
}

/// Adds what the last column carries, ten products within 2^51 and shifted by 25, so within 2^30:
/// times 19, which is 2^255.
#[inline(always)]
fn wrap([first, second, ..]: &mut [i32; 10], carry: i32) {
    *first += 19 * (carry & MASK_26);
    *second += 19 * (carry >> 26) + (*first >> 26);
    *first &= MASK_26;
}

/// The product's upper word.
#[inline(always)]
fn high_word(x: i32, y: i32) -> i32 {
    ((i64::from(x) * i64::from(y)) >> 32) as i32
}

/// A limb of WIDTH bits of `a` + 121666 `b` + `carry`, and the carry.
#[inline(always)]
fn sum_with_121666_times<const WIDTH: u32>(a: i32, b: i32, carry: i32) -> (i32, i32) {
    let mask = (1 << WIDTH) - 1;
    let sum = a + (b.wrapping_mul(121_666) & mask) + carry;
    (sum & mask, high_word(121_666 << (32 - WIDTH), b) + (sum >> WIDTH))
}
