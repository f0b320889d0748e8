//! The interface goes down and comes up again.

use wg_core::{Connection, Refusal, SendError};

use crate::pair::Pair;
use crate::{at, ms, secs};

#[test]
fn down_leaves_no_deadline_and_no_session() {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.a_sends(1).unwrap();
    pair.b_sends(1).unwrap();
    pair.run(ms(100));
    assert!(pair.a.device.poll_timeout().is_some());
    pair.b_sends(1).unwrap();
    pair.a.device.down();
    assert_eq!(pair.a.device.poll_timeout(), None);
    pair.forget();
    pair.run(secs(3_600));
    assert_eq!((pair.a.sent.len(), pair.a.deadlines.len()), (0, 0));
    assert_eq!(pair.a.refusals[0], Refusal::Down);
    let status = pair.a.status(pair.now, pair.ab);
    assert_eq!(status.connection, Connection::Blocked(Refusal::Down));
    assert_eq!(pair.a_sends(1), Err(SendError::Refused(Refusal::Down)));
}

#[test]
fn down_ends_an_unfinished_handshake() {
    let mut pair = Pair::new();
    pair.a_sends(1).unwrap_err();
    pair.a.device.down();
    pair.a.device.up(pair.now);
    pair.drain();
    pair.run(secs(600));
    assert_eq!(pair.a.refusals, [Refusal::UnknownIndex], "the response is too late");
    assert_eq!(pair.a.initiations().len(), 1, "and nothing is tried again");
}

#[test]
fn down_drops_what_was_asked_for_and_not_fetched() {
    let mut pair = Pair::new();
    let mut buf = [0; 100];
    buf[16..44].copy_from_slice(&crate::pair::packet("10.0.0.1", "10.0.0.2", 8, 0));
    assert!(pair.a.device.seal(pair.now, &mut buf, 28).is_err());
    pair.a.device.down();
    pair.a.device.up(pair.now);
    pair.drain();
    assert_eq!(pair.a.sent, []);
}

#[test]
fn up_sends_the_persistent_keepalive_at_once() {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.run(secs(1));
    pair.a.device.down();
    pair.run(secs(1));
    pair.forget();
    pair.a.device.up(pair.now);
    pair.drain();
    assert_eq!(pair.a.initiations(), [pair.now], "there is no session for it");
    pair.run(secs(1));
    assert!(pair.a.is_up(pair.now, pair.ab));
}

#[test]
fn up_without_a_persistent_keepalive_is_silent() {
    let mut pair = Pair::quiet();
    pair.a.device.down();
    pair.a.device.up(pair.now);
    pair.drain();
    pair.run(secs(600));
    assert_eq!(pair.a.sent, []);
}

#[test]
fn up_twice_is_up_once() {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.forget();
    pair.a.device.up(pair.now);
    pair.drain();
    assert_eq!(pair.a.sent, []);
}

#[test]
fn down_and_up_again_may_call_at_once() {
    let mut pair = Pair::new();
    pair.link.loss_percent = 100;
    for round in 1..=3 {
        pair.a_sends(1).unwrap_err();
        assert_eq!(pair.a.initiations().len(), round);
        pair.a.device.down();
        pair.a.device.up(pair.now);
        pair.run(ms(100));
    }
}

#[test]
fn both_sides_recover_from_each_others_restarts() {
    let mut pair = Pair::quiet();
    for round in 0..6 {
        let restarted = if round % 2 == 0 { &mut pair.a } else { &mut pair.b };
        restarted.device.down();
        restarted.device.up(pair.now);
        let _ = if round % 2 == 0 { pair.a_sends(1) } else { pair.b_sends(1) };
        pair.run(secs(1));
        let _ = if round % 2 == 0 { pair.b_sends(1) } else { pair.a_sends(1) };
        pair.run(secs(1));
        assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (round + 1, round + 1));
    }
}

#[test]
fn a_session_that_nobody_heard_of_is_not_announced_after_down() {
    let mut pair = Pair::new();
    let a = pair.a.address;
    pair.b.device.set_endpoint(pair.now, pair.ba, a);
    pair.a_sends(100).unwrap_err();
    while pair.a.sent_of(1).is_empty() || pair.link.flights.iter().all(|f| f.bytes[0] != 2) {
        pair.step(at(pair.now, secs(1)));
    }
    let mut response = pair.link.flights.remove(0);
    let from = wg_core::Source::from(response.from);
    pair.a.device.handle_datagram(pair.now, &mut pair.a.rng, from, &mut response.bytes).unwrap();
    pair.a.device.down();
    assert_eq!(pair.a.device.poll_event(), None);
}
