//! The names of peers.

/// The name of a peer of one device, until it is removed. Never used again after that.
///
/// Names are ordered as [`Device::peers`](crate::Device::peers) gives them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PeerId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl PeerId {
    /// The name as a number, to carry it through a program that is not in Rust. Never `u64::MAX`,
    /// which no device has a peer for.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The name that was this number. Any other number is a name that no peer has, or another's.
    pub const fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}
