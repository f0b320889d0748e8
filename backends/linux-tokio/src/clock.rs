//! The clock that stamps handshake initiations, and the file that carries it over a restart.
//!
//! A peer refuses an initiation that is not stamped later than all before it. Within one run
//! [`wg_core::Increasing`] sees to that; over a restart, with a clock that stepped back in
//! between, it takes lasting memory. The file holds a *ceiling*: no stamp above it was ever
//! given. A new run begins above the ceiling and raises it first.
//!
//! A ceiling is raised a minute ahead, in the background, so that asking for a stamp never
//! waits for a disk.

use core::time::Duration;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use wg_core::{ClockUnavailable, Increasing, Tai64n, Tai64nClock};

/// How far the ceiling is raised above the present.
const RESERVE: Duration = Duration::from_secs(60);
/// It is raised again when less than this is left.
const LOW: Duration = Duration::from_secs(30);

/// Stamps by the system's time of day, increasing over restarts where a file keeps them.
#[derive(Debug)]
pub struct StampClock {
    unix_time: fn() -> Option<Duration>,
    last: Option<Tai64n>,
    ceiling: Option<Ceiling>,
}

#[derive(Debug)]
struct Ceiling {
    path: PathBuf,
    /// What the file is known to hold.
    durable: Tai64n,
}

/// A higher ceiling that is yet to be written.
#[derive(Debug)]
pub(crate) struct Reservation {
    path: PathBuf,
    ceiling: Tai64n,
}

impl StampClock {
    /// Increases as long as this program runs. After a restart with an earlier system clock,
    /// peers that remember us refuse handshakes.
    pub fn system() -> Self {
        Self { unix_time: system_time, last: None, ceiling: None }
    }

    /// Increases over restarts: the stamps begin above those of the run before, which are kept
    /// in the file at `path`. It is made when it does not exist. Two programs must not share
    /// it at the same time.
    ///
    /// # Errors
    /// [`StateError`]: the file cannot be read or written, or holds something else.
    pub fn kept_in(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        Self::kept_in_by(path.into(), system_time)
    }

    fn kept_in_by(path: PathBuf, unix_time: fn() -> Option<Duration>) -> Result<Self, StateError> {
        let last = read(&path)?;
        let reservation = Reservation { ceiling: ceiling_above(unix_time(), last), path };
        let durable = reservation.write()?;
        let ceiling = Some(Ceiling { path: reservation.path, durable });
        Ok(Self { unix_time, last, ceiling })
    }

    /// The ceiling that should be written now, if it is time.
    pub(crate) fn reservation(&self) -> Option<Reservation> {
        let Ceiling { path, durable } = self.ceiling.as_ref()?;
        let needed = ceiling_of(present(self.now(), self.last), LOW);
        (needed > *durable).then(|| Reservation {
            path: path.clone(),
            ceiling: ceiling_above(self.now(), self.last),
        })
    }

    /// A reservation was written.
    pub(crate) fn reserved(&mut self, durable: Tai64n) {
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.durable = ceiling.durable.max(durable);
        }
    }

    fn now(&self) -> Option<Duration> {
        (self.unix_time)()
    }

    /// The next stamp if the time of day is `now`.
    fn stamp(&self, now: Option<Duration>) -> Result<Tai64n, ClockUnavailable> {
        Increasing::new(|| now, self.last).next()
    }
}

impl Tai64nClock for StampClock {
    /// Never waits. When the present lies above the ceiling, as after a long silence, the
    /// stamp is an earlier one that was reserved and not used: only the order counts.
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        let stamp = match &self.ceiling {
            None => self.stamp(self.now())?,
            Some(ceiling) => {
                let earliest = Some(Duration::ZERO);
                let present = self.stamp(self.now().or(earliest))?;
                let stamp = if present > ceiling.durable { self.stamp(earliest)? } else { present };
                if stamp > ceiling.durable {
                    return Err(ClockUnavailable::Reserve);
                }
                stamp
            }
        };
        self.last = Some(stamp);
        Ok(stamp)
    }
}

fn system_time() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}

/// The time of day, or of the last stamp where that is later.
fn present(now: Option<Duration>, last: Option<Tai64n>) -> Duration {
    let last = last.and_then(Tai64n::to_unix).map(|(secs, nanos)| Duration::new(secs, nanos));
    now.unwrap_or_default().max(last.unwrap_or_default())
}

fn ceiling_of(present: Duration, ahead: Duration) -> Tai64n {
    let time = present.saturating_add(ahead);
    Tai64n::from_unix(time.as_secs(), time.subsec_nanos())
}

fn ceiling_above(now: Option<Duration>, last: Option<Tai64n>) -> Tai64n {
    ceiling_of(present(now, last), RESERVE)
}

impl Reservation {
    /// Makes the ceiling durable: a new file is written, synchronised and put in the place of
    /// the old one, so that at no time there is half a file.
    pub(crate) fn write(&self) -> Result<Tai64n, StateError> {
        self.replace_file()
            .map_err(|source| StateError::Write { path: self.path.clone(), source })?;
        Ok(self.ceiling)
    }

    fn replace_file(&self) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = self.path.with_file_name(name);
        let mut file = File::create(&new)?;
        // Twice, because half a file or a damaged one must not pass for a ceiling.
        write!(file, "{0}\n{0}\n", self.ceiling)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

/// The ceiling in a file; `None` when there is no file.
fn read(path: &Path) -> Result<Option<Tai64n>, StateError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Read { path: path.to_owned(), source }),
    };
    match core::str::from_utf8(&text).ok().and_then(parse) {
        Some(ceiling) => Ok(Some(ceiling)),
        None => Err(StateError::Damaged { path: path.to_owned() }),
    }
}

fn parse(text: &str) -> Option<Tai64n> {
    let (first, second) = text.strip_suffix('\n')?.split_once('\n')?;
    let digits = first.strip_prefix('@')?;
    if first != second || digits.len() != 24 || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 12];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(Tai64n::from_bytes(bytes))
}

/// Why a file cannot keep timestamps. `Display` says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// The file is there and cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is there and holds something else.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl core::fmt::Display for StateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Read { path, source } => {
                write!(f, "cannot read the timestamps in {}: {source}", path.display())
            }
            Self::Damaged { path } => write!(
                f,
                "{} is damaged, or no timestamp file: remove it if this machine's clock was \
                 never set back, for peers refuse timestamps that are not later than before",
                path.display()
            ),
            Self::Write { path, source } => write!(
                f,
                "cannot keep timestamps in {}: {source}; its folder must exist and be writable",
                path.display()
            ),
        }
    }
}

impl core::error::Error for StateError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => Some(source),
            Self::Damaged { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
