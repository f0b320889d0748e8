//! First-in-first-out lists of peers that have something to say, linked through the peers.

use crate::link::Link;
use crate::peer::Peer;
use crate::table::{Row, Table};

/// Which of its two lists a [`Queue`] is.
#[derive(Clone, Copy)]
pub(crate) enum List {
    Transmit,
    Event,
}

/// Every operation takes constant time. A peer that is removed stays linked and is skipped by
/// whoever pops it, since it has nothing to say any more.
pub(crate) struct Queue {
    list: List,
    head: Option<Row>,
    tail: Option<Row>,
}

impl Queue {
    pub(crate) const fn new(list: List) -> Self {
        Self { list, head: None, tail: None }
    }

    /// Appends `slot` unless it is queued already.
    pub(crate) fn push(&mut self, peers: &mut Table<'_, Peer>, slot: u32) {
        let Some(row) = Row::new(slot) else { return };
        let Some(link) = self.link(peers, row) else { return };
        if !link.is_loose() {
            return;
        }
        *link = Link::last(row);
        match self.tail.replace(row).and_then(|tail| self.link(peers, tail)) {
            Some(tail) => *tail = Link::before(row),
            None => self.head = Some(row),
        }
    }

    /// Takes the first peer out.
    pub(crate) fn pop(&mut self, peers: &mut Table<'_, Peer>) {
        let Some(head) = self.head else { return };
        let Some(link) = self.link(peers, head) else { return };
        self.head = link.take().filter(|next| *next != head);
        if self.head.is_none() {
            self.tail = None;
        }
    }

    /// The first peer, still queued.
    pub(crate) fn peek(&self) -> Option<u32> {
        self.head.map(Row::number)
    }

    fn link<'t>(&self, peers: &'t mut Table<'_, Peer>, row: Row) -> Option<&'t mut Link> {
        let peer = peers.get_mut(row.number())?;
        Some(match self.list {
            List::Transmit => &mut peer.transmit_link,
            List::Event => &mut peer.event_link,
        })
    }
}
