//! Answers to "who has this address": ARP and IPv6 neighbour discovery.

use core::net::{IpAddr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags,
    NdiscRepr, RawHardwareAddress,
};

/// The answer to `frame`, when it asks for an address that `is_ours` on the card `mac`.
pub(super) fn answer(
    frame: &[u8],
    mac: EthernetAddress,
    is_ours: impl Fn(IpAddr) -> bool,
) -> Option<Vec<u8>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Arp => answer_arp(ethernet.payload(), mac, is_ours),
        EthernetProtocol::Ipv6 => answer_ndisc(ethernet.payload(), mac, is_ours),
        _ => None,
    }
}

fn answer_arp(
    payload: &[u8],
    mac: EthernetAddress,
    is_ours: impl Fn(IpAddr) -> bool,
) -> Option<Vec<u8>> {
    let ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&ArpPacket::new_checked(payload).ok()?).ok()?
    else {
        return None;
    };
    is_ours(target_protocol_addr.into()).then(|| {
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: mac,
            source_protocol_addr: target_protocol_addr,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        framed(mac, source_hardware_addr, EthernetProtocol::Arp, reply.buffer_len(), |body| {
            reply.emit(&mut ArpPacket::new_unchecked(body));
        })
    })
}

fn answer_ndisc(
    payload: &[u8],
    mac: EthernetAddress,
    is_ours: impl Fn(IpAddr) -> bool,
) -> Option<Vec<u8>> {
    let checksums = ChecksumCapabilities::default();
    let packet = Ipv6Packet::new_checked(payload).ok()?;
    let asker: Ipv6Addr = packet.src_addr();
    if packet.next_header() != IpProtocol::Icmpv6 {
        return None;
    }
    let icmp = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    let Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, lladdr: Some(asker_card) }) =
        Icmpv6Repr::parse(&packet.src_addr(), &packet.dst_addr(), &icmp, &checksums).ok()?
    else {
        return None;
    };
    let asker_card = EthernetAddress::from_bytes(asker_card.as_bytes());
    is_ours(target_addr.into()).then(|| {
        let advert = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
            flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
            target_addr,
            lladdr: Some(RawHardwareAddress::from_bytes(mac.as_bytes())),
        });
        let ip = Ipv6Repr {
            src_addr: target_addr,
            dst_addr: asker,
            next_header: IpProtocol::Icmpv6,
            payload_len: advert.buffer_len(),
            // Neighbour discovery is refused when it may have crossed a router.
            hop_limit: 255,
        };
        let length = ip.buffer_len() + advert.buffer_len();
        framed(mac, asker_card, EthernetProtocol::Ipv6, length, |body| {
            let mut packet = Ipv6Packet::new_unchecked(body);
            ip.emit(&mut packet);
            let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
            advert.emit(&target_addr, &asker, &mut icmp, &checksums);
        })
    })
}

/// A frame whose `length` bytes of payload `fill` writes.
pub(super) fn framed(
    from: EthernetAddress,
    to: EthernetAddress,
    ethertype: EthernetProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let repr = EthernetRepr { src_addr: from, dst_addr: to, ethertype };
    let mut frame = EthernetFrame::new_unchecked(vec![0; repr.buffer_len() + length]);
    repr.emit(&mut frame);
    fill(frame.payload_mut());
    frame.into_inner()
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const OURS: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);
    const ASKER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

    fn question(target: Ipv4Addr) -> Vec<u8> {
        let request = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: ASKER,
            source_protocol_addr: Ipv4Addr::new(10, 0, 0, 1),
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: target,
        };
        framed(ASKER, EthernetAddress::BROADCAST, EthernetProtocol::Arp, 28, |body| {
            request.emit(&mut ArpPacket::new_unchecked(body));
        })
    }

    #[test]
    fn only_our_addresses_are_answered_for() {
        let ours = Ipv4Addr::new(10, 0, 0, 9);
        let is_ours = |address| address == IpAddr::V4(ours);
        let reply = answer(&question(ours), OURS, is_ours).expect("an answer");
        assert_eq!(reply[..6], ASKER.0);
        assert_eq!(reply[6..12], OURS.0);
        assert_eq!(answer(&question(Ipv4Addr::new(10, 0, 0, 8)), OURS, is_ours), None);
        // Our own answer asks nothing.
        assert_eq!(answer(&reply, OURS, |_| true), None);
    }
}
