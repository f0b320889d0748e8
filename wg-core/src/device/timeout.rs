//! What happens when a timer is due (whitepaper section 6).

use super::Device;
use crate::constants::{MAX_HANDSHAKE_ATTEMPTS, REKEY_TIMEOUT};
use crate::event::News;
use crate::refusal::Refusal;
use crate::time::Instant;
use crate::timers::Reason;

/// Why a new session is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// Something needs one: the count of tries starts over.
    Need,
    /// The last initiation was not answered.
    Retry,
}

impl Device<'_> {
    /// Serves the peer whose deadline passed first, if one did. O(log peers).
    ///
    /// When several are due, [`poll_timeout`](Self::poll_timeout) answers with a time that
    /// has passed until all of them are served.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some((at, _)) = self.poll_timeout() else { return };
        let Some((_, slot)) = self.schedule.root() else { return };
        if at > now {
            return;
        }
        while let Some(reason) = self.peers.get_mut(slot).and_then(|p| p.timers.expire(now)) {
            match reason {
                Reason::Retransmit => self.retransmit_expired(now, slot),
                Reason::PassiveKeepalive => {
                    if let Some(peer) = self.peers.get_mut(slot) {
                        peer.timers.passive_keepalive_expired();
                    }
                    self.want_keepalive(now, slot);
                }
                Reason::NewHandshake => {
                    if let Some(peer) = self.peers.get_mut(slot) {
                        peer.whereabouts.forget_local();
                    }
                    self.request_handshake(now, slot, Request::Need);
                }
                Reason::PersistentKeepalive => self.want_keepalive(now, slot),
                Reason::SessionExpiry => self.announce(slot, News::SESSION_EXPIRED),
                Reason::WipeKeys => self.wipe_keys(slot),
            }
        }
        self.reschedule(slot);
    }

    fn retransmit_expired(&mut self, now: Instant, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let clock_was_missing =
            matches!(peer.obstacle, Some(Refusal::ClockNotSet | Refusal::ClockReserve));
        let nothing_was_sent = peer.handshake.is_none() && peer.timers.retries() == 0;
        if clock_was_missing || nothing_was_sent {
            // Nothing went unanswered: this is no retry.
            self.request_handshake(now, slot, Request::Need);
        } else if peer.timers.retry(MAX_HANDSHAKE_ATTEMPTS.saturating_sub(1)) {
            self.request_handshake(now, slot, Request::Retry);
        } else {
            peer.wants.keepalive = false;
            peer.timers.handshake_given_up(now);
            peer.obstacle = Some(Refusal::Unanswered);
            self.end_attempt(slot);
            self.refuse(Some(slot), Refusal::Unanswered);
            self.announce(slot, News::HANDSHAKE_GIVEN_UP);
        }
    }

    /// Asks for a new session, at most every 5 s. What the limit holds back is asked for
    /// again when it ends.
    pub(super) fn request_handshake(&mut self, now: Instant, slot: u32, request: Request) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if request == Request::Need {
            peer.timers.handshake_requested();
        }
        match peer.last_sent_handshake {
            Some(sent) if !now.has_reached(sent, REKEY_TIMEOUT) => self.hold_back(slot, sent),
            _ => {
                peer.wants.initiation = true;
                self.transmits.push(&mut self.peers, slot);
            }
        }
    }

    /// The limit that began at `sent` holds an initiation back: it is asked for when that ends.
    pub(super) fn hold_back(&mut self, slot: u32, sent: Instant) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if !peer.timers.is_armed(Reason::Retransmit) {
            peer.timers.arm_retransmit(sent, &mut self.jitter);
            self.reschedule(slot);
        }
    }

    /// Asks for an empty data packet, or for the session that it needs.
    pub(super) fn want_keepalive(&mut self, now: Instant, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.keypairs.current().is_some_and(|keypair| keypair.can_send(now)) {
            peer.wants.keepalive = true;
            self.transmits.push(&mut self.peers, slot);
        } else {
            self.request_handshake(now, slot, Request::Need);
        }
    }

    /// Forgets the handshake and all sessions of a peer, and wipes their keys.
    pub(super) fn wipe_keys(&mut self, slot: u32) {
        self.end_attempt(slot);
        let Some(peer) = self.peers.get_mut(slot) else { return };
        // Who has not heard of the session yet could not use it any more.
        peer.news.remove(News::SESSION_UP);
        let left = peer.keypairs.wipe();
        self.release(left);
    }
}
