//! Packets from the host: keys are chosen in order, they are sealed on any core, and leave in order.

use std::io;

use arrayvec::ArrayVec;
use wg_core::{Device, Instant, Refusal, SealJob, SendError};
use wg_nal::{IcmpError, LONGEST_ICMP};

use super::Tunnel;
use super::crew::{Engine, Work};
use crate::journal::Journal;
use crate::packets::{Arrivals, Batch, HEAD_ROOM, Packets};
use crate::time::now;
use crate::underlay::Outbox;

/// Packets that are encrypted before they are copied behind each other: as many as the nearest
/// cache holds.
const NEAR: usize = 16;

/// A batch of packets on their way to be datagrams.
pub(super) struct Departing {
    pub(super) batch: Batch,
    jobs: Vec<Option<SealJob>>,
    at: Instant,
    pub(super) sealed: Outbox,
}

impl Departing {
    pub(super) fn new(mtu: u16) -> Self {
        let jobs = Vec::with_capacity(Batch::PACKETS);
        Self { batch: Batch::new(mtu), jobs, at: Instant::ZERO, sealed: Outbox::default() }
    }

    /// Chooses peer, key and counter of each packet. What has none is left to `unsent`.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        device: &mut Device<'_>,
        mut unsent: impl FnMut(SendError, &[u8]),
    ) {
        self.at = now;
        for (buffer, length) in self.batch.iter_mut() {
            let packet = buffer.get(HEAD_ROOM..HEAD_ROOM + length).unwrap_or_default();
            let job = device.begin_seal(now, packet);
            self.jobs.push(job.map_err(|error| unsent(error, packet)).ok());
        }
    }

    /// Encrypts without the device, and makes datagrams of the packets.
    pub(super) fn seal(&mut self, engine: &Engine, number: u64) {
        let mut jobs = self.batch.iter_mut().zip(self.jobs.drain(..));
        loop {
            let group = jobs.by_ref().take(NEAR);
            let sealed: ArrayVec<_, NEAR> =
                group.map(|((buffer, _), job)| job?.seal(buffer).ok()).collect();
            if sealed.is_empty() {
                break;
            }
            let mut device = engine.lock();
            for sealed in sealed.into_iter().flatten() {
                // A session that ended meanwhile is counted.
                if let Ok(transmit) = device.commit_seal(self.at, sealed) {
                    self.sealed.push(&transmit);
                }
            }
        }
        // Who sends them keeps the order.
        drop(engine.turn(number));
    }
}

impl<P: Packets> Tunnel<P> {
    /// Waits for packets from the host. Cancel safe.
    pub(super) async fn departing(
        packets: &mut P,
        spare: &mut Vec<Departing>,
        mtu: u16,
    ) -> io::Result<Departing> {
        if spare.is_empty() {
            spare.push(Departing::new(mtu));
        }
        if let Some(departing) = spare.last_mut() {
            packets.receive(&mut departing.batch).await?;
        }
        Ok(spare.pop().unwrap_or_else(|| Departing::new(mtu)))
    }

    /// Sends a batch, and what follows it at once: while there is more than a batch, other cores
    /// help.
    pub(super) async fn depart(&mut self, first: Departing) -> io::Result<()> {
        let mut departing = first;
        loop {
            self.begin(&mut departing);
            if !(departing.batch.is_full() && self.crew.has_a_free_hand()) {
                break;
            }
            let mut next = self.spare_departing();
            self.packets.try_receive(&mut next.batch)?;
            if next.batch.is_empty() {
                self.departing.push(next);
                break;
            }
            self.crew.begin(Work::Seal(departing));
            departing = next;
        }
        self.crew.finish(Work::Seal(departing));
        while let Some(Work::Seal(mut departing)) = self.crew.take() {
            self.send_all(&mut departing.sealed).await;
            departing.batch.clear();
            self.departing.push(departing);
        }
        self.drain(now());
        Ok(())
    }

    fn begin(&mut self, departing: &mut Departing) {
        let now = now();
        let Self { engine, waiting, journal, arrivals, .. } = self;
        departing.begin(now, &mut engine.lock(), |error, packet| match error {
            SendError::NoSession(peer) => waiting.push(peer, packet),
            SendError::Refused(refusal) => {
                refuse(journal, arrivals, now, refusal, packet);
            }
            error => log::warn!("dropped a packet of {} bytes: {error}", packet.len()),
        });
    }

    fn spare_departing(&mut self) -> Departing {
        self.departing.pop().unwrap_or_else(|| Departing::new(self.mtu))
    }
}

/// Tells the host that a packet has no way.
pub(super) fn refuse(
    journal: &mut Journal,
    arrivals: &mut Arrivals,
    now: Instant,
    refusal: Refusal,
    packet: &[u8],
) {
    journal.refused_packet(now, refusal);
    if matches!(refusal, Refusal::NoRoute | Refusal::NoEndpoint) {
        let mut answer = [0; LONGEST_ICMP];
        if let Some(answer) = IcmpError::Unreachable.answer(packet, None, &mut answer) {
            arrivals.push(answer);
        }
    }
}
