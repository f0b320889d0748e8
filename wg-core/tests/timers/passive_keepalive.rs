//! Data in and nothing out for 10 s: an empty packet.

use wg_core::{Reason, Refusal};

use crate::pair::{Flight, Pair};
use crate::{LATENCY, at, births, ms, secs};

#[test]
fn a_receiver_with_nothing_to_send_answers_after_ten_seconds() {
    let mut pair = Pair::quiet();
    let sent = pair.now;
    pair.a_sends(100).unwrap();
    pair.run(secs(60));
    let due = at(sent, LATENCY + secs(10));
    assert_eq!(pair.b.keepalives(), [due]);
    assert_eq!(pair.b.deadlines, [(due, Reason::PassiveKeepalive)]);
    assert_eq!(pair.a.keepalives(), [], "a keepalive is not answered");
    assert_eq!(pair.a.deadlines, []);
}

#[test]
fn a_steady_receiver_answers_ten_seconds_after_the_first_packet() {
    let mut pair = Pair::quiet();
    let start = pair.now;
    for _ in 0..80 {
        pair.a_sends(100).unwrap();
        pair.run(ms(999));
    }
    let answers = pair.b.keepalives();
    assert_eq!(answers[0], at(start, LATENCY + secs(10)));
    for pair in answers.windows(2) {
        let gap = pair[1].saturating_since(pair[0]);
        assert!(gap >= secs(10) && gap < secs(11), "{gap:?} between keepalives");
    }
    assert_eq!(pair.a.initiations(), [], "the sender is content");
}

#[test]
fn an_empty_packet_asks_for_no_answer() {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 7);
    pair.drain();
    pair.run(secs(60));
    assert_eq!(pair.a.keepalives().len(), 9);
    assert_eq!(pair.b.sent, []);
    assert_eq!(pair.b.deadlines, []);
}

#[test]
fn a_data_packet_sent_cancels_the_keepalive() {
    let mut pair = Pair::quiet();
    pair.a_sends(100).unwrap();
    pair.run(ms(9_990));
    pair.b_sends(100).unwrap();
    pair.run(secs(5));
    assert_eq!(pair.b.keepalives(), []);
    assert_eq!(pair.b.deadlines, []);
}

#[test]
fn a_handshake_response_sent_cancels_the_keepalive() {
    let mut pair = Pair::quiet();
    let (birth_of_a, _) = births(&pair);
    pair.run_until(at(birth_of_a, secs(120)));
    pair.a_sends(100).unwrap();
    pair.run(secs(30));
    assert_eq!(pair.a.initiations().len(), 1);
    assert_eq!(pair.b.sent_of(2).len(), 1, "B answered the initiation after the data");
    assert_eq!(pair.b.keepalives(), []);
}

#[test]
fn an_initiation_sent_cancels_the_keepalive() {
    let mut pair = Pair::quiet();
    let (birth_of_a, _) = births(&pair);
    pair.run_until(at(birth_of_a, secs(166)));
    pair.link.silenced = vec![pair.a.address];
    // B's packet makes A initiate, as A's session is old.
    pair.b_sends(100).unwrap();
    pair.run(secs(4));
    assert_eq!(pair.a.initiations().len(), 1);
    assert!(!pair.a.deadlines.iter().any(|(_, reason)| *reason == Reason::PassiveKeepalive));
    pair.run(secs(20));
    assert_eq!(pair.a.keepalives(), []);
}

#[test]
fn a_cookie_reply_sent_cancels_no_keepalive() {
    let mut pair = Pair::quiet();
    let (birth_of_a, _) = births(&pair);
    pair.run_until(at(birth_of_a, secs(120)));
    let sent = pair.now;
    pair.a_sends(100).unwrap();
    // A's data is in, its initiation finds B under load, and nothing more of A's gets there.
    pair.b.device.set_under_load(pair.now);
    pair.link.silenced = vec![pair.a.address];
    pair.run(secs(30));
    assert_eq!(pair.b.sent_of(3).len(), 1);
    assert_eq!(pair.b.keepalives(), [at(sent, LATENCY + secs(10))]);
}

#[test]
fn an_inner_packet_that_is_refused_is_answered_all_the_same() {
    let mut pair = Pair::quiet();
    let sent = pair.now;
    let lie = crate::pair::packet("10.9.9.9", "10.0.0.2", 10, 0);
    pair.a.send(pair.now, &lie, &mut pair.link).unwrap();
    pair.run(secs(20));
    assert_eq!(pair.b.refusals, [Refusal::NotAllowedSource]);
    assert_eq!(pair.b.keepalives(), [at(sent, LATENCY + secs(10))]);
}

#[test]
fn a_replayed_packet_is_not_answered() {
    let mut pair = Pair::quiet();
    pair.a_sends(100).unwrap();
    pair.run(secs(20));
    let replay: Flight = pair.link.record[0].clone();
    pair.forget();
    pair.deliver(&replay);
    pair.run(secs(20));
    assert_eq!(pair.b.refusals, [Refusal::Replayed]);
    assert_eq!(pair.b.keepalives(), []);
}

#[test]
fn data_that_came_while_a_keepalive_was_pending_gets_another() {
    let mut pair = Pair::quiet();
    let start = pair.now;
    pair.a_sends(100).unwrap();
    pair.run(secs(5));
    pair.a_sends(100).unwrap();
    pair.run(secs(60));
    let first = at(start, LATENCY + secs(10));
    assert_eq!(pair.b.keepalives(), [first, at(first, secs(10))]);
}
