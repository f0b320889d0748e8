//! Timestamps of initiations, received and sent, and the clock behind them (whitepaper section
//! 5.1).

mod oracle;
mod pair;

use std::time::Duration;

use oracle::{Draft, Heard, Lone, Party, sign};
use pair::{A_OUTER, B_OUTER, node, private_key};
use wg_core::{ClockUnavailable, Connection, PublicKey, Refusal, Tai64n};

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

#[test]
fn a_first_timestamp_of_zeros_is_refused() {
    let mut lone = Lone::new();
    let draft = Draft { timestamp: [0; 12], ..lone.draft() };
    let initiation = lone.us.initiate(&lone.them, &draft).bytes;
    assert_eq!(lone.hear(&initiation), Err(Refusal::StaleTimestamp));
    let mut least = [0; 12];
    least[11] = 1;
    let draft = Draft { timestamp: least, ..lone.draft() };
    let initiation = lone.us.initiate(&lone.them, &draft).bytes;
    lone.hear(&initiation).unwrap().reply();
}
