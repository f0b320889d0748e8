//! Poly1305 (RFC 8439 section 2.5).

#[cfg_attr(target_arch = "xtensa", path = "poly1305/limbs.rs")]
#[cfg_attr(not(target_arch = "xtensa"), path = "poly1305/words.rs")]
mod accumulator;
#[cfg(test)]
#[path = "poly1305/tests.rs"]
mod tests;

use zerocopy::{FromBytes, IntoBytes};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::chacha20::Block;
use accumulator::Accumulator;

/// The authenticator of a message, as far as it has been read.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Poly1305 {
    accumulator: Accumulator,
    /// Added at the end.
    s: [u32; 4],
}

impl Poly1305 {
    /// The key is the first half of the block.
    pub(super) fn new(key: &Block) -> Self {
        let [r0, r1, r2, r3, s0, s1, s2, s3, ..] = key.0.map(u32::from_le);
        let r = [r0 & 0x0fff_ffff, r1 & 0x0fff_fffc, r2 & 0x0fff_fffc, r3 & 0x0fff_fffc];
        Self { accumulator: Accumulator::new(r), s: [s0, s1, s2, s3] }
    }

    /// Reads whole blocks of little-endian words.
    pub(super) fn update(&mut self, blocks: &[[u32; 4]]) {
        self.accumulator.update(blocks);
    }

    /// Reads `data` and as many zeros as make it a multiple of 16 bytes: by words where `data` is
    /// aligned to them.
    pub(super) fn update_padded(&mut self, data: &[u8]) {
        let (blocks, rest) = data.as_chunks::<16>();
        match <[[u32; 4]]>::ref_from_bytes(blocks.as_flattened()) {
            Ok(words) => self.update(words),
            Err(_unaligned) => blocks.iter().for_each(|block| self.update_bytes(block)),
        }
        if !rest.is_empty() {
            self.update_bytes(rest);
        }
    }

    /// At most 16 bytes, at any address.
    #[inline(never)]
    fn update_bytes(&mut self, data: &[u8]) {
        let mut block = [0; 4];
        for (to, byte) in block.as_mut_bytes().iter_mut().zip(data) {
            *to = *byte;
        }
        self.update(&[block]);
    }

    /// The tag.
    #[inline(never)]
    pub(super) fn finish(&self) -> [u8; 16] {
        // Halves of words, whose sum shows its carry.
        let mut tag = [0; 16];
        let mut carry = 0;
        let words = self.accumulator.reduced().into_iter().zip(&self.s);
        for (to, (word, s)) in tag.as_chunks_mut().0.iter_mut().zip(words) {
            let low = (word & 0xffff) + (s & 0xffff) + carry;
            let high = (word >> 16) + (s >> 16) + (low >> 16);
            carry = high >> 16;
            *to = (high << 16 | low & 0xffff).to_le_bytes();
        }
        tag
    }
}
