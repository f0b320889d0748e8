//! A UDP socket.

use core::future::poll_fn;
use core::task::Poll;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{RecvError, SendError, Socket};

use super::stack::Protocol;
use super::{Shared, ended};

/// Room for datagrams in each direction.
const ROOM: usize = 64 * 1024;
/// IPv6's header and UDP's; IPv4's is shorter, and so is sure to fit.
const HEADERS: usize = 48;

/// A UDP socket inside the tunnel, for one task that sends and one that receives.
#[derive(Debug)]
pub struct UdpSocket {
    shared: Arc<Shared>,
    handle: SocketHandle,
    at: SocketAddr,
}

impl UdpSocket {
    pub(super) fn new(shared: Arc<Shared>, at: SocketAddr) -> io::Result<Self> {
        let mut stack = shared.stack();
        let at = stack.bind(Protocol::Udp, at)?;
        let handle = stack.bind_udp(at, ROOM);
        drop(stack);
        Ok(Self { handle: handle?, shared, at })
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.at
    }

    /// Sends one datagram, once there is room for it. Cancel safe.
    ///
    /// # Errors
    /// [`NetworkUnreachable`](io::ErrorKind::NetworkUnreachable) when no peer has this address in
    /// its allowed IPs; [`InvalidInput`](io::ErrorKind::InvalidInput) when the datagram is longer
    /// than the tunnel's MTU, or an address or port is 0.
    pub async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.shared.check_route(to.ip())?;
        let longest = usize::from(self.shared.stack().mtu()).saturating_sub(HEADERS);
        if datagram.len() > longest {
            let why = format!("a datagram in the tunnel has {longest} bytes at most");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        poll_fn(|context| {
            let mut stack = self.shared.stack();
            if stack.has_ended() {
                return Poll::Ready(Err(ended()));
            }
            let socket = stack.socket::<Socket<'_>>(self.handle);
            match socket.send_slice(datagram, smoltcp::wire::IpEndpoint::from(to)) {
                Ok(()) => {
                    self.shared.wake.notify_one();
                    Poll::Ready(Ok(()))
                }
                Err(SendError::BufferFull) => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                Err(SendError::Unaddressable) => {
                    let why = format!("{to} is no address to send to");
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, why)))
                }
            }
        })
        .await
    }

    /// Receives one datagram: its length, and where it is from. What does not fit `buffer` is cut
    /// off. Cancel safe.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when the tunnel has ended.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|context| {
            let mut stack = self.shared.stack();
            if stack.has_ended() {
                return Poll::Ready(Err(ended()));
            }
            let socket = stack.socket::<Socket<'_>>(self.handle);
            match socket.recv() {
                Ok((datagram, from)) => {
                    let length = datagram.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&datagram[..length]);
                    Poll::Ready(Ok((length, from.endpoint.into())))
                }
                Err(RecvError::Exhausted | RecvError::Truncated) => {
                    socket.register_recv_waker(context.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let mut stack = self.shared.stack();
        stack.remove(self.handle);
        stack.unbind(Protocol::Udp, self.at.port());
    }
}
