//! Which peer is due first: an indexed binary heap.
//!
//! An entry holds a lower bound of its peer's next deadline. A timer that moves to a later
//! time, as timers do with nearly every packet, writes nothing here; the bound is corrected
//! when it comes to the root.

use crate::table::{Row, Table};
use crate::time::Instant;

/// The bound of a peer with no deadline.
pub(crate) const NEVER: Instant = Instant::MAX;

/// A place in the heap, and the place of one peer in it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// `None` is never.
    bound: Option<Instant>,
    peer: u32,
    /// Where in the heap the peer is whose number this place has.
    position: Option<Row>,
}

impl Place {
    pub(crate) const VACANT: Self = Self { bound: None, peer: 0, position: None };
}

/// One entry a peer; peers are small numbers.
pub(crate) struct Schedule<'a> {
    places: Table<'a, Place>,
    len: u32,
}

impl<'a> Schedule<'a> {
    pub(crate) const fn new(places: Table<'a, Place>) -> Self {
        Self { places, len: 0 }
    }

    /// Adds a peer that has no deadline yet; false without room. O(1).
    pub(crate) fn add(&mut self, peer: u32) -> bool {
        while self.places.len() <= peer.max(self.len) {
            if !self.places.grow() {
                return false;
            }
        }
        self.put(self.len, NEVER, peer);
        self.len = self.len.saturating_add(1);
        true
    }

    /// Removes a peer. O(log peers).
    pub(crate) fn remove(&mut self, peer: u32) {
        let Some(position) = self.position(peer) else { return };
        if let Some(place) = self.places.get_mut(peer) {
            place.position = None;
        }
        self.len = self.len.saturating_sub(1);
        if position == self.len {
            return;
        }
        let (bound, last) = self.at(self.len);
        self.put(position, bound, last);
        self.sift_up(position);
        self.sift_down(self.position(last).unwrap_or(position));
    }

    /// The peer is due at `at`, or earlier as was known before. O(log peers), and O(1) when
    /// nothing has to move.
    pub(crate) fn lower(&mut self, peer: u32, at: Instant) {
        let Some(position) = self.position(peer) else { return };
        if let Some(place) = self.places.get_mut(position)
            && place.bound.is_none_or(|bound| at < bound)
        {
            place.bound = Some(at);
            self.sift_up(position);
        }
    }

    /// The least bound and its peer. O(1).
    pub(crate) fn root(&self) -> Option<(Instant, u32)> {
        (self.len > 0).then(|| self.at(0)).filter(|(bound, _)| *bound < NEVER)
    }

    /// Raises the root's bound to what is true. O(log peers).
    pub(crate) fn correct_root(&mut self, actual: Instant) {
        if let Some(place) = self.places.get_mut(0) {
            place.bound = Some(actual);
            self.sift_down(0);
        }
    }

    fn sift_up(&mut self, mut position: u32) {
        let (bound, peer) = self.at(position);
        while position > 0 {
            let parent = position.saturating_sub(1) / 2;
            let (parent_bound, parent_peer) = self.at(parent);
            if parent_bound <= bound {
                break;
            }
            self.put(position, parent_bound, parent_peer);
            position = parent;
        }
        self.put(position, bound, peer);
    }

    fn sift_down(&mut self, mut position: u32) {
        let (bound, peer) = self.at(position);
        loop {
            let left = position.saturating_mul(2).saturating_add(1);
            let right = left.saturating_add(1);
            if left >= self.len {
                break;
            }
            let child =
                if right < self.len && self.at(right).0 < self.at(left).0 { right } else { left };
            let (child_bound, child_peer) = self.at(child);
            if bound <= child_bound {
                break;
            }
            self.put(position, child_bound, child_peer);
            position = child;
        }
        self.put(position, bound, peer);
    }

    fn at(&self, position: u32) -> (Instant, u32) {
        self.places
            .get(position)
            .map_or((NEVER, 0), |place| (place.bound.unwrap_or(NEVER), place.peer))
    }

    fn put(&mut self, position: u32, bound: Instant, peer: u32) {
        if let Some(place) = self.places.get_mut(position) {
            place.bound = Some(bound);
            place.peer = peer;
        }
        if let Some(place) = self.places.get_mut(peer) {
            place.position = Row::new(position);
        }
    }

    fn position(&self, peer: u32) -> Option<u32> {
        self.places.get(peer)?.position.map(Row::number)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_root_is_the_least_bound_of_all(
            operations in prop::collection::vec((0u8..4, 0u32..12, 0u64..50), 0..300),
        ) {
            let mut places = [Place::VACANT; 12];
            let mut schedule = Schedule::new(Table::Borrowed(&mut places));
            let mut naive: BTreeMap<u32, Instant> = BTreeMap::new();
            for (operation, peer, micros) in operations {
                let at = Instant::from_micros(micros);
                match operation {
                    0 if !naive.contains_key(&peer) => {
                        prop_assert!(schedule.add(peer));
                        naive.insert(peer, NEVER);
                    }
                    1 => {
                        schedule.remove(peer);
                        naive.remove(&peer);
                    }
                    2 => {
                        schedule.lower(peer, at);
                        naive.entry(peer).and_modify(|bound| *bound = at.min(*bound));
                    }
                    3 => if let Some((bound, peer)) = schedule.root() {
                        let later = bound.max(at);
                        schedule.correct_root(later);
                        naive.insert(peer, later);
                    },
                    _ => {}
                }
                let least = naive.values().copied().min().filter(|bound| *bound < NEVER);
                prop_assert_eq!(schedule.root().map(|(bound, _)| bound), least);
                if let Some((bound, peer)) = schedule.root() {
                    prop_assert_eq!(naive.get(&peer), Some(&bound));
                }
            }
        }
    }
}
