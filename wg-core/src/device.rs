//! The device: all peers, one private key, and the tables that lead from a datagram or an
//! inner packet to the peer it belongs to.

mod arena;
mod configure;
mod handshake;
mod jobs;
mod open;
mod receivers;
mod seal;
mod status;
#[cfg(test)]
mod tests;
mod timeout;

use rand_core::CryptoRng;

pub use arena::Arena;
pub use configure::{AddPeerError, RoutesFull};
pub use jobs::{Forged, OpenJob, Opened, SealJob, Sealed};
pub use open::Received;
pub use seal::SendError;
pub use status::{Connection, PeerStatus};

use crate::allowed_ips::AllowedIps;
use crate::endpoint::Transmit;
use crate::event::{Event, News};
use crate::identity::Identity;
use crate::index::IndexTable;
use crate::jitter::Jitter;
use crate::load::Load;
use crate::message::INITIATION_LEN;
use crate::peer::{Peer, Wants};
use crate::peer_id::PeerId;
use crate::queue::{List, Queue};
use crate::ratelimiter::RateLimiter;
use crate::refusal::{Refusal, Refusals};
use crate::schedule::Schedule;
use crate::storage::{Memory, Own, Storage};
use crate::table::Table;
use crate::tai64n::{Tai64n, Tai64nClock};
use crate::time::Instant;
use crate::timers::Reason;
use receivers::Receivers;

/// A WireGuard interface without its input and output.
///
/// It has five kinds of methods:
///
/// - **Settings** (`set_*`, `add_*`, `remove_*`, [`up`](Self::up), [`down`](Self::down)),
///   which can change at any time.
/// - **Inputs** (`handle_*`): a datagram came in, a deadline passed.
/// - **Packets out**: [`seal`](Self::seal) makes a datagram of an inner packet.
/// - **Outputs** (`poll_*`): news, datagrams of the protocol's own, the next deadline.
/// - **Getters**, by `&self`.
///
/// # The law of driving
///
/// After *every* call of the first three kinds:
///
/// 1. [`poll_event`](Self::poll_event) until `None`; at [`Event::SessionUp`], seal what
///    waits for that peer.
/// 2. [`poll_transmit`](Self::poll_transmit) until `None`, sending each datagram.
/// 3. [`poll_timeout`](Self::poll_timeout) and sleep until then, or until there is input;
///    when the time has come, [`handle_timeout`](Self::handle_timeout).
///
/// An extra call of any of these does nothing. A late one delays what it would have done, so
/// a late `handle_timeout` costs time and nothing else.
///
/// Work is bounded: a call serves one datagram, one packet or one peer; those that concern all
/// peers ([`set_private_key`](Self::set_private_key), [`up`](Self::up), [`down`](Self::down)) go
/// over them once. None takes memory from anybody but the storage that the device was made with.
pub struct Device<'a> {
    identity: Own<'a, Identity>,
    peers: Table<'a, Peer>,
    /// The first vacant slot of `peers`; slots from `fresh` on were never taken.
    vacant: Option<u32>,
    fresh: u32,
    /// Peers by public key.
    keys: IndexTable<'a>,
    receivers: Receivers<'a>,
    routes: AllowedIps<'a>,
    schedule: Schedule<'a>,
    limiter: RateLimiter<'a>,
    load: Load,
    jitter: Jitter,
    transmits: Queue,
    events: Queue,
    mtu: u16,
    up: bool,
    /// The last one sent, to any peer; zero before the first.
    last_timestamp: Tai64n,
    refusals: Refusals,
}

/// A datagram of the protocol's own, at the start of the caller's buffer.
struct Built {
    traffic_class: u8,
    len: usize,
}

impl<'a> Device<'a> {
    /// A device with no key and no peers, up, in the caller's memory.
    pub fn new<const PEERS: usize, const ROUTES: usize>(
        storage: &'a mut Storage<PEERS, ROUTES>,
    ) -> Self {
        Self::from_memory(storage.memory())
    }

    /// A device whose memory grows with its peers and routes, and never moves.
    #[cfg(feature = "alloc")]
    pub fn growing() -> Self {
        Self::from_memory(Memory::growing())
    }

    pub(crate) fn from_memory(memory: Memory<'a>) -> Self {
        Self {
            identity: memory.identity,
            peers: memory.peers,
            vacant: None,
            fresh: 0,
            keys: IndexTable::new(memory.keys),
            receivers: Receivers::new(IndexTable::new(memory.receivers)),
            routes: memory.routes,
            schedule: Schedule::new(memory.schedule),
            limiter: memory.limiter,
            load: Load::new(),
            jitter: Jitter::new(),
            transmits: Queue::new(List::Transmit),
            events: Queue::new(List::Event),
            mtu: configure::DEFAULT_MTU,
            up: true,
            last_timestamp: Tai64n::ZERO,
            refusals: Refusals::NONE,
        }
    }

    /// The next piece of news, oldest peer first.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(slot) = self.events.peek() {
            if let Some(peer) = self.peers.get_mut(slot) {
                let id = PeerId { slot, generation: peer.generation };
                if let Some(event) = peer.news.take(id) {
                    return Some(event);
                }
            }
            self.events.pop(&mut self.peers);
        }
        None
    }

    /// The next datagram of the protocol's own: an initiation or a keepalive.
    ///
    /// `clock` is asked once for each initiation that is built, `rng` for its ephemeral key
    /// and index. An initiation costs three X25519 operations.
    pub fn poll_transmit<'b, R: CryptoRng + ?Sized>(
        &mut self,
        now: Instant,
        clock: &mut dyn Tai64nClock,
        mut rng: &mut R,
        buf: &'b mut [u8; INITIATION_LEN],
    ) -> Option<Transmit<'b>> {
        let (slot, Built { traffic_class, len }) = self.build_next(now, clock, &mut rng, buf)?;
        Some(Transmit {
            peer: Some(self.id(slot)),
            to: self.peers.get(slot)?.whereabouts.get()?,
            traffic_class,
            datagram: buf.get_mut(..len)?,
        })
    }

    /// Writes the next datagram of the protocol's own into `buf`.
    fn build_next(
        &mut self,
        now: Instant,
        clock: &mut dyn Tai64nClock,
        rng: &mut dyn CryptoRng,
        buf: &mut [u8; INITIATION_LEN],
    ) -> Option<(u32, Built)> {
        while let Some(slot) = self.transmits.peek() {
            let wants = self.peers.get_mut(slot).map_or(Wants::NOTHING, |peer| peer.wants.take());
            let built = match wants {
                Wants { initiation: true, keepalive } => {
                    if let Some(peer) = self.peers.get_mut(slot) {
                        peer.wants.keepalive = keepalive;
                    }
                    self.initiate(now, slot, clock, rng, buf)
                }
                Wants { keepalive: true, .. } => self.keep_alive(now, slot, buf),
                Wants::NOTHING => {
                    self.transmits.pop(&mut self.peers);
                    continue;
                }
            };
            if let Some(built) = built {
                return Some((slot, built));
            }
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, and why; `None`
    /// while there is nothing to wait for. No tick is needed in between.
    ///
    /// O(1) when no timer moved since the last call, else O(log peers) for each that did.
    pub fn poll_timeout(&mut self) -> Option<(Instant, Reason)> {
        while let Some((bound, slot)) = self.schedule.root() {
            match self.peers.get(slot).and_then(|peer| peer.timers.next()) {
                Some((at, reason)) if at <= bound => return Some((at, reason)),
                Some((at, _)) => self.schedule.correct_root(at),
                None => self.schedule.correct_root(crate::schedule::NEVER),
            }
        }
        None
    }

    fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(id.slot)?;
        (peer.occupied && peer.generation == id.generation).then_some(peer)
    }

    fn id(&self, slot: u32) -> PeerId {
        let generation = self.peers.get(slot).map_or(0, |peer| peer.generation);
        PeerId { slot, generation }
    }

    /// Counts a drop, for the device and for the peer where one is known.
    #[inline(never)]
    fn refuse(&mut self, slot: Option<u32>, refusal: Refusal) -> Refusal {
        self.refusals.add(refusal);
        if let Some(peer) = slot.and_then(|slot| self.peers.get_mut(slot)) {
            peer.refusals.add(refusal);
        }
        refusal
    }

    #[inline(never)]
    fn announce(&mut self, slot: u32, news: News) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.news.add(news);
            self.events.push(&mut self.peers, slot);
        }
    }

    /// Tells the schedule of a deadline that may now be earlier.
    fn reschedule(&mut self, slot: u32) {
        if let Some(at) = self.peers.get_mut(slot).and_then(|peer| peer.timers.take_sooner()) {
            self.schedule.lower(slot, at);
        }
    }
}

impl Drop for Device<'_> {
    /// Wipes every secret in place.
    fn drop(&mut self) {
        self.identity.wipe();
        for slot in 0..self.fresh {
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.vacate();
            }
        }
    }
}

impl core::fmt::Debug for Device<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Device").field("up", &self.up).finish_non_exhaustive()
    }
}
