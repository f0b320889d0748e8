//! The limit of one initiation in 5 s: what it counts, what it holds back, and that nothing
//! it holds back is forgotten.

use wg_core::{Connection, Refusal};

use crate::pair::Pair;
use crate::{LATENCY, assert_jittered, at, ms, secs};

/// A pair in which B answered A's initiation, and then heard nothing of A any more.
fn answered_in_vain() -> Pair {
    let mut pair = Pair::new();
    pair.a_sends(100).unwrap_err();
    pair.link.silenced = vec![pair.a.address];
    pair.run(ms(100));
    assert_eq!(pair.b.sent_of(2).len(), 1);
    assert!(!pair.b.is_up(pair.now, pair.ba));
    pair
}

#[test]
fn a_response_holds_back_an_initiation_which_goes_out_later() {
    let mut pair = answered_in_vain();
    let responded = pair.b.sent_of(2)[0].0;
    pair.run(secs(1));
    pair.b_sends(100).unwrap_err();
    assert_eq!(pair.b.initiations(), []);
    pair.run(secs(5));
    assert_eq!(pair.b.initiations().len(), 1);
    assert_jittered(pair.b.initiations()[0], responded, secs(5));
}

#[test]
fn a_response_is_never_held_back() {
    let mut pair = Pair::new();
    let a = pair.a.address;
    pair.b.device.set_endpoint(pair.now, pair.ba, a);
    for round in 1..=10 {
        // A starts over each time, B has just sent an initiation or a response.
        let _ = pair.b_sends(1);
        pair.a.device.down();
        pair.a.device.up(pair.now);
        pair.a_sends(1).unwrap_err();
        pair.run(ms(50));
        assert_eq!(pair.b.sent_of(2).len(), round);
    }
    assert_eq!(pair.b.initiations().len(), 1);
}

#[test]
fn a_retry_that_the_limit_holds_back_is_sent_when_it_ends() {
    let mut pair = Pair::new();
    let a = pair.a.address;
    pair.b.device.set_endpoint(pair.now, pair.ba, a);
    pair.link.silenced = vec![a];
    pair.a_sends(100).unwrap_err();
    pair.run(secs(3));
    pair.b_sends(100).unwrap_err();
    pair.run(ms(100));
    pair.b.device.down();
    // A's retry falls due at 5 s, but A responded at 3 s.
    let responded = pair.a.sent_of(2)[0].0;
    assert_eq!(responded, at(wg_core::Instant::ZERO, secs(3) + LATENCY));
    pair.run(secs(6));
    assert_eq!(pair.a.initiations().len(), 2);
    assert_jittered(pair.a.initiations()[1], responded, secs(5));
}

#[test]
fn a_rekey_that_the_limit_holds_back_happens_when_it_ends() {
    let mut pair = Pair::quiet();
    let (birth, _) = crate::births(&pair);
    pair.run_until(at(birth, secs(118)));
    // B starts over, is answered, and does not hear the answer.
    pair.link.silenced = vec![pair.a.address];
    pair.b.device.down();
    pair.b.device.up(pair.now);
    pair.b_sends(1).unwrap_err();
    pair.run(LATENCY);
    assert_eq!(pair.a.sent_of(2).len(), 1);
    let responded = pair.now;
    pair.b.device.down();
    pair.run_until(at(birth, secs(121)));
    pair.a_sends(1).unwrap();
    assert_eq!(pair.a.initiations(), []);
    pair.run(secs(4));
    assert_eq!(pair.a.initiations().len(), 1);
    assert_jittered(pair.a.initiations()[0], responded, secs(5));
}

#[test]
fn a_first_initiation_that_was_held_back_is_not_called_unanswered() {
    let mut pair = answered_in_vain();
    pair.link.silenced.push(pair.b.address);
    pair.run(secs(1));
    pair.b_sends(100).unwrap_err();
    pair.run(secs(6) - ms(200));
    assert_eq!(pair.b.initiations().len(), 1);
    let connection = pair.b.status(pair.now, pair.ba).connection;
    assert_eq!(connection, Connection::Handshaking, "nothing went unanswered yet");
    pair.run(secs(6));
    let connection = pair.b.status(pair.now, pair.ba).connection;
    assert_eq!(connection, Connection::Blocked(Refusal::Unanswered));
}

#[test]
fn what_was_held_back_has_twenty_tries_all_the_same() {
    let mut pair = answered_in_vain();
    pair.link.silenced.push(pair.b.address);
    pair.run(secs(1));
    pair.b_sends(100).unwrap_err();
    pair.run(secs(600));
    assert_eq!(pair.b.initiations().len(), 20);
}

#[test]
fn an_initiation_that_was_asked_for_before_our_response_waits_for_the_limit() {
    let mut pair = Pair::new();
    let a = pair.a.address;
    pair.b.device.set_endpoint(pair.now, pair.ba, a);
    pair.a_sends(100).unwrap_err();
    pair.link.silenced = vec![a];
    // B has a packet to send, and answers A before anybody asks B what is to go out.
    let mut packet = [0; 64];
    packet[16..48].copy_from_slice(&crate::pair::packet("10.0.0.2", "10.0.0.1", 12, 1));
    assert!(pair.b.device.seal(pair.now, &mut packet, 32).is_err());
    pair.run(secs(1));
    assert_eq!(pair.b.sent_of(2).len(), 1);
    assert_eq!(pair.b.initiations(), []);
    pair.run(secs(5));
    let responded = pair.b.sent_of(2)[0].0;
    assert_jittered(pair.b.initiations()[0], responded, secs(5));
}
