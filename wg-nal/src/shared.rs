//! What the interface, the handle and the runner of a tunnel share.
//!
//! It does everything but input and output: a runner takes datagrams out of it and puts them
//! in, and decides how to wait in between.

use core::net::IpAddr;
#[cfg(any(feature = "log", feature = "defmt"))]
use core::net::SocketAddr;

use wg_core::rand_core::CryptoRng;
use wg_core::{
    Connection, Device, Endpoint, Event, INITIATION_LEN, Instant, PeerId, Reason, Received,
    Refusal, SendError, Source, Tai64nClock,
};

use crate::clock::Standing;
use crate::events::Events;
use crate::frame::{Fate, Pool, packet};
use crate::link::LinkPolicy;
use crate::routing_loop::routing_loop;
use crate::waker::Wakers;

/// What the tunnel dropped, in addition to what the engine refused
/// ([`Device::refusals`]). Counts stop at the greatest value.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Packets that waited longest when a newer one needed the room.
    pub displaced: u32,
    /// Packets whose session did not come: the handshake was given up, the peer was removed, the
    /// tunnel stopped or its runner was dropped.
    pub abandoned: u32,
    /// Packets that the engine refused to send: no route, no endpoint, no IP packet.
    pub refused: u32,
    /// Packets that came in faster than the stack in the tunnel read them.
    pub overrun: u32,
    /// Packets whose datagrams would not leave the underlay whole. They were not sealed. Always 0
    /// for a tunnel over embedded-nal, which cannot tell how long a datagram may be.
    pub too_long: u32,
    /// Datagrams that the underlay did not take, or failed to send.
    pub unsent: u32,
    /// Times that the underlay failed to receive.
    pub receive_errors: u32,
    /// Packets that were the tunnel's own datagrams: the route to an endpoint leads into the
    /// tunnel.
    pub routing_loops: u32,
    /// Times that timestamps could not be reserved in lasting memory.
    pub reserve_errors: u32,
    /// Events that nobody fetched in time.
    pub missed_events: u32,
}

/// Adds one to a counter, which stops at the greatest value.
pub(crate) fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

/// Where a datagram stands that is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In the runner's memory for the protocol's own datagrams.
    Own,
    /// In a frame that was taken out of the outbound pool.
    Frame,
    /// In the frame that it answers.
    Arrived,
}

/// A datagram to send: the first `len` bytes of its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Endpoint,
    pub(crate) place: Place,
    pub(crate) len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// No runner runs it yet, or any more.
    Stopped,
    Running,
    /// The runner is asked to stop.
    Stopping,
    /// The runner was dropped. Nothing is kept any more.
    Gone,
}

pub(crate) struct Waiting {
    /// The runner, for something to do.
    pub(crate) runner: Wakers,
    /// The stack in the tunnel: for a packet, for room for one, for a change of the link.
    pub(crate) receive: Wakers,
    pub(crate) transmit: Wakers,
    pub(crate) link: Wakers,
    /// By handles: for the link, for an event, for news of a handshake.
    pub(crate) handle_link: Wakers<2>,
    pub(crate) event: Wakers<2>,
    pub(crate) handshake: Wakers<4>,
}

pub(crate) struct Shared<'d> {
    pub(crate) device: Device<'d>,
    pub(crate) inbound: Pool<'d>,
    pub(crate) outbound: Pool<'d>,
    pub(crate) counters: Counters,
    pub(crate) events: Events,
    pub(crate) waiting: Waiting,
    pub(crate) state: State,
    policy: LinkPolicy,
    has_session: bool,
    /// How the clock's timestamps stand to the time of day, as of the last reserve.
    pub(crate) standing: Option<Standing>,
    /// A setting changed that the runner has not looked at.
    touched: bool,
    /// So many packets waited for the session that is up now. One of them confirms it to the
    /// peer, in place of an empty packet, so they go first.
    confirming: u32,
}

impl<'d> Shared<'d> {
    pub(crate) fn new(device: Device<'d>, inbound: Pool<'d>, outbound: Pool<'d>) -> Self {
        Self {
            device,
            inbound,
            outbound,
            counters: Counters::default(),
            events: Events::NONE,
            waiting: Waiting {
                runner: Wakers::EMPTY,
                receive: Wakers::EMPTY,
                transmit: Wakers::EMPTY,
                link: Wakers::EMPTY,
                handle_link: Wakers::EMPTY,
                event: Wakers::EMPTY,
                handshake: Wakers::EMPTY,
            },
            state: State::Stopped,
            policy: LinkPolicy::default(),
            has_session: false,
            standing: None,
            touched: false,
            confirming: 0,
        }
    }

    /// Starts, unless a stop was asked for before the runner came to run.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.state == State::Stopped {
            self.state = State::Running;
            self.device.up(now);
            self.touched = true;
            self.link_may_have_changed(now);
        }
    }

    /// Stops: session keys are wiped, waiting packets dropped, timers gone.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.device.down();
        // News of sessions that are gone.
        while self.device.poll_event().is_some() {}
        self.state = State::Stopped;
        self.drop_waiting(|_| true);
        self.outbound.wipe();
        self.inbound.wipe();
        self.link_may_have_changed(now);
        self.waiting.transmit.wake();
    }

    /// Wipes everything, the private key and the peers included, for good.
    pub(crate) fn retire(&mut self) {
        self.stop(Instant::MAX);
        self.state = State::Gone;
        self.device.retain_peers([]);
        self.device.set_private_key(Instant::MAX, None);
    }

    /// A setting was changed: the runner has to look. Without one, nothing would wipe it.
    pub(crate) fn touch(&mut self, now: Instant) {
        if self.state == State::Gone {
            return self.retire();
        }
        self.touched = true;
        self.link_may_have_changed(now);
        self.waiting.runner.wake();
    }

    pub(crate) fn set_policy(&mut self, policy: LinkPolicy) {
        self.policy = policy;
        self.touched = true;
        self.waiting.link.wake();
        self.waiting.handle_link.wake();
        self.waiting.runner.wake();
    }

    /// Whether the runner has something to do at once.
    pub(crate) fn has_work(&mut self) -> bool {
        self.touched
            || self.state == State::Stopping
            || self.outbound.count(|fate| fate == Fate::Queued) > 0
    }

    pub(crate) fn link_is_up(&self) -> bool {
        self.state == State::Running && (self.has_session || self.policy == LinkPolicy::AlwaysUp)
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<(Instant, Reason)> {
        self.device.poll_timeout()
    }

    /// Serves one deadline, if one is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.device.handle_timeout(now);
    }

    /// The next datagram to send, by the law of driving: news first, then the packets that waited
    /// for it, then the protocol's own datagrams, then packets, oldest first.
    ///
    /// A datagram of [`Place::Frame`] comes with its frame in `frame`, to be given back.
    pub(crate) fn next_datagram<R: CryptoRng>(
        &mut self,
        now: Instant,
        clock: &mut dyn Tai64nClock,
        rng: &mut R,
        own: &mut [u8; INITIATION_LEN],
        frame: &mut &'d mut [u8],
        largest: impl Fn(IpAddr) -> usize,
    ) -> Option<Outgoing> {
        if core::mem::take(&mut self.touched) {
            self.drop_departed();
            self.seek_session(now);
        }
        loop {
            self.take_news(now);
            if self.confirming > 0 {
                self.confirming = self.confirming.saturating_sub(1);
            } else if let Some(transmit) = self.device.poll_transmit(now, clock, rng, own) {
                let (to, len) = (transmit.to, transmit.datagram.len());
                if len == INITIATION_LEN {
                    // The one before may have gone unanswered.
                    self.waiting.handshake.wake();
                }
                return Some(Outgoing { to, place: Place::Own, len });
            }
            let Some((packet, len)) = self.outbound.take_queued() else {
                match core::mem::take(&mut self.confirming) {
                    0 => return None,
                    _ => continue,
                }
            };
            match self.seal(now, packet, len, &largest) {
                Ok((to, len)) => {
                    *frame = packet;
                    return Some(Outgoing { to, place: Place::Frame, len });
                }
                Err(fate) => {
                    if fate == Fate::Vacant {
                        packet.fill(0);
                    }
                    // What waits for a session makes room for what comes.
                    self.outbound.put_back(packet, fate);
                    self.waiting.transmit.wake();
                }
            }
        }
    }

    /// Seals a packet in its frame, or says what becomes of it.
    fn seal(
        &mut self,
        now: Instant,
        frame: &mut [u8],
        len: usize,
        largest: impl Fn(IpAddr) -> usize,
    ) -> Result<(Endpoint, usize), Fate> {
        if let Some(endpoint) = routing_loop(packet(frame, len), &self.device) {
            warn!("routing loop: the route to the endpoint {} leads into the tunnel", endpoint);
            count(&mut self.counters.routing_loops);
            return Err(Fate::Vacant);
        }
        // Looked at first, since the engine waits for an answer to what it sealed.
        let ahead = self.device.preview(packet(frame, len));
        if ahead.is_some_and(|(to, len)| len > largest(to.remote.ip())) {
            warn!("a datagram is longer than the underlay carries: lower the MTU");
            count(&mut self.counters.too_long);
            return Err(Fate::Vacant);
        }
        match self.device.seal(now, frame, len) {
            Ok(sealed) => Ok((sealed.to, sealed.datagram.len())),
            Err(SendError::NoSession(peer)) => Err(Fate::ForSession(peer)),
            Err(_refused) => {
                debug!("a packet was not sent: {}", _refused);
                count(&mut self.counters.refused);
                Err(Fate::Vacant)
            }
        }
    }

    /// The frame of a datagram was sent, or was not: it is free again.
    pub(crate) fn give_back(&mut self, frame: &'d mut [u8]) {
        self.outbound.give_back(frame);
        self.waiting.transmit.wake();
    }

    /// Takes a datagram that stands in `arrived`, a frame that becomes another one when it held
    /// a packet. What is to be sent back at once stands in the frame.
    pub(crate) fn handle_datagram<R: CryptoRng>(
        &mut self,
        now: Instant,
        rng: &mut R,
        from: Source,
        arrived: &mut &'d mut [u8],
        len: usize,
    ) -> Option<Outgoing> {
        // Some stacks tell the length of a datagram that they cut. The engine refuses the rest.
        let len = len.min(arrived.len());
        let datagram = arrived.get_mut(..len)?;
        match self.device.handle_datagram(now, rng, from, datagram) {
            Ok(Received::Packet { packet, .. }) => {
                let len = packet.len();
                match self.inbound.vacant() {
                    Some(kept) => {
                        kept.fill(arrived, len);
                        self.waiting.receive.wake();
                    }
                    None => count(&mut self.counters.overrun),
                }
                None
            }
            Ok(Received::Reply(reply)) => {
                let (to, len) = (reply.to, reply.datagram.len());
                Some(Outgoing { to, place: Place::Arrived, len })
            }
            Ok(_) => None,
            Err(_refusal) => {
                debug!("refused from {}: {}", from.remote, _refusal);
                None
            }
        }
    }

    fn take_news(&mut self, now: Instant) {
        while let Some(event) = self.device.poll_event() {
            match event {
                Event::SessionUp(peer) => {
                    self.has_session = true;
                    info!("good handshake with {}", self.where_is(peer));
                    // They kept their turns, so they go in order, before what came later.
                    let waited =
                        self.outbound.change(|fate| fate == Fate::ForSession(peer), Fate::Queued);
                    self.confirming = self.confirming.saturating_add(waited);
                }
                Event::HandshakeGivenUp(peer) => {
                    warn!("no answer to handshakes from {}", self.where_is(peer));
                    self.drop_waiting(|waits_for| waits_for == peer);
                }
                Event::EndpointMoved(_peer) => info!("endpoint is {}", self.where_is(_peer)),
                Event::SessionExpired(_peer) => {
                    debug!("session with {} expired", self.where_is(_peer));
                }
                _ => {}
            }
            self.waiting.handshake.wake();
            self.link_may_have_changed(now);
            if !matches!(event, Event::EndpointMoved(_)) {
                self.seek_session(now);
            }
            if self.events.add(event) {
                count(&mut self.counters.missed_events);
            }
            self.waiting.event.wake();
        }
    }

    /// While the link waits for a session, one is asked for.
    fn seek_session(&mut self, now: Instant) {
        let seeks = self.state == State::Running && self.policy == LinkPolicy::Session;
        if !seeks || self.has_session {
            return;
        }
        let mut after = None;
        while let Some(peer) = self.peer_after(after) {
            self.device.connect(now, peer);
            after = Some(peer);
        }
    }

    /// Iterates over peers while the device changes: `after` may have been removed.
    pub(crate) fn peer_after(&self, after: Option<PeerId>) -> Option<PeerId> {
        match after {
            None => self.device.peers().next(),
            Some(peer) => self.device.peer_after(peer),
        }
    }

    /// Tells those who wait for the link when it changed.
    fn link_may_have_changed(&mut self, now: Instant) {
        let is_up = |peer| {
            self.device.peer(now, peer).is_some_and(|peer| peer.connection == Connection::Up)
        };
        self.has_session = self.device.peers().any(is_up);
        self.waiting.link.wake();
        self.waiting.handle_link.wake();
    }

    fn drop_departed(&mut self) {
        let device = &self.device;
        let gone = |fate| matches!(fate, Fate::ForSession(peer) if device.peers().all(|there| there != peer));
        let dropped = self.outbound.vacate(gone);
        self.abandon(dropped);
    }

    fn drop_waiting(&mut self, waits_for: impl Fn(PeerId) -> bool) {
        let which = |fate| matches!(fate, Fate::ForSession(peer) if waits_for(peer));
        let dropped = self.outbound.vacate(which);
        self.abandon(dropped);
    }

    fn abandon(&mut self, dropped: u32) {
        self.counters.abandoned = self.counters.abandoned.saturating_add(dropped);
        if dropped > 0 {
            self.waiting.transmit.wake();
        }
    }

    /// Puts a packet of the stack in the tunnel into the outbound pool, by exchanging frames.
    ///
    /// Without room, the packet that waited longest for a session goes, or else the oldest. The
    /// frame that is got holds no packet that is still to be read.
    pub(crate) fn enqueue(&mut self, frame: &mut &'d mut [u8], len: usize) {
        if self.state == State::Gone {
            frame.fill(0);
            return count(&mut self.counters.abandoned);
        }
        if !self.outbound.has_vacancy() {
            let waits = |fate| matches!(fate, Fate::ForSession(_));
            let victim = match self.outbound.count(waits) {
                0 => self.outbound.oldest(|fate| fate == Fate::Queued),
                _ => self.outbound.oldest(waits),
            };
            if let Some(victim) = victim {
                victim.vacate();
            }
            count(&mut self.counters.displaced);
        }
        match self.outbound.vacant() {
            Some(kept) => kept.fill(frame, len),
            // The only other frame is being sent.
            None => frame.fill(0),
        }
        self.waiting.runner.wake();
    }

    /// Whether [`enqueue`](Self::enqueue) displaces nothing but what waits for a session.
    pub(crate) fn has_room(&self) -> bool {
        self.state != State::Running
            || self.outbound.has_vacancy()
            || self.outbound.count(|fate| matches!(fate, Fate::ForSession(_))) > 0
    }

    #[cfg(any(feature = "log", feature = "defmt"))]
    fn where_is(&self, peer: PeerId) -> SocketAddr {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        self.device.endpoint(peer).unwrap_or(nowhere)
    }

    #[cfg(not(any(feature = "log", feature = "defmt")))]
    #[expect(clippy::unused_self, reason = "nobody reads it")]
    const fn where_is(&self, _: PeerId) {}

    /// Why packets for this peer cannot be sent.
    pub(crate) fn obstacle(&self, now: Instant, peer: PeerId) -> Option<Refusal> {
        let peer = self.device.peer(now, peer)?;
        match peer.connection {
            Connection::Blocked(refusal) => Some(refusal),
            Connection::Idle if peer.endpoint.is_none() => Some(Refusal::NoEndpoint),
            _ => None,
        }
    }
}
