//! embedded-nal-async's UDP for embassy-net, which has none of its own.

use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Waker};

use embassy_net::udp::{BindError, PacketMetadata, UdpSocket};
use embassy_net::{IpListenEndpoint, Stack};
use embedded_io_async::ErrorKind;
use embedded_nal_async::{ConnectedUdp, UdpStack, UnconnectedUdp};
use wg_core::Endpoint;

use crate::datagrams::{EmbassyError, UnderlayError, address, has_sent_all};

/// The memory of a pool of `SOCKETS` sockets, each of which holds `PACKETS` datagrams and
/// `BYTES` bytes in either direction.
///
/// Takes `2 * SOCKETS * (BYTES + PACKETS * 64)` bytes, about.
pub struct UdpBuffers<const SOCKETS: usize, const PACKETS: usize, const BYTES: usize> {
    sockets: [SocketBuffers<PACKETS, BYTES>; SOCKETS],
}

struct SocketBuffers<const PACKETS: usize, const BYTES: usize> {
    received: [PacketMetadata; PACKETS],
    received_bytes: [u8; BYTES],
    sent: [PacketMetadata; PACKETS],
    sent_bytes: [u8; BYTES],
}

impl<const SOCKETS: usize, const PACKETS: usize, const BYTES: usize>
    UdpBuffers<SOCKETS, PACKETS, BYTES>
{
    /// Empty buffers, as a `static` needs them.
    pub const fn new() -> Self {
        Self {
            sockets: [const {
                SocketBuffers {
                    received: [PacketMetadata::EMPTY; PACKETS],
                    received_bytes: [0; BYTES],
                    sent: [PacketMetadata::EMPTY; PACKETS],
                    sent_bytes: [0; BYTES],
                }
            }; SOCKETS],
        }
    }
}

impl<const SOCKETS: usize, const PACKETS: usize, const BYTES: usize> fmt::Debug
    for UdpBuffers<SOCKETS, PACKETS, BYTES>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpBuffers").finish_non_exhaustive()
    }
}

/// Sockets of one stack, to be lent by [`UdpNal`].
///
/// Each occupies one of the stack's `StackResources` for as long as the pool lives.
pub struct UdpPool<'d, const SOCKETS: usize> {
    sockets: RefCell<[Option<UdpSocket<'d>>; SOCKETS]>,
    stack: Stack<'d>,
    ip_mtu: u16,
}

impl<'d, const SOCKETS: usize> UdpPool<'d, SOCKETS> {
    /// Makes the sockets, on a stack whose largest IP packet has `ip_mtu` bytes: embassy-net
    /// loses what is longer without an error.
    ///
    /// # Panics
    /// embassy-net does, when the stack's `StackResources` have fewer than `SOCKETS` left.
    pub fn new<const PACKETS: usize, const BYTES: usize>(
        stack: Stack<'d>,
        ip_mtu: u16,
        buffers: &'d mut UdpBuffers<SOCKETS, PACKETS, BYTES>,
    ) -> Self {
        let sockets = buffers.sockets.each_mut().map(|memory| {
            Some(UdpSocket::new(
                stack,
                &mut memory.received,
                &mut memory.received_bytes,
                &mut memory.sent,
                &mut memory.sent_bytes,
            ))
        });
        Self { sockets: RefCell::new(sockets), stack, ip_mtu }
    }

    /// The handle that clients are given.
    pub fn nal(&self) -> UdpNal<'_, 'd> {
        UdpNal { sockets: &self.sockets, stack: self.stack, ip_mtu: self.ip_mtu }
    }
}

impl<const SOCKETS: usize> fmt::Debug for UdpPool<'_, SOCKETS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpPool").finish_non_exhaustive()
    }
}

/// embedded-nal-async's [`UdpStack`] on a stack of embassy-net, under the tunnel or inside it.
///
/// Its sockets come from a [`UdpPool`] and return to it when dropped. What they took is sent
/// nevertheless, unless the last socket is lent meanwhile, or the same port bound to another of
/// the stack's addresses. Who binds the same address and port again takes the socket over, and
/// gets none of the datagrams that came before. embassy-net does not refuse a port that another
/// socket has: the first one then gets its datagrams.
///
/// A datagram leaves from the local address that is asked for, or from one of the stack's choice
/// where the stack does not have that any more.
///
/// Receiving and sending may be dropped at any time and lose nothing; a full send buffer is
/// waited for. So under the tunnel a neighbour that never answers would hold it back for ever:
/// take [`EmbassyUdp`](crate::EmbassyUdp) there, which clears its socket.
#[derive(Clone, Copy)]
pub struct UdpNal<'p, 'd> {
    sockets: &'p RefCell<[Option<UdpSocket<'d>>]>,
    stack: Stack<'d>,
    ip_mtu: u16,
}

impl fmt::Debug for UdpNal<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpNal").field("ip_mtu", &self.ip_mtu).finish_non_exhaustive()
    }
}

/// Why [`UdpNal`] or a socket of it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum UdpNalError {
    /// All sockets of the pool are in use.
    PoolExhausted,
    /// The address or port cannot be bound to.
    Bind,
    /// The datagram was not sent.
    Send(UnderlayError<EmbassyError>),
}

impl fmt::Display for UdpNalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoolExhausted => {
                f.write_str("all sockets of the pool are in use: drop one, or make it larger")
            }
            Self::Bind => f.write_str("the stack cannot bind a socket to this address"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for UdpNalError {}

impl embedded_io_async::Error for UdpNalError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::PoolExhausted => ErrorKind::OutOfMemory,
            Self::Bind => ErrorKind::AddrNotAvailable,
            Self::Send(UnderlayError::Stack(EmbassyError::NotBound)) => ErrorKind::NotConnected,
            Self::Send(_) => ErrorKind::InvalidInput,
        }
    }
}

impl<'p, 'd> UdpNal<'p, 'd> {
    fn bind(self, local: SocketAddr) -> Result<Lent<'p, 'd>, UdpNalError> {
        let addr = (!local.ip().is_unspecified()).then(|| local.ip().into());
        let endpoint = IpListenEndpoint { addr, port: local.port() };
        let mut sockets = self.sockets.try_borrow_mut().map_err(|_| UdpNalError::PoolExhausted)?;
        for socket in sockets.iter_mut().flatten() {
            let bound = socket.endpoint();
            if has_sent_all(socket) || bound.port == endpoint.port && bound != endpoint {
                socket.close();
            }
        }
        // The one that sends from there still; else one that is closed.
        let rank = |socket: &UdpSocket<'_>| match socket.endpoint() {
            bound if bound == endpoint => 0,
            bound if bound.port == 0 => 1,
            _ => 2,
        };
        let socket = sockets
            .iter_mut()
            .filter(|socket| socket.is_some())
            .min_by_key(|socket| socket.as_ref().map(rank))
            .and_then(Option::take);
        drop(sockets);
        let mut socket = socket.ok_or(UdpNalError::PoolExhausted)?;
        if endpoint.port != 0 && socket.endpoint() == endpoint {
            let mut nobody = Context::from_waker(Waker::noop());
            while socket.poll_recv_from(&mut [], &mut nobody).is_ready() {}
            return Ok(Lent { socket: Some(socket), nal: self });
        }
        socket.close();
        // From here on a failure gives the socket back.
        let mut lent = Lent { socket: Some(socket), nal: self };
        match lent.socket.as_mut().map(|socket| socket.bind(endpoint)) {
            Some(Ok(())) => Ok(lent),
            Some(Err(BindError::InvalidState | BindError::NoRoute)) | None => {
                Err(UdpNalError::Bind)
            }
        }
    }

    /// Whether the stack has an address.
    fn has(self, address: IpAddr) -> bool {
        let v4 = || Some(IpAddr::from(self.stack.config_v4()?.address.address()));
        let v6 = || Some(IpAddr::from(self.stack.config_v6()?.address.address()));
        if address.is_ipv4() { v4() == Some(address) } else { v6() == Some(address) }
    }

    /// Where `lent` is bound, with the stack's own address in place of an unspecified one.
    fn local(self, local: SocketAddr, lent: &Lent<'p, 'd>) -> SocketAddr {
        let port = lent.port();
        let own = match local {
            SocketAddr::V4(_) => self.stack.config_v4().map(|own| own.address.address().into()),
            SocketAddr::V6(_) => self.stack.config_v6().map(|own| own.address.address().into()),
        };
        match own {
            Some(own) if local.ip().is_unspecified() => SocketAddr::new(own, port),
            _ => SocketAddr::new(local.ip(), port),
        }
    }
}

impl<'p, 'd> UdpStack for UdpNal<'p, 'd> {
    type Error = UdpNalError;
    type Connected = UdpNalConnected<'p, 'd>;
    type UniquelyBound = UdpNalBound<'p, 'd>;
    type MultiplyBound = UdpNalBound<'p, 'd>;

    async fn connect_from(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(SocketAddr, Self::Connected), Self::Error> {
        let lent = self.bind(local)?;
        Ok((self.local(local, &lent), UdpNalConnected { lent, remote }))
    }

    async fn bind_single(
        &self,
        local: SocketAddr,
    ) -> Result<(SocketAddr, Self::UniquelyBound), Self::Error> {
        let lent = self.bind(local)?;
        Ok((self.local(local, &lent), UdpNalBound { lent }))
    }

    async fn bind_multiple(&self, local: SocketAddr) -> Result<Self::MultiplyBound, Self::Error> {
        Ok(UdpNalBound { lent: self.bind(local)? })
    }
}

/// A socket on loan from the pool.
struct Lent<'p, 'd> {
    /// `None` only while it is dropped.
    socket: Option<UdpSocket<'d>>,
    nal: UdpNal<'p, 'd>,
}

impl Lent<'_, '_> {
    fn port(&self) -> u16 {
        self.socket.as_ref().map_or(0, |socket| socket.endpoint().port)
    }

    async fn send(&self, to: Endpoint, datagram: &[u8]) -> Result<(), UdpNalError> {
        let not_bound = UnderlayError::Stack(EmbassyError::NotBound);
        let socket = self.socket.as_ref().ok_or(UdpNalError::Send(not_bound))?;
        // From an address that is gone, nothing would come back.
        let to = Endpoint { local: to.local.filter(|local| self.nal.has(*local)), ..to };
        let metadata =
            address(socket, self.nal.ip_mtu, to, datagram.len()).map_err(UdpNalError::Send)?;
        let sent = socket.send_to(datagram, metadata).await;
        sent.map_err(|error| UdpNalError::Send(UnderlayError::Stack(error.into())))
    }

    /// The datagram's length, which may exceed the buffer's, its local address and its remote.
    async fn receive(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr, SocketAddr), UdpNalError> {
        let port = self.port();
        let not_bound = UnderlayError::Stack(EmbassyError::NotBound);
        let socket = self.socket.as_mut().ok_or(UdpNalError::Send(not_bound))?;
        let received = socket.recv_from_with(|datagram, metadata| {
            for (to, from) in buffer.iter_mut().zip(datagram) {
                *to = *from;
            }
            let remote = SocketAddr::from(metadata.endpoint);
            let local = metadata.local_address.unwrap_or(metadata.endpoint.addr);
            (datagram.len(), SocketAddr::new(local.into(), port), remote)
        });
        Ok(received.await)
    }
}

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        let Some(mut socket) = self.socket.take() else { return };
        // Else it is closed when the pool lends one next.
        if has_sent_all(&mut socket) {
            socket.close();
        }
        // Borrowed nowhere else: no borrow outlives the statement that took it.
        if let Ok(mut sockets) = self.nal.sockets.try_borrow_mut()
            && let Some(vacant) = sockets.iter_mut().find(|socket| socket.is_none())
        {
            *vacant = Some(socket);
        }
    }
}

/// A socket of [`UdpNal`] that talks with one remote address.
pub struct UdpNalConnected<'p, 'd> {
    lent: Lent<'p, 'd>,
    remote: SocketAddr,
}

impl fmt::Debug for UdpNalConnected<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpNalConnected").field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl ConnectedUdp for UdpNalConnected<'_, '_> {
    type Error = UdpNalError;

    async fn send(&mut self, data: &[u8]) -> Result<(), Self::Error> {
        self.lent.send(Endpoint { remote: self.remote, local: None }, data).await
    }

    async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        loop {
            let (len, _, remote) = self.lent.receive(buffer).await?;
            if remote.ip() == self.remote.ip() && remote.port() == self.remote.port() {
                return Ok(len);
            }
        }
    }
}

/// A socket of [`UdpNal`] that talks with everyone.
pub struct UdpNalBound<'p, 'd> {
    lent: Lent<'p, 'd>,
}

impl fmt::Debug for UdpNalBound<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpNalBound").field("port", &self.lent.port()).finish_non_exhaustive()
    }
}

impl UnconnectedUdp for UdpNalBound<'_, '_> {
    type Error = UdpNalError;

    async fn send(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> Result<(), Self::Error> {
        self.lent.send(Endpoint { remote, local: Some(local.ip()) }, data).await
    }

    async fn receive_into(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr, SocketAddr), Self::Error> {
        self.lent.receive(buffer).await
    }
}
