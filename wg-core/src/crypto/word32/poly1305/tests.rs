//! Both accumulators against the crate, with the greatest and the least of everything: debug
//! builds check that no sum in them overflows.

extern crate std;

use std::vec::Vec;

use ::chacha20::ChaCha20Rng;
use ::chacha20::rand_core::{Rng, SeedableRng};
use ::poly1305::universal_hash::KeyInit;

#[allow(clippy::duplicate_mod, reason = "what this target does not use, too")]
#[path = "limbs.rs"]
mod limbs;
#[allow(clippy::duplicate_mod, reason = "what this target does not use, too")]
#[path = "words.rs"]
mod words;

const CLAMP: [u32; 4] = [0x0fff_ffff, 0x0fff_fffc, 0x0fff_fffc, 0x0fff_fffc];

/// What the crate makes of the blocks, without anything added at the end.
fn expected(r: [u32; 4], blocks: &[[u32; 4]]) -> [u32; 4] {
    let mut key = [0; 32];
    for (to, word) in key.as_chunks_mut().0.iter_mut().zip(r) {
        *to = word.to_le_bytes();
    }
    let message: Vec<u8> = blocks.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
    let tag = ::poly1305::Poly1305::new(&key.into()).compute_unpadded(&message);
    let mut words = [0; 4];
    for (to, bytes) in words.iter_mut().zip(tag.as_chunks().0) {
        *to = u32::from_le_bytes(*bytes);
    }
    words
}

fn check(r: [u32; 4], blocks: &[[u32; 4]]) {
    let expected = expected(r, blocks);
    let in_memory: Vec<_> = blocks.iter().map(|block| block.map(u32::to_le)).collect();
    // In one piece, and in two.
    for first in [blocks.len(), blocks.len() / 2] {
        let (first, second) = in_memory.split_at(first);
        let mut words = words::Accumulator::new(r);
        let mut limbs = limbs::Accumulator::new(r);
        for piece in [first, second] {
            words.update(piece);
            limbs.update(piece);
        }
        assert_eq!(words.reduced(), expected, "words, r {r:x?} of {blocks:x?}");
        assert_eq!(limbs.reduced(), expected, "limbs, r {r:x?} of {blocks:x?}");
    }
}

#[test]
fn the_greatest_factors_and_blocks_overflow_nothing() {
    for zeros in 0..16 {
        // Some words of r as great as they may be, the others 0.
        let mut r = CLAMP;
        for (at, word) in r.iter_mut().enumerate() {
            if zeros >> at & 1 == 1 {
                *word = 0;
            }
        }
        for len in 0..100 {
            check(r, &std::vec![[u32::MAX; 4]; len]);
        }
    }
}

/// With a factor of 1, a sum is that of the blocks and their highest bits: around p, 2p, and 2^128.
#[test]
fn sums_around_the_prime_are_reduced() {
    for low in 0_u32..=12 {
        for low in [low, low.wrapping_neg()] {
            for high in [0, 1, u32::MAX - 1, u32::MAX] {
                for len in 1..=9 {
                    let mut blocks = std::vec![[u32::MAX; 4]; len];
                    blocks[0] = [low, high, high, high];
                    check([1, 0, 0, 0], &blocks);
                    blocks[1..].fill([0; 4]);
                    check([1, 0, 0, 0], &blocks);
                }
            }
        }
    }
}

/// Five times what is above 2^130 brings the rest over 2^130 once more, with a first limb that the
/// last 5 overflows: too rare to be met at random, so these were searched for.
#[test]
fn a_reduction_that_carries_all_the_way_is_done_again() {
    for (r0, block) in [
        (0x0687_1f5d, [0xda74_6bef, 0x30ef_6f90, 0xe8c2_79a0, 0x2d37_1124]),
        (0x042e_9369, [0x35c8_c046, 0xd2b1_d9d4, 0x2337_9ba9, 0xd9d6_216c]),
        (0x0761_a4b2, [0xce32_edf9, 0x39c2_a64d, 0xeb1a_3e4d, 0x0f9a_5ad5]),
    ] {
        check([r0, 0, 0, 0], &[block]);
    }
}

/// Words at random, many of them all zeros or all ones.
#[test]
fn random_factors_and_blocks_give_what_the_crate_gives() {
    let mut rng = ChaCha20Rng::from_seed([13; 32]);
    let mut word = move || match rng.next_u32() % 4 {
        0 => 0,
        1 => u32::MAX,
        _ => rng.next_u32(),
    };
    for _ in 0..2_000 {
        let r = CLAMP.map(|clamp| word() & clamp);
        let blocks: Vec<[u32; 4]> = (0..20).map(|_| [word(), word(), word(), word()]).collect();
        check(r, &blocks);
    }
}
