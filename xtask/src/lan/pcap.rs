//! Frames recorded for Wireshark, in its oldest and simplest format.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Records begin with an Ethernet header.
const LINKTYPE_ETHERNET: u32 = 1;

/// A capture file being written.
pub(crate) struct Pcap {
    file: BufWriter<File>,
}

impl Pcap {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        // Magic of microsecond times, version 2.4, time zone, accuracy, longest record.
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0x0004_0000, LINKTYPE_ETHERNET] {
            file.write_all(&u32::to_le_bytes(word))?;
        }
        Ok(Self { file })
    }

    pub(crate) fn record(&mut self, packet: &[u8]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(packet.len())?;
        let seconds = u32::try_from(now.as_secs())?;
        for word in [seconds, now.subsec_micros(), length, length] {
            self.file.write_all(&word.to_le_bytes())?;
        }
        self.file.write_all(packet)?;
        // The file is read while the run that writes it hangs or has failed.
        Ok(self.file.flush()?)
    }
}
