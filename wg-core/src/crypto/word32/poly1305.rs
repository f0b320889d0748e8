//! Poly1305 (RFC 8439 section 2.5) in five limbs of 26 bits.

use zerocopy::FromBytes;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::chacha20::Block;

const MASK: u32 = (1 << 26) - 1;

/// The authenticator of a message, as far as it has been read.
///
/// The limbs of `h` are below 2^26, but for the second, which may be up to 2^7 greater.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Poly1305 {
    r: [u32; 5],
    h: [u32; 5],
    /// Added at the end.
    s: [u32; 4],
}

impl Poly1305 {
    /// The key is the first half of the block.
    pub(super) fn new(key: &Block) -> Self {
        let [r0, r1, r2, r3, s0, s1, s2, s3, ..] = key.0.map(u32::from_le);
        let clamped = [r0 & 0x0fff_ffff, r1 & 0x0fff_fffc, r2 & 0x0fff_fffc, r3 & 0x0fff_fffc];
        Self { r: limbs(clamped), h: [0; 5], s: [s0, s1, s2, s3] }
    }

    /// Reads `data` and as many zeros as make it a multiple of 16 bytes.
    pub(super) fn update_padded(&mut self, data: &[u8]) {
        let (blocks, rest) = data.as_chunks::<16>();
        match <[[u32; 4]]>::ref_from_bytes(blocks.as_flattened()) {
            Ok(words) => self.update(words),
            Err(_unaligned) => {
                for block in blocks {
                    self.update(&[words(block)]);
                }
            }
        }
        if !rest.is_empty() {
            let mut block = [0; 16];
            for (to, byte) in block.iter_mut().zip(rest) {
                *to = *byte;
            }
            self.update(&[words(&block)]);
        }
    }

    /// Reads whole blocks of little-endian words.
    #[inline(never)]
    pub(super) fn update(&mut self, blocks: &[[u32; 4]]) {
        let [r0, r1, r2, r3, r4] = self.r;
        let [s1, s2, s3, s4] = [r1 * 5, r2 * 5, r3 * 5, r4 * 5];
        let [mut h0, mut h1, mut h2, mut h3, mut h4] = self.h;
        for block in blocks {
            let [m0, m1, m2, m3, m4] = limbs(block.map(u32::from_le));
            // Every x is below 2^27 + 2^7, every r below 2^26, every s below 2^28.4.
            let x = [h0 + m0, h1 + m1, h2 + m2, h3 + m3, h4 + (m4 | 1 << 24)];
            let d0 = Column::of(x, [r0, s4, s3, s2, s1]);
            let d1 = Column::of(x, [r1, r0, s4, s3, s2]);
            let d2 = Column::of(x, [r2, r1, r0, s4, s3]);
            let d3 = Column::of(x, [r3, r2, r1, r0, s4]);
            let d4 = Column::of(x, [r4, r3, r2, r1, r0]);
            h0 = d0.lo & MASK;
            let d1 = d1.plus_carry_of(d0);
            h1 = d1.lo & MASK;
            let d2 = d2.plus_carry_of(d1);
            h2 = d2.lo & MASK;
            let d3 = d3.plus_carry_of(d2);
            h3 = d3.lo & MASK;
            let d4 = d4.plus_carry_of(d3);
            h4 = d4.lo & MASK;
            // 2^130 is 5. The carry is below 2^29.5, as r4 is below 2^20.
            h0 += 5 * d4.carry();
            h1 += h0 >> 26;
            h0 &= MASK;
        }
        self.h = [h0, h1, h2, h3, h4];
    }

    /// The tag.
    #[inline(never)]
    pub(super) fn finish(&self) -> [u8; 16] {
        let [mut h0, mut h1, mut h2, mut h3, mut h4] = self.h;
        // Twice around: the first time may leave a 1 for the second limb to carry on.
        for _ in 0..2 {
            h2 += h1 >> 26;
            h1 &= MASK;
            h3 += h2 >> 26;
            h2 &= MASK;
            h4 += h3 >> 26;
            h3 &= MASK;
            h0 += 5 * (h4 >> 26);
            h4 &= MASK;
            h1 += h0 >> 26;
            h0 &= MASK;
        }
        // h + 5 - 2^130 is h - p: negative unless h is p or more.
        let g0 = h0 + 5;
        let g1 = h1 + (g0 >> 26);
        let g2 = h2 + (g1 >> 26);
        let g3 = h3 + (g2 >> 26);
        let g4 = h4 + (g3 >> 26);
        let is_reduced = core::hint::black_box((g4 >> 26).wrapping_sub(1));
        let choose = |g: u32, h: u32| ((g ^ h) & !is_reduced ^ h) & MASK;
        let [h0, h1, h2] = [choose(g0, h0), choose(g1, h1), choose(g2, h2)];
        let [h3, h4] = [choose(g3, h3), choose(g4, h4)];
        let words = [h0 | h1 << 26, h1 >> 6 | h2 << 20, h2 >> 12 | h3 << 14, h3 >> 18 | h4 << 8];
        // Halves of words, whose sum shows its carry.
        let mut tag = [0; 16];
        let mut carry = 0;
        for ((to, word), s) in tag.as_chunks_mut().0.iter_mut().zip(words).zip(&self.s) {
            let low = (word & 0xffff) + (s & 0xffff) + carry;
            let high = (word >> 16) + (s >> 16) + (low >> 16);
            carry = high >> 16;
            *to = (high << 16 | low & 0xffff).to_le_bytes();
        }
        tag
    }
}

/// A sum of products, in two words that need no carry between them: the product modulo 2^32,
/// and the sum of each product's multiples of 2^28.
///
/// A processor without a carry flag has to compare for a carry, and the compiler for Xtensa
/// branches on it. What `lo` holds above `hi` is below 2^28 for each product: so it is whole
/// for up to 15 products, and up to a sum of 2^60.
#[derive(Clone, Copy)]
struct Column {
    lo: u32,
    hi: u32,
}

impl Column {
    /// Every x is below 2^28.
    #[inline(always)]
    fn of(x: [u32; 5], y: [u32; 5]) -> Self {
        let mut sum = Self { lo: 0, hi: 0 };
        for (x, y) in x.into_iter().zip(y) {
            sum.lo = sum.lo.wrapping_add(x.wrapping_mul(y));
            sum.hi += ((u64::from(x << 4) * u64::from(y)) >> 32) as u32;
        }
        sum
    }

    /// What is above 26 bits, modulo 2^32.
    #[inline(always)]
    fn carry(self) -> u32 {
        (self.hi << 2).wrapping_add(self.lo.wrapping_sub(self.hi << 28) >> 26)
    }

    #[inline(always)]
    fn plus_carry_of(self, before: Self) -> Self {
        Self { lo: self.lo.wrapping_add(before.carry()), hi: self.hi + (before.hi >> 26) }
    }
}

/// A block of any alignment, as little-endian words in memory.
fn words(block: &[u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (to, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *to = u32::from_ne_bytes(*bytes);
    }
    words
}

/// Four words of 32 bits in five of 26.
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
