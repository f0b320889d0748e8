//! The task that drives the engine.

mod calls;
mod configure;
mod cores;
mod crew;
mod inbound;
mod outbound;

use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use getrandom::SysRng;
use getrandom::rand_core::{TryRng, UnwrapErr};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wg_core::{DATA_OVERHEAD, Device, Event, INITIATION_LEN, Instant, PeerId, SendError, Tai64n};

use crate::clock::{StampClock, StateError};
use crate::config::Config;
use crate::error::Error;
use crate::handle::{Command, Handle};
use crate::journal::Journal;
use crate::packets::{Arrivals, HEAD_ROOM, Packets};
use crate::time::{Alarm, Sleep, now};
use crate::underlay::{Family, Left, Outbox, Underlay};
use crate::waiting::Waiting;
use calls::Calls;
use crew::{Crew, Engine};
use inbound::Arrived;
use outbound::{Departing, refuse};

/// Rounds of receiving before anything else gets its turn.
const ROUNDS: usize = 8;
/// A socket or a file that fails is left alone for so long.
const RECOVERY: Duration = Duration::from_millis(200);

/// A WireGuard tunnel that is ready to run.
///
/// Dropping it, or the future of [`run`](Self::run), is safe at any time: sockets close, an
/// interface goes, keys are wiped.
pub struct Tunnel<P> {
    crew: Crew,
    engine: Arc<Engine>,
    packets: P,
    underlay: Underlay,
    clock: StampClock,
    /// A ceiling on its way to the disk.
    reserving: Option<JoinHandle<Result<Tai64n, StateError>>>,
    rng: UnwrapErr<SysRng>,
    alarm: Alarm,
    sleep: Sleep,
    waiting: Waiting,
    calls: Calls,
    /// Packets and datagrams that came and go one by one.
    arrivals: Arrivals,
    outbox: Outbox,
    /// Those that come and go in batches, to be used again.
    spare_arrived: Vec<Arrived>,
    departing: Vec<Departing>,
    journal: Journal,
    mtu: u16,
    fw_mark: u32,
    /// How many sessions came up.
    sessions_up: u64,
    /// When each peer's last handshake was, since 1970: said the same whoever asks whenever.
    handshakes: HashMap<PeerId, (Instant, Duration)>,
    /// Dropped last: whoever waits for the end waits for this.
    commands: mpsc::Receiver<Command>,
}

/// Why the task woke.
enum Wake {
    Command(Option<Command>),
    Deadline(io::Result<()>),
    Underlay(io::Result<Family>),
    Calls,
    Packets(io::Result<Departing>),
    Reserved(Result<Tai64n, StateError>),
}

impl<P: Packets> Tunnel<P> {
    /// Opens the sockets and sets up the device. Must be called in a Tokio runtime with I/O.
    ///
    /// # Errors
    /// [`Error::PortInUse`], [`Error::Sockets`], [`Error::Mark`], [`Error::Random`],
    /// [`Error::Timer`] or [`Error::Peer`].
    pub fn new(config: &Config, packets: P, clock: StampClock) -> Result<(Handle, Self), Error> {
        SysRng.try_next_u32().map_err(|_| Error::Random)?;
        let underlay = if config.is_up {
            configure::open(config.listen_port, config.fw_mark)?
        } else {
            Underlay::closed(config.listen_port)
        };
        let (handle, commands) = Handle::new();
        let engine = Arc::new(Engine::new(Device::growing()));
        let mut tunnel = Self {
            crew: Crew::new(Arc::clone(&engine)),
            engine,
            packets,
            underlay,
            clock,
            reserving: None,
            rng: UnwrapErr(SysRng),
            alarm: Alarm::new().map_err(Error::Timer)?,
            sleep: Sleep::new(),
            waiting: Waiting::default(),
            calls: Calls::default(),
            arrivals: Arrivals::default(),
            outbox: Outbox::default(),
            spare_arrived: Vec::new(),
            departing: Vec::new(),
            journal: Journal::default(),
            mtu: config.mtu,
            fw_mark: config.fw_mark,
            sessions_up: 0,
            handshakes: HashMap::new(),
            commands,
        };
        let now = now();
        let mut device = tunnel.engine.lock();
        if !config.is_up {
            device.down();
        }
        device.set_mtu(config.mtu);
        device.set_private_key(now, config.private_key.as_ref());
        drop(device);
        for peer in &config.peers {
            let refused = |error| Error::Peer(peer.public_key, error);
            tunnel.set_peer(now, peer).map_err(refused)?;
        }
        Ok((handle, tunnel))
    }

    /// The UDP port of our sockets.
    pub fn listen_port(&self) -> u16 {
        self.underlay.port()
    }

    /// Carries packets until [`Handle::stop`] is called, or every [`Handle`] is gone.
    ///
    /// # Errors
    /// [`Error::Packets`] when the inner side has failed for good.
    pub async fn run(mut self) -> Result<(), Error> {
        // Settings made before may have asked for something.
        self.drain(now());
        loop {
            self.flush().await;
            self.reserve();
            let deadline = self.engine.lock().poll_timeout().map(|(at, _)| at);
            let wake = tokio::select! {
                command = self.commands.recv() => Wake::Command(command),
                rung = self.alarm.wait(deadline) => Wake::Deadline(rung),
                family = self.underlay.readable() => Wake::Underlay(family),
                () = core::future::ready(()), if !self.calls.is_empty() => Wake::Calls,
                received = Self::departing(&mut self.packets, &mut self.departing, self.mtu) => {
                    Wake::Packets(received)
                }
                reserved = reserved(&mut self.reserving) => Wake::Reserved(reserved),
            };
            if self.sleep.is_over() {
                log::info!("this machine has slept: all sessions are made anew");
                self.forget_sessions(now());
            }
            match wake {
                Wake::Command(None | Some(Command::Stop)) => return Ok(()),
                Wake::Command(Some(command)) => self.obey(now(), command),
                Wake::Deadline(rung) => {
                    rung.map_err(Error::Timer)?;
                    self.handle_timeouts(now());
                }
                Wake::Underlay(family) => {
                    self.receive(family.map_err(Error::Underlay)?).await;
                }
                Wake::Calls => self.answer_calls().await,
                Wake::Packets(received) => {
                    let departing = received.map_err(Error::Packets)?;
                    self.depart(departing).await.map_err(Error::Packets)?;
                }
                Wake::Reserved(Ok(durable)) => {
                    self.reserving = None;
                    self.clock.reserved(durable);
                }
                Wake::Reserved(Err(error)) => {
                    self.reserving = None;
                    log::error!("{error}");
                    tokio::time::sleep(RECOVERY).await;
                }
            }
        }
    }

    /// Serves every peer whose deadline has passed.
    fn handle_timeouts(&mut self, now: Instant) {
        loop {
            let mut device = self.engine.lock();
            if device.poll_timeout().is_none_or(|(at, _)| at > now) {
                return;
            }
            device.handle_timeout(now);
            drop(device);
            self.drain(now);
        }
    }

    /// Seals the packet of `length` bytes after the head room of `buffer`, or keeps it until
    /// there is a session, or tells the host that it has no way.
    fn send(&mut self, now: Instant, buffer: &mut [u8], length: usize) {
        match self.engine.lock().seal(now, buffer, length) {
            Ok(transmit) => self.outbox.push(&transmit),
            Err(error) => {
                let packet = buffer.get(HEAD_ROOM..HEAD_ROOM + length).unwrap_or_default();
                match error {
                    SendError::NoSession(peer) => self.waiting.push(peer, packet),
                    SendError::Refused(refusal) => {
                        refuse(&mut self.journal, &mut self.arrivals, now, refusal, packet);
                    }
                    error => log::warn!("dropped a packet of {length} bytes: {error}"),
                }
            }
        }
    }

    /// Takes the device's news and its own datagrams, as is due after every call to it.
    fn drain(&mut self, now: Instant) {
        loop {
            let event = self.engine.lock().poll_event();
            let Some(event) = event else { break };
            self.handle_event(now, event);
        }
        let mut device = self.engine.lock();
        let mut buffer = [0; INITIATION_LEN];
        while let Some(transmit) =
            device.poll_transmit(now, &mut self.clock, &mut self.rng, &mut buffer)
        {
            self.outbox.push(&transmit);
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
        let peer = self.engine.lock().peer(now, id);
        let Some(peer) = peer else { return };
        let (key, at) = (&peer.public_key, peer.endpoint);
        match event {
            Event::SessionUp(_) => {
                self.sessions_up += 1;
                self.journal.session_up(now, id, key, at);
                self.send_what_waits(now, id);
            }
            Event::HandshakeGivenUp(_) => {
                let dropped = self.waiting.purge(id);
                self.journal.given_up(now, id, key, at, dropped);
            }
            Event::EndpointMoved(_) => self.journal.moved(now, id, key, at),
            _ => self.journal.session_expired(now, id, key),
        }
    }

    fn send_what_waits(&mut self, now: Instant, peer: PeerId) {
        let mut buffer = Vec::new();
        for packet in self.waiting.take(peer) {
            buffer.clear();
            buffer.resize(HEAD_ROOM, 0);
            buffer.extend_from_slice(&packet);
            buffer.resize(packet.len().next_multiple_of(16) + DATA_OVERHEAD, 0);
            self.send(now, &mut buffer, packet.len());
        }
    }

    /// Sends and hands over what has been collected.
    async fn flush(&mut self) {
        let mut outbox = core::mem::take(&mut self.outbox);
        self.send_all(&mut outbox).await;
        self.outbox = outbox;
        let mut arrivals = core::mem::take(&mut self.arrivals);
        self.give(&mut arrivals).await;
        self.arrivals = arrivals;
    }

    /// Sends datagrams.
    async fn send_all(&mut self, outbox: &mut Outbox) {
        let mut moved = Vec::new();
        for train in outbox.trains() {
            match self.underlay.send(&train).await {
                Ok(Left::FromThere) => {}
                Ok(Left::FromElsewhere) => moved.push(train.to),
                Err(error) => self.journal.unsent(now(), train.to.remote, &error),
            }
        }
        for to in moved {
            self.forget_source(now(), to.remote);
        }
        outbox.clear();
    }

    /// Gives packets to the host.
    async fn give(&mut self, arrivals: &mut Arrivals) {
        if !arrivals.is_empty()
            && let Err(error) = self.packets.send(arrivals.take()).await
        {
            self.journal.lost(now(), &error);
        }
    }

    /// Has the next timestamps reserved before they are needed.
    fn reserve(&mut self) {
        if self.reserving.is_none()
            && let Some(reservation) = self.clock.reservation()
        {
            self.reserving = Some(tokio::task::spawn_blocking(move || reservation.write()));
        }
    }
}

impl<P> core::fmt::Debug for Tunnel<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tunnel").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// Waits until a reservation has been written. Cancel safe.
async fn reserved(
    reserving: &mut Option<JoinHandle<Result<Tai64n, StateError>>>,
) -> Result<Tai64n, StateError> {
    if let Some(writing) = reserving
        && let Ok(result) = writing.await
    {
        return result;
    }
    // Nothing is being written, or it was stopped with the runtime.
    core::future::pending().await
}
