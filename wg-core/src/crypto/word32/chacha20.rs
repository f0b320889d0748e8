//! ChaCha20 (RFC 8439 section 2.3), a word at a time.

use zerocopy::FromBytes;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// "expand 32-byte k"
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Key, nonce and the number of the next block.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct ChaCha20([u32; 16]);

impl ChaCha20 {
    /// `input` is the last row of the state: the number of the first block, and the nonce.
    pub(super) fn new(key: &[u8; 32], input: [u32; 4]) -> Self {
        let mut state = Self([0; 16]);
        let key = key.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let words = CONSTANTS.into_iter().chain(key).chain(input);
        for (to, word) in state.0.iter_mut().zip(words) {
            *to = word;
        }
        state
    }

    /// XORs the key stream into `data`, from the beginning of the next block: by words where
    /// `data` is aligned to them.
    pub(super) fn apply(&mut self, data: &mut [u8]) {
        let (blocks, rest) = data.as_chunks_mut::<64>();
        for block in blocks {
            match <[u32; 16]>::mut_from_bytes(block) {
                Ok(words) => self.apply_block(words),
                Err(_unaligned) => self.apply_bytes(block),
            }
        }
        if !rest.is_empty() {
            self.apply_bytes(rest);
        }
    }

    /// At most 64 bytes, at any address.
    #[inline(never)]
    fn apply_bytes(&mut self, data: &mut [u8]) {
        let stream = self.next_block();
        let stream = stream.0.iter().flat_map(|word| word.to_ne_bytes());
        for (byte, stream) in data.iter_mut().zip(stream) {
            *byte ^= stream;
        }
    }

    /// The next 64 bytes of the key stream, as little-endian words in memory.
    pub(super) fn next_block(&mut self) -> Block {
        let mut block = Block([0; 16]);
        self.apply_block(&mut block.0);
        block
    }

    /// HChaCha20 (draft-irtf-cfrg-xchacha section 2.2): the key that belongs to `key` and the
    /// first 16 bytes of an extended nonce.
    pub(super) fn derive_key(key: &[u8; 32], nonce: [u32; 4]) -> Key {
        let mut cipher = Self::new(key, nonce);
        let initial = Block(cipher.0);
        let block = cipher.next_block();
        // The rounds alone: a block is their result plus the state that went in.
        let rounds = block.0.iter().zip(&initial.0).map(|(b, i)| u32::from_le(*b).wrapping_sub(*i));
        let first_and_last_row = rounds.enumerate().filter(|(at, _)| !(4..12).contains(at));
        let mut derived = Key([0; 32]);
        for (to, (_, word)) in derived.0.as_chunks_mut().0.iter_mut().zip(first_and_last_row) {
            *to = word.to_le_bytes();
        }
        derived
    }

    /// XORs the next 64 bytes of the key stream into `block`.
    #[inline(never)]
    fn apply_block(&mut self, block: &mut [u32; 16]) {
        let [
            mut a0,
            mut a1,
            mut a2,
            mut a3,
            mut b0,
            mut b1,
            mut b2,
            mut b3,
            mut c0,
            mut c1,
            mut c2,
            mut c3,
            mut d0,
            mut d1,
            mut d2,
            mut d3,
        ] = self.0;
        for _ in 0..10 {
            quarter_round(&mut a0, &mut b0, &mut c0, &mut d0);
            quarter_round(&mut a1, &mut b1, &mut c1, &mut d1);
            quarter_round(&mut a2, &mut b2, &mut c2, &mut d2);
            quarter_round(&mut a3, &mut b3, &mut c3, &mut d3);
            quarter_round(&mut a0, &mut b1, &mut c2, &mut d3);
            quarter_round(&mut a1, &mut b2, &mut c3, &mut d0);
            quarter_round(&mut a2, &mut b3, &mut c0, &mut d1);
            quarter_round(&mut a3, &mut b0, &mut c1, &mut d2);
        }
        let words = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
        for ((to, word), initial) in block.iter_mut().zip(words).zip(&self.0) {
            *to ^= word.wrapping_add(*initial).to_le();
        }
        let [.., counter, _, _, _] = &mut self.0;
        *counter = counter.wrapping_add(1);
    }
}

/// 64 bytes of key stream.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Block(pub(super) [u32; 16]);

/// A derived key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Key(pub(super) [u8; 32]);

#[inline(always)]
fn quarter_round(a: &mut u32, b: &mut u32, c: &mut u32, d: &mut u32) {
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(16);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(12);
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(8);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(7);
}
