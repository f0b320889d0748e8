//! What a board does to packets between tunnel and LAN.

use alloc::vec;
use alloc::vec::Vec;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use smoltcp::wire::{Ipv4Packet, Ipv6Packet};

use super::*;
use crate::LONGEST_ICMP;

extern crate alloc;

const ROUTER: Router = Router {
    v4: Ipv4Addr::new(192, 168, 1, 1),
    v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe),
    tunnel_mtu: 1420,
};

fn v4(len: usize, hops: u8) -> Vec<u8> {
    let mut packet = vec![0; len];
    packet[..10].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, hops, 17]);
    packet[12..20].copy_from_slice(&[192, 168, 1, 9, 10, 0, 0, 1]);
    let mut header = Ipv4Packet::new_unchecked(&mut packet[..]);
    header.set_total_len(len as u16);
    header.fill_checksum();
    packet
}

fn v6(len: usize, hops: u8) -> Vec<u8> {
    let mut packet = vec![0; len];
    let [high, low] = (len as u16 - 40).to_be_bytes();
    packet[..8].copy_from_slice(&[0x60, 0, 0, 0, high, low, 17, hops]);
    packet[8] = 0xfd;
    packet[24] = 0xfd;
    packet
}

#[test]
fn what_fits_passes_with_one_hop_less() {
    for hops in [2, 64, 255] {
        let (mut four, mut six) = (v4(1420, hops), v6(1420, hops));
        let mut answer = [0; LONGEST_ICMP];
        assert_eq!(ROUTER.forward(&mut four, 1420, &mut answer), Forward::Pass);
        let packet = Ipv4Packet::new_checked(&four[..]).unwrap();
        assert!(packet.verify_checksum());
        assert_eq!(packet.hop_limit(), hops - 1);
        assert_eq!(ROUTER.forward(&mut six, 1420, &mut answer), Forward::Pass);
        assert_eq!(Ipv6Packet::new_checked(&six[..]).unwrap().hop_limit(), hops - 1);
    }
}

#[test]
fn what_does_not_fit_is_answered_and_stays_as_it_is() {
    let mut answer = [0; LONGEST_ICMP];
    let mut packet = v4(1421, 64);
    match ROUTER.forward(&mut packet, 1420, &mut answer) {
        Forward::Answer(answer) => {
            assert_eq!(answer[12..20], [192, 168, 1, 1, 192, 168, 1, 9]);
            assert_eq!(answer[20..22], [3, 4]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(packet, v4(1421, 64));

    match ROUTER.forward(&mut v6(1421, 64), 1420, &mut answer) {
        Forward::Answer(answer) => {
            assert_eq!(answer[40..42], [2, 0]);
            assert_eq!(answer[44..48], [0, 0, 5, 140]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_hop_is_answered_and_garbage_is_dropped() {
    let mut answer = [0; LONGEST_ICMP];
    for hops in [0, 1] {
        match ROUTER.forward(&mut v4(100, hops), 1420, &mut answer) {
            Forward::Answer(answer) => assert_eq!(answer[20..22], [11, 0]),
            other => panic!("{other:?}"),
        }
    }
    for garbage in [&mut [][..], &mut [0x45; 10], &mut [0x60; 12], &mut [0; 2000]] {
        assert_eq!(ROUTER.forward(garbage, 1420, &mut answer), Forward::Drop);
    }
}

#[test]
fn a_connection_from_the_tunnel_is_kept_within_it_too() {
    let mut syn = v4(44, 64);
    syn[9] = 6;
    syn[32] = 6 << 4;
    syn[33] = 2;
    syn[40..44].copy_from_slice(&[2, 4, 5, 180]);
    let mut answer = [0; LONGEST_ICMP];
    assert_eq!(ROUTER.forward(&mut syn, 1500, &mut answer), Forward::Pass);
    assert_eq!(syn[42..44], 1380_u16.to_be_bytes());
}

#[test]
fn whatever_a_packet_says_only_what_a_router_may_change_is_changed() {
    let mut rng = ChaCha8Rng::from_seed([9; 32]);
    let mut answer = [0; LONGEST_ICMP];
    let mut passed = 0;
    for _ in 0..50_000 {
        let mut packet = vec![0; rng.next_u32() as usize % 120];
        rng.fill_bytes(&mut packet);
        // Most of it plausible: else every second one ends at its first byte.
        if let Some(header) = packet.first_chunk_mut::<8>() {
            header[0] = if header[7] & 1 == 0 { 0x45 } else { 0x60 };
            header[6] = if header[0] == 0x45 { 0 } else { header[6] & 63 };
        }
        let before = packet.clone();
        match ROUTER.forward(&mut packet, 100, &mut answer) {
            Forward::Pass => {
                passed += 1;
                assert!(packet.len() <= 100);
                // Hops and IPv4's checksum; two bytes each of an option and of TCP's checksum.
                let changed = before.iter().zip(&packet).filter(|(a, b)| a != b).count();
                assert!((1..=7).contains(&changed), "{before:x?} became {packet:x?}");
            }
            Forward::Answer(answer) => {
                assert!(answer.len() <= LONGEST_ICMP);
                assert_eq!(packet, before);
            }
            Forward::Drop => assert_eq!(packet, before),
        }
    }
    assert!(passed > 10_000, "{passed} passed");
}
