//! ICMP's word that a TCP connection cannot be opened, which smoltcp leaves to others.

use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet,
};

/// The connection, as local and remote end, that `packet` says cannot be opened.
///
/// It has come through the tunnel from a peer that may have the address that it comes from, or
/// is the tunnel's own answer. Whoever can send it can drop the connection's packets, too; an
/// established connection does not heed it.
pub(super) fn unreachable(packet: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    match packet.first()? >> 4 {
        4 => {
            let outer = Ipv4Packet::new_checked(packet).ok()?;
            if outer.next_header() != IpProtocol::Icmp {
                return None;
            }
            let icmp = Icmpv4Packet::new_checked(outer.payload()).ok()?;
            // Code 4 is about the length of a packet, and a SYN has none to speak of.
            if icmp.msg_type() != Icmpv4Message::DstUnreachable || icmp.msg_code() == 4 {
                return None;
            }
            // What follows may be cut after eight bytes: no check of the inner length.
            let inner = icmp.data();
            let header = usize::from(inner.first()? & 0x0f) * 4;
            let (protocol, from) = (*inner.get(9)?, inner.get(12..16)?);
            let from: [u8; 4] = from.try_into().ok()?;
            let to: [u8; 4] = inner.get(16..20)?.try_into().ok()?;
            ends(protocol, from.into(), to.into(), inner.get(header..)?)
        }
        6 => {
            let outer = Ipv6Packet::new_checked(packet).ok()?;
            if outer.next_header() != IpProtocol::Icmpv6 {
                return None;
            }
            let icmp = Icmpv6Packet::new_checked(outer.payload()).ok()?;
            if icmp.msg_type() != Icmpv6Message::DstUnreachable {
                return None;
            }
            let inner = icmp.payload();
            let (protocol, from) = (*inner.get(6)?, inner.get(8..24)?);
            let from: [u8; 16] = from.try_into().ok()?;
            let to: [u8; 16] = inner.get(24..40)?.try_into().ok()?;
            ends(protocol, from.into(), to.into(), inner.get(40..)?)
        }
        _ => None,
    }
}

/// The ends of a TCP packet, of which the ports are there.
fn ends(protocol: u8, from: IpAddr, to: IpAddr, tcp: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    if protocol != 6 {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
    Some((SocketAddr::new(from, port(0)?), SocketAddr::new(to, port(2)?)))
}
