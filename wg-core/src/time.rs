//! Monotonic time, always an argument.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

/// A point in monotonic time: microseconds since any origin, such as boot.
///
/// The clock behind it must never step back and must count time asleep, because the ages of
/// keys are measured with it. 64 bits of microseconds last for half a million years, so
/// nothing here wraps; sums stop at the greatest value instead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant {
    /// One more than the microseconds, so that `Option<Instant>` costs no more than an `Instant`.
    micros_plus_one: NonZeroU64,
}

impl Instant {
    /// The origin. An ordinary time: boards boot at it.
    pub const ZERO: Self = Self { micros_plus_one: NonZeroU64::MIN };
    /// The greatest instant.
    pub const MAX: Self = Self { micros_plus_one: NonZeroU64::MAX };

    /// Creates an instant from microseconds since the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros_plus_one: NonZeroU64::MIN.saturating_add(micros) }
    }

    /// Creates an instant from milliseconds since the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// Creates an instant from seconds since the origin.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.micros_plus_one.get() - 1
    }

    /// The time from `earlier` to `self`, zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        whole_seconds(self.micros_plus_one.get().saturating_sub(earlier.micros_plus_one.get()))
    }

    /// The instant `duration` later, or the greatest instant.
    #[inline(always)] // A constant duration becomes a number, and 96 bits less to pass.
    pub const fn saturating_add(self, duration: Duration) -> Self {
        self.later(whole_micros(duration))
    }

    #[cfg_attr(target_os = "none", inline(never))] // for flash, here and below
    const fn later(self, micros: u64) -> Self {
        Self { micros_plus_one: self.micros_plus_one.saturating_add(micros) }
    }

    /// Whether something that began at `birth` is `age` old or older. Inclusive, like every
    /// age test of the protocol.
    #[inline(always)]
    pub const fn has_reached(self, birth: Self, age: Duration) -> bool {
        self.has_passed(birth, whole_micros(age))
    }

    #[cfg_attr(target_os = "none", inline(never))]
    const fn has_passed(self, birth: Self, micros: u64) -> bool {
        birth.micros_plus_one.saturating_add(micros).get() <= self.micros_plus_one.get()
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.as_micros();
        write!(f, "{}.{:06}s", micros / 1_000_000, micros % 1_000_000)
    }
}

/// `Duration::as_micros` without its 128-bit result.
#[inline(always)]
const fn whole_micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros() as u64)
}

/// `Duration::from_micros` by divisions of 32 bits, which 32-bit processors have.
const fn whole_seconds(micros: u64) -> Duration {
    // A million is 2^6 times this.
    const DIVISOR: u32 = 15_625;
    let quotient = micros >> 6;
    let digits = [quotient >> 48, quotient >> 32, quotient >> 16, quotient];
    let (mut secs, mut rest, mut at) = (0_u64, 0_u32, 0);
    while at < digits.len() {
        rest = rest << 16 | digits[at] as u16 as u32;
        secs = secs << 16 | (rest / DIVISOR) as u64;
        rest %= DIVISOR;
        at += 1;
    }
    Duration::new(secs, (rest << 6 | micros as u32 & 63) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_reached_inclusively() {
        let birth = Instant::from_secs(7);
        let age = Duration::from_secs(120);
        assert!(!Instant::from_micros(126_999_999).has_reached(birth, age));
        assert!(Instant::from_micros(127_000_000).has_reached(birth, age));
    }

    #[test]
    fn the_time_between_two_instants_is_exact() {
        for bit in 0..64 {
            for micros in [1 << bit, (1 << bit) - 1, 999_999 << (bit % 44)] {
                let later = Instant::from_micros(micros);
                let expected = Duration::from_micros(later.as_micros());
                assert_eq!(later.saturating_since(Instant::ZERO), expected, "{micros}");
            }
        }
    }

    #[test]
    fn nothing_wraps_at_either_end() {
        let end = Instant::from_micros(u64::MAX);
        assert_eq!(end, Instant::MAX);
        assert_eq!(Instant::from_micros(u64::MAX - 1).as_micros(), u64::MAX - 1);
        assert_eq!(end.saturating_add(Duration::MAX), end);
        assert_eq!(Instant::from_secs(u64::MAX), end);
        assert_eq!(Instant::ZERO.saturating_since(end), Duration::ZERO);
    }
}
