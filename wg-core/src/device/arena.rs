//! Memory whose sizes are known only when the program runs.

use super::Device;
use crate::allowed_ips::{AllowedIps, Node, Routes};
use crate::identity::Identity;
use crate::index;
use crate::peer::Peer;
use crate::ratelimiter::{Block, RateLimiter};
use crate::schedule::Place;
use crate::storage::{Memory, Own};
use crate::table::Table;

/// Gives out memory, for [`Device::in_arena`].
///
/// It is for callers whose sizes are no constants of Rust, such as programs in C. They implement
/// it once, over a block of bytes; who has constants takes a [`Storage`](crate::Storage).
pub trait Arena<'a> {
    /// Memory for `count` rows, each as `vacant` makes it; `None` when there is not enough.
    ///
    /// An arena that only adds up what is asked of it answers with no rows.
    fn rows<T: 'a>(&mut self, count: usize, vacant: fn() -> T) -> Option<&'a mut [T]>;
}

impl<'a> Device<'a> {
    /// A device with room for `peers` peers and `routes` allowed IPs over all of them, with no key
    /// and no peers, up, in memory of `arena`. Both numbers are at least 1.
    ///
    /// It asks for the same rows whenever it is called with the same numbers, and for those with
    /// the greatest alignment first. `None` when the arena has not enough memory.
    pub fn in_arena(arena: &mut impl Arena<'a>, peers: usize, routes: usize) -> Option<Self> {
        if peers == 0 || routes == 0 {
            return None;
        }
        let (twice, sixfold) = (peers.checked_mul(2)?, peers.checked_mul(6)?);
        let peer_rows = arena.rows(peers, || Peer::VACANT)?;
        let sources = arena.rows(peers, || Block::BLANK)?;
        let schedule = arena.rows(peers, || Place::VACANT)?;
        let identity = arena.rows(1, || Identity::NONE)?;
        let receivers = arena.rows(sixfold, || index::Slot::VACANT)?;
        let keys = arena.rows(twice, || index::Slot::VACANT)?;
        let nodes = arena.rows(routes.checked_mul(2)?, || Node::EMPTY)?;
        let routes = arena.rows(peers, || Routes::NONE)?;
        Some(Self::from_memory(Memory {
            identity: Own::Borrowed(identity.first_mut()?),
            peers: Table::Borrowed(peer_rows),
            keys: Table::Borrowed(keys),
            receivers: Table::Borrowed(receivers),
            routes: AllowedIps::new(Table::Borrowed(nodes), Table::Borrowed(routes)),
            schedule: Table::Borrowed(schedule),
            limiter: RateLimiter::new(Table::Borrowed(sources)),
        }))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::boxed::Box;

    use super::*;
    use crate::{AddPeerError, PublicKey};

    /// Leaks, and fails after so many calls.
    struct Leaking {
        left: usize,
    }

    impl Arena<'static> for Leaking {
        fn rows<T>(&mut self, count: usize, vacant: fn() -> T) -> Option<&'static mut [T]> {
            self.left = self.left.checked_sub(1)?;
            Some(Box::leak((0..count).map(|_| vacant()).collect()))
        }
    }

    #[test]
    fn a_device_has_the_room_that_its_arena_was_asked_for() {
        let mut device = Device::in_arena(&mut Leaking { left: 8 }, 3, 2).unwrap();
        for number in 1..=3 {
            let peer = device.add_peer(&PublicKey::from_bytes([number; 32])).unwrap();
            let address = core::net::IpAddr::from([10, 0, 0, number]);
            let added = device.add_allowed_ip(peer, address.into());
            assert_eq!(added.is_ok(), number < 3);
        }
        let fourth = device.add_peer(&PublicKey::from_bytes([9; 32]));
        assert_eq!(fourth, Err(AddPeerError::Full));
    }

    #[test]
    fn an_arena_without_memory_gives_no_device() {
        for left in 0..8 {
            assert!(Device::in_arena(&mut Leaking { left }, 1, 1).is_none());
        }
        assert!(Device::in_arena(&mut Leaking { left: 8 }, 0, 1).is_none());
        assert!(Device::in_arena(&mut Leaking { left: 8 }, 1, 0).is_none());
        assert!(Device::in_arena(&mut Leaking { left: 8 }, usize::MAX, 1).is_none());
    }
}
