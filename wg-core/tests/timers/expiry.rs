//! The end of a session at 180 s, and of all its keys at 540 s.

use wg_core::{Event, Instant, Reason, Refusal};

use crate::pair::{Flight, Node, Pair};
use crate::{LATENCY, at, births, micros, ms, secs};

fn due(node: &Node, wanted: Reason) -> Vec<Instant> {
    let due = node.deadlines.iter();
    due.filter(|(_, reason)| *reason == wanted).map(|(at, _)| *at).collect()
}

/// A data packet of B's that is still on its way to A, and the last to be heard of B.
fn in_flight(pair: &mut Pair) -> Flight {
    pair.link.silenced = vec![pair.b.address];
    pair.b_sends(100).unwrap();
    pair.link.record.last().unwrap().clone()
}

#[test]
fn the_end_of_a_session_is_told_once_at_180_s() {
    let mut pair = Pair::quiet();
    let (birth_of_a, birth_of_b) = births(&pair);
    pair.run(secs(3_600));
    assert_eq!(pair.a.events, [Event::SessionExpired(pair.ab)]);
    assert_eq!(pair.b.events, [Event::SessionExpired(pair.ba)]);
    assert_eq!(due(&pair.a, Reason::SessionExpiry), [at(birth_of_a, secs(180))]);
    assert_eq!(due(&pair.b, Reason::SessionExpiry), [at(birth_of_b, secs(180))]);
}

#[test]
fn a_session_receives_until_it_is_180_s_old() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    let (first, second) = (in_flight(&mut pair), in_flight(&mut pair));
    pair.run_until(at(birth, secs(180) - micros(1)));
    pair.deliver(&first);
    assert_eq!(pair.a.inbox.len(), 1);
    pair.run_until(at(birth, secs(180)));
    pair.deliver(&second);
    assert_eq!(pair.a.inbox.len(), 1);
    assert_eq!(pair.a.refusals, [Refusal::SessionExpired]);
}

#[test]
fn keys_are_wiped_540_s_after_they_were_derived() {
    let mut pair = Pair::quiet();
    let (birth_of_a, birth_of_b) = births(&pair);
    let late = in_flight(&mut pair);
    pair.run_until(at(birth_of_a, secs(540) - micros(1)));
    pair.deliver(&late);
    pair.run_until(at(birth_of_a, secs(540)));
    pair.deliver(&late);
    // The session was known until then.
    assert_eq!(pair.a.refusals, [Refusal::SessionExpired, Refusal::UnknownIndex]);
    assert_eq!(due(&pair.a, Reason::WipeKeys), [at(birth_of_a, secs(540))]);
    assert_eq!(due(&pair.b, Reason::WipeKeys), [at(birth_of_b, secs(540))]);
}

#[test]
fn every_derivation_puts_the_wipe_off() {
    let mut pair = Pair::quiet();
    let (first, _) = births(&pair);
    for _ in 0..5 {
        pair.run(secs(150));
        pair.a_sends(1).unwrap();
        pair.run(ms(100));
    }
    let (last_of_a, last_of_b) = births(&pair);
    assert!(last_of_a > at(first, secs(540)));
    pair.run(secs(3_600));
    assert_eq!(due(&pair.a, Reason::WipeKeys), [at(last_of_a, secs(540))]);
    assert_eq!(due(&pair.b, Reason::WipeKeys), [at(last_of_b, secs(540))]);
}

#[test]
fn a_session_that_nobody_confirms_is_wiped_too() {
    let mut pair = Pair::new();
    pair.a_sends(1).unwrap_err();
    pair.link.silenced = vec![pair.a.address, pair.b.address];
    pair.run(secs(3_600));
    assert_eq!(due(&pair.b, Reason::WipeKeys), [at(Instant::ZERO, LATENCY + secs(540))]);
    assert_eq!(pair.b.device.poll_timeout(), None);
}

#[test]
fn giving_up_schedules_the_wipe() {
    let mut pair = Pair::new();
    pair.link.loss_percent = 100;
    pair.a_sends(1).unwrap_err();
    pair.run(secs(3_600));
    let given_up = *due(&pair.a, Reason::Retransmit).last().unwrap();
    assert_eq!(due(&pair.a, Reason::WipeKeys), [at(given_up, secs(540))]);
}

#[test]
fn giving_up_does_not_put_off_a_wipe_that_is_scheduled() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.run(secs(200));
    pair.link.loss_percent = 100;
    pair.a_sends(1).unwrap_err();
    pair.run(secs(3_600));
    assert_eq!(pair.a.initiations().len(), 20);
    assert_eq!(due(&pair.a, Reason::WipeKeys), [at(birth, secs(540))]);
}

#[test]
fn the_wipe_takes_the_unfinished_handshake_as_well() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.run_until(at(birth, secs(538)));
    pair.a_sends(1).unwrap_err();
    let initiation = pair.link.flights.remove(0);
    pair.run_until(at(birth, secs(540)));
    pair.deliver(&initiation);
    let response = pair.link.flights.remove(0);
    assert_eq!(response.bytes[0], 2);
    pair.deliver(&response);
    assert_eq!(pair.a.refusals, [Refusal::UnknownIndex]);
    // What asked for the handshake is not forgotten.
    pair.run(secs(10));
    assert!(pair.a.is_up(pair.now, pair.ab));
}

#[test]
fn the_next_packet_after_the_wipe_finds_its_way() {
    let mut pair = Pair::quiet();
    pair.run(secs(10_000));
    assert_eq!(pair.a.device.poll_timeout(), None);
    pair.b_sends(100).unwrap_err();
    pair.run(secs(1));
    assert_eq!(pair.a.inbox.len(), 1);
}

/// As of a board that slept through the deadline, and whose application is faster than its timer.
#[test]
fn a_wipe_that_is_served_late_leaves_a_newer_handshake_alone() {
    let mut pair = Pair::quiet();
    let before = pair.a.sent_of(1).len();
    pair.freeze(secs(3_600));
    pair.a_sends(1).unwrap_err();
    pair.run(secs(1));
    assert!(pair.a.is_up(pair.now, pair.ab));
    assert_eq!((pair.a.sent_of(1).len() - before, pair.b.inbox.len()), (1, 1));
}
