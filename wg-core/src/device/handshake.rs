//! Handshake messages in and out, and the order in which they are checked (whitepaper
//! sections 5.3 and 5.4).

use core::net::SocketAddr;

use rand_core::CryptoRng;
use zerocopy::{FromBytes, IntoBytes};

use super::configure::find_peer;
use super::receivers::Receiver;
use super::{Built, Device, Received};
use crate::constants::{INITIATION_MIN_INTERVAL, REJECT_AFTER_TIME, REKEY_TIMEOUT};
use crate::cookie::Checker;
use crate::endpoint::{Source, Transmit, Whereabouts};
use crate::event::News;
use crate::handshake::{self, Responder, TransportKeys};
use crate::keypair::{Keypair, Left, Session};
use crate::message::{
    COOKIE_REPLY_LEN, CookieReply, INITIATION_LEN, Initiation, MACS_LEN, Macs, RESPONSE_LEN,
    Response,
};
use crate::peer::Peer;
use crate::ratelimiter::Work;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::tai64n::{ClockUnavailable, Tai64nClock};
use crate::time::Instant;
use crate::timers::Reason;

/// The traffic class of initiations and responses: DSCP AF41, as the kernel marks them.
const HANDSHAKE_CLASS: u8 = 0x88;

impl Device<'_> {
    /// Section 5.4.2, sent. `None` leaves the reason in the peer's obstacle, or the message to
    /// the retransmit timer when a handshake message went out less than 5 s ago.
    #[inline(never)]
    pub(super) fn initiate(
        &mut self,
        now: Instant,
        slot: u32,
        clock: &mut dyn Tai64nClock,
        rng: &mut dyn CryptoRng,
        buf: &mut [u8; INITIATION_LEN],
    ) -> Option<Built> {
        self.jitter.stir(rng);
        self.limiter.seed(rng);
        let peer = self.peers.get_mut(slot)?;

        let obstacle = if !self.up {
            Some(Refusal::Down)
        } else if self.identity.keys().is_none() {
            Some(Refusal::NoPrivateKey)
        } else if peer.remote.static_static.is_zero() {
            Some(Refusal::ZeroSharedSecret)
        } else if !peer.whereabouts.is_known() {
            Some(Refusal::NoEndpoint)
        } else {
            None
        };
        if let Some(obstacle) = obstacle {
            peer.obstacle = Some(obstacle);
            self.refuse(Some(slot), obstacle);
            return None;
        }
        // The limit may have begun since this was asked for, with a response of ours.
        let limited = |sent| !now.has_reached(sent, REKEY_TIMEOUT);
        if let Some(sent) = peer.last_sent_handshake.filter(|sent| limited(*sent)) {
            self.hold_back(slot, sent);
            return None;
        }
        // An attempt ends when the next one begins, whether that can be made or not.
        let unanswered = peer.handshake.is_some();
        if unanswered {
            peer.whereabouts.forget_local();
        }
        self.end_attempt(slot);
        let peer = self.peers.get_mut(slot)?;
        // A wipe that nobody has served yet would take this attempt, too.
        if peer.timers.take_due(Reason::WipeKeys, now) {
            self.wipe_keys(slot);
        }
        let peer = self.peers.get_mut(slot)?;
        let keys = self.identity.keys()?;

        let timestamp = match clock.next() {
            // The last resort against a clock that breaks its promise to increase.
            Ok(timestamp) => timestamp.max(self.last_timestamp.successor()),
            Err(unavailable) => {
                let obstacle = match unavailable {
                    ClockUnavailable::Reserve => Refusal::ClockReserve,
                    _ => Refusal::ClockNotSet,
                };
                peer.obstacle = Some(obstacle);
                peer.timers.arm_retransmit(now, &mut self.jitter);
                self.reschedule(slot);
                self.refuse(Some(slot), obstacle);
                return None;
            }
        };
        self.last_timestamp = timestamp;

        let index = self.receivers.claim(rng, slot, Receiver::Handshake);
        peer.handshake = Some(index);
        rng.fill_bytes(peer.initiator.ephemeral.as_mut());
        let Initiation { body, macs } = zerocopy::transmute_mut!(buf);
        let (remote, keep) = (&peer.remote, &mut peer.initiator);
        if handshake::create_initiation(keys, remote, index, timestamp, keep, body).is_err() {
            peer.obstacle = Some(Refusal::ZeroSharedSecret);
            self.end_attempt(slot);
            self.refuse(Some(slot), Refusal::ZeroSharedSecret);
            return None;
        }
        peer.jar.sign(now, &peer.remote.public, body.as_bytes(), macs);

        if unanswered {
            peer.obstacle = Some(Refusal::Unanswered);
        } else if peer.obstacle != Some(Refusal::Unanswered) {
            peer.obstacle = None;
        }
        peer.last_sent_handshake = Some(now);
        peer.timers.arm_retransmit(now, &mut self.jitter);
        peer.timers.any_authenticated_packet_sent();
        peer.timers.any_authenticated_packet_traversal(now, peer.persistent_keepalive);
        peer.sent(INITIATION_LEN);
        self.reschedule(slot);
        Some(Built { traffic_class: HANDSHAKE_CLASS, len: INITIATION_LEN })
    }

    /// mac1, and under load mac2 and the source's share: what an attacker's message costs.
    ///
    /// False when the sender is to come back with a cookie, which then stands in `message`.
    #[inline(never)]
    fn admit(
        &mut self,
        now: Instant,
        rng: &mut dyn CryptoRng,
        source: &SocketAddr,
        work: Work,
        message: &mut [u8],
    ) -> Result<bool, Refusal> {
        let Some((body, macs)) = message.split_last_chunk::<MACS_LEN>() else {
            return Err(self.refuse(None, Refusal::Malformed));
        };
        let macs: &Macs = zerocopy::transmute_ref!(macs);
        if !self.up {
            return Err(self.refuse(None, Refusal::Down));
        }
        if self.identity.keys().is_none() {
            return Err(self.refuse(None, Refusal::NoPrivateKey));
        }
        if !Checker::mac1_is_valid(&self.identity.macs, body, macs) {
            return Err(self.refuse(None, Refusal::Mac1Mismatch));
        }
        let turns = self.limiter.turns();
        let under_load = self.load.count(now);
        if !under_load && (work == Work::Nothing || self.load.take_unproven(now, turns)) {
            return Ok(true);
        }
        let identity = &mut *self.identity;
        if !identity.checker.mac2_is_valid(now, rng, source, body, macs) {
            let mac1 = macs.mac1;
            let Ok((reply, _)) = CookieReply::mut_from_prefix(message) else {
                return Err(self.refuse(None, Refusal::Malformed));
            };
            // The sender's index stands where the receiver's does in the reply.
            let sender = reply.receiver.get();
            identity.checker.reply(now, rng, &identity.macs, source, sender, &mac1, reply);
            return Ok(false);
        }
        if !self.limiter.allow(now, rng, &mut self.load, source.ip(), work) {
            return Err(self.refuse(None, Refusal::SourceLimit));
        }
        Ok(true)
    }

    // Not inlined, here and below: what handles data is not to pay for the stack of a handshake.
    /// Section 5.4.2, received, and 5.4.3, sent. Four X25519 operations when all is well, one
    /// when the peer is unknown, none under load.
    #[inline(never)]
    pub(super) fn handle_initiation<'b>(
        &mut self,
        now: Instant,
        rng: &mut dyn CryptoRng,
        from: &Source,
        buf: &'b mut [u8; INITIATION_LEN],
    ) -> Result<Received<'b>, Refusal> {
        if !self.admit(now, rng, &from.remote, Work::Initiation, buf)? {
            return Ok(cookie_reply(from, buf));
        }
        let Some(keys) = self.identity.keys() else {
            return Err(self.refuse(None, Refusal::NoPrivateKey));
        };
        let Initiation { body, .. } = zerocopy::transmute_mut!(&mut *buf);
        let mut responder = Responder::BLANK;
        let mut found = None;
        let consumed = handshake::consume_initiation(keys, body, &mut responder, |public| {
            found = find_peer(&self.identity, &self.keys, &self.peers, public);
            found.and_then(|slot| self.peers.get(slot)).map(|peer| &peer.remote)
        });
        let peer = found.and_then(|slot| Some((slot, self.peers.get(slot)?)));
        let refusal = match (consumed, peer) {
            (Err(refusal), _) => refusal,
            (Ok(()), None) => Refusal::UnknownPeer,
            (Ok(()), Some((slot, peer))) => {
                let flood = |last| !now.has_reached(last, INITIATION_MIN_INTERVAL);
                if responder.timestamp <= peer.greatest_timestamp {
                    Refusal::StaleTimestamp
                } else if peer.last_initiation_accepted.is_some_and(flood) {
                    Refusal::InitiationFlood
                } else {
                    return self.respond(now, rng, from, slot, &mut responder, buf);
                }
            }
        };
        Err(self.refuse(found, refusal))
    }

    #[inline(never)]
    fn respond<'b>(
        &mut self,
        now: Instant,
        rng: &mut dyn CryptoRng,
        from: &Source,
        slot: u32,
        responder: &mut Responder,
        buf: &'b mut [u8; INITIATION_LEN],
    ) -> Result<Received<'b>, Refusal> {
        self.jitter.stir(rng);
        self.limiter.seed(rng);
        let mut ephemeral = Secret::ZERO;
        rng.fill_bytes(ephemeral.as_mut());
        // The slot of the keypair is not known yet; the index is inherited below.
        let local = self.receivers.claim(rng, slot, Receiver::Handshake);
        let (datagram, _) =
            buf.split_first_chunk_mut::<RESPONSE_LEN>().ok_or(Refusal::Malformed)?;
        let Response { body, macs } = zerocopy::transmute_mut!(&mut *datagram);
        let mut keys = TransportKeys::BLANK;
        let created = match self.peers.get(slot) {
            Some(Peer { remote, .. }) => {
                handshake::create_response(remote, responder, &ephemeral, local, &mut keys, body)
                    .map_err(Refusal::from)
            }
            None => Err(Refusal::UnknownPeer),
        };
        if let Err(refusal) = created {
            self.receivers.release(local);
            return Err(self.refuse(Some(slot), refusal));
        }

        // Nothing can fail any more: commit.
        self.move_endpoint(now, slot, from);
        let Some(peer) = self.peers.get_mut(slot) else { return Err(Refusal::UnknownPeer) };
        peer.greatest_timestamp = responder.timestamp;
        peer.last_initiation_accepted = Some(now);
        peer.jar.sign(now, &peer.remote.public, body.as_bytes(), macs);
        let session = Session { birth: now, local, remote: responder.remote_index };
        let (keypair, left) = peer.keypairs.derived_as_responder(&keys, session);
        peer.timers.session_derived(now);
        peer.last_sent_handshake = Some(now);
        peer.sent(RESPONSE_LEN);
        peer.received(INITIATION_LEN);
        peer.timers.any_authenticated_packet_sent();
        peer.timers.any_authenticated_packet_received();
        peer.timers.any_authenticated_packet_traversal(now, peer.persistent_keepalive);
        self.receivers.inherit(local, slot, keypair);
        self.release(left);
        self.reschedule(slot);

        Ok(Received::Reply(Transmit {
            peer: Some(self.id(slot)),
            to: (*from).into(),
            traffic_class: HANDSHAKE_CLASS,
            datagram,
        }))
    }

    /// Section 5.4.3, received. Two X25519 operations.
    #[inline(never)]
    pub(super) fn handle_response<'b>(
        &mut self,
        now: Instant,
        rng: &mut dyn CryptoRng,
        from: &Source,
        buf: &'b mut [u8; RESPONSE_LEN],
    ) -> Result<Received<'b>, Refusal> {
        let Response { body, .. } = zerocopy::transmute_ref!(&*buf);
        let (local, remote) = (body.receiver.get(), body.sender.get());
        let ours = match self.receivers.find(local) {
            Some((slot, Receiver::Handshake)) => Some(slot),
            _ => None,
        };
        let work = if ours.is_some() { Work::Answer } else { Work::Nothing };
        if !self.admit(now, rng, &from.remote, work, buf)? {
            return Ok(cookie_reply(from, buf));
        }

        let Some(slot) = ours else {
            return Err(self.refuse(None, Refusal::UnknownIndex));
        };
        // Who slept through all retries may read what somebody held back before a timer is served.
        let current = |peer: &Peer| {
            let old =
                peer.last_sent_handshake.is_none_or(|s| now.has_reached(s, REJECT_AFTER_TIME));
            peer.handshake == Some(local) && !old
        };
        let Response { body, .. } = zerocopy::transmute_mut!(buf);
        let mut keys = TransportKeys::BLANK;
        let consumed = match (self.identity.keys(), self.peers.get(slot)) {
            (Some(ours), Some(peer)) if current(peer) => {
                handshake::consume_response(ours, &peer.remote, &peer.initiator, body, &mut keys)
            }
            _ => Err(Refusal::UnknownIndex),
        };
        if let Err(refusal) = consumed {
            return Err(self.refuse(Some(slot), refusal));
        }

        self.move_endpoint(now, slot, from);
        let Some(peer) = self.peers.get_mut(slot) else { return Err(Refusal::UnknownIndex) };
        peer.initiator.wipe();
        peer.handshake = None;
        let (keypair, left) =
            peer.keypairs.derived_as_initiator(&keys, Session { birth: now, local, remote });
        peer.timers.session_derived(now);
        peer.received(RESPONSE_LEN);
        peer.timers.any_authenticated_packet_received();
        peer.timers.any_authenticated_packet_traversal(now, peer.persistent_keepalive);
        // The responder sends nothing until it has heard from us: an empty packet will do,
        // unless something that waits goes out first.
        peer.wants.keepalive = true;
        self.transmits.push(&mut self.peers, slot);
        self.receivers.inherit(local, slot, keypair);
        self.release(left);
        self.session_up(now, slot);
        Ok(Received::Handshake(self.id(slot)))
    }

    /// Section 5.4.7, received. No X25519 operation.
    #[inline(never)]
    pub(super) fn handle_cookie_reply(
        &mut self,
        now: Instant,
        reply: &mut CookieReply,
    ) -> Result<Received<'static>, Refusal> {
        if !self.up {
            return Err(self.refuse(None, Refusal::Down));
        }
        let Some((slot, _)) = self.receivers.find(reply.receiver.get()) else {
            return Err(self.refuse(None, Refusal::UnknownIndex));
        };
        let Some(peer) = self.peers.get_mut(slot) else { return Err(Refusal::UnknownIndex) };
        match peer.jar.consume(now, &peer.remote.public, reply) {
            Ok(()) => Ok(Received::Cookie(self.id(slot))),
            Err(refusal) => Err(self.refuse(Some(slot), refusal)),
        }
    }

    /// A handshake is complete: the current keypair is new and may send. It ends an attempt of
    /// ours that is on its way: a late answer to that would take the newer session's place.
    pub(super) fn session_up(&mut self, now: Instant, slot: u32) {
        self.end_attempt(slot);
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let birth = peer.keypairs.current().and_then(Keypair::birth).unwrap_or(now);
        peer.timers.handshake_complete(birth);
        peer.last_handshake = Some(now);
        peer.obstacle = None;
        peer.wants.initiation = false;
        self.reschedule(slot);
        self.announce(slot, News::SESSION_UP);
        self.learn_address(now, slot);
    }

    /// Forgets the initiation that is unanswered, if there is one: no response will match.
    pub(super) fn end_attempt(&mut self, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.initiator.wipe();
        if let Some(handshake) = peer.handshake.take() {
            self.receivers.release(handshake);
        }
    }

    /// An authenticated packet says where the peer is now.
    pub(super) fn move_endpoint(&mut self, now: Instant, slot: u32, from: &Source) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.whereabouts.set(&Whereabouts::new(&from.remote, from.local.as_ref())) {
            self.announce(slot, News::ENDPOINT_MOVED);
            self.learn_address(now, slot);
        }
    }

    /// The address of a peer that has or had a session is served first under load.
    fn learn_address(&mut self, now: Instant, slot: u32) {
        let peer = self.peers.get(slot).filter(|peer| peer.last_handshake.is_some());
        if let Some(remote) = peer.and_then(|peer| peer.whereabouts.remote()) {
            self.limiter.learn(now, remote.ip());
        }
    }

    pub(super) fn release(&mut self, left: Left) {
        for index in left.into_iter().flatten() {
            self.receivers.release(index);
        }
    }
}

fn cookie_reply<'b>(from: &Source, buf: &'b mut [u8]) -> Received<'b> {
    let (datagram, _) = buf.split_at_mut_checked(COOKIE_REPLY_LEN).unwrap_or_default();
    Received::Reply(Transmit { peer: None, to: (*from).into(), traffic_class: 0, datagram })
}
