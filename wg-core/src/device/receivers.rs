//! Receiver indices: random numbers, unique over all peers, that name a handshake or a session
//! of ours to the other side.

use rand_core::CryptoRng;

use crate::index::IndexTable;
use crate::keypair::Slot;

/// What a receiver index names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiver {
    Handshake,
    Keypair(Slot),
}

impl Receiver {
    const BITS: u32 = 2;

    const fn code(self) -> u32 {
        match self {
            Self::Keypair(Slot::A) => 0,
            Self::Keypair(Slot::B) => 1,
            Self::Handshake => 2,
        }
    }

    const fn decode(code: u32) -> Self {
        match code & 3 {
            0 => Self::Keypair(Slot::A),
            1 => Self::Keypair(Slot::B),
            _ => Self::Handshake,
        }
    }
}

/// The index of all receivers of a device. A random number is its own hash.
pub(super) struct Receivers<'a> {
    table: IndexTable<'a>,
}

impl<'a> Receivers<'a> {
    pub(super) const fn new(table: IndexTable<'a>) -> Self {
        Self { table }
    }

    pub(super) fn find(&self, index: u32) -> Option<(u32, Receiver)> {
        let value = self.table.find(index, |_| true)?;
        Some((value >> Receiver::BITS, Receiver::decode(value)))
    }

    /// Gives `peer` a new index.
    pub(super) fn claim(&mut self, rng: &mut dyn CryptoRng, peer: u32, receiver: Receiver) -> u32 {
        let mut index = rng.next_u32();
        // Once around at most, and hardly ever more than one step: the table is far smaller
        // than the numbers.
        while self.find(index).is_some() {
            index = index.wrapping_add(1);
        }
        self.set(index, peer, receiver);
        index
    }

    /// What the index named so far is now named by nothing.
    pub(super) fn release(&mut self, index: u32) {
        if let Some(value) = self.table.find(index, |_| true) {
            self.table.remove(index, value);
        }
    }

    /// A keypair inherits the index of the handshake that it came from.
    pub(super) fn inherit(&mut self, index: u32, peer: u32, slot: Slot) {
        self.release(index);
        self.set(index, peer, Receiver::Keypair(slot));
    }

    fn set(&mut self, index: u32, peer: u32, receiver: Receiver) {
        // The table has room for six receivers a peer, which never has more than four.
        let _ = self.table.insert(index, peer << Receiver::BITS | receiver.code());
    }
}
