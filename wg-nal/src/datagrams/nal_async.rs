//! Datagrams over embedded-nal-async.

use core::net::{IpAddr, SocketAddr};

use embassy_futures::yield_now;
use embedded_nal_async::UnconnectedUdp;
use wg_core::{Ecn, Endpoint, Source};

use super::{Datagrams, ETHERNET_MTU, UnderlayError, largest_payload, reply_address};

/// A socket of embedded-nal-async whose receive may be dropped.
///
/// The traits of embedded-nal-async do not say what becomes of a datagram when
/// [`receive_into`](UnconnectedUdp::receive_into) is dropped before it is ready. Making this
/// value, the caller asserts that the datagram stays in the socket and is received next time.
/// True of std-embedded-nal-async and of [`UdpNal`](crate::UdpNal). Not true of a stack that
/// asks a modem for the datagram and waits for its answer: there, a tunnel loses datagrams
/// whenever it sends.
///
/// Replies leave from the local address on which the request came, or, where the stack fails to
/// send from that, from the one that the socket is bound to. A socket from `bind_single` has one
/// address only; on a host with several, bind with `bind_multiple`.
///
/// # Which way datagrams go
///
/// The traits cannot pin a socket to an interface. Binding to an interface's address chooses
/// what replies are sent from, not the route, on most stacks. A default route through the
/// tunnel then leads the tunnel's datagrams back into it: give the endpoint a route of its own.
#[derive(Debug)]
pub struct CancelSafe<S> {
    socket: S,
    local: SocketAddr,
    ip_mtu: u16,
}

impl<S: UnconnectedUdp> CancelSafe<S> {
    /// Wraps a socket that was bound to `local`: the address that `bind_single` returned or
    /// that `bind_multiple` was given, unspecified or not.
    ///
    /// The socket's receive must be cancel-safe: see [`CancelSafe`].
    pub const fn new(socket: S, local: SocketAddr) -> Self {
        Self { socket, local, ip_mtu: ETHERNET_MTU }
    }

    /// Sets the largest IP packet of the underlay, where that is not 1500 bytes.
    #[must_use]
    pub fn with_ip_mtu(self, ip_mtu: u16) -> Self {
        Self { ip_mtu, ..self }
    }

    /// The local address that a datagram towards `to` is sent with.
    fn local_for(&self, to: Endpoint) -> SocketAddr {
        match to.local {
            // What the socket was bound to goes back to it unchanged, IPv6 zone included.
            Some(ip) if ip != self.local.ip() && ip.is_ipv4() == self.local.is_ipv4() => {
                SocketAddr::new(ip, self.local.port())
            }
            _ => self.local,
        }
    }
}

impl<S: UnconnectedUdp> Datagrams for CancelSafe<S> {
    type Error = UnderlayError<S::Error>;

    fn largest_datagram(&self, to: IpAddr) -> usize {
        largest_payload(self.ip_mtu, to)
    }

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), Self::Error> {
        loop {
            let (len, local, remote) =
                self.socket.receive_into(buf).await.map_err(UnderlayError::Stack)?;
            // Longer than the buffer: the stack tells the length that it had.
            if len <= buf.len() {
                let local = reply_address(local.ip());
                return Ok((len, Source { remote, local, ecn: Ecn::NotCapable }));
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
        if to.remote.is_ipv4() != self.local.is_ipv4() {
            return Err(UnderlayError::OtherFamily);
        }
        let local = self.local_for(to);
        let mut sent = self.socket.send(local, to.remote, datagram).await;
        if sent.is_err() && local != self.local {
            // The address on which the peer was heard last may be gone.
            sent = self.socket.send(self.local, to.remote, datagram).await;
        }
        sent.map_err(UnderlayError::Stack)
    }
}
