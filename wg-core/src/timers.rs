//! The timers of one peer (whitepaper section 6), told of events and asked for the next
//! deadline.
//!
//! - Retransmit: an initiation went out and no session came of it within 5 s.
//! - Passive keepalive: data came in and nothing went out for 10 s.
//! - New handshake: data went out and nothing came in for 15 s.
//! - Persistent keepalive: nothing authentic passed either way for the time that was set.
//! - Session expiry: the current keypair turns 180 s; says so, and nothing else.
//! - Wipe: no new session for 540 s; all key material goes.
//!
//! A timer that waits for an answer is armed by the first unanswered packet and not moved by
//! those that follow: a steady sender must not keep pushing it away.

use core::time::Duration;

use crate::constants::{KEEPALIVE_TIMEOUT, REJECT_AFTER_TIME, REKEY_TIMEOUT, WIPE_AFTER_TIME};
use crate::jitter::Jitter;
use crate::time::Instant;

/// Why the next deadline is due.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum Reason {
    /// An initiation is unanswered.
    Retransmit,
    /// Data was received, and nothing was sent since.
    PassiveKeepalive,
    /// Data was sent, and nothing was received since.
    NewHandshake,
    /// The persistent keepalive of this peer.
    PersistentKeepalive,
    /// The current session reaches its greatest age.
    SessionExpiry,
    /// All key material of this peer is to be wiped.
    WipeKeys,
}

impl Reason {
    const ALL: [Self; 6] = [
        Self::Retransmit,
        Self::PassiveKeepalive,
        Self::NewHandshake,
        Self::PersistentKeepalive,
        Self::SessionExpiry,
        Self::WipeKeys,
    ];
}

pub(crate) struct Timers {
    deadlines: [Option<Instant>; Reason::ALL.len()],
    /// A deadline was set where there was none or a later one, and nobody was told.
    sooner: bool,
    /// More data came in while the passive keepalive was pending already.
    need_another_keepalive: bool,
    /// The passive keepalive that is about to be sent is to be followed by that one.
    another_follows: bool,
    /// Retransmissions since the last request for a session.
    retries: u8,
    /// The receive side asked for a new session once in this keypair's last minute.
    asked_on_receive: bool,
}

impl Timers {
    pub(crate) const STOPPED: Self = Self {
        deadlines: [None; Reason::ALL.len()],
        sooner: false,
        need_another_keepalive: false,
        another_follows: false,
        retries: 0,
        asked_on_receive: false,
    };

    /// The earliest deadline. Bounded by the number of timers.
    pub(crate) fn next(&self) -> Option<(Instant, Reason)> {
        // Compares numbers and keeps the least: without branches, which this is called often
        // enough to feel.
        let mut least = u64::MAX;
        let mut first = Reason::Retransmit;
        for (deadline, reason) in self.deadlines.iter().zip(Reason::ALL) {
            let at = deadline.map_or(u64::MAX, Instant::as_micros);
            if at < least {
                (least, first) = (at, reason);
            }
        }
        (least < u64::MAX).then(|| (Instant::from_micros(least), first))
    }

    /// The earliest deadline, when one was set since the last call that may be it.
    pub(crate) fn take_sooner(&mut self) -> Option<Instant> {
        let sooner = core::mem::take(&mut self.sooner);
        self.next().filter(|_| sooner).map(|(at, _)| at)
    }

    /// Takes the earliest timer that is due at `now`.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Reason> {
        let (at, reason) = self.next()?;
        if at > now {
            return None;
        }
        self.cancel(reason);
        Some(reason)
    }

    /// Takes this timer if it is due at `now`, whatever others are.
    pub(crate) fn take_due(&mut self, reason: Reason, now: Instant) -> bool {
        let deadline = self.deadlines.get_mut(reason as usize);
        deadline.is_some_and(|deadline| deadline.take_if(|at| *at <= now).is_some())
    }

    pub(crate) fn is_armed(&self, reason: Reason) -> bool {
        self.deadlines.get(reason as usize).is_some_and(Option::is_some)
    }

    /// A data packet with something in it was handed to the socket.
    pub(crate) fn data_sent(&mut self, now: Instant, jitter: &mut Jitter) {
        if !self.is_armed(Reason::NewHandshake) {
            let wait = KEEPALIVE_TIMEOUT.saturating_add(REKEY_TIMEOUT);
            self.arm_jittered(Reason::NewHandshake, now.saturating_add(wait), jitter);
        }
    }

    /// A data packet with something in it was received and authenticated.
    pub(crate) fn data_received(&mut self, now: Instant) {
        if self.is_armed(Reason::PassiveKeepalive) {
            self.need_another_keepalive = true;
        } else {
            self.arm(Reason::PassiveKeepalive, now.saturating_add(KEEPALIVE_TIMEOUT));
        }
    }

    /// The passive keepalive is due, and sent next.
    pub(crate) fn passive_keepalive_expired(&mut self) {
        self.another_follows = core::mem::take(&mut self.need_another_keepalive);
    }

    /// An empty packet was sent; if it was a passive keepalive that another one follows, that
    /// one is due in 10 s, whatever was cancelled by sending.
    pub(crate) fn keepalive_sent(&mut self, now: Instant, another_follows: bool) {
        if another_follows {
            self.arm(Reason::PassiveKeepalive, now.saturating_add(KEEPALIVE_TIMEOUT));
        }
    }

    /// Whether another keepalive follows the one that is sent now.
    pub(crate) const fn another_follows(&self) -> bool {
        self.another_follows
    }

    /// Anything authenticated but a cookie reply was sent: it answers all that came before.
    pub(crate) fn any_authenticated_packet_sent(&mut self) {
        self.cancel(Reason::PassiveKeepalive);
        self.need_another_keepalive = false;
        self.another_follows = false;
    }

    /// Anything authenticated but a cookie reply was received.
    pub(crate) fn any_authenticated_packet_received(&mut self) {
        self.cancel(Reason::NewHandshake);
    }

    /// Anything authenticated but a cookie reply passed, in either direction.
    pub(crate) fn any_authenticated_packet_traversal(&mut self, now: Instant, keepalive: u16) {
        if keepalive != 0 {
            let wait = Duration::from_secs(u64::from(keepalive));
            self.arm(Reason::PersistentKeepalive, now.saturating_add(wait));
        }
    }

    /// The persistent keepalive was turned off.
    pub(crate) fn persistent_keepalive_off(&mut self) {
        self.cancel(Reason::PersistentKeepalive);
    }

    /// A session is asked for by something that is not a retry.
    pub(crate) fn handshake_requested(&mut self) {
        self.retries = 0;
    }

    /// An initiation was sent, or could not be: try again after `REKEY_TIMEOUT` and jitter
    /// from `since`.
    pub(crate) fn arm_retransmit(&mut self, since: Instant, jitter: &mut Jitter) {
        self.arm_jittered(Reason::Retransmit, since.saturating_add(REKEY_TIMEOUT), jitter);
    }

    /// Counts a retry; false when all of them are used up.
    pub(crate) fn retry(&mut self, greatest: u8) -> bool {
        let left = self.retries < greatest;
        if left {
            self.retries = self.retries.saturating_add(1);
        }
        left
    }

    /// Retries since the last request for a session.
    pub(crate) const fn retries(&self) -> u8 {
        self.retries
    }

    /// The handshake came to its end on our side: a response was consumed, or our response
    /// was confirmed.
    pub(crate) fn handshake_complete(&mut self, birth: Instant) {
        self.cancel(Reason::Retransmit);
        self.retries = 0;
        self.asked_on_receive = false;
        self.arm(Reason::SessionExpiry, birth.saturating_add(REJECT_AFTER_TIME));
    }

    /// A keypair was derived.
    pub(crate) fn session_derived(&mut self, now: Instant) {
        self.arm(Reason::WipeKeys, now.saturating_add(WIPE_AFTER_TIME));
    }

    /// All keypairs were wiped before their time.
    pub(crate) fn session_gone(&mut self) {
        self.cancel(Reason::SessionExpiry);
    }

    /// No handshake came of all tries: nothing more is sent, and the keys go if nothing else
    /// says when.
    pub(crate) fn handshake_given_up(&mut self, now: Instant) {
        self.cancel(Reason::PassiveKeepalive);
        self.need_another_keepalive = false;
        if !self.is_armed(Reason::WipeKeys) {
            self.session_derived(now);
        }
    }

    /// True once per keypair: whether receiving may ask for a new session now.
    pub(crate) fn ask_on_receive(&mut self) -> bool {
        !core::mem::replace(&mut self.asked_on_receive, true)
    }

    #[cfg_attr(target_os = "none", inline(never))] // for flash, here and below
    fn arm_jittered(&mut self, reason: Reason, at: Instant, jitter: &mut Jitter) {
        self.arm(reason, at.saturating_add(jitter.draw()));
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn arm(&mut self, reason: Reason, at: Instant) {
        if let Some(deadline) = self.deadlines.get_mut(reason as usize) {
            let before = deadline.replace(at);
            self.sooner |= before.is_none_or(|before| at < before);
        }
    }

    fn cancel(&mut self, reason: Reason) {
        if let Some(deadline) = self.deadlines.get_mut(reason as usize) {
            *deadline = None;
        }
    }
}
