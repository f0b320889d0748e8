//! Timestamps of initiations (whitepaper section 5.1), and the clock they come from.

use core::fmt;
use core::time::Duration;

/// The TAI64 label of 1970-01-01 00:00:00 UTC: 2^62, and the 10 s by which TAI was ahead.
///
/// Leap seconds after 1970 are left out, as in every WireGuard: only the order counts.
const UNIX_EPOCH: u64 = (1 << 62) + 10;
/// The step of a stamp in nanoseconds. Finer steps would show a peer our clock so precisely
/// that it could be used to time what we do.
const STEP: u32 = 1 << 24;
const NANOS_PER_SEC: u32 = 1_000_000_000;

/// A TAI64N timestamp as it is sent: 8 bytes of seconds and 4 of nanoseconds, big-endian.
///
/// Stamps compare as their bytes do. `Display` prints the usual `@` and 24 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tai64n([u8; 12]);

impl Tai64n {
    /// Before all others. Nobody is heard who says it.
    pub(crate) const ZERO: Self = Self([0; 12]);

    /// The stamp of a Unix time, its nanoseconds rounded down to a multiple of 2^24.
    ///
    /// `nanos` of a second or more count as seconds. A time after the greatest stamp gets the
    /// greatest stamp.
    pub const fn from_unix(secs: u64, nanos: u32) -> Self {
        let (secs, nanos) = carry(UNIX_EPOCH.saturating_add(secs), nanos);
        Self::from_label(secs, nanos & !(STEP - 1))
    }

    /// The Unix time in seconds and nanoseconds, or `None` for a stamp before 1970.
    pub const fn to_unix(self) -> Option<(u64, u32)> {
        let (secs, nanos) = self.label();
        match secs.checked_sub(UNIX_EPOCH) {
            Some(secs) => Some((secs, nanos)),
            None => None,
        }
    }

    /// The next stamp that is at least 2^24 ns later, or the greatest stamp.
    pub const fn successor(self) -> Self {
        let (secs, nanos) = self.label();
        let (secs, nanos) = carry(secs, nanos.saturating_add(STEP));
        // Only a stamp that somebody else made is not a multiple of the step already.
        let nanos = nanos.saturating_add(STEP - 1) & !(STEP - 1);
        if nanos < NANOS_PER_SEC {
            Self::from_label(secs, nanos)
        } else {
            Self::from_label(secs.saturating_add(1), 0)
        }
    }

    /// Takes the 12 bytes of a stamp, whatever they hold.
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The 12 bytes as they are sent.
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    const fn from_label(secs: u64, nanos: u32) -> Self {
        let [a, b, c, d, e, f, g, h] = secs.to_be_bytes();
        let [i, j, k, l] = nanos.to_be_bytes();
        Self([a, b, c, d, e, f, g, h, i, j, k, l])
    }

    /// Seconds and nanoseconds, below a second of them.
    const fn label(self) -> (u64, u32) {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.0;
        let secs = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        carry(secs, u32::from_be_bytes([i, j, k, l]))
    }
}

/// Moves whole seconds out of `nanos`.
const fn carry(secs: u64, nanos: u32) -> (u64, u32) {
    (secs.saturating_add((nanos / NANOS_PER_SEC) as u64), nanos % NANOS_PER_SEC)
}

#[cfg(feature = "defmt")]
impl defmt::Format for Tai64n {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

impl fmt::Display for Tai64n {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("@")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Tai64n {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tai64n({self})")
    }
}

/// The source of timestamps for initiations.
///
/// A peer refuses an initiation whose stamp is not greater than the greatest it has accepted
/// from us, and it remembers that over our reboots. Hence the contract:
///
/// - each answer is at least 2^24 ns after the one before, also when the wall clock steps back
///   and also when the one before was given before a reboot;
/// - the call is synchronous and bounded: what must be written to survive a reboot is written
///   before, in ranges;
/// - it is asked exactly once for each initiation that is actually built, so an answer is
///   never taken and thrown away.
///
/// [`Increasing`] keeps the first rule within one boot.
pub trait Tai64nClock {
    /// A stamp greater than every one before.
    ///
    /// # Errors
    /// Why there is none at the moment. The initiation is not sent, and asked for again after 5 s.
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable>;
}

impl<C: Tai64nClock + ?Sized> Tai64nClock for &mut C {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        (**self).next()
    }
}

/// Why a clock has no timestamp to give. The handshake waits, and is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClockUnavailable {
    /// The time of day is not known yet.
    NotSet,
    /// All stamps reserved in lasting memory are used up.
    Reserve,
}

impl fmt::Display for ClockUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSet => "the time of day is not known yet, so no handshake can be stamped",
            Self::Reserve => "the timestamps reserved in lasting memory are used up",
        })
    }
}

impl core::error::Error for ClockUnavailable {}

/// Makes a strictly increasing clock from a source of Unix time that may step back.
///
/// Each answer is the time of day, or 2^24 ns after the last answer where that is later. Only
/// the last answer is remembered, in RAM: a clock that steps back over a reboot needs `last`
/// from lasting memory.
///
/// ```
/// use core::time::Duration;
/// use wg_core::{Increasing, Tai64nClock};
///
/// let mut clock = Increasing::new(|| Some(Duration::from_secs(1_700_000_000)), None);
/// assert!(clock.next().unwrap() < clock.next().unwrap());
/// ```
#[derive(Clone, Debug)]
pub struct Increasing<F> {
    unix_time: F,
    last: Option<Tai64n>,
}

impl<F: FnMut() -> Option<Duration>> Increasing<F> {
    /// A clock over `unix_time`, which answers the time since 1970 or `None` while it is not
    /// known. Every answer is later than `last`, a stamp kept from an earlier boot.
    pub const fn new(unix_time: F, last: Option<Tai64n>) -> Self {
        Self { unix_time, last }
    }

    /// The greatest stamp given so far, to be kept over a reboot.
    pub const fn last(&self) -> Option<Tai64n> {
        self.last
    }
}

impl<F: FnMut() -> Option<Duration>> Tai64nClock for Increasing<F> {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        let now = (self.unix_time)().ok_or(ClockUnavailable::NotSet)?;
        let now = Tai64n::from_unix(now.as_secs(), now.subsec_nanos());
        let next = self.last.map_or(now, |last| now.max(last.successor()));
        // Only at the very end of the scale is there no later stamp.
        if self.last.is_some_and(|last| next <= last) {
            return Err(ClockUnavailable::Reserve);
        }
        self.last = Some(next);
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::cell::Cell;
    use std::format;

    use super::*;

    /// Nanoseconds of a stamp on one scale.
    fn nanos(stamp: Tai64n) -> u128 {
        let (secs, nanos) = stamp.label();
        u128::from(secs) * 1_000_000_000 + u128::from(nanos)
    }

    #[test]
    fn a_unix_time_has_exactly_these_bytes() {
        for (secs, nanos, bytes) in [
            (0, 0, [0x40, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0]),
            (0, 0x00ff_ffff, [0x40, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0]),
            (0, 0x0100_0000, [0x40, 0, 0, 0, 0, 0, 0, 0x0a, 1, 0, 0, 0]),
            (1_700_000_000, 999_999_999, [0x40, 0, 0, 0, 0x65, 0x53, 0xf1, 0x0a, 0x3b, 0, 0, 0]),
            (1 << 32, 1, [0x40, 0, 0, 1, 0, 0, 0, 0x0a, 0, 0, 0, 0]),
            // Nanoseconds beyond a second are seconds.
            (0, 3_000_000_000, [0x40, 0, 0, 0, 0, 0, 0, 0x0d, 0, 0, 0, 0]),
            (u64::MAX, 0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ] {
            assert_eq!(Tai64n::from_unix(secs, nanos).as_bytes(), &bytes, "{secs} {nanos}");
        }
    }

    #[test]
    fn unix_time_comes_back_without_the_fine_nanoseconds() {
        assert_eq!(Tai64n::from_unix(5, 0x0512_3456).to_unix(), Some((5, 0x0500_0000)));
        assert_eq!(Tai64n::from_bytes([0; 12]).to_unix(), None);
        assert_eq!(Tai64n::from_bytes([0xff; 12]).to_unix().unwrap().1, 294_967_295);
    }

    #[test]
    fn stamps_order_as_their_bytes_and_as_time() {
        let mut times = [(0, 0), (0, STEP), (1, 0), (255, 900_000_000), (256, 0), (1 << 40, 7)];
        times.sort_unstable();
        for pair in times.windows(2) {
            let [earlier, later] = [0, 1].map(|i| Tai64n::from_unix(pair[i].0, pair[i].1));
            assert!(earlier < later && earlier.as_bytes() < later.as_bytes());
        }
    }

    #[test]
    fn a_successor_is_the_first_whole_step_at_least_one_step_later() {
        let from_label = |nanos| Tai64n::from_label(UNIX_EPOCH, nanos);
        let mut nanos_of_interest: std::vec::Vec<u32> = (0..256).map(|n| n * STEP).collect();
        for edge in nanos_of_interest.clone() {
            nanos_of_interest.extend([edge.wrapping_sub(1), edge + 1, edge + 12_345]);
        }
        nanos_of_interest.extend([NANOS_PER_SEC - 1, NANOS_PER_SEC, NANOS_PER_SEC + 1, u32::MAX]);
        for stamp in nanos_of_interest.into_iter().map(from_label) {
            let first = (0..7)
                .flat_map(|sec| {
                    (0..60).map(move |n| Tai64n::from_label(UNIX_EPOCH + sec, n * STEP))
                })
                .find(|next| nanos(*next) >= nanos(stamp) + u128::from(STEP))
                .unwrap();
            assert_eq!(stamp.successor(), first, "{stamp}");
            assert!(first > stamp, "{stamp}");
        }
        assert_eq!(Tai64n::from_unix(9, 0).successor(), Tai64n::from_unix(9, STEP));
        // 989855744 ns is the last step of a second; the next second itself is too near.
        let last_step = Tai64n::from_unix(9, 999_999_999);
        assert_eq!(last_step.successor(), Tai64n::from_unix(10, STEP));
    }

    #[test]
    fn a_clock_that_stands_or_steps_back_still_gives_increasing_stamps() {
        let now = Cell::new(Some(Duration::from_secs(1_000)));
        let mut clock = Increasing::new(|| now.get(), None);
        assert_eq!(clock.last(), None);
        let mut last = clock.next().unwrap();
        assert_eq!(last, Tai64n::from_unix(1_000, 0));
        for time in [1_000, 1_000, 3, 0, 999] {
            now.set(Some(Duration::from_secs(time)));
            let next = clock.next().unwrap();
            assert!(nanos(next) - nanos(last) >= u128::from(STEP));
            last = next;
        }
        assert_eq!(last, Tai64n::from_unix(1_000, 5 * STEP));
        now.set(Some(Duration::from_secs(2_000)));
        assert_eq!(clock.next(), Ok(Tai64n::from_unix(2_000, 0)));
        assert_eq!(clock.last(), Some(Tai64n::from_unix(2_000, 0)));
    }

    #[test]
    fn a_clock_seeded_with_a_kept_stamp_starts_after_it() {
        let kept = Tai64n::from_unix(5_000, 0);
        let mut clock = Increasing::new(|| Some(Duration::from_secs(1)), Some(kept));
        assert_eq!(clock.next(), Ok(kept.successor()));
    }

    #[test]
    fn a_clock_without_time_says_so_and_keeps_its_last_stamp() {
        let kept = Tai64n::from_unix(5_000, 0);
        let mut clock = Increasing::new(|| None, Some(kept));
        let borrowed: &mut dyn Tai64nClock = &mut clock;
        assert_eq!(borrowed.next(), Err(ClockUnavailable::NotSet));
        assert_eq!(clock.last(), Some(kept));
    }

    #[test]
    fn the_end_of_the_scale_is_an_error_and_not_a_repetition() {
        let end = Tai64n::from_bytes([0xff; 12]);
        let mut clock = Increasing::new(|| Some(Duration::MAX), Some(end));
        assert_eq!(clock.next(), Err(ClockUnavailable::Reserve));
        let mut clock = Increasing::new(|| Some(Duration::MAX), None);
        let answers = (0..200).map_while(|_| clock.next().ok());
        assert!(answers.is_sorted_by(|a, b| a < b));
        assert_eq!(clock.next(), Err(ClockUnavailable::Reserve));
    }

    #[test]
    fn stamps_print_in_the_external_format() {
        let stamp = Tai64n::from_unix(0x25c2_19b5, 0x2ef0_2e94);
        assert_eq!(format!("{stamp}"), "@4000000025c219bf2e000000");
        assert_eq!(format!("{stamp:?}"), "Tai64n(@4000000025c219bf2e000000)");
    }
}
