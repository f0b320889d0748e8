//! Datagrams over edge-nal.

use core::net::IpAddr;

use edge_nal::{UdpReceive, UdpSend};
use embassy_futures::yield_now;
use wg_core::{Endpoint, Source};

use super::{Datagrams, ETHERNET_MTU, UnderlayError, largest_payload};

/// A bound, unconnected socket of edge-nal whose receive may be dropped.
///
/// The traits of edge-nal do not say what becomes of a datagram when
/// [`receive`](UdpReceive::receive) is dropped before it is ready. Making this value, the caller
/// asserts that the datagram stays in the socket and is received next time, which is true of
/// edge-nal-std and of edge-nal-embassy.
///
/// The traits do not tell the local address either, so replies leave from the one that the
/// stack chooses: on a host with several addresses, bind the socket to one.
///
/// A datagram longer than the buffer is dropped where the stack tells its length, as the traits
/// ask. edge-nal-std tells the length of what was left of it: the tunnel refuses that, since
/// what is cut is not authentic.
///
/// # Which way datagrams go
///
/// The traits cannot pin a socket to an interface. A default route through the tunnel leads the
/// tunnel's datagrams back into it: give the endpoint a route of its own. A stack of its own
/// under the tunnel, as with edge-nal-embassy, needs none.
#[derive(Debug)]
pub struct EdgeUdp<S> {
    socket: S,
    ip_mtu: u16,
}

impl<S: UdpReceive + UdpSend> EdgeUdp<S> {
    /// Wraps a socket. Its receive must be cancel-safe: see [`EdgeUdp`].
    pub const fn new(socket: S) -> Self {
        Self { socket, ip_mtu: ETHERNET_MTU }
    }

    /// Sets the largest IP packet of the underlay, where that is not 1500 bytes. embassy-net
    /// loses what is longer without an error.
    #[must_use]
    pub fn with_ip_mtu(self, ip_mtu: u16) -> Self {
        Self { ip_mtu, ..self }
    }
}

impl<S: UdpReceive + UdpSend> Datagrams for EdgeUdp<S> {
    type Error = UnderlayError<S::Error>;

    fn largest_datagram(&self, to: IpAddr) -> usize {
        largest_payload(self.ip_mtu, to)
    }

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), Self::Error> {
        loop {
            let (len, remote) = self.socket.receive(buf).await.map_err(UnderlayError::Stack)?;
            if len <= buf.len() {
                return Ok((len, remote.into()));
            }
            // There may always be another one.
            yield_now().await;
        }
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), Self::Error> {
        let largest = self.largest_datagram(to.remote.ip());
        if datagram.len() > largest {
            return Err(UnderlayError::TooLong { largest });
        }
        self.socket.send(to.remote, datagram).await.map_err(UnderlayError::Stack)
    }
}
