//! First-in-first-out lists of peers that have something to say, linked through the peers.

use crate::peer::Peer;
use crate::storage::{Row, Table};

/// Which of its two lists a [`Queue`] is.
#[derive(Clone, Copy)]
pub(crate) enum List {
    Transmit,
    Event,
}

/// A peer's place in one list.
pub(crate) struct Link {
    queued: bool,
    next: Option<Row>,
}

impl Link {
    pub(crate) const LOOSE: Self = Self { queued: false, next: None };
}

/// Every operation takes constant time. A peer that is removed stays linked and is skipped by
/// whoever pops it, since it has nothing to say any more.
pub(crate) struct Queue {
    list: List,
    head: Option<u32>,
    tail: Option<u32>,
}

impl Queue {
    pub(crate) const fn new(list: List) -> Self {
        Self { list, head: None, tail: None }
    }

    /// Appends `slot` unless it is queued already.
    pub(crate) fn push(&mut self, peers: &mut Table<'_, Peer>, slot: u32) {
        let Some(link) = self.link(peers, slot) else { return };
        if link.queued {
            return;
        }
        *link = Link { queued: true, next: None };
        match self.tail.replace(slot).and_then(|tail| self.link(peers, tail)) {
            Some(tail) => tail.next = Row::new(slot),
            None => self.head = Some(slot),
        }
    }

    pub(crate) fn pop(&mut self, peers: &mut Table<'_, Peer>) -> Option<u32> {
        let slot = self.head?;
        let link = self.link(peers, slot)?;
        let next = link.next.map(Row::number);
        *link = Link::LOOSE;
        self.head = next;
        if next.is_none() {
            self.tail = None;
        }
        Some(slot)
    }

    /// The first peer, still queued.
    pub(crate) const fn peek(&self) -> Option<u32> {
        self.head
    }

    fn link<'t>(&self, peers: &'t mut Table<'_, Peer>, slot: u32) -> Option<&'t mut Link> {
        let peer = peers.get_mut(slot)?;
        Some(match self.list {
            List::Transmit => &mut peer.transmit_link,
            List::Event => &mut peer.event_link,
        })
    }
}
