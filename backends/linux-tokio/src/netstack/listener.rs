//! A TCP listener: sockets that each wait for one connection.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use super::stack::{Protocol, endpoint, listen};
use super::{Shared, TcpStream, ended};

/// Connections that nobody has accepted yet; others are refused.
const BACKLOG: usize = 32;

/// Waits for TCP connections inside the tunnel.
#[derive(Debug)]
pub struct TcpListener {
    shared: Arc<Shared>,
    at: SocketAddr,
    waiting: Mutex<Vec<SocketHandle>>,
}

impl TcpListener {
    pub(super) fn new(shared: Arc<Shared>, at: SocketAddr) -> io::Result<Self> {
        let mut stack = shared.stack();
        let at = stack.bind(Protocol::Tcp, at)?;
        let waiting = (0..BACKLOG).map(|_| stack.listen(endpoint(at))).collect();
        drop(stack);
        Ok(Self { shared, at, waiting: Mutex::new(waiting) })
    }

    /// The next connection, and where it is from. Cancel safe. Meant for one task at a time.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when the tunnel has ended.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.at
    }

    fn poll_accept(&self, context: &Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stack = self.shared.stack();
        if stack.has_ended() {
            return Poll::Ready(Err(ended()));
        }
        for place in waiting.iter_mut() {
            let handle = *place;
            let socket = stack.socket::<Socket<'_>>(handle);
            match socket.state() {
                // The caller gave up, or did not go on.
                State::Closed => listen(socket, endpoint(self.at)),
                State::Listen | State::SynReceived => {}
                _ => {
                    let ends = socket.local_endpoint().zip(socket.remote_endpoint());
                    let Some((local, peer)) = ends else { continue };
                    if !stack.take(handle) {
                        log::warn!("refused a TCP connection from {peer}: there are too many");
                        continue;
                    }
                    *place = stack.listen(endpoint(self.at));
                    drop(stack);
                    let ends = (local.into(), peer.into());
                    let stream = TcpStream::accepted(self.shared.clone(), handle, ends);
                    return Poll::Ready(Ok((stream, ends.1)));
                }
            }
            stack.socket::<Socket<'_>>(handle).register_recv_waker(context.waker());
        }
        Poll::Pending
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let mut stack = self.shared.stack();
        let waiting = self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner);
        for handle in waiting.drain(..) {
            stack.remove(handle);
        }
        stack.unbind(Protocol::Tcp, self.at.port());
    }
}
