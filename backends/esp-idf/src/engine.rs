//! What the tunnel's thread does.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use log::{info, warn};
use wg_core::rand_core::CryptoRng;
use wg_core::{
    Connection, DATA_OVERHEAD, Device, Event, INITIATION_LEN, Instant, PeerId, PublicKey, Received,
    Refusal, SendError,
};
use wg_nal::{Standing, routing_loop};

use crate::clock::{Clock, now};
use crate::error::Error;
use crate::journal::{At, Journal, Short, Topic};
use crate::names::{self, Answer, Names, Resolve};
use crate::outbound::{FRAMES, Frame, Outbound};
use crate::settings::{Host, Settings};
use crate::status::{Counters, Status, count};
use crate::underlay::{self, DefaultInterface, Sockets, Underlay};

/// Packets, datagrams or deadlines before anything else gets its turn.
const BURST: usize = 8;
/// Packets that wait for a session. As many frames are left for those that need not wait.
const WAITING: usize = FRAMES / 2;
/// A datagram may be longer than what fits our MTU: the peer has its own.
const DATAGRAM: usize = 1500 + DATA_OVERHEAD;
/// Between two looks whether the default interface is still the same.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two tries to open sockets that failed, or to reserve timestamps.
const PAUSE: Duration = Duration::from_secs(5);

/// The host inside the tunnel: where packets out of the tunnel go.
pub trait Inside: Send {
    /// Takes a packet; false when it has no room, which is counted. Must not block for long, and
    /// may put packets into the tunnel's [`Outbound`] meanwhile.
    fn deliver(&mut self, packet: &[u8]) -> bool;
}

/// What another thread asks of the tunnel's.
pub(crate) enum Command {
    Status(SyncSender<Status>),
    SetUnderlay(Underlay, SyncSender<Result<(), Error>>),
    SetEndpoint(PublicKey, Host, SyncSender<()>),
    SetPersistentKeepalive(PublicKey, u16, SyncSender<()>),
    Stop,
}

/// What the tunnel asks of the system beside sockets.
#[derive(Clone, Copy)]
pub(crate) struct System {
    pub(crate) resolve: Resolve,
    pub(crate) default_interface: DefaultInterface,
}

impl System {
    /// The one that this runs on.
    pub(crate) const HERE: Self =
        Self { resolve: names::system, default_interface: underlay::default_interface };
}

pub(crate) struct Engine {
    device: Device<'static>,
    clock: Box<dyn Clock>,
    rng: Box<dyn CryptoRng + Send>,
    outbound: Arc<Outbound>,
    waiting: VecDeque<(PeerId, Frame)>,
    sockets: Sockets,
    underlay: Underlay,
    default_interface: DefaultInterface,
    /// When to look whether the sockets are still good.
    next_look: Instant,
    /// They failed, and may be bound to an interface that is gone.
    is_suspect: bool,
    /// When to reserve timestamps, if they are short.
    reserve_at: Option<Instant>,
    standing: Option<Standing>,
    names: Names,
    journal: Journal,
    counters: Counters,
    datagram: Box<[u8]>,
}

impl Engine {
    /// Sets up the device and opens the sockets. Costs one X25519 operation for each peer.
    pub(crate) fn new(
        settings: &Settings,
        outbound: Arc<Outbound>,
        clock: Box<dyn Clock>,
        rng: Box<dyn CryptoRng + Send>,
        system: System,
    ) -> Result<Box<Self>, Error> {
        let underlay = settings.underlay.clone();
        let System { resolve, default_interface } = system;
        let sockets = Sockets::open(&underlay, default_interface, settings.listen_port)
            .map_err(|error| Error::Underlay(underlay.clone(), error))?;
        let mut engine = Box::new(Self {
            device: Device::growing(),
            clock,
            rng,
            outbound,
            waiting: VecDeque::with_capacity(WAITING),
            sockets,
            underlay,
            default_interface,
            next_look: Instant::ZERO,
            is_suspect: false,
            reserve_at: Some(Instant::ZERO),
            standing: None,
            names: Names::new(resolve),
            journal: Journal::default(),
            counters: Counters::default(),
            datagram: vec![0; DATAGRAM.max(usize::from(settings.mtu) + DATA_OVERHEAD + 16)].into(),
        });
        let now = now();
        engine.device.set_mtu(settings.mtu);
        engine.device.set_private_key(now, Some(&settings.private_key));
        for peer in &settings.peers {
            let refused = |error| Error::Peer(peer.public_key, error);
            let id = engine.device.add_peer(&peer.public_key).map_err(refused)?;
            engine.device.set_preshared_key(id, &peer.preshared_key);
            for prefix in &peer.allowed_ips {
                engine.device.add_allowed_ip(id, *prefix).map_err(Error::AllowedIps)?;
            }
            engine.device.set_persistent_keepalive(now, id, peer.persistent_keepalive);
            if let Some(host) = &peer.endpoint {
                engine.set_endpoint(now, id, host.clone());
            }
        }
        Ok(engine)
    }

    /// Carries packets until it is told to stop. Keys are wiped when it returns.
    pub(crate) fn run(mut self: Box<Self>, inside: &mut dyn Inside, commands: &Receiver<Command>) {
        loop {
            self.drain(now());
            // After what was due, so that flash holds up no packet that is there.
            self.reserve(now());
            let reopen = (self.sockets.count() == 0).then_some(self.next_look);
            let others =
                [self.names_deadline(now()), self.reserve_at, reopen].into_iter().flatten();
            let deadline = self.device.poll_timeout().map(|(at, _)| at);
            let deadline = deadline.into_iter().chain(others).min();
            let timeout = if self.outbound.is_empty() {
                deadline.map(|at| at.saturating_since(now()))
            } else {
                Some(Duration::ZERO)
            };
            self.sockets.wait(&self.outbound, timeout);
            loop {
                match commands.try_recv() {
                    Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return,
                    Ok(command) => self.obey(now(), command),
                    Err(TryRecvError::Empty) => break,
                }
            }
            self.look(now());
            for _ in 0..BURST {
                let Some(frame) = self.outbound.take() else { break };
                self.send(now(), frame);
                self.drain(now());
            }
            for number in 0..self.sockets.count() {
                self.receive(number, inside);
            }
            self.handle_timeouts(now());
            self.look_up(now());
        }
    }

    /// Seals a packet where it lies and sends it, or keeps it until there is a session.
    fn send(&mut self, now: Instant, mut frame: Frame) {
        if let Some(endpoint) = routing_loop(frame.packet(), &self.device) {
            count(&mut self.counters.routing_loops);
            if let Some(more) = self.journal.turn(now, Topic::RoutingLoop) {
                warn!(
                    "routing loop: the route to the endpoint {endpoint} leads into the tunnel, and \
                     its datagrams are dropped: give the tunnel an underlay that is up{more}"
                );
            }
            return self.outbound.give_back(frame);
        }
        let (buffer, len) = frame.parts();
        match self.device.seal(now, buffer, len) {
            Ok(transmit) => {
                let sent = self.sockets.send(transmit.to.remote, transmit.datagram);
                let to = transmit.to.remote;
                self.note_sent(now, to, sent);
            }
            Err(SendError::NoSession(peer)) => {
                if self.waiting.len() >= WAITING
                    && let Some((_, oldest)) = self.waiting.pop_front()
                {
                    count(&mut self.counters.displaced);
                    self.outbound.give_back(oldest);
                }
                self.waiting.push_back((peer, frame));
                return;
            }
            Err(SendError::Refused(why)) => {
                if let Some(more) = self.journal.turn(now, Topic::Refused(why)) {
                    let bytes = frame.packet().len();
                    warn!("dropped a packet of {bytes} bytes: {why} [{}]{more}", why.name());
                }
            }
            // The frame has room for every packet of the MTU.
            Err(_) => count(&mut self.counters.unsent),
        }
        self.outbound.give_back(frame);
    }

    fn note_sent(&mut self, now: Instant, to: SocketAddr, sent: std::io::Result<()>) {
        if let Err(error) = sent {
            count(&mut self.counters.unsent);
            self.is_suspect = true;
            if let Some(more) = self.journal.turn(now, Topic::Unsent) {
                warn!("cannot send to {to} by {}: {error}{more}", self.underlay);
            }
        }
    }

    /// Takes datagrams from a socket while there are some, but not for ever.
    fn receive(&mut self, number: usize, inside: &mut dyn Inside) {
        for _ in 0..BURST {
            let received = self.sockets.receive(number, &mut self.datagram);
            let now = now();
            let (len, from) = match received {
                Ok(Some(received)) => received,
                Ok(None) => return,
                Err(error) => {
                    self.is_suspect = true;
                    if let Some(more) = self.journal.turn(now, Topic::Socket) {
                        warn!("cannot receive by {}: {error}{more}", self.underlay);
                    }
                    return std::thread::sleep(Duration::from_millis(20));
                }
            };
            let datagram = self.datagram.get_mut(..len).unwrap_or_default();
            match self.device.handle_datagram(now, &mut *self.rng, from.into(), datagram) {
                Ok(Received::Packet { packet, .. }) => {
                    if !inside.deliver(packet) {
                        count(&mut self.counters.undelivered);
                        if let Some(more) = self.journal.turn(now, Topic::Undelivered) {
                            warn!("no memory for a packet of {} bytes{more}", packet.len());
                        }
                    }
                }
                Ok(Received::Reply(reply)) => {
                    let sent = self.sockets.send(reply.to.remote, reply.datagram);
                    let to = reply.to.remote;
                    self.note_sent(now, to, sent);
                }
                Ok(_) => {}
                Err(why) => {
                    if let Some(more) = self.journal.turn(now, Topic::Refused(why)) {
                        warn!("refused a datagram from {from}: {why} [{}]{more}", why.name());
                    }
                }
            }
            self.drain(now);
        }
    }

    /// Serves every peer whose deadline has passed, but not for ever.
    fn handle_timeouts(&mut self, now: Instant) {
        for _ in 0..BURST {
            if self.device.poll_timeout().is_none_or(|(at, _)| at > now) {
                break;
            }
            self.device.handle_timeout(now);
            self.drain(now);
        }
    }

    /// Takes the device's news and its own datagrams, as is due after every call to it.
    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.device.poll_event() {
            self.handle_event(now, event);
        }
        let mut buffer = [0; INITIATION_LEN];
        while let Some(transmit) =
            self.device.poll_transmit(now, &mut *self.clock, &mut *self.rng, &mut buffer)
        {
            let to = transmit.to.remote;
            let is_stamped = transmit.datagram.len() == INITIATION_LEN;
            let sent = self.sockets.send(to, transmit.datagram);
            self.note_sent(now, to, sent);
            if is_stamped && self.clock.is_short() {
                self.reserve_at.get_or_insert(now);
            }
        }
    }

    /// Reserves timestamps when that is due.
    fn reserve(&mut self, now: Instant) {
        if self.reserve_at.is_none_or(|at| at > now) {
            return;
        }
        self.reserve_at = None;
        if let Err(error) = self.clock.reserve() {
            self.reserve_at = Some(now.saturating_add(PAUSE));
            count(&mut self.counters.reserve_errors);
            if let Some(more) = self.journal.turn(now, Topic::Timestamps) {
                warn!("{error}{more}");
            }
        }
        let standing = self.clock.standing();
        if self.standing != standing {
            self.standing = standing;
            if let Some(standing) = standing {
                info!("{standing}");
            }
        }
    }

    /// Looks whether the sockets are bound to what is beneath now, and opens others if not.
    fn look(&mut self, now: Instant) {
        if now < self.next_look {
            return;
        }
        self.next_look = now.saturating_add(LOOK_INTERVAL);
        if self.is_suspect
            || self.sockets.count() == 0
            || self.sockets.are_left_behind(&self.underlay, self.default_interface)
        {
            self.reopen(now);
        }
    }

    /// Opens the sockets again, on the same port. When that fails, it is tried again.
    fn reopen(&mut self, now: Instant) {
        self.is_suspect = false;
        // The port is free only when the old sockets are closed.
        self.sockets.close();
        self.next_look = now.saturating_add(PAUSE);
        match Sockets::open(&self.underlay, self.default_interface, self.sockets.port()) {
            Ok(sockets) => self.sockets = sockets,
            Err(error) => {
                if let Some(more) = self.journal.turn(now, Topic::Socket) {
                    warn!("no sockets on {}, and go on trying: {error}{more}", self.underlay);
                }
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        let (Event::SessionUp(id)
        | Event::SessionExpired(id)
        | Event::EndpointMoved(id)
        | Event::HandshakeGivenUp(id)) = event
        else {
            return;
        };
        let dropped = match event {
            Event::HandshakeGivenUp(_) => self.abandon(id),
            _ => 0,
        };
        if let Some(peer) = self.device.peer(now, id)
            && let Some(more) = self.journal.turn(now, Topic::Peer(id))
        {
            let (key, at) = (Short(&peer.public_key), At(peer.endpoint));
            match event {
                Event::SessionUp(_) => info!("good handshake with {key} at {at}{more}"),
                Event::SessionExpired(_) => info!("the session with {key} expired{more}"),
                Event::EndpointMoved(_) => info!("{key} is at {at} now{more}"),
                _ => warn!(
                    "no answer from {key} at {at}, given up until there is something to send; \
                     {dropped} packets dropped: check the endpoint, both keys and this clock{more}"
                ),
            }
        }
        if let Event::SessionUp(_) = event {
            for (peer, frame) in core::mem::take(&mut self.waiting) {
                if peer == id {
                    self.send(now, frame);
                } else {
                    self.waiting.push_back((peer, frame));
                }
            }
        }
    }

    /// Drops what waits for this peer, and says how much that was.
    fn abandon(&mut self, id: PeerId) -> u32 {
        let mut dropped = 0_u32;
        for (peer, frame) in core::mem::take(&mut self.waiting) {
            if peer == id {
                self.outbound.give_back(frame);
                dropped = dropped.saturating_add(1);
            } else {
                self.waiting.push_back((peer, frame));
            }
        }
        self.counters.abandoned = self.counters.abandoned.saturating_add(dropped);
        dropped
    }

    fn names_deadline(&self, now: Instant) -> Option<Instant> {
        self.names.deadline(|peer| is_in_need(&self.device, now, peer))
    }

    fn look_up(&mut self, now: Instant) {
        let device = &self.device;
        match self.names.poll(now, &self.outbound, |peer| is_in_need(device, now, peer)) {
            Some(Answer::Try(peer, at)) => self.device.set_endpoint(now, peer, at),
            Some(Answer::Failed(peer, host, error)) => {
                if let Some(more) = self.journal.turn(now, Topic::Lookup(peer)) {
                    warn!("cannot find the address of {host}, and go on trying: {error}{more}");
                }
            }
            None => {}
        }
    }

    fn set_endpoint(&mut self, now: Instant, peer: PeerId, host: Host) {
        if let Some(at) = host.address() {
            self.names.forget(peer);
            self.device.set_endpoint(now, peer, at);
        } else {
            self.names.add(peer, host);
        }
    }

    fn obey(&mut self, now: Instant, command: Command) {
        // Whoever asked may not be interested in the answer any more.
        match command {
            Command::Status(answer) => drop(answer.send(self.status(now))),
            Command::SetUnderlay(underlay, answer) => {
                let _ = answer.send(self.set_underlay(now, underlay));
            }
            Command::SetEndpoint(key, host, answer) => {
                if let Some(peer) = self.device.find_peer(&key) {
                    self.set_endpoint(now, peer, host);
                }
                let _ = answer.send(());
            }
            Command::SetPersistentKeepalive(key, seconds, answer) => {
                if let Some(peer) = self.device.find_peer(&key) {
                    self.device.set_persistent_keepalive(now, peer, seconds);
                }
                let _ = answer.send(());
            }
            Command::Stop => {}
        }
    }

    /// Opens other sockets on the same port. When that fails, it is as before.
    fn set_underlay(&mut self, now: Instant, underlay: Underlay) -> Result<(), Error> {
        // The port is free only when the old sockets are closed.
        self.sockets.close();
        match Sockets::open(&underlay, self.default_interface, self.sockets.port()) {
            Ok(sockets) => {
                self.sockets = sockets;
                self.underlay = underlay;
                self.is_suspect = false;
                Ok(())
            }
            Err(error) => {
                self.reopen(now);
                Err(Error::Underlay(underlay, error))
            }
        }
    }

    fn status(&self, now: Instant) -> Status {
        let mut counters = self.counters;
        counters.outbound_dropped = self.outbound.dropped();
        Status {
            peers: self.device.peers().filter_map(|id| self.device.peer(now, id)).collect(),
            refusals: *self.device.refusals(),
            counters,
            timestamps: self.standing,
            listen_port: self.sockets.port(),
            now,
        }
    }
}

/// Whether a peer's name is to be asked for: nobody answers where it is.
pub(crate) fn is_in_need(device: &Device<'_>, now: Instant, peer: PeerId) -> bool {
    device.peer(now, peer).is_some_and(|peer| {
        peer.endpoint.is_none() || peer.connection == Connection::Blocked(Refusal::Unanswered)
    })
}
