//! A board between the tunnel and its LAN.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::updated;
use crate::icmp::IcmpError;
use crate::mss::clamp_mss;

/// The board as a router: what it does to each packet that it forwards, either way.
///
/// Where packets go is the application's to say: a board between a tunnel and a LAN sends what
/// came from one to the other. `forward` of the examples does so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Router {
    /// The address that tells senders of IPv4 what was not forwarded; unspecified for that of
    /// the packet's destination.
    pub v4: Ipv4Addr,
    /// The same for IPv6.
    pub v6: Ipv6Addr,
    /// The MTU of the tunnel. Connections are kept within it whichever way their packets go:
    /// the size that one end names is for what the other one sends.
    pub tunnel_mtu: u16,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a packet that does not pass is lost, and its sender waits for an answer"]
pub enum Forward<'b> {
    /// Send it on.
    Pass,
    /// Send this back to where the packet came from, and not the packet on.
    Answer(&'b [u8]),
    /// Send nothing. It is no IP packet, or one that must not be answered.
    Drop,
}

impl Router {
    /// Makes a packet ready for a link that carries `mtu` bytes.
    ///
    /// - The hop limit goes down by one. At the last hop, the sender is told.
    /// - A packet that is longer than `mtu` is not forwarded, and the sender is told how long it
    ///   may be. One of IPv4 that does not forbid fragments, too: hosts fragment it then.
    ///   Nothing is fragmented here.
    /// - TCP connections are kept from sending packets too long for the tunnel: [`clamp_mss`].
    ///
    /// `answer` has room for an answer: [`LONGEST_ICMP`](crate::LONGEST_ICMP). A packet that does
    /// not pass is left as it is.
    pub fn forward<'b>(&self, packet: &mut [u8], mtu: u16, answer: &'b mut [u8]) -> Forward<'b> {
        let (hops_at, from) = match packet.first().map(|first| first >> 4) {
            Some(4) => (8, IpAddr::V4(self.v4)),
            Some(6) => (7, IpAddr::V6(self.v6)),
            _ => return Forward::Drop,
        };
        let from = (!from.is_unspecified()).then_some(from);
        let error = match packet.get(hops_at) {
            None => return Forward::Drop,
            Some(0 | 1) => Some(IcmpError::HopLimit),
            Some(_) => (packet.len() > mtu.into()).then_some(IcmpError::TooBig { mtu }),
        };
        if let Some(error) = error {
            return error.answer(packet, from, answer).map_or(Forward::Drop, Forward::Answer);
        }
        if count_hop(packet, hops_at).is_none() {
            return Forward::Drop;
        }
        clamp_mss(packet, self.tunnel_mtu.min(mtu));
        Forward::Pass
    }
}

/// Lowers the hop limit by one, and IPv4's checksum with it. `None` for a packet that ends
/// before its header does.
fn count_hop(packet: &mut [u8], hops_at: usize) -> Option<()> {
    let header = packet.first_chunk_mut::<20>()?;
    let hops = header.get_mut(hops_at)?;
    *hops = hops.checked_sub(1)?;
    if hops_at == 8 {
        let (hops, protocol) = (header[8], header[9]);
        let new = u16::from_be_bytes([hops, protocol]);
        let old = u16::from_be_bytes([hops.saturating_add(1), protocol]);
        let sum = updated([header[10], header[11]], old, new);
        header[10..12].copy_from_slice(&sum);
    }
    Some(())
}

#[cfg(test)]
#[path = "router/tests.rs"]
mod tests;
