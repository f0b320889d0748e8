//! Why a packet went no further: every drop has a name and a counter.

use core::fmt;

macro_rules! refusals {
    ($($(#[$doc:meta])+ $name:ident = $sentence:literal,)+) => {
        /// Why a packet, in or out, went no further, or why there is no session.
        ///
        /// A refused datagram changes nothing but counters, the state of the load limiter
        /// and the age of the cookie secret.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Refusal {
            // From 1, so that no refusal is a zero byte and a blank peer is all zeros.
            $($(#[$doc])+ $name = Position::$name as u8 + 1,)+
        }

        enum Position {
            $($name,)+
        }

        impl Refusal {
            /// Every reason, in the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name, for tables of counters.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            const fn position(self) -> usize {
                (self as usize).wrapping_sub(1)
            }

            /// What `Display` prints.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence),+ }
            }
        }
    };
}

refusals! {
    /// No WireGuard message: unknown type, reserved bits set, or a wrong length.
    Malformed = "not a WireGuard message",
    /// The device is down.
    Down = "the interface is down",
    /// The device has no private key, so it takes part in no handshake.
    NoPrivateKey = "no private key is set",
    /// No clock that can stamp an initiation: nothing has set it since the start.
    ClockNotSet = "the clock is not set, and without a timestamp the peer refuses the handshake",
    /// The clock's reserved range of timestamps is used up, and no new one is stored yet.
    ClockReserve = "the stored timestamp reserve is used up",
    /// The peer's address is not known.
    NoEndpoint = "the peer has no endpoint: set one, or wait until the peer calls",
    /// Initiations were sent and nothing came back.
    Unanswered = "handshake initiations are unanswered: check the endpoint, both keys and this device's clock",
    /// The inner destination address routes to no peer.
    NoRoute = "no peer has this destination among its allowed IPs",
    /// A handshake message was made for another public key than ours, or damaged.
    Mac1Mismatch = "mac1 does not match: the sender has another public key for us",
    /// Under load, a source with a valid cookie sent more than its share, or there is none left.
    SourceLimit = "under load, and this source's share of handshakes is used up",
    /// A Diffie-Hellman result was zero: a public key of low order.
    ZeroSharedSecret = "a public key of low order",
    /// The sender's static key could not be decrypted.
    StaticUndecryptable = "the initiation's static key does not decrypt",
    /// The initiation is from a public key that is no peer of ours.
    UnknownPeer = "no peer has this public key",
    /// The initiation's timestamp could not be decrypted.
    TimestampUndecryptable = "the initiation's timestamp does not decrypt",
    /// The initiation's timestamp is not after the last one: a replay, or a clock set back.
    StaleTimestamp = "the timestamp is not after the last one: a replay, or the peer's clock stepped back",
    /// Less than 20 ms after the last accepted initiation of this peer.
    InitiationFlood = "initiations come too fast",
    /// The receiver index belongs to no handshake or session of ours (any more).
    UnknownIndex = "no handshake or session has this index",
    /// A response did not decrypt: a wrong pre-shared key, or a forgery.
    ResponseUndecryptable = "the response does not decrypt: is the pre-shared key the same on both sides?",
    /// A cookie reply that answers no message of ours, or a second one.
    UnexpectedCookie = "a cookie reply that nothing asked for",
    /// A cookie reply did not decrypt.
    CookieUndecryptable = "the cookie reply does not decrypt",
    /// The session is 180 s old or older.
    SessionExpired = "the session is too old",
    /// The session's counter is used up.
    CounterExhausted = "the session's counter is used up",
    /// This counter was received before.
    Replayed = "this packet was received before",
    /// This counter is older than the replay window.
    TooOld = "this packet is older than the replay window",
    /// A data message did not authenticate.
    Forged = "the packet does not authenticate",
    /// The session ended while the packet was being opened elsewhere.
    SessionGone = "the session ended while the packet was being opened",
    /// The inner packet is no IP packet, or its length field is false.
    MalformedInner = "the inner packet is not a whole IP packet",
    /// The inner source address does not route to the peer that sent it.
    NotAllowedSource = "the inner source address is not among this peer's allowed IPs",
    /// Congestion was marked outside, and the inner packet cannot carry the mark. The mark is
    /// refused and the packet delivered, as by the Linux kernel; RFC 6040 would drop it.
    CongestionLost = "a congestion mark was dropped, as its packet cannot carry one",
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl core::error::Error for Refusal {}

/// How often each [`Refusal`] happened. Counts stop at the greatest value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusals {
    counts: [u32; Refusal::ALL.len()],
}

impl Refusals {
    pub(crate) const NONE: Self = Self { counts: [0; Refusal::ALL.len()] };

    /// How often `refusal` happened.
    pub fn count(&self, refusal: Refusal) -> u32 {
        self.counts.get(refusal.position()).copied().unwrap_or(0)
    }

    /// The reasons that happened at all, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u32)> + '_ {
        Refusal::ALL.iter().zip(&self.counts).filter(|(_, n)| **n > 0).map(|(r, n)| (*r, *n))
    }

    pub(crate) fn add(&mut self, refusal: Refusal) {
        if let Some(count) = self.counts.get_mut(refusal.position()) {
            *count = count.saturating_add(1);
        }
    }
}

/// The same for one peer, in half the memory: these counts stop at 65,535.
pub(crate) struct Tally {
    counts: [u16; Refusal::ALL.len()],
}

impl Tally {
    pub(crate) const NONE: Self = Self { counts: [0; Refusal::ALL.len()] };

    pub(crate) fn add(&mut self, refusal: Refusal) {
        if let Some(count) = self.counts.get_mut(refusal.position()) {
            *count = count.saturating_add(1);
        }
    }
}

impl From<&Tally> for Refusals {
    fn from(tally: &Tally) -> Self {
        Self { counts: tally.counts.map(u32::from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        for &refusal in Refusal::ALL {
            let mut refusals = Refusals::NONE;
            refusals.add(refusal);
            refusals.add(refusal);
            assert!(refusals.iter().eq([(refusal, 2)]));
        }
    }
}
