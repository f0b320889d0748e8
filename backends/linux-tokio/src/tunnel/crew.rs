//! Cryptography on all cores: pieces of work that other threads do, and the order that they keep.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use wg_core::Device;

use super::cores::Cores;
use super::inbound::Arrived;
use super::outbound::Departing;

/// Threads at most, however many cores there are: reading and writing is one task's work, and
/// cannot keep more busy.
const MOST: usize = 7;

/// The engine, between the threads that work on packets.
#[derive(Debug)]
pub(super) struct Engine {
    device: Mutex<Device<'static>>,
    /// The number of the piece of work whose packets are to be committed next.
    turn: Mutex<u64>,
    next: Condvar,
}

impl Engine {
    pub(super) fn new(device: Device<'static>) -> Self {
        Self { device: Mutex::new(device), turn: Mutex::new(0), next: Condvar::new() }
    }

    /// The device, for a moment: nobody encrypts or decrypts data with it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Device<'static>> {
        // Only a panic poisons it, and then the task ends.
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all work that was begun earlier has been committed.
    pub(super) fn turn(&self, number: u64) -> Turn<'_> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.next.wait_while(turn, |turn| *turn < number);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        Turn(self)
    }

    /// The same without waiting.
    pub(super) fn turn_if_free(&self, number: u64) -> Option<Turn<'_>> {
        let turn = *self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        (turn >= number).then_some(Turn(self))
    }
}

/// The right to commit, which passes on when this is dropped.
pub(super) struct Turn<'e>(&'e Engine);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.turn.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.next.notify_all();
    }
}

/// Packets whose keys are chosen.
pub(super) enum Work {
    Seal(Departing),
    Open(Arrived),
}

/// A piece of work with its place in the order.
type Numbered = (u64, Work);

impl Work {
    fn perform(&mut self, engine: &Engine, number: u64) {
        match self {
            Self::Seal(departing) => departing.seal(engine, number),
            Self::Open(arrived) => arrived.open(engine, number),
        }
    }
}

/// The threads that help. There are none until there is more work than for one core.
pub(super) struct Crew {
    engine: Arc<Engine>,
    workers: Vec<Worker>,
    /// How many there may be.
    most: usize,
    cores: Cores,
    finished: (Sender<Numbered>, Receiver<Numbered>),
    /// The number of the next piece of work.
    next: u64,
    /// What was begun and not taken back, oldest first; `None` is in the hands of a worker.
    begun: VecDeque<Option<Work>>,
}

struct Worker {
    work: SyncSender<Numbered>,
    thread: JoinHandle<()>,
}

impl Crew {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            engine,
            workers: Vec::new(),
            most: (cores - 1).min(MOST),
            cores: Cores::new(),
            finished: channel(),
            next: 0,
            begun: VecDeque::new(),
        }
    }

    /// Whether a piece of work would be done by somebody else meanwhile.
    pub(super) fn has_a_free_hand(&mut self) -> bool {
        self.begun.len() < self.most && self.cores.are_free()
    }

    /// Gives a piece of work to a worker.
    pub(super) fn begin(&mut self, work: Work) {
        let number = self.take_number();
        let place = self.begun.len();
        if place == self.workers.len() && place < self.most {
            match self.hire() {
                Ok(worker) => self.workers.push(worker),
                Err(error) => {
                    log::warn!("no more threads: {error}");
                    self.most = place;
                }
            }
        }
        let Some(worker) = self.workers.get(place) else { return self.perform(number, work) };
        match worker.work.send((number, work)) {
            Ok(()) => self.begun.push_back(None),
            Err(unsent) => self.perform(number, unsent.0.1),
        }
    }

    /// Does a piece of work here, after all that was begun.
    pub(super) fn finish(&mut self, work: Work) {
        let number = self.take_number();
        self.perform(number, work);
    }

    /// Takes back the oldest piece of work, when it is done; `None` when all were taken back.
    pub(super) fn take(&mut self) -> Option<Work> {
        let oldest = self.next - self.begun.len() as u64;
        while let Some(None) = self.begun.front() {
            let (number, work) = self.finished.1.recv().ok()?;
            let place = usize::try_from(number - oldest).unwrap_or(usize::MAX);
            if let Some(place) = self.begun.get_mut(place) {
                *place = Some(work);
            }
        }
        self.begun.pop_front().flatten()
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn perform(&mut self, number: u64, mut work: Work) {
        work.perform(&self.engine, number);
        self.begun.push_back(Some(work));
    }

    fn hire(&self) -> std::io::Result<Worker> {
        let (work, orders) = sync_channel::<Numbered>(1);
        let (engine, finished) = (Arc::clone(&self.engine), self.finished.0.clone());
        let thread = std::thread::Builder::new().name("wg-crypto".into()).spawn(move || {
            for (number, mut work) in orders {
                work.perform(&engine, number);
                if finished.send((number, work)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Worker { work, thread })
    }
}

impl Drop for Crew {
    /// Waits for the threads, so that the keys are wiped when the tunnel has ended.
    fn drop(&mut self) {
        for Worker { work, thread } in self.workers.drain(..) {
            drop(work);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
