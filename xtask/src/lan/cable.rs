//! Ethernet frames to and from the emulator: one frame, one datagram on a local socket.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

/// One end of a wire; the emulator's network card is the other. Local sockets lose nothing:
/// a full one makes the sender wait, and whatever loss a test wants it makes itself.
pub(crate) struct Cable {
    dir: TempDir,
    socket: UnixDatagram,
}

impl Cable {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("wg-lan-").tempdir()?;
        let socket = UnixDatagram::bind(dir.path().join("host"))?;
        socket.set_nonblocking(true)?;
        Ok(Self { dir, socket })
    }

    /// A folder that lives as long as the cable, for other sockets to the emulator.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The emulator's option for its end, named `cable`.
    pub(crate) fn netdev(&self) -> String {
        let dir = self.dir.path().display();
        format!(
            "dgram,id=cable,local.type=unix,local.path={dir}/guest,\
             remote.type=unix,remote.path={dir}/host"
        )
    }

    /// Sends a frame. Says false when the emulator has not yet taken the frames before it.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<bool> {
        match self.socket.send_to(frame, self.dir.path().join("guest")) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            // The other end's machine is not on yet, or is off: the frame goes nowhere.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The next frame that has come, without waiting.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        match self.socket.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Cable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
