//! Datagrams in, and the order in which data is checked: authenticate, replay window, roam,
//! rotate, route (whitepaper sections 2, 3, 5.4.6 and 6).
//!
//! Data is opened in two phases. [`Device::begin_open`] finds the key and gives a job that
//! needs the device no more, so that a host can decrypt on any core; [`Device::commit_open`]
//! takes the proof that the packet is authentic and does everything else.

use core::fmt;

use rand_core::CryptoRng;

use super::Device;
use super::receivers::Receiver;
use super::timeout::Request;
use crate::constants::{REJECT_AFTER_MESSAGES, REKEY_ON_RECEIVE_AFTER_TIME};
use crate::crypto;
use crate::endpoint::{Source, Transmit};
use crate::ip;
use crate::keypair::Slot;
use crate::message::{DATA_HEADER_LEN, Message, TAG_LEN};
use crate::peer::PeerId;
use crate::refusal::Refusal;
use crate::replay::Stale;
use crate::secret::Secret;
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

/// Which keypair of which device a job works for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Where the device keeps its peers, which no two devices share.
    pub(super) device: usize,
    pub(super) peer: u32,
    pub(super) keypair: Slot,
    /// The keypair's index, random: another keypair in the same slot has another one.
    pub(super) local: u32,
}

/// A data message whose key was found and that is not yet decrypted.
#[must_use = "a job that is dropped drops its packet"]
pub struct OpenJob {
    ticket: Ticket,
    counter: u64,
    key: Secret<32>,
}

/// The proof that a data message is authentic, with its decrypted contents.
///
/// Only [`OpenJob::open`] makes one.
#[must_use = "a packet that is not committed is dropped"]
pub struct Opened<'b> {
    ticket: Ticket,
    counter: u64,
    plaintext: &'b mut [u8],
}

/// A data message that did not authenticate, to be counted by [`Device::commit_forged`].
pub struct Forged {
    ticket: Ticket,
}

impl OpenJob {
    /// Decrypts the datagram that the job was begun with, in place. Needs no device; wipes
    /// its key.
    ///
    /// # Errors
    /// [`Forged`] when the datagram is not authentic, or not the one of this job. The
    /// contents of `datagram` are then to be thrown away.
    pub fn open(self, datagram: &mut [u8]) -> Result<Opened<'_>, Forged> {
        let Self { ticket, counter, key } = self;
        let opened = datagram
            .split_at_mut_checked(DATA_HEADER_LEN)
            .and_then(|(_, sealed)| sealed.split_last_chunk_mut::<TAG_LEN>())
            .and_then(|(text, tag)| {
                crypto::open(key.as_bytes(), counter, &[], text, tag).is_ok().then_some(text)
            });
        match opened {
            Some(plaintext) => Ok(Opened { ticket, counter, plaintext }),
            None => Err(Forged { ticket }),
        }
    }
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
            Ok(Message::Data(_)) => self.handle_data(now, from, buf),
            Ok(Message::CookieReply(reply)) => self.handle_cookie_reply(now, reply),
            Ok(Message::Initiation) => match buf.try_into() {
                Ok(buf) => self.handle_initiation(now, rng, from, buf),
                Err(_) => Err(self.refuse(None, Refusal::Malformed)),
            },
            Ok(Message::Response) => match buf.try_into() {
                Ok(buf) => self.handle_response(now, rng, from, buf),
                Err(_) => Err(self.refuse(None, Refusal::Malformed)),
            },
            Err(refusal) => Err(self.refuse(None, refusal)),
        }
    }

    fn handle_data<'b>(
        &mut self,
        now: Instant,
        from: Source,
        buf: &'b mut [u8],
    ) -> Result<Received<'b>, Refusal> {
        match self.begin_open(now, buf)?.open(buf) {
            Ok(opened) => self.commit_open(now, from, opened),
            Err(forged) => Err(self.commit_forged(forged)),
        }
    }

    /// First phase: finds the key of a data message. Looks at the replay window, to refuse
    /// early what cannot be accepted later, and changes nothing but a counter of drops. O(1).
    ///
    /// # Errors
    /// A [`Refusal`], which is counted; [`Refusal::Malformed`] for any other message.
    pub fn begin_open(&mut self, now: Instant, datagram: &[u8]) -> Result<OpenJob, Refusal> {
        let Ok(Message::Data(header)) = Message::parse(datagram) else {
            return Err(self.refuse(None, Refusal::Malformed));
        };
        let (local, counter) = (header.receiver.get(), header.counter.get());
        if !self.up {
            return Err(self.refuse(None, Refusal::Down));
        }
        let device = self.address();
        let found = match self.receivers.find(local) {
            Some((peer, Receiver::Keypair(keypair))) => Some((peer, keypair)),
            _ => None,
        };
        let Some((peer, slot)) = found else {
            return Err(self.refuse(None, Refusal::UnknownIndex));
        };
        let keypairs = self.peers.get(peer).map(|peer| &peer.keypairs);
        let keypair = keypairs.and_then(|keypairs| keypairs.receiving(slot, local));
        let (Some(keypairs), Some(keypair)) = (keypairs, keypair) else {
            return Err(self.refuse(None, Refusal::UnknownIndex));
        };

        let refusal = if keypair.is_expired(now) {
            Some(Refusal::SessionExpired)
        } else if counter >= REJECT_AFTER_MESSAGES {
            Some(Refusal::CounterExhausted)
        } else {
            keypairs.check(slot, counter).err().map(Refusal::from)
        };
        match refusal {
            Some(refusal) => Err(self.refuse(Some(peer), refusal)),
            None => Ok(OpenJob {
                ticket: Ticket { device, peer, keypair: slot, local },
                counter,
                key: keypair.receive.clone(),
            }),
        }
    }

    /// Last phase: accepts the counter once, learns from where the peer sends, rotates keys,
    /// tells the timers, and checks the inner packet. O(log peers + prefix length).
    ///
    /// Packets of one peer are to be committed in the order in which they came.
    ///
    /// # Errors
    /// A [`Refusal`], which is counted; [`Refusal::SessionGone`] when the session ended since
    /// [`begin_open`](Self::begin_open), or is another device's.
    pub fn commit_open<'b>(
        &mut self,
        now: Instant,
        from: Source,
        opened: Opened<'b>,
    ) -> Result<Received<'b>, Refusal> {
        let Opened { ticket, counter, plaintext } = opened;
        let slot = ticket.peer;
        let mine = ticket.device == self.address();
        let peer = self.peers.get_mut(slot).filter(|_| mine);
        let peer = peer.filter(|peer| peer.keypairs.holds(ticket.keypair, ticket.local));
        let Some(peer) = peer else {
            return Err(self.refuse(None, Refusal::SessionGone));
        };
        let confirmed = match peer.keypairs.accept(ticket.keypair, counter) {
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
        self.admit_inner(from, slot, plaintext, message_len)
    }

    /// Counts a data message that did not authenticate.
    pub fn commit_forged(&mut self, forged: Forged) -> Refusal {
        let Ticket { device, peer, keypair, local } = forged.ticket;
        let mine = device == self.address();
        let alive = self.peers.get(peer).is_some_and(|p| p.keypairs.holds(keypair, local)) && mine;
        self.refuse(alive.then_some(peer), Refusal::Forged)
    }

    /// The checks of the inner packet: whole, from an address of this very peer.
    fn admit_inner<'b>(
        &mut self,
        from: Source,
        slot: u32,
        plaintext: &'b mut [u8],
        message_len: usize,
    ) -> Result<Received<'b>, Refusal> {
        let Ok(header) = ip::parse(plaintext) else {
            return Err(self.refuse(Some(slot), Refusal::MalformedInner));
        };
        if self.routes.lookup(header.source) != Some(slot) {
            return Err(self.refuse(Some(slot), Refusal::NotAllowedSource));
        }
        let Some(packet) = plaintext.get_mut(..header.length) else {
            return Err(self.refuse(Some(slot), Refusal::MalformedInner));
        };
        // As the kernel does it: a path that marks everything must not cost every packet.
        if ip::decapsulate_ecn(packet, from.ecn).is_err() {
            self.refuse(Some(slot), Refusal::CongestionLost);
        }
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.received(message_len);
        }
        Ok(Received::Packet { peer: self.id(slot), packet })
    }

    /// What tells this device from every other one that is alive.
    pub(super) fn address(&self) -> usize {
        self.peers.get(0).map_or(0, |peer| core::ptr::from_ref(peer).addr())
    }
}

impl From<Stale> for Refusal {
    fn from(stale: Stale) -> Self {
        match stale {
            Stale::Seen => Self::Replayed,
            Stale::TooOld => Self::TooOld,
            Stale::PastLimit => Self::CounterExhausted,
        }
    }
}

impl fmt::Debug for OpenJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenJob").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl fmt::Debug for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forged")
    }
}
