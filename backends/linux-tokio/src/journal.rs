//! What is written to the log, and that a flood of packets is no flood of lines.

use core::time::Duration;
use std::collections::HashMap;
use std::net::SocketAddr;

use log::{info, warn};
use wg_core::{Instant, PeerId, PublicKey, Refusal};

/// Lines of one kind before they are counted instead.
const BURST: u32 = 10;
/// After a burst, one line in this time.
const INTERVAL: Duration = Duration::from_secs(10);

/// What a line is about. The number of lines is limited for each of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Topic {
    Refused(Refusal),
    /// A handshake with this peer, or its end.
    Session(PeerId),
    Moved(PeerId),
    Unsent,
    Lost,
}

/// The log, with a limit.
#[derive(Default, Debug)]
pub(crate) struct Journal {
    topics: HashMap<Topic, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    /// When `left` was last right.
    since: Instant,
    suppressed: u64,
}

impl Journal {
    /// A datagram from outside was refused.
    pub(crate) fn refused_datagram(&mut self, now: Instant, from: SocketAddr, why: Refusal) {
        if let Some(more) = self.turn(now, Topic::Refused(why)) {
            warn!("refused a datagram from {from}: {why} [{}]{more}", why.name());
        }
    }

    /// A packet from the host was refused.
    pub(crate) fn refused_packet(&mut self, now: Instant, why: Refusal) {
        if let Some(more) = self.turn(now, Topic::Refused(why)) {
            warn!("refused a packet from this host: {why} [{}]{more}", why.name());
        }
    }

    pub(crate) fn session_up(
        &mut self,
        now: Instant,
        peer: PeerId,
        key: &PublicKey,
        at: Option<SocketAddr>,
    ) {
        if let Some(more) = self.turn(now, Topic::Session(peer)) {
            let at = at.map_or_else(|| "nowhere".into(), |at| at.to_string());
            info!("handshake with {} at {at}{more}", Short(key));
        }
    }

    pub(crate) fn session_expired(&mut self, now: Instant, peer: PeerId, key: &PublicKey) {
        if let Some(more) = self.turn(now, Topic::Session(peer)) {
            info!("the session with {} expired{more}", Short(key));
        }
    }

    pub(crate) fn given_up(
        &mut self,
        now: Instant,
        peer: PeerId,
        key: &PublicKey,
        at: Option<SocketAddr>,
        dropped: usize,
    ) {
        if let Some(more) = self.turn(now, Topic::Session(peer)) {
            let at = at.map_or_else(|| "nowhere".into(), |at| at.to_string());
            warn!(
                "no answer from {} at {at}, given up until there is something to send again; \
                 {dropped} packets dropped: check the endpoint, both keys, the firewalls and \
                 both clocks{more}",
                Short(key)
            );
        }
    }

    pub(crate) fn moved(
        &mut self,
        now: Instant,
        peer: PeerId,
        key: &PublicKey,
        to: Option<SocketAddr>,
    ) {
        if let (Some(to), Some(more)) = (to, self.turn(now, Topic::Moved(peer))) {
            info!("{} is at {to} now{more}", Short(key));
        }
    }

    /// A datagram could not be sent.
    pub(crate) fn unsent(&mut self, now: Instant, to: SocketAddr, error: &std::io::Error) {
        if let Some(more) = self.turn(now, Topic::Unsent) {
            warn!("cannot send to {to}: {error}: check the endpoint and the routes{more}");
        }
    }

    /// Packets could not be handed to the host.
    pub(crate) fn lost(&mut self, now: Instant, error: &std::io::Error) {
        if let Some(more) = self.turn(now, Topic::Lost) {
            warn!("cannot hand a packet to this host: {error}: is the interface up?{more}");
        }
    }

    /// Whether there may be a line on this topic, and how many there would have been since
    /// the last one.
    fn turn(&mut self, now: Instant, topic: Topic) -> Option<More> {
        let full = Bucket { left: BURST, since: now, suppressed: 0 };
        let bucket = self.topics.entry(topic).or_insert(full);
        let waited = now.saturating_since(bucket.since).as_secs() / INTERVAL.as_secs();
        if waited > 0 {
            let gained = u32::try_from(waited).unwrap_or(u32::MAX);
            bucket.left = bucket.left.saturating_add(gained).min(BURST);
            bucket.since = now;
        }
        match bucket.left.checked_sub(1) {
            Some(left) => {
                bucket.left = left;
                Some(More(core::mem::take(&mut bucket.suppressed)))
            }
            None => {
                bucket.suppressed += 1;
                None
            }
        }
    }

    /// Forgets the peers that are not to be `kept`.
    pub(crate) fn retain(&mut self, kept: impl Fn(PeerId) -> bool) {
        self.topics.retain(|topic, _| match topic {
            Topic::Session(peer) | Topic::Moved(peer) => kept(*peer),
            Topic::Refused(_) | Topic::Unsent | Topic::Lost => true,
        });
    }
}

/// A public key as short as people say it.
pub(crate) struct Short<'k>(pub(crate) &'k PublicKey);

impl core::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let key = self.0.to_string();
        write!(f, "{}…", key.get(..8).unwrap_or_default())
    }
}

/// How many lines were left out.
#[derive(PartialEq, Eq, Debug)]
struct More(u64);

impl core::fmt::Display for More {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(f, " (and {more} more of these)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_and_then_one_in_ten_seconds_that_counts_the_others() {
        let mut journal = Journal::default();
        let topic = Topic::Refused(Refusal::Malformed);
        let mut lines = 0;
        for milli in 0..60_000 {
            lines += u32::from(journal.turn(Instant::from_millis(milli), topic).is_some());
        }
        assert_eq!(lines, 10 + 5);
        let more = journal.turn(Instant::from_millis(60_000), topic);
        assert_eq!(more, Some(More(9_999)));
        let other = Topic::Refused(Refusal::Replayed);
        assert_eq!(journal.turn(Instant::from_millis(60_000), other), Some(More(0)));
    }
}
