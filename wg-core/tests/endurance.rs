//! A year, in seconds.

mod pair;

use std::time::Duration;

use pair::{Pair, Seeded};
use wg_core::{Event, Reason, Refusal};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const HOUR: Duration = secs(3_600);
const DAY: Duration = secs(86_400);

/// A pair in which A's network address must be kept open by a packet every `seconds`.
fn kept_alive(seconds: u16) -> Pair {
    let mut pair = Pair::quiet();
    pair.a.device.set_persistent_keepalive(pair.now, pair.ab, seconds);
    pair.drain();
    pair
}

/// A sound stretch of time, of which no records are kept but what they must say.
fn assert_sound_and_forget(pair: &mut Pair) {
    for node in [&pair.a, &pair.b] {
        assert_eq!(node.refusals, []);
        assert!(!node.events.iter().any(|event| matches!(event, Event::HandshakeGivenUp(_))));
        assert!(!node.deadlines.iter().any(|(_, reason)| *reason == Reason::Retransmit));
    }
    pair.forget();
}

/// A week of it: a year would be a quarter of a million handshakes.
#[test]
fn a_week_of_keepalives_every_25_s_is_one_day_like_the_other() {
    let mut pair = kept_alive(25);
    for day in 0..7 {
        pair.run(DAY);
        assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba), "day {day}");
        // A keepalive in 25 s less the rekeys, of which each takes the place of some.
        assert!((3_400..=4_700).contains(&pair.a.keepalives().len()), "day {day}");
        assert!((650..=720).contains(&pair.a.initiations().len()), "day {day}");
        assert_eq!(pair.b.keepalives(), [], "day {day}");
        assert_sound_and_forget(&mut pair);
    }
}

#[test]
fn a_year_of_keepalives_every_hour_never_fails_once() {
    let mut pair = kept_alive(3_600);
    for day in 0..365 {
        pair.run(DAY);
        // Each finds its session over, and makes a new one.
        assert!((23..=24).contains(&pair.a.initiations().len()), "day {day}");
        assert_sound_and_forget(&mut pair);
        // And each session works both ways.
        let _ = pair.a_sends(10);
        pair.run(secs(1));
        pair.b_sends(10).unwrap();
        pair.run(secs(15));
        assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (1, 1), "day {day}");
        pair.forget();
    }
}

#[test]
fn in_a_year_of_random_traffic_every_packet_arrives_in_time() {
    let mut pair = Pair::quiet();
    let mut rng = Seeded(365);
    let end = pair.now.saturating_add(365 * DAY);
    let mut too_late = 0;
    while pair.now < end {
        let (mut to_a, mut to_b) = (0, 0);
        for _ in 0..rng.below(4) {
            // A packet without a session waits for one.
            let len = rng.below(1_000) as usize;
            if rng.chance(50) {
                to_b += 1;
                let _ = pair.a_sends(len);
            } else {
                to_a += 1;
                let _ = pair.b_sends(len);
            }
        }
        // From a tenth of a second to a day, every order of magnitude alike.
        let magnitude = rng.below(7) as u32;
        pair.run(Duration::from_millis(1_100 * 10u64.pow(magnitude) / 10 + rng.below(2_000)));

        // A packet in flight may miss its session: when that turns 180 s old, and after crossed
        // handshakes, when the one that this side sends in is replaced.
        let refused = (pair.a.refusals.len(), pair.b.refusals.len());
        let arrived = (pair.a.inbox.len(), pair.b.inbox.len());
        assert_eq!((arrived.0 + refused.0, arrived.1 + refused.1), (to_a, to_b), "{:?}", pair.now);
        for node in [&mut pair.a, &mut pair.b] {
            let excuses = [Refusal::SessionExpired, Refusal::UnknownIndex];
            assert!(node.refusals.iter().all(|refusal| excuses.contains(refusal)));
            too_late += node.refusals.len();
            node.refusals.clear();
        }
        assert_sound_and_forget(&mut pair);
    }
    assert!(too_late < 20, "{too_late} packets were too late");
    pair.run(HOUR);
    assert_eq!((pair.a.device.poll_timeout(), pair.b.device.poll_timeout()), (None, None));
}
