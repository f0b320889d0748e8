//! The underlay, as an asynchronous tunnel needs it.

use core::fmt;
use core::net::IpAddr;

use wg_core::{Endpoint, Source};

#[cfg(feature = "edge-nal")]
mod edge;
#[cfg(feature = "embassy")]
mod embassy;
#[cfg(feature = "embedded-nal-async")]
mod nal_async;

#[cfg(feature = "edge-nal")]
pub use edge::EdgeUdp;
#[cfg(feature = "embassy")]
pub use embassy::{EmbassyError, EmbassyUdp};
#[cfg(all(feature = "embassy", feature = "embedded-nal-async"))]
pub(crate) use embassy::{address, has_sent_all};
#[cfg(feature = "embedded-nal-async")]
pub use nal_async::CancelSafe;

/// The largest IP packet where nothing else is said.
pub const ETHERNET_MTU: u16 = 1500;

/// The underlay: where the tunnel's datagrams go and come from.
///
/// # Which way datagrams go
///
/// The stack routes them, and none of the adapters here can pin a socket to an interface: see
/// each of them for what can be done instead. When one stack has the tunnel and the underlay,
/// the endpoint needs a route that is more specific than the tunnel's; else the tunnel's
/// datagrams come back to it as packets. When the inside of the tunnel is a stack of its own,
/// there is nothing to choose wrongly.
pub trait Datagrams {
    /// The stack's error.
    type Error: fmt::Debug;

    /// The largest UDP payload that leaves whole towards `to`. What is longer is refused before
    /// it is sent, because some stacks lose it without an error.
    ///
    /// By default what an IP packet of [`ETHERNET_MTU`] holds: 1472 bytes over IPv4, 1452 over
    /// IPv6.
    fn largest_datagram(&self, to: IpAddr) -> usize {
        largest_payload(ETHERNET_MTU, to)
    }

    /// Waits for a datagram.
    ///
    /// Must be cancel-safe: a dropped future loses no datagram, because the tunnel drops it
    /// whenever there is something to send. A datagram longer than `buf` is dropped.
    ///
    /// # Errors
    /// The stack's. The tunnel receives again after it.
    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), Self::Error>;

    /// Sends a datagram, from `to.local` where that is known and the stack can. Dropping the
    /// future sends it or does not.
    ///
    /// Should not wait for long: nothing is received meanwhile.
    ///
    /// # Errors
    /// The stack's. The datagram is lost, which the protocol expects of datagrams.
    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), Self::Error>;
}

impl<D: Datagrams + ?Sized> Datagrams for &mut D {
    type Error = D::Error;

    fn largest_datagram(&self, to: IpAddr) -> usize {
        (**self).largest_datagram(to)
    }

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), Self::Error> {
        (**self).receive(buf).await
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), Self::Error> {
        (**self).send(to, datagram).await
    }
}

/// Why an adapter did not send or receive. `E` is the stack's error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum UnderlayError<E> {
    /// The datagram is longer than what leaves whole.
    TooLong {
        /// The length of the largest one: [`Datagrams::largest_datagram`].
        largest: usize,
    },
    /// The socket is bound to an address of one family, and the endpoint has one of the other.
    OtherFamily,
    /// The stack failed.
    Stack(E),
}

impl<E: fmt::Debug> fmt::Display for UnderlayError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { largest } => {
                write!(f, "the datagram is longer than {largest} bytes: lower the tunnel's MTU")
            }
            Self::OtherFamily => f.write_str(
                "one of socket and endpoint is IPv4, the other IPv6: bind a socket of its family",
            ),
            Self::Stack(error) => write!(f, "the UDP stack failed: {error:?}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for UnderlayError<E> {}

/// The UDP payload that an IP packet of `ip_mtu` bytes holds.
pub(crate) fn largest_payload(ip_mtu: u16, to: IpAddr) -> usize {
    const UDP_HEADER: u16 = 8;
    let ip_header: u16 = if to.is_ipv4() { 20 } else { 40 };
    ip_mtu.saturating_sub(ip_header.saturating_add(UDP_HEADER)).into()
}

/// An address of ours to reply from, which those of many receivers are not.
#[cfg(any(feature = "embassy", feature = "embedded-nal-async"))]
fn reply_address(local: IpAddr) -> Option<IpAddr> {
    let broadcast = local == IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
    (!local.is_unspecified() && !local.is_multicast() && !broadcast).then_some(local)
}
