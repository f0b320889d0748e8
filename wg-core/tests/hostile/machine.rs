//! A device with its surroundings, as its administrator set it up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;

use wg_core::rand_core::{TryCryptoRng, TryRng};
use wg_core::{
    ClockUnavailable, Device, Instant, PresharedKey, PrivateKey, PublicKey, Storage, Tai64n,
    Tai64nClock,
};

use super::belief::Belief;
use crate::pair::Seeded;

pub const MACHINES: usize = 3;

/// Room for the others, and an address each.
pub type Room = Storage<2, 4>;

/// Random numbers, until the generator breaks and gives one byte for ever.
pub struct Random {
    pub seeded: Seeded,
    pub stuck: Option<u8>,
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        match self.stuck {
            Some(byte) => Ok(u32::from_le_bytes([byte; 4])),
            None => self.seeded.try_next_u32(),
        }
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        match self.stuck {
            Some(byte) => Ok(u64::from_le_bytes([byte; 8])),
            None => self.seeded.try_next_u64(),
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        match self.stuck {
            Some(byte) => {
                bytes.fill(byte);
                Ok(())
            }
            None => self.seeded.try_fill_bytes(bytes),
        }
    }
}

impl TryCryptoRng for Random {}

/// A wall clock that may be anything but earlier after a reboot, as is promised of clocks.
pub struct Clock {
    pub secs: u64,
    /// What is asked next, if not the time.
    pub fault: Option<ClockUnavailable>,
    pub greatest: u64,
}

impl Tai64nClock for Clock {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.secs += 1;
        self.greatest = self.greatest.max(self.secs);
        Ok(Tai64n::from_unix(self.secs, 0))
    }
}

pub struct Machine<'a> {
    pub device: Device<'a>,
    pub number: usize,
    pub random: Random,
    pub clock: Clock,
    pub key: Option<u8>,
    /// What it wants to send was not asked for since the last input.
    pub unpolled: bool,
    /// The inner packets that wait for a session with each other machine.
    pub waiting: [VecDeque<Vec<u8>>; MACHINES],
    pub beliefs: [Belief; MACHINES],
    /// When the device did a curve operation for somebody's message.
    pub worked: VecDeque<Instant>,
}

/// The private key that the others know a machine by.
pub const fn own_key(machine: usize) -> u8 {
    machine as u8 + 1
}

pub fn private(key: u8) -> PrivateKey {
    PrivateKey::from_bytes([key; 32]).unwrap()
}

pub fn public(machine: usize) -> PublicKey {
    private(own_key(machine)).public_key()
}

/// Where a machine is; above 0, where else a NAT lets it appear.
pub fn outer(machine: usize, rebinding: u8) -> SocketAddr {
    ([192, 0, 2, machine as u8 + 1], 5000 + u16::from(rebinding)).into()
}

pub fn inner(machine: usize) -> [u8; 4] {
    [10, 0, 0, machine as u8 + 1]
}

/// The first machine is the gateway of all others.
pub fn are_peers(one: usize, other: usize) -> bool {
    one != other && (one == 0 || other == 0)
}

impl<'a> Machine<'a> {
    pub fn new(number: usize, room: &'a mut Room) -> Self {
        let mut machine = Self {
            device: Device::new(room),
            number,
            random: Random { seeded: Seeded(number as u64), stuck: None },
            clock: Clock { secs: 1_700_000_000, fault: None, greatest: 1_700_000_000 },
            key: None,
            unpolled: false,
            waiting: Default::default(),
            beliefs: Default::default(),
            worked: VecDeque::new(),
        };
        machine.set_up(Instant::ZERO);
        machine
    }

    /// The power goes and comes: all is lost but the settings, and the clock is not earlier.
    pub fn reboot(&mut self, now: Instant, room: &'a mut Room) {
        self.device = Device::new(room);
        self.clock.secs = self.clock.greatest + 100_000;
        self.clock.fault = None;
        self.key = None;
        self.waiting = Default::default();
        for belief in &mut self.beliefs {
            belief.forget();
        }
        self.set_up(now);
    }

    fn set_up(&mut self, now: Instant) {
        // What an ESP32 can afford.
        self.device.set_handshake_budget(5);
        self.set_key(now, Some(own_key(self.number)));
        for other in 0..MACHINES {
            self.add(now, other);
        }
    }

    /// A key that is not the machine's own is one that no other machine knows.
    pub fn set_key(&mut self, now: Instant, key: Option<u8>) {
        self.device.set_private_key(now, key.map(private).as_ref());
        if self.key != key {
            self.key = key;
            for belief in &mut self.beliefs {
                belief.end();
            }
        }
    }

    pub fn add(&mut self, now: Instant, other: usize) {
        if !are_peers(self.number, other) || self.beliefs[other].id.is_some() {
            return;
        }
        let id = self.device.add_peer(&public(other)).expect("there is room for it");
        let belief = &mut self.beliefs[other];
        belief.id = Some(id);
        belief.endpoint = Some(outer(other, 0));
        self.device.set_endpoint(now, id, outer(other, 0));
        // To the gateway belongs every address, to the others their own.
        let len = if other == 0 { 24 } else { 32 };
        let [a, b, c, d] = inner(other);
        let prefix = format!("{a}.{b}.{c}.{d}/{len}").parse().unwrap();
        self.device.add_allowed_ip(id, prefix).expect("there is room for it");
    }

    pub fn set_preshared(&mut self, other: usize, key: [u8; 32]) {
        if let Some(id) = self.beliefs[other].id {
            self.device.set_preshared_key(id, &PresharedKey::from_bytes(key));
        }
    }

    /// The other machine that a peer of this one is.
    pub fn other(&self, id: wg_core::PeerId) -> usize {
        let is_it = |belief: &Belief| belief.id == Some(id);
        self.beliefs.iter().position(is_it).expect("a peer that exists")
    }
}
