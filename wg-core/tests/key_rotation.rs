//! Previous, current and next session, and the only moves between them (whitepaper section 6.3).

mod oracle;
mod pair;

use std::time::Duration;

use oracle::{Heard, Lone};
use pair::{A_OUTER, Pair, private_key};
use wg_core::Connection;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_initiators_session_sends_at_once_and_the_one_before_still_receives() {
    let mut lone = Lone::new();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        lone.wait(Duration::from_secs(121));
        sessions.push(if sessions.is_empty() {
            lone.calling()
        } else {
            let packet = lone.outgoing(1);
            lone.node.seal(lone.now, &packet).unwrap();
            let initiation = lone.speak().remove(0).bytes;
            lone.answer(&initiation)
        });
        assert!(lone.uses(sessions.last().unwrap()));
        lone.wait(Duration::from_secs(1));
    }
    let [first, second, third] = &mut sessions[..] else { panic!() };
    assert!(!lone.arrives(first), "the old previous goes");
    assert!(lone.arrives(second), "the old current receives");
    assert!(lone.arrives(third));
    assert!(lone.uses(third), "what came in the previous one moves nothing");
}

#[test]
fn a_responders_session_receives_and_sends_only_after_it_was_confirmed() {
    let mut lone = Lone::new();
    let mut first = lone.responded();
    let packet = lone.outgoing(1);
    assert!(lone.node.seal(lone.now, &packet).is_err(), "nothing to send with");
    assert_ne!(lone.connection(), Connection::Up);
    assert_eq!(lone.node.status(lone.now, lone.peer).last_handshake, None);
    assert!(lone.arrives(&mut first), "confirmed by data");
    assert!(lone.uses(&first));
    assert_eq!(lone.node.status(lone.now, lone.peer).last_handshake, Some(lone.now));

    lone.wait(SECOND);
    let mut second = lone.responded();
    assert!(lone.uses(&first), "current is unchanged");
    assert!(lone.arrives(&mut first), "and confirms nothing");
    assert!(lone.uses(&first));
    let keepalive = second.seal(&[]);
    assert_eq!(lone.hear(&keepalive), Ok(Heard::Keepalive(lone.peer)), "by a keepalive");
    assert!(lone.uses(&second));
    assert!(lone.arrives(&mut first), "now previous");
}

#[test]
fn a_response_drops_the_next_and_the_previous_session() {
    let mut lone = Lone::new();
    let mut first = lone.called();
    lone.wait(SECOND);
    let mut second = lone.called();
    lone.wait(SECOND);
    let mut third = lone.responded();
    assert!(!lone.arrives(&mut first), "previous went");
    lone.wait(SECOND);
    let mut fourth = lone.responded();
    assert!(!lone.arrives(&mut third), "next went");
    assert!(lone.uses(&second));
    assert!(lone.arrives(&mut fourth));
    assert!(lone.uses(&fourth));
    assert!(lone.arrives(&mut second), "current became previous");
}

#[test]
fn an_initiators_session_keeps_an_unconfirmed_next_one_and_drops_current() {
    let mut lone = Lone::new();
    let mut first = lone.called();
    lone.wait(Duration::from_secs(180));
    let initiation = lone.initiation();
    let mut next = lone.responded();
    lone.wait(SECOND);
    let mut ours = lone.answer(&initiation);
    assert!(lone.uses(&ours));
    assert!(!lone.arrives(&mut first), "current went");
    assert!(lone.arrives(&mut next), "next became previous");
    assert!(lone.uses(&ours), "which confirms nothing any more");
    assert!(lone.arrives(&mut ours));
}

#[test]
fn crossing_initiations_converge_at_once() {
    for skew in [0, 1, 5, 9, 10, 11, 15, 19] {
        let mut pair = Pair::new();
        pair.b.device.set_endpoint(pair.now, pair.ba, A_OUTER.parse().unwrap());
        assert!(pair.a_sends(1).is_err());
        pair.run(Duration::from_millis(skew));
        let _ = pair.b_sends(1);
        pair.run(Duration::from_millis(80));
        assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba), "{skew} ms");
        for _ in 0..3 {
            pair.a_sends(2).unwrap();
            pair.b_sends(2).unwrap();
            pair.run(Duration::from_millis(20));
        }
        assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (4, 4), "{skew} ms: nothing lost");
        pair.run(Duration::from_secs(9));
        let initiations = pair.a.sent_of(1).len() + pair.b.sent_of(1).len();
        assert!(initiations <= 2, "{skew} ms: no retransmit");
    }
}

#[test]
fn what_an_initiator_keeps_survives_being_a_responder() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let mut theirs = lone.responded();
    let mut ours = lone.answer(&initiation);
    assert!(lone.uses(&ours));
    assert!(lone.arrives(&mut theirs) && lone.arrives(&mut ours));
}

#[test]
fn accepting_an_initiation_does_not_cancel_our_own() {
    let mut lone = Lone::new();
    lone.initiation();
    lone.responded();
    lone.wait(Duration::from_millis(5_334));
    lone.node.device.handle_timeout(lone.now);
    // The response counts as a handshake message that we sent, at the same time.
    let spoken = lone.speak();
    assert_eq!(spoken.len(), 1);
    assert_eq!(spoken[0].bytes[0], 1);
}

#[test]
fn hundreds_of_sessions_in_either_role_leave_nothing_behind() {
    let mut lone = Lone::new();
    for _ in 0..100 {
        lone.wait(Duration::from_secs(181));
        let mut ours = lone.calling();
        assert!(lone.arrives(&mut ours) && lone.uses(&ours));
        lone.wait(SECOND);
        let mut theirs = lone.called();
        assert!(lone.arrives(&mut theirs) && lone.uses(&theirs) && lone.arrives(&mut ours));
        lone.wait(SECOND);
        let initiation = lone.initiate();
        lone.node.device.set_private_key(lone.now, None);
        lone.node.device.set_private_key(lone.now, Some(&private_key(2)));
        lone.initiation();
        lone.node.device.set_private_key(lone.now, None);
        lone.node.device.set_private_key(lone.now, Some(&private_key(2)));
        let again = lone.initiation();
        lone.answer(&again);
        assert!(lone.hear(&initiation.bytes).is_ok());
    }
}
