//! The handshake between two devices (whitepaper section 5.4).

mod oracle;
mod pair;

use std::collections::HashSet;
use std::time::Duration;

use oracle::{Heard, Lone, Party, Stuck, receiver_of, sender_of, sign};
use pair::{A_OUTER, B_OUTER, Node, Pair, Room, node, packet};
use wg_core::{Connection, Device, INITIATION_LEN, PresharedKey, PublicKey, Refusal, Tai64n};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_packet_that_waits_goes_out_with_the_first_session() {
    let mut pair = Pair::new();
    assert!(pair.a_sends(100).is_err());
    pair.run(Duration::from_secs(1));
    assert!(pair.a.is_up(pair.now, pair.ab));
    assert!(pair.b.is_up(pair.now, pair.ba));
    assert_eq!(pair.b.inbox.len(), 1);
    assert_eq!(pair.b.inbox[0].len(), 120);
    pair.b_sends(1).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.a.inbox.len(), 1);
    assert_eq!(pair.a.refusals, []);
    assert_eq!(pair.b.refusals, []);
}

#[test]
fn packets_that_wait_arrive_in_order() {
    let mut pair = Pair::new();
    for len in 0..10 {
        assert!(pair.a_sends(len).is_err());
    }
    pair.run(SECOND);
    let lengths: Vec<usize> = pair.b.inbox.iter().map(|packet| packet.len() - 20).collect();
    assert_eq!(lengths, Vec::from_iter(0..10));
    assert_eq!(pair.a.sent_of(1).len(), 1, "one initiation for all of them");
}

// The messages

#[test]
fn an_initiation_is_the_papers_bytes() {
    let mut lone = Lone::new();
    let packet = lone.outgoing(8);
    assert!(lone.node.seal(lone.now, &packet).is_err());
    let spoken = lone.speak().remove(0);
    assert_eq!((spoken.to, spoken.traffic_class), (A_OUTER.parse().unwrap(), 0x88));
    assert_eq!(spoken.peer, Some(lone.peer));
    let (_, public, timestamp) = lone.us.read(&spoken.bytes).unwrap();
    assert_eq!(public, lone.them);
    assert_eq!(&timestamp, Tai64n::from_unix(1_700_000_000, 0).as_bytes());
    let mut signed = spoken.bytes.clone();
    sign(&mut signed, &lone.us.public, None);
    assert_eq!(signed, spoken.bytes, "mac1 valid, mac2 zero");
}

#[test]
fn a_response_is_the_papers_bytes_and_goes_to_where_the_initiation_came_from() {
    let mut lone = Lone::new();
    let initiation = lone.initiate();
    let Ok(Heard::Reply(spoken)) = lone.hear_from("198.51.100.7:77", &initiation.bytes) else {
        panic!("no response")
    };
    assert_eq!((spoken.to, spoken.traffic_class), ("198.51.100.7:77".parse().unwrap(), 0x88));
    assert_eq!(spoken.peer, Some(lone.peer));
    assert!(lone.us.finish(&initiation, &spoken.bytes, &[0; 32]).is_some());
    let mut signed = spoken.bytes.clone();
    sign(&mut signed, &lone.us.public, None);
    assert_eq!(signed, spoken.bytes, "mac1 valid, mac2 zero");
    assert_eq!(lone.endpoint(), "198.51.100.7:77");
}

#[test]
fn each_retry_has_a_new_ephemeral_timestamp_and_index() {
    let mut lone = Lone::new();
    lone.initiation();
    let mut seen = [HashSet::new(), HashSet::new(), HashSet::new()];
    let mut timestamps = Vec::new();
    for _ in 0..15 {
        lone.wait(Duration::from_millis(5_334));
        lone.node.device.handle_timeout(lone.now);
        let retry = lone.speak().remove(0).bytes;
        let (_, _, timestamp) = lone.us.read(&retry).unwrap();
        timestamps.push(timestamp);
        for (seen, part) in seen.iter_mut().zip([&retry[4..8], &retry[8..40], &retry[40..116]]) {
            assert!(seen.insert(part.to_vec()));
        }
    }
    assert!(timestamps.is_sorted_by(|before, after| before < after));
}

// Responses

#[test]
fn a_response_is_answered_by_a_confirmation_unless_data_goes_out() {
    let mut lone = Lone::new();
    let session = lone.calling();
    assert_eq!(lone.connection(), Connection::Up);
    assert_eq!(lone.node.status(lone.now, lone.peer).session_birth, Some(lone.now));
    assert!(lone.uses(&session));

    let mut pair = Pair::new();
    assert!(pair.a_sends(1).is_err());
    pair.run(SECOND);
    assert_eq!(pair.a.sent_of(4).len(), 1, "the packet that waited is the confirmation");
}

#[test]
fn a_response_matches_only_a_live_handshake() {
    let mut lone = Lone::new();
    let first = lone.initiation();
    let (stale, _) = lone.us.respond(&first, &[0; 32], [0x91; 32], 1);
    lone.wait(Duration::from_millis(5_334));
    lone.node.device.handle_timeout(lone.now);
    let second = lone.speak().remove(0).bytes;
    let before = lone.view();
    assert_eq!(lone.hear(&stale), Err(Refusal::UnknownIndex), "stale");
    assert_eq!(lone.view(), before);

    let (response, session) = lone.us.respond(&second, &[0; 32], [0x92; 32], 2);
    assert_eq!(lone.hear(&response), Ok(Heard::Handshake(lone.peer)));
    lone.view();
    let before = lone.view();
    assert_eq!(lone.hear(&response), Err(Refusal::UnknownIndex), "duplicate");
    let (again, _) = lone.us.respond(&second, &[0; 32], [0x93; 32], 3);
    assert_eq!(lone.hear(&again), Err(Refusal::UnknownIndex), "to a keypair's index");
    assert_eq!(lone.view(), before);
    assert!(lone.uses(&session));

    let called = lone.initiate();
    let response = lone.hear(&called.bytes).unwrap().reply();
    let mut aimed = again;
    aimed[8..12].copy_from_slice(&sender_of(&response).to_le_bytes());
    sign(&mut aimed, &lone.them.clone(), None);
    assert_eq!(lone.hear(&aimed), Err(Refusal::UnknownIndex), "to a responder's index");
}

#[test]
fn another_preshared_key_shows_at_the_initiator_and_harms_nothing() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let (wrong, _) = lone.us.respond(&initiation, &[1; 32], [0x91; 32], 1);
    let before = lone.view();
    assert_eq!(lone.hear(&wrong), Err(Refusal::ResponseUndecryptable));
    assert_eq!(lone.view(), before);
    let status = lone.node.status(lone.now, lone.peer);
    assert_eq!(status.refusals.count(Refusal::ResponseUndecryptable), 1, "the peer is known");
    let mut session = lone.answer(&initiation);
    assert!(lone.arrives(&mut session));
}

#[test]
fn a_preshared_key_changes_for_the_next_handshake_and_no_session_is_dropped() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    lone.set_preshared([5; 32]);
    assert!(lone.arrives(&mut session) && lone.uses(&session));
    lone.wait(SECOND);
    let mut session = lone.called();
    assert!(lone.arrives(&mut session) && lone.uses(&session));

    // The key is mixed when the response is read, not when the initiation is sent.
    lone.wait(Duration::from_secs(180));
    let initiation = lone.initiation();
    lone.set_preshared([6; 32]);
    lone.answer(&initiation);
    lone.node.device.set_preshared_key(lone.peer, &PresharedKey::NONE);
    lone.preshared = [0; 32];
    lone.wait(SECOND);
    lone.called();
}

#[test]
fn a_response_is_not_held_back_by_the_limit_for_initiations() {
    let mut lone = Lone::new();
    lone.initiation();
    for _ in 0..10 {
        lone.wait(Duration::from_millis(20));
        lone.responded();
    }
}

#[test]
fn an_initiation_held_back_after_a_response_is_sent_when_the_limit_ends() {
    let mut lone = Lone::new();
    lone.responded();
    let packet = lone.outgoing(1);
    assert!(lone.node.seal(lone.now, &packet).is_err());
    assert_eq!(lone.speak(), [], "5 s after the response at the soonest");
    let (at, _) = lone.node.device.poll_timeout().unwrap();
    let wait = at.saturating_since(lone.now);
    assert!((5_000..=5_333).contains(&wait.as_millis()), "{wait:?}");
    lone.now = at;
    lone.node.device.handle_timeout(at);
    assert_eq!(lone.speak().len(), 1);
}

// Low order

/// Points whose multiples by any clamped scalar are zero (RFC 7748 section 6.1; Bernstein).
fn low_order() -> Vec<[u8; 32]> {
    let point = |hex: &str| -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    };
    let mut points = vec![
        [0; 32],
        point("0100000000000000000000000000000000000000000000000000000000000000"),
        point("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        point("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        point("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ];
    for mut point in points.clone() {
        point[31] |= 0x80;
        points.push(point);
    }
    points
}

#[test]
fn an_initiation_with_an_ephemeral_of_low_order_is_refused() {
    for point in low_order() {
        let mut lone = Lone::new();
        let mut draft = lone.draft();
        draft.false_ephemeral = Some(point);
        let initiation = lone.us.initiate(&lone.them, &draft).bytes;
        let before = lone.view();
        assert_eq!(lone.hear(&initiation), Err(Refusal::ZeroSharedSecret), "{point:02x?}");
        assert_eq!(lone.view(), before);
    }
}

#[test]
fn a_response_with_an_ephemeral_of_low_order_is_refused() {
    for point in low_order() {
        let mut lone = Lone::new();
        let initiation = lone.initiation();
        let (mut response, _) = lone.us.respond(&initiation, &[0; 32], [0x91; 32], 1);
        response[12..44].copy_from_slice(&point);
        sign(&mut response, &lone.them.clone(), None);
        let before = lone.view();
        assert_eq!(lone.hear(&response), Err(Refusal::ZeroSharedSecret), "{point:02x?}");
        assert_eq!(lone.view(), before);
        lone.answer(&initiation);
    }
}

#[test]
fn a_peer_whose_key_is_of_low_order_is_neither_called_nor_answered() {
    for point in low_order() {
        let mut lone = Lone::new();
        let peer = lone.node.meet(PublicKey::from_bytes(point), &["10.9.9.9/32"], Some(A_OUTER));
        let to_it = packet("10.0.0.2", "10.9.9.9", 1, 1);
        assert!(lone.node.seal(lone.now, &to_it).is_err());
        assert_eq!(lone.speak(), [], "{point:02x?}");
        let blocked = Connection::Blocked(Refusal::ZeroSharedSecret);
        assert_eq!(lone.node.status(lone.now, peer).connection, blocked);

        let nobody = Party { private: [7; 32], public: point };
        let draft = lone.draft();
        let initiation = nobody.initiate(&lone.them, &draft).bytes;
        assert_eq!(lone.hear(&initiation), Err(Refusal::ZeroSharedSecret), "{point:02x?}");
    }
}

// Indices

#[test]
fn indices_are_unique_over_all_peers_handshakes_and_sessions() {
    for stuck in [0, 0x5a, 0xff] {
        let mut lone = Lone::new();
        let mut rng = Stuck(stuck);
        let mut parties = vec![lone.us.clone()];
        for byte in 3..6 {
            let party = Party::new(byte);
            lone.node.meet(PublicKey::from_bytes(party.public), &[], Some(A_OUTER));
            parties.push(party);
        }
        // Each peer gets two sessions of ours, one of its own, whose response drops the first,
        // and a handshake.
        let mut live = HashSet::new();
        let mut first = Vec::new();
        for round in 0..4 {
            lone.wait(Duration::from_secs(200));
            for (number, party) in parties.iter().enumerate() {
                let id = PublicKey::from_bytes(party.public);
                let id = lone.node.device.find_peer(&id).unwrap();
                if round == 2 {
                    let draft = lone.draft();
                    let mut buf = party.initiate(&lone.them, &draft).bytes;
                    let from = lone.home.into();
                    let reply =
                        lone.node.device.handle_datagram(lone.now, &mut rng, from, &mut buf);
                    let Ok(wg_core::Received::Reply(reply)) = reply else { panic!() };
                    assert!(live.insert(sender_of(reply.datagram)));
                    assert!(live.remove(&first[number]));
                    continue;
                }
                lone.node.device.set_persistent_keepalive(lone.now, id, 0);
                lone.node.device.set_persistent_keepalive(lone.now, id, 9);
                let mut buf = [0; INITIATION_LEN];
                let clock = &mut lone.node.clock;
                let initiation =
                    lone.node.device.poll_transmit(lone.now, clock, &mut rng, &mut buf).unwrap();
                let initiation = initiation.datagram.to_vec();
                assert_eq!(initiation.len(), INITIATION_LEN);
                assert!(live.insert(sender_of(&initiation)), "{round} {number}");
                if round == 0 {
                    first.push(sender_of(&initiation));
                }
                if round == 3 {
                    continue;
                }
                let ephemeral = [0x30 + (8 * round + number) as u8; 32];
                let (mut response, _) = party.respond(&initiation, &[0; 32], ephemeral, 1);
                let from = lone.home.into();
                lone.node.device.handle_datagram(lone.now, &mut rng, from, &mut response).unwrap();
                lone.speak();
            }
        }
        assert_eq!(live.len(), 12);
    }
}

#[test]
fn a_session_inherits_the_index_of_its_handshake() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let mut session = lone.answer(&initiation);
    assert_eq!(session.remote, sender_of(&initiation));
    assert!(lone.arrives(&mut session));

    let initiation = lone.initiate();
    let response = lone.hear(&initiation.bytes).unwrap().reply();
    assert_eq!(receiver_of(&response), initiation.index);
    let mut session = lone.us.finish(&initiation, &response, &[0; 32]).unwrap();
    assert_eq!(session.remote, sender_of(&response));
    assert!(lone.arrives(&mut session));
}

#[test]
fn unanswered_initiations_and_unconfirmed_responses_use_up_no_indices() {
    let mut lone = Lone::new();
    let mut initiation = lone.initiation();
    for _ in 0..100 {
        lone.wait(Duration::from_secs(5));
        lone.responded();
        lone.wait(Duration::from_secs(5));
        let stale = lone.us.respond(&initiation, &[0; 32], [0x91; 32], 1).0;
        initiation = lone.another_initiation();
        assert_eq!(lone.hear(&stale), Err(Refusal::UnknownIndex));
    }
    let mut session = lone.answer(&initiation);
    assert!(lone.arrives(&mut session));
    lone.wait(SECOND);
    let mut session = lone.called();
    assert!(lone.arrives(&mut session));
}

#[test]
fn indices_are_random() {
    let mut seen = HashSet::new();
    for seed in 0..200 {
        let mut lone = Lone::new();
        lone.node.rng.0 = seed;
        seen.insert(sender_of(&lone.initiation()));
    }
    assert_eq!(seen.len(), 200);
    let bits = seen.iter().fold((0, !0), |(or, and), index| (or | index, and & index));
    assert_eq!(bits, (u32::MAX, 0), "each bit takes both values");
}

// Identity

#[test]
fn without_a_private_key_no_handshake_message_is_answered() {
    let mut lone = Lone::new();
    let initiation = lone.initiate();
    lone.node.device.set_private_key(lone.now, None);
    let before = lone.view();
    assert_eq!(lone.hear(&initiation.bytes), Err(Refusal::NoPrivateKey));
    assert_eq!(lone.view(), before);
    assert_eq!(before.public, None);
}

#[test]
fn a_device_that_never_had_a_key_or_a_peer_refuses_quietly() {
    let mut device = Device::new(Box::leak(Box::new(Room::new())));
    assert!(device.poll_timeout().is_none() && device.poll_event().is_none());
    let mut stranger = Node { device, ..node(2, B_OUTER) };
    let lone = &mut Lone::new();
    let initiation = lone.initiate();
    assert_eq!(stranger.hear(lone.now, lone.home, &initiation.bytes), Err(Refusal::NoPrivateKey));
}
