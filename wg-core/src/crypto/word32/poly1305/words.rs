//! The sum of the blocks in words of 32 bits: where a comparison of two words gives a carry.

use core::hint::black_box;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The blocks so far, as a polynomial of `r`, modulo 2^130 - 5.
///
/// The last word of `h` is below 2^31.4: what it has above two bits is yet to be reduced.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Accumulator {
    r: [u32; 4],
    h: [u32; 5],
}

impl Accumulator {
    /// `r` is clamped: every word is below 2^28, and all but the first are multiples of 4.
    pub(super) fn new(r: [u32; 4]) -> Self {
        Self { r, h: [0; 5] }
    }

    /// Reads whole blocks of little-endian words.
    #[inline(never)]
    pub(super) fn update(&mut self, blocks: &[[u32; 4]]) {
        let [r0, r1, r2, r3] = self.r;
        // 2^128 r is 5/4 r. Every s is below 1.25 x 2^28.
        let [s1, s2, s3] = [r1, r2, r3].map(|r| r + (r >> 2));
        let mut h = self.h;
        for block in blocks {
            let [x0, x1, x2, x3, x4] = sum(h, block.map(u32::from_le));
            // x4 is below 2^3: its products have 32 bits, together with a carry.
            let x4 = x4 + 1;
            let d0 = mul(x0, r0) + mul(x1, s3) + mul(x2, s2) + mul(x3, s1);
            let d1 = mul(x0, r1) + mul(x1, r0) + mul(x2, s3) + mul(x3, s2);
            let d1 = d1 + u64::from(x4 * s1 + high(d0));
            let d2 = mul(x0, r2) + mul(x1, r1) + mul(x2, r0) + mul(x3, s3);
            let d2 = d2 + u64::from(x4 * s2 + high(d1));
            let d3 = mul(x0, r3) + mul(x1, r2) + mul(x2, r1) + mul(x3, r0);
            let d3 = d3 + u64::from(x4 * s3 + high(d2));
            h = [d0 as u32, d1 as u32, d2 as u32, d3 as u32, x4 * r0 + high(d3)];
        }
        self.h = h;
    }

    /// The four words of the sum that a tag has: modulo 2^130 - 5, then modulo 2^128.
    #[inline(never)]
    pub(super) fn reduced(&self) -> [u32; 4] {
        // Twice: the first time may leave a carry above the two bits.
        let h = sum(sum(self.h, [0; 4]), [0; 4]);
        // h + 5 - 2^130 is h - p: negative unless h is p or more.
        let [g0, g1, g2, g3, carried] = sum(h, [5, 0, 0, 0]);
        let is_reduced = black_box((carried >> 2).wrapping_sub(1));
        let [h0, h1, h2, h3, _] = h;
        let choose = |g: u32, h: u32| (g ^ h) & !is_reduced ^ h;
        [choose(g0, h0), choose(g1, h1), choose(g2, h2), choose(g3, h3)]
    }
}

/// `h` plus `m`, with what `h` has above 130 bits reduced: the last word is up to 2 more than two
/// bits.
#[inline(always)]
fn sum([h0, h1, h2, h3, h4]: [u32; 5], [m0, m1, m2, m3]: [u32; 4]) -> [u32; 5] {
    // 2^130 is 5.
    let d0 = u64::from(h0) + u64::from(m0) + u64::from(5 * (h4 >> 2));
    let d1 = u64::from(h1) + u64::from(m1) + u64::from(high(d0));
    let d2 = u64::from(h2) + u64::from(m2) + u64::from(high(d1));
    let d3 = u64::from(h3) + u64::from(m3) + u64::from(high(d2));
    [d0 as u32, d1 as u32, d2 as u32, d3 as u32, (h4 & 3) + high(d3)]
}

#[inline(always)]
fn mul(x: u32, y: u32) -> u64 {
    u64::from(x) * u64::from(y)
}

#[inline(always)]
fn high(x: u64) -> u32 {
    (x >> 32) as u32
}
