//! Time: one that never steps back, for keys, and the time of day, for handshakes.

use core::fmt::Display;
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use embassy_futures::block_on;
use wg_core::{Increasing, Instant, Tai64nClock};
use wg_nal::{Persistent, Standing, Store, Timestamps, plausible};

/// Now: microseconds since some start, time asleep included.
pub fn now() -> Instant {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let now = clock_gettime(ClockId::Boottime);
        let secs = u64::try_from(now.tv_sec).unwrap_or(0);
        let micros = u64::try_from(now.tv_nsec).unwrap_or(0) / 1000;
        Instant::from_micros(secs.saturating_mul(1_000_000).saturating_add(micros))
    }
    // ESP-IDF's monotonic clock is esp_timer, which is corrected after light sleep.
    #[cfg(not(target_os = "linux"))]
    {
        static START: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        Instant::ZERO.saturating_add(START.elapsed())
    }
}

/// A clock for handshakes that goes on over a reboot, with SNTP or without it.
///
/// It keeps in `store` how far it may have come: `NvsStore` on a chip, wg-nal's `FileStore`
/// on a host. The time of day, once SNTP has set it, lifts it. [`Persistent`] says what it does
/// when the store or SNTP fails, and how often it writes: 0.76 times a day for a peer in use,
/// 18 times while nobody answers, and once at each boot.
///
/// The tunnel's thread reads and writes the store, between packets.
pub fn kept_clock<S: Store>(store: S) -> Persistent<fn() -> Option<Duration>, S> {
    Persistent::new(time_of_day, store)
}

/// A clock for handshakes that is set by SNTP, where nothing can be kept.
///
/// Until then handshakes wait, and the tunnel's status says `ClockNotSet`. It is set when the
/// time of day is 2025 or later. After a reboot it waits for SNTP again.
pub fn sntp_clock() -> Increasing<fn() -> Option<Duration>> {
    Increasing::new(|| time_of_day().and_then(plausible), None)
}

fn time_of_day() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}

/// A clock of timestamps, whatever it keeps them in.
pub(crate) trait Clock: Tai64nClock + Send {
    /// Whether to reserve before long.
    fn is_short(&self) -> bool;
    /// Reserves timestamps. Blocks as long as the memory takes.
    fn reserve(&mut self) -> Result<(), String>;
    fn standing(&self) -> Option<Standing>;
}

impl<T: Timestamps<Error: Display> + Send> Clock for T {
    fn is_short(&self) -> bool {
        Timestamps::is_short(self)
    }

    fn reserve(&mut self) -> Result<(), String> {
        block_on(Timestamps::reserve(self)).map_err(|error| error.to_string())
    }

    fn standing(&self) -> Option<Standing> {
        Timestamps::standing(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_forward_in_microseconds() {
        let before = now();
        std::thread::sleep(Duration::from_millis(2));
        let passed = now().saturating_since(before);
        assert!((Duration::from_millis(2)..Duration::from_secs(2)).contains(&passed), "{passed:?}");
    }
}
