extern crate std;

use super::*;
use core::convert::Infallible;
use proptest::prelude::*;
use rand_core::{TryCryptoRng, TryRng};
use std::collections::{HashMap, HashSet};
use std::format;
use std::vec;

/// Not random, but the key of the hash is not what is tested.
struct Fixed(u8);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from(self.0))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.0))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

/// Runs a test with as many blocks and a budget that nobody uses up.
fn with_blocks(blocks: usize, test: impl FnOnce(&mut dyn FnMut(Instant, &str) -> bool)) {
    let mut blocks = vec![Block::BLANK; blocks];
    let mut limiter = RateLimiter::new(Table::Borrowed(&mut blocks));
    let mut load = Load::new();
    load.budget = u16::MAX;
    test(&mut |now, source| {
        let source = source.parse().unwrap();
        limiter.allow(now, &mut Fixed(7), &mut load, source, Work::Initiation)
    });
}

#[test]
fn the_memory_is_no_more_than_a_table_of_eight_sources_took() {
    const OLD_LOAD: usize = 24;
    assert!(size_of::<Block>() + size_of::<Load>() <= 8 * 16 + OLD_LOAD);
    assert!(size_of::<Block>() * GROWN as usize <= 1024 * 16);
}

#[test]
fn five_at_once_and_then_one_every_fifty_milliseconds() {
    with_blocks(1, |allow| {
        let at = Instant::from_micros;
        for _ in 0..5 {
            assert!(allow(at(0), "10.0.0.1"), "boards boot at 0");
        }
        assert!(!allow(at(0), "10.0.0.1"));
        assert!(!allow(at(49_999), "10.0.0.1"));
        assert!(allow(at(50_000), "10.0.0.1"));
        assert!(!allow(at(50_000), "10.0.0.1"));
        assert!(!allow(at(99_999), "10.0.0.1"), "a refusal costs nothing");
        assert!(allow(at(100_000), "10.0.0.1"));
    });
}

#[test]
fn a_quiet_source_gets_its_burst_back_and_no_more() {
    with_blocks(1, |allow| {
        let at = Instant::from_millis;
        for start in [1_000, 1_250, 3_600_000] {
            for _ in 0..5 {
                assert!(allow(at(start), "fd00::1"));
            }
            assert!(!allow(at(start), "fd00::1"));
        }
    });
}

#[test]
fn twenty_a_second_pass_forever() {
    with_blocks(1, |allow| {
        for message in 0..100_000 {
            assert!(allow(Instant::from_millis(message * 50), "10.0.0.1"));
        }
    });
}

#[test]
fn a_source_is_an_ipv4_address_or_an_ipv6_slash_64() {
    with_blocks(64, |allow| {
        let now = Instant::from_secs(1);
        let mut exhaust = |source: &str| while allow(now, source) {};
        exhaust("10.0.0.1");
        exhaust("fd00:1:2:3::1");
        exhaust("::1");
        assert!(!allow(now, "10.0.0.1"));
        assert!(!allow(now, "::ffff:10.0.0.1"), "the same, from a socket of both families");
        assert!(allow(now, "10.0.0.2"));
        assert!(allow(now, "::ffff:10.0.0.3"));
        assert!(!allow(now, "fd00:1:2:3:ffff::"));
        assert!(allow(now, "fd00:1:2:4::1"));
    });
}

#[test]
fn who_finds_no_place_gets_its_turn_and_no_more_until_one_is_idle() {
    with_blocks(1, |allow| {
        let at = Instant::from_micros;
        assert!(allow(at(0), "10.0.0.1"));
        // A turn every 333 ms, and the place is free after 50.
        assert!(!allow(at(0), "10.0.0.2"));
        assert!(allow(at(0), "10.0.0.1"), "who is inside goes on");
        assert!(!allow(at(99_999), "10.0.0.2"));
        assert!(allow(at(100_000), "10.0.0.2"), "10.0.0.1 is idle");
        assert!(allow(at(333_334), "10.0.0.3"));
        assert!(!allow(at(333_334), "10.0.0.2"), "10.0.0.3 had its turn, and has the place");
    });
}

#[test]
fn a_source_gets_one_turn_in_a_round() {
    let mut blocks = [Block::BLANK; 1];
    let mut limiter = RateLimiter::new(Table::Borrowed(&mut blocks));
    limiter.seed(&mut Fixed(7));
    let mut load = Load::new();
    let mut turn = |unit: u64, addr: &str| {
        let now = Instant::from_micros(unit << UNIT_BITS);
        let source = limiter.source(addr.parse::<IpAddr>().unwrap().into()).unwrap();
        limiter.has_its_turn(now, &mut load, &source)
    };
    assert!(turn(0, "10.0.0.1"));
    assert!((1..36).all(|unit| !turn(unit, "10.0.0.1")));
    assert!(turn(36, "10.0.0.1"));
    assert!(!turn(37, "10.0.0.1"));
    assert!(turn(38, "10.0.0.2"));
    assert!(turn(36 * 65_536, "10.0.0.1"), "rounds whose number comes again");
}

#[test]
fn a_slash_56_has_two_turns_and_a_slash_48_eight() {
    let mut blocks = [Block::BLANK; 1];
    let mut limiter = RateLimiter::new(Table::Borrowed(&mut blocks));
    limiter.seed(&mut Fixed(7));
    let party = |network| limiter.party(5, &limiter.source(Network::V6(network)).unwrap());
    let parties =
        |networks: core::ops::Range<u64>| networks.map(party).collect::<HashSet<_>>().len();
    let base = 0x2001_0db8_0001_0000;
    assert_eq!(parties(base..base + 0x100), 2);
    assert_eq!(parties(base..base + 0x10000), 8);
    assert_eq!(parties(base..base + 0x20000), 16);
}

#[test]
fn the_addresses_of_the_last_three_peers_of_a_block_are_known() {
    let mut blocks = [Block::BLANK; 1];
    let mut limiter = RateLimiter::new(Table::Borrowed(&mut blocks));
    let addr = |number: u8| IpAddr::from([10, 0, 0, number]);
    limiter.learn(Instant::ZERO, addr(1));
    limiter.seed(&mut Fixed(7));
    let is_known = |limiter: &mut RateLimiter<'_>, secs, number| {
        let source = limiter.source(addr(number).into()).unwrap();
        limiter.is_known(Instant::from_secs(secs), &mut Load::new(), &source)
    };
    assert!(!is_known(&mut limiter, 0, 1), "there was no key yet");
    for number in [1, 2, 3, 1, 4] {
        limiter.learn(Instant::ZERO, addr(number));
    }
    let known: vec::Vec<u8> = (0..9).filter(|n| is_known(&mut limiter, 0, *n)).collect();
    assert_eq!(known, [1, 3, 4], "2 was not heard of for longest");
    limiter.learn(Instant::ZERO, addr(3));
    assert!(!is_known(&mut limiter, 3, 3), "it rests, whatever it does");
    assert!(is_known(&mut limiter, 5, 3));
}

#[test]
fn no_memory_at_all_refuses() {
    with_blocks(0, |allow| assert!(!allow(Instant::ZERO, "10.0.0.1")));
}

#[cfg(feature = "alloc")]
#[test]
fn a_growing_table_grows_once() {
    let mut limiter = RateLimiter::new(Table::growing(|| Block::BLANK));
    let mut load = Load::new();
    load.budget = u16::MAX;
    for source in 0..100_000_u32 {
        let source = IpAddr::from(source.to_be_bytes());
        limiter.allow(Instant::ZERO, &mut Fixed(7), &mut load, source, Work::Initiation);
    }
    assert_eq!(limiter.blocks.len(), GROWN);
    let used = |block| limiter.blocks.get(block).unwrap().sender.source != 0;
    assert!((0..GROWN).all(used), "every place is used");
}

#[test]
fn sources_spread_over_the_blocks_by_the_key() {
    let block_of = |key: u8| {
        let mut blocks = [Block::BLANK; 5];
        let mut limiter = RateLimiter::new(Table::Borrowed(&mut blocks));
        limiter.seed(&mut Fixed(key));
        let homes: vec::Vec<u32> =
            (0..1000).map(|source| limiter.source(Network::V4(source)).unwrap().home).collect();
        let mut used = [0; 5];
        for home in &homes {
            used[*home as usize] += 1;
        }
        assert!(used.iter().all(|used| (150..250).contains(used)), "{used:?}");
        homes
    };
    assert_ne!(block_of(1), block_of(2));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Three sources always have a place each, so the limiter is three token buckets.
    #[test]
    fn token_buckets_agree(
        blocks in 3..6_usize,
        messages in prop::collection::vec(
            (0..3_u8, prop_oneof![3 => 0..3_000_u64, 1 => 0..300_000_u64]),
            1..300,
        ),
    ) {
        with_blocks(blocks, |allow| {
            let mut tokens: HashMap<u8, (u64, u64)> = HashMap::new();
            let mut now = 0;
            for (source, wait) in messages {
                now += wait;
                let (left, since) = tokens.get(&source).copied().unwrap_or((250_000, now));
                let left = (left + now - since).min(250_000);
                let expected = left >= 50_000;
                tokens.insert(source, (if expected { left - 50_000 } else { left }, now));
                let source = format!("10.0.0.{source}");
                assert_eq!(allow(Instant::from_micros(now), &source), expected);
            }
        });
    }
}
