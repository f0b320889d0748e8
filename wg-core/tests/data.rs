//! Data messages: their bytes, the order of their checks, both phases of both directions
//! (whitepaper sections 3, 5.4.6 and 6).

mod oracle;
mod pair;

use std::time::Duration;

use oracle::{ATTACKER, Heard, Lone, Session, counter_of};
use pair::{Node, Pair, packet};
use wg_core::constants::REJECT_AFTER_MESSAGES;
use wg_core::{
    Connection, DATA_OVERHEAD, Ecn, Event, INITIATION_LEN, RESPONSE_LEN, Reason, Received, Refusal,
    SendError, Source,
};

const SECOND: Duration = Duration::from_secs(1);

/// What becomes of this inner plaintext from the peer.
fn inner(lone: &mut Lone, session: &mut Session, plaintext: &[u8]) -> Result<Heard, Refusal> {
    let datagram = session.seal(plaintext);
    lone.hear(&datagram)
}

fn sealed(lone: &mut Lone, packet: &[u8]) -> Vec<u8> {
    lone.node.seal(lone.now, packet).unwrap().bytes
}

// Sent

#[test]
fn counters_start_at_zero_and_count_every_message_of_a_session() {
    let mut lone = Lone::new();
    let session = lone.called();
    for counter in 0..5 {
        let packet = lone.outgoing(5);
        let datagram = sealed(&mut lone, &packet);
        assert_eq!(datagram[..4], [4, 0, 0, 0]);
        assert_eq!(counter_of(&datagram), counter);
        assert!(session.open(&datagram).unwrap().starts_with(&packet));
    }
    lone.wait(SECOND);
    let session = lone.called();
    let packet = lone.outgoing(5);
    let datagram = sealed(&mut lone, &packet);
    assert_eq!(counter_of(&datagram), 0);
    assert!(session.open(&datagram).is_some());
}

#[test]
fn packets_are_padded_with_zeros_to_16_bytes_but_not_past_the_mtu() {
    let mut lone = Lone::new();
    let session = lone.called();
    for mtu in [1280, 1420, 1400, 1421, 100, 65_535, 0] {
        lone.node.device.set_mtu(mtu);
        let lengths = (20..120).chain(1260..1450);
        for len in lengths {
            let packet = lone.outgoing(len - 20);
            let plaintext = session.open(&sealed(&mut lone, &packet)).unwrap();
            // The kernel's words: what is past the MTU will be split, so the last part counts.
            let (mtu, mut last) = (usize::from(mtu), len);
            if mtu != 0 && last > mtu {
                last %= mtu;
            }
            let aligned = last.next_multiple_of(16);
            let padding = if mtu == 0 { aligned } else { aligned.min(mtu) } - last;
            assert_eq!(plaintext.len(), len + padding, "{len} at MTU {mtu}");
            assert_eq!(plaintext[..len], packet);
            assert!(plaintext[len..].iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn a_full_packet_fits_an_ipv6_underlay_of_1500_bytes() {
    let mut lone = Lone::new();
    lone.called();
    let packet = lone.outgoing(1400);
    assert!(40 + 8 + sealed(&mut lone, &packet).len() <= 1500);
}

#[test]
fn a_keepalive_is_a_sealed_nothing_without_padding_and_without_class() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let (response, session) = lone.us.respond(&initiation, &[0; 32], [0x91; 32], 1);
    lone.hear(&response).unwrap();
    let keepalive = lone.speak().remove(0);
    assert_eq!((keepalive.bytes.len(), keepalive.traffic_class), (32, 0));
    assert_eq!(keepalive.peer, Some(lone.peer));
    assert_eq!(session.open(&keepalive.bytes).as_deref(), Some(&[][..]));
}

#[test]
fn the_outer_class_has_the_inner_congestion_mark_and_no_dscp() {
    let mut lone = Lone::new();
    lone.called();
    let families = [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")];
    for (source, destination) in families {
        for dscp in [0, 0x88, 0xfc] {
            // Congestion before the tunnel goes out as ECT(0), as in the kernel.
            for (inner, outer) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
                let mut packet = packet(source, destination, 9, 1);
                let class = dscp | inner;
                if source.contains(':') {
                    packet[0] |= class >> 4;
                    packet[1] |= class << 4;
                } else {
                    packet[1] = class;
                }
                let spoken = lone.node.seal(lone.now, &packet).unwrap();
                assert_eq!(spoken.traffic_class, outer);
            }
        }
    }
}

#[test]
fn a_buffer_that_is_too_small_changes_nothing_and_says_what_is_needed() {
    let mut lone = Lone::new();
    let session = lone.called();
    let before = lone.view();
    let packet = lone.outgoing(100);
    for room in 0..16 + 128 + 16 {
        let mut buf = vec![0x5c; room];
        if let Some(place) = buf.get_mut(16..16 + packet.len()) {
            place.copy_from_slice(&packet);
        }
        let copy = buf.clone();
        let error = lone.node.device.seal(lone.now, &mut buf, packet.len()).unwrap_err();
        assert_eq!(error, SendError::BufferTooSmall { needed: 160 });
        assert_eq!(buf, copy);
    }
    assert_eq!(
        lone.node.device.seal(lone.now, &mut [0; 64], usize::MAX),
        Err(SendError::BufferTooSmall { needed: usize::MAX })
    );
    assert_eq!(lone.view(), before);
    let mut buf = [&[0; 16], &packet[..], &[0; 24]].concat();
    let transmit = lone.node.device.seal(lone.now, &mut buf, packet.len()).unwrap();
    assert_eq!(counter_of(transmit.datagram), 0, "no counter was used up");
    assert!(session.open(transmit.datagram).is_some());
}

#[test]
fn a_packet_that_is_not_sent_is_as_it_was() {
    let mut lone = Lone::new();
    let to_nobody = packet("10.0.0.2", "172.16.0.1", 40, 7);
    for (packet, error) in [
        (lone.outgoing(50), SendError::NoSession(lone.peer)),
        (to_nobody, SendError::Refused(Refusal::NoRoute)),
        (vec![0; 33], SendError::Refused(Refusal::MalformedInner)),
    ] {
        let mut buf = [&[0x11; 16], &packet[..], &[0x22; 31]].concat();
        let copy = buf.clone();
        assert_eq!(lone.node.device.seal(lone.now, &mut buf, packet.len()), Err(error));
        assert_eq!(buf, copy);
    }
}

#[test]
fn buffers_of_every_alignment_will_do() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let mut buf = [0; 256];
    for offset in 0..16 {
        let outgoing = lone.outgoing(61);
        buf[offset + 16..][..outgoing.len()].copy_from_slice(&outgoing);
        let transmit = lone.node.device.seal(lone.now, &mut buf[offset..], outgoing.len()).unwrap();
        assert!(session.open(transmit.datagram).unwrap().starts_with(&outgoing));

        let incoming = lone.incoming(61);
        let datagram = session.seal(&incoming);
        let place = &mut buf[offset..][..datagram.len()];
        place.copy_from_slice(&datagram);
        let source = lone.home.into();
        let received =
            lone.node.device.handle_datagram(lone.now, &mut lone.node.rng, source, place);
        let Ok(Received::Packet { packet, .. }) = received else { panic!() };
        assert_eq!(packet, &incoming);
    }
}

// The order of the checks

#[test]
fn the_session_is_found_by_index_then_age_then_counter_then_window_then_tag() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let seen = session.seal(&[]);
    lone.hear(&seen).unwrap();
    let forged = |session: &Session, counter: u64| {
        let mut datagram = session.seal_at(counter, &[0; 64]);
        *datagram.last_mut().unwrap() ^= 1;
        datagram
    };
    let replay = forged(&session, 0);
    let exhausted = forged(&session, REJECT_AFTER_MESSAGES);
    let fresh = forged(&session, 50);
    let before = lone.view();
    assert_eq!(lone.hear(&fresh), Err(Refusal::Forged));
    assert_eq!(lone.hear(&replay), Err(Refusal::Replayed));
    assert_eq!(lone.hear(&exhausted), Err(Refusal::CounterExhausted));
    let mut unknown = exhausted.clone();
    unknown[4] ^= 1;
    assert_eq!(lone.hear(&unknown), Err(Refusal::UnknownIndex));
    assert_eq!(lone.view(), before);
    lone.wait(Duration::from_secs(180));
    for datagram in [fresh, replay, exhausted] {
        assert_eq!(lone.hear(&datagram), Err(Refusal::SessionExpired));
    }
}

#[test]
fn a_session_receives_and_sends_until_it_is_180_seconds_old() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    lone.wait(Duration::from_micros(179_999_999));
    let (last, late) = (session.seal(&lone.incoming(1)), session.seal(&lone.incoming(1)));
    assert!(lone.hear(&last).is_ok());
    let packet = lone.outgoing(1);
    assert!(lone.node.seal(lone.now, &packet).is_ok());
    assert_eq!(lone.connection(), Connection::Up);
    lone.wait(Duration::from_micros(1));
    assert_eq!(lone.hear(&late), Err(Refusal::SessionExpired));
    assert_eq!(lone.node.seal(lone.now, &packet), Err(SendError::NoSession(lone.peer)));
    assert_ne!(lone.connection(), Connection::Up);
}

#[test]
fn the_age_counts_from_the_derivation_not_from_the_confirmation() {
    let mut lone = Lone::new();
    let derived = lone.now;
    let mut session = lone.responded();
    lone.wait(Duration::from_secs(100));
    let (confirmation, late) = (session.seal(&[]), session.seal(&[]));
    lone.hear(&confirmation).unwrap();
    assert_eq!(lone.node.status(lone.now, lone.peer).session_birth, Some(derived));
    lone.wait(Duration::from_secs(80));
    assert_eq!(lone.hear(&late), Err(Refusal::SessionExpired));
}

#[test]
fn counters_are_accepted_below_the_limit_and_never_at_it() {
    let mut lone = Lone::new();
    let session = lone.called();
    for counter in [REJECT_AFTER_MESSAGES, REJECT_AFTER_MESSAGES + 1, u64::MAX] {
        let datagram = session.seal_at(counter, &lone.incoming(1));
        assert_eq!(lone.hear(&datagram), Err(Refusal::CounterExhausted), "{counter:x}");
    }
    for counter in [1 << 32, (1 << 32) + 1, 1 << 60, REJECT_AFTER_MESSAGES - 1] {
        let datagram = session.seal_at(counter, &lone.incoming(1));
        assert!(lone.hear(&datagram).is_ok(), "{counter:x}");
    }
}

#[test]
fn an_empty_packet_must_authenticate_too() {
    let mut lone = Lone::new();
    let session = lone.responded();
    let mut forged = session.seal_at(0, &[]);
    forged[31] ^= 0x80;
    let before = lone.view();
    assert_eq!(lone.hear_from(ATTACKER, &forged), Err(Refusal::Forged));
    let mut zeros = forged.clone();
    zeros[16..].fill(0);
    assert_eq!(lone.hear_from(ATTACKER, &zeros), Err(Refusal::Forged));
    assert_eq!(lone.view(), before, "no session is confirmed, no address learned");
}

#[test]
fn every_bit_of_a_data_message_counts() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let datagram = session.seal(&lone.incoming(3));
    let before = lone.view();
    for bit in 0..8 * datagram.len() {
        let mut flipped = datagram.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(lone.hear_from(ATTACKER, &flipped).is_err(), "bit {bit}");
    }
    assert_eq!(lone.view(), before);
    assert!(lone.hear(&datagram).is_ok());
}

// The inner packet

#[test]
fn any_padding_is_accepted_and_cut_off() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    for packet in [lone.incoming(33), packet("fd00::1", "fd00::2", 33, 9)] {
        for padding in (0..70).chain([1000]) {
            for byte in [0, 0xff] {
                let plaintext = [&packet[..], &vec![byte; padding]].concat();
                let heard = inner(&mut lone, &mut session, &plaintext);
                assert_eq!(heard, Ok(Heard::Packet(lone.peer, packet.clone())));
            }
        }
    }
}

#[test]
fn a_truncated_inner_packet_is_refused_at_every_length() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    for packet in [lone.incoming(30), packet("fd00::1", "fd00::2", 30, 9)] {
        for len in 1..packet.len() {
            let heard = inner(&mut lone, &mut session, &packet[..len]);
            assert_eq!(heard, Err(Refusal::MalformedInner), "{len}");
        }
        assert!(inner(&mut lone, &mut session, &packet).is_ok());
    }
}

#[test]
fn inner_length_fields_lie_neither_low_nor_high() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    for total in [0, 1, 19, 41, 100, 0xffff] {
        let mut packet = lone.incoming(20);
        packet[2..4].copy_from_slice(&u16::to_be_bytes(total));
        let heard = inner(&mut lone, &mut session, &packet);
        assert_eq!(heard, Err(Refusal::MalformedInner), "IPv4, {total}");
    }
    // 40 + 65,535 is 39 in 16 bits.
    for payload in [21, 0xffd8, 0xffec, 0xffff] {
        let mut packet = packet("fd00::1", "fd00::2", 20, 9);
        packet[4..6].copy_from_slice(&u16::to_be_bytes(payload));
        let heard = inner(&mut lone, &mut session, &packet);
        assert_eq!(heard, Err(Refusal::MalformedInner), "IPv6, {payload}");
    }
}

#[test]
fn an_inner_packet_of_another_version_is_refused() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    for version in (0..16).filter(|version| ![4, 6].contains(version)) {
        let mut packet = lone.incoming(60);
        packet[0] = version << 4 | 5;
        assert_eq!(inner(&mut lone, &mut session, &packet), Err(Refusal::MalformedInner));
    }
}

#[test]
fn a_bad_inner_packet_is_still_data_from_the_peer() {
    let mut lone = Lone::new();
    let mut session = lone.responded();
    assert_eq!(inner(&mut lone, &mut session, &[0; 16]), Err(Refusal::MalformedInner));
    assert_eq!(lone.connection(), Connection::Up, "it confirms the session");
    let keepalive = lone.now.saturating_add(Duration::from_secs(10));
    assert_eq!(lone.node.device.poll_timeout(), Some((keepalive, Reason::PassiveKeepalive)));
}

#[test]
fn congestion_on_the_way_is_marked_inside_where_the_packet_can_carry_it() {
    const NOT: Ecn = Ecn::NotCapable;
    const E0: Ecn = Ecn::Capable0;
    const E1: Ecn = Ecn::Capable1;
    const CE: Ecn = Ecn::CongestionExperienced;
    // By inner mark, then by outer: Not-ECT, ECT(0), ECT(1), CE.
    let table = [
        (NOT, [NOT, NOT, NOT, NOT]),
        (E0, [E0, E0, E1, CE]),
        (E1, [E1, E1, E1, CE]),
        (CE, [CE, CE, CE, CE]),
    ];
    let mut lone = Lone::new();
    let mut session = lone.called();
    for (inside, outcomes) in table {
        for (outside, outcome) in [NOT, E0, E1, CE].into_iter().zip(outcomes) {
            for addresses in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
                let marked = |mark: Ecn| {
                    let mut packet = packet(addresses.0, addresses.1, 4, 3);
                    if addresses.0.contains(':') {
                        packet[1] |= mark.traffic_class() << 4;
                    } else {
                        packet[1] = 0xb8 | mark.traffic_class();
                        let sum = checksum(&packet[..20]);
                        packet[10..12].copy_from_slice(&sum.to_be_bytes());
                    }
                    packet
                };
                let datagram = session.seal(&marked(inside));
                let source = Source { ecn: outside, ..Source::from(lone.home) };
                let heard = lone.node.hear(lone.now, source, &datagram);
                let expected = Ok(Heard::Packet(lone.peer, marked(outcome)));
                assert_eq!(heard, expected, "{inside:?} inside, {outside:?} outside");
            }
        }
    }
    // Once for each family: the mark that no packet could carry.
    assert_eq!(
        lone.node.device.refusals().iter().collect::<Vec<_>>(),
        [(Refusal::CongestionLost, 2)]
    );
}

/// The IPv4 header checksum, the long way.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

// Byte counters

#[test]
fn byte_counters_are_the_kernels() {
    let mut pair = Pair::new();
    let count = |pair: &Pair| {
        let (a, b) = (pair.a.status(pair.now, pair.ab), pair.b.status(pair.now, pair.ba));
        assert_eq!((a.sent_bytes, a.received_bytes), (b.received_bytes, b.sent_bytes));
        (a.sent_bytes as usize, a.received_bytes as usize)
    };
    let data = |padded: usize| padded + DATA_OVERHEAD;
    assert!(pair.a_sends(100).is_err());
    pair.run(SECOND);
    assert_eq!(count(&pair), (INITIATION_LEN + data(128), RESPONSE_LEN));
    pair.b_sends(1).unwrap();
    pair.run(SECOND);
    assert_eq!(count(&pair), (INITIATION_LEN + data(128), RESPONSE_LEN + data(32)));
    pair.run(Duration::from_secs(20));
    // A's passive keepalive, an empty message.
    assert_eq!(count(&pair), (INITIATION_LEN + data(128) + data(0), RESPONSE_LEN + data(32)));
}

#[test]
fn what_is_refused_adds_to_no_byte_counter() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let before = lone.node.status(lone.now, lone.peer).received_bytes;
    assert_eq!(before, (INITIATION_LEN + 32) as u64);
    let foreign = packet("10.0.0.9", "10.0.0.2", 1, 1);
    assert_eq!(inner(&mut lone, &mut session, &foreign), Err(Refusal::NotAllowedSource));
    assert_eq!(inner(&mut lone, &mut session, &[9; 40]), Err(Refusal::MalformedInner));
    let mut forged = session.seal(&[]);
    forged[20] ^= 1;
    assert!(lone.hear(&forged).is_err());
    assert_eq!(lone.node.status(lone.now, lone.peer).received_bytes, before);
    // The whole message counts, the padding too.
    let plaintext = [lone.incoming(1), vec![0; 75]].concat();
    inner(&mut lone, &mut session, &plaintext).unwrap();
    let after = lone.node.status(lone.now, lone.peer).received_bytes;
    assert_eq!(after, before + 96 + 32);
}

// The session's life

#[test]
fn the_session_up_event_comes_when_packets_can_be_sent() {
    let mut lone = Lone::new();
    let mut session = lone.responded();
    assert_eq!(lone.node.news(), []);
    let first = session.seal(&lone.incoming(1));
    lone.hear(&first).unwrap();
    assert_eq!(lone.node.news(), [Event::SessionUp(lone.peer)]);
    let second = session.seal(&lone.incoming(1));
    lone.hear(&second).unwrap();
    assert_eq!(lone.node.news(), [], "once for each session");
}

#[test]
fn a_device_knows_its_own_datagrams_again_and_none_of_the_others() {
    let mut pair = Pair::connected();
    pair.a_sends(100).unwrap();
    pair.b_sends(100).unwrap();
    pair.drain();
    let last = |node: &Node, kind| node.sent_of(kind).last().unwrap().1.clone();
    let of_a = [last(&pair.a, 1), last(&pair.a, 4)];
    let of_b = [last(&pair.b, 2), last(&pair.b, 4)];
    for (own, others, device) in [(&of_a, &of_b, &pair.a.device), (&of_b, &of_a, &pair.b.device)] {
        for (own, other) in own.iter().zip(others) {
            assert!(device.is_own(own) && !device.is_own(other));
            // The first fragment is enough.
            assert!(device.is_own(&own[..8]) && !device.is_own(&own[..7]));
            let index_of_nobody = [&own[..4], &[own[4] ^ 1], &own[5..]].concat();
            assert!(!device.is_own(&index_of_nobody));
        }
    }
    pair.a.device.down();
    assert!(of_a.iter().all(|own| !pair.a.device.is_own(own)), "their keys are gone");
}
