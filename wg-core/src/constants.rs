//! The limits and times of the protocol (whitepaper section 6.1).

use core::time::Duration;

/// Initiate a new handshake once the sending counter is greater than this.
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// A counter at or above this is refused, sending and receiving.
///
/// The whitepaper's value, 2^64 - 2^13 - 1, fixed whatever the size of our replay window. The
/// kernel's leaves room for its own window and is 63 greater.
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// The initiator of a session replaces it when it sends at this age.
pub const REKEY_AFTER_TIME: Duration = Duration::from_secs(120);
/// A keypair of this age neither sends nor receives.
pub const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
/// The wait for an answer to an initiation, and the least time between two of them.
pub const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
/// The greatest random addition to the retransmit and new-handshake timers, inclusive.
pub const MAX_JITTER: Duration = Duration::from_millis(333);
/// Initiations sent for one need of a session, the first one included, before giving up.
pub const MAX_HANDSHAKE_ATTEMPTS: u8 = 20;
/// After data was received, an answer of some kind is sent within this time.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// All key material of a peer is wiped this long after its last session was derived.
pub const WIPE_AFTER_TIME: Duration = Duration::from_secs(540);
/// The secret behind our cookies is replaced when it is used at this age.
pub const COOKIE_SECRET_MAX_AGE: Duration = Duration::from_secs(120);
/// A received cookie is used below this age: the sender's secret outlives it by a margin.
pub const COOKIE_MAX_AGE: Duration = Duration::from_secs(115);
/// An initiation that comes sooner than this after the last accepted one is refused.
pub const INITIATION_MIN_INTERVAL: Duration = Duration::from_millis(20);
/// Once seen, load is assumed for this long.
pub const UNDER_LOAD_HOLD: Duration = Duration::from_secs(1);
/// Under load, handshake messages that one source may send per second.
pub const SOURCE_MESSAGES_PER_SECOND: u32 = 20;
/// Under load, handshake messages that one source may send at once.
pub const SOURCE_BURST: u32 = 5;
/// Data packets are padded to a multiple of this many bytes.
pub const PADDING_MULTIPLE: usize = 16;
/// The initiator replaces a session on receiving at this age, so that it never runs out:
/// `REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT`.
pub const REKEY_ON_RECEIVE_AFTER_TIME: Duration = Duration::from_secs(165);

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the whitepaper, and the Linux kernel's where it has none, once more.
    #[test]
    fn every_constant_has_the_protocols_value() {
        assert_eq!(REKEY_AFTER_MESSAGES, 1_152_921_504_606_846_976);
        assert_eq!(REJECT_AFTER_MESSAGES, 18_446_744_073_709_543_423);
        assert_eq!(REKEY_AFTER_TIME.as_millis(), 120_000);
        assert_eq!(REJECT_AFTER_TIME.as_millis(), 180_000);
        assert_eq!(REKEY_TIMEOUT.as_millis(), 5_000);
        assert_eq!(MAX_JITTER.as_millis(), 333);
        assert_eq!(MAX_HANDSHAKE_ATTEMPTS, 20);
        assert_eq!(KEEPALIVE_TIMEOUT.as_millis(), 10_000);
        assert_eq!(WIPE_AFTER_TIME.as_millis(), 540_000);
        assert_eq!(COOKIE_SECRET_MAX_AGE.as_millis(), 120_000);
        assert_eq!(COOKIE_MAX_AGE.as_millis(), 115_000);
        assert_eq!(INITIATION_MIN_INTERVAL.as_millis(), 20);
        assert_eq!(UNDER_LOAD_HOLD.as_millis(), 1_000);
        assert_eq!(SOURCE_MESSAGES_PER_SECOND, 20);
        assert_eq!(SOURCE_BURST, 5);
        assert_eq!(PADDING_MULTIPLE, 16);
        assert_eq!(REKEY_ON_RECEIVE_AFTER_TIME.as_millis(), 165_000);
    }
}
