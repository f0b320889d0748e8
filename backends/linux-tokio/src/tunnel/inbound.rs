//! Datagrams from the underlay: opened on any core, accepted and handed over in order.

use arrayvec::ArrayVec;
use wg_core::{Device, Instant, OpenJob, Received, Refusal};

use super::crew::{Engine, Work};
use super::{RECOVERY, ROUNDS, Tunnel};
use crate::packets::{Arrivals, Packets};
use crate::time::now;
use crate::underlay::{Family, Inbox};

/// Datagrams that are opened before the first of them is accepted.
const GROUP: usize = 128;
/// The same when there is nobody to wait for.
const NEAR: usize = 16;
/// Bytes of datagrams that are worth another core's while.
const ENOUGH_BYTES: usize = 16 << 10;
/// Datagrams with handshake messages that are taken from a socket before anything else gets its
/// turn: they only wait elsewhere then, and are not in the way of data.
const ASIDES: usize = 512;
/// What a data message begins with.
const DATA: u8 = 4;

/// Datagrams of one sender on their way to be packets.
pub(super) struct Arrived {
    pub(super) inbox: Inbox,
    jobs: Vec<Option<OpenJob>>,
    at: Instant,
    pub(super) packets: Arrivals,
    refusals: Vec<Refusal>,
}

impl Arrived {
    pub(super) fn new() -> Self {
        Self {
            inbox: Inbox::new(),
            jobs: Vec::with_capacity(GROUP),
            at: Instant::ZERO,
            packets: Arrivals::default(),
            refusals: Vec::new(),
        }
    }

    /// Whether all of them are data, whose opening can be left to others. A handshake message
    /// changes which data can be opened.
    fn is_data(&mut self) -> bool {
        self.inbox.datagrams().all(|datagram| datagram.first() == Some(&DATA))
    }

    /// Finds the key of each datagram.
    pub(super) fn begin(&mut self, now: Instant, device: &mut Device<'_>) {
        self.at = now;
        for datagram in self.inbox.datagrams() {
            let job = device.begin_open(now, datagram);
            self.jobs.push(job.map_err(|refusal| self.refusals.push(refusal)).ok());
        }
    }

    /// Decrypts without the device, and accepts what is authentic when it is its turn.
    pub(super) fn open(&mut self, engine: &Engine, number: u64) {
        let Self { inbox, jobs, at, packets, refusals } = self;
        let source = inbox.source();
        let mut all = inbox.datagrams().zip(jobs.drain(..));
        let mut turn = engine.turn_if_free(number);
        // Whoever is next anyway copies what the nearest cache still holds.
        let group_len = if turn.is_some() { NEAR } else { GROUP };
        loop {
            let group = all.by_ref().take(group_len);
            let opened: ArrayVec<_, GROUP> =
                group.map(|(datagram, job)| Some(job?.open(datagram))).collect();
            // Also who has nothing to accept waits for the turn, and passes it on.
            turn = turn.or_else(|| Some(engine.turn(number)));
            if opened.is_empty() {
                return;
            }
            let mut device = engine.lock();
            for opened in opened.into_iter().flatten() {
                let accepted = match opened {
                    Ok(opened) => device.commit_open(*at, source, opened),
                    Err(forged) => Err(device.commit_forged(forged)),
                };
                match accepted {
                    Ok(Received::Packet { packet, .. }) => packets.push(packet),
                    Ok(_) => {}
                    Err(refusal) => refusals.push(refusal),
                }
            }
        }
    }
}

impl<P: Packets> Tunnel<P> {
    /// Takes datagrams from a socket while there are some, but not for ever.
    pub(super) async fn receive(&mut self, family: Family) {
        let (mut rounds, mut asides) = (0, 0);
        while rounds < ROUNDS && asides < ASIDES {
            let Some(mut arrived) = self.next_arrived(family).await else { break };
            loop {
                if !arrived.is_data() {
                    self.put_aside(&mut arrived).await;
                    self.spare_arrived.push(arrived);
                    asides += 1;
                    break;
                }
                rounds += 1;
                arrived.begin(now(), &mut self.engine.lock());
                let next = if arrived.inbox.len() >= ENOUGH_BYTES && self.crew.has_a_free_hand() {
                    self.next_arrived(family).await
                } else {
                    None
                };
                let Some(next) = next else {
                    self.crew.finish(Work::Open(arrived));
                    break;
                };
                self.crew.begin(Work::Open(arrived));
                arrived = next;
            }
            self.hand_over().await;
            self.drain(now());
            self.flush().await;
        }
    }

    async fn next_arrived(&mut self, family: Family) -> Option<Arrived> {
        let mut arrived = self.spare_arrived.pop().unwrap_or_else(Arrived::new);
        match self.underlay.receive(family, &mut arrived.inbox) {
            Ok(true) => return Some(arrived),
            Ok(false) => {}
            Err(error) => {
                log::warn!("cannot receive: {error}");
                tokio::time::sleep(RECOVERY).await;
            }
        }
        self.spare_arrived.push(arrived);
        None
    }

    /// Gives the host what others have opened, in the order in which it came.
    async fn hand_over(&mut self) {
        while let Some(Work::Open(mut arrived)) = self.crew.take() {
            let source = arrived.inbox.source().remote;
            for refusal in arrived.refusals.drain(..) {
                self.journal.refused_datagram(arrived.at, source, refusal);
            }
            self.give(&mut arrived.packets).await;
            self.spare_arrived.push(arrived);
        }
    }

    /// Lets handshake messages wait, and handles what came with them.
    async fn put_aside(&mut self, arrived: &mut Arrived) {
        let source = arrived.inbox.source();
        for datagram in arrived.inbox.datagrams() {
            if !self.calls.take(source, datagram) {
                // What came earlier has to be accepted before.
                self.hand_over().await;
                self.handle(source, datagram);
            }
        }
    }
}
