//! Datagrams over embassy-net.

use core::fmt;
use core::future::poll_fn;
use core::net::IpAddr;
use core::task::{Context, Poll};

use embassy_net::IpAddress;
use embassy_net::udp::{RecvError, SendError, UdpMetadata, UdpSocket};
use wg_core::{Ecn, Endpoint, Source};

use super::{Datagrams, UnderlayError, largest_payload, reply_address};

/// A bound socket of embassy-net.
///
/// Borrows the socket, whose methods take `&self`: the caller keeps it, and may look at it.
///
/// # The MTU
///
/// embassy-net loses a datagram that does not fit its driver's frames, without an error, so it
/// has to be told here. It is the IP packet's size: the driver's MTU, less 14 bytes where that
/// counts an Ethernet header. esp-radio's default frame of 1492 bytes leaves 1478.
///
/// # A full buffer
///
/// A send into a full buffer lets the other tasks run once, embassy-net's among them, and gives
/// up with [`EmbassyError::Full`] when there is still no room: with its link down, the stack
/// would make room never, and nothing is received while a send waits. The protocol sends what
/// matters again.
///
/// # Addresses that change
///
/// Over IPv6, replies leave from the address that the peer wrote to, even when the stack has it
/// no more: then the tunnel is silent until a handshake goes unanswered, some 17 s. Over IPv4 a
/// stack has one address only, and the peer follows at once.
///
/// # Which way datagrams go
///
/// A stack of embassy-net has one interface, so the socket is pinned to it. The inside of the
/// tunnel is another stack: a default route there does no harm. A datagram towards an address
/// of which the stack has none of the family, or no route, is lost without an error.
pub struct EmbassyUdp<'s, 'd> {
    socket: &'s UdpSocket<'d>,
    ip_mtu: u16,
}

/// Why embassy-net did not take a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EmbassyError {
    /// The socket's send buffer is full, and the stack does not empty it.
    Full,
    /// The socket is not bound: call [`UdpSocket::bind`].
    NotBound,
    /// The remote address is unspecified, or its port 0.
    NoRoute,
    /// The socket's send buffer is smaller than the datagram.
    BufferTooSmall,
}

impl fmt::Display for EmbassyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the socket's send buffer is full: is the link up?",
            Self::NotBound => "the socket is not bound: bind it to a port",
            Self::NoRoute => "the remote address or port is zero: set an endpoint",
            Self::BufferTooSmall => {
                "the socket's send buffer is smaller than the datagram: give it more"
            }
        })
    }
}

impl core::error::Error for EmbassyError {}

impl From<SendError> for EmbassyError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NoRoute => Self::NoRoute,
            SendError::SocketNotBound => Self::NotBound,
            SendError::PacketTooLarge => Self::BufferTooSmall,
        }
    }
}

impl<'s, 'd> EmbassyUdp<'s, 'd> {
    /// Wraps a socket that is bound, over an underlay whose largest IP packet has `ip_mtu`
    /// bytes.
    pub const fn new(socket: &'s UdpSocket<'d>, ip_mtu: u16) -> Self {
        Self { socket, ip_mtu }
    }
}

impl fmt::Debug for EmbassyUdp<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbassyUdp").field("ip_mtu", &self.ip_mtu).finish_non_exhaustive()
    }
}

/// Checks what embassy-net would lose without an error, or panic at: a datagram between
/// addresses of two families.
pub(crate) fn address(
    socket: &UdpSocket<'_>,
    ip_mtu: u16,
    to: Endpoint,
    len: usize,
) -> Result<UdpMetadata, UnderlayError<EmbassyError>> {
    let largest = largest_payload(ip_mtu, to.remote.ip());
    if len > largest {
        return Err(UnderlayError::TooLong { largest });
    }
    let same_family = |ip: &IpAddr| ip.is_ipv4() == to.remote.is_ipv4();
    if socket.endpoint().addr.is_some_and(|bound| !same_family(&bound.into())) {
        return Err(UnderlayError::OtherFamily);
    }
    let local = to.local.filter(same_family).and_then(reply_address);
    let mut metadata = UdpMetadata::from(to.remote);
    metadata.local_address = local.map(IpAddress::from);
    Ok(metadata)
}

impl Datagrams for EmbassyUdp<'_, '_> {
    type Error = UnderlayError<EmbassyError>;

    fn local_port(&self) -> Option<u16> {
        Some(self.socket.endpoint().port).filter(|port| *port != 0)
    }

    fn largest_datagram(&self, to: IpAddr) -> usize {
        largest_payload(self.ip_mtu, to)
    }

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), Self::Error> {
        loop {
            match self.socket.recv_from(buf).await {
                Ok((len, UdpMetadata { endpoint, local_address, .. })) => {
                    let local = local_address.and_then(|local| reply_address(local.into()));
                    let source = Source { remote: endpoint.into(), local, ecn: Ecn::NotCapable };
                    return Ok((len, source));
                }
                Err(RecvError::Truncated) => {}
            }
        }
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), Self::Error> {
        // A stack has one IPv4 address at a time, and chooses it by itself. The one on which the
        // peer was heard last may be gone: then nothing would come back for 15 s.
        let local = to.local.filter(IpAddr::is_ipv6);
        let to = Endpoint { local, ..to };
        let metadata = address(self.socket, self.ip_mtu, to, datagram.len())?;
        let offer = |cx: &mut Context<'_>| self.socket.poll_send_to(datagram, metadata, cx);
        let mut offered = false;
        poll_fn(|cx| match offer(cx) {
            Poll::Ready(result) => {
                Poll::Ready(result.map_err(|error| UnderlayError::Stack(error.into())))
            }
            Poll::Pending if offered => Poll::Ready(Err(UnderlayError::Stack(EmbassyError::Full))),
            Poll::Pending => {
                offered = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }
}
