//! One peer: all that the protocol remembers of it, and nothing of the tables it is found by.

use crate::cookie::Jar;
use crate::endpoint::Whereabouts;
use crate::event::News;
use crate::handshake::{Initiator, Remote};
use crate::keypair::Keypairs;
use crate::keys::{PresharedKey, PublicKey};
use crate::link::Link;
use crate::refusal::{Refusal, Tally};
use crate::secret::Secret;
use crate::table::Row;
use crate::tai64n::Tai64n;
use crate::time::Instant;
use crate::timers::Timers;

/// The slot of a peer, taken or vacant.
pub(crate) struct Peer {
    pub(crate) occupied: bool,
    /// It is among those that stay, while others are removed.
    pub(crate) stays: bool,
    /// Counts the peers that had this slot.
    pub(crate) generation: u32,
    /// The next vacant slot after this one, when vacant.
    pub(crate) next_vacant: Option<Row>,

    pub(crate) remote: Remote,
    pub(crate) initiator: Initiator,
    /// The index of the handshake that `initiator` belongs to, until it ends.
    pub(crate) handshake: Option<u32>,
    pub(crate) keypairs: Keypairs,
    pub(crate) jar: Jar,

    pub(crate) whereabouts: Whereabouts,
    pub(crate) timers: Timers,
    /// Seconds, 0 is off.
    pub(crate) persistent_keepalive: u16,
    /// The greatest timestamp accepted, zero for none. It outlives everything but the peer.
    pub(crate) greatest_timestamp: Tai64n,
    pub(crate) last_initiation_accepted: Option<Instant>,
    pub(crate) last_sent_handshake: Option<Instant>,
    pub(crate) last_handshake: Option<Instant>,

    /// What is to be sent by `poll_transmit`.
    pub(crate) wants: Wants,
    /// What `poll_event` will tell.
    pub(crate) news: News,
    pub(crate) transmit_link: Link,
    pub(crate) event_link: Link,

    /// Why no initiation leaves, or that none was answered.
    pub(crate) obstacle: Option<Refusal>,
    pub(crate) refusals: Tally,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// What a peer has to send as soon as somebody asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) initiation: bool,
    pub(crate) keepalive: bool,
}

impl Wants {
    pub(crate) const NOTHING: Self = Self { initiation: false, keepalive: false };

    pub(crate) const fn take(&mut self) -> Self {
        core::mem::replace(self, Self::NOTHING)
    }
}

impl Peer {
    pub(crate) const VACANT: Self = Self {
        occupied: false,
        stays: false,
        generation: 0,
        next_vacant: None,
        remote: Remote {
            public: PublicKey::from_bytes([0; 32]),
            preshared: PresharedKey::NONE,
            static_static: Secret::ZERO,
        },
        initiator: Initiator::BLANK,
        handshake: None,
        keypairs: Keypairs::NONE,
        jar: Jar::EMPTY,
        whereabouts: Whereabouts::UNKNOWN,
        timers: Timers::STOPPED,
        persistent_keepalive: 0,
        greatest_timestamp: Tai64n::ZERO,
        last_initiation_accepted: None,
        last_sent_handshake: None,
        last_handshake: None,
        wants: Wants::NOTHING,
        news: News::NONE,
        transmit_link: Link::LOOSE,
        event_link: Link::LOOSE,
        obstacle: None,
        refusals: Tally::NONE,
        received_bytes: 0,
        sent_bytes: 0,
    };

    /// Turns a vacant slot into a peer about which nothing is known but its key.
    pub(crate) fn occupy(&mut self, public: PublicKey) {
        self.occupied = true;
        self.remote.public = public;
    }

    /// Vacates the slot and wipes it in place; its places in lists stay as they are.
    ///
    /// Its indices, routes and names are the device's to remove, before.
    pub(crate) fn vacate(&mut self) {
        self.occupied = false;
        self.generation = self.generation.wrapping_add(1);
        self.remote.public = PublicKey::from_bytes([0; 32]);
        self.remote.preshared = PresharedKey::NONE;
        self.remote.static_static.wipe();
        self.initiator.wipe();
        self.handshake = None;
        self.keypairs.wipe();
        self.jar.wipe();
        self.whereabouts = Whereabouts::UNKNOWN;
        self.timers = Timers::STOPPED;
        self.persistent_keepalive = 0;
        self.greatest_timestamp = Tai64n::ZERO;
        self.last_initiation_accepted = None;
        self.last_sent_handshake = None;
        self.last_handshake = None;
        self.wants = Wants::NOTHING;
        self.news = News::NONE;
        self.obstacle = None;
        self.refusals = Tally::NONE;
        self.received_bytes = 0;
        self.sent_bytes = 0;
    }

    /// Vacates a slot that is in no list any more.
    pub(crate) fn blank(&mut self) {
        self.vacate();
        self.next_vacant = None;
        self.transmit_link = Link::LOOSE;
        self.event_link = Link::LOOSE;
    }

    /// What bringing the device down does to a peer whose keys are wiped: nothing is due.
    pub(crate) fn stop(&mut self) {
        self.timers = Timers::STOPPED;
        self.wants = Wants::NOTHING;
        self.last_sent_handshake = None;
        self.obstacle = None;
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        self.received_bytes = self.received_bytes.wrapping_add(bytes as u64);
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent_bytes = self.sent_bytes.wrapping_add(bytes as u64);
    }
}
