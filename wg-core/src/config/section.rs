//! The sections of a configuration.

/// The two kinds of sections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Section {
    /// This side: `[Interface]`, exactly once.
    Interface,
    /// One other side: `[Peer]`, any number of times.
    Peer,
}
