//! A hash table whose keys bring their own hash: receiver indices are random numbers, and
//! public keys are hashed under a key of the device.

use crate::table::{Row, Table};

/// A place for one entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    hash: u32,
    value: Option<Row>,
}

impl Slot {
    pub(crate) const VACANT: Self = Self { hash: 0, value: None };
}

/// What is in a slot.
#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    value: u32,
}

/// Open addressing with linear probing. A removal moves later entries back, so there are no
/// tombstones and a lookup ends at the first vacant slot: after a handful of probes when no
/// more than half of the slots are taken.
///
/// Hashes may repeat; a value is in the table once at most for a hash.
pub(crate) struct IndexTable<'a> {
    slots: Table<'a, Slot>,
    taken: u32,
}

/// No room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<'a> IndexTable<'a> {
    pub(crate) const fn new(slots: Table<'a, Slot>) -> Self {
        Self { slots, taken: 0 }
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        for at in 0..self.slots.len() {
            self.set(at, None);
        }
        self.taken = 0;
    }

    /// The first value with this hash that `is_it`.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        for _ in 0..self.slots.len() {
            let entry = self.entry(at)?;
            if entry.hash == hash && is_it(entry.value) {
                return Some(entry.value);
            }
            at = self.after(at);
        }
        None
    }

    pub(crate) fn insert(&mut self, hash: u32, value: u32) -> Result<(), Full> {
        if self.taken >= self.slots.len() / 2 && !self.grow() && self.taken >= self.slots.len() {
            return Err(Full);
        }
        self.place(Entry { hash, value });
        self.taken = self.taken.saturating_add(1);
        Ok(())
    }

    pub(crate) fn remove(&mut self, hash: u32, value: u32) {
        let Some(mut hole) = self.position(hash, value) else { return };
        self.set(hole, None);
        self.taken = self.taken.saturating_sub(1);

        // Whatever follows without a gap, and could not be at home because of what was in the
        // hole, moves into it.
        let mut at = self.after(hole);
        for _ in 0..self.slots.len() {
            let Some(entry) = self.entry(at) else { return };
            if self.distance(self.home(entry.hash), at) >= self.distance(hole, at) {
                self.set(hole, Some(entry));
                self.set(at, None);
                hole = at;
            }
            at = self.after(at);
        }
    }

    fn place(&mut self, entry: Entry) {
        let mut at = self.home(entry.hash);
        for _ in 0..self.slots.len() {
            if self.entry(at).is_none() {
                self.set(at, Some(entry));
                return;
            }
            at = self.after(at);
        }
    }

    fn position(&self, hash: u32, value: u32) -> Option<u32> {
        let mut at = self.home(hash);
        for _ in 0..self.slots.len() {
            let entry = self.entry(at)?;
            if entry.hash == hash && entry.value == value {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    /// Doubles the table where it can grow, and puts every entry to its new home.
    fn grow(&mut self) -> bool {
        #[cfg(feature = "alloc")]
        {
            let before = self.slots.len();
            if !self.slots.grow() {
                return false;
            }
            while self.slots.len() < before.saturating_mul(2) && self.slots.grow() {}
            let entries: alloc::vec::Vec<Entry> =
                (0..before).filter_map(|at| self.entry(at)).collect();
            (0..before).for_each(|at| self.set(at, None));
            for entry in entries {
                self.place(entry);
            }
            true
        }
        #[cfg(not(feature = "alloc"))]
        false
    }

    fn entry(&self, at: u32) -> Option<Entry> {
        #[cfg(test)]
        PROBES.set(PROBES.get().wrapping_add(1));
        let slot = self.slots.get(at)?;
        Some(Entry { hash: slot.hash, value: slot.value?.number() })
    }

    fn set(&mut self, at: u32, entry: Option<Entry>) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = entry.map_or(Slot::VACANT, |entry| Slot {
                hash: entry.hash,
                value: Row::new(entry.value),
            });
        }
    }

    /// Scales the hash to the number of slots: the high bits decide.
    fn home(&self, hash: u32) -> u32 {
        ((u64::from(hash) * u64::from(self.slots.len())) >> 32) as u32
    }

    fn after(&self, at: u32) -> u32 {
        let next = at.saturating_add(1);
        if next < self.slots.len() { next } else { 0 }
    }

    /// Steps from `from` forward to `to`.
    fn distance(&self, from: u32, to: u32) -> u32 {
        if to >= from {
            to.saturating_sub(from)
        } else {
            to.saturating_add(self.slots.len()).saturating_sub(from)
        }
    }
}

#[cfg(test)]
extern crate std;

#[cfg(test)]
std::thread_local! {
    /// The slots that this thread has looked at, in all tables.
    pub(crate) static PROBES: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {

    use std::collections::HashMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn found(table: &IndexTable<'_>, hash: u32) -> Vec<u32> {
        let mut values = Vec::new();
        table.find(hash, |value| {
            values.push(value);
            false
        });
        values.sort_unstable();
        values
    }

    fn behaves_like_a_map(mut table: IndexTable<'_>, operations: Vec<(bool, u8, u8)>) {
        // Few hashes, at both ends of the table, so that runs wrap and collide.
        let hash_of = |n: u8| u32::from(n % 8).wrapping_sub(4) << 28 | u32::from(n);
        let mut map: HashMap<u32, Vec<u32>> = HashMap::new();
        for (insert, n, value) in operations {
            let (hash, value) = (hash_of(n), u32::from(value));
            let values = map.entry(hash).or_default();
            if insert && !values.contains(&value) {
                if table.insert(hash, value).is_ok() {
                    values.push(value);
                    values.sort_unstable();
                }
            } else if !insert {
                table.remove(hash, value);
                values.retain(|v| *v != value);
            }
            for (hash, values) in &map {
                assert_eq!(&found(&table, *hash), values);
            }
        }
    }

    proptest! {
        #[test]
        fn a_full_table_behaves_like_a_map(
            operations in prop::collection::vec((any::<bool>(), 0u8..16, 0u8..3), 0..200),
        ) {
            let mut slots = [Slot::VACANT; 16];
            behaves_like_a_map(IndexTable::new(Table::Borrowed(&mut slots)), operations);
        }

        #[cfg(feature = "alloc")]
        #[test]
        fn a_growing_table_behaves_like_a_map(
            operations in prop::collection::vec((any::<bool>(), any::<u8>(), any::<u8>()), 0..300),
        ) {
            let slots = Table::growing(|| Slot::VACANT);
            behaves_like_a_map(IndexTable::new(slots), operations);
        }
    }

    #[test]
    fn a_full_table_refuses_and_a_removal_makes_room() {
        let mut slots = [Slot::VACANT; 4];
        let mut table = IndexTable::new(Table::Borrowed(&mut slots));
        assert!((0..4).all(|value| table.insert(7, value).is_ok()));
        assert_eq!(table.insert(7, 4), Err(Full));
        table.remove(7, 2);
        assert_eq!(table.insert(9, 4), Ok(()));
        assert_eq!(table.find(9, |_| true), Some(4));
        assert_eq!(table.find(7, |value| value == 3), Some(3));
    }
}
