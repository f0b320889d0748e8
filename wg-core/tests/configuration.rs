//! Every setting can change while traffic flows, and nothing secret stays behind.

mod oracle;
mod pair;

use std::collections::HashSet;
use std::time::Duration;

use oracle::{Lone, Party};
use pair::{A_OUTER, B_OUTER, Pair, Room, node, packet, private_key};
use wg_core::{
    AddPeerError, AllowedIp, Connection, Device, Event, Instant, PresharedKey, PrivateKey,
    PublicKey, Reason, Refusal, SendError,
};

const SECOND: Duration = Duration::from_secs(1);

fn public(byte: u8) -> PublicKey {
    private_key(byte).public_key()
}

fn prefix(text: &str) -> AllowedIp {
    text.parse().unwrap()
}

// The private key

#[test]
fn the_same_private_key_again_changes_nothing() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let before = lone.view();
    lone.node.device.set_private_key(lone.now, Some(&private_key(2)));
    assert_eq!(lone.view(), before);
    let packet = lone.outgoing(1);
    assert!(session.open(&lone.node.seal(lone.now, &packet).unwrap().bytes).is_some());
    let data = session.seal(&lone.incoming(1));
    assert!(lone.hear(&data).is_ok());
}

#[test]
fn a_new_private_key_ends_all_sessions_in_both_directions() {
    let mut lone = Lone::new();
    let mut current = lone.called();
    lone.wait(SECOND);
    let mut next = lone.responded();
    lone.node.device.set_private_key(lone.now, Some(&private_key(9)));
    assert_eq!(lone.node.news(), [Event::SessionExpired(lone.peer)]);
    let packet = lone.outgoing(1);
    assert_eq!(lone.node.seal(lone.now, &packet), Err(SendError::NoSession(lone.peer)));
    assert_ne!(lone.connection(), Connection::Up);
    for session in [&mut current, &mut next] {
        let data = session.seal(&lone.incoming(1));
        assert_eq!(lone.hear(&data), Err(Refusal::UnknownIndex));
    }
    assert_eq!(lone.node.news(), [], "nothing can be sent, so no session is up");
    assert_eq!(lone.node.seal(lone.now, &packet), Err(SendError::NoSession(lone.peer)));
}

#[test]
fn a_new_private_key_is_used_at_once_and_ends_the_handshake_of_the_old_one() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let (response, _) = lone.us.respond(&initiation, &[0; 32], [0x91; 32], 1);
    lone.node.device.set_private_key(lone.now, Some(&private_key(9)));
    lone.them = *public(9).as_bytes();
    let mut response = response;
    oracle::sign(&mut response, &lone.them, None);
    assert_eq!(lone.hear(&response), Err(Refusal::UnknownIndex));

    // The 5 s since the last initiation do not count for the new identity.
    let packet = lone.outgoing(1);
    assert!(lone.node.seal(lone.now, &packet).is_err());
    let initiation = lone.speak().remove(0).bytes;
    assert_eq!(lone.us.read(&initiation).unwrap().1, lone.them);
    lone.answer(&initiation);
    lone.wait(SECOND);
    lone.called();
}

#[test]
fn a_peer_with_the_new_public_key_is_removed_and_the_others_stay() {
    let mut lone = Lone::new();
    let ourselves = lone.node.meet(public(9), &["10.9.0.0/16"], None);
    lone.node.device.set_private_key(lone.now, Some(&private_key(9)));
    assert!(lone.node.device.peer(lone.now, ourselves).is_none());
    assert_eq!(lone.node.device.find_peer(&public(9)), None);
    let packet = packet("10.0.0.2", "10.9.0.1", 1, 1);
    let refused = Err(SendError::Refused(Refusal::NoRoute));
    assert_eq!(lone.node.seal(lone.now, &packet), refused);
    assert_eq!(Vec::from_iter(lone.node.device.peers()), [lone.peer]);
}

#[test]
fn our_own_key_is_no_peer() {
    let mut lone = Lone::new();
    let before = lone.view();
    assert_eq!(lone.node.device.add_peer(&public(2)), Err(AddPeerError::OwnKey));
    assert_eq!(lone.view(), before);
}

#[test]
fn a_key_of_zeros_is_no_identity() {
    assert!(PrivateKey::from_bytes([0; 32]).is_none());
    let mut lone = Lone::new();
    lone.called();
    lone.node.device.set_private_key(lone.now, None);
    assert_eq!(lone.node.device.public_key(), None);
    let initiation = lone.initiate().bytes;
    assert_eq!(lone.hear(&initiation), Err(Refusal::NoPrivateKey));
    let packet = lone.outgoing(1);
    assert!(lone.node.seal(lone.now, &packet).is_err());
    assert_eq!(lone.speak(), []);
    assert_eq!(lone.connection(), Connection::Blocked(Refusal::NoPrivateKey));

    lone.node.device.set_private_key(lone.now, Some(&private_key(2)));
    let initiation = lone.speak().remove(0).bytes;
    lone.answer(&initiation);
}

#[test]
fn a_private_key_is_clamped() {
    let mut bytes = [0xff; 32];
    let unclamped = PrivateKey::from_bytes(bytes).unwrap();
    bytes[0] &= 248;
    bytes[31] = bytes[31] & 127 | 64;
    assert_eq!(unclamped.expose(), &bytes);
    assert_eq!(unclamped.public_key().as_bytes(), &oracle::public(&[0xff; 32]));
}

// Peers

#[test]
fn a_peer_is_added_once() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let before = lone.view();
    assert_eq!(lone.node.device.add_peer(&PublicKey::from_bytes(lone.us.public)), Ok(lone.peer));
    assert_eq!(lone.view(), before);
    let data = session.seal(&[]);
    assert!(lone.hear(&data).is_ok());
}

#[test]
fn peers_that_are_not_among_those_that_stay_are_removed() {
    let mut node = node(1, A_OUTER);
    let ids = [2, 3, 4].map(|byte| node.meet(public(byte), &[], None));
    let device = &mut node.device;
    for _ in 0..2 {
        device.retain_peers([public(9), public(4), public(2), public(4)]);
        assert_eq!(device.peers().collect::<Vec<_>>(), [ids[0], ids[2]]);
    }
    assert_eq!(device.peer_after(ids[0]), Some(ids[2]));
    assert_eq!(device.peer_after(ids[1]), Some(ids[2]));
    assert_eq!(device.peer_after(ids[2]), None);
    device.retain_peers([]);
    assert_eq!(device.peers().count(), 0);
    // Nobody stays for having stayed before.
    let again = device.add_peer(&public(2)).unwrap();
    device.retain_peers([public(3)]);
    assert!(device.peer(Instant::ZERO, again).is_none());
}

#[test]
fn a_removed_peer_leaves_nothing_that_answers() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let sent = lone.outgoing(1);
    lone.node.seal(lone.now, &sent).unwrap();
    lone.node.device.set_persistent_keepalive(lone.now, lone.peer, 25);
    lone.node.device.remove_peer(lone.peer);
    assert_eq!(
        (lone.node.device.poll_timeout(), lone.speak(), lone.node.news()),
        (None, vec![], vec![])
    );
    let (data, initiation) = (session.seal(&[]), lone.initiate().bytes);
    assert_eq!(lone.hear(&data), Err(Refusal::UnknownIndex));
    assert_eq!(lone.hear(&initiation), Err(Refusal::UnknownPeer));
    assert_eq!(lone.node.device.peers().count(), 0);

    // Its name is nobody's any more: neither the next one in its place nor itself, added again.
    let next = lone.node.meet(public(3), &["10.3.0.0/16"], None);
    let again = lone.node.meet(PublicKey::from_bytes(lone.us.public), &[], None);
    assert!(lone.peer != next && lone.peer != again);
    let before = lone.view();
    let device = &mut lone.node.device;
    device.set_endpoint(lone.now, lone.peer, A_OUTER.parse().unwrap());
    device.set_persistent_keepalive(lone.now, lone.peer, 1);
    device.set_preshared_key(lone.peer, &PresharedKey::from_bytes([1; 32]));
    device.add_allowed_ip(lone.peer, prefix("10.3.0.0/16")).unwrap();
    device.remove_allowed_ip(lone.peer, prefix("10.3.0.0/16"));
    device.remove_allowed_ips(lone.peer);
    device.remove_peer(lone.peer);
    assert_eq!(device.allowed_ips(lone.peer).count(), 0);
    assert!(device.peer(lone.now, lone.peer).is_none());
    assert_eq!(lone.view(), before);
}

#[test]
fn a_full_device_refuses_one_more_peer_and_changes_nothing() {
    let mut lone = Lone::new();
    for byte in 3..6 {
        lone.node.meet(public(byte), &[], None);
    }
    let before = lone.view();
    assert_eq!(lone.node.device.add_peer(&public(6)), Err(AddPeerError::Full));
    assert_eq!(lone.view(), before);
    lone.node.device.remove_peer(lone.peer);
    assert!(lone.node.device.add_peer(&public(6)).is_ok());
}

#[test]
fn ten_thousand_peers_come_and_go_and_leave_the_room_they_found() {
    let mut lone = Lone::new();
    lone.node.device.remove_peer(lone.peer);
    let mut ids = HashSet::new();
    for round in 0..10_000_u32 {
        lone.wait(Duration::from_millis(100));
        let mut key = [0x11; 32];
        key[1..5].copy_from_slice(&round.to_le_bytes());
        // Some with a session, some with a handshake, most with neither.
        if round % 100 == 0 {
            lone.us = Party::of(key);
            key = lone.us.public;
        }
        let id = lone.node.meet(
            PublicKey::from_bytes(key),
            &["10.1.0.0/16", "10.2.0.0/16", "fd01::/16", "10.0.0.1/32"],
            Some(A_OUTER),
        );
        assert!(ids.insert(id), "each has a name of its own");
        lone.peer = id;
        match round % 200 {
            0 => drop(lone.called()),
            100 => drop(lone.initiation()),
            _ => {
                lone.node.device.set_persistent_keepalive(lone.now, id, 7);
                assert_eq!(lone.speak().len(), 1);
            }
        }
        lone.node.device.remove_peer(id);
    }
    assert_eq!(lone.node.device.poll_timeout(), None);
    lone.us = Party::new(1);
    let ids: Vec<_> = (20..24).map(|byte| lone.node.meet(public(byte), &[], None)).collect();
    assert_eq!(lone.node.device.add_peer(&public(24)), Err(AddPeerError::Full));
    for route in 0..8 {
        let route = prefix(&format!("10.{route}.0.0/16"));
        lone.node.device.add_allowed_ip(ids[usize::from(route.cidr() % 4)], route).unwrap();
    }
    lone.node.device.remove_peer(ids[0]);
    lone.peer =
        lone.node.meet(PublicKey::from_bytes(lone.us.public), &["10.0.0.1/32"], Some(A_OUTER));
    lone.calling();
}

// Endpoints and keepalives

#[test]
fn a_handshake_that_waits_for_an_endpoint_begins_when_one_is_set() {
    let mut node = node(2, B_OUTER);
    let peer = node.meet(public(1), &[], None);
    let now = Instant::ZERO;
    node.device.set_persistent_keepalive(now, peer, 25);
    assert_eq!(node.speak(now), []);
    assert_eq!(node.status(now, peer).connection, Connection::Blocked(Refusal::NoEndpoint));
    node.device.set_endpoint(now, peer, A_OUTER.parse().unwrap());
    let spoken = node.speak(now);
    assert_eq!((spoken.len(), spoken[0].to), (1, A_OUTER.parse().unwrap()));
}

#[test]
fn an_endpoint_by_itself_starts_nothing() {
    let mut node = node(2, B_OUTER);
    let peer = node.meet(public(1), &[], Some(A_OUTER));
    assert_eq!(node.speak(Instant::ZERO), []);
    assert_eq!(node.device.poll_timeout(), None);
    assert_eq!(node.status(Instant::ZERO, peer).connection, Connection::Idle);
}

#[test]
fn a_session_that_is_asked_for_is_made_without_a_packet_and_only_where_there_is_none() {
    let mut node = node(2, B_OUTER);
    let nowhere = node.meet(public(3), &[], None);
    let peer = node.meet(public(1), &[], Some(A_OUTER));
    node.device.connect(Instant::ZERO, nowhere);
    assert_eq!(node.speak(Instant::ZERO), [], "nobody knows where that peer is");
    node.device.down();
    node.device.connect(Instant::ZERO, peer);
    assert_eq!(node.speak(Instant::ZERO), [], "the device is down");
    node.device.up(Instant::ZERO);
    node.device.connect(Instant::ZERO, peer);
    node.device.connect(Instant::ZERO, peer);
    assert_eq!(node.speak(Instant::ZERO).len(), 1, "asked twice, it calls once");

    let mut lone = Lone::new();
    lone.called();
    lone.node.device.connect(lone.now, lone.peer);
    assert_eq!(lone.speak(), [], "there is a session");
}

#[test]
fn room_for_peers_and_routes_is_told_before_it_is_taken() {
    let mut storage = wg_core::Storage::<2, 3>::new();
    let mut device = Device::new(&mut storage);
    assert_eq!((device.free_peers(), device.free_routes()), (2, 3));
    let peer = device.add_peer(&public(1)).unwrap();
    for (free, route) in [(2, "10.0.0.0/8"), (1, "10.1.0.0/16"), (1, "10.1.0.0/16"), (0, "::/0")] {
        device.add_allowed_ip(peer, prefix(route)).unwrap();
        assert_eq!((device.free_peers(), device.free_routes()), (1, free), "after {route}");
    }
    device.remove_peer(peer);
    assert_eq!((device.free_peers(), device.free_routes()), (2, 3));
    assert_eq!(device.endpoint(peer), None);
}

#[test]
fn a_persistent_keepalive_that_is_switched_on_sends_one_at_once() {
    let mut lone = Lone::new();
    let session = lone.called();
    lone.node.device.set_persistent_keepalive(lone.now, lone.peer, 25);
    let spoken = lone.speak();
    assert_eq!((spoken.len(), session.open(&spoken[0].bytes)), (1, Some(vec![])));
    let due = lone.now.saturating_add(Duration::from_secs(25));
    assert_eq!(lone.node.device.poll_timeout(), Some((due, Reason::PersistentKeepalive)));
    lone.node.device.set_persistent_keepalive(lone.now, lone.peer, 30);
    assert_eq!(lone.speak(), [], "from one time to another it waits for its turn");
    lone.node.device.set_persistent_keepalive(lone.now, lone.peer, 0);
    let reason = lone.node.device.poll_timeout().map(|(_, reason)| reason);
    assert_ne!(reason, Some(Reason::PersistentKeepalive));
}

// Down and up

#[test]
fn a_device_that_is_down_has_no_timer_no_session_and_no_voice() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let packet = lone.outgoing(1);
    lone.node.seal(lone.now, &packet).unwrap();
    lone.wait(SECOND);
    let mut next = lone.responded();
    lone.node.device.down();
    assert!(!lone.node.device.is_up());
    assert_eq!((lone.node.device.poll_timeout(), lone.speak()), (None, vec![]));
    assert_eq!(lone.connection(), Connection::Blocked(Refusal::Down));
    lone.wait(SECOND);
    let sent = lone.initiate().bytes;
    let cookie = oracle::cookie_reply(&lone.us.public, &sent, [0; 16]);
    let (data, late) = (session.seal(&[]), next.seal(&[]));
    for message in [&data, &late, &cookie, &sent] {
        assert_eq!(lone.hear(message), Err(Refusal::Down));
    }
    let refused = Err(SendError::Refused(Refusal::Down));
    assert_eq!(lone.node.seal(lone.now, &packet), refused);
    lone.node.device.set_persistent_keepalive(lone.now, lone.peer, 25);
    assert_eq!(lone.speak(), []);
    lone.wait(Duration::from_secs(1_000));
    lone.node.device.handle_timeout(lone.now);
    assert_eq!(lone.speak(), []);

    lone.node.device.up(lone.now);
    for message in [&data, &late] {
        assert_eq!(lone.hear(message), Err(Refusal::UnknownIndex), "the keys are gone");
    }
    let initiation = lone.speak().remove(0).bytes;
    lone.answer(&initiation);
}

#[test]
fn down_forgets_the_5_second_limit_and_keeps_the_settings() {
    let mut lone = Lone::new();
    lone.set_preshared([5; 32]);
    lone.initiation();
    lone.node.device.down();
    lone.node.device.up(lone.now);
    assert_eq!(lone.speak(), [], "without a persistent keepalive nothing is sent");
    let initiation = lone.initiation();
    lone.answer(&initiation);
}

#[test]
fn down_and_up_twice_are_down_and_up() {
    let mut lone = Lone::new();
    lone.node.device.set_persistent_keepalive(lone.now, lone.peer, 25);
    lone.speak();
    lone.node.device.down();
    lone.node.device.down();
    lone.node.device.up(lone.now);
    assert_eq!(lone.speak().len(), 1);
    lone.node.device.up(lone.now);
    assert_eq!(lone.speak(), []);
}

#[test]
fn a_pair_goes_down_and_up_and_connects_again() {
    let mut pair = Pair::connected();
    for round in 0..4 {
        let b_goes = round % 2 == 0;
        if b_goes {
            pair.b.device.down();
            pair.b.device.up(pair.now);
            // B starts: A's session is as good as before for all that A knows.
            let _ = pair.b_sends(1);
        } else {
            pair.a.device.down();
            pair.a.device.up(pair.now);
            let _ = pair.a_sends(1);
        }
        pair.drain();
        pair.run(Duration::from_secs(6));
        assert!(pair.a_sends(1).is_ok() && pair.b_sends(1).is_ok(), "{round}");
        pair.run(SECOND);
    }
}

#[test]
fn storage_serves_one_device_after_another() {
    let room = Box::leak(Box::new(Room::new()));
    for round in 0..3u8 {
        let mut device = Device::new(room);
        assert_eq!((device.public_key(), device.peers().count()), (None, 0));
        assert_eq!((device.poll_timeout(), device.poll_event()), (None, None));
        assert!(device.is_up());
        device.set_private_key(Instant::ZERO, Some(&private_key(10 + round)));
        for byte in 1..5 {
            let peer = device.add_peer(&public(byte)).unwrap();
            device.add_allowed_ip(peer, prefix(&format!("10.{byte}.0.0/16"))).unwrap();
            device.set_endpoint(Instant::ZERO, peer, A_OUTER.parse().unwrap());
            device.set_persistent_keepalive(Instant::ZERO, peer, 1);
        }
        assert_eq!(device.add_peer(&public(5)), Err(AddPeerError::Full));
    }
}
