//! The checks of inner packets, and RFC 6040 bit by bit.

extern crate std;

use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;

/// An IPv4 packet with a valid checksum.
fn v4(tos: u8, total: u16, length: usize) -> Vec<u8> {
    let mut packet = vec![0; length.max(20)];
    packet[..20].copy_from_slice(&[
        0x45, tos, 0, 0, 0xbe, 0xef, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 168, 7, 9,
    ]);
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    let sum = (!sum(&packet[..20])).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.truncate(length);
    packet
}

/// The ones' complement sum, all ones over a header with a valid checksum.
fn sum(header: &[u8]) -> u16 {
    let total = header
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes(word.try_into().unwrap())))
        .sum::<u32>();
    let folded = (total & 0xffff) + (total >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

fn v6(class: u8, payload: u16, length: usize) -> Vec<u8> {
    let mut packet = vec![0; length.max(40)];
    packet[..8].copy_from_slice(&[0x60 | class >> 4, class << 4 | 0x5, 6, 7, 0, 0, 17, 64]);
    packet[4..6].copy_from_slice(&payload.to_be_bytes());
    packet[8] = 0xfd;
    packet[23] = 1;
    packet[24] = 0xfe;
    packet[39] = 2;
    packet.truncate(length);
    packet
}

#[test]
fn addresses_length_and_mark_are_read() {
    let addr = |prefix: Prefix| prefix.to_allowed_ip().unwrap().to_string();
    let packet = v4(0xb9, 28, 32);
    let header = parse(&packet).unwrap();
    assert_eq!(addr(header.source(&packet)), "10.0.0.1/32");
    assert_eq!(addr(header.destination(&packet)), "192.168.7.9/32");
    assert_eq!((header.length, header.ecn), (28, Ecn::Capable1));

    let packet = v6(0xba, 3, 48);
    let header = parse(&packet).unwrap();
    assert_eq!(addr(header.source(&packet)), "fd00::1/128");
    assert_eq!(addr(header.destination(&packet)), "fe00::2/128");
    assert_eq!((header.length, header.ecn), (43, Ecn::Capable0));
}

#[test]
fn a_packet_shorter_than_its_header_says_is_malformed() {
    for (total, length, fine) in [
        (20, 20, true),
        (20, 19, false),
        (19, 20, false),
        (0, 20, false),
        (21, 20, false),
        (20, 36, true),
        (1500, 1500, true),
        (1500, 1499, false),
        (u16::MAX, 65_535, true),
        (u16::MAX, 65_534, false),
    ] {
        assert_eq!(parse(&v4(0, total, length)).is_ok(), fine, "IPv4 {total} of {length}");
    }
    for (payload, length, fine) in [
        (0, 40, true),
        (0, 39, false),
        (1, 40, false),
        (1, 41, true),
        (0, 56, true),
        (1460, 1500, true),
        (1460, 1499, false),
        // These wrap to a small length when summed in 16 bits.
        (u16::MAX, 40, false),
        (u16::MAX - 39, 65_536 - 1, false),
        (u16::MAX - 39, 65_536, true),
    ] {
        assert_eq!(parse(&v6(0, payload, length)).is_ok(), fine, "IPv6 {payload} of {length}");
    }
}

#[test]
fn other_versions_are_malformed() {
    assert_eq!(parse(&[]), Err(Malformed));
    for version in (0..16).filter(|version| ![4, 6].contains(version)) {
        let mut packet = v6(0, 0, 64);
        packet[0] = version << 4;
        assert_eq!(parse(&packet), Err(Malformed), "version {version}");
    }
}

#[test]
fn the_outer_mark_is_the_inner_one_except_congestion() {
    assert_eq!(Ecn::NotCapable.encapsulated(), Ecn::NotCapable);
    assert_eq!(Ecn::Capable0.encapsulated(), Ecn::Capable0);
    assert_eq!(Ecn::Capable1.encapsulated(), Ecn::Capable1);
    assert_eq!(Ecn::CongestionExperienced.encapsulated(), Ecn::Capable0);
}

/// Figure 4 of RFC 6040: rows are inner marks, columns outer ones; both in the order Not-ECT,
/// ECT(0), ECT(1), CE. `None` is a drop.
#[test]
fn a_packet_leaves_the_tunnel_with_the_mark_of_rfc_6040() {
    use Ecn::{Capable0, Capable1, CongestionExperienced as Ce, NotCapable};
    let marks = [NotCapable, Capable0, Capable1, Ce];
    let table = [
        [Some(NotCapable), Some(NotCapable), Some(NotCapable), None],
        [Some(Capable0), Some(Capable0), Some(Capable1), Some(Ce)],
        [Some(Capable1), Some(Capable1), Some(Capable1), Some(Ce)],
        [Some(Ce), Some(Ce), Some(Ce), Some(Ce)],
    ];
    for (inner, row) in marks.into_iter().zip(table) {
        for (outer, expected) in marks.into_iter().zip(row) {
            let class = 0xb8 | inner.traffic_class();
            let after = 0xb8 | expected.unwrap_or(inner).traffic_class();
            let result = if expected.is_some() { Ok(()) } else { Err(Congested) };

            let mut packet = v4(class, 20, 28);
            assert_eq!(decapsulate_ecn(&mut packet, outer), result, "{inner:?} {outer:?}");
            assert_eq!(packet, v4(after, 20, 28), "IPv4 {inner:?} {outer:?}");
            assert_eq!(sum(&packet[..20]), 0xffff, "{inner:?} {outer:?}");

            let mut packet = v6(class, 0, 48);
            assert_eq!(decapsulate_ecn(&mut packet, outer), result, "{inner:?} {outer:?}");
            assert_eq!(packet, v6(after, 0, 48), "IPv6 {inner:?} {outer:?}");
        }
    }
}

#[test]
fn marks_survive_their_bits() {
    for class in 0..=u8::MAX {
        assert_eq!(Ecn::from_traffic_class(class).traffic_class(), class & 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_valid_checksum_stays_valid(head: [u8; 20], outer in 0..4_u8) {
        let mut packet = head;
        packet[0] = packet[0] & 0x0f | 0x40;
        packet[10..12].fill(0);
        let valid = !sum(&packet);
        packet[10..12].copy_from_slice(&valid.to_be_bytes());
        let _ = decapsulate_ecn(&mut packet, Ecn::from_traffic_class(outer));
        prop_assert_eq!(sum(&packet), 0xffff);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(
        mut packet in prop::collection::vec(any::<u8>(), 0..80),
        version in prop::sample::select(vec![0_u8, 4, 4, 4, 6, 6, 6, 15]),
        outer in 0..4_u8,
    ) {
        if let Some(first) = packet.first_mut() {
            *first = *first & 0x0f | version << 4;
        }
        if let Ok(header) = parse(&packet) {
            prop_assert!(header.length as usize <= packet.len());
            let least = if version == 4 { 20 } else { 40 };
            prop_assert!(header.length >= least);
            prop_assert_eq!(header.source(&packet).is_v6(), version == 6);
        }
        let before = packet.clone();
        let _ = decapsulate_ecn(&mut packet, Ecn::from_traffic_class(outer));
        prop_assert_eq!(packet.len(), before.len());
    }
}
