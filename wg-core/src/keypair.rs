//! The sessions of one peer: previous, current and next keypair, and the only moves between
//! them (whitepaper sections 5.4.5, 5.4.6 and 6.3).
//!
//! A keypair stays in the slot where it was derived and is wiped there: roles are slot
//! numbers, so that no secret ever moves.

use core::time::Duration;

use crate::constants::{REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME};
use crate::handshake::TransportKeys;
use crate::message::{DataHeader, kind};
use crate::replay::{Stale, Window};
use crate::secret::Secret;
use crate::time::Instant;

/// One session: two keys, a counter out and a window in.
pub(crate) struct Keypair {
    pub(crate) send: Secret<32>,
    pub(crate) receive: Secret<32>,
    counter: u64,
    window: Window,
    birth: Option<Instant>,
    /// Our index: the receiver of what comes in.
    pub(crate) local: u32,
    /// Their index: the receiver of what goes out.
    pub(crate) remote: u32,
    pub(crate) initiator: bool,
}

impl Keypair {
    const EMPTY: Self = Self {
        send: Secret::ZERO,
        receive: Secret::ZERO,
        counter: 0,
        window: Window::new(),
        birth: None,
        local: 0,
        remote: 0,
        initiator: false,
    };

    /// When the keys were derived.
    pub(crate) const fn birth(&self) -> Option<Instant> {
        self.birth
    }

    /// Whether the keys are this old, or older.
    pub(crate) fn has_age(&self, now: Instant, age: Duration) -> bool {
        self.birth.is_none_or(|birth| now.has_reached(birth, age))
    }

    /// Whether the session is older than any use allows.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.has_age(now, REJECT_AFTER_TIME)
    }

    /// Whether a packet can be sent in this session.
    pub(crate) fn can_send(&self, now: Instant) -> bool {
        !self.is_expired(now) && self.counter < REJECT_AFTER_MESSAGES
    }

    /// The counters used so far.
    pub(crate) const fn sent(&self) -> u64 {
        self.counter
    }

    /// Takes a counter for good: it is never given out again, sent or not.
    pub(crate) fn take_counter(&mut self) -> u64 {
        let counter = self.counter;
        self.counter = counter.saturating_add(1);
        counter
    }

    /// The header of the next data message in this session.
    pub(crate) fn next_header(&mut self) -> DataHeader {
        DataHeader {
            kind: kind::DATA.into(),
            receiver: self.remote.into(),
            counter: self.take_counter().into(),
        }
    }

    fn wipe(&mut self) {
        self.send.wipe();
        self.receive.wipe();
        self.counter = 0;
    }

    #[cfg(test)]
    pub(crate) fn set_counter(&mut self, counter: u64) {
        self.counter = counter;
    }
}

/// The place of a keypair, which it keeps for life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    A = 1,
    B,
}

/// What a derivation puts into a slot beside the keys.
pub(crate) struct Session {
    pub(crate) birth: Instant,
    pub(crate) local: u32,
    pub(crate) remote: u32,
}

/// The local indices of keypairs that left: the caller takes them out of its index.
pub(crate) type Left = [Option<u32>; 3];

/// The three keypairs of a peer, of which two exist at most.
///
/// `next` and `previous` never exist together: move R drops both before it makes a `next`, and
/// the other moves leave none.
pub(crate) struct Keypairs {
    slots: [Keypair; 2],
    previous: Option<Slot>,
    current: Option<Slot>,
    next: Option<Slot>,
}

impl Keypairs {
    pub(crate) const NONE: Self =
        Self { slots: [const { Keypair::EMPTY }; 2], previous: None, current: None, next: None };

    /// The only keypair that sends.
    pub(crate) fn current(&self) -> Option<&Keypair> {
        self.current.map(|slot| self.get(slot))
    }

    pub(crate) fn current_mut(&mut self) -> Option<(Slot, &mut Keypair)> {
        self.current.map(|slot| (slot, self.slot_mut(slot)))
    }

    /// Whether `slot` holds the live keypair with this index.
    pub(crate) fn holds(&self, slot: Slot, local: u32) -> bool {
        let live = [self.previous, self.current, self.next].contains(&Some(slot));
        live && self.get(slot).local == local
    }

    /// Whether the keypair that sends, or the one that did before, has this index of theirs.
    pub(crate) fn sends_to(&self, remote: u32) -> bool {
        let mut senders = [self.previous, self.current].into_iter().flatten();
        senders.any(|slot| self.get(slot).remote == remote)
    }

    /// Move I: a response was consumed. The new keypair sends at once.
    pub(crate) fn derived_as_initiator(
        &mut self,
        keys: &TransportKeys,
        session: Session,
    ) -> (Slot, Left) {
        let left = if self.next.is_some() {
            // Two handshakes crossed: theirs is known to both sides, so it stays to receive.
            let left = [self.drop_previous(), self.drop_current(), None];
            self.previous = self.next.take();
            left
        } else {
            let left = [self.drop_previous(), None, None];
            self.previous = self.current.take();
            left
        };
        let slot = self.fill(keys, session, true);
        self.current = Some(slot);
        (slot, left)
    }

    /// Move R: a response was created. The new keypair only receives until it is confirmed,
    /// because the initiator may never see the response.
    pub(crate) fn derived_as_responder(
        &mut self,
        keys: &TransportKeys,
        session: Session,
    ) -> (Slot, Left) {
        let left = [self.drop_next(), self.drop_previous(), None];
        let slot = self.fill(keys, session, false);
        self.next = Some(slot);
        (slot, left)
    }

    /// Whether a packet with this counter could be accepted in `slot`. Remembers nothing.
    pub(crate) fn check(&self, slot: Slot, counter: u64) -> Result<(), Stale> {
        self.get(slot).window.check(counter)
    }

    /// Accepts the counter of a packet that authenticated in `slot`, once.
    ///
    /// When that is `next`, this is move C: the initiator has the keys, we may send with them,
    /// and the answer is what left.
    pub(crate) fn accept(&mut self, slot: Slot, counter: u64) -> Result<Option<Left>, Stale> {
        self.slot_mut(slot).window.accept(counter)?;
        if self.next != Some(slot) {
            return Ok(None);
        }
        let left = [self.drop_previous(), None, None];
        self.previous = self.current.take();
        self.current = self.next.take();
        Ok(Some(left))
    }

    pub(crate) fn wipe(&mut self) -> Left {
        [self.drop_previous(), self.drop_current(), self.drop_next()]
    }

    fn drop_previous(&mut self) -> Option<u32> {
        let slot = self.previous.take();
        self.vacate(slot)
    }

    fn drop_current(&mut self) -> Option<u32> {
        let slot = self.current.take();
        self.vacate(slot)
    }

    fn drop_next(&mut self) -> Option<u32> {
        let slot = self.next.take();
        self.vacate(slot)
    }

    fn vacate(&mut self, slot: Option<Slot>) -> Option<u32> {
        let keypair = self.slot_mut(slot?);
        keypair.wipe();
        Some(keypair.local)
    }

    fn fill(&mut self, keys: &TransportKeys, session: Session, initiator: bool) -> Slot {
        // Each move leaves at most one keypair, so one of the two slots is free.
        let live = [self.previous, self.current, self.next];
        let slot = if live.contains(&Some(Slot::A)) { Slot::B } else { Slot::A };

        let keypair = self.slot_mut(slot);
        *keypair.send.as_mut() = *keys.send.as_bytes();
        *keypair.receive.as_mut() = *keys.receive.as_bytes();
        keypair.counter = 0;
        keypair.window = Window::new();
        keypair.birth = Some(session.birth);
        keypair.local = session.local;
        keypair.remote = session.remote;
        keypair.initiator = initiator;
        slot
    }

    /// What is in a slot, live or wiped.
    pub(crate) fn get(&self, slot: Slot) -> &Keypair {
        let [a, b] = &self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    fn slot_mut(&mut self, slot: Slot) -> &mut Keypair {
        let [a, b] = &mut self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Previous, current and next by their local indices.
    fn roles(keypairs: &Keypairs) -> [Option<u32>; 3] {
        [keypairs.previous, keypairs.current, keypairs.next]
            .map(|slot| slot.map(|slot| keypairs.get(slot).local))
    }

    fn keys(byte: u8) -> TransportKeys {
        TransportKeys { send: Secret::new([byte; 32]), receive: Secret::new([!byte; 32]) }
    }

    fn session(local: u32) -> Session {
        Session { birth: Instant::ZERO, local, remote: !local }
    }

    fn initiated(keypairs: &mut Keypairs, local: u32) -> Left {
        keypairs.derived_as_initiator(&keys(local as u8), session(local)).1
    }

    fn responded(keypairs: &mut Keypairs, local: u32) -> (Slot, Left) {
        keypairs.derived_as_responder(&keys(local as u8), session(local))
    }

    #[test]
    fn an_initiators_new_keypair_is_current_and_the_old_one_still_receives() {
        let mut keypairs = Keypairs::NONE;
        assert_eq!(initiated(&mut keypairs, 1), [None; 3]);
        assert_eq!(initiated(&mut keypairs, 2), [None; 3]);
        assert_eq!(roles(&keypairs), [Some(1), Some(2), None]);
        assert_eq!(initiated(&mut keypairs, 3), [Some(1), None, None]);
        assert_eq!(roles(&keypairs), [Some(2), Some(3), None]);
    }

    #[test]
    fn a_responders_new_keypair_waits_for_its_confirmation() {
        let mut keypairs = Keypairs::NONE;
        initiated(&mut keypairs, 1);
        let (slot, _) = responded(&mut keypairs, 2);
        assert_eq!(roles(&keypairs), [None, Some(1), Some(2)]);
        assert_eq!(keypairs.current().unwrap().send, Secret::new([1; 32]));
        assert_eq!(keypairs.accept(slot, 0), Ok(Some([None; 3])));
        assert_eq!(roles(&keypairs), [Some(1), Some(2), None]);
        assert_eq!(keypairs.accept(slot, 1), Ok(None), "confirmed once");
        assert_eq!(keypairs.accept(slot, 0), Err(Stale::Seen), "what confirmed is remembered");
    }

    #[test]
    fn a_response_drops_what_was_next_and_previous() {
        let mut keypairs = Keypairs::NONE;
        initiated(&mut keypairs, 1);
        initiated(&mut keypairs, 2);
        assert_eq!(responded(&mut keypairs, 3).1, [None, Some(1), None]);
        assert_eq!(responded(&mut keypairs, 4).1, [Some(3), None, None]);
        assert_eq!(roles(&keypairs), [None, Some(2), Some(4)]);
    }

    #[test]
    fn an_initiators_keypair_keeps_an_unconfirmed_next_as_previous() {
        let mut keypairs = Keypairs::NONE;
        initiated(&mut keypairs, 1);
        responded(&mut keypairs, 2);
        assert_eq!(initiated(&mut keypairs, 3), [None, Some(1), None]);
        assert_eq!(roles(&keypairs), [Some(2), Some(3), None]);
    }

    #[test]
    fn each_keypair_that_received_keeps_its_own_window() {
        let mut keypairs = Keypairs::NONE;
        let (first, _) = keypairs.derived_as_initiator(&keys(1), session(1));
        assert_eq!(keypairs.accept(first, 7), Ok(None));
        let (second, _) = responded(&mut keypairs, 2);
        assert_eq!(keypairs.check(second, 7), Ok(()), "nothing was received yet");
        assert_eq!(keypairs.check(first, 7), Err(Stale::Seen));
        keypairs.accept(second, 9).unwrap();
        assert_eq!(keypairs.check(first, 7), Err(Stale::Seen), "previous by now");
        assert_eq!(keypairs.check(second, 7), Ok(()));
        assert_eq!(keypairs.accept(first, 9), Ok(None));
        let (third, _) = keypairs.derived_as_initiator(&keys(3), session(3));
        assert_eq!(keypairs.check(second, 9), Err(Stale::Seen));
        assert_eq!(keypairs.check(third, 9), Ok(()));
    }

    #[test]
    fn an_unconfirmed_next_that_becomes_previous_has_a_blank_window() {
        let mut keypairs = Keypairs::NONE;
        let (first, _) = keypairs.derived_as_initiator(&keys(1), session(1));
        keypairs.accept(first, 7).unwrap();
        let (second, _) = responded(&mut keypairs, 2);
        let (third, _) = keypairs.derived_as_initiator(&keys(3), session(3));
        assert_eq!(keypairs.accept(second, 7), Ok(None));
        assert_eq!(keypairs.accept(third, 7), Ok(None));
        assert_eq!(keypairs.accept(second, 7), Err(Stale::Seen));
    }

    #[test]
    fn what_leaves_is_wiped_in_place() {
        let mut keypairs = Keypairs::NONE;
        initiated(&mut keypairs, 1);
        responded(&mut keypairs, 2);
        assert_eq!(keypairs.wipe(), [None, Some(1), Some(2)]);
        assert_eq!(roles(&keypairs), [None; 3]);
        assert!(keypairs.slots.iter().all(|k| k.send.is_zero() && k.receive.is_zero()));
    }

    #[test]
    fn a_counter_at_the_limit_sends_no_more() {
        let mut keypairs = Keypairs::NONE;
        initiated(&mut keypairs, 1);
        let (_, keypair) = keypairs.current_mut().unwrap();
        keypair.set_counter(REJECT_AFTER_MESSAGES - 1);
        assert!(keypair.can_send(Instant::ZERO));
        assert_eq!(keypair.take_counter(), REJECT_AFTER_MESSAGES - 1);
        assert!(!keypair.can_send(Instant::ZERO));
    }
}
