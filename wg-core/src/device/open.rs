//! Datagrams in, and the order in which data is checked: authenticate, replay window, roam,
//! rotate, route (whitepaper sections 2, 3, 5.4.6 and 6).
//!
//! This file is that order; `jobs` lets a host do the same in two phases.

use rand_core::CryptoRng;
use zerocopy::FromBytes;

use super::Device;
use super::receivers::Receiver;
use super::timeout::Request;
use crate::constants::REKEY_ON_RECEIVE_AFTER_TIME;
use crate::crypto;
use crate::endpoint::{Source, Transmit};
use crate::ip::{self, Ecn};
use crate::keypair::Slot;
use crate::message::{CookieReply, DATA_HEADER_LEN, Message, TAG_LEN};
use crate::peer_id::PeerId;
use crate::refusal::Refusal;
use crate::time::Instant;

/// What a datagram turned out to be.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received<'b> {
    /// An inner IP packet, for the host's stack or for forwarding.
    Packet {
        /// Who sent it.
        peer: PeerId,
        /// The packet, in the buffer that the datagram came in.
        packet: &'b mut [u8],
    },
    /// An empty data packet: the peer is alive.
    Keepalive(PeerId),
    /// An answer to send at once: a handshake response, or a cookie reply under load.
    Reply(Transmit<'b>),
    /// A handshake response that completed a session of ours.
    Handshake(PeerId),
    /// A cookie, used by the next handshake message to this peer.
    Cookie(PeerId),
}

/// A data message that a session is for, and that is not yet decrypted.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) peer: u32,
    pub(super) keypair: Slot,
    pub(super) local: u32,
    pub(super) counter: u64,
}

impl Device<'_> {
    /// Takes a datagram that came from `from`, decrypts it in place and says what it is.
    ///
    /// `rng` is used for handshakes only. Costs at most four X25519 operations, for an
    /// initiation; data costs one ChaCha20-Poly1305.
    ///
    /// # Errors
    /// A [`Refusal`], which is counted. Nothing of `buf` is to be used then.
    pub fn handle_datagram<'b, R: CryptoRng + ?Sized>(
        &mut self,
        now: Instant,
        mut rng: &mut R,
        from: Source,
        buf: &'b mut [u8],
    ) -> Result<Received<'b>, Refusal> {
        let rng: &mut dyn CryptoRng = &mut rng;
        match Message::parse(buf) {
            Ok(Message::Data(_)) => self.handle_data(now, &from, buf),
            Ok(Message::CookieReply) => match CookieReply::mut_from_bytes(buf) {
                Ok(reply) => self.handle_cookie_reply(now, reply),
                Err(_) => Err(self.refuse(None, Refusal::Malformed)),
            },
            Ok(Message::Initiation) => match buf.try_into() {
                Ok(buf) => self.handle_initiation(now, rng, &from, buf),
                Err(_) => Err(self.refuse(None, Refusal::Malformed)),
            },
            Ok(Message::Response) => match buf.try_into() {
                Ok(buf) => self.handle_response(now, rng, &from, buf),
                Err(_) => Err(self.refuse(None, Refusal::Malformed)),
            },
            Err(refusal) => Err(self.refuse(None, refusal)),
        }
    }

    fn handle_data<'b>(
        &mut self,
        now: Instant,
        from: &Source,
        buf: &'b mut [u8],
    ) -> Result<Received<'b>, Refusal> {
        let found = self.find_session(now, buf)?;
        let keypairs = self.peers.get(found.peer).map(|peer| &peer.keypairs);
        let key = keypairs.map(|keypairs| keypairs.get(found.keypair).receive.as_bytes());
        match key.and_then(|key| open_datagram(key, found.counter, buf)) {
            Some(plaintext) => self.accept(now, from, found, plaintext),
            None => Err(self.refuse(Some(found.peer), Refusal::Forged)),
        }
    }

    /// The session that a data message is for, unless its counter cannot be accepted later: looks
    /// at the replay window, and changes nothing but a counter of drops. O(1).
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub(super) fn find_session(&mut self, now: Instant, datagram: &[u8]) -> Result<Found, Refusal> {
        let Ok(Message::Data(header)) = Message::parse(datagram) else {
            return Err(self.refuse(None, Refusal::Malformed));
        };
        let (local, counter) = (header.receiver.get(), header.counter.get());
        if !self.up {
            return Err(self.refuse(None, Refusal::Down));
        }
        let found = match self.receivers.find(local) {
            Some((peer, Receiver::Keypair(slot))) => {
                self.peers.get(peer).map(|entry| (peer, slot, &entry.keypairs))
            }
            _ => None,
        };
        let found = found.filter(|(_, slot, keypairs)| keypairs.holds(*slot, local));
        let Some((peer, keypair, keypairs)) = found else {
            return Err(self.refuse(None, Refusal::UnknownIndex));
        };
        let refusal = if keypairs.get(keypair).is_expired(now) {
            Refusal::SessionExpired
        } else if let Err(stale) = keypairs.check(keypair, counter) {
            stale.into()
        } else {
            return Ok(Found { peer, keypair, local, counter });
        };
        Err(self.refuse(Some(peer), refusal))
    }

    /// Accepts the counter of an authentic packet once, learns from where the peer sends, rotates
    /// keys, tells the timers, and checks the inner packet. O(log peers + prefix length).
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub(super) fn accept<'b>(
        &mut self,
        now: Instant,
        from: &Source,
        found: Found,
        plaintext: &'b mut [u8],
    ) -> Result<Received<'b>, Refusal> {
        let slot = found.peer;
        let Some(peer) = self.peers.get_mut(slot) else {
            return Err(self.refuse(None, Refusal::SessionGone));
        };
        let confirmed = match peer.keypairs.accept(found.keypair, found.counter) {
            Ok(confirmed) => confirmed,
            Err(stale) => return Err(self.refuse(Some(slot), stale.into())),
        };

        // Authentic and new: from here on the packet changes things.
        self.move_endpoint(now, slot, from);
        if let Some(left) = confirmed {
            self.release(left);
            self.session_up(now, slot);
        }
        let Some(peer) = self.peers.get_mut(slot) else {
            return Err(self.refuse(None, Refusal::SessionGone));
        };
        let old_key = peer.keypairs.current().is_some_and(|current| {
            current.initiator && current.has_age(now, REKEY_ON_RECEIVE_AFTER_TIME)
        });
        let ask = old_key && peer.timers.ask_on_receive();
        peer.timers.any_authenticated_packet_received();
        peer.timers.any_authenticated_packet_traversal(now, peer.persistent_keepalive);

        let message_len = plaintext.len().saturating_add(DATA_HEADER_LEN + TAG_LEN);
        let keepalive = plaintext.is_empty();
        if keepalive {
            peer.received(message_len);
        } else {
            peer.timers.data_received(now);
        }
        self.reschedule(slot);
        if ask {
            self.request_handshake(now, slot, Request::Need);
        }
        if keepalive {
            return Ok(Received::Keepalive(self.id(slot)));
        }
        self.admit_inner(from.ecn, slot, plaintext, message_len)
    }

    /// The checks of the inner packet: whole, from an address of this very peer.
    fn admit_inner<'b>(
        &mut self,
        ecn: Ecn,
        slot: u32,
        plaintext: &'b mut [u8],
        message_len: usize,
    ) -> Result<Received<'b>, Refusal> {
        let Ok(header) = ip::parse(plaintext) else {
            return Err(self.refuse(Some(slot), Refusal::MalformedInner));
        };
        if self.routes.owner_of(&header.source(plaintext)) != Some(slot) {
            return Err(self.refuse(Some(slot), Refusal::NotAllowedSource));
        }
        let Some(packet) = plaintext.get_mut(..header.length as usize) else {
            return Err(self.refuse(Some(slot), Refusal::MalformedInner));
        };
        // As the kernel does it: a path that marks everything must not cost every packet.
        if ip::decapsulate_ecn(packet, ecn).is_err() {
            self.refuse(Some(slot), Refusal::CongestionLost);
        }
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.received(message_len);
        }
        Ok(Received::Packet { peer: self.id(slot), packet })
    }
}

/// Checks and decrypts a data message in place; what was in it, padding included.
#[cfg_attr(not(target_os = "none"), inline(always))]
pub(super) fn open_datagram<'b>(
    key: &[u8; 32],
    counter: u64,
    datagram: &'b mut [u8],
) -> Option<&'b mut [u8]> {
    let (_, sealed) = datagram.split_at_mut_checked(DATA_HEADER_LEN)?;
    let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>()?;
    crypto::open(key, counter, &[], text, tag).is_ok().then_some(text)
}
