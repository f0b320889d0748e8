//! A board sleeps until the next deadline: how often it has to wake, and why.

use wg_core::Reason;

use crate::pair::Pair;
use crate::secs;

const HOUR: std::time::Duration = secs(3_600);

#[test]
fn a_new_device_waits_for_nothing() {
    let mut pair = Pair::new();
    assert_eq!(pair.a.device.poll_timeout(), None);
    assert_eq!(pair.b.device.poll_timeout(), None);
}

#[test]
fn an_idle_session_wakes_twice_and_never_again() {
    let mut pair = Pair::quiet();
    pair.run(HOUR);
    for node in [&mut pair.a, &mut pair.b] {
        let due: Vec<Reason> = node.deadlines.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(due, [Reason::SessionExpiry, Reason::WipeKeys]);
        assert_eq!(node.sent, []);
        assert_eq!(node.device.poll_timeout(), None);
    }
    pair.forget();
    pair.run(HOUR);
    assert_eq!((pair.a.deadlines.len(), pair.b.deadlines.len()), (0, 0));
}

#[test]
fn a_tunnel_that_was_given_up_sleeps() {
    let mut pair = Pair::new();
    pair.link.loss_percent = 100;
    pair.a_sends(1).unwrap_err();
    pair.run(secs(700));
    assert_eq!(pair.a.device.poll_timeout(), None);
}

#[test]
fn a_keepalive_of_25_s_wakes_some_140_times_an_hour() {
    let mut pair = Pair::connected();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, 25);
    pair.drain();
    pair.run(HOUR);
    pair.forget();
    pair.run(HOUR);
    assert!((130..=150).contains(&pair.a.deadlines.len()), "{}", pair.a.deadlines.len());
    assert!(pair.a.deadlines.iter().all(|(_, reason)| *reason == Reason::PersistentKeepalive));
    // The other side only listens.
    assert_eq!(pair.b.deadlines, []);
}

#[test]
fn traffic_wakes_nobody() {
    let mut pair = Pair::quiet();
    for _ in 0..1_800 {
        pair.a_sends(100).unwrap();
        pair.run(secs(1));
        pair.b_sends(100).unwrap();
        pair.run(secs(1));
    }
    assert_eq!((pair.a.deadlines.len(), pair.b.deadlines.len()), (0, 0));
}

#[test]
fn the_deadline_that_is_told_is_the_one_that_acts() {
    let mut pair = Pair::new();
    pair.link.loss_percent = 30;
    for second in 0..3_000 {
        if second % 13 == 0 {
            let _ = pair.a_sends(1);
        }
        if second % 40 == 0 {
            let _ = pair.b_sends(1);
        }
        for node in [&mut pair.a, &mut pair.b] {
            if let Some((due, _)) = node.device.poll_timeout() {
                assert!(due >= pair.now, "{due:?} has passed at {:?}", pair.now);
            }
        }
        pair.run(secs(1));
    }
    let dues = pair.a.deadlines.windows(2);
    assert!(dues.into_iter().all(|two| two[0] != two[1]), "one deadline served twice");
}
