//! Timestamps that rise over every reboot, with a time of day or without one.

use core::fmt;
use core::time::Duration;

use wg_core::{ClockUnavailable, Tai64n, Tai64nClock};

use super::Timestamps;
use super::wall::{EARLIEST, LATEST, plausible};
use crate::store::{Record, Store};

/// What is reserved at once. A second has 59 stamps, so these are 1180.
const RANGE: Duration = Duration::from_secs(20);
/// What is left when more should be reserved: 236 stamps, enough for twenty minutes of
/// handshakes that nobody answers while the memory fails.
const LOW: Duration = Duration::from_secs(4);
/// How far the stamps may be behind the time of day before they follow it. Longer than a range
/// lasts at a handshake every two minutes, so that time alone costs no writes.
const LAG: Duration = Duration::from_secs(7 * 86_400);
/// How far ahead of the stamps the time of day may be and still be believed: ten years.
const GREATEST_LEAP: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How far the stamps may be ahead of the time of day without a word: 4320 reboots.
const LEAD: Duration = Duration::from_secs(86_400);

/// A clock whose timestamps rise over every reboot, also without any time of day.
///
/// Before it gives out stamps it writes the greatest of them, the ceiling, to a [`Store`]. After
/// a reboot it goes on from the ceiling it finds. `unix_time` answers the time of day or
/// `None`; what is not [`plausible`] counts as `None`, so a real-time clock that was never set
/// does no harm. The time of day is never needed. Where there is one, it moves stamps forward,
/// and that alone helps after the store was erased.
///
/// | What happens | What the stamps do | [`Self::standing`] |
/// | --- | --- | --- |
/// | [`reserve`](Timestamps::reserve) has not succeeded yet | there are none: `NotSet` | `NotLoaded` |
/// | an empty store, and no time of day | begin at 1970; a peer that has seen greater ones, before the store was erased, refuses them until there is a time of day | `Unanchored` |
/// | an empty store, and a time of day now or later | go on from it, after one more handshake at most | `Steady` |
/// | no time of day after a reboot | go on from the store | `Stored` |
/// | the time of day steps back | go on, a step of 2^24 ns each | `Steady`, and `Ahead` from a day on |
/// | the time of day leaps forward by ten years or less | follow it, and stay there when it steps back | `Steady`, then `Ahead` |
/// | it leaps by more, say 50 years | go on, and do not follow: peers would refuse all lesser ones for ever | `LeapRefused` |
/// | power is cut while the ceiling is written | go on from the old ceiling or the new one, both above every stamp given out | |
/// | the store fails | go on to the end of the range, then `Reserve`; on again when the store works | as before |
/// | the store holds no timestamp | there are none: `NotSet`, and [`ReserveError::NoTimestamp`] | `NotLoaded` |
///
/// A time of day believed wrongly at the very first, when there is nothing to compare it with,
/// cannot be taken back. Handshakes go on then, and `Ahead` says so: as long as the store lives,
/// no peer minds.
///
/// # Wear
///
/// A range has 1180 stamps and is renewed after 945. One peer that is in use takes 720 a day, so
/// the store is written 0.76 times a day, and once at each boot; while nobody answers, a
/// handshake every five seconds makes that 18 times a day. Each boot moves the stamps 20 s
/// ahead.
///
/// # Memory
///
/// 25 bytes beside `unix_time` and the store.
#[derive(Debug)]
pub struct Persistent<F, S> {
    unix_time: F,
    store: S,
    /// `None` until the store was read.
    range: Option<Range>,
}

/// A [`Persistent`] clock over a flash, with a type that can be named: a task of embassy is not
/// generic.
#[cfg(feature = "flash")]
pub type FlashClock<F> = Persistent<fn() -> Option<Duration>, crate::FlashStore<F>>;

/// Stamps that may be given out: those after `last`, up to `ceiling`.
#[derive(Clone, Copy, Debug)]
struct Range {
    last: Tai64n,
    ceiling: Tai64n,
}

impl<F: Fn() -> Option<Duration>, S: Store> Persistent<F, S> {
    /// A clock over `store`, which is not read yet.
    ///
    /// `unix_time` answers the time since 1970, or `None`: `|| None` where a board never knows.
    /// It is called often and must be quick.
    pub const fn new(unix_time: F, store: S) -> Self {
        Self { unix_time, store, range: None }
    }

    /// How the stamps stand to the time of day.
    pub fn standing(&self) -> Standing {
        let Some(Range { last, .. }) = self.range else { return Standing::NotLoaded };
        let last = unix(last);
        match self.now() {
            _ if last < EARLIEST => Standing::Unanchored,
            None => Standing::Stored,
            Some(now) if !is_believed(now, last) => Standing::LeapRefused(now.saturating_sub(last)),
            Some(now) if last.saturating_sub(now) >= LEAD => {
                Standing::Ahead(last.saturating_sub(now))
            }
            Some(_) => Standing::Steady,
        }
    }

    fn now(&self) -> Option<Duration> {
        (self.unix_time)().and_then(plausible)
    }

    async fn load(&mut self) -> Result<Range, ReserveError<S::Error>> {
        let mut bytes = [0; 12];
        let found = self.store.load(Record::Timestamp, &mut bytes).await;
        let last = if found.map_err(ReserveError::Store)? {
            let stamp = Tai64n::from_bytes(bytes);
            // The latest time of day, and more boots than a flash survives.
            let possible = stamp.to_unix().is_some_and(|(secs, _)| secs < 2 * LATEST.as_secs());
            if !possible {
                return Err(ReserveError::NoTimestamp(stamp));
            }
            stamp
        } else {
            Tai64n::from_unix(0, 0)
        };
        Ok(Range { last, ceiling: last })
    }
}

impl<F: Fn() -> Option<Duration>, S: Store> Tai64nClock for Persistent<F, S> {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        let range = self.range.as_mut().ok_or(ClockUnavailable::NotSet)?;
        let next = range.last.successor();
        if next > range.ceiling {
            return Err(ClockUnavailable::Reserve);
        }
        range.last = next;
        Ok(next)
    }
}

impl<F: Fn() -> Option<Duration>, S: Store> Timestamps for Persistent<F, S> {
    type Error = ReserveError<S::Error>;

    fn is_short(&self) -> bool {
        let Some(Range { last, ceiling }) = self.range else { return true };
        let last = unix(last);
        let is_late = |now| is_believed(now, last) && now >= last.saturating_add(LAG);
        last.saturating_add(LOW) >= unix(ceiling) || self.now().is_some_and(is_late)
    }

    fn standing(&self) -> Option<Standing> {
        Some(self.standing())
    }

    async fn reserve(&mut self) -> Result<(), Self::Error> {
        let range = match self.range {
            Some(range) => range,
            None => self.load().await?,
        };
        self.range = Some(range);
        if !self.is_short() {
            return Ok(());
        }
        let last = unix(range.last);
        let start = match self.now() {
            Some(now) if is_believed(now, last) => range.last.max(stamp(now)),
            _ => range.last,
        };
        let ceiling = stamp(unix(start).saturating_add(RANGE));
        // A future dropped here, and an error, leave the old range, which either ceiling covers.
        self.store
            .save(Record::Timestamp, ceiling.as_bytes())
            .await
            .map_err(ReserveError::Store)?;
        self.range = Some(Range { last: start, ceiling });
        Ok(())
    }
}

/// Whether the time of day is one to follow. Stamps from before any plausible time are a
/// board's that never knew it, and there is nothing to compare with.
fn is_believed(now: Duration, last: Duration) -> bool {
    last < EARLIEST || now <= last.saturating_add(GREATEST_LEAP)
}

fn unix(stamp: Tai64n) -> Duration {
    stamp.to_unix().map_or(Duration::ZERO, |(secs, nanos)| Duration::new(secs, nanos))
}

fn stamp(unix: Duration) -> Tai64n {
    Tai64n::from_unix(unix.as_secs(), unix.subsec_nanos())
}

/// How the timestamps stand to the time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Standing {
    /// The store was not read yet, or could not be.
    NotLoaded,
    /// No time of day was ever known since the store was empty.
    Unanchored,
    /// There is no time of day now, and the stamps go on from the store.
    Stored,
    /// The stamps and the time of day are not far apart.
    Steady,
    /// The stamps are ahead of the time of day by this, a day or more.
    Ahead(Duration),
    /// The time of day is ahead of the stamps by this, more than ten years, and not followed.
    LeapRefused(Duration),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = |apart: &Duration| apart.as_secs() / 86_400;
        match self {
            Self::NotLoaded => f.write_str("the timestamps kept over the reboot were not read yet"),
            Self::Unanchored => f.write_str(
                "the board never knew the time of day; a peer that knows its key from before its \
                 memory was erased refuses it until it does",
            ),
            Self::Stored => f.write_str("no time of day; timestamps go on from the last boot"),
            Self::Steady => f.write_str("timestamps follow the time of day"),
            Self::Ahead(lead) => write!(
                f,
                "timestamps are {} days ahead of the time of day, which was wrong once or is now; \
                 do not erase the memory before they meet",
                days(lead)
            ),
            Self::LeapRefused(leap) => write!(
                f,
                "the time of day leapt {} days ahead and is not followed; if it is right, erase \
                 the memory",
                days(leap)
            ),
        }
    }
}

/// Why no timestamps were reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReserveError<E> {
    /// The store failed.
    Store(E),
    /// The store holds this for a timestamp. It is kept; erase it when it is not needed.
    NoTimestamp(Tai64n),
}

impl<E: fmt::Display> fmt::Display for ReserveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "timestamps cannot be reserved: {error}"),
            Self::NoTimestamp(found) => write!(
                f,
                "the kept timestamp is damaged ({found}); erase it, and have a time of day"
            ),
        }
    }
}

impl<E: core::error::Error> core::error::Error for ReserveError<E> {}

#[cfg(test)]
mod tests;
