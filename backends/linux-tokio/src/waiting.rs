//! Packets that wait for a session.

use std::collections::{HashMap, VecDeque};

use wg_core::PeerId;

/// As many packets wait for one peer before the oldest goes; the kernel keeps as many.
const PER_PEER: usize = 128;

/// Packets that came before there was a session to send them by, oldest first.
#[derive(Default, Debug)]
pub(crate) struct Waiting {
    queues: HashMap<PeerId, VecDeque<Box<[u8]>>>,
    dropped: u64,
}

impl Waiting {
    /// Keeps a packet, at the price of the oldest one when there are too many.
    pub(crate) fn push(&mut self, peer: PeerId, packet: &[u8]) {
        let queue = self.queues.entry(peer).or_default();
        if queue.len() == PER_PEER {
            queue.pop_front();
            self.dropped += 1;
        }
        queue.push_back(packet.into());
    }

    /// Takes all that waits for a peer, in order.
    pub(crate) fn take(&mut self, peer: PeerId) -> VecDeque<Box<[u8]>> {
        self.queues.remove(&peer).unwrap_or_default()
    }

    /// Drops all that waits for a peer, and says how many that were.
    pub(crate) fn purge(&mut self, peer: PeerId) -> usize {
        let purged = self.take(peer).len();
        self.dropped += purged as u64;
        purged
    }

    /// Drops what waits for peers that are not to be `kept`.
    pub(crate) fn retain(&mut self, kept: impl Fn(PeerId) -> bool) {
        let dropped = &mut self.dropped;
        self.queues.retain(|peer, queue| {
            let stays = kept(*peer);
            *dropped += if stays { 0 } else { queue.len() as u64 };
            stays
        });
    }

    /// How many packets wait, for all peers.
    pub(crate) fn count(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    /// How many packets waited in vain, for all peers.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(key: u8) -> PeerId {
        let mut device = wg_core::Device::growing();
        let mut id = None;
        for key in 0..=key {
            id = device.add_peer(&wg_core::PublicKey::from_bytes([key; 32])).ok();
        }
        id.unwrap()
    }

    #[test]
    fn packets_leave_in_order_and_the_oldest_goes_first() {
        let (one, other) = (peer(0), peer(1));
        let mut waiting = Waiting::default();
        for byte in 0..130 {
            waiting.push(one, &[byte]);
        }
        waiting.push(other, &[9, 9]);
        assert_eq!(waiting.dropped(), 2);
        let left: Vec<_> = waiting.take(one).into_iter().map(|packet| packet[0]).collect();
        assert_eq!(left, (2..130).collect::<Vec<_>>());
        assert_eq!(waiting.take(one).len(), 0);
        assert_eq!(waiting.take(other).len(), 1);
    }

    #[test]
    fn a_purge_counts_what_it_drops() {
        let one = peer(0);
        let mut waiting = Waiting::default();
        waiting.push(one, &[1]);
        waiting.push(one, &[2]);
        assert_eq!(waiting.purge(one), 2);
        assert_eq!(waiting.purge(one), 0);
        assert_eq!(waiting.dropped(), 2);
    }
}
