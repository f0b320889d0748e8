//! Our end of a tunnel: the engine by one of five drivers, a host inside, and whatever
//! carries its datagrams.

mod c;
mod clock;
mod engine;
mod esp_idf;
mod nal;
mod post;
mod time;

use core::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime};

use anyhow::Result;
use wg_core::{Connection, PeerStatus, PresharedKey, PrivateKey, PublicKey, Refusal};

use crate::lan::{Datagram, Inner};
use c::C;
pub(crate) use clock::FileClock;
use engine::Engine;
use esp_idf::EspIdf;
use nal::Nal;
use time::SinceStart;

/// What carries datagrams between the ends.
pub(crate) trait Underlay {
    fn send(&mut self, datagram: &Datagram) -> Result<()>;
    /// The next datagram that has come; never waits.
    fn receive(&mut self) -> Result<Option<Datagram>>;
}

/// What moves datagrams and packets through our engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Driver {
    /// wg-core's functions, called here.
    Engine,
    /// wg-nal's tunnel for firmware without an executor, over embedded-nal.
    Blocking,
    /// wg-nal's runner, a task over embedded-nal-async.
    Async,
    /// wg-esp-idf's tunnel, a thread over sockets of this machine.
    EspIdf,
    /// wg-c's interface of lwIP, in a program in C.
    C,
}

impl Driver {
    pub(crate) const ALL: &[Self] =
        &[Self::Engine, Self::Blocking, Self::Async, Self::EspIdf, Self::C];
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

/// What a driver does for one end of a tunnel with one peer.
trait Drive {
    /// Does everything that is due: datagrams in, timers, inner packets out.
    /// Datagrams leave from `local`.
    fn step(
        &mut self,
        underlay: &mut dyn Underlay,
        inner: &mut Inner,
        local: SocketAddr,
    ) -> Result<()>;
    /// When [`Self::step`] has something to do, were nothing to come before.
    fn deadline(&mut self) -> Option<wg_core::Instant>;
    fn set_endpoint(&mut self, remote: SocketAddr);
    fn set_persistent_keepalive(&mut self, seconds: u16);
    fn declare_load(&mut self) -> Result<()>;
    fn status(&self) -> Seen;
    /// What was refused at all, and how often.
    fn refusals(&self) -> Vec<(Refusal, u32)>;
}

/// What a driver tells of the other end.
struct Seen {
    connection: Connection,
    endpoint: Option<SocketAddr>,
    received_bytes: u64,
    sent_bytes: u64,
    last_handshake: Option<wg_core::Instant>,
}

impl From<PeerStatus> for Seen {
    fn from(status: PeerStatus) -> Self {
        Self {
            connection: status.connection,
            endpoint: status.endpoint,
            received_bytes: status.received_bytes,
            sent_bytes: status.sent_bytes,
            last_handshake: status.last_handshake,
        }
    }
}

/// One end of a tunnel with one peer.
pub(crate) struct Peer {
    drive: Box<dyn Drive>,
    time: SinceStart,
    /// Where our datagrams leave from.
    pub(crate) local: SocketAddr,
    /// Our host inside the tunnel.
    pub(crate) inner: Inner,
}

/// What can be seen of a peer from outside; a refused packet changes none of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    endpoint: Option<SocketAddr>,
    received_bytes: u64,
    sent_bytes: u64,
    last_handshake: Option<wg_core::Instant>,
}

impl Peer {
    pub(crate) fn new(
        driver: Driver,
        config: &PeerConfig,
        inner: Inner,
        clock: FileClock,
    ) -> Result<Self> {
        let time = SinceStart::new();
        let drive: Box<dyn Drive> = match driver {
            Driver::Engine => Box::new(Engine::new(config, clock, time.clone())?),
            Driver::Blocking => Box::new(Nal::superloop(config, clock, time.clone())?),
            Driver::Async => Box::new(Nal::task(config, clock, time.clone())?),
            Driver::EspIdf => Box::new(EspIdf::new(config, clock, &time)?),
            Driver::C => Box::new(C::new(config, &clock, &time)?),
        };
        Ok(Self { drive, time, local: config.local, inner })
    }

    /// Does everything that is due: datagrams in, timers, inner packets out.
    pub(crate) fn step(&mut self, underlay: &mut impl Underlay) -> Result<()> {
        self.drive.step(underlay, &mut self.inner, self.local)
    }

    /// When [`Self::step`] has something to do, were nothing to come before.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let tunnel = self.drive.deadline().map(|at| self.time.to_std(at));
        let inner = self.inner.poll_delay().map(|delay| Instant::now() + delay);
        tunnel.into_iter().chain(inner).min()
    }

    /// Whether inner packets can be sent.
    pub(crate) fn has_session(&self) -> bool {
        self.drive.status().connection == Connection::Up
    }

    /// What stands between us and a session, where that is known.
    pub(crate) fn obstacle(&self) -> Option<Refusal> {
        match self.drive.status().connection {
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
        self.drive.set_endpoint(remote);
    }

    /// Sends an empty packet after so many seconds of silence; 0 for never.
    pub(crate) fn set_persistent_keepalive(&mut self, seconds: u16) {
        self.drive.set_persistent_keepalive(seconds);
    }

    /// Declares this end under load, for a second. An error unless the driver can.
    pub(crate) fn declare_load(&mut self) -> Result<()> {
        self.drive.declare_load()
    }

    pub(crate) fn status(&self) -> Status {
        let Seen { endpoint, received_bytes, sent_bytes, last_handshake, .. } = self.drive.status();
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
        Some(SystemTime::now() - self.time.now().saturating_since(at))
    }

    /// How often `reason` made us refuse something.
    pub(crate) fn refused(&self, reason: Refusal) -> u32 {
        let refusals = self.drive.refusals();
        refusals.iter().find(|(other, _)| *other == reason).map_or(0, |(_, count)| *count)
    }

    /// Every reason that made us refuse something, with its count.
    pub(crate) fn refusals(&self) -> String {
        let refusals = self.drive.refusals();
        let all: Vec<_> =
            refusals.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect();
        if all.is_empty() { "nothing was refused".into() } else { all.join(", ") }
    }
}
