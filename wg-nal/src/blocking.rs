//! The tunnel for firmware without an executor.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use embedded_nal::{UdpFullStack, nb};
use wg_core::constants::REKEY_TIMEOUT;
use wg_core::rand_core::CryptoRng;
use wg_core::{
    Device, Event, INITIATION_LEN, Instant, PeerId, Reason, Received, Refusal, Tai64nClock,
};

use crate::buffers::{Buffers, Fate};
use crate::routing_loop::{same_place, udp_addresses};

/// How many datagrams one [`Tunnel::poll`] takes from the stack, and how many deadlines it
/// serves, at most.
///
/// An initiation, the most expensive of datagrams, costs four X25519 operations.
pub const DATAGRAMS_PER_POLL: usize = 8;

/// How long a datagram that the stack does not take is offered again and again: until the
/// protocol itself has a newer one to offer.
pub const PATIENCE: Duration = REKEY_TIMEOUT;

/// What [`Tunnel::poll`] tells as it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum News<'b> {
    /// An inner IP packet came in.
    Packet {
        /// Who sent it.
        peer: PeerId,
        /// The packet, decrypted where it was received; gone when the callback returns. To
        /// answer it, keep what the answer needs, and [`send`](Tunnel::send) after the poll.
        packet: &'b mut [u8],
    },
    /// Something happened to a peer. The packets that wait are taken care of already.
    Event(Event),
}

/// When to call [`Tunnel::poll`] again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Polled {
    /// The latest time for it, and why; `None` while no timer runs. In the past when more
    /// deadlines were due than one call serves.
    pub deadline: Option<(Instant, Reason)>,
    /// The stack may hold more datagrams than one call takes: call again soon.
    pub more: bool,
}

/// What became of a packet that was not refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// The stack has it.
    Now,
    /// It is kept, until there is a session or until the stack takes it.
    Later,
}

/// Why a packet was not sent. `E` is the stack's error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SendError<E> {
    /// The packet is one of the tunnel's own datagrams, on its way to this endpoint: the route
    /// to the endpoint leads into the tunnel. Counted.
    RoutingLoop(SocketAddr),
    /// The packet is longer than the tunnel's MTU.
    TooLong {
        /// The length of the largest packet.
        mtu: usize,
    },
    /// The engine refused it, and counted it.
    Refused(Refusal),
    /// The stack failed to send a datagram: this packet's, the handshake that it asks for, or
    /// an earlier one that waited. A packet that waits for a session goes on waiting; else it
    /// is lost.
    Stack(E),
}

impl<E: fmt::Debug> fmt::Display for SendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoutingLoop(endpoint) => {
                write!(
                    f,
                    "routing loop: the route to the endpoint {endpoint} leads into the tunnel"
                )
            }
            Self::TooLong { mtu } => write!(f, "the packet is longer than the MTU of {mtu} bytes"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Stack(error) => write!(f, "the UDP stack failed: {error:?}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for SendError<E> {}

/// What the tunnel dropped, in addition to what the engine refused
/// ([`Device::refusals`]). Counts stop at the greatest value.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Packets that waited longest when a newer one needed the room.
    pub displaced: u32,
    /// Packets whose session did not come: the handshake was given up, the peer was removed,
    /// the device went down, or the engine refused them at last.
    pub abandoned: u32,
    /// Datagrams that the stack did not take for as long as [`PATIENCE`], and handshake replies
    /// that had no room because another datagram of the protocol's own waited.
    pub unsent: u32,
    /// Packets refused as [`SendError::RoutingLoop`].
    pub routing_loops: u32,
}

/// A WireGuard tunnel over the UDP socket of a [`UdpFullStack`].
///
/// Nothing in it blocks, and nothing happens between two calls: the firmware calls
/// [`poll`](Self::poll) when [`Polled`] says so and as often as it wants to look for
/// datagrams, and [`send`](Self::send) when it has a packet. Both follow the law of driving of
/// [`Device`].
///
/// # A stack that is not ready
///
/// A datagram to which the stack says [`WouldBlock`](nb::Error::WouldBlock) is kept and offered
/// again in each call, as the convention of `nb` asks. Datagrams behind it keep their order.
/// After [`PATIENCE`] it is dropped and counted in [`Counters::unsent`]. Receiving goes on all
/// the while. A datagram with which the stack fails is lost, which the protocol expects of
/// datagrams: the error is returned, and the next call goes on.
pub struct Tunnel<'a, S: UdpFullStack, R, C, const MTU: usize, const WAITING: usize> {
    device: Device<'a>,
    buffers: &'a mut Buffers<MTU, WAITING>,
    link: Link<S>,
    /// The port that the socket was bound to, 0 for one that the stack chose.
    port: u16,
    rng: R,
    clock: C,
    /// The handshake message or keepalive that was made last. The largest one is an initiation.
    own: [u8; INITIATION_LEN],
    /// The stack has not taken it yet.
    unsent: Option<Unsent>,
    counters: Counters,
}

struct Unsent {
    to: SocketAddr,
    /// Of `own`, from its start.
    len: usize,
    since: Instant,
}

/// A socket and its stack.
struct Link<S: UdpFullStack> {
    stack: S,
    socket: S::UdpSocket,
}

impl<S: UdpFullStack> Link<S> {
    /// Offers a datagram to the stack; false when it does not take it now.
    fn offer(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<bool, S::Error> {
        match self.stack.send_to(&mut self.socket, to, datagram) {
            Ok(()) => Ok(true),
            Err(nb::Error::WouldBlock) => Ok(false),
            Err(nb::Error::Other(error)) => Err(error),
        }
    }
}

impl<'a, S, R, C, const MTU: usize, const WAITING: usize> Tunnel<'a, S, R, C, MTU, WAITING>
where
    S: UdpFullStack,
    R: CryptoRng,
    C: Tai64nClock,
{
    /// Opens a socket of `stack` on `port`, 0 for any, and makes a tunnel of it. Sets the
    /// device's MTU.
    ///
    /// A stack that is used for other things, too, can be lent as `&mut` or shared by
    /// [`embedded_nal::SharedStack`]. A tunnel on a port of the stack's choice takes every UDP
    /// packet to an endpoint for a routing loop, whatever port it comes from.
    ///
    /// # Errors
    /// The stack's, when it has no socket left or the port is taken.
    pub fn new(
        mut device: Device<'a>,
        buffers: &'a mut Buffers<MTU, WAITING>,
        mut stack: S,
        port: u16,
        rng: R,
        clock: C,
    ) -> Result<Self, S::Error> {
        let mut socket = stack.socket()?;
        if let Err(error) = stack.bind(&mut socket, port) {
            // The first error is the one that says what is wrong.
            let _ = stack.close(socket);
            return Err(error);
        }
        device.set_mtu(MTU.try_into().unwrap_or(u16::MAX));
        buffers.queue.clear();
        let link = Link { stack, socket };
        let own = [0; INITIATION_LEN];
        let counters = Counters::default();
        Ok(Self { device, buffers, link, port, rng, clock, own, unsent: None, counters })
    }

    /// Does everything that is due: serves deadlines, sends what can go, and receives.
    ///
    /// `on_news` is told of packets and events as they come. At most [`DATAGRAMS_PER_POLL`]
    /// datagrams are received and as many deadlines served, each of which makes two datagrams
    /// at most; besides, what waited is sent, and what a change of settings asks of each peer.
    ///
    /// # Errors
    /// The stack's. They end the call early and harm nothing: the next call goes on with what
    /// is left. The deadline is then told by [`Device::poll_timeout`].
    pub fn poll(
        &mut self,
        now: Instant,
        mut on_news: impl FnMut(News<'_>),
    ) -> Result<Polled, S::Error> {
        self.drop_departed(now);
        // Settings that were changed since the last call.
        self.drive(now, &mut on_news)?;
        for _ in 0..DATAGRAMS_PER_POLL {
            if self.device.poll_timeout().is_none_or(|(at, _)| at > now) {
                break;
            }
            self.device.handle_timeout(now);
            self.drive(now, &mut on_news)?;
        }
        let mut more = true;
        for _ in 0..DATAGRAMS_PER_POLL {
            more = self.receive(now, &mut on_news)?;
            if !more {
                break;
            }
            self.drive(now, &mut on_news)?;
        }
        Ok(Polled { deadline: self.device.poll_timeout(), more })
    }

    /// Sends an inner IP packet to the peer that its destination routes to.
    ///
    /// It is copied once, into the buffer in which it is encrypted. Without a session it is
    /// kept, the handshake is begun, and it goes when the session is up, behind those that
    /// came before. When there is no room, the packet that waited longest is dropped.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&mut self, now: Instant, packet: &[u8]) -> Result<Sent, SendError<S::Error>> {
        if let Some(endpoint) = self.routing_loop(now, packet) {
            self.counters.routing_loops = self.counters.routing_loops.saturating_add(1);
            return Err(SendError::RoutingLoop(endpoint));
        }
        if !self.buffers.work.put_packet(packet) {
            return Err(SendError::TooLong { mtu: MTU });
        }
        let ready = self.transmit(now).map_err(SendError::Stack)?;

        let frame = self.buffers.work.bytes();
        let sealed = match self.device.seal(now, frame, packet.len()) {
            Ok(sealed) => Ok((sealed.to.remote, sealed.datagram.len())),
            Err(wg_core::SendError::NoSession(peer)) => Err(peer),
            Err(wg_core::SendError::Refused(refusal)) => return Err(SendError::Refused(refusal)),
            // The frame has room for every packet of the MTU.
            Err(_) => return Err(SendError::TooLong { mtu: MTU }),
        };
        let (len, fate) = match sealed {
            Ok((to, len)) => {
                let datagram = frame.get(..len).unwrap_or_default();
                if ready && self.link.offer(to, datagram).map_err(SendError::Stack)? {
                    (0, Fate::Vacant)
                } else {
                    (len, Fate::ForStack { to, since: now })
                }
            }
            Err(peer) => (packet.len(), Fate::ForSession(peer)),
        };
        let sent = if fate == Fate::Vacant { Sent::Now } else { Sent::Later };
        if sent == Sent::Later && self.buffers.queue.keep(frame, len, fate) {
            self.counters.displaced = self.counters.displaced.saturating_add(1);
        }
        // The law: the packet may have asked for a handshake. It makes no event.
        self.transmit(now).map_err(SendError::Stack)?;
        Ok(sent)
    }

    /// Closes the socket and wipes all keys.
    ///
    /// # Errors
    /// The stack's.
    pub fn close(self) -> Result<(), S::Error> {
        let Link { mut stack, socket } = self.link;
        stack.close(socket)
    }

    /// The engine, to look at: peers, sessions, refusals.
    pub fn device(&self) -> &Device<'a> {
        &self.device
    }

    /// The engine, to change settings. Call [`poll`](Self::poll) afterwards.
    pub fn device_mut(&mut self) -> &mut Device<'a> {
        &mut self.device
    }

    /// The stack, for its own needs, such as being polled itself.
    pub fn stack(&mut self) -> &mut S {
        &mut self.link.stack
    }

    /// How many packets wait for a session or for the stack.
    pub fn waiting(&self) -> usize {
        self.buffers.queue.len()
    }

    /// What was dropped.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Drains the engine: events first, then datagrams.
    fn drive(&mut self, now: Instant, on_news: &mut dyn FnMut(News<'_>)) -> Result<(), S::Error> {
        while let Some(event) = self.device.poll_event() {
            match event {
                Event::SessionUp(peer) => self.seal_waiting(now, peer),
                Event::HandshakeGivenUp(peer) => {
                    let dropped = self.buffers.queue.drop_for(|other| other == peer);
                    self.counters.abandoned = self.counters.abandoned.saturating_add(dropped);
                }
                _ => {}
            }
            on_news(News::Event(event));
        }
        self.transmit(now).map(drop)
    }

    /// Seals what waits for a session with this peer, in order.
    fn seal_waiting(&mut self, now: Instant, peer: PeerId) {
        while let Some(kept) = self.buffers.queue.oldest(|fate| fate == Fate::ForSession(peer)) {
            match self.device.seal(now, kept.frame.bytes(), kept.len) {
                Ok(sealed) => {
                    kept.len = sealed.datagram.len();
                    kept.fate = Fate::ForStack { to: sealed.to.remote, since: now };
                }
                Err(wg_core::SendError::NoSession(same)) if same == peer => break,
                // Its destination routes to another peer by now.
                Err(wg_core::SendError::NoSession(other)) => kept.fate = Fate::ForSession(other),
                Err(_) => {
                    kept.fate = Fate::Vacant;
                    self.counters.abandoned = self.counters.abandoned.saturating_add(1);
                }
            }
        }
    }

    /// Sends what can go, oldest first; false when the stack takes no more for now.
    fn transmit(&mut self, now: Instant) -> Result<bool, S::Error> {
        if let Some(Unsent { to, len, since }) = self.unsent.take() {
            if now.has_reached(since, PATIENCE) {
                self.counters.unsent = self.counters.unsent.saturating_add(1);
            } else if !self.link.offer(to, self.own.get(..len).unwrap_or_default())? {
                self.unsent = Some(Unsent { to, len, since });
                return Ok(false);
            }
        }
        while let Some(kept) =
            self.buffers.queue.oldest(|fate| matches!(fate, Fate::ForStack { .. }))
        {
            let Fate::ForStack { to, since } = core::mem::replace(&mut kept.fate, Fate::Vacant)
            else {
                break;
            };
            if now.has_reached(since, PATIENCE) {
                self.counters.unsent = self.counters.unsent.saturating_add(1);
                continue;
            }
            let datagram = kept.frame.bytes().get(..kept.len).unwrap_or_default();
            if !self.link.offer(to, datagram)? {
                kept.fate = Fate::ForStack { to, since };
                return Ok(false);
            }
        }
        while let Some(transmit) =
            self.device.poll_transmit(now, &mut self.clock, &mut self.rng, &mut self.own)
        {
            let (to, len) = (transmit.to.remote, transmit.datagram.len());
            if !self.link.offer(to, transmit.datagram)? {
                self.unsent = Some(Unsent { to, len, since: now });
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes one datagram from the stack; false when there is none.
    fn receive(
        &mut self,
        now: Instant,
        on_news: &mut dyn FnMut(News<'_>),
    ) -> Result<bool, S::Error> {
        let frame = self.buffers.work.bytes();
        let (len, from) = match self.link.stack.receive(&mut self.link.socket, frame) {
            Ok(received) => received,
            Err(nb::Error::WouldBlock) => return Ok(false),
            Err(nb::Error::Other(error)) => return Err(error),
        };
        // Some stacks tell the whole length of a datagram that did not fit. It is of no use, and
        // refused as an empty one.
        let datagram = frame.get_mut(..len).unwrap_or_default();
        match self.device.handle_datagram(now, &mut self.rng, from.into(), datagram) {
            Ok(Received::Packet { peer, packet }) => on_news(News::Packet { peer, packet }),
            Ok(Received::Reply(reply)) => {
                // `drive` sends it.
                let (to, len) = (reply.to.remote, reply.datagram.len());
                match (&self.unsent, self.own.get_mut(..len)) {
                    (None, Some(place)) => {
                        place.copy_from_slice(reply.datagram);
                        self.unsent = Some(Unsent { to, len, since: now });
                    }
                    // Whoever asked will ask again.
                    _ => self.counters.unsent = self.counters.unsent.saturating_add(1),
                }
            }
            // A refusal is counted by the engine.
            _ => {}
        }
        Ok(true)
    }

    /// Drops the packets that wait for peers that are no more.
    fn drop_departed(&mut self, now: Instant) {
        let device = &self.device;
        let departed = |peer| !device.is_up() || device.peer(now, peer).is_none();
        let dropped = self.buffers.queue.drop_for(departed);
        self.counters.abandoned = self.counters.abandoned.saturating_add(dropped);
    }

    /// The endpoint that the packet goes to, if it is one of our own datagrams. O(peers) for a
    /// UDP packet from our port, O(1) for others.
    fn routing_loop(&self, now: Instant, packet: &[u8]) -> Option<SocketAddr> {
        let (source_port, destination) = udp_addresses(packet)?;
        if self.port != 0 && self.port != source_port {
            return None;
        }
        let mut endpoints =
            self.device.peers().filter_map(|id| self.device.peer(now, id)?.endpoint);
        endpoints.find(|endpoint| same_place(*endpoint, destination))
    }
}
