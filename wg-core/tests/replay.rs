//! Each data message is accepted once, and before anything else changes (whitepaper section
//! 5.4.6, RFC 6479).

mod oracle;
mod pair;

use std::collections::HashSet;
use std::time::Duration;

use oracle::{ATTACKER, Heard, Lone, Session};
use pair::{Link, Pair, Seeded};
use proptest::prelude::*;
use wg_core::{REPLAY_WINDOW, Refusal};

const WINDOW: u64 = REPLAY_WINDOW;

fn packet_at(lone: &mut Lone, session: &Session, counter: u64) -> Result<Heard, Refusal> {
    let datagram = session.seal_at(counter, &lone.incoming(1));
    lone.hear(&datagram)
}

#[test]
fn the_first_packet_of_a_session_has_counter_zero_and_is_accepted() {
    let mut lone = Lone::new();
    let session = lone.responded();
    assert!(packet_at(&mut lone, &session, 0).is_ok());
    assert_eq!(packet_at(&mut lone, &session, 0), Err(Refusal::Replayed));
    lone.wait(Duration::from_secs(1));
    let session = lone.responded();
    assert!(packet_at(&mut lone, &session, 0).is_ok(), "and of the next one too");
}

#[test]
fn packets_are_accepted_once_in_any_order_within_the_window() {
    let mut lone = Lone::new();
    let session = lone.responded();
    let mut counters = Vec::from_iter(5 * WINDOW - 3..6 * WINDOW - 3);
    let mut rng = Seeded(4);
    for at in (1..counters.len()).rev() {
        counters.swap(at, rng.below(at as u64 + 1) as usize);
    }
    for &counter in &counters {
        assert!(packet_at(&mut lone, &session, counter).is_ok(), "{counter}");
    }
    for &counter in &counters {
        assert_eq!(packet_at(&mut lone, &session, counter), Err(Refusal::Replayed));
    }
}

#[test]
fn the_window_ends_its_width_behind_the_greatest_counter() {
    for greatest in [WINDOW, 2 * WINDOW - 48, (1 << 32) + 5, 1 << 40] {
        let mut lone = Lone::new();
        let session = lone.responded();
        assert!(packet_at(&mut lone, &session, greatest).is_ok());
        let too_old = packet_at(&mut lone, &session, greatest - WINDOW);
        assert_eq!(too_old, Err(Refusal::TooOld), "{greatest}");
        assert!(packet_at(&mut lone, &session, greatest - WINDOW + 1).is_ok(), "{greatest}");
    }
}

#[test]
fn a_jump_of_more_than_32_bits_forgets_nothing() {
    let mut lone = Lone::new();
    let session = lone.responded();
    for counter in [3, 3 + (1 << 32), 3 + (1 << 33)] {
        assert!(packet_at(&mut lone, &session, counter).is_ok());
        assert_eq!(packet_at(&mut lone, &session, counter), Err(Refusal::Replayed));
    }
    assert_eq!(packet_at(&mut lone, &session, 4), Err(Refusal::TooOld));
}

#[test]
fn a_replay_changes_nothing_whether_data_or_keepalive() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let data = session.seal(&lone.incoming(9));
    let keepalive = session.seal(&[]);
    lone.hear(&data).unwrap();
    lone.hear(&keepalive).unwrap();
    lone.view();
    lone.wait(Duration::from_secs(2));
    let before = lone.view();
    for from in [ATTACKER, pair::A_OUTER] {
        assert_eq!(lone.hear_from(from, &data), Err(Refusal::Replayed));
        assert_eq!(lone.hear_from(from, &keepalive), Err(Refusal::Replayed));
    }
    assert_eq!(lone.view(), before);
    assert_eq!(lone.node.status(lone.now, lone.peer).refusals.count(Refusal::Replayed), 4);
}

#[test]
fn a_packet_that_fails_to_authenticate_takes_no_counter() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let datagram = session.seal(&lone.incoming(9));
    let mut forged = datagram.clone();
    forged[40] ^= 1;
    assert_eq!(lone.hear(&forged), Err(Refusal::Forged));
    let mut far = forged;
    far[8..16].copy_from_slice(&(1u64 << 50).to_le_bytes());
    assert_eq!(lone.hear(&far), Err(Refusal::Forged));
    assert!(lone.hear(&datagram).is_ok(), "neither its own nor the window's end moved");
}

#[test]
fn the_early_look_accepts_nothing_by_itself() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let datagram = session.seal(&lone.incoming(9));
    for _ in 0..3 {
        drop(lone.node.device.begin_open(lone.now, &datagram).unwrap());
    }
    assert!(lone.hear(&datagram).is_ok());
    assert_eq!(
        lone.node.device.begin_open(lone.now, &datagram).unwrap_err(),
        Refusal::Replayed,
        "refused before it is decrypted"
    );
}

#[test]
fn each_session_has_a_window_of_its_own() {
    let mut lone = Lone::new();
    let first = lone.called();
    assert!(packet_at(&mut lone, &first, 5 * WINDOW).is_ok());
    lone.wait(Duration::from_secs(1));
    let second = lone.called();
    assert!(packet_at(&mut lone, &second, 5).is_ok());
    assert!(packet_at(&mut lone, &first, 5 * WINDOW - 1).is_ok(), "late, in the previous session");
    assert_eq!(packet_at(&mut lone, &first, 5 * WINDOW), Err(Refusal::Replayed));
    assert_eq!(packet_at(&mut lone, &first, 5), Err(Refusal::TooOld));
}

#[test]
fn a_network_that_duplicates_and_reorders_delivers_each_packet_once() {
    let mut pair = Pair::connected();
    pair.link =
        Link { duplicate_percent: 100, spread: Duration::from_millis(500), ..Link::perfect() };
    for len in 0..500 {
        pair.a_sends(len).unwrap();
        pair.run(Duration::from_millis(1));
    }
    pair.run(Duration::from_secs(1));
    let lengths: HashSet<usize> = pair.b.inbox.iter().map(Vec::len).collect();
    assert_eq!((pair.b.inbox.len(), lengths.len()), (500, 500));
    assert!(pair.b.refusals.iter().all(|refusal| *refusal == Refusal::Replayed));
}

#[test]
fn recorded_traffic_changes_nothing_on_either_side() {
    let mut pair = Pair::connected();
    pair.a_sends(10).unwrap();
    pair.b_sends(10).unwrap();
    pair.run(Duration::from_secs(1));
    let (inbox_a, inbox_b) = (pair.a.inbox.len(), pair.b.inbox.len());
    let record = pair.link.record.clone();
    let before = (pair.a.observe(pair.now), pair.b.observe(pair.now));
    for _ in 0..2 {
        for flight in &record {
            for mut flight in [flight.clone(), flight.clone()] {
                flight.from = ATTACKER.parse().unwrap();
                pair.deliver(&flight);
                std::mem::swap(&mut flight.to, &mut flight.from);
                flight.to =
                    if flight.to == pair.a.address { pair.b.address } else { pair.a.address };
                pair.deliver(&flight);
            }
        }
    }
    assert_eq!((pair.a.observe(pair.now), pair.b.observe(pair.now)), before);
    assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (inbox_a, inbox_b));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    /// A set of all counters seen is the oracle.
    #[test]
    fn the_device_agrees_with_a_set(
        steps in prop::collection::vec((any::<bool>(), 0..1_500_u64, 0..2_000_u64), 1..200),
    ) {
        let mut lone = Lone::new();
        let session = lone.responded();
        let (mut seen, mut greatest) = (HashSet::new(), 0);
        for (back, behind, ahead) in steps {
            let counter = if back { greatest - behind.min(greatest) } else { greatest + ahead };
            let expected = if greatest >= WINDOW && counter <= greatest - WINDOW {
                Err(Refusal::TooOld)
            } else if seen.insert(counter) {
                greatest = greatest.max(counter);
                Ok(())
            } else {
                Err(Refusal::Replayed)
            };
            prop_assert_eq!(packet_at(&mut lone, &session, counter).map(drop), expected);
        }
    }
}
