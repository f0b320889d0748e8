//! Packets and the memory that they stand in.

use wg_core::{DATA_HEADER_LEN, PeerId, TAG_LEN};
use zerocopy::{FromBytes, IntoBytes};

/// Room for padding to a multiple of 16, whatever the engine's MTU is set to.
const PADDING: usize = 16;
/// What a frame has beside the packet.
pub(crate) const AROUND: usize = DATA_HEADER_LEN + PADDING + TAG_LEN;

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
    pub(crate) const BLANK: Self =
        Self(Room { head: [0; DATA_HEADER_LEN], packet: [0; MTU], tail: [0; PADDING + TAG_LEN] });

    /// All of it: head, packet and tail.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }
}

/// The part of a frame where a packet of `len` bytes stands.
pub(crate) fn packet(frame: &mut [u8], len: usize) -> &mut [u8] {
    let end = DATA_HEADER_LEN.saturating_add(len);
    frame.get_mut(DATA_HEADER_LEN..end).unwrap_or_default()
}

/// What the frame of a [`Kept`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Nothing.
    Vacant,
    /// A packet for the next one who asks.
    Queued,
    /// A packet that waits for a session with this peer.
    ForSession(PeerId),
    /// The frame is with whoever works on it, and comes back by [`Pool::give_back`].
    Away,
}

/// A place for a packet. Frames move between places and hands by reference: no packet is copied.
pub(crate) struct Kept<'d> {
    /// `None` while it is away, and in a place that no pool has yet.
    frame: Option<&'d mut [u8]>,
    /// The packet's length.
    pub(crate) len: usize,
    pub(crate) fate: Fate,
    /// The order of arrival.
    turn: u64,
}

impl<'d> Kept<'d> {
    pub(crate) const VACANT: Self = Self { frame: None, len: 0, fate: Fate::Vacant, turn: 0 };

    /// Puts a packet here that stands in another frame, by exchanging frames.
    pub(crate) fn fill(&mut self, frame: &mut &'d mut [u8], len: usize) {
        if let Some(mine) = &mut self.frame {
            core::mem::swap(mine, frame);
            (self.len, self.fate) = (len, Fate::Queued);
        }
    }

    /// Gives a packet up that is not away, and wipes it: it was not sealed.
    pub(crate) fn vacate(&mut self) {
        if let Some(frame) = &mut self.frame {
            frame.fill(0);
            self.fate = Fate::Vacant;
        }
    }

    const fn is_vacant(&self) -> bool {
        matches!(self.fate, Fate::Vacant) && self.frame.is_some()
    }
}

/// Packets on their way, first come, first served.
pub(crate) struct Pool<'d> {
    kept: &'d mut [Kept<'d>],
    next_turn: u64,
}

impl<'d> Pool<'d> {
    /// A pool of vacant places with these frames.
    pub(crate) fn new<const MTU: usize>(
        kept: &'d mut [Kept<'d>],
        frames: impl Iterator<Item = &'d mut Frame<MTU>>,
    ) -> Self {
        for (kept, frame) in kept.iter_mut().zip(frames) {
            *kept = Kept { frame: Some(frame.bytes()), ..Kept::VACANT };
        }
        Self { kept, next_turn: 0 }
    }

    /// A vacant place, for a packet that came last. Filling it is the caller's.
    pub(crate) fn vacant(&mut self) -> Option<&mut Kept<'d>> {
        let turn = self.next_turn;
        let kept = self.kept.iter_mut().find(|kept| kept.is_vacant())?;
        self.next_turn = turn.saturating_add(1);
        kept.turn = turn;
        Some(kept)
    }

    pub(crate) fn has_vacancy(&self) -> bool {
        self.kept.iter().any(Kept::is_vacant)
    }

    /// The oldest one with such a fate.
    pub(crate) fn oldest(&mut self, fate: impl Fn(Fate) -> bool) -> Option<&mut Kept<'d>> {
        self.kept.iter_mut().filter(|kept| fate(kept.fate)).min_by_key(|kept| kept.turn)
    }

    /// How many have such a fate.
    pub(crate) fn count(&self, fate: impl Fn(Fate) -> bool) -> usize {
        self.kept.iter().filter(|kept| fate(kept.fate)).count()
    }

    /// Changes the fate of all that have a certain one, and says of how many.
    pub(crate) fn change(&mut self, which: impl Fn(Fate) -> bool, to: Fate) -> u32 {
        let mut changed = 0_u32;
        for kept in self.kept.iter_mut().filter(|kept| which(kept.fate)) {
            kept.fate = to;
            changed = changed.saturating_add(1);
        }
        changed
    }

    /// Gives up all that have a certain fate, and says how many.
    pub(crate) fn vacate(&mut self, which: impl Fn(Fate) -> bool) -> u32 {
        let mut given_up = 0_u32;
        for kept in self.kept.iter_mut().filter(|kept| which(kept.fate)) {
            kept.vacate();
            given_up = given_up.saturating_add(1);
        }
        given_up
    }

    /// Takes the frame of the oldest queued packet, and the packet's length.
    pub(crate) fn take_queued(&mut self) -> Option<(&'d mut [u8], usize)> {
        let kept = self.oldest(|fate| fate == Fate::Queued)?;
        kept.fate = Fate::Away;
        Some((kept.frame.take()?, kept.len))
    }

    /// Takes a frame back that was away, and whose packet was sealed, or read.
    pub(crate) fn give_back(&mut self, frame: &'d mut [u8]) {
        self.put_back(frame, Fate::Vacant);
    }

    /// Takes back the frame that was taken last, with its packet, in its old turn.
    pub(crate) fn put_back(&mut self, frame: &'d mut [u8], fate: Fate) {
        let away = |kept: &&mut Kept<'d>| kept.fate == Fate::Away;
        if let Some(kept) = self.kept.iter_mut().filter(away).max_by_key(|kept| kept.turn) {
            (kept.frame, kept.fate) = (Some(frame), fate);
        }
    }

    /// Wipes every packet that is not away.
    pub(crate) fn wipe(&mut self) {
        for kept in &mut *self.kept {
            kept.vacate();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_go_in_the_order_in_which_they_came_whichever_place_they_got() {
        let mut frames = [const { Frame::<68>::BLANK }; 3];
        let mut kept = [const { Kept::VACANT }; 3];
        let mut pool = Pool::new(&mut kept, frames.iter_mut());
        for len in 0..5 {
            let place = pool.vacant();
            assert_eq!(place.is_some(), len < 3);
            if let Some(place) = place {
                place.fill(&mut &mut [][..], len);
            }
        }
        let mut taken = [9; 4];
        for (number, len) in taken.iter_mut().enumerate() {
            let (frame, oldest) = pool.take_queued().unwrap();
            *len = oldest;
            assert!(!pool.has_vacancy(), "a frame that is away leaves no vacancy");
            pool.give_back(frame);
            let place = pool.vacant().unwrap();
            place.fill(&mut &mut [][..], 10 + number);
        }
        assert_eq!(taken, [0, 1, 2, 10]);
        assert_eq!(pool.count(|fate| fate == Fate::Queued), 3);
    }
}
