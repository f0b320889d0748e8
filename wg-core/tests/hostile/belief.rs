//! What one machine may do with another, kept by whoever sees both: each rule of the protocol as
//! an assertion on what is sent and accepted.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use wg_core::{Connection, Instant, PeerId, Refusal};

/// A keypair neither sends nor receives at this age.
const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
const WIPE_AFTER_TIME: Duration = Duration::from_secs(540);
const MAX_JITTER: Duration = Duration::from_millis(334);

/// One session, as one of its two machines has it.
#[derive(Debug)]
pub struct Session {
    pub local: u32,
    pub remote: u32,
    birth: Instant,
    /// It can send: as its initiator at once, as its responder when something came in it.
    pub up: bool,
    /// Replaced by somebody's will: keys changed, the peer removed, the device down.
    ended: bool,
    next_counter: u64,
    accepted: HashSet<u64>,
    greatest: Option<u64>,
}

/// An initiation that waits for its response.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: u64,
    at: Instant,
    /// No session came up since, and it was not given up.
    open: bool,
}

/// Of one machine, about one of its peers.
#[derive(Default, Debug)]
pub struct Belief {
    pub id: Option<PeerId>,
    pub endpoint: Option<SocketAddr>,
    pub sessions: Vec<Session>,
    last_handshake: Option<Instant>,
    attempt: Option<Attempt>,
    /// Initiations since the last session or the last new beginning.
    attempts: u32,
    /// When all keys are to go, if nothing puts that off.
    wipe_due: Option<Instant>,
    /// The initiations of the peer that were accepted.
    consumed: HashSet<u64>,
}

impl Belief {
    /// All sessions and attempts end by the administrator's will.
    pub fn end(&mut self) {
        self.sessions.iter_mut().for_each(|session| session.ended = true);
        self.close_attempt();
        self.attempts = 0;
        self.last_handshake = None;
    }

    /// The peer was removed: a new one knows nothing of it.
    pub fn forget(&mut self) {
        self.end();
        self.id = None;
        self.endpoint = None;
        self.wipe_due = None;
        self.consumed.clear();
    }

    fn close_attempt(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.open = false;
        }
    }

    /// The attempt ended before it could be called unanswered.
    fn start_over(&mut self) {
        self.close_attempt();
        self.attempts = 0;
    }

    pub fn initiation_sent(&mut self, now: Instant, id: u64) {
        if let Some(last) = self.last_handshake {
            let apart = now.saturating_since(last);
            assert!(apart >= REKEY_TIMEOUT, "an initiation {apart:?} after a handshake message");
        }
        self.deadlines_served(now);
        self.last_handshake = Some(now);
        self.attempt = Some(Attempt { id, at: now, open: true });
        self.attempts += 1;
    }

    /// A response was made to an initiation of the peer: a session that waits for confirmation.
    pub fn initiation_consumed(&mut self, now: Instant, id: u64, (local, remote): (u32, u32)) {
        assert!(self.consumed.insert(id), "an initiation was accepted twice");
        self.last_handshake = Some(now);
        self.begin(now, local, remote, false);
    }

    /// `late`: the device had a deadline to serve, and may have had no chance to try again.
    pub fn response_consumed(&mut self, now: Instant, answers: u64, late: bool, ends: (u32, u32)) {
        let attempt = self.attempt.expect("no initiation was sent");
        assert_eq!(answers, attempt.id, "a response to an initiation that is not the last");
        assert!(attempt.open, "a response was accepted after a newer session");
        // Responses of ours hold back the next attempt, too.
        let age = now.saturating_since(attempt.at.max(self.last_handshake.unwrap_or(attempt.at)));
        assert!(age < REJECT_AFTER_TIME, "a response {age:?} late was accepted");
        assert!(late || age <= REKEY_TIMEOUT + MAX_JITTER, "a response {age:?} late was accepted");
        self.begin(now, ends.0, ends.1, true);
    }

    fn begin(&mut self, now: Instant, local: u32, remote: u32, up: bool) {
        self.wipe_due = Some(now.saturating_add(WIPE_AFTER_TIME));
        self.sessions.push(Session {
            local,
            remote,
            birth: now,
            up,
            ended: false,
            next_counter: 0,
            accepted: HashSet::new(),
            greatest: None,
        });
    }

    /// Deadlines are served. Keys that are to go by now take an attempt that began before with
    /// them, and no later one.
    pub fn deadlines_served(&mut self, now: Instant) {
        let wiped = self.wipe_due.take_if(|due| *due <= now);
        if let (Some(wiped), Some(attempt)) = (wiped, self.attempt)
            && attempt.at < wiped
        {
            self.start_over();
        }
    }

    pub fn given_up(&mut self, now: Instant) {
        self.close_attempt();
        self.wipe_due.get_or_insert_with(|| now.saturating_add(WIPE_AFTER_TIME));
    }

    pub fn session_up(&mut self) {
        self.start_over();
    }

    /// A data message left: in a session that may send, and with a counter of its own.
    pub fn data_sent(&mut self, now: Instant, remote: u32, counter: u64) {
        let session = self.sessions.iter_mut().rev().find(|session| session.remote == remote);
        let session = session.expect("data in no session");
        assert!(session.up && !session.ended, "data in a session that may not send");
        let age = now.saturating_since(session.birth);
        assert!(age < REJECT_AFTER_TIME, "data in a session of {age:?}");
        assert_eq!(counter, session.next_counter, "a counter that is not the next");
        session.next_counter += 1;
    }

    /// Whether an authentic data message that never arrived before has to be accepted.
    pub fn must_accept(&self, now: Instant, local: u32, counter: u64) -> bool {
        let Some(at) = self.sessions.iter().rposition(|session| session.local == local) else {
            return false;
        };
        // With a broken generator an index may come back, and who knows whose packet it is then.
        if self.sessions[..at].iter().any(|session| session.local == local) {
            return false;
        }
        let session = &self.sessions[at];
        let newest_up = self.sessions.iter().rposition(|session| session.up) == Some(at);
        let unconfirmed = !session.up && at + 1 == self.sessions.len();
        let fresh = session.greatest.is_none_or(|greatest| counter > greatest);
        let alive = !session.ended && now.saturating_since(session.birth) < REJECT_AFTER_TIME;
        (newest_up || unconfirmed) && fresh && alive
    }

    /// A data message was accepted: in a session that may receive, once.
    pub fn data_accepted(&mut self, now: Instant, local: u32, counter: u64) {
        let at = self.sessions.iter().rposition(|session| session.local == local);
        let at = at.expect("data was accepted in no session");
        let newer = self.sessions[at + 1..].iter().filter(|session| session.up).count();
        let session = &mut self.sessions[at];
        assert!(!session.ended, "data was accepted in a session that ended");
        let age = now.saturating_since(session.birth);
        assert!(age < REJECT_AFTER_TIME, "data was accepted in a session of {age:?}");
        assert!(newer <= 1, "data was accepted {newer} sessions later");
        assert!(session.accepted.insert(counter), "a counter was accepted twice");
        session.greatest = session.greatest.max(Some(counter));
        session.up = true;
    }

    /// What the device says of the peer fits to what it did.
    pub fn check(&mut self, connection: Connection) {
        if let Connection::Blocked(Refusal::ClockNotSet | Refusal::ClockReserve) = connection {
            self.start_over();
        }
        let unanswered = self.attempts >= 2 && self.attempt.is_some_and(|attempt| attempt.open);
        let says_so = matches!(connection, Connection::Up | Connection::Blocked(_));
        assert!(
            !unanswered || says_so,
            "{} initiations without an answer, and the device says {connection:?}",
            self.attempts,
        );
    }
}
