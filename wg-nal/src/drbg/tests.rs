extern crate std;
use std::format;
use std::vec::Vec;

use rand_core::{CryptoRng, Rng};

use super::*;

/// Gives out prepared bytes, then fails.
struct Script(Vec<u8>);

#[derive(PartialEq, Debug)]
struct Dry;

impl fmt::Display for Dry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dry")
    }
}

impl core::error::Error for Dry {}

impl TryRng for Script {
    type Error = Dry;

    fn try_next_u32(&mut self) -> Result<u32, Dry> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Dry> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes what it has even when that is too little, as a driver does that fails half-way.
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Dry> {
        let length = self.0.len().min(bytes.len());
        bytes[..length].copy_from_slice(&self.0[..length]);
        self.0.drain(..length);
        if length == bytes.len() { Ok(()) } else { Err(Dry) }
    }
}

impl TryCryptoRng for Script {}

fn counting() -> Script {
    Script((0..64).collect())
}

fn seeded() -> Drbg {
    Drbg::try_new(&mut counting()).unwrap()
}

fn drawn<const N: usize>(rng: &mut Drbg) -> [u8; N] {
    let mut bytes = [0xee; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> std::string::String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The answers come from the construction written in Python over its own ChaCha20, whose
/// keystream is that of `openssl enc -chacha20`.
#[test]
fn draws_are_those_of_an_independent_computation() {
    let mut rng = seeded();
    assert_eq!(hex(&drawn::<16>(&mut rng)), "57f34e013383222749c60485c09e3246");
    assert_eq!(
        hex(&drawn::<100>(&mut rng)),
        "08c0a9145d1bee3180f23d3f8acfe92ca1998d4a2eda1bc0e68081e54712abc3561facc5a03d2ca34739dbe2\
         1402bfbe106814ba4835e5dcea2af16ea6f56a2b51714d7d8449191dd53c04763c19c3f3b52485fd56b32789\
         6f5662c776d4b75c7841b1d5"
    );
    assert_eq!((rng.next_u32(), rng.next_u64()), (0x7a09_c3b1, 0x0667_3c0b_a910_3126));
    rng.try_reseed(&mut Script((0..64).rev().collect())).unwrap();
    assert_eq!(
        hex(&drawn::<32>(&mut rng)),
        "b5e86f32096caca2ca225e89dd7534ae832e4f203aa5c4df5f41ef329d555cc4"
    );
}

#[test]
fn an_error_of_the_source_is_an_error_and_never_a_generator() {
    for given in 0..64 {
        let answer = Drbg::try_new(&mut Script((0..given).collect()));
        assert_eq!(answer.map(|_| ()), Err(SeedError::Source(Dry)), "{given} bytes");
    }
}

#[test]
fn a_source_that_is_stuck_is_an_error_that_says_so() {
    let random: Vec<u8> = drawn::<64>(&mut seeded()).into();
    let mut stuck: Vec<Vec<u8>> = (0..=255).map(|byte| [byte; 64].into()).collect();
    stuck.push([0xde, 0xad, 0xbe, 0xef].repeat(16));
    stuck.push(random[..32].repeat(2));
    for start in 0..=64 - LONGEST_RUN {
        let mut seed = random.clone();
        seed[start..start + LONGEST_RUN].fill(0);
        stuck.push(seed);
    }
    for seed in stuck {
        let mut rng = seeded();
        let before = rng.key;
        assert_eq!(
            Drbg::try_new(&mut Script(seed.clone())).map(|_| ()),
            Err(SeedError::Stuck),
            "{seed:?}"
        );
        assert_eq!(rng.try_reseed(&mut Script(seed)), Err(SeedError::Stuck));
        assert_eq!(rng.key, before);
    }
    let mut nearly = random;
    nearly[8..7 + LONGEST_RUN].fill(0);
    assert!(Drbg::try_new(&mut Script(nearly)).is_ok(), "eight equal bytes may be chance");
}

#[test]
fn a_failed_reseed_keeps_the_old_state_to_the_bit() {
    let (mut touched, mut untouched) = (seeded(), seeded());
    for given in 0..64 {
        let error = touched.try_reseed(&mut Script((100..100 + given).collect()));
        assert_eq!(error, Err(SeedError::Source(Dry)));
    }
    assert_eq!(drawn::<40>(&mut touched), drawn::<40>(&mut untouched));
}

#[test]
fn a_reseed_depends_on_the_old_state_and_on_the_new_seed() {
    let other = || Script((64..128).collect());
    let mut once = seeded();
    once.try_reseed(&mut other()).unwrap();
    let mut fresh = Drbg::try_new(&mut other()).unwrap();
    let (once, fresh) = (drawn::<32>(&mut once), drawn::<32>(&mut fresh));
    assert_ne!(once, fresh, "the old state counts");
    let mut again = seeded();
    again.try_reseed(&mut Script((65..129).collect())).unwrap();
    assert_ne!(once, drawn::<32>(&mut again), "the new seed counts");
}

#[test]
fn the_state_after_a_draw_does_not_contain_the_draw_or_the_key_before() {
    let mut rng = seeded();
    let before = rng.key;
    let bytes = drawn::<64>(&mut rng);
    assert_ne!(rng.key, before);
    assert!(bytes.windows(32).all(|window| window != rng.key && window != before));
    // Whoever steals the state continues the sequence and cannot repeat what was drawn.
    let mut stolen = Drbg { key: rng.key };
    assert_eq!(drawn::<16>(&mut stolen), drawn::<16>(&mut rng));
}

#[test]
fn a_long_draw_changes_keys_on_the_way_and_repeats_nothing() {
    let mut rng = seeded();
    let mut long = std::vec![0; 3 * DRAW + 5];
    rng.fill_bytes(&mut long);
    let mut blocks: Vec<_> = long.chunks_exact(16).collect();
    let count = blocks.len();
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(blocks.len(), count);
}

/// Each of the 256 values, and each bit, comes about as often as chance has it: six standard
/// deviations, over small draws that each change the key.
#[test]
fn what_is_drawn_looks_like_chance() {
    let mut rng = seeded();
    let (mut counts, mut ones) = ([0_i32; 256], 0_i32);
    for _ in 0..8_192 {
        for byte in drawn::<32>(&mut rng) {
            counts[usize::from(byte)] += 1;
            ones += byte.count_ones() as i32;
        }
    }
    assert!(counts.iter().all(|count| (count - 1_024).abs() < 6 * 32), "{counts:?}");
    // 2^21 bits, with a standard deviation of 2^9.5.
    assert!((ones - (1 << 20)).abs() < 6 * 724, "{ones}");
}

#[test]
fn nothing_of_the_state_is_printed() {
    let mut rng = seeded();
    assert_eq!(format!("{rng:?}"), "Drbg(redacted)");
    let _: &mut dyn CryptoRng = &mut rng;
    assert_eq!(size_of::<Drbg>(), 32);
}
