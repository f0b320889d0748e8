//! How many handshake messages one source may send while the device is under load
//! (whitepaper section 5.3).
//!
//! Asked only after a valid mac2, so that the source address is not a forged one.

use core::net::IpAddr;
use core::time::Duration;

use rand_core::CryptoRng;

use crate::constants::{SOURCE_BURST, SOURCE_MESSAGES_PER_SECOND};
use crate::crypto;
use crate::storage::Table;
use crate::time::Instant;

/// A message is paid for with this much of its source's time.
const COST: Duration = Duration::from_micros(1_000_000 / SOURCE_MESSAGES_PER_SECOND as u64);

/// How far ahead of the time a source may already have paid, and send once more.
const CREDIT: Duration = Duration::from_micros(COST.as_micros() as u64 * (SOURCE_BURST as u64 - 1));

/// The sources that share a place. A source beyond them has to wait.
const BUCKET: u32 = 8;

/// The least number of entries where there is a heap.
const GROWN: u32 = 1024;

/// One source, by the generic cell rate algorithm: the time up to which it has paid says all.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    source: u64,
    /// Never, or not in the future: the source is as good as new, and the entry anybody's.
    paid_until: Option<Instant>,
}

const _: () = assert!(size_of::<Entry>() == 16);

impl Entry {
    pub(crate) const IDLE: Self = Self { source: 0, paid_until: None };
}

/// The sources that sent lately, in buckets of 8 chosen by a keyed hash.
///
/// Entries become idle by themselves within `SOURCE_BURST / SOURCE_MESSAGES_PER_SECOND`
/// seconds, so nothing has to sweep them.
pub(crate) struct RateLimiter<'a> {
    entries: Table<'a, Entry>,
    /// Nobody can choose sources that fill the bucket of another one.
    hash_key: Option<[u8; 16]>,
}

impl<'a> RateLimiter<'a> {
    /// A limiter over idle entries, at least 8 of them or a table that grows.
    pub(crate) const fn new(entries: Table<'a, Entry>) -> Self {
        Self { entries, hash_key: None }
    }

    /// Counts a message, and says whether it is within what its source may send. One that is
    /// not costs the source nothing. Looks at 8 entries.
    pub(crate) fn allow(&mut self, now: Instant, rng: &mut dyn CryptoRng, source: IpAddr) -> bool {
        let source = source_of(source);
        let first = self.bucket(rng, source);
        let bucket = first..first.saturating_add(BUCKET);
        let entry = |slot: &u32| self.entries.get(*slot);
        let is_known = |slot: &u32| entry(slot).is_some_and(|entry| entry.source == source);
        let is_idle = |slot: &u32| entry(slot).is_some_and(|entry| entry.paid_until <= Some(now));
        let slot = bucket.clone().find(is_known).or_else(|| bucket.clone().find(is_idle));
        let Some(entry) = slot.and_then(|slot| self.entries.get_mut(slot)) else { return false };

        if entry.source != source {
            *entry = Entry { source, ..Entry::IDLE };
        }
        let paid_until = entry.paid_until.map_or(now, |until| until.max(now));
        if paid_until > now.saturating_add(CREDIT) {
            return false;
        }
        entry.paid_until = Some(paid_until.saturating_add(COST));
        true
    }

    /// The first entry of the source's bucket.
    fn bucket(&mut self, rng: &mut dyn CryptoRng, source: u64) -> u32 {
        while self.entries.len() < GROWN && self.entries.grow() {}
        let key = self.hash_key.get_or_insert_with(|| {
            let mut key = [0; 16];
            rng.fill_bytes(&mut key);
            key
        });
        let [a, b, c, d, ..] = crypto::mac(key, &[&source.to_le_bytes()]);
        let buckets = self.entries.len() / BUCKET;
        let bucket = (u64::from(u32::from_le_bytes([a, b, c, d])) * u64::from(buckets)) >> 32;
        (bucket as u32).saturating_mul(BUCKET)
    }
}

/// An IPv4 address, however it is written, or the /64 of an IPv6 address.
///
/// IPv4 addresses take the place of multicast networks, from which nothing comes.
fn source_of(addr: IpAddr) -> u64 {
    match addr.to_canonical() {
        IpAddr::V4(addr) => 0xffff_ffff << 32 | u64::from(addr.to_bits()),
        IpAddr::V6(addr) => (addr.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use core::convert::Infallible;
    use proptest::prelude::*;
    use rand_core::{TryCryptoRng, TryRng};
    use std::collections::HashMap;
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

    /// Runs a test with as many buckets.
    fn with_buckets(buckets: usize, test: impl FnOnce(&mut dyn FnMut(Instant, &str) -> bool)) {
        let mut entries = vec![[Entry::IDLE; BUCKET as usize]; buckets];
        let mut limiter = RateLimiter::new(Table::Borrowed(entries.as_flattened_mut()));
        test(&mut |now, source| limiter.allow(now, &mut Fixed(7), source.parse().unwrap()));
    }

    #[test]
    fn five_at_once_and_then_one_every_fifty_milliseconds() {
        with_buckets(1, |allow| {
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
        with_buckets(1, |allow| {
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
        with_buckets(1, |allow| {
            for message in 0..10_000 {
                assert!(allow(Instant::from_millis(message * 50), "10.0.0.1"));
            }
        });
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_slash_64() {
        with_buckets(1, |allow| {
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
    fn a_full_bucket_refuses_new_sources_until_one_is_idle() {
        with_buckets(1, |allow| {
            let at = Instant::from_micros;
            for source in 0..8 {
                assert!(allow(at(1_000 * source), &std::format!("10.0.0.{source}")));
            }
            assert!(!allow(at(7_000), "10.0.0.8"));
            assert!(allow(at(7_000), "10.0.0.7"), "those inside go on");
            assert!(!allow(at(49_999), "10.0.0.8"));
            assert!(allow(at(50_000), "10.0.0.8"), "10.0.0.0 is idle");
            assert!(!allow(at(50_000), "10.0.0.0"));
        });
    }

    #[test]
    fn no_entries_at_all_refuse() {
        with_buckets(0, |allow| assert!(!allow(Instant::ZERO, "10.0.0.1")));
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn a_growing_table_grows_once() {
        let mut limiter = RateLimiter::new(Table::growing(|| Entry::IDLE));
        let mut allow = |source: u32| {
            limiter.allow(Instant::ZERO, &mut Fixed(7), IpAddr::from(source.to_be_bytes()))
        };
        let allowed = (0..100_000).filter(|source| allow(*source)).count();
        assert_eq!(allowed, GROWN as usize, "every entry is used, and no more are made");
    }

    #[test]
    fn sources_spread_over_the_buckets_by_the_key() {
        let bucket_of = |key: u8| {
            let mut entries = [[Entry::IDLE; 8]; 5];
            let mut limiter = RateLimiter::new(Table::Borrowed(entries.as_flattened_mut()));
            let mut used = [0; 5];
            let buckets: vec::Vec<u32> =
                (0..1000).map(|source| limiter.bucket(&mut Fixed(key), source) / 8).collect();
            for bucket in &buckets {
                used[*bucket as usize] += 1;
            }
            assert!(used.iter().all(|used| (150..250).contains(used)), "{used:?}");
            buckets
        };
        assert_ne!(bucket_of(1), bucket_of(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Six sources always have a place each, so the limiter is six token buckets.
        #[test]
        fn token_buckets_agree(
            buckets in 1..4_usize,
            messages in prop::collection::vec(
                (0..6_u8, prop_oneof![3 => 0..3_000_u64, 1 => 0..300_000_u64]),
                1..300,
            ),
        ) {
            with_buckets(buckets, |allow| {
                let mut tokens: HashMap<u8, (u64, u64)> = HashMap::new();
                let mut now = 0;
                for (source, wait) in messages {
                    now += wait;
                    let (left, since) = tokens.get(&source).copied().unwrap_or((250_000, now));
                    let left = (left + now - since).min(250_000);
                    let expected = left >= 50_000;
                    tokens.insert(source, (if expected { left - 50_000 } else { left }, now));
                    let source = std::format!("10.0.0.{source}");
                    assert_eq!(allow(Instant::from_micros(now), &source), expected);
                }
            });
        }
    }
}
