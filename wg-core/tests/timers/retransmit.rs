//! An unanswered initiation is sent again every 5 s and a bit, 20 times in all.

use std::collections::HashSet;

use wg_core::{ClockUnavailable, Connection, Event, Instant, Reason, Refusal, Tai64n};

use crate::pair::{Flight, Pair};
use crate::{assert_jittered, at, ms, secs};

/// A pair without a session, in which A is not heard.
fn unheard() -> Pair {
    let mut pair = Pair::new();
    pair.link.silenced = vec![pair.a.address];
    pair
}

#[test]
fn an_unanswered_initiation_is_sent_twenty_times_and_then_given_up() {
    let mut pair = unheard();
    pair.a_sends(100).unwrap_err();
    pair.run(secs(3_600));
    let tries = pair.a.initiations();
    assert_eq!(tries.len(), 20);
    for pair in tries.windows(2) {
        assert_jittered(pair[1], pair[0], secs(5));
    }
    assert_eq!(pair.a.events, [Event::HandshakeGivenUp(pair.ab)]);
    let (given_up, reason) = pair.a.deadlines[19];
    assert_eq!(reason, Reason::Retransmit);
    assert_jittered(given_up, tries[19], secs(5));
    let all = given_up.saturating_since(tries[0]);
    assert!(all > secs(100) && all < ms(106_660), "{all:?}");
}

#[test]
fn giving_up_leaves_a_reason_and_drops_what_waits() {
    let mut pair = unheard();
    pair.a_sends(100).unwrap_err();
    assert_eq!(pair.a.status(pair.now, pair.ab).connection, Connection::Handshaking);
    pair.run(secs(6));
    let unanswered = Connection::Blocked(Refusal::Unanswered);
    assert_eq!(pair.a.status(pair.now, pair.ab).connection, unanswered);
    pair.run(secs(120));
    assert_eq!(pair.a.status(pair.now, pair.ab).connection, unanswered);
    assert_eq!(pair.a.device.refusals().count(Refusal::Unanswered), 1);
    assert_eq!(pair.a.waiting.len(), 0);
}

#[test]
fn every_try_has_its_own_index_ephemeral_and_timestamp() {
    let mut pair = unheard();
    pair.a_sends(100).unwrap_err();
    pair.run(secs(120));
    let tries = pair.a.sent_of(1);
    let mut indices = HashSet::new();
    let mut ephemerals = HashSet::new();
    for (_, bytes) in &tries {
        assert!(indices.insert(bytes[4..8].to_vec()), "an index twice");
        assert!(ephemerals.insert(bytes[8..40].to_vec()), "an ephemeral twice");
    }
    assert_eq!(pair.a.clock.asked, 20);
    // Only a timestamp greater than the one before is accepted, so B accepts them all.
    for (_, bytes) in tries {
        let (from, to) = (pair.a.address, pair.b.address);
        pair.deliver(&Flight { due: pair.now, from, to, ecn: 0, bytes });
        pair.freeze(ms(20));
    }
    assert_eq!(pair.b.refusals, []);
    assert_eq!(pair.b.sent_of(2).len(), 20);
}

#[test]
fn a_packet_to_send_begins_the_count_anew() {
    let mut pair = unheard();
    pair.a_sends(100).unwrap_err();
    pair.run(secs(52));
    let before = pair.a.initiations().len();
    pair.a_sends(100).unwrap_err();
    assert_eq!(pair.a.initiations().len(), before, "the limit of 5 s holds");
    pair.run(secs(3_600));
    assert_eq!(pair.a.initiations().len(), before + 19);
    assert_eq!(pair.a.events, [Event::HandshakeGivenUp(pair.ab)]);
}

#[test]
fn after_giving_up_the_next_packet_has_twenty_tries_again() {
    let mut pair = unheard();
    for round in 1..=3 {
        pair.a_sends(100).unwrap_err();
        pair.run(secs(700));
        assert_eq!(pair.a.initiations().len(), round * 20);
        assert_eq!(pair.a.events.len(), round);
    }
}

#[test]
fn a_completed_handshake_begins_the_count_anew() {
    let mut pair = unheard();
    pair.a_sends(100).unwrap_err();
    pair.run(secs(70));
    pair.link.silenced.clear();
    pair.run(secs(6));
    assert!(pair.a.is_up(pair.now, pair.ab));
    assert_eq!(pair.b.inbox.len(), 1, "the packet waited");

    pair.run(secs(200));
    pair.forget();
    pair.link.silenced = vec![pair.a.address];
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 3_600);
    pair.drain();
    pair.run(secs(600));
    assert_eq!(pair.a.initiations().len(), 20);
}

#[test]
fn an_answered_initiation_is_not_sent_again() {
    let mut pair = Pair::connected();
    pair.run(secs(100));
    assert_eq!(pair.a.initiations().len(), 1);
    assert!(!pair.a.deadlines.iter().any(|(_, reason)| *reason == Reason::Retransmit));
}

#[test]
fn the_confirmation_of_a_response_ends_our_own_retries() {
    let mut pair = Pair::new();
    let a = pair.a.address;
    pair.b.device.set_endpoint(pair.now, pair.ba, a);
    // A's initiations are lost on the way; B's reach A, and so do answers.
    pair.a_sends(100).unwrap_err();
    pair.link.flights.clear();
    pair.run(secs(1));
    pair.b_sends(100).unwrap_err();
    pair.run(secs(30));
    assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (1, 1));
    assert_eq!(pair.a.initiations().len(), 1);
}

#[test]
fn accepting_an_initiation_alone_does_not_end_our_own_retries() {
    let mut pair = Pair::new();
    let a = pair.a.address;
    pair.b.device.set_endpoint(pair.now, pair.ba, a);
    pair.link.silenced = vec![a];
    pair.a_sends(100).unwrap_err();
    pair.run(secs(1));
    // B's initiation arrives, A's response does not.
    pair.b_sends(100).unwrap_err();
    pair.run(secs(1));
    assert_eq!(pair.a.sent_of(2).len(), 1);
    pair.b.device.down();
    pair.run(secs(8));
    assert_eq!(pair.a.initiations().len(), 2, "held back by the response, but not given up");
}

#[test]
fn no_two_initiations_leave_within_five_seconds() {
    let mut pair = unheard();
    let start = pair.now;
    for _ in 0..100 {
        pair.a_sends(100).unwrap_err();
        pair.run(ms(100));
    }
    // A packet asks again as soon as it may: the limit has no jitter.
    assert_eq!(pair.a.initiations(), [start, at(start, secs(5))]);
    pair.a_sends(100).unwrap_err();
    assert_eq!(pair.a.initiations()[2], at(start, secs(10)));
}

#[test]
fn two_devices_do_not_call_in_step() {
    let mut pair = Pair::new();
    pair.link.loss_percent = 100;
    let a = pair.a.address;
    pair.b.device.set_endpoint(pair.now, pair.ba, a);
    pair.a_sends(1).unwrap_err();
    pair.b_sends(1).unwrap_err();
    pair.run(secs(120));
    let theirs: HashSet<Instant> = pair.b.initiations().into_iter().collect();
    let together = pair.a.initiations().iter().filter(|at| theirs.contains(at)).count();
    assert_eq!(together, 1, "only the first");
}

#[test]
fn without_a_clock_nothing_is_sent_until_there_is_one() {
    let mut pair = Pair::new();
    pair.a.clock.answer = Err(ClockUnavailable::NotSet);
    pair.a_sends(100).unwrap_err();
    pair.run(secs(600));
    assert_eq!(pair.a.sent, []);
    let status = pair.a.status(pair.now, pair.ab);
    assert_eq!(status.connection, Connection::Blocked(Refusal::ClockNotSet));
    assert_eq!(pair.a.events, [], "a clock that is not set is not a peer that is silent");

    pair.a.clock.answer = Ok(Tai64n::from_unix(1_700_000_000, 0));
    pair.run(secs(6));
    assert_eq!(pair.b.inbox.len(), 1);
}

#[test]
fn a_clock_that_comes_late_costs_no_tries() {
    let mut pair = unheard();
    pair.a.clock.answer = Err(ClockUnavailable::Reserve);
    pair.a_sends(100).unwrap_err();
    pair.run(secs(300));
    pair.a.clock.answer = Ok(Tai64n::from_unix(1_700_000_000, 0));
    pair.run(secs(600));
    assert_eq!(pair.a.initiations().len(), 20);
}

#[test]
fn the_wipe_of_older_keys_adds_no_tries() {
    let mut pair = Pair::quiet();
    pair.run(secs(450));
    pair.link.silenced = vec![pair.a.address];
    // The keys of the session go in the middle of the tries, and the handshake with them.
    pair.a_sends(100).unwrap_err();
    pair.run(secs(600));
    assert_eq!(pair.a.initiations().len(), 20);
}

#[test]
fn giving_up_cancels_the_keepalive_that_was_pending() {
    let mut pair = Pair::quiet();
    pair.link.silenced = vec![pair.b.address];
    pair.a_sends(100).unwrap();
    while pair.a.initiations().len() < 20 {
        pair.run(secs(1));
    }
    // The session is good still, and B is heard in it once.
    pair.link.silenced.clear();
    pair.b_sends(100).unwrap();
    pair.link.silenced = vec![pair.b.address];
    pair.run(secs(20));
    assert_eq!(pair.a.inbox.len(), 1);
    assert_eq!(pair.a.events, [Event::HandshakeGivenUp(pair.ab)]);
    assert!(pair.a.is_up(pair.now, pair.ab));
    assert_eq!(pair.a.keepalives(), []);
}

#[test]
fn a_second_attempt_says_unanswered_whatever_asked_for_it() {
    for gap in [None, Some(ms(3_300)), Some(secs(1)), Some(ms(100)), Some(ms(10))] {
        let mut pair = unheard();
        pair.a_sends(100).unwrap_err();
        let end = at(pair.now, secs(60));
        while pair.now < end {
            pair.run(gap.unwrap_or(ms(500)));
            if gap.is_some() {
                pair.a_sends(100).unwrap_err();
            }
            let connection = pair.a.status(pair.now, pair.ab).connection;
            let expected = match pair.a.initiations().len() {
                1 => Connection::Handshaking,
                _ => Connection::Blocked(Refusal::Unanswered),
            };
            assert_eq!(connection, expected, "a packet every {gap:?}, at {:?}", pair.now);
        }
        assert!(pair.a.initiations().len() >= 11, "a packet every {gap:?}");
        let second = pair.a.initiations()[1].saturating_since(Instant::ZERO);
        assert!(second < ms(5_334), "a packet every {gap:?}: {second:?}");
    }
}
