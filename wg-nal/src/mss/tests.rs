//! Segments, made and read by smoltcp.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::*;

extern crate alloc;

const V4: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 168, 1, 9)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))];
const V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9)),
    IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1)),
];

/// The first packet of a connection, or a later one.
fn packet([from, to]: [IpAddr; 2], control: TcpControl, mss: Option<u16>) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: 50_000,
        dst_port: 80,
        control,
        seq_number: TcpSeqNumber(77),
        ack_number: (control != TcpControl::Syn).then_some(TcpSeqNumber(99)),
        window_len: 1000,
        window_scale: None,
        max_seg_size: mss,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"",
    };
    let (from, to) = (IpAddress::from(from), IpAddress::from(to));
    let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), 64);
    let mut bytes = vec![0; ip.buffer_len()];
    let (header, segment) = bytes.split_at_mut(ip.header_len());
    ip.emit(header, &ChecksumCapabilities::default());
    let caps = ChecksumCapabilities::default();
    tcp.emit(&mut TcpPacket::new_unchecked(segment), &from, &to, &caps);
    bytes
}

/// What the packet asks for, its checksum verified.
fn asks_for(packet: &[u8], [from, to]: [IpAddr; 2]) -> Option<u16> {
    let at = if from.is_ipv4() { 20 } else { 40 };
    let segment = TcpPacket::new_checked(&packet[at..]).unwrap();
    let (from, to) = (from.into(), to.into());
    assert!(segment.verify_checksum(&from, &to));
    TcpRepr::parse(&segment, &from, &to, &ChecksumCapabilities::default()).unwrap().max_seg_size
}

#[test]
fn a_size_that_does_not_fit_is_lowered_to_one_that_does() {
    for (addresses, asked, fits) in [(V4, 1460, 1380), (V6, 1440, 1360), (V4, 65_535, 1380)] {
        for control in [TcpControl::Syn, TcpControl::None] {
            let mut packet = packet(addresses, control, Some(asked));
            let before = packet.clone();
            let is_syn = control == TcpControl::Syn;
            assert_eq!(clamp_mss(&mut packet, 1420), is_syn);
            if is_syn {
                assert_eq!(asks_for(&packet, addresses), Some(fits));
                assert!(!clamp_mss(&mut packet, 1420), "once is enough");
            } else {
                assert_eq!(packet, before, "only the first packets name a size");
            }
        }
    }
}

#[test]
fn the_answer_of_the_other_end_is_lowered_too() {
    let mut packet = packet(V4, TcpControl::Syn, Some(1460));
    packet[20 + 13] |= 0x10; // SYN and ACK
    assert!(clamp_mss(&mut packet, 1280));
    assert_eq!(packet[20 + 22..20 + 24], 1240_u16.to_be_bytes());
}

#[test]
fn an_option_at_an_odd_place_keeps_its_checksum_right() {
    let mut odd = packet(V4, TcpControl::Syn, Some(1460));
    // A byte of nothing before it, and three after it: one more word of header.
    odd.splice(40..40, [1]);
    odd.splice(45..45, [0, 0, 0]);
    odd[3] += 4;
    odd[20 + 12] += 1 << 4;
    let (from, to) = (V4[0].into(), V4[1].into());
    TcpPacket::new_unchecked(&mut odd[20..]).fill_checksum(&from, &to);
    assert_eq!(asks_for(&odd, V4), Some(1460));
    assert!(clamp_mss(&mut odd, 1420));
    assert_eq!(asks_for(&odd, V4), Some(1380));
}

#[test]
fn what_is_small_already_or_no_connection_is_left_alone() {
    for packet in [
        packet(V4, TcpControl::Syn, Some(1380)),
        packet(V6, TcpControl::Syn, Some(536)),
        packet(V6, TcpControl::Syn, None),
        vec![],
        vec![0x45; 60],
    ] {
        let mut after = packet.clone();
        assert!(!clamp_mss(&mut after, 1420));
        assert_eq!(after, packet);
    }
}

#[test]
fn options_that_lie_about_their_length_end_the_search() {
    let whole = packet(V4, TcpControl::Syn, Some(1460));
    for len in 0..whole.len() {
        assert!(!clamp_mss(&mut whole[..len].to_vec(), 1420), "{len}");
    }
    for (at, value) in [(41, 0), (41, 1), (41, 3), (41, 255), (40, 9), (32, 0x50), (40, 0)] {
        let mut lying = whole.clone();
        lying[at] = value;
        if at == 40 && value == 9 {
            lying[41] = 0;
        }
        assert!(!clamp_mss(&mut lying, 1420), "{value} at {at}");
    }
    let mut whole = whole;
    assert!(!clamp_mss(&mut whole, 39), "no segment fits at all");
}
