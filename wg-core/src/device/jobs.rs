//! Data in two phases, for hosts that encrypt and decrypt on several cores.
//!
//! `begin_*` chooses the key and gives a job that needs the device no more; `commit_*` does the
//! rest, and for what was opened takes the proof that it is authentic. [`Device::seal`] and
//! [`Device::handle_datagram`] do the same in one call without copying a key, and do not link this.

use core::fmt;

use super::Device;
use super::open::{Found, Received, open_datagram};
use super::seal::{SendError, padded_len, seal_datagram};
use crate::endpoint::{Source, Transmit};
use crate::keypair::Slot;
use crate::message::{DATA_OVERHEAD, DataHeader};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::time::Instant;

/// Which keypair of which device a job works for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ticket {
    /// Where the device keeps its peers, which no two devices share.
    device: usize,
    peer: u32,
    keypair: Slot,
    /// The keypair's index, random: another keypair in the same slot has another one.
    local: u32,
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
        let (ticket, counter) = (self.ticket, self.counter);
        match open_datagram(self.key.as_bytes(), counter, datagram) {
            Some(plaintext) => Ok(Opened { ticket, counter, plaintext }),
            None => Err(Forged { ticket }),
        }
    }
}

/// An inner packet for which peer, key and counter are chosen. Its counter is used up, sent
/// or not.
#[must_use = "a job that is dropped drops its packet"]
pub struct SealJob {
    ticket: Ticket,
    header: DataHeader,
    key: Secret<32>,
    traffic_class: u8,
    len: usize,
    padded: usize,
}

/// A sealed datagram, to be committed and sent.
#[must_use = "a datagram that is not committed is not sent"]
pub struct Sealed<'b> {
    ticket: Ticket,
    traffic_class: u8,
    datagram: &'b mut [u8],
}

impl SealJob {
    /// Bytes of the buffer that [`seal`](Self::seal) needs: the datagram's length.
    pub const fn datagram_len(&self) -> usize {
        self.padded.saturating_add(DATA_OVERHEAD)
    }

    /// Encrypts in place: `buf` holds 16 bytes of head room, the packet that the job was
    /// begun with, and room for padding and the tag. Needs no device; wipes its key.
    ///
    /// # Errors
    /// [`SendError::BufferTooSmall`]: the packet is lost, its counter is used up.
    pub fn seal(self, buf: &mut [u8]) -> Result<Sealed<'_>, SendError> {
        let needed = self.datagram_len();
        let Some(datagram) = buf.get_mut(..needed) else {
            return Err(SendError::BufferTooSmall { needed });
        };
        seal_datagram(self.key.as_bytes(), &self.header, self.len, datagram);
        Ok(Sealed { ticket: self.ticket, traffic_class: self.traffic_class, datagram })
    }
}

impl Device<'_> {
    /// First phase: finds the key of a data message. Looks at the replay window, to refuse
    /// early what cannot be accepted later, and changes nothing but a counter of drops. O(1).
    ///
    /// # Errors
    /// A [`Refusal`], which is counted; [`Refusal::Malformed`] for any other message.
    pub fn begin_open(&mut self, now: Instant, datagram: &[u8]) -> Result<OpenJob, Refusal> {
        let Found { peer, keypair, local, counter } = self.find_session(now, datagram)?;
        let Some(keypairs) = self.peers.get(peer).map(|peer| &peer.keypairs) else {
            return Err(self.refuse(None, Refusal::UnknownIndex));
        };
        let ticket = Ticket { device: self.address(), peer, keypair, local };
        Ok(OpenJob { ticket, counter, key: keypairs.get(keypair).receive.clone() })
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
        if !self.honours(&ticket) {
            return Err(self.refuse(None, Refusal::SessionGone));
        }
        let Ticket { peer, keypair, local, .. } = ticket;
        self.accept(now, &from, Found { peer, keypair, local, counter }, plaintext)
    }

    /// Counts a data message that did not authenticate.
    pub fn commit_forged(&mut self, forged: Forged) -> Refusal {
        let alive = self.honours(&forged.ticket);
        self.refuse(alive.then_some(forged.ticket.peer), Refusal::Forged)
    }

    /// First phase: chooses the peer by the packet's destination, and takes a counter of its
    /// current session, or asks for one. O(prefix length).
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn begin_seal(&mut self, now: Instant, packet: &[u8]) -> Result<SealJob, SendError> {
        let (slot, traffic_class) = self.route(packet)?;
        let device = self.address();
        let padded = padded_len(packet.len(), self.mtu);
        let current = self.peers.get_mut(slot).and_then(|peer| peer.keypairs.current_mut());
        let Some((place, keypair)) = current.filter(|(_, keypair)| keypair.can_send(now)) else {
            return Err(self.no_session(now, slot));
        };
        Ok(SealJob {
            ticket: Ticket { device, peer: slot, keypair: place, local: keypair.local },
            header: keypair.next_header(),
            key: keypair.send.clone(),
            traffic_class,
            len: packet.len(),
            padded,
        })
    }

    /// Last phase: the datagram is about to be sent. O(log peers).
    ///
    /// # Errors
    /// [`Refusal::SessionGone`], counted, when the session ended since
    /// [`begin_seal`](Self::begin_seal), or is another device's; the datagram is of no use
    /// then.
    pub fn commit_seal<'b>(
        &mut self,
        now: Instant,
        sealed: Sealed<'b>,
    ) -> Result<Transmit<'b>, Refusal> {
        let Sealed { ticket, traffic_class, datagram } = sealed;
        let slot = ticket.peer;
        let honoured = self.honours(&ticket);
        let peer = self.peers.get(slot).filter(|_| honoured);
        let Some(to) = peer.and_then(|peer| peer.whereabouts.get()) else {
            return Err(self.refuse(None, Refusal::SessionGone));
        };
        self.sent(now, slot, datagram.len());
        Ok(Transmit { peer: Some(self.id(slot)), to, traffic_class, datagram })
    }

    /// Whether the keypair of a job is this device's, and still there.
    fn honours(&self, ticket: &Ticket) -> bool {
        let peer = self.peers.get(ticket.peer).filter(|_| ticket.device == self.address());
        peer.is_some_and(|peer| peer.keypairs.holds(ticket.keypair, ticket.local))
    }

    /// What tells this device from every other one that is alive.
    fn address(&self) -> usize {
        self.peers.get(0).map_or(0, |peer| core::ptr::from_ref(peer).addr())
    }
}

impl fmt::Debug for SealJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counter = self.header.counter.get();
        f.debug_struct("SealJob").field("counter", &counter).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sealed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("len", &self.datagram.len()).finish_non_exhaustive()
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
