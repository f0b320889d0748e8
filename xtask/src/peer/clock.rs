//! The wall clock that stamps initiations, right or wrong, with or without a memory.

use core::convert::Infallible;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use wg_core::{ClockUnavailable, Increasing, Tai64n, Tai64nClock};
use wg_nal::Timestamps;

/// This machine's clock, or one that is behind it; its last stamp may be kept in a file.
pub(crate) struct FileClock {
    pub(super) behind: Duration,
    last: Option<Tai64n>,
    pub(super) file: Option<PathBuf>,
}

impl FileClock {
    /// This machine's clock.
    pub(crate) fn wall() -> Self {
        Self::behind(Duration::ZERO)
    }

    /// A clock that shows a time in the past.
    pub(crate) fn behind(behind: Duration) -> Self {
        Self { behind, last: None, file: None }
    }

    /// The same, starting after the stamp in `file`, where every later one is put.
    pub(crate) fn kept_in(self, file: &Path) -> Result<Self> {
        let last = if file.exists() {
            let bytes = std::fs::read(file)?;
            Some(Tai64n::from_bytes(bytes.as_slice().try_into()?))
        } else {
            None
        };
        Ok(Self { last, file: Some(file.to_owned()), ..self })
    }
}

impl Tai64nClock for FileClock {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        let behind = self.behind;
        let unix_time = || Some(SystemTime::now().duration_since(UNIX_EPOCH).ok()? - behind);
        let stamp = Increasing::new(unix_time, self.last).next()?;
        if let Some(file) = &self.file {
            // A stamp that is not kept must not be sent.
            std::fs::write(file, stamp.as_bytes()).map_err(|_| ClockUnavailable::Reserve)?;
        }
        self.last = Some(stamp);
        Ok(stamp)
    }
}

/// It writes each stamp down as it gives it out: a file is always there.
impl Timestamps for FileClock {
    type Error = Infallible;

    fn is_short(&self) -> bool {
        false
    }

    async fn reserve(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
