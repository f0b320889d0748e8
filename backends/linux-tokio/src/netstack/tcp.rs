//! A TCP connection.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, Socket, State};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Shared, ended};

/// How long it takes until there is a connection: with a peer that answers at the second try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other end may take to acknowledge anything of what was sent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// The same after the connection was dropped, and until the other end closes it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A TCP connection inside the tunnel.
///
/// What is written is sent at once, as with `TCP_NODELAY`; flushing waits for nothing. Dropped, it
/// sends what was written and closes, within 30 seconds; if it has bytes that were not read it is
/// reset, as the kernel's are.
#[derive(Debug)]
pub struct TcpStream {
    shared: Arc<Shared>,
    handle: SocketHandle,
    local: SocketAddr,
    peer: SocketAddr,
}

impl TcpStream {
    pub(super) async fn connect(shared: Arc<Shared>, to: SocketAddr) -> io::Result<Self> {
        shared.check_route(to.ip())?;
        let stream = {
            let mut stack = shared.stack();
            let handle = stack.connect(to)?;
            let local = stack.socket::<Socket<'_>>(handle).local_endpoint();
            let local = local.map_or(to, Into::into);
            drop(stack);
            Self { shared, handle, local, peer: to }
        };
        stream.shared.wake.notify_one();
        let opened = poll_fn(|context| stream.poll_open(context));
        match tokio::time::timeout(CONNECT_TIMEOUT, opened).await {
            Ok(opened) => opened?,
            Err(_) => {
                let why = stream.shared.why_silent(to.ip()).await;
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
        stream.shared.stack().socket::<Socket<'_>>(stream.handle).set_timeout(patience());
        Ok(stream)
    }

    /// A connection that a listener has taken.
    pub(super) fn accepted(
        shared: Arc<Shared>,
        handle: SocketHandle,
        (local, peer): (SocketAddr, SocketAddr),
    ) -> Self {
        shared.stack().socket::<Socket<'_>>(handle).set_timeout(patience());
        Self { shared, handle, local, peer }
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn poll_open(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut stack = self.shared.stack();
        let socket = stack.socket::<Socket<'_>>(self.handle);
        match socket.state() {
            State::SynSent | State::SynReceived => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            State::Closed if stack.has_ended() => Poll::Ready(Err(ended())),
            State::Closed if stack.is_unreachable(self.handle) => {
                let why = "a router in the tunnel says that it cannot be reached";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::HostUnreachable, why)))
            }
            State::Closed => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

fn patience() -> Option<smoltcp::time::Duration> {
    Some(ANSWER_TIMEOUT.into())
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut stack = self.shared.stack();
        let has_ended = stack.has_ended();
        let socket = stack.socket::<Socket<'_>>(self.handle);
        if socket.can_recv() {
            let read = socket.recv_slice(buffer.initialize_unfilled()).unwrap_or(0);
            drop(stack);
            buffer.advance(read);
            // The window may be worth announcing.
            self.shared.wake.notify_one();
            return Poll::Ready(Ok(()));
        }
        match socket.recv_slice(&mut []) {
            Ok(_) => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(())),
            Err(RecvError::InvalidState) if has_ended => Poll::Ready(Err(ended())),
            Err(RecvError::InvalidState) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut stack = self.shared.stack();
        let has_ended = stack.has_ended();
        let socket = stack.socket::<Socket<'_>>(self.handle);
        match socket.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            Ok(written) => {
                drop(stack);
                self.shared.wake.notify_one();
                Poll::Ready(Ok(written))
            }
            Err(_) if has_ended => Poll::Ready(Err(ended())),
            Err(_) if socket.state() == State::Closed => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Err(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.stack().socket::<Socket<'_>>(self.handle).close();
        self.shared.wake.notify_one();
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.shared.stack().abandon(self.handle, CLOSE_TIMEOUT);
        self.shared.wake.notify_one();
    }
}
