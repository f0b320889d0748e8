//! Answers, read by smoltcp.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
};

use super::*;

extern crate alloc;

const V4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 1)];
const V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)];
const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe);

fn v4_packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend(V4[0].octets());
    packet.extend(V4[1].octets());
    packet.extend(payload);
    let len = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&len);
    packet
}

fn v6_packet(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, next_header, 64];
    packet.extend(V6[0].octets());
    packet.extend(V6[1].octets());
    packet.extend(payload);
    packet
}

fn answer(error: IcmpError, packet: &[u8], from: Option<IpAddr>) -> Option<Vec<u8>> {
    let mut buf = [0xaa; LONGEST_ICMP];
    error.answer(packet, from, &mut buf).map(<[u8]>::to_vec)
}

fn unreachable(packet: &[u8]) -> Option<Vec<u8>> {
    answer(IcmpError::Unreachable, packet, None)
}

/// Its source, its destination and its ICMP message, all checksums verified.
fn read_v4(answer: &[u8]) -> (Ipv4Addr, Ipv4Addr, &[u8]) {
    let packet = Ipv4Packet::new_checked(answer).unwrap();
    assert!(packet.verify_checksum());
    let repr = Ipv4Repr::parse(&packet, &ChecksumCapabilities::default()).unwrap();
    assert_eq!(usize::from(packet.total_len()), answer.len());
    (repr.src_addr, repr.dst_addr, packet.payload())
}

fn read_v6(answer: &[u8]) -> (Ipv6Addr, Ipv6Addr, &[u8]) {
    let packet = Ipv6Packet::new_checked(answer).unwrap();
    let repr = Ipv6Repr::parse(&packet).unwrap();
    (repr.src_addr, repr.dst_addr, packet.payload())
}

#[test]
fn a_v4_sender_hears_how_long_a_packet_may_be() {
    let long = v4_packet(17, &[7; 1480]);
    let answer = answer(IcmpError::TooBig { mtu: 1420 }, &long, Some(ROUTER_V4.into())).unwrap();
    assert_eq!(answer.len(), 576);
    let (from, to, message) = read_v4(&answer);
    assert_eq!((from, to), (ROUTER_V4, V4[0]));
    let message = Icmpv4Packet::new_checked(message).unwrap();
    assert!(message.verify_checksum());
    assert_eq!((u8::from(message.msg_type()), message.msg_code()), (3, 4));
    assert_eq!(answer[24..28], [0, 0, 0x05, 0x8c], "RFC 1191: two bytes of zeros, then the MTU");
    assert_eq!(answer[28..], long[..548]);
}

#[test]
fn a_v6_sender_hears_how_long_a_packet_may_be() {
    let long = v6_packet(17, &[7; 1460]);
    let answer = answer(IcmpError::TooBig { mtu: 1400 }, &long, Some(ROUTER_V6.into())).unwrap();
    assert_eq!(answer.len(), 1280);
    let (from, to, message) = read_v6(&answer);
    assert_eq!((from, to), (ROUTER_V6, V6[0]));
    let message = Icmpv6Packet::new_checked(message).unwrap();
    match Icmpv6Repr::parse(&from, &to, &message, &ChecksumCapabilities::default()).unwrap() {
        Icmpv6Repr::PktTooBig { mtu, header, .. } => {
            assert_eq!((mtu, header.src_addr, header.dst_addr), (1400, V6[0], V6[1]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_an_address_of_ours_an_answer_comes_from_the_address_that_was_not_reached() {
    let packet = v4_packet(17, &[7; 9]);
    let answer = unreachable(&packet).unwrap();
    let (from, to, message) = read_v4(&answer);
    assert_eq!((from, to), (V4[1], V4[0]));
    let message = Icmpv4Packet::new_checked(message).unwrap();
    match Icmpv4Repr::parse(&message, &ChecksumCapabilities::default()).unwrap() {
        Icmpv4Repr::DstUnreachable { reason, header, data } => {
            assert_eq!(u8::from(reason), 1);
            assert_eq!((header.src_addr, data), (V4[0], &[7; 9][..]));
        }
        other => panic!("{other:?}"),
    }

    let packet = v6_packet(17, &[7; 9]);
    // An address of the other family is no address for this packet.
    let other_family = Some(ROUTER_V4.into());
    let answer = self::answer(IcmpError::Unreachable, &packet, other_family).unwrap();
    let (from, to, message) = read_v6(&answer);
    assert_eq!((from, to), (V6[1], V6[0]));
    let message = Icmpv6Packet::new_checked(message).unwrap();
    let repr = Icmpv6Repr::parse(&from, &to, &message, &ChecksumCapabilities::default()).unwrap();
    assert!(matches!(repr, Icmpv6Repr::DstUnreachable { data, .. } if data == [7; 9]), "{repr:?}");
    assert_eq!(answer[40..42], [1, 3]);
}

#[test]
fn a_packet_at_its_last_hop_is_told_apart() {
    let from = Some(ROUTER_V4.into());
    let answered = answer(IcmpError::HopLimit, &v4_packet(6, &[0; 20]), from).unwrap();
    assert_eq!(read_v4(&answered).2[..2], [11, 0]);
    let from = Some(ROUTER_V6.into());
    let answered = answer(IcmpError::HopLimit, &v6_packet(6, &[0; 20]), from).unwrap();
    assert_eq!(read_v6(&answered).2[..2], [3, 0]);
}

#[test]
fn errors_fragments_groups_and_garbage_get_no_answer() {
    assert!(unreachable(&v4_packet(1, &[8, 0])).is_some(), "a ping gets one");
    assert!(unreachable(&v4_packet(1, &[3, 1])).is_none());
    assert!(unreachable(&v4_packet(1, &[])).is_none());
    assert!(unreachable(&v6_packet(58, &[128, 0])).is_some(), "a ping gets one");
    assert!(unreachable(&v6_packet(58, &[1, 3])).is_none());
    let behind_extension = v6_packet(60, &[58, 0, 0, 0, 0, 0, 0, 0, 1, 3]);
    assert!(unreachable(&behind_extension).is_none());

    let mut later_fragment = v4_packet(17, &[1; 9]);
    later_fragment[7] = 1;
    assert!(unreachable(&later_fragment).is_none());
    let mut to_group = v4_packet(17, &[1; 9]);
    to_group[16] = 224;
    assert!(unreachable(&to_group).is_none());
    let mut to_group = v6_packet(17, &[1; 9]);
    to_group[24] = 0xff;
    assert!(unreachable(&to_group).is_none());
    let mut from_nobody = v4_packet(17, &[1; 9]);
    from_nobody[12..16].fill(0);
    assert!(unreachable(&from_nobody).is_none());

    let whole = v6_packet(17, &[1; 9]);
    assert!((0..40).all(|len| unreachable(&whole[..len]).is_none()));
    assert!(unreachable(&[0; 60]).is_none());
    let mut short = [0; 60];
    assert!(IcmpError::Unreachable.answer(&whole, None, &mut short).is_none());
}
