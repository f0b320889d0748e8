//! What is written to the log, and that a flood of packets is no flood of lines.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use wg_core::{Instant, PeerId, PublicKey, Refusal};

/// Lines of one kind before they are counted instead.
const BURST: u32 = 5;
/// After a burst, one line in this time.
const INTERVAL: Duration = Duration::from_secs(10);

/// What a line is about. The number of lines is limited for each of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Topic {
    Refused(Refusal),
    /// A handshake with this peer, its end, or its new place.
    Peer(PeerId),
    Lookup(PeerId),
    Unsent,
    Socket,
    Undelivered,
    RoutingLoop,
    Timestamps,
}

/// The log's limits.
#[derive(Default, Debug)]
pub(crate) struct Journal {
    topics: Vec<(Topic, Bucket)>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    /// When `left` was last right.
    since: Instant,
    suppressed: u32,
}

impl Journal {
    /// Whether there may be a line on this topic, and how many there would have been since the
    /// last one.
    pub(crate) fn turn(&mut self, now: Instant, topic: Topic) -> Option<More> {
        let known = self.topics.iter().position(|(known, _)| *known == topic);
        let index = known.unwrap_or_else(|| {
            self.topics.push((topic, Bucket { left: BURST, since: now, suppressed: 0 }));
            self.topics.len() - 1
        });
        let (_, bucket) = self.topics.get_mut(index)?;
        let waited = now.saturating_since(bucket.since).as_secs() / INTERVAL.as_secs();
        if waited > 0 {
            let gained = u32::try_from(waited).unwrap_or(u32::MAX);
            bucket.left = bucket.left.saturating_add(gained).min(BURST);
            bucket.since = now;
        }
        if let Some(left) = bucket.left.checked_sub(1) {
            bucket.left = left;
            Some(More(core::mem::take(&mut bucket.suppressed)))
        } else {
            bucket.suppressed = bucket.suppressed.saturating_add(1);
            None
        }
    }
}

/// A public key as short as people say it.
pub(crate) struct Short<'k>(pub(crate) &'k PublicKey);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.to_string();
        write!(f, "{}…", key.get(..8).unwrap_or_default())
    }
}

/// A place, if there is one.
pub(crate) struct At(pub(crate) Option<SocketAddr>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => at.fmt(f),
            None => f.write_str("no known place"),
        }
    }
}

/// How many lines were left out.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct More(u32);

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    fn a_flood_is_five_lines_and_then_one_in_ten_seconds_that_counts_the_others() {
        let mut journal = Journal::default();
        let topic = Topic::Refused(Refusal::Malformed);
        let mut lines = 0;
        for milli in 0..60_000 {
            lines += u32::from(journal.turn(Instant::from_millis(milli), topic).is_some());
        }
        assert_eq!(lines, 5 + 5);
        let more = journal.turn(Instant::from_millis(60_000), topic);
        assert_eq!(more, Some(More(9_999)));
        let other = Topic::Refused(Refusal::Replayed);
        assert_eq!(journal.turn(Instant::from_millis(60_000), other), Some(More(0)));
    }
}
