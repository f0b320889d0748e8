//! Datagrams over embassy-net.

use core::fmt;
use core::future::{Future, poll_fn};
use core::net::IpAddr;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embassy_futures::yield_now;
use embassy_net::IpAddress;
use embassy_net::udp::{RecvError, SendError, UdpMetadata, UdpSocket};
use embassy_time::{Duration, Instant};
use wg_core::{Ecn, Endpoint, Source};

use super::{Datagrams, UnderlayError, largest_payload, reply_address};
use crate::waker::TURNS;

/// A bound socket of embassy-net.
///
/// # The MTU
///
/// embassy-net loses a datagram that does not fit its driver's frames, without an error, so it
/// has to be told here. It is the IP packet's size: the driver's MTU, less 14 bytes where that
/// counts an Ethernet header. esp-radio's default frame of 1492 bytes leaves 1478.
///
/// # A full buffer
///
/// A send into a full buffer gives the other tasks a turn, embassy-net's among them, and gives
/// up with [`EmbassyError::Full`] when there is still no room: with its link down, the stack
/// would make room never, and nothing is received while a send waits. The protocol sends what
/// matters again.
///
/// # A neighbour that does not answer
///
/// The stack sends in order, and waits at the first datagram whose receiver it has no route or
/// no link address for. So that no such receiver holds back the others, a socket that has sent
/// nothing for two seconds is closed and bound again, at the next send: what waited in it is
/// lost, in both directions. Cookie replies go to whoever asks, under addresses that may be
/// spoofed, so they get 100 ms, are sent only when nothing waits, and after one that did not
/// leave, not for five seconds. (For the first of them, the stack keeps the socket waiting even
/// when it is empty again.)
///
/// # Addresses that change
///
/// Datagrams leave from the address that the stack chooses, not from the one that the peer wrote
/// to: the stack does not tell whether it still has that one. So a peer follows at once when the
/// address changes, in both families.
///
/// # Which way datagrams go
///
/// A stack of embassy-net has one interface, so the socket is pinned to it. The inside of the
/// tunnel is another stack: a default route there does no harm. A datagram towards an address
/// of which the stack has none of the family, or no route, is lost without an error.
pub struct EmbassyUdp<'s, 'd> {
    socket: &'s mut UdpSocket<'d>,
    ip_mtu: u16,
    queue: Queue,
}

/// What is known of the socket's send queue, whose length embassy-net does not tell.
struct Queue {
    /// The last time when it was empty, or seen to move.
    moved: Instant,
    /// How long its first datagram may wait.
    patience: Duration,
    /// Datagrams that it took since then. More than it has room for: it has moved.
    taken: usize,
    full: bool,
    no_cookies_before: Instant,
}

/// Long enough for the slowest link that carries IP packets of 1500 bytes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Long enough for an answer of a neighbour, and short enough for everybody else.
const COOKIE_PATIENCE: Duration = Duration::from_millis(100);
/// A peer asks again after as long. Its datagrams have most of that, since the stack lets the
/// socket send nothing for a second after it asked for a neighbour.
const COOKIE_PAUSE: Duration = Duration::from_secs(5);
/// The first byte of a cookie reply: section 5.4.7 of the whitepaper.
const COOKIE_REPLY: u8 = 3;

/// Why embassy-net did not take a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    pub fn new(socket: &'s mut UdpSocket<'d>, ip_mtu: u16) -> Self {
        let now = Instant::now();
        let (patience, no_cookies_before) = (PATIENCE, now);
        let queue = Queue { moved: now, patience, taken: 0, full: false, no_cookies_before };
        Self { socket, ip_mtu, queue }
    }

    /// Whether the stack has not emptied the queue for as long as its first datagram may wait.
    fn seems_stuck(&mut self) -> bool {
        let waited = Instant::now().saturating_duration_since(self.queue.moved);
        waited >= self.queue.patience && !has_sent_all(self.socket)
    }

    /// Makes way for a datagram, and tells whether it may be sent.
    fn make_way(&mut self, datagram: &[u8]) -> bool {
        let Self { socket, queue, .. } = self;
        let now = Instant::now();
        let is_cookie = datagram.first() == Some(&COOKIE_REPLY);
        let mut is_empty = has_sent_all(socket);
        if !is_empty && now.saturating_duration_since(queue.moved) >= queue.patience {
            if queue.patience == COOKIE_PATIENCE {
                queue.no_cookies_before = now.saturating_add(COOKIE_PAUSE);
            }
            let bound = socket.endpoint();
            socket.close();
            // It was open a moment ago, so its port is not 0.
            let _ = socket.bind(bound);
            is_empty = true;
        }
        if is_cookie && (!is_empty || now < queue.no_cookies_before) {
            return false;
        }
        if is_empty {
            let patience = if is_cookie { COOKIE_PATIENCE } else { PATIENCE };
            *queue = Queue { moved: now, patience, taken: 0, full: false, ..*queue };
        }
        true
    }
}

impl Queue {
    fn took_one(&mut self, room: usize) {
        self.taken += 1;
        if self.full || self.taken > room {
            *self =
                Self { moved: Instant::now(), patience: PATIENCE, taken: 1, full: false, ..*self };
        }
    }
}

impl fmt::Debug for EmbassyUdp<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbassyUdp").field("ip_mtu", &self.ip_mtu).finish_non_exhaustive()
    }
}

/// Whether nothing waits in a socket to be sent.
pub(crate) fn has_sent_all(socket: &mut UdpSocket<'_>) -> bool {
    pin!(socket.flush()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
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
        // The address on which the peer was heard last may be gone: then nothing would come back
        // for 15 s.
        let to = Endpoint { local: None, ..to };
        let metadata = address(self.socket, self.ip_mtu, to, datagram.len())?;
        if self.seems_stuck() {
            // It may have had no turn in all that time, such as while the tunnel computed.
            for _ in 0..TURNS {
                yield_now().await;
            }
        }
        if !self.make_way(datagram) {
            return Err(UnderlayError::Stack(EmbassyError::Full));
        }
        let mut turns = 0;
        let result = poll_fn(|cx| match self.socket.poll_send_to(datagram, metadata, cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(EmbassyError::from)),
            Poll::Pending if turns == TURNS => Poll::Ready(Err(EmbassyError::Full)),
            Poll::Pending => {
                turns += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
        match result {
            Ok(()) => self.queue.took_one(self.socket.packet_send_capacity()),
            Err(EmbassyError::Full) => self.queue.full = true,
            Err(_) => {}
        }
        result.map_err(UnderlayError::Stack)
    }
}
