//! Keepalives for a fixed time of silence, which keep the path through NAT open.

use wg_core::{Connection, Event, Reason, Refusal};

use crate::pair::{B_OUTER, Pair, private_key};
use crate::{LATENCY, at, ms, secs};

#[test]
fn switching_it_on_sends_one_at_once() {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    assert_eq!(pair.a.keepalives(), [pair.now]);
}

#[test]
fn switching_it_on_without_a_session_calls_at_once() {
    let mut pair = Pair::new();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    assert_eq!(pair.a.initiations(), [pair.now]);
    pair.run(secs(1));
    assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba));
}

#[test]
fn switching_it_on_while_down_sends_nothing() {
    let mut pair = Pair::new();
    pair.a.device.down();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.run(secs(100));
    assert_eq!(pair.a.sent, []);
    assert_eq!(pair.a.device.refusals().count(Refusal::Down), 0, "nothing was tried");
    assert_eq!(pair.a.device.poll_timeout(), None);
}

#[test]
fn another_interval_counts_from_the_next_traversal() {
    let mut pair = Pair::quiet();
    let start = pair.now;
    pair.a.device.set_persistent_keepalive(start, pair.ab, 25);
    pair.drain();
    pair.run(secs(1));
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 7);
    pair.drain();
    pair.run(secs(40));
    let expected = [0, 25, 32, 39].map(|after| at(start, secs(after)));
    assert_eq!(pair.a.keepalives(), expected);
}

#[test]
fn switched_off_it_leaves_no_deadline() {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.run(secs(1));
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 0);
    pair.drain();
    assert_ne!(pair.a.device.poll_timeout().unwrap().1, Reason::PersistentKeepalive);
    pair.run(secs(100));
    assert_eq!(pair.a.keepalives().len(), 1);
}

#[test]
fn every_period_of_silence_ends_with_one() {
    let mut pair = Pair::quiet();
    let start = pair.now;
    pair.a.device.set_persistent_keepalive(start, pair.ab, 20);
    pair.drain();
    pair.run(secs(61));
    assert_eq!(pair.a.keepalives(), [0, 20, 40, 60].map(|after| at(start, secs(after))));
    let due = pair.a.deadlines.iter().map(|(_, reason)| *reason);
    assert!(due.eq([Reason::PersistentKeepalive; 3]));
}

#[test]
fn a_packet_sent_begins_the_silence_anew() {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.run(secs(20));
    pair.forget();
    let sent = pair.now;
    pair.a_sends(100).unwrap();
    // B answers the data with a keepalive of its own after 10 s, which counts as well.
    let answered = at(sent, LATENCY + secs(10) + LATENCY);
    pair.run(secs(60));
    assert_eq!(pair.a.keepalives()[0], at(answered, secs(25)));
}

#[test]
fn a_packet_received_begins_the_silence_anew() {
    let mut pair = Pair::quiet();
    let start = pair.now;
    pair.a.device.set_persistent_keepalive(start, pair.ab, 25);
    pair.b.device.set_persistent_keepalive(start, pair.ba, 20);
    pair.drain();
    pair.run(secs(50));
    // B speaks first each time, and hears A's only keepalive of the beginning.
    assert_eq!(pair.a.keepalives(), [start]);
    let start = at(start, LATENCY);
    assert_eq!(pair.b.keepalives()[1..], [20, 40].map(|after| at(start, secs(after))));
}

#[test]
fn a_forged_packet_does_not_break_the_silence() {
    let mut pair = Pair::quiet();
    let start = pair.now;
    pair.a.device.set_persistent_keepalive(start, pair.ab, 25);
    pair.drain();
    pair.run(secs(24));
    pair.link.silenced = vec![pair.b.address];
    pair.b_sends(100).unwrap();
    let mut forged = pair.link.record.last().unwrap().clone();
    *forged.bytes.last_mut().unwrap() ^= 1;
    pair.deliver(&forged);
    assert_eq!(pair.a.refusals, [Refusal::Forged]);
    pair.run(secs(2));
    assert_eq!(pair.a.keepalives(), [start, at(start, secs(25))]);
}

#[test]
fn it_revives_a_tunnel_that_was_given_up() {
    let mut pair = Pair::new();
    pair.link.silenced = vec![pair.a.address];
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.run(secs(110));
    assert_eq!(pair.a.events, [Event::HandshakeGivenUp(pair.ab)]);
    let tries = pair.a.initiations();
    assert_eq!(tries.len(), 20);
    let status = pair.a.status(pair.now, pair.ab);
    assert_eq!(status.connection, Connection::Blocked(Refusal::Unanswered));

    pair.run(secs(20));
    let revived = at(tries[19], secs(25));
    assert_eq!(pair.a.initiations()[20], revived);
    pair.link.silenced.clear();
    pair.run(secs(6));
    assert!(pair.a.is_up(pair.now, pair.ab));
}

#[test]
fn it_calls_when_its_session_is_over() {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 1_000);
    pair.drain();
    let start = pair.now;
    pair.run(secs(1_001));
    assert_eq!(pair.a.initiations(), [at(start, secs(1_000))]);
    assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba));
}

#[test]
fn the_greatest_interval_is_honoured_to_the_second() {
    let mut pair = Pair::quiet();
    let start = pair.now;
    pair.a.device.set_persistent_keepalive(start, pair.ab, u16::MAX);
    pair.drain();
    pair.run(secs(65_536));
    assert_eq!(pair.a.initiations(), [at(start, secs(65_535))]);
}

#[test]
fn it_waits_for_an_endpoint_without_a_deadline() {
    let mut pair = Pair::new();
    pair.b.device.set_persistent_keepalive(pair.now, pair.ba, 25);
    pair.drain();
    assert_eq!(pair.b.device.poll_timeout(), None);
    pair.run(ms(100));
    pair.b.device.set_endpoint(pair.now, pair.ba, crate::pair::A_OUTER.parse().unwrap());
    pair.drain();
    assert_eq!(pair.b.initiations(), [pair.now]);
}

#[test]
fn it_waits_for_a_private_key_without_a_deadline() {
    let mut pair = Pair::new();
    pair.a.device.set_private_key(pair.now, None);
    pair.a.device.set_endpoint(pair.now, pair.ab, B_OUTER.parse().unwrap());
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    assert_eq!((pair.a.initiations().len(), pair.a.device.poll_timeout()), (0, None));
    pair.a.device.set_private_key(pair.now, Some(&private_key(1)));
    pair.drain();
    assert_eq!(pair.a.initiations(), [pair.now]);
}
