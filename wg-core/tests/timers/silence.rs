//! Data out and nothing in for 15 s: a new handshake.

use wg_core::{Instant, Reason, Refusal, Source};

use crate::pair::{Flight, Pair};
use crate::{LATENCY, assert_jittered, at, ms, secs};

/// A quiet pair whose B is not heard any more.
fn deaf() -> (Pair, Instant) {
    let mut pair = Pair::quiet();
    pair.link.silenced = vec![pair.b.address];
    let start = pair.now;
    (pair, start)
}

#[test]
fn unanswered_data_leads_to_a_handshake_after_fifteen_seconds() {
    let (mut pair, start) = deaf();
    pair.a_sends(100).unwrap();
    pair.run(secs(16));
    assert_eq!(pair.a.initiations().len(), 1);
    assert_jittered(pair.a.initiations()[0], start, secs(15));
    assert_eq!(pair.a.deadlines, [(pair.a.initiations()[0], Reason::NewHandshake)]);
}

#[test]
fn a_steady_sender_does_not_push_the_handshake_away() {
    let (mut pair, start) = deaf();
    for _ in 0..40 {
        pair.a_sends(100).unwrap();
        pair.run(ms(500));
    }
    assert_eq!(pair.a.initiations().len(), 1);
    assert_jittered(pair.a.initiations()[0], start, secs(15));
}

#[test]
fn keepalives_expect_no_answer() {
    let (mut pair, start) = deaf();
    pair.a.device.set_persistent_keepalive(start, pair.ab, 5);
    pair.drain();
    pair.run(secs(80));
    assert_eq!(pair.a.keepalives().len(), 17);
    assert_eq!(pair.a.initiations(), []);
}

#[test]
fn a_keepalive_received_in_time_is_an_answer() {
    let (mut pair, start) = deaf();
    pair.a_sends(100).unwrap();
    pair.link.silenced.clear();
    pair.run(secs(40));
    assert_eq!(pair.b.keepalives(), [at(start, LATENCY + secs(10))]);
    assert_eq!(pair.a.initiations(), []);
    assert_eq!(pair.a.deadlines, []);
}

#[test]
fn after_an_answer_the_next_packet_waits_anew() {
    let mut pair = Pair::quiet();
    pair.a_sends(100).unwrap();
    pair.run(secs(12));
    pair.link.silenced = vec![pair.b.address];
    let start = pair.now;
    pair.a_sends(100).unwrap();
    pair.run(secs(16));
    assert_eq!(pair.a.initiations().len(), 1);
    assert_jittered(pair.a.initiations()[0], start, secs(15));
}

#[test]
fn a_handshake_initiation_received_is_an_answer() {
    let (mut pair, _) = deaf();
    pair.a_sends(100).unwrap();
    pair.run(secs(1));
    // B calls by itself, having lost its sessions.
    pair.link.silenced.clear();
    pair.b.device.down();
    pair.b.device.up(pair.now);
    pair.b_sends(1).unwrap_err();
    pair.run(LATENCY);
    // Nothing but the initiation is heard of it.
    pair.link.silenced = vec![pair.b.address];
    pair.b.device.down();
    pair.run(secs(20));
    assert_eq!((pair.a.initiations().len(), pair.a.sent_of(2).len()), (0, 1));
    assert!(!pair.a.deadlines.iter().any(|(_, reason)| *reason == Reason::NewHandshake));
}

#[test]
fn a_cookie_reply_is_no_answer() {
    let mut pair = Pair::quiet();
    // A's session is old enough that its data goes with an initiation.
    pair.run(secs(100));
    pair.b.device.set_under_load(pair.now);
    let start = pair.now;
    pair.a_sends(100).unwrap();
    pair.run(LATENCY + LATENCY);
    assert_eq!(pair.b.sent_of(3).len(), 1);
    pair.link.silenced = vec![pair.a.address, pair.b.address];
    pair.run(secs(16));
    let due = pair.a.deadlines.iter().find(|(_, reason)| *reason == Reason::NewHandshake);
    assert_jittered(due.expect("still waiting for an answer").0, start, secs(15));
}

#[test]
fn a_replayed_packet_is_no_answer() {
    let mut pair = Pair::quiet();
    pair.b_sends(100).unwrap();
    pair.run(secs(20));
    let replay: Flight = pair.link.record[0].clone();
    pair.forget();
    pair.link.silenced = vec![pair.b.address];
    let start = pair.now;
    pair.a_sends(100).unwrap();
    pair.run(secs(14));
    pair.deliver(&replay);
    assert_eq!(pair.a.refusals, [Refusal::Replayed]);
    pair.run(secs(2));
    assert_jittered(pair.a.initiations()[0], start, secs(15));
}

#[test]
fn a_peer_that_lost_its_sessions_is_back_after_fifteen_seconds() {
    let mut pair = Pair::quiet();
    pair.b.device.down();
    pair.b.device.up(pair.now);
    let start = pair.now;
    let mut lost = 0;
    while pair.b.inbox.is_empty() {
        pair.a_sends(100).unwrap();
        lost += 1;
        pair.run(secs(1));
        assert!(lost < 20, "the tunnel stays dead");
    }
    assert_jittered(pair.a.initiations()[0], start, secs(15));
}

/// Where A would send its next initiation, and from which of its addresses.
fn next_initiation(pair: &mut Pair) -> wg_core::Endpoint {
    let mut buf = [0; wg_core::INITIATION_LEN];
    loop {
        let (due, _) = pair.a.device.poll_timeout().unwrap();
        pair.now = pair.now.max(due);
        pair.a.device.handle_timeout(pair.now);
        let (clock, rng) = (&mut pair.a.clock, &mut pair.a.rng);
        if let Some(transmit) = pair.a.device.poll_transmit(pair.now, clock, rng, &mut buf) {
            assert_eq!(transmit.datagram[0], 1);
            return transmit.to;
        }
    }
}

#[test]
fn silence_makes_doubt_of_our_address_and_not_of_theirs() {
    let (mut pair, start) = deaf();
    let mut buf = [0; 200];
    buf[16..136].copy_from_slice(&crate::pair::packet("10.0.0.1", "10.0.0.2", 100, 0));
    let to = pair.a.device.seal(pair.now, &mut buf, 120).unwrap().to;
    let ours: std::net::SocketAddr = pair.a.address;
    assert_eq!(to.local, Some(ours.ip()), "B was heard by this address of A's");

    let to = next_initiation(&mut pair);
    assert_jittered(pair.now, start, secs(15));
    assert_eq!((to.remote, to.local), (pair.b.address, None));
}

#[test]
fn an_unanswered_initiation_makes_doubt_of_our_address_and_not_of_theirs() {
    // A roaming B was heard at another address of A's, and the handshake with it began.
    let mut pair = Pair::quiet();
    pair.run(secs(100));
    pair.link.silenced = vec![pair.b.address];
    pair.a_sends(100).unwrap();
    assert_eq!(pair.a.initiations().len(), 1);
    let source = Source {
        remote: pair.b.address,
        local: Some([192, 0, 2, 77].into()),
        ecn: wg_core::Ecn::NotCapable,
    };
    pair.link.silenced.clear();
    pair.b_sends(100).unwrap();
    let mut bytes = pair.link.record.last().unwrap().bytes.clone();
    pair.link.flights.clear();
    pair.a.device.handle_datagram(pair.now, &mut pair.a.rng, source, &mut bytes).unwrap();

    let to = next_initiation(&mut pair);
    assert_eq!((to.remote, to.local), (pair.b.address, None));
}
