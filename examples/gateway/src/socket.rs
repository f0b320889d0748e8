//! The underlay: UDP of the operating system.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use async_io::Async;
use wg_nal::Datagrams;
use wg_nal::wg_core::{Ecn, Endpoint, Source};

/// A UDP socket on this machine's loopback.
pub struct Socket(Async<UdpSocket>);

impl Socket {
    /// Binds to any free port.
    ///
    /// # Errors
    /// The operating system's.
    pub fn bind() -> io::Result<Self> {
        Ok(Self(Async::<UdpSocket>::bind(([127, 0, 0, 1], 0))?))
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    /// The operating system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

impl Datagrams for Socket {
    type Error = io::Error;

    async fn receive(&mut self, buf: &mut [u8]) -> io::Result<(usize, Source)> {
        let (len, remote) = self.0.recv_from(buf).await?;
        Ok((len, Source { remote, local: None, ecn: Ecn::NotCapable }))
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> io::Result<()> {
        self.0.send_to(datagram, to.remote).await.map(drop)
    }
}
