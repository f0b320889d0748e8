//! Lists through the rows of a table.

use crate::table::Row;

/// A row's place in one list: the row after it, or itself when it is the last.
#[derive(Clone, Copy)]
pub(crate) struct Link(Option<Row>);

impl Link {
    /// In no list.
    pub(crate) const LOOSE: Self = Self(None);

    /// Of the last row, which is `row` itself.
    pub(crate) const fn last(row: Row) -> Self {
        Self(Some(row))
    }

    /// Of a row before `next`.
    pub(crate) const fn before(next: Row) -> Self {
        Self(Some(next))
    }

    pub(crate) const fn is_loose(self) -> bool {
        self.0.is_none()
    }

    /// Takes the row out of its list; what it was linked to.
    pub(crate) const fn take(&mut self) -> Option<Row> {
        self.0.take()
    }
}
