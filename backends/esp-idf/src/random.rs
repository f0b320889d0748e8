//! The random numbers of a tunnel.

use core::convert::Infallible;
use core::fmt;
use core::time::Duration;

use getrandom::SysRng;
use log::warn;
use wg_core::Instant;
use wg_core::rand_core::{CryptoRng, TryCryptoRng, TryRng};
use wg_nal::{Drbg, SeedError};

use crate::clock::now;
use crate::error::Error;

/// Between two seeds.
const INTERVAL: Duration = Duration::from_secs(3600);

/// A random source for `Tunnel::start`: wg-nal's [`Drbg`], seeded by the hardware's, and again
/// every hour in which it is used.
///
/// # The rule about entropy
///
/// On ESP-IDF the hardware's numbers are truly random only while Wi-Fi or Bluetooth is on, or
/// between `bootloader_random_enable` and `bootloader_random_disable`. Before, they may be the
/// same after each boot, and nothing can tell: so call this, and `Tunnel::begin`, after
/// `esp_wifi_start`. On a board with Ethernet alone put the two calls of the bootloader around it.
/// Without a radio no later seed is any better than the first; it is not worse either.
///
/// It is wiped when it is dropped.
///
/// # Errors
/// [`Error::Random`]: the source fails, or repeats itself. Nobody gets a key from a guess. A
/// source that fails later is a line in the log, an hour apart, and the generator goes on.
pub fn random() -> Result<impl CryptoRng + Send + use<>, Error> {
    Reseeded::new(SysRng, now).map_err(Error::Random)
}

/// A generator that asks its source again when the last seed is old.
struct Reseeded<S> {
    drbg: Drbg,
    source: S,
    time: fn() -> Instant,
    next: Instant,
}

impl<S: TryCryptoRng<Error: fmt::Display>> Reseeded<S> {
    fn new(mut source: S, time: fn() -> Instant) -> Result<Self, SeedError<S::Error>> {
        let drbg = Drbg::try_new(&mut source)?;
        Ok(Self { drbg, source, time, next: time().saturating_add(INTERVAL) })
    }

    fn drbg(&mut self) -> &mut Drbg {
        let now = (self.time)();
        if now >= self.next {
            self.next = now.saturating_add(INTERVAL);
            if let Err(error) = self.drbg.try_reseed(&mut self.source) {
                warn!("no new seed, so the random numbers go on from the last one: {error}");
            }
        }
        &mut self.drbg
    }
}

impl<S: TryCryptoRng<Error: fmt::Display>> TryRng for Reseeded<S> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.drbg().try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.drbg().try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.drbg().try_fill_bytes(bytes)
    }
}

impl<S: TryCryptoRng<Error: fmt::Display>> TryCryptoRng for Reseeded<S> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chacha20::ChaCha20Rng;
    use chacha20::rand_core::SeedableRng;
    use wg_core::rand_core::Rng;

    use super::*;

    thread_local! {
        static HOUR: Cell<u64> = const { Cell::new(0) };
        static ASKED: Cell<u32> = const { Cell::new(0) };
        static FAILS: Cell<bool> = const { Cell::new(false) };
    }

    fn time() -> Instant {
        Instant::from_secs(HOUR.get() * 3600)
    }

    /// A source that counts, and fails on demand.
    struct Source(ChaCha20Rng);

    impl Source {
        fn new() -> Self {
            Self(ChaCha20Rng::from_seed([3; 32]))
        }
    }

    impl TryRng for Source {
        type Error = fmt::Error;

        fn try_next_u32(&mut self) -> Result<u32, fmt::Error> {
            Err(fmt::Error)
        }

        fn try_next_u64(&mut self) -> Result<u64, fmt::Error> {
            Err(fmt::Error)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), fmt::Error> {
            ASKED.set(ASKED.get() + 1);
            if FAILS.get() {
                return Err(fmt::Error);
            }
            self.0.fill_bytes(bytes);
            Ok(())
        }
    }

    impl TryCryptoRng for Source {}

    #[test]
    fn it_is_seeded_again_each_hour_in_which_it_is_used() {
        let mut rng = Reseeded::new(Source::new(), time).unwrap();
        let mut never_again = Reseeded::new(Source::new(), time).unwrap();
        never_again.next = Instant::MAX;
        assert_eq!((rng.next_u64(), ASKED.get()), (never_again.next_u64(), 2));
        HOUR.set(7);
        assert_ne!(rng.next_u64(), never_again.next_u64());
        assert_ne!(rng.next_u64(), never_again.next_u64());
        assert_eq!(ASKED.get(), 3);
    }

    #[test]
    fn a_source_that_fails_is_an_error_first_and_a_line_in_the_log_later() {
        FAILS.set(true);
        assert_eq!(Reseeded::new(Source::new(), time).err(), Some(SeedError::Source(fmt::Error)));
        FAILS.set(false);
        let mut rng = Reseeded::new(Source::new(), time).unwrap();
        FAILS.set(true);
        HOUR.set(1);
        let asked = ASKED.get();
        let numbers: Vec<_> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(ASKED.get() - asked, 1, "once an hour");
        assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2]);
    }
}
