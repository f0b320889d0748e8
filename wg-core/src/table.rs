//! Rows that belong to the caller, or that grow on the heap.

#[cfg(feature = "alloc")]
use alloc::{boxed::Box, vec::Vec};
use core::num::NonZeroU32;

/// Rows numbered from 0. A row never moves: the heap's rows live in chunks that stay where
/// they are, because a move would leave a copy of the secrets in them behind.
pub(crate) enum Table<'a, T> {
    /// The caller's memory, all there will ever be.
    Borrowed(&'a mut [T]),
    /// Memory that grows by a chunk at a time.
    #[cfg(feature = "alloc")]
    Growing { chunks: Vec<Box<[T; CHUNK]>>, vacant: fn() -> T },
}

/// The number of a row, kept as one more so that an `Option` of it is four bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row(NonZeroU32);

impl Row {
    /// `None` for the greatest number, which no table has a row for.
    pub(crate) fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number.wrapping_add(1)).map(Self)
    }

    pub(crate) fn number(self) -> u32 {
        self.0.get().wrapping_sub(1)
    }
}

/// Rows in a chunk. A power of two, so that finding a row is a shift and a mask.
#[cfg(feature = "alloc")]
const CHUNK: usize = 64;

#[cfg(feature = "alloc")]
impl<T> Table<'_, T> {
    /// No rows yet; each begins as `vacant` makes it.
    pub(crate) const fn growing(vacant: fn() -> T) -> Self {
        Self::Growing { chunks: Vec::new(), vacant }
    }
}

impl<T> Table<'_, T> {
    /// How many rows there are now.
    pub(crate) fn len(&self) -> u32 {
        let rows = match self {
            Self::Borrowed(rows) => rows.len(),
            #[cfg(feature = "alloc")]
            Self::Growing { chunks, .. } => chunks.len().saturating_mul(CHUNK),
        };
        u32::try_from(rows).unwrap_or(u32::MAX)
    }

    pub(crate) fn get(&self, row: u32) -> Option<&T> {
        let row = row as usize;
        match self {
            Self::Borrowed(rows) => rows.get(row),
            #[cfg(feature = "alloc")]
            Self::Growing { chunks, .. } => chunks.get(row / CHUNK)?.get(row % CHUNK),
        }
    }

    pub(crate) fn get_mut(&mut self, row: u32) -> Option<&mut T> {
        let row = row as usize;
        match self {
            Self::Borrowed(rows) => rows.get_mut(row),
            #[cfg(feature = "alloc")]
            Self::Growing { chunks, .. } => chunks.get_mut(row / CHUNK)?.get_mut(row % CHUNK),
        }
    }

    /// Whether rows can be added.
    pub(crate) const fn grows(&self) -> bool {
        match self {
            Self::Borrowed(_) => false,
            #[cfg(feature = "alloc")]
            Self::Growing { .. } => true,
        }
    }

    /// Adds rows; false when there can be no more.
    pub(crate) fn grow(&mut self) -> bool {
        match self {
            Self::Borrowed(_) => false,
            #[cfg(feature = "alloc")]
            Self::Growing { chunks, vacant } => {
                let rows: Box<[T]> = (0..CHUNK).map(|_| vacant()).collect();
                let chunk = rows.try_into();
                chunk.map(|chunk| chunks.push(chunk)).is_ok()
            }
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn growing_moves_no_row() {
        let mut table = Table::growing(|| 0u8);
        assert!(table.get(0).is_none() && table.len() == 0);
        assert!(table.grow());
        let first = core::ptr::from_ref(table.get(0).unwrap());
        assert!((0..100).all(|_| table.grow()));
        assert_eq!(table.len(), 101 * 64);
        assert_eq!(first, core::ptr::from_ref(table.get(0).unwrap()));
        *table.get_mut(6463).unwrap() = 7;
        assert_eq!(table.get(6463), Some(&7));
        assert!(table.get(6464).is_none());
    }
}
