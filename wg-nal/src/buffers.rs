//! The caller's memory for packets, and the order in which those that wait go out.

use core::net::SocketAddr;

use wg_core::{DATA_HEADER_LEN, Instant, PeerId, TAG_LEN};
use zerocopy::{FromBytes, IntoBytes};

/// Room for padding to a multiple of 16, whatever the engine's MTU is set to.
const PADDING: usize = 16;
/// The largest payload of UDP over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;

/// Room for the packet that is worked on, and for `WAITING` packets that cannot go yet.
///
/// `MTU` is the largest inner packet, from 68 to 65459 bytes; `WAITING` is at least 1, because
/// the first packet to a peer waits for the session that it asks for. About
/// `(MTU + 48) * (WAITING + 1) + 64 * WAITING` bytes of RAM. It fits a `static`:
///
/// ```
/// use wg_nal::Buffers;
///
/// static BUFFERS: std::sync::Mutex<Buffers> = std::sync::Mutex::new(Buffers::new());
/// ```
pub struct Buffers<const MTU: usize = 1420, const WAITING: usize = 4> {
    pub(crate) work: Frame<MTU>,
    pub(crate) queue: Queue<MTU, WAITING>,
}

impl<const MTU: usize, const WAITING: usize> Buffers<MTU, WAITING> {
    /// Blank memory.
    pub const fn new() -> Self {
        const {
            assert!(MTU >= 68, "IPv4 needs an MTU of 68, IPv6 of 1280");
            assert!(
                MTU <= LARGEST_DATAGRAM - DATA_HEADER_LEN - PADDING - TAG_LEN,
                "the largest packet has to fit a UDP datagram",
            );
            assert!(WAITING > 0, "the first packet waits for the session that it asks for");
        }
        Self {
            work: Frame::BLANK,
            queue: Queue { kept: [const { Kept::VACANT }; WAITING], next_turn: 0 },
        }
    }
}

/// A packet in the middle of the room that the cipher needs around it. Aligned to 4 bytes,
/// which is faster on 32-bit targets.
#[repr(align(4))]
pub(crate) struct Frame<const MTU: usize>(Room<MTU>);

#[derive(FromBytes, IntoBytes)]
#[repr(C)]
struct Room<const MTU: usize> {
    head: [u8; DATA_HEADER_LEN],
    packet: [u8; MTU],
    tail: [u8; PADDING + TAG_LEN],
}

impl<const MTU: usize> Frame<MTU> {
    const BLANK: Self =
        Self(Room { head: [0; DATA_HEADER_LEN], packet: [0; MTU], tail: [0; PADDING + TAG_LEN] });

    /// All of it: head, packet and tail.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }

    /// Puts a packet where the engine expects it; false when it is longer than `MTU`.
    pub(crate) fn put_packet(&mut self, packet: &[u8]) -> bool {
        let place = self.0.packet.get_mut(..packet.len());
        place.map(|place| place.copy_from_slice(packet)).is_some()
    }
}

/// What a frame of the queue waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Vacant,
    /// A packet that waits for a session with this peer. `len` is the packet's.
    ForSession(PeerId),
    /// A sealed datagram that the stack has not taken. `len` is the datagram's.
    ForStack {
        to: SocketAddr,
        since: Instant,
    },
}

pub(crate) struct Kept<const MTU: usize> {
    pub(crate) frame: Frame<MTU>,
    pub(crate) len: usize,
    pub(crate) fate: Fate,
    /// The order of arrival.
    turn: u64,
}

impl<const MTU: usize> Kept<MTU> {
    const VACANT: Self = Self { frame: Frame::BLANK, len: 0, fate: Fate::Vacant, turn: 0 };
}

/// Packets that wait, first come, first served. A full queue gives up its oldest.
pub(crate) struct Queue<const MTU: usize, const WAITING: usize> {
    kept: [Kept<MTU>; WAITING],
    next_turn: u64,
}

impl<const MTU: usize, const WAITING: usize> Queue<MTU, WAITING> {
    /// Keeps a copy of `frame`; true when the oldest packet had to make room for it.
    pub(crate) fn keep(&mut self, frame: &[u8], len: usize, fate: Fate) -> bool {
        let turn = self.next_turn;
        self.next_turn = turn.saturating_add(1);
        let vacant_first = |kept: &&mut Kept<MTU>| (kept.fate != Fate::Vacant, kept.turn);
        let Some(kept) = self.kept.iter_mut().min_by_key(vacant_first) else { return true };
        let displaced = kept.fate != Fate::Vacant;
        for (to, from) in kept.frame.bytes().iter_mut().zip(frame) {
            *to = *from;
        }
        (kept.len, kept.fate, kept.turn) = (len, fate, turn);
        displaced
    }

    /// The oldest one with such a fate.
    pub(crate) fn oldest(&mut self, fate: impl Fn(Fate) -> bool) -> Option<&mut Kept<MTU>> {
        self.kept.iter_mut().filter(|kept| fate(kept.fate)).min_by_key(|kept| kept.turn)
    }

    /// Drops the packets that wait for the sessions of these peers, and says how many.
    pub(crate) fn drop_for(&mut self, mut peers: impl FnMut(PeerId) -> bool) -> u32 {
        let mut dropped = 0_u32;
        for kept in &mut self.kept {
            if let Fate::ForSession(peer) = kept.fate
                && peers(peer)
            {
                kept.fate = Fate::Vacant;
                dropped = dropped.saturating_add(1);
            }
        }
        dropped
    }

    /// Vacates every place, after an earlier tunnel.
    pub(crate) fn clear(&mut self) {
        for kept in &mut self.kept {
            kept.fate = Fate::Vacant;
        }
    }

    /// How many packets and datagrams are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.iter().filter(|kept| kept.fate != Fate::Vacant).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_take_what_their_documentation_says() {
        let documented = (1420 + 48) * 5 + 64 * 4;
        let size = size_of::<Buffers<1420, 4>>();
        assert!(size.abs_diff(documented) < 64, "{size} and not {documented}");
    }

    #[test]
    fn packets_go_in_the_order_in_which_they_came_whichever_place_they_got() {
        let mut queue = Buffers::<68, 3>::new().queue;
        let fate = Fate::ForStack { to: ([192, 0, 2, 1], 1).into(), since: Instant::ZERO };
        for len in 0..5 {
            assert_eq!(queue.keep(&[], len, fate), len >= 3);
        }
        let mut taken = [0; 4];
        for (number, len) in taken.iter_mut().enumerate() {
            let oldest = queue.oldest(|other| other == fate).unwrap();
            *len = oldest.len;
            oldest.fate = Fate::Vacant;
            assert!(!queue.keep(&[], 10 + number, fate), "a vacant place is taken first");
        }
        assert_eq!((taken, queue.len()), ([2, 3, 4, 10], 3));
    }
}
