//! A socket for SNTP from any stack of embedded-nal-async.

use core::cell::RefCell;
use core::net::SocketAddr;

use embedded_nal_async::UnconnectedUdp;
use sntpc::{Error, NtpUdpSocket, Result};

/// A socket of embedded-nal-async, for [`Sntp`](crate::Sntp).
///
/// It serves one question at a time, as `Sntp` asks them; a second one meanwhile is a network
/// error. Dropping a receive that waits must lose nothing but that datagram.
#[derive(Debug)]
pub struct SntpSocket<S> {
    socket: RefCell<S>,
    local: SocketAddr,
}

impl<S: UnconnectedUdp> SntpSocket<S> {
    /// Wraps a socket that was bound to `local`: the address that `bind_single` returned with it.
    pub const fn new(socket: S, local: SocketAddr) -> Self {
        Self { socket: RefCell::new(socket), local }
    }
}

// The borrow cannot be met by another: that one gets an error instead of a panic.
#[allow(clippy::await_holding_refcell_ref)]
impl<S: UnconnectedUdp> NtpUdpSocket for SntpSocket<S> {
    async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<usize> {
        let mut socket = self.socket.try_borrow_mut().map_err(|_| Error::Network)?;
        socket.send(self.local, to, bytes).await.map_err(|_| Error::Network)?;
        Ok(bytes.len())
    }

    async fn recv_from(&self, bytes: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let mut socket = self.socket.try_borrow_mut().map_err(|_| Error::Network)?;
        let (length, _local, from) =
            socket.receive_into(bytes).await.map_err(|_| Error::Network)?;
        Ok((length, from))
    }
}
