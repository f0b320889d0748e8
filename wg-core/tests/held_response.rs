//! A response that somebody on the path held back opens nothing: an initiation is forgotten
//! when a session comes up by any way, when the next one begins and when all are given up.

mod oracle;
mod pair;

use std::time::Duration;

use oracle::{Heard, Lone};
use pair::{A_OUTER, Node};
use wg_core::{ClockUnavailable, Refusal};

const SECOND: Duration = Duration::from_secs(1);
const HOLDS: [Duration; 4] =
    [SECOND, Duration::from_secs(100), Duration::from_secs(3 * 3_600), Duration::from_secs(86_400)];
const ATTACKER: &str = "198.51.100.66:6666";

/// The engine's initiation, and a valid response to it that is not delivered yet.
fn held() -> (Lone, Vec<u8>) {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let (response, _) = lone.us.respond(&initiation, &[0; 32], [0x91; 32], 1);
    (lone, response)
}

fn serve(node: &mut Node, now: wg_core::Instant) {
    while node.device.poll_timeout().is_some_and(|(at, _)| at <= now) {
        node.device.handle_timeout(now);
    }
}

#[test]
fn a_response_held_back_is_refused_once_the_peer_has_called() {
    for hold in HOLDS {
        let (mut lone, response) = held();
        let mut session = lone.called();
        lone.wait(hold);
        if hold > Duration::from_secs(100) {
            session = lone.called();
        }
        assert_eq!(lone.hear_from(ATTACKER, &response), Err(Refusal::UnknownIndex), "{hold:?}");
        assert_eq!(lone.endpoint(), A_OUTER, "{hold:?}");
        assert!(lone.uses(&session) && lone.arrives(&mut session), "{hold:?}");
        assert_eq!(lone.node.news(), []);
    }
}

#[test]
fn a_response_held_back_is_refused_once_a_later_one_was_taken() {
    for hold in HOLDS {
        let (mut lone, response) = held();
        lone.wait(6 * SECOND);
        let initiation = lone.another_initiation();
        lone.answer(&initiation);
        lone.wait(hold);
        assert_eq!(lone.hear_from(ATTACKER, &response), Err(Refusal::UnknownIndex), "{hold:?}");
        assert_eq!(lone.endpoint(), A_OUTER, "{hold:?}");
    }
}

#[test]
fn no_initiation_outlives_giving_up() {
    let mut lone = Lone::new();
    let mut last = lone.initiation();
    while let Some((due, _)) = lone.node.device.poll_timeout() {
        lone.now = due;
        serve(&mut lone.node, due);
        match lone.speak().pop() {
            Some(retry) => last = retry.bytes,
            None => break,
        }
    }
    let (response, _) = lone.us.respond(&last, &[0; 32], [0x91; 32], 1);
    for hold in HOLDS {
        lone.wait(hold);
        assert_eq!(lone.hear_from(ATTACKER, &response), Err(Refusal::UnknownIndex), "{hold:?}");
    }
}

#[test]
fn a_retry_that_has_no_timestamp_ends_the_attempt_before_it() {
    let (mut lone, response) = held();
    lone.node.clock.answer = Err(ClockUnavailable::Reserve);
    lone.wait(6 * SECOND);
    serve(&mut lone.node, lone.now);
    assert_eq!(lone.speak(), []);
    assert_eq!(lone.hear_from(ATTACKER, &response), Err(Refusal::UnknownIndex));
}

#[test]
fn an_initiation_does_not_outlive_down_or_another_private_key() {
    let (mut lone, response) = held();
    lone.node.device.down();
    lone.node.device.up(lone.now);
    assert_eq!(lone.hear_from(ATTACKER, &response), Err(Refusal::UnknownIndex));

    let (mut lone, response) = held();
    lone.node.device.set_private_key(lone.now, Some(&pair::private_key(9)));
    lone.node.device.set_private_key(lone.now, Some(&pair::private_key(2)));
    assert_eq!(lone.hear_from(ATTACKER, &response), Err(Refusal::UnknownIndex));
}

#[test]
fn crossing_calls_still_take_the_response_that_comes_before_a_session() {
    let (mut lone, response) = held();
    let initiation = lone.initiate();
    lone.hear(&initiation.bytes).unwrap().reply();
    assert_eq!(lone.hear(&response), Ok(Heard::Handshake(lone.peer)));
}

/// As by a board that slept, and reads its socket before it looks at the time.
#[test]
fn a_response_held_back_past_a_sessions_age_is_refused_though_no_timer_was_served() {
    for (hold, taken) in [(179, true), (180, false), (3 * 3_600, false), (7 * 86_400, false)] {
        let (mut lone, response) = held();
        lone.wait(Duration::from_secs(hold));
        let heard = lone.hear_from(ATTACKER, &response);
        let expected =
            if taken { Ok(Heard::Handshake(lone.peer)) } else { Err(Refusal::UnknownIndex) };
        assert_eq!(heard, expected, "{hold} s");
        assert_eq!(lone.endpoint() == A_OUTER, !taken, "{hold} s");
    }
}
