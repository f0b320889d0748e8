//! The memory of a device, which belongs to the caller.

mod table;

pub(crate) use table::Table;
