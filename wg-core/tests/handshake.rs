//! The handshake between two devices (whitepaper section 5.4).

mod oracle;
mod pair;

use std::collections::HashSet;
use std::time::Duration;

use oracle::{Heard, Lone, Party, Session, Stuck, receiver_of, sender_of, sign};
use pair::{A_OUTER, B_OUTER, Node, Pair, Room, node, packet, private_key};
use wg_core::{
    ClockUnavailable, Connection, Device, INITIATION_LEN, PresharedKey, PublicKey, Refusal, Tai64n,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn stamp(secs: u64) -> [u8; 12] {
    *Tai64n::from_unix(1_800_000_000 + secs, 0).as_bytes()
}

/// An initiation of ours with this timestamp, all else new.
fn stamped(lone: &mut Lone, timestamp: [u8; 12]) -> Vec<u8> {
    let mut draft = lone.draft();
    draft.timestamp = timestamp;
    lone.us.initiate(&lone.them, &draft).bytes
}

fn is_accepted(lone: &mut Lone, initiation: &[u8]) -> bool {
    match lone.hear(initiation) {
        Ok(Heard::Reply(_)) => true,
        Err(Refusal::StaleTimestamp) => false,
        other => panic!("{other:?}"),
    }
}

/// Whether a packet of ours in this session gets through.
fn arrives(lone: &mut Lone, session: &mut Session) -> bool {
    let datagram = session.seal(&lone.incoming(3));
    match lone.hear(&datagram) {
        Ok(Heard::Packet(..)) => true,
        Err(Refusal::UnknownIndex) => false,
        other => panic!("{other:?}"),
    }
}

/// Whether the engine sends in this session.
fn is_used(lone: &mut Lone, session: &Session) -> bool {
    let packet = lone.outgoing(3);
    let sealed = lone.node.seal(lone.now, &packet).unwrap().bytes;
    session.open(&sealed).is_some()
}

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

// Timestamps

#[test]
fn an_equal_or_smaller_timestamp_is_refused_and_a_greater_one_accepted() {
    let mut lone = Lone::new();
    for (secs, accepted) in [(5, true), (5, false), (4, false), (6, true), (6, false), (7, true)] {
        lone.wait(SECOND);
        let initiation = stamped(&mut lone, stamp(secs));
        assert_eq!(is_accepted(&mut lone, &initiation), accepted, "{secs}");
    }
    // All twelve bytes count.
    let mut one_more = stamp(7);
    one_more[11] = 1;
    for (timestamp, accepted) in [(one_more, true), (stamp(7), false)] {
        lone.wait(SECOND);
        let initiation = stamped(&mut lone, timestamp);
        assert_eq!(is_accepted(&mut lone, &initiation), accepted);
    }
}

#[test]
fn a_recorded_initiation_is_refused_as_long_as_the_peer_lives() {
    let mut lone = Lone::new();
    let recorded = lone.initiate().bytes;
    assert!(is_accepted(&mut lone, &recorded));

    lone.wait(SECOND);
    assert!(!is_accepted(&mut lone, &recorded), "at once");

    lone.wait(Duration::from_secs(1_000));
    while lone.node.device.poll_timeout().is_some_and(|(at, _)| at <= lone.now) {
        lone.node.device.handle_timeout(lone.now);
    }
    assert!(!is_accepted(&mut lone, &recorded), "after the keys were wiped");

    lone.node.device.down();
    lone.node.device.up(lone.now);
    assert!(!is_accepted(&mut lone, &recorded), "after the interface was down");

    lone.node.device.set_private_key(lone.now, Some(&private_key(9)));
    lone.node.device.set_private_key(lone.now, None);
    lone.node.device.set_private_key(lone.now, Some(&private_key(2)));
    assert!(!is_accepted(&mut lone, &recorded), "after the private key changed");

    lone.node.device.remove_peer(lone.peer);
    lone.peer = lone.node.meet(PublicKey::from_bytes(lone.us.public), &[], None);
    assert!(is_accepted(&mut lone, &recorded), "it dies with the peer");
}

#[test]
fn a_refused_initiation_leaves_its_timestamp_free() {
    let mut lone = Lone::new();
    let mut forged = stamped(&mut lone, stamp(9));
    forged[100] ^= 1;
    sign(&mut forged, &lone.them.clone(), None);
    assert_eq!(lone.hear(&forged), Err(Refusal::TimestampUndecryptable));
    let honest = stamped(&mut lone, stamp(1));
    assert!(is_accepted(&mut lone, &honest));
}

#[test]
fn initiations_under_20_ms_after_the_last_accepted_one_are_refused() {
    let mut lone = Lone::new();
    let first = lone.initiate();
    let initiation = lone.initiate().bytes;
    assert!(lone.hear(&first.bytes).is_ok());
    let before = lone.view();
    for _ in 0..19 {
        lone.wait(MILLISECOND);
        assert_eq!(lone.hear(&initiation), Err(Refusal::InitiationFlood));
    }
    lone.wait(Duration::from_micros(999));
    assert_eq!(lone.hear(&initiation), Err(Refusal::InitiationFlood));
    assert_eq!(lone.view(), before);
    lone.wait(Duration::from_micros(1));
    assert!(is_accepted(&mut lone, &initiation), "the refused ones prolong nothing");
}

#[test]
fn the_flood_limit_knows_only_the_peer_itself() {
    let mut lone = Lone::new();
    let other = Party::new(3);
    lone.node.meet(PublicKey::from_bytes(other.public), &[], None);
    let draft = lone.draft();
    let theirs = other.initiate(&lone.them, &draft).bytes;
    let ours = lone.initiate().bytes;
    assert!(is_accepted(&mut lone, &theirs));
    assert!(is_accepted(&mut lone, &ours));
    // The limit is asked only after the timestamp decrypts.
    let mut forged = lone.initiate().bytes;
    forged[100] ^= 1;
    sign(&mut forged, &lone.them.clone(), None);
    assert_eq!(lone.hear(&forged), Err(Refusal::TimestampUndecryptable));
}

// The clock

fn sent_stamp(lone: &mut Lone) -> Option<[u8; 12]> {
    lone.wait(Duration::from_millis(5_334));
    lone.node.device.handle_timeout(lone.now);
    let spoken = lone.speak();
    assert!(spoken.len() <= 1);
    spoken.first().map(|spoken| lone.us.read(&spoken.bytes).unwrap().2)
}

#[test]
fn a_clock_that_steps_back_still_sends_increasing_timestamps() {
    let mut lone = Lone::new();
    lone.node.clock.ticks = false;
    lone.initiation();
    let mut last = *Tai64n::from_unix(1_700_000_000, 0).as_bytes();
    for unix in [1_700_000_000, 1_699_999_999, 5, 0, 1_700_000_000] {
        lone.node.clock.answer = Ok(Tai64n::from_unix(unix, 0));
        let sent = sent_stamp(&mut lone).unwrap();
        assert!(sent > last);
        assert_eq!(&sent, Tai64n::from_bytes(last).successor().as_bytes());
        last = sent;
    }
}

#[test]
fn without_a_timestamp_there_is_no_handshake_until_the_clock_knows_one() {
    for (unavailable, obstacle) in [
        (ClockUnavailable::NotSet, Refusal::ClockNotSet),
        (ClockUnavailable::Reserve, Refusal::ClockReserve),
    ] {
        let mut lone = Lone::new();
        lone.node.clock.answer = Err(unavailable);
        let packet = lone.outgoing(1);
        assert!(lone.node.seal(lone.now, &packet).is_err());
        assert_eq!(lone.speak(), []);
        assert_eq!(lone.connection(), Connection::Blocked(obstacle));
        // Longer than the tries of an unanswered handshake last.
        for _ in 0..60 {
            assert_eq!(sent_stamp(&mut lone), None);
            assert_eq!(lone.connection(), Connection::Blocked(obstacle));
        }
        lone.node.clock.answer = Ok(Tai64n::from_unix(1_700_000_000, 0));
        assert!(sent_stamp(&mut lone).is_some(), "tried again without being told");
        assert_eq!(lone.connection(), Connection::Handshaking);
        assert_eq!(lone.node.status(lone.now, lone.peer).refusals.count(obstacle), 61);
    }
}

#[test]
fn the_clock_is_asked_once_for_each_initiation_that_is_built() {
    let mut node = node(2, B_OUTER);
    let now = wg_core::Instant::ZERO;
    let peer = node.meet(private_key(1).public_key(), &[], None);
    node.device.set_persistent_keepalive(now, peer, 25);
    assert_eq!((node.speak(now).len(), node.clock.asked), (0, 0), "no endpoint");
    assert_eq!(node.status(now, peer).connection, Connection::Blocked(Refusal::NoEndpoint));

    node.device.set_private_key(now, None);
    node.device.set_endpoint(now, peer, A_OUTER.parse().unwrap());
    assert_eq!((node.speak(now).len(), node.clock.asked), (0, 0), "no private key");
    assert_eq!(node.status(now, peer).connection, Connection::Blocked(Refusal::NoPrivateKey));

    node.device.set_private_key(now, Some(&private_key(2)));
    assert_eq!((node.speak(now).len(), node.clock.asked), (1, 1));
    assert_eq!((node.speak(now).len(), node.clock.asked), (0, 1));
}

// The moves

#[test]
fn an_initiators_session_sends_at_once_and_the_one_before_still_receives() {
    let mut lone = Lone::new();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        lone.wait(Duration::from_secs(121));
        sessions.push(if sessions.is_empty() {
            lone.calling()
        } else {
            let packet = lone.outgoing(1);
            lone.node.seal(lone.now, &packet).unwrap();
            let initiation = lone.speak().remove(0).bytes;
            lone.answer(&initiation)
        });
        assert!(is_used(&mut lone, sessions.last().unwrap()));
        lone.wait(Duration::from_secs(1));
    }
    let [first, second, third] = &mut sessions[..] else { panic!() };
    assert!(!arrives(&mut lone, first), "the old previous goes");
    assert!(arrives(&mut lone, second), "the old current receives");
    assert!(arrives(&mut lone, third));
    assert!(is_used(&mut lone, third), "what came in the previous one moves nothing");
}

#[test]
fn a_responders_session_receives_and_sends_only_after_it_was_confirmed() {
    let mut lone = Lone::new();
    let mut first = lone.responded();
    let packet = lone.outgoing(1);
    assert!(lone.node.seal(lone.now, &packet).is_err(), "nothing to send with");
    assert_ne!(lone.connection(), Connection::Up);
    assert_eq!(lone.node.status(lone.now, lone.peer).last_handshake, None);
    assert!(arrives(&mut lone, &mut first), "confirmed by data");
    assert!(is_used(&mut lone, &first));
    assert_eq!(lone.node.status(lone.now, lone.peer).last_handshake, Some(lone.now));

    lone.wait(SECOND);
    let mut second = lone.responded();
    assert!(is_used(&mut lone, &first), "current is unchanged");
    assert!(arrives(&mut lone, &mut first), "and confirms nothing");
    assert!(is_used(&mut lone, &first));
    let keepalive = second.seal(&[]);
    assert_eq!(lone.hear(&keepalive), Ok(Heard::Keepalive(lone.peer)), "by a keepalive");
    assert!(is_used(&mut lone, &second));
    assert!(arrives(&mut lone, &mut first), "now previous");
}

#[test]
fn a_response_drops_the_next_and_the_previous_session() {
    let mut lone = Lone::new();
    let mut first = lone.called();
    lone.wait(SECOND);
    let mut second = lone.called();
    lone.wait(SECOND);
    let mut third = lone.responded();
    assert!(!arrives(&mut lone, &mut first), "previous went");
    lone.wait(SECOND);
    let mut fourth = lone.responded();
    assert!(!arrives(&mut lone, &mut third), "next went");
    assert!(is_used(&mut lone, &second));
    assert!(arrives(&mut lone, &mut fourth));
    assert!(is_used(&mut lone, &fourth));
    assert!(arrives(&mut lone, &mut second), "current became previous");
}

#[test]
fn an_initiators_session_keeps_an_unconfirmed_next_one_and_drops_current() {
    let mut lone = Lone::new();
    let mut first = lone.called();
    lone.wait(Duration::from_secs(180));
    let initiation = lone.initiation();
    let mut next = lone.responded();
    lone.wait(SECOND);
    let mut ours = lone.answer(&initiation);
    assert!(is_used(&mut lone, &ours));
    assert!(!arrives(&mut lone, &mut first), "current went");
    assert!(arrives(&mut lone, &mut next), "next became previous");
    assert!(is_used(&mut lone, &ours), "which confirms nothing any more");
    assert!(arrives(&mut lone, &mut ours));
}

#[test]
fn crossing_initiations_converge_at_once() {
    for skew in [0, 1, 5, 9, 10, 11, 15, 19] {
        let mut pair = Pair::new();
        pair.b.device.set_endpoint(pair.now, pair.ba, A_OUTER.parse().unwrap());
        assert!(pair.a_sends(1).is_err());
        pair.run(Duration::from_millis(skew));
        let _ = pair.b_sends(1);
        pair.run(Duration::from_millis(80));
        assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba), "{skew} ms");
        for _ in 0..3 {
            pair.a_sends(2).unwrap();
            pair.b_sends(2).unwrap();
            pair.run(Duration::from_millis(20));
        }
        assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (4, 4), "{skew} ms: nothing lost");
        pair.run(Duration::from_secs(9));
        let initiations = pair.a.sent_of(1).len() + pair.b.sent_of(1).len();
        assert!(initiations <= 2, "{skew} ms: no retransmit");
    }
}

#[test]
fn what_an_initiator_keeps_survives_being_a_responder() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let mut theirs = lone.responded();
    let mut ours = lone.answer(&initiation);
    assert!(is_used(&mut lone, &ours));
    assert!(arrives(&mut lone, &mut theirs) && arrives(&mut lone, &mut ours));
}

#[test]
fn accepting_an_initiation_does_not_cancel_our_own() {
    let mut lone = Lone::new();
    lone.initiation();
    lone.responded();
    lone.wait(Duration::from_millis(5_334));
    lone.node.device.handle_timeout(lone.now);
    // The response counts as a handshake message that we sent, at the same time.
    let spoken = lone.speak();
    assert_eq!(spoken.len(), 1);
    assert_eq!(spoken[0].bytes[0], 1);
}

// Responses

#[test]
fn a_response_is_answered_by_a_confirmation_unless_data_goes_out() {
    let mut lone = Lone::new();
    let session = lone.calling();
    assert_eq!(lone.connection(), Connection::Up);
    assert_eq!(lone.node.status(lone.now, lone.peer).session_birth, Some(lone.now));
    assert!(is_used(&mut lone, &session));

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
    assert!(is_used(&mut lone, &session));

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
    assert!(arrives(&mut lone, &mut session));
}

#[test]
fn a_preshared_key_changes_for_the_next_handshake_and_no_session_is_dropped() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    lone.set_preshared([5; 32]);
    assert!(arrives(&mut lone, &mut session) && is_used(&mut lone, &session));
    lone.wait(SECOND);
    let mut session = lone.called();
    assert!(arrives(&mut lone, &mut session) && is_used(&mut lone, &session));

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
    assert!(arrives(&mut lone, &mut session));

    let initiation = lone.initiate();
    let response = lone.hear(&initiation.bytes).unwrap().reply();
    assert_eq!(receiver_of(&response), initiation.index);
    let mut session = lone.us.finish(&initiation, &response, &[0; 32]).unwrap();
    assert_eq!(session.remote, sender_of(&response));
    assert!(arrives(&mut lone, &mut session));
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
    assert!(arrives(&mut lone, &mut session));
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
