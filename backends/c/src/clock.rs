//! Timestamps over the board's callbacks: [`Persistent`], which asks for more when they run short.

use core::time::Duration;

use embassy_futures::block_on;
use wg_core::{ClockUnavailable, Tai64n, Tai64nClock};
use wg_nal::{Persistent, Record, Standing, Store, Timestamps, plausible};

use crate::ffi::Callbacks;

/// `WG_RECORD_LEN`: a timestamp, and what tells that it is whole.
pub(crate) const RECORD_LEN: usize = 16;
const STAMP_LEN: usize = 12;

/// The time of day, in memory that does not move.
pub(crate) type UnixTime = &'static (dyn Fn() -> Option<Duration> + 'static);

/// The clock of an engine.
pub(crate) struct Stamps {
    persistent: Persistent<UnixTime, Lasting>,
    callbacks: Callbacks,
    has_failed: bool,
}

impl Stamps {
    pub(crate) const fn new(unix_time: UnixTime, callbacks: Callbacks) -> Self {
        let persistent = Persistent::new(unix_time, Lasting { unix_time, callbacks });
        Self { persistent, callbacks, has_failed: false }
    }

    /// Whether the lasting memory failed when it was needed last.
    pub(crate) const fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(crate) fn standing(&self) -> Standing {
        self.persistent.standing()
    }
}

impl Tai64nClock for Stamps {
    /// Reserves when a timestamp is needed, and at no other time: so a memory that fails is written
    /// to once per handshake, and one that works once in a thousand.
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        if self.persistent.is_short() {
            let reserved = block_on(self.persistent.reserve());
            self.has_failed = reserved.is_err() && self.callbacks.has_memory();
        }
        self.persistent.next()
    }
}

/// The board's 16 bytes. Its futures are ready at once.
struct Lasting {
    unix_time: UnixTime,
    callbacks: Callbacks,
}

impl Store for Lasting {
    type Error = Unusable;

    async fn load(&mut self, _: Record, value: &mut [u8]) -> Result<bool, Unusable> {
        if !self.callbacks.has_memory() {
            // Stamps of a board that keeps none begin at the time of day, or not at all: what began
            // at 1970 again at each boot, every peer but a new one would refuse without a word.
            let is_known = (self.unix_time)().and_then(plausible).is_some();
            return if is_known { Ok(false) } else { Err(Unusable) };
        }
        let mut record = [0; RECORD_LEN];
        let found = self.callbacks.load(&mut record).ok_or(Unusable)?;
        let Some(stamp) = unpack(&record).filter(|_| found) else { return Ok(false) };
        value.copy_from_slice(&stamp);
        Ok(true)
    }

    async fn save(&mut self, _: Record, value: &[u8]) -> Result<(), Unusable> {
        let Ok(stamp) = value.try_into() else { return Err(Unusable) };
        let saved = !self.callbacks.has_memory() || self.callbacks.save(&pack(stamp));
        saved.then_some(()).ok_or(Unusable)
    }
}

/// The lasting memory failed, or there is neither that nor a time of day.
#[derive(Debug)]
struct Unusable;

fn pack(stamp: &[u8; STAMP_LEN]) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    let (text, check) = record.split_at_mut(STAMP_LEN);
    text.copy_from_slice(stamp);
    check.copy_from_slice(&checksum(stamp).to_le_bytes());
    record
}

/// The timestamp of a record that is whole. Memory that was erased, or that lost its power in the
/// middle of a write, holds none.
fn unpack(record: &[u8; RECORD_LEN]) -> Option<[u8; STAMP_LEN]> {
    let (stamp, check) = record.split_first_chunk::<STAMP_LEN>()?;
    (checksum(stamp).to_le_bytes() == check).then_some(*stamp)
}

/// CRC-32, by bits: this runs once in a thousand handshakes.
fn checksum(bytes: &[u8]) -> u32 {
    let bits = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xedb8_8320 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_everybody_calls_crc_32() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_record_is_read_when_it_is_whole_and_never_else() {
        let stamp = *Tai64n::from_unix(1_800_000_000, 5).as_bytes();
        let record = pack(&stamp);
        assert_eq!(unpack(&record), Some(stamp));
        for bit in 0..RECORD_LEN * 8 {
            let mut torn = record;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unpack(&torn), None, "bit {bit}");
        }
        for erased in [0, 0xff, 0xa5] {
            assert_eq!(unpack(&[erased; RECORD_LEN]), None);
        }
    }
}
