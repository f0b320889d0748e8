//! Clocks that begin at zero, or far from it; boards that sleep; loops that are late.

use std::time::Duration;

use wg_core::{Connection, Event, Instant, Reason, Refusal};

use crate::pair::Pair;
use crate::{at, births, ms, secs};

/// Half an hour with sessions, silence and lost messages, told as message types and lengths
/// with the time since the start.
fn story(origin: Instant, mut nudge: impl FnMut(&mut Pair)) -> Vec<(Duration, u8, usize)> {
    let mut pair = Pair::new();
    pair.now = origin;
    pair.link.loss_percent = 20;
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    for second in 0..1_800 {
        if second % 7 == 0 && second % 500 < 100 {
            let _ = pair.a_sends(second as usize % 50);
        }
        if second % 11 == 0 {
            let _ = pair.b_sends(second as usize % 40);
        }
        match second {
            700 => pair.link.loss_percent = 100,
            900 => pair.link.loss_percent = 20,
            _ => {}
        }
        nudge(&mut pair);
        pair.run(secs(1));
    }
    assert!(pair.a.inbox.len() > 50 && pair.b.inbox.len() > 20);
    let record = pair.link.record.iter();
    record.map(|f| (f.due.saturating_since(origin), f.bytes[0], f.bytes.len())).collect()
}

#[test]
fn a_clock_may_begin_anywhere() {
    let zero = story(Instant::ZERO, |_| ());
    const MILLIS_OF_32_BITS: u64 = 1 << 32;
    for origin in [
        Instant::from_micros(1),
        Instant::from_secs(1_700_000_000),
        Instant::from_millis(MILLIS_OF_32_BITS - 900_000),
        Instant::from_micros(MILLIS_OF_32_BITS - 900_000_000),
        Instant::from_micros((1 << 63) - 900_000_000),
        Instant::from_micros(u64::MAX - 3_000_000_000),
    ] {
        assert_eq!(story(origin, |_| ()), zero, "from {origin:?}");
    }
}

#[test]
fn calls_that_nothing_asked_for_change_nothing() {
    let plain = story(Instant::ZERO, |_| ());
    let nudged = story(Instant::ZERO, |pair| {
        for node in [&mut pair.a, &mut pair.b] {
            for _ in 0..3 {
                node.device.handle_timeout(pair.now);
                assert_eq!(node.device.poll_timeout(), node.device.poll_timeout());
                node.drain(pair.now, &mut pair.link);
            }
        }
    });
    assert_eq!(nudged, plain);
}

#[test]
fn at_the_end_of_time_nothing_hangs() {
    let mut pair = Pair::new();
    pair.now = Instant::MAX;
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 1);
    pair.drain();
    pair.link.latency = Duration::ZERO;
    for _ in 0..10 {
        let _ = pair.a_sends(1);
        let _ = pair.b_sends(1);
        for _ in 0..100 {
            pair.step(Instant::MAX);
        }
        pair.a.device.handle_timeout(pair.now);
        pair.b.device.handle_timeout(pair.now);
    }
}

#[test]
fn keys_age_while_the_board_sleeps() {
    let mut pair = Pair::quiet();
    pair.freeze(secs(180));
    assert_eq!(pair.a.status(pair.now, pair.ab).connection, Connection::Idle);
    pair.a_sends(1).unwrap_err();
    pair.run(secs(1));
    assert_eq!(pair.b.inbox.len(), 1);
    assert_eq!(pair.a.initiations().len(), 1);
}

#[test]
fn the_new_session_of_a_board_that_slept_is_not_ended_by_its_old_deadlines() {
    let mut pair = Pair::quiet();
    pair.freeze(secs(10_000));
    pair.a_sends(1).unwrap_err();
    // Deadlines of the sleep are served now, first of all.
    pair.run(secs(100));
    assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba));
    assert_eq!(pair.b.inbox.len(), 1);
}

#[test]
fn late_calls_cost_time_and_nothing_else() {
    let mut pair = Pair::quiet();
    let (birth, _) = births(&pair);
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.freeze(secs(10_000));
    // All that was due is due still, earliest first, and a call for each peer serves it.
    assert_eq!(pair.a.device.poll_timeout().unwrap().1, Reason::PersistentKeepalive);
    pair.a.device.handle_timeout(pair.now);
    assert!(pair.a.device.poll_timeout().is_none_or(|(due, _)| due > pair.now));
    pair.drain();
    assert_eq!(pair.a.events, [Event::SessionExpired(pair.ab)]);
    assert_eq!(pair.a.initiations(), [pair.now], "the keepalive wants a session");
    assert!(pair.now > at(birth, secs(540)));
    pair.run(secs(1));
    assert!(pair.a.is_up(pair.now, pair.ab));
}

#[test]
fn a_late_retry_is_one_retry() {
    let mut pair = Pair::new();
    pair.link.loss_percent = 100;
    pair.a_sends(1).unwrap_err();
    for tries in 2..=20 {
        pair.freeze(secs(1_000));
        pair.step(pair.now);
        assert_eq!(pair.a.initiations().len(), tries);
        assert_eq!(pair.a.deadlines.len(), tries - 1);
    }
    pair.freeze(secs(1_000));
    pair.step(pair.now);
    assert_eq!(pair.a.events, [Event::HandshakeGivenUp(pair.ab)]);
}

#[test]
fn a_call_before_the_deadline_is_too_early() {
    let mut pair = Pair::new();
    pair.link.loss_percent = 100;
    pair.a_sends(1).unwrap_err();
    let (due, reason) = pair.a.device.poll_timeout().unwrap();
    assert_eq!(reason, Reason::Retransmit);
    pair.a.device.handle_timeout(Instant::from_micros(due.as_micros() - 1));
    pair.drain();
    assert_eq!(pair.a.initiations().len(), 1);
    assert_eq!(pair.a.device.poll_timeout(), Some((due, reason)));
    pair.run_until(due);
    assert_eq!(pair.a.initiations().len(), 2);
}

#[test]
fn a_session_of_a_board_booted_at_zero_is_as_good_as_any() {
    // Everything of the first session happens in the first microsecond.
    let mut pair = Pair::new();
    pair.link.latency = Duration::ZERO;
    pair.a_sends(1).unwrap_err();
    pair.run(Duration::ZERO);
    assert_eq!(pair.now, Instant::ZERO);
    assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba));
    let (birth_of_a, birth_of_b) = births(&pair);
    assert_eq!((birth_of_a, birth_of_b), (Instant::ZERO, Instant::ZERO));
    // The 20 ms after the accepted initiation count from zero, and so do the 5 s.
    pair.a.device.down();
    pair.a.device.up(pair.now);
    pair.a_sends(1).unwrap_err();
    pair.run(Duration::ZERO);
    assert_eq!(pair.b.refusals, [Refusal::InitiationFlood]);
    pair.run(ms(4_999));
    pair.a_sends(1).unwrap_err();
    assert_eq!(pair.a.initiations().len(), 2);
    pair.run(ms(1));
    pair.a_sends(1).unwrap_err();
    assert_eq!(pair.a.initiations().len(), 3);
}
