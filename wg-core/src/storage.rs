//! The memory of a device, which belongs to the caller.

use core::ops::{Deref, DerefMut};

use crate::allowed_ips::{AllowedIps, Node, Routes};
use crate::identity::Identity;
use crate::index;
use crate::peer::Peer;
use crate::ratelimiter::{Block, RateLimiter};
use crate::schedule::Place;
use crate::table::Table;

/// Room for a device with `PEERS` peers and `ROUTES` allowed IPs over all of them.
///
/// It fits a `static`, so that a board needs no allocator; a new one is all zeros, so that the
/// static costs no flash:
///
/// ```
/// use wg_core::Storage;
///
/// static STORAGE: std::sync::Mutex<Storage<1, 2>> = std::sync::Mutex::new(Storage::new());
/// ```
///
/// `cargo xtask size` prints what it takes. Both numbers are at least 1.
pub struct Storage<const PEERS: usize, const ROUTES: usize> {
    identity: Identity,
    peers: [Peer; PEERS],
    // Hash tables that are at most half full, but while a handshake replaces a session.
    keys: [[index::Slot; 2]; PEERS],
    receivers: [[index::Slot; 6]; PEERS],
    nodes: [[Node; 2]; ROUTES],
    routes: [Routes; PEERS],
    schedule: [Place; PEERS],
    sources: [Block; PEERS],
}

impl<const PEERS: usize, const ROUTES: usize> Storage<PEERS, ROUTES> {
    /// Blank memory.
    pub const fn new() -> Self {
        const { assert!(PEERS > 0 && ROUTES > 0, "a device has room for a peer and a route") }
        Self {
            identity: Identity::NONE,
            peers: [const { Peer::VACANT }; PEERS],
            keys: [[index::Slot::VACANT; 2]; PEERS],
            receivers: [[index::Slot::VACANT; 6]; PEERS],
            nodes: [[Node::EMPTY; 2]; ROUTES],
            routes: [Routes::NONE; PEERS],
            schedule: [Place::VACANT; PEERS],
            sources: [Block::BLANK; PEERS],
        }
    }

    /// Lends it all to a device, blank even after another one used it.
    pub(crate) fn memory(&mut self) -> Memory<'_> {
        self.identity.wipe();
        self.peers.iter_mut().for_each(Peer::blank);
        self.keys.as_flattened_mut().fill(index::Slot::VACANT);
        self.receivers.as_flattened_mut().fill(index::Slot::VACANT);
        self.nodes.as_flattened_mut().fill(Node::EMPTY);
        self.routes.fill(Routes::NONE);
        self.schedule.fill(Place::VACANT);
        self.sources.fill(Block::BLANK);
        Memory {
            identity: Own::Borrowed(&mut self.identity),
            peers: Table::Borrowed(&mut self.peers),
            keys: Table::Borrowed(self.keys.as_flattened_mut()),
            receivers: Table::Borrowed(self.receivers.as_flattened_mut()),
            routes: AllowedIps::new(
                Table::Borrowed(self.nodes.as_flattened_mut()),
                Table::Borrowed(&mut self.routes),
            ),
            schedule: Table::Borrowed(&mut self.schedule),
            limiter: RateLimiter::new(Table::Borrowed(&mut self.sources)),
        }
    }
}

/// A [`Storage`] taken apart, whatever its size.
pub(crate) struct Memory<'a> {
    pub(crate) identity: Own<'a, Identity>,
    pub(crate) peers: Table<'a, Peer>,
    pub(crate) keys: Table<'a, index::Slot>,
    pub(crate) receivers: Table<'a, index::Slot>,
    pub(crate) routes: AllowedIps<'a>,
    pub(crate) schedule: Table<'a, Place>,
    pub(crate) limiter: RateLimiter<'a>,
}

#[cfg(feature = "alloc")]
impl Memory<'static> {
    /// Memory that grows on the heap, empty.
    pub(crate) fn growing() -> Self {
        use alloc::boxed::Box;

        Self {
            identity: Own::Boxed(Box::new(Identity::NONE)),
            peers: Table::growing(|| Peer::VACANT),
            keys: Table::growing(|| index::Slot::VACANT),
            receivers: Table::growing(|| index::Slot::VACANT),
            routes: AllowedIps::new(
                Table::growing(|| Node::EMPTY),
                Table::growing(|| Routes::NONE),
            ),
            schedule: Table::growing(|| Place::VACANT),
            limiter: RateLimiter::new(Table::growing(|| Block::BLANK)),
        }
    }
}

/// One thing that stays where it is, in the caller's memory or on the heap.
pub(crate) enum Own<'a, T> {
    Borrowed(&'a mut T),
    #[cfg(feature = "alloc")]
    Boxed(alloc::boxed::Box<T>),
}

impl<T> Deref for Own<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Borrowed(it) => it,
            #[cfg(feature = "alloc")]
            Self::Boxed(it) => it,
        }
    }
}

impl<T> DerefMut for Own<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::Borrowed(it) => it,
            #[cfg(feature = "alloc")]
            Self::Boxed(it) => it,
        }
    }
}
