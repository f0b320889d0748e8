//! The timers (whitepaper section 6), as two devices and a network show them.
//!
//! Latency is 10 ms unless a test says otherwise, so that what happens when is known to the
//! microsecond, up to the jitter.

mod clocks;
mod expiry;
mod interface;
mod passive_keepalive;
mod persistent_keepalive;
mod rekey;
mod retransmit;
mod silence;
mod suppressed;
mod wakeups;

#[path = "../pair/mod.rs"]
mod pair;

use std::time::Duration;

use pair::Pair;
use wg_core::Instant;

const LATENCY: Duration = ms(10);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn at(base: Instant, after: Duration) -> Instant {
    base.saturating_add(after)
}

/// Whether `actual` is `wait` after `since`, plus jitter that is not zero.
#[track_caller]
fn assert_jittered(actual: Instant, since: Instant, wait: Duration) {
    let jitter = actual.saturating_since(since).checked_sub(wait).expect("too early");
    assert!(jitter > Duration::ZERO, "no jitter");
    assert!(jitter <= ms(333), "{jitter:?} is too much jitter");
}

/// When the keys of A's and B's current sessions were derived.
fn births(pair: &Pair) -> (Instant, Instant) {
    let birth_of_a = pair.a.status(pair.now, pair.ab).session_birth.unwrap();
    let birth_of_b = pair.b.status(pair.now, pair.ba).session_birth.unwrap();
    (birth_of_a, birth_of_b)
}
