//! ChaCha20 (RFC 8439 section 2.3), a word at a time.

use core::hint::black_box;

use zerocopy::{FromBytes, IntoBytes};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// "expand 32-byte k"
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

type Row = [u32; 4];

/// Four rows: the constants, the key in two, and the block's number with the nonce.
type State = [Row; 4];

/// Xtensa has no register for each word of the state. Left alone, the compiler mixes the quarter
/// rounds of a round, and moves three words to memory or back for each. With one row in memory
/// and nothing mixed it moves two and a half. The black boxes for that are nothing that is executed.
const FEW_REGISTERS: bool = cfg!(target_arch = "xtensa");

/// Key, nonce and the number of the next block.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct ChaCha20(State);

impl ChaCha20 {
    /// `input` is the last row of the state: the number of the first block, and the nonce.
    pub(super) fn new(key: &[u8; 32], input: [u32; 4]) -> Self {
        let mut cipher = Self([CONSTANTS, [0; 4], [0; 4], input]);
        let key = key.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        for (to, word) in cipher.0.as_flattened_mut().iter_mut().skip(4).zip(key) {
            *to = word;
        }
        cipher
    }

    /// XORs the key stream into `data`, from the beginning of the next block: by words where
    /// `data` is aligned to them.
    pub(super) fn apply(&mut self, data: &mut [u8]) {
        let (blocks, rest) = data.as_chunks_mut::<64>();
        match <[[u32; 16]]>::mut_from_bytes(blocks.as_flattened_mut()) {
            Ok(blocks) => self.apply_blocks(blocks),
            Err(_unaligned) => {
                for block in blocks {
                    self.apply_bytes(block);
                }
            }
        }
        if !rest.is_empty() {
            self.apply_bytes(rest);
        }
    }

    /// At most 64 bytes, at any address.
    #[inline(never)]
    fn apply_bytes(&mut self, data: &mut [u8]) {
        let mut block = Block([0; 16]);
        for (to, byte) in block.0.as_mut_bytes().iter_mut().zip(&*data) {
            *to = *byte;
        }
        self.apply_blocks(core::slice::from_mut(&mut block.0));
        for (byte, from) in data.iter_mut().zip(block.0.as_bytes()) {
            *byte = *from;
        }
    }

    /// The next 64 bytes of the key stream, as little-endian words in memory.
    pub(super) fn next_block(&mut self) -> Block {
        let mut block = Block([0; 16]);
        self.apply_blocks(core::slice::from_mut(&mut block.0));
        block
    }

    /// HChaCha20 (draft-irtf-cfrg-xchacha section 2.2): the key that belongs to `key` and the
    /// first 16 bytes of an extended nonce.
    pub(super) fn derive_key(key: &[u8; 32], nonce: [u32; 4]) -> Key {
        let mut cipher = Self::new(key, nonce);
        let initial = Self(cipher.0);
        let block = cipher.next_block();
        // The rounds alone: a block is their result plus the state that went in.
        let rounds = block
            .0
            .iter()
            .zip(initial.0.as_flattened())
            .map(|(b, i)| u32::from_le(*b).wrapping_sub(*i));
        let first_and_last_row = rounds.enumerate().filter(|(at, _)| !(4..12).contains(at));
        let mut derived = Key([0; 32]);
        for (to, (_, word)) in derived.0.as_chunks_mut().0.iter_mut().zip(first_and_last_row) {
            *to = word.to_le_bytes();
        }
        derived
    }

    /// XORs the key stream into `blocks`, which are little-endian words.
    #[inline(never)]
    fn apply_blocks(&mut self, blocks: &mut [[u32; 16]]) {
        // Three quarter rounds of the first round do not read the number: they are the same for
        // all blocks.
        let mut begun = Self(self.0);
        let [[_, a1, a2, a3], [_, b1, b2, b3], [_, c1, c2, c3], [_, d1, d2, d3]] = &mut begun.0;
        quarter_round(a1, b1, c1, d1);
        quarter_round(a2, b2, c2, d2);
        quarter_round(a3, b3, c3, d3);
        for block in blocks {
            let [mut a, mut b, mut c, mut d] = begun.0;
            if FEW_REGISTERS {
                black_box(&mut b);
            }
            let ([a0, ..], [b0, ..], [c0, ..], [d0, ..]) = (&mut a, &mut b, &mut c, &mut d);
            quarter_round(a0, b0, c0, d0);
            diagonal_round(&mut a, &mut b, &mut c, &mut d);
            for _ in 0..9 {
                column_round(&mut a, &mut b, &mut c, &mut d);
                diagonal_round(&mut a, &mut b, &mut c, &mut d);
            }
            let rows = [a, b, c, d];
            let words = rows.as_flattened().iter().zip(self.0.as_flattened());
            for (to, (word, initial)) in block.iter_mut().zip(words) {
                *to ^= word.wrapping_add(*initial).to_le();
            }
            for state in [&mut self.0, &mut begun.0] {
                let [.., [number, _, _, _]] = state;
                *number = number.wrapping_add(1);
            }
        }
    }
}

#[inline(always)]
fn column_round(
    [a0, a1, a2, a3]: &mut Row,
    [b0, b1, b2, b3]: &mut Row,
    [c0, c1, c2, c3]: &mut Row,
    [d0, d1, d2, d3]: &mut Row,
) {
    quarter_round(a0, b0, c0, d0);
    quarter_round(a1, b1, c1, d1);
    quarter_round(a2, b2, c2, d2);
    quarter_round(a3, b3, c3, d3);
}

#[inline(always)]
fn diagonal_round(
    [a0, a1, a2, a3]: &mut Row,
    [b0, b1, b2, b3]: &mut Row,
    [c0, c1, c2, c3]: &mut Row,
    [d0, d1, d2, d3]: &mut Row,
) {
    quarter_round(a0, b1, c2, d3);
    quarter_round(a1, b2, c3, d0);
    quarter_round(a2, b3, c0, d1);
    quarter_round(a3, b0, c1, d2);
}

/// 64 bytes of key stream.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Block(pub(super) [u32; 16]);

/// A derived key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Key(pub(super) [u8; 32]);

#[inline(always)]
fn quarter_round(a: &mut u32, b: &mut u32, c: &mut u32, d: &mut u32) {
    if FEW_REGISTERS {
        black_box(());
    }
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(16);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(12);
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(8);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(7);
}
