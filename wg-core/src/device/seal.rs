//! Inner packets out (whitepaper sections 3, 5.4.6 and 6).
//!
//! Data is sealed in two phases, like it is opened: [`Device::begin_seal`] chooses peer, key
//! and counter, [`SealJob::seal`] encrypts without the device, [`Device::commit_seal`] tells
//! the timers that the datagram goes out.
//!
//! On hosts the phases are inlined into [`Device::seal`]: a job that is passed through memory
//! costs a twentieth of a packet there. On bare metal flash counts for more.

use core::fmt;

use zerocopy::IntoBytes;

use super::open::Ticket;
use super::timeout::Request;
use super::{Built, Device};
use crate::constants::{PADDING_MULTIPLE, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME};
use crate::crypto;
use crate::endpoint::{Endpoint, Transmit};
use crate::ip;
use crate::message::{DATA_HEADER_LEN, DATA_OVERHEAD, DataHeader, INITIATION_LEN, TAG_LEN, kind};
use crate::peer::PeerId;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::time::Instant;

/// Why an inner packet was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendError {
    /// There is no session with the peer yet. One is being asked for: keep the packet until
    /// [`Event::SessionUp`](crate::Event::SessionUp), and drop it at
    /// [`Event::HandshakeGivenUp`](crate::Event::HandshakeGivenUp). The packet is unchanged.
    NoSession(PeerId),
    /// The packet cannot be sent, and waiting will not help; counted.
    /// [`Refusal::NoRoute`]: answer "no route to host" where there is a host.
    /// [`Refusal::NoEndpoint`]: answer "host unreachable".
    Refused(Refusal),
    /// The buffer has no room for head, padding and tag. Nothing was changed.
    BufferTooSmall {
        /// The bytes that are needed.
        needed: usize,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession(_) => f.write_str("no session yet; a handshake is asked for"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::BufferTooSmall { needed } => {
                write!(f, "the buffer is too small: {needed} bytes are needed")
            }
        }
    }
}

impl core::error::Error for SendError {}

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
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub fn seal(self, buf: &mut [u8]) -> Result<Sealed<'_>, SendError> {
        self.seal_in_place(buf)
    }

    /// Without moving the job, whose copy would stand on the stack below the cipher.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn seal_in_place<'b>(&self, buf: &'b mut [u8]) -> Result<Sealed<'b>, SendError> {
        let needed = self.datagram_len();
        let Some(datagram) = buf.get_mut(..needed) else {
            return Err(SendError::BufferTooSmall { needed });
        };
        seal_datagram(self.key.as_bytes(), &self.header, self.len, datagram);
        Ok(Sealed { ticket: self.ticket, traffic_class: self.traffic_class, datagram })
    }
}

impl Device<'_> {
    /// Turns the inner packet of `len` bytes at `buf[16..]` into a datagram, in place, to the
    /// peer that its destination address routes to.
    ///
    /// `buf` has 16 bytes of head room before the packet, and behind it room for padding to a
    /// multiple of 16 and 16 bytes of tag. Any alignment will do; a buffer aligned to 4 bytes
    /// is encrypted faster on 32-bit targets. Costs one ChaCha20-Poly1305.
    ///
    /// # Errors
    /// See [`SendError`]; the packet in `buf` is then as it was.
    pub fn seal<'b>(
        &mut self,
        now: Instant,
        buf: &'b mut [u8],
        len: usize,
    ) -> Result<Transmit<'b>, SendError> {
        let needed = padded_len(len, self.mtu).saturating_add(DATA_OVERHEAD);
        let end = DATA_HEADER_LEN.saturating_add(len);
        let packet = buf.get(DATA_HEADER_LEN..end).filter(|_| needed <= buf.len());
        let Some(packet) = packet else { return Err(SendError::BufferTooSmall { needed }) };
        let job = self.begin_seal(now, packet);
        let sealed = job.as_ref().map_err(|error| *error)?.seal_in_place(buf)?;
        self.commit_seal(now, sealed).map_err(SendError::Refused)
    }

    /// Where [`seal`](Self::seal) would send an inner packet, and the length of the datagram;
    /// `None` for what it refuses. Nothing is changed and nothing counted.
    ///
    /// For who knows what the network carries whole: what is sealed counts as sent, and an answer
    /// is waited for. O(prefix length).
    pub fn preview(&self, packet: &[u8]) -> Option<(Endpoint, usize)> {
        let header = ip::parse(packet).ok().filter(|_| self.up)?;
        let to = self.peers.get(self.routes.lookup(header.destination)?)?.whereabouts.get()?;
        Some((to, padded_len(packet.len(), self.mtu).saturating_add(DATA_OVERHEAD)))
    }

    /// First phase: chooses the peer by the packet's destination, and takes a counter of its
    /// current session, or asks for one. O(prefix length).
    ///
    /// # Errors
    /// See [`SendError`].
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub fn begin_seal(&mut self, now: Instant, packet: &[u8]) -> Result<SealJob, SendError> {
        if !self.up {
            return Err(SendError::Refused(self.refuse(None, Refusal::Down)));
        }
        let Ok(header) = ip::parse(packet) else {
            return Err(SendError::Refused(self.refuse(None, Refusal::MalformedInner)));
        };
        let Some(slot) = self.routes.lookup(header.destination) else {
            return Err(SendError::Refused(self.refuse(None, Refusal::NoRoute)));
        };
        if self.peers.get(slot).is_none_or(|peer| !peer.whereabouts.is_known()) {
            return Err(SendError::Refused(self.refuse(Some(slot), Refusal::NoEndpoint)));
        }
        let traffic_class = header.ecn.encapsulated().traffic_class();
        match self.take_job(now, slot, packet.len(), traffic_class) {
            Some(job) => Ok(job),
            None => {
                self.request_handshake(now, slot, Request::Need);
                Err(SendError::NoSession(self.id(slot)))
            }
        }
    }

    /// Last phase: the datagram is about to be sent. O(log peers).
    ///
    /// # Errors
    /// [`Refusal::SessionGone`], counted, when the session ended since
    /// [`begin_seal`](Self::begin_seal), or is another device's; the datagram is of no use
    /// then.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub fn commit_seal<'b>(
        &mut self,
        now: Instant,
        sealed: Sealed<'b>,
    ) -> Result<Transmit<'b>, Refusal> {
        let Sealed { ticket, traffic_class, datagram } = sealed;
        let slot = ticket.peer;
        let mine = ticket.device == self.address();
        let peer = self
            .peers
            .get_mut(slot)
            .filter(|_| mine)
            .filter(|peer| peer.keypairs.holds(ticket.keypair, ticket.local));
        let Some((peer, to)) = peer.and_then(|peer| peer.whereabouts.get().map(|to| (peer, to)))
        else {
            return Err(self.refuse(None, Refusal::SessionGone));
        };

        peer.sent(datagram.len());
        peer.wants.keepalive = false;
        peer.timers.any_authenticated_packet_sent();
        peer.timers.any_authenticated_packet_traversal(now, peer.persistent_keepalive);
        if datagram.len() > DATA_OVERHEAD {
            peer.timers.data_sent(now, &mut self.jitter);
        }
        let old_key = peer.keypairs.current().is_some_and(|current| {
            current.sent() > REKEY_AFTER_MESSAGES
                || current.initiator && current.has_age(now, REKEY_AFTER_TIME)
        });
        self.reschedule(slot);
        if old_key {
            self.request_handshake(now, slot, Request::Need);
        }
        Ok(Transmit { peer: Some(self.id(slot)), to, traffic_class, datagram })
    }

    /// An empty data packet, if the session that it was wanted for is still there.
    pub(super) fn keep_alive(
        &mut self,
        now: Instant,
        slot: u32,
        buf: &mut [u8; INITIATION_LEN],
    ) -> Option<Built> {
        let Some(job) = self.take_job(now, slot, 0, 0) else {
            self.request_handshake(now, slot, Request::Need);
            return None;
        };
        let another_follows = self.peers.get(slot)?.timers.another_follows();
        let sealed = job.seal(buf).ok()?;
        let Transmit { to, traffic_class, datagram, .. } = self.commit_seal(now, sealed).ok()?;
        self.peers.get_mut(slot)?.timers.keepalive_sent(now, another_follows);
        self.reschedule(slot);
        Some(Built { to, traffic_class, len: datagram.len() })
    }

    /// The next counter of the current session, when that can send.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn take_job(
        &mut self,
        now: Instant,
        slot: u32,
        len: usize,
        traffic_class: u8,
    ) -> Option<SealJob> {
        let device = self.address();
        let padded = padded_len(len, self.mtu);
        let peer = self.peers.get_mut(slot)?;
        let (keypair_slot, keypair) = peer.keypairs.current_mut()?;
        if !keypair.can_send(now) {
            return None;
        }
        let header = DataHeader {
            kind: kind::DATA.into(),
            receiver: keypair.remote.into(),
            counter: keypair.take_counter().into(),
        };
        Some(SealJob {
            ticket: Ticket { device, peer: slot, keypair: keypair_slot, local: keypair.local },
            header,
            key: keypair.send.clone(),
            traffic_class,
            len,
            padded,
        })
    }
}

/// Writes header, padding and tag around the packet and encrypts it. `datagram` is exactly as
/// long as the padded packet needs.
#[cfg_attr(not(target_os = "none"), inline(always))]
fn seal_datagram(key: &[u8; 32], header: &DataHeader, len: usize, datagram: &mut [u8]) {
    // Calculate where everything is.
    let Some((head, sealed)) = datagram.split_first_chunk_mut::<DATA_HEADER_LEN>() else { return };
    let Some((text, tag)) = sealed.split_last_chunk_mut::<TAG_LEN>() else { return };
    // The padding is zeros.
    if let Some(padding) = text.get_mut(len..) {
        padding.fill(0);
    }
    head.copy_from_slice(header.as_bytes());
    *tag = crypto::seal(key, header.counter.get(), &[], text);
}

/// The length that a packet is padded to: the next multiple of 16, but not past the MTU.
///
/// A packet over the MTU is many packets to be split later, of which the last is padded.
/// MTU 0 is none.
const fn padded_len(len: usize, mtu: u16) -> usize {
    let mtu = mtu as usize;
    let last = if mtu != 0 && len > mtu {
        match len.checked_rem(mtu) {
            Some(last) => last,
            None => len,
        }
    } else {
        len
    };
    let mut padded = match last.checked_next_multiple_of(PADDING_MULTIPLE) {
        Some(padded) => padded,
        None => last,
    };
    if mtu != 0 && padded > mtu {
        padded = mtu;
    }
    len.saturating_add(padded.saturating_sub(last))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_reaches_a_multiple_of_16_and_never_the_mtu() {
        for (len, mtu, padded) in [
            (0, 1420, 0),
            (1, 1420, 16),
            (16, 1420, 16),
            (1408, 1420, 1408),
            (1409, 1420, 1420),
            (1420, 1420, 1420),
            (1421, 1420, 1436),
            (2840, 1420, 2840),
            (1409, 0, 1424),
            (1_421, 0, 1_424),
        ] {
            assert_eq!(padded_len(len, mtu), padded, "{len} at MTU {mtu}");
        }
    }
}
