//! Emulated boards with a network card, and the firmware of `examples/boards` on them.

mod cases;
mod firmware;
mod run;
mod world;

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::lan::Cable;
use crate::workspace::{tail, target_dir};
pub(crate) use firmware::{Firmware, Kind, Language};
pub(crate) use run::Boards;
pub(crate) use world::World;

/// The board's Ethernet address.
pub(crate) const BOARD_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x00, 0x00, 0x03];

/// What a board keeps while it is off.
pub(crate) struct Flash {
    file: PathBuf,
}

impl Flash {
    /// Erased, but for a configuration in the format of wg-quick at its beginning. It is kept
    /// under `name`, where a board that failed can be looked into.
    pub(crate) fn new(kind: Kind, name: &str, config: &str) -> Result<Self> {
        let dir = target_dir().join("boards");
        std::fs::create_dir_all(&dir)?;
        let file = dir.join(format!("{name}.flash"));
        let mut bytes = vec![0xff; kind.flash_len()];
        bytes[..config.len()].copy_from_slice(config.as_bytes());
        std::fs::write(&file, bytes)?;
        Ok(Self { file })
    }
}

/// A running board. Dropping it cuts its power.
pub(crate) struct Board {
    emulator: Child,
    console: UnixStream,
    incoming: Vec<u8>,
    /// What it has printed since power came, line by line.
    lines: Vec<String>,
    log: PathBuf,
}

impl Board {
    /// Gives a board power.
    pub(crate) fn start(
        firmware: &Firmware,
        flash: &Flash,
        cable: &Cable,
        name: &str,
    ) -> Result<Self> {
        let (console, theirs) = UnixStream::pair()?;
        console.set_nonblocking(true)?;
        let log = target_dir().join("boards").join(format!("{name}.qemu"));
        let emulator = emulator(firmware, &flash.file, cable)
            .stdin(Stdio::null())
            .stdout(OwnedFd::from(theirs))
            .stderr(std::fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot run {}", firmware.kind.emulator()))?;
        Ok(Self { emulator, console, incoming: Vec::new(), lines: Vec::new(), log })
    }

    /// Takes in what the board has printed so far; says how many lines are new.
    pub(crate) fn listen(&mut self) -> Result<usize> {
        let mut chunk = [0; 4096];
        loop {
            match self.console.read(&mut chunk) {
                Ok(0) => bail!("the board stopped; {}", self.last_words()),
                Ok(length) => self.incoming.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let before = self.lines.len();
        while let Some(end) = self.incoming.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.incoming.drain(..=end).collect();
            self.lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        Ok(self.lines.len() - before)
    }

    /// What it has printed since power came.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(crate) fn last_words(&self) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        format!("its console ends with:\n{}\n{said}", tail(&self.lines.join("\n"), 15))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // It may have ended by itself; either way it leaves no process behind.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

impl AsFd for Board {
    /// Readable when the board prints.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.console.as_fd()
    }
}

fn emulator(firmware: &Firmware, flash: &Path, cable: &Cable) -> Command {
    let mut command = Command::new(firmware.kind.emulator());
    command
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-monitor", "none", "-serial", "stdio"])
        .args(["-netdev", &cable.netdev()])
        .args(firmware.kind.machine(flash, BOARD_MAC))
        .arg(firmware.kind.image_option())
        .arg(&firmware.image);
    command
}
