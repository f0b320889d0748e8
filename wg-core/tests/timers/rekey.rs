//! A session is replaced before it runs out: by its initiator when it sends at 120 s or
//! receives at 165 s, by whoever has something to send at 180 s.

use wg_core::{Event, Reason, SendError};

use crate::pair::Pair;
use crate::{LATENCY, assert_jittered, at, births, micros, ms, secs};

const JUST_BEFORE: fn(u64) -> std::time::Duration = |age| secs(age) - micros(1);

#[test]
fn the_initiator_replaces_the_session_when_it_sends_at_120_s() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.run_until(at(birth, JUST_BEFORE(120)));
    pair.a_sends(100).unwrap();
    assert_eq!(pair.a.initiations(), []);
    pair.run_until(at(birth, secs(120)));
    pair.a_sends(100).unwrap();
    assert_eq!(pair.a.initiations(), [at(birth, secs(120))]);
    pair.run(secs(1));
    assert_eq!(births(&pair).0, at(birth, secs(120) + LATENCY + LATENCY));
}

#[test]
fn a_keepalive_at_120_s_replaces_the_session_too() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 1_000);
    pair.drain();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 0);
    pair.run_until(at(birth, secs(120)));
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 1_000);
    pair.drain();
    assert_eq!(pair.a.keepalives().len(), 2);
    assert_eq!(pair.a.initiations(), [at(birth, secs(120))]);
}

#[test]
fn the_responder_leaves_the_session_to_its_initiator() {
    let mut pair = Pair::quiet();
    let (birth_of_a, birth_of_b) = births(&pair);
    // Up to where A would ask because it receives.
    for age in [100, 119, 120, 121, 140, 164] {
        pair.run_until(at(birth_of_a, secs(age)));
        pair.b_sends(100).unwrap();
    }
    pair.link.silenced = vec![pair.b.address];
    pair.run_until(at(birth_of_b, JUST_BEFORE(180)));
    pair.b_sends(100).unwrap();
    assert_eq!(pair.b.initiations(), []);
}

#[test]
fn the_initiator_replaces_the_session_when_it_receives_at_165_s() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.run_until(at(birth, JUST_BEFORE(165) - LATENCY));
    pair.b_sends(100).unwrap();
    pair.run(micros(1));
    pair.b_sends(100).unwrap();
    pair.run_until(at(birth, JUST_BEFORE(165)));
    assert_eq!((pair.a.inbox.len(), pair.a.initiations().len()), (1, 0));
    pair.run(micros(1));
    assert_eq!(pair.a.initiations(), [at(birth, secs(165))]);
}

#[test]
fn a_keepalive_received_at_165_s_replaces_the_session_too() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.run_until(at(birth, secs(170)));
    let now = pair.now;
    pair.b.device.set_persistent_keepalive(now, pair.ba, 1_000);
    pair.drain();
    pair.run(LATENCY);
    assert_eq!(pair.a.initiations(), [at(now, LATENCY)]);
}

#[test]
fn the_responder_does_not_ask_on_receiving() {
    let mut pair = Pair::quiet();
    let (_, birth_of_b) = births(&pair);
    pair.run_until(at(birth_of_b, secs(175)));
    // A's own initiation is lost, its data is not.
    let packet = crate::pair::packet("10.0.0.1", "10.0.0.2", 8, 0);
    let mut buf = [0; 96];
    buf[16..44].copy_from_slice(&packet);
    let bytes = pair.a.device.seal(pair.now, &mut buf, 28).unwrap().datagram.to_vec();
    let (due, from, to) = (pair.now, pair.a.address, pair.b.address);
    pair.deliver(&crate::pair::Flight { due, from, to, ecn: 0, bytes });
    assert_eq!(pair.b.inbox.len(), 1);
    assert_eq!(pair.b.initiations(), []);
}

#[test]
fn receiving_asks_once_for_a_key() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.run_until(at(birth, secs(166) - LATENCY));
    pair.link.silenced = vec![pair.a.address];
    for _ in 0..13 {
        pair.b_sends(100).unwrap();
        pair.run(secs(1));
    }
    let tries = pair.a.initiations();
    assert_eq!(tries.len(), 3);
    assert_eq!(tries[0], at(birth, secs(166)));
    // Packets come at each full second, and none of them repeats the question.
    assert_jittered(tries[1], tries[0], secs(5));
    assert_jittered(tries[2], tries[1], secs(5));
}

#[test]
fn receiving_asks_once_even_when_the_limit_holds_the_question_back() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.run_until(at(birth, secs(164)));
    pair.link.silenced = vec![pair.a.address];
    pair.a_sends(100).unwrap();
    pair.run(secs(1) - LATENCY);
    for _ in 0..12 {
        pair.b_sends(100).unwrap();
        pair.run(secs(1));
    }
    let tries = pair.a.initiations();
    assert_eq!(tries.len(), 3);
    assert_eq!(tries[0], at(birth, secs(164)));
    assert_jittered(tries[1], tries[0], secs(5));
    assert_jittered(tries[2], tries[1], secs(5));
}

#[test]
fn every_new_key_may_ask_again_on_receiving() {
    let mut pair = Pair::quiet();
    for session in 1..=4 {
        let (birth, _) = births(&pair);
        pair.run_until(at(birth, secs(170)));
        pair.b_sends(100).unwrap();
        pair.run(secs(1));
        assert_eq!(pair.a.initiations().len(), session);
        assert!(births(&pair).0 > birth);
    }
    assert_eq!(pair.b.initiations(), []);
}

#[test]
fn both_roles_call_when_the_session_is_180_s_old() {
    for responder in [false, true] {
        let mut pair = Pair::quiet();
        let (birth_of_a, birth_of_b) = births(&pair);
        let birth = if responder { birth_of_b } else { birth_of_a };
        pair.run_until(at(birth, JUST_BEFORE(180)));
        assert!(if responder {
            pair.b.is_up(pair.now, pair.ba)
        } else {
            pair.a.is_up(pair.now, pair.ab)
        });
        pair.run_until(at(birth, secs(180)));
        let sent = if responder { pair.b_sends(100) } else { pair.a_sends(100) };
        assert!(matches!(sent, Err(SendError::NoSession(_))));
        let caller = if responder { &pair.b } else { &pair.a };
        assert_eq!(caller.initiations(), [pair.now]);
        pair.run(secs(1));
        assert_eq!(if responder { pair.a.inbox.len() } else { pair.b.inbox.len() }, 1);
    }
}

#[test]
fn a_responder_that_called_replaces_its_session_as_initiator() {
    let mut pair = Pair::quiet();
    pair.run(secs(200));
    pair.b_sends(100).unwrap_err();
    pair.run(secs(1));
    let (_, birth) = births(&pair);
    pair.forget();
    pair.run_until(at(birth, secs(120)));
    pair.a_sends(100).unwrap();
    assert_eq!(pair.a.initiations(), [], "A is the responder now");
    pair.b_sends(100).unwrap();
    assert_eq!(pair.b.initiations(), [at(birth, secs(120))]);
}

#[test]
fn nothing_is_lost_or_delayed_at_a_rekey() {
    let mut pair = Pair::quiet();
    let mut sent = 0;
    while pair.a.initiations().len() < 4 {
        pair.a_sends(100).unwrap();
        pair.b_sends(100).unwrap();
        sent += 1;
        pair.run(ms(250));
    }
    pair.run(secs(1));
    assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (sent, sent));
    assert_eq!((pair.a.refusals.len(), pair.b.refusals.len()), (0, 0));
}

#[test]
fn packets_of_the_old_session_arrive_after_the_new_one_began() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.run_until(at(birth, secs(121)));
    // Two packets of the old session are slow; the initiation that goes with them is not.
    pair.a_sends(1).unwrap();
    pair.b_sends(2).unwrap();
    let slow = pair.link.flights.extract_if(.., |flight| flight.bytes[0] == 4).collect::<Vec<_>>();
    pair.run(secs(1));
    assert!(births(&pair).0 > birth);
    for flight in slow {
        pair.deliver(&flight);
    }
    assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (1, 1));
    assert_eq!((pair.a.refusals.len(), pair.b.refusals.len()), (0, 0));
}

#[test]
fn crossing_initiations_converge_at_once_whatever_their_distance() {
    for distance in 0..=25 {
        let mut pair = Pair::new();
        let a = pair.a.address;
        pair.b.device.set_endpoint(pair.now, pair.ba, a);
        pair.a_sends(1).unwrap_err();
        pair.run(ms(distance));
        let _ = pair.b_sends(2);
        pair.run(ms(100));
        assert!(
            pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba),
            "{distance} ms"
        );
        assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (1, 1), "{distance} ms");
        assert_eq!((pair.a.refusals.len(), pair.b.refusals.len()), (0, 0), "{distance} ms");

        // And stay so: both ways, without another handshake.
        let handshakes = pair.a.initiations().len() + pair.b.initiations().len();
        for _ in 0..100 {
            pair.a_sends(1).unwrap();
            pair.b_sends(2).unwrap();
            pair.run(secs(1));
        }
        assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (101, 101), "{distance} ms");
        let handshakes_later = pair.a.initiations().len() + pair.b.initiations().len();
        assert_eq!(handshakes_later, handshakes, "{distance} ms");
    }
}

#[test]
fn both_sides_replace_a_session_that_both_initiated() {
    let mut pair = Pair::new();
    let a = pair.a.address;
    pair.b.device.set_endpoint(pair.now, pair.ba, a);
    pair.a_sends(1).unwrap_err();
    pair.b_sends(2).unwrap_err();
    let mut sent = 1;
    for _ in 0..2_000 {
        pair.run(ms(500));
        pair.a_sends(1).unwrap();
        pair.b_sends(2).unwrap();
        sent += 1;
    }
    pair.run(secs(1));
    assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (sent, sent));
    let initiations = pair.a.initiations().len() + pair.b.initiations().len();
    assert!((9..=18).contains(&initiations), "{initiations} initiations in 1000 s");
}

#[test]
fn a_session_that_is_replaced_in_time_never_expires() {
    let mut pair = Pair::quiet();
    for _ in 0..1_000 {
        pair.a_sends(1).unwrap();
        pair.run(secs(1));
    }
    for node in [&pair.a, &pair.b] {
        assert!(!node.events.iter().any(|event| matches!(event, Event::SessionExpired(_))));
        assert!(!node.deadlines.iter().any(|(_, reason)| *reason == Reason::SessionExpiry));
    }
}
