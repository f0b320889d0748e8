//! An Ethernet switch between emulators, whose cables can be bad or pulled.

use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use anyhow::Result;

use super::wire::take_due;
use super::{Cable, Faults, Pcap};

/// Where an emulator is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port(usize);

/// What the switch has done with frames since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) forwarded: u32,
    /// By a fault that was asked for.
    pub(crate) lost: u32,
    /// Because the emulator had not taken the frames before them.
    pub(crate) overrun: u32,
    /// Out before a frame that came in earlier.
    pub(crate) overtaken: u32,
}

/// The number in which a frame came in, where it goes, and its bytes.
type Queued = (u64, Port, Vec<u8>);

/// Every frame goes to all other ports: with two or three of them there is nothing to learn.
pub(crate) struct Switch {
    ports: Vec<Cable>,
    pulled: Vec<bool>,
    /// How many frames the emulator on each has been given.
    handed: Vec<u32>,
    faults: Faults,
    chance: fastrand::Rng,
    /// When each is due, and what.
    queue: VecDeque<(Instant, Queued)>,
    next: u64,
    newest_out: u64,
    carried: Carried,
    pcap: Option<Pcap>,
}

impl Switch {
    pub(crate) fn new(pcap: Option<Pcap>) -> Self {
        Self {
            ports: Vec::new(),
            pulled: Vec::new(),
            handed: Vec::new(),
            faults: Faults::default(),
            chance: fastrand::Rng::with_seed(1),
            queue: VecDeque::new(),
            next: 0,
            newest_out: 0,
            carried: Carried::default(),
            pcap,
        }
    }

    pub(crate) fn plug_in(&mut self, cable: Cable) -> Port {
        self.ports.push(cable);
        self.pulled.push(false);
        self.handed.push(0);
        Port(self.ports.len() - 1)
    }

    /// Puts another cable where one was: its emulator is gone.
    pub(crate) fn replace(&mut self, port: Port, cable: Cable) {
        self.ports[port.0] = cable;
        self.handed[port.0] = 0;
        self.queue.retain(|(_, (_, to, _))| *to != port);
    }

    pub(crate) fn cable(&self, port: Port) -> &Cable {
        &self.ports[port.0]
    }

    /// How many frames the emulator on a port has been given since it was plugged in.
    pub(crate) fn handed(&self, port: Port) -> u32 {
        self.handed[port.0]
    }

    /// Pulls a port's cable, or puts it back.
    pub(crate) fn set_pulled(&mut self, port: Port, pulled: bool) {
        self.pulled[port.0] = pulled;
    }

    /// Sets what happens to frames from now on.
    pub(crate) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// What has happened to frames since the last call.
    pub(crate) fn take_carried(&mut self) -> Carried {
        core::mem::take(&mut self.carried)
    }

    /// Sends a frame of our own to a port, past all faults.
    pub(crate) fn inject(&mut self, port: Port, frame: Vec<u8>) {
        self.queue.push_back((Instant::now(), (u64::MAX, port, frame)));
    }

    /// Moves frames until there is none to move now.
    pub(crate) fn work(&mut self) -> Result<()> {
        let mut buffer = [0; 2048];
        for from in 0..self.ports.len() {
            while let Some(length) = self.ports[from].receive(&mut buffer)? {
                if !self.pulled[from] {
                    self.take_in(Port(from), &buffer[..length])?;
                }
            }
        }
        while let Some((number, to, frame)) = take_due(&mut self.queue) {
            if self.pulled[to.0] {
                continue;
            }
            if !self.ports[to.0].send(&frame)? {
                // As a switch does when a port's queue is full.
                self.carried.overrun += 1;
                continue;
            }
            self.handed[to.0] += 1;
            if number != u64::MAX {
                self.carried.forwarded += 1;
                self.carried.overtaken += u32::from(number < self.newest_out);
                self.newest_out = self.newest_out.max(number);
            }
        }
        Ok(())
    }

    fn take_in(&mut self, from: Port, frame: &[u8]) -> Result<()> {
        if let Some(pcap) = &mut self.pcap {
            pcap.record(frame)?;
        }
        if self.chance.u32(..100) < self.faults.loss_percent {
            self.carried.lost += 1;
            return Ok(());
        }
        let copies = 1 + u32::from(self.chance.u32(..100) < self.faults.duplicate_percent);
        for to in (0..self.ports.len()).map(Port).filter(|to| *to != from) {
            for _ in 0..copies {
                let delay = self.faults.delay.mul_f64(1.0 + self.chance.f64());
                let entry = (self.next, to, frame.to_vec());
                self.queue.push_back((Instant::now() + delay, entry));
                self.next += 1;
            }
        }
        Ok(())
    }

    /// Waits for a frame or for one of `others`, until a queued one is due, for `longest` at most.
    pub(crate) fn wait(&self, others: &[BorrowedFd<'_>], longest: Duration) -> Result<()> {
        let due = self.queue.iter().map(|(due, _)| *due).min();
        let wait =
            due.map_or(longest, |due| due.saturating_duration_since(Instant::now()).min(longest));
        let flags = rustix::event::PollFlags::IN;
        let mut sources: Vec<_> = self
            .ports
            .iter()
            .map(|port| rustix::event::PollFd::from_borrowed_fd(port.as_fd(), flags))
            .collect();
        sources.extend(others.iter().map(|&fd| rustix::event::PollFd::from_borrowed_fd(fd, flags)));
        rustix::event::poll(&mut sources, Some(&rustix::event::Timespec::try_from(wait)?))?;
        Ok(())
    }
}
