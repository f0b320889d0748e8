//! The underlay.

use core::net::IpAddr;

use wg_core::{Endpoint, Source};

/// The underlay: where the tunnel's datagrams go and come from.
pub trait Datagrams {
    /// The stack's error.
    type Error: core::fmt::Debug;

    /// The local port, where it is known: with it a routing loop is told from a packet that a
    /// program sends to the peer's address.
    fn local_port(&self) -> Option<u16> {
        None
    }

    /// The largest UDP payload that leaves whole towards `to`.
    fn largest_datagram(&self, to: IpAddr) -> usize {
        match to {
            IpAddr::V4(_) => 1472,
            IpAddr::V6(_) => 1452,
        }
    }

    /// Waits for a datagram.
    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), Self::Error>;

    /// Sends a datagram.
    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), Self::Error>;
}
