//! What touches a register.

use core::time::Duration;

use esp_hal::rng::{Trng, TrngError};
use esp_hal::rtc_cntl::Rtc;
use wg_nal::{Implausible, plausible};

use crate::entropy::Entropy;

/// The chip's random generator, fed by `source`: a `TrngSource` of esp-hal, or the
/// `WifiController` of esp-radio, or a borrow of either.
///
/// # Errors
/// No source is active: start the radio, or make a `TrngSource`, before.
pub fn trng<S>(source: S) -> Result<Entropy<Trng, S>, TrngError> {
    Ok(Entropy::new(Trng::try_new()?, source))
}

/// The time of day that the chip's RTC has, or `None` while nobody set it. It goes on over deep
/// sleep and a reset, not over a power cut.
pub fn unix_time(rtc: &Rtc<'_>) -> Option<Duration> {
    plausible(Duration::from_micros(rtc.current_time_us()))
}

/// Sets the RTC, to what `Sntp` of wg-nal answered, say.
///
/// # Errors
/// The time is one of a clock that was never set. Nothing is changed then.
pub fn set_unix_time(rtc: &Rtc<'_>, unix_time: Duration) -> Result<(), Implausible> {
    let unix_time = plausible(unix_time).ok_or(Implausible(unix_time))?;
    // A plausible time is before 2200: its microseconds fit.
    rtc.set_current_time_us(unix_time.as_micros().try_into().unwrap_or(u64::MAX));
    Ok(())
}
