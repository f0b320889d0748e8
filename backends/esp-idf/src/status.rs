//! What a tunnel tells of itself.

use wg_core::{Connection, Instant, PeerStatus, Refusals};
use wg_nal::Standing;

/// What the tunnel dropped, beside what the engine refused, and what failed around it. Counts
/// stop at the greatest value.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Packets of the host for which the queue had no room, or which were too long.
    pub outbound_dropped: u32,
    /// Packets that waited longest for a session when a newer one needed the room.
    pub displaced: u32,
    /// Packets whose session did not come.
    pub abandoned: u32,
    /// Packets that were the tunnel's own datagrams: the route to an endpoint leads into the
    /// tunnel. They are dropped: each would only make the next one.
    pub routing_loops: u32,
    /// Datagrams that the underlay did not take.
    pub unsent: u32,
    /// Packets that the host had no memory for.
    pub undelivered: u32,
    /// Times that timestamps could not be reserved in lasting memory.
    pub reserve_errors: u32,
}

/// Adds one to a counter, which stops at the greatest value.
pub(crate) fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

/// A tunnel as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The peers, in no particular order.
    pub peers: Vec<PeerStatus>,
    /// Everything that the engine refused, by reason.
    pub refusals: Refusals,
    /// Everything that the tunnel dropped besides.
    pub counters: Counters,
    /// How the timestamps stand to the time of day, where the clock can say.
    pub timestamps: Option<Standing>,
    /// The UDP port of our sockets.
    pub listen_port: u16,
    /// When this was true, to tell ages by.
    pub now: Instant,
}

impl Status {
    /// Whether there is a session with any peer.
    pub fn is_up(&self) -> bool {
        self.peers.iter().any(|peer| peer.connection == Connection::Up)
    }
}
