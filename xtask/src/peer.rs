//! Our end of a tunnel: the engine, a host inside, and whatever carries its datagrams. The
//! only file here that drives wg-core.

mod clock;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{
    Connection, Device, Ecn, Event, INITIATION_LEN, PeerId, PeerStatus, PresharedKey, PrivateKey,
    PublicKey, Received, Refusal, SendError, Source, Storage,
};

use crate::lan::{Datagram, Inner};
pub(crate) use clock::FileClock;

/// What carries datagrams between the ends.
pub(crate) trait Underlay {
    fn send(&mut self, datagram: &Datagram) -> Result<()>;
    /// The next datagram that has come; never waits.
    fn receive(&mut self) -> Result<Option<Datagram>>;
}

pub(crate) struct PeerConfig {
    pub(crate) private_key: PrivateKey,
    pub(crate) their_key: PublicKey,
    pub(crate) preshared_key: PresharedKey,
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    /// What the other end may send from; whole addresses.
    pub(crate) allowed_ips: Vec<IpAddr>,
}

/// One end of a tunnel with one peer.
pub(crate) struct Peer {
    device: Device<'static>,
    id: PeerId,
    clock: FileClock,
    rng: UnwrapErr<SysRng>,
    origin: Instant,
    /// Where our datagrams leave from.
    pub(crate) local: SocketAddr,
    /// Our host inside the tunnel.
    pub(crate) inner: Inner,
    /// Inner packets that wait for a session, oldest first.
    waiting: VecDeque<Vec<u8>>,
}

/// What can be seen of a peer from outside; a refused packet changes none of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    endpoint: Option<SocketAddr>,
    received_bytes: u64,
    sent_bytes: u64,
    last_handshake: Option<wg_core::Instant>,
}

/// As many packets as wait for a session before the oldest goes.
const WAITING: usize = 64;
/// Head room, the largest inner packet rounded up, and the tag.
const BUFFER: usize = 16 + 1504 + 16;

impl Peer {
    pub(crate) fn new(config: PeerConfig, inner: Inner, clock: FileClock) -> Result<Self> {
        // A few kilobytes for each case, given back when the process ends.
        let mut device = Device::new(Box::leak(Box::new(Storage::<1, 4>::new())));
        let now = wg_core::Instant::ZERO;
        device.set_private_key(now, Some(&config.private_key));
        let id = device.add_peer(&config.their_key)?;
        device.set_preshared_key(id, &config.preshared_key);
        if let Some(remote) = config.remote {
            device.set_endpoint(now, id, remote);
        }
        for address in config.allowed_ips {
            device.add_allowed_ip(id, address.into())?;
        }
        Ok(Self {
            device,
            id,
            clock,
            rng: UnwrapErr(SysRng),
            origin: Instant::now(),
            local: config.local,
            inner,
            waiting: VecDeque::new(),
        })
    }

    /// Does everything that is due: datagrams in, timers, inner packets out.
    pub(crate) fn step(&mut self, underlay: &mut impl Underlay) -> Result<()> {
        // What a setting or a packet taken since the last step has asked for.
        self.drain(underlay)?;
        while let Some(datagram) = underlay.receive()? {
            // Refusals are counted in the engine, where the cases look.
            if let Ok(Some(reply)) = self.take(&datagram) {
                underlay.send(&reply)?;
            }
            self.drain(underlay)?;
        }
        while self.device.poll_timeout().is_some_and(|(at, _)| at <= self.now()) {
            self.device.handle_timeout(self.now());
            self.drain(underlay)?;
        }
        self.inner.poll();
        while let Some(packet) = self.inner.next_packet() {
            self.send(underlay, packet)?;
            self.drain(underlay)?;
        }
        Ok(())
    }

    /// When [`Self::step`] has something to do, were nothing to come before.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let engine = self
            .device
            .poll_timeout()
            .map(|(at, _)| self.origin + Duration::from_micros(at.as_micros()));
        let inner = self.inner.poll_delay().map(|delay| Instant::now() + delay);
        engine.into_iter().chain(inner).min()
    }

    /// Takes one datagram outside of [`Self::step`]; an answer to it is thrown away.
    pub(crate) fn receive(&mut self, datagram: &Datagram) -> Result<(), Refusal> {
        self.take(datagram).map(drop)
    }

    /// Whether inner packets can be sent.
    pub(crate) fn has_session(&self) -> bool {
        self.peer_status().connection == Connection::Up
    }

    /// What stands between us and a session, where that is known.
    pub(crate) fn obstacle(&self) -> Option<Refusal> {
        match self.peer_status().connection {
            Connection::Blocked(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Where the other end is, as far as we know.
    pub(crate) fn endpoint(&self) -> Option<SocketAddr> {
        self.status().endpoint
    }

    /// Tells where the other end is.
    pub(crate) fn set_endpoint(&mut self, remote: SocketAddr) {
        self.device.set_endpoint(self.now(), self.id, remote);
    }

    /// Sends an empty packet after so many seconds of silence; 0 for never.
    pub(crate) fn set_persistent_keepalive(&mut self, seconds: u16) {
        self.device.set_persistent_keepalive(self.now(), self.id, seconds);
    }

    /// Declares this end under load, for a second.
    pub(crate) fn declare_load(&mut self) {
        self.device.set_under_load(self.now());
    }

    pub(crate) fn status(&self) -> Status {
        let PeerStatus { endpoint, received_bytes, sent_bytes, last_handshake, .. } =
            self.peer_status();
        Status { endpoint, received_bytes, sent_bytes, last_handshake }
    }

    pub(crate) fn received_bytes(&self) -> u64 {
        self.status().received_bytes
    }

    pub(crate) fn sent_bytes(&self) -> u64 {
        self.status().sent_bytes
    }

    /// When the last handshake completed, by the wall clock.
    pub(crate) fn last_handshake(&self) -> Option<SystemTime> {
        let at = self.status().last_handshake?;
        Some(SystemTime::now() - self.now().saturating_since(at))
    }

    /// How often `reason` made us refuse something.
    pub(crate) fn refused(&self, reason: Refusal) -> u32 {
        self.device.refusals().count(reason)
    }

    /// Every reason that made us refuse something, with its count.
    pub(crate) fn refusals(&self) -> String {
        let all: Vec<_> = self
            .device
            .refusals()
            .iter()
            .map(|(reason, count)| format!("{} {count}", reason.name()))
            .collect();
        if all.is_empty() { "nothing was refused".into() } else { all.join(", ") }
    }

    fn peer_status(&self) -> PeerStatus {
        self.device.peer(self.now(), self.id).expect("this peer is never removed")
    }

    fn now(&self) -> wg_core::Instant {
        let micros = self.origin.elapsed().as_micros();
        wg_core::Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Gives a datagram to the engine and its packet to our host; returns what to answer.
    fn take(&mut self, datagram: &Datagram) -> Result<Option<Datagram>, Refusal> {
        let source = Source {
            remote: datagram.from,
            local: Some(datagram.to.ip()),
            ecn: Ecn::from_traffic_class(datagram.traffic_class),
        };
        let mut buffer = datagram.payload.clone();
        let now = self.now();
        match self.device.handle_datagram(now, &mut self.rng, source, &mut buffer)? {
            Received::Packet { packet, .. } => {
                self.inner.deliver(packet);
                Ok(None)
            }
            Received::Reply(reply) => Ok(Some(outgoing(self.local, &reply))),
            _ => Ok(None),
        }
    }

    /// News, then the protocol's own datagrams.
    fn drain(&mut self, underlay: &mut impl Underlay) -> Result<()> {
        while let Some(event) = self.device.poll_event() {
            match event {
                Event::SessionUp(_) => {
                    for packet in core::mem::take(&mut self.waiting) {
                        self.send(underlay, packet)?;
                    }
                }
                Event::HandshakeGivenUp(_) => self.waiting.clear(),
                _ => {}
            }
        }
        let mut buffer = [0; INITIATION_LEN];
        loop {
            let now = self.now();
            let transmit =
                self.device.poll_transmit(now, &mut self.clock, &mut self.rng, &mut buffer);
            let Some(transmit) = transmit else { return Ok(()) };
            underlay.send(&outgoing(self.local, &transmit))?;
        }
    }

    /// Seals an inner packet, or keeps it for a session.
    fn send(&mut self, underlay: &mut impl Underlay, packet: Vec<u8>) -> Result<()> {
        let mut buffer = [0; BUFFER];
        let room = buffer.get_mut(16..16 + packet.len()).context("an inner packet over the MTU")?;
        room.copy_from_slice(&packet);
        let now = self.now();
        match self.device.seal(now, &mut buffer, packet.len()) {
            Ok(transmit) => underlay.send(&outgoing(self.local, &transmit))?,
            Err(SendError::NoSession(_)) => {
                if self.waiting.len() == WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(packet);
            }
            // Counted in the engine.
            Err(SendError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Our hosts leave from the address that a case gave them, wherever they were called.
fn outgoing(local: SocketAddr, transmit: &wg_core::Transmit<'_>) -> Datagram {
    Datagram {
        from: local,
        to: transmit.to.remote,
        traffic_class: transmit.traffic_class,
        payload: transmit.datagram.to_vec(),
    }
}
