//! Time: one that never steps back, for keys, and the time of day, for handshakes.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use wg_core::{Increasing, Instant};

/// The start of 2025: a clock that says less has not been set. A board boots in 1970.
const SET_SINCE: Duration = Duration::from_secs(1_735_689_600);

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

/// A clock for handshakes that is set by SNTP.
///
/// Until then handshakes wait, and the tunnel's status says `ClockNotSet`. It is set when the
/// time of day is 2025 or later. Nothing is kept over a reboot: a peer that saw a later time
/// refuses us until SNTP has set the clock again, which it does before the first handshake.
pub fn sntp_clock() -> Increasing<fn() -> Option<Duration>> {
    Increasing::new(time_of_day, None)
}

fn time_of_day() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().filter(|now| *now >= SET_SINCE)
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
