//! The tunnel's datagrams over a socket of embassy-net.

use core::future::poll_fn;
use core::net::IpAddr;
use core::task::Poll;

use embassy_net::udp::{SendError, UdpMetadata, UdpSocket};
use wg_nal::Datagrams;
use wg_nal::wg_core::{Ecn, Endpoint, Source};

/// A bound socket.
pub(crate) struct Underlay(pub(crate) UdpSocket<'static>);

impl Datagrams for Underlay {
    type Error = SendError;

    fn local_port(&self) -> Option<u16> {
        Some(self.0.endpoint().port)
    }

    async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, Source), SendError> {
        loop {
            // What is longer than the buffer is none of the tunnel's.
            if let Ok((length, UdpMetadata { endpoint, local_address, .. })) =
                self.0.recv_from(buffer).await
            {
                let local = local_address.map(IpAddr::from);
                let source = Source { remote: endpoint.into(), local, ecn: Ecn::NotCapable };
                return Ok((length, source));
            }
        }
    }

    /// Where there is no room, the other tasks run once, the stack's among them; then the
    /// datagram is lost.
    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), SendError> {
        let mut offered = false;
        poll_fn(|cx| match self.0.poll_send_to(datagram, to.remote, cx) {
            Poll::Pending if !offered => {
                offered = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(Ok(())),
            sent => sent,
        })
        .await
    }
}
