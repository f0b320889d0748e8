//! wg-core driven directly: the law of driving in one short file.

use core::net::SocketAddr;
use std::collections::VecDeque;

use anyhow::{Context, Result};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{
    Device, Ecn, Event, INITIATION_LEN, Instant, PeerId, Received, Refusal, SendError, Source,
    Storage, Transmit,
};

use super::{Drive, FileClock, PeerConfig, Seen, SinceStart, Underlay};
use crate::lan::{Datagram, Inner};

/// As many packets as wait for a session before the oldest goes.
const WAITING: usize = 64;
/// Head room, the largest inner packet rounded up, and the tag.
const BUFFER: usize = 16 + 1504 + 16;

pub(super) struct Engine {
    device: Device<'static>,
    id: PeerId,
    clock: FileClock,
    rng: UnwrapErr<SysRng>,
    time: SinceStart,
    local: SocketAddr,
    /// Inner packets that wait for a session, oldest first.
    waiting: VecDeque<Vec<u8>>,
}

impl Engine {
    pub(super) fn new(config: &PeerConfig, clock: FileClock, time: SinceStart) -> Result<Self> {
        // A few kilobytes for each case, given back when the process ends.
        let mut device = Device::new(Box::leak(Box::new(Storage::<1, 4>::new())));
        let now = time.now();
        device.set_private_key(now, Some(&config.private_key));
        let id = device.add_peer(&config.their_key)?;
        device.set_preshared_key(id, &config.preshared_key);
        if let Some(remote) = config.remote {
            device.set_endpoint(now, id, remote);
        }
        for &address in &config.allowed_ips {
            device.add_allowed_ip(id, address.into())?;
        }
        Ok(Self {
            device,
            id,
            clock,
            rng: UnwrapErr(SysRng),
            time,
            local: config.local,
            waiting: VecDeque::new(),
        })
    }

    /// Gives a datagram to the engine and its packet to our host; returns what to answer.
    fn take(
        &mut self,
        datagram: &Datagram,
        inner: &mut Inner,
    ) -> Result<Option<Datagram>, Refusal> {
        let source = Source {
            remote: datagram.from,
            local: Some(datagram.to.ip()),
            ecn: Ecn::from_traffic_class(datagram.traffic_class),
        };
        let mut buffer = datagram.payload.clone();
        let now = self.time.now();
        match self.device.handle_datagram(now, &mut self.rng, source, &mut buffer)? {
            Received::Packet { packet, .. } => {
                inner.deliver(packet);
                Ok(None)
            }
            Received::Reply(reply) => Ok(Some(outgoing(self.local, &reply))),
            _ => Ok(None),
        }
    }

    /// News, then the protocol's own datagrams.
    fn drain(&mut self, underlay: &mut dyn Underlay) -> Result<()> {
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
            let now = self.time.now();
            let transmit =
                self.device.poll_transmit(now, &mut self.clock, &mut self.rng, &mut buffer);
            let Some(transmit) = transmit else { return Ok(()) };
            underlay.send(&outgoing(self.local, &transmit))?;
        }
    }

    /// Seals an inner packet, or keeps it for a session.
    fn send(&mut self, underlay: &mut dyn Underlay, packet: Vec<u8>) -> Result<()> {
        let mut buffer = [0; BUFFER];
        let room = buffer.get_mut(16..16 + packet.len()).context("an inner packet over the MTU")?;
        room.copy_from_slice(&packet);
        let now = self.time.now();
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

impl Drive for Engine {
    fn step(
        &mut self,
        underlay: &mut dyn Underlay,
        inner: &mut Inner,
        local: SocketAddr,
    ) -> Result<()> {
        self.local = local;
        // What a setting or a packet taken since the last step has asked for.
        self.drain(underlay)?;
        while let Some(datagram) = underlay.receive()? {
            // Refusals are counted in the engine, where the cases look.
            if let Ok(Some(reply)) = self.take(&datagram, inner) {
                underlay.send(&reply)?;
            }
            self.drain(underlay)?;
        }
        while self.device.poll_timeout().is_some_and(|(at, _)| at <= self.time.now()) {
            self.device.handle_timeout(self.time.now());
            self.drain(underlay)?;
        }
        inner.poll();
        while let Some(packet) = inner.next_packet() {
            self.send(underlay, packet)?;
            self.drain(underlay)?;
        }
        Ok(())
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.device.poll_timeout().map(|(at, _)| at)
    }

    fn set_endpoint(&mut self, remote: SocketAddr) {
        self.device.set_endpoint(self.time.now(), self.id, remote);
    }

    fn set_persistent_keepalive(&mut self, seconds: u16) {
        self.device.set_persistent_keepalive(self.time.now(), self.id, seconds);
    }

    fn declare_load(&mut self) -> Result<()> {
        self.device.set_under_load(self.time.now());
        Ok(())
    }

    fn status(&self) -> Seen {
        self.device.peer(self.time.now(), self.id).expect("this peer is never removed").into()
    }

    fn refusals(&self) -> Vec<(Refusal, u32)> {
        self.device.refusals().iter().collect()
    }
}

/// Our hosts leave from the address that a case gave them, wherever they were called.
fn outgoing(local: SocketAddr, transmit: &Transmit<'_>) -> Datagram {
    Datagram {
        from: local,
        to: transmit.to.remote,
        traffic_class: transmit.traffic_class,
        payload: transmit.datagram.to_vec(),
    }
}
