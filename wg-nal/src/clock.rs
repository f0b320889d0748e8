//! Timestamps of handshakes that rise over every reboot, and the time of day where there is one.

// As in `store`: firmware's futures stay on their core.
#![allow(async_fn_in_trait)]

mod persistent;
#[cfg(feature = "sntp")]
mod sntp;
#[cfg(all(feature = "sntp", feature = "embedded-nal-async"))]
mod sntp_socket;
mod wall;

use core::convert::Infallible;
use core::time::Duration;

#[cfg(feature = "flash")]
pub use persistent::FlashClock;
pub use persistent::{Persistent, ReserveError, Standing};
#[cfg(feature = "sntp")]
pub use sntp::{Sntp, SntpError};
#[cfg(all(feature = "sntp", feature = "embedded-nal-async"))]
pub use sntp_socket::SntpSocket;
pub use wall::{Implausible, WallClock, plausible};

use wg_core::{Increasing, Tai64nClock};

/// A clock of timestamps that takes them from a range reserved in lasting memory.
///
/// `next` is synchronous, so somebody else writes to the memory: a runner calls
/// [`Self::reserve`] once at its start, and again whenever it took a timestamp and
/// [`Self::is_short`] says so.
pub trait Timestamps: Tai64nClock {
    /// Why the memory failed.
    type Error: core::fmt::Debug;

    /// Whether [`Self::reserve`] should be called before long.
    fn is_short(&self) -> bool;

    /// Reserves more timestamps. Does nothing when none are needed.
    ///
    /// The future may be dropped at any point, and the power may go at any point: every
    /// timestamp given out is covered by what was in the memory before it was given out.
    ///
    /// # Errors
    ///
    /// The memory failed. What is left of the range can still be used; call again later.
    async fn reserve(&mut self) -> Result<(), Self::Error>;

    /// How the timestamps stand to the time of day, where the clock can say.
    fn standing(&self) -> Option<Standing> {
        None
    }
}

/// Remembers nothing over a reboot, so it is never short.
impl<F: FnMut() -> Option<Duration>> Timestamps for Increasing<F> {
    type Error = Infallible;

    fn is_short(&self) -> bool {
        false
    }

    async fn reserve(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<T: Timestamps> Timestamps for &mut T {
    type Error = T::Error;

    fn is_short(&self) -> bool {
        (**self).is_short()
    }

    async fn reserve(&mut self) -> Result<(), T::Error> {
        (**self).reserve().await
    }

    fn standing(&self) -> Option<Standing> {
        (**self).standing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_without_memory_is_never_short() {
        let mut clock = Increasing::new(|| Some(Duration::from_secs(1)), None);
        let borrowed = &mut &mut clock;
        assert_eq!(embassy_futures::block_on(borrowed.reserve()), Ok(()));
        assert!(borrowed.next().unwrap() < borrowed.next().unwrap());
        assert!(!borrowed.is_short());
    }
}
