//! The time of day, where the board comes to know it.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;

use wg_core::Instant;

/// 2025-01-01. A clock that says less was never set: most start at 1970, 2000 or 2020.
pub(super) const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
/// 2200-01-01. A clock that says more has garbage in its registers.
pub(super) const LATEST: Duration = Duration::from_secs(7_258_118_400);

/// A Unix time, unless it is one that a clock says which was never set: before 2025, or after
/// 2199.
///
/// So a real-time clock is a source of time for [`Persistent`](crate::Persistent) by itself,
/// and for [`Increasing`](wg_core::Increasing) through this:
///
/// ```
/// use core::time::Duration;
/// use wg_nal::plausible;
/// use wg_nal::wg_core::{ClockUnavailable, Increasing, Tai64nClock};
///
/// # struct Rtc(u64);
/// # impl Rtc { fn current_time_us(&self) -> u64 { self.0 } }
/// # let rtc = Rtc(7_000_000);
/// let mut clock = Increasing::new(|| plausible(Duration::from_micros(rtc.current_time_us())), None);
/// // Seven seconds after power-on it has not been set yet.
/// assert_eq!(clock.next(), Err(ClockUnavailable::NotSet));
/// ```
pub fn plausible(unix_time: Duration) -> Option<Duration> {
    (EARLIEST..LATEST).contains(&unix_time).then_some(unix_time)
}

/// The time of day as it was last told, carried on by monotonic time.
///
/// One task tells it, such as `Sntp` or the reader of a real-time clock on a
/// bus; another asks. It is a `Cell`, so both are on one executor:
///
/// ```
/// # use core::time::Duration;
/// # use wg_nal::{Record, Store};
/// # struct Flash;
/// # impl Store for Flash {
/// #     type Error = ();
/// #     async fn load(&mut self, _: Record, _: &mut [u8]) -> Result<bool, ()> { Ok(false) }
/// #     async fn save(&mut self, _: Record, _: &[u8]) -> Result<(), ()> { Ok(()) }
/// # }
/// # let store = Flash;
/// # fn now() -> wg_nal::wg_core::Instant { wg_nal::wg_core::Instant::ZERO }
/// use wg_nal::{Persistent, WallClock};
///
/// let wall = WallClock::new();
/// let timestamps = Persistent::new(|| wall.unix_time(now()), store);
/// ```
#[derive(Debug)]
pub struct WallClock {
    told: Cell<Option<(Instant, Duration)>>,
}

impl WallClock {
    /// A clock that nobody has told the time.
    pub const fn new() -> Self {
        Self { told: Cell::new(None) }
    }

    /// Tells that it is `unix_time` at `now`. What was told before is forgotten, also when it
    /// was later.
    ///
    /// # Errors
    ///
    /// [`Implausible`], for a time that is not [`plausible`]; then nothing changes.
    pub fn set(&self, now: Instant, unix_time: Duration) -> Result<(), Implausible> {
        let unix_time = plausible(unix_time).ok_or(Implausible(unix_time))?;
        self.told.set(Some((now, unix_time)));
        Ok(())
    }

    /// The Unix time at `now`, or `None` while nobody has told it.
    pub fn unix_time(&self, now: Instant) -> Option<Duration> {
        let (then, unix_time) = self.told.get()?;
        Some(unix_time.saturating_add(now.saturating_since(then)))
    }
}

/// This Unix time is of a clock that was never set: before 2025, or after 2199.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Implausible(
    /// The time as it was told.
    pub Duration,
);

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        write!(f, "{secs} s since 1970 is not between 2025 and 2199: the clock was never set")
    }
}

impl core::error::Error for Implausible {}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn the_time_goes_on_from_what_was_told_last() {
        let wall = WallClock::new();
        assert_eq!(wall.unix_time(Instant::from_secs(5)), None);
        wall.set(Instant::from_secs(5), TODAY).unwrap();
        assert_eq!(
            wall.unix_time(Instant::from_micros(8_000_001)),
            Some(TODAY + Duration::from_micros(3_000_001))
        );
        let back = TODAY - Duration::from_secs(3_600);
        wall.set(Instant::from_secs(9), back).unwrap();
        assert_eq!(wall.unix_time(Instant::from_secs(9)), Some(back));
    }

    #[test]
    fn times_of_clocks_that_were_never_set_are_refused_and_change_nothing() {
        let wall = WallClock::new();
        wall.set(Instant::ZERO, TODAY).unwrap();
        let year_2000 = Duration::from_secs(946_684_800);
        for time in
            [Duration::ZERO, year_2000, EARLIEST - Duration::from_nanos(1), LATEST, Duration::MAX]
        {
            assert_eq!(wall.set(Instant::ZERO, time), Err(Implausible(time)));
            assert_eq!(plausible(time), None);
        }
        assert_eq!(wall.unix_time(Instant::ZERO), Some(TODAY));
        assert_eq!(plausible(EARLIEST), Some(EARLIEST));
    }
}
