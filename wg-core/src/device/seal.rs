//! Inner packets out (whitepaper sections 3, 5.4.6 and 6); `jobs` lets a host do the same in two
//! phases.

use core::fmt;

use zerocopy::IntoBytes;

use super::timeout::Request;
use super::{Built, Device};
use crate::constants::{PADDING_MULTIPLE, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME};
use crate::crypto;
use crate::endpoint::{Endpoint, Transmit};
use crate::ip;
use crate::message::{DATA_HEADER_LEN, DATA_OVERHEAD, DataHeader, INITIATION_LEN, TAG_LEN};
use crate::peer_id::PeerId;
use crate::refusal::Refusal;
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
        let Some(datagram) = buf.get_mut(..needed) else {
            return Err(SendError::BufferTooSmall { needed });
        };
        let packet = datagram.get(DATA_HEADER_LEN..end).unwrap_or_default();
        let (slot, traffic_class) = self.route(packet)?;
        if !self.seal_to(now, slot, len, datagram) {
            return Err(self.no_session(now, slot));
        }
        let peer = self.id(slot);
        let to = self.peers.get(slot).and_then(|peer| peer.whereabouts.get());
        // There is one, or there would be no route.
        let Some(to) = to else { return Err(SendError::Refused(Refusal::NoEndpoint)) };
        Ok(Transmit { peer: Some(peer), to, traffic_class, datagram })
    }

    /// Where [`seal`](Self::seal) would send an inner packet, and the length of the datagram;
    /// `None` for what it refuses. Nothing is changed and nothing counted.
    ///
    /// For who knows what the network carries whole: what is sealed counts as sent, and an answer
    /// is waited for. O(prefix length).
    pub fn preview(&self, packet: &[u8]) -> Option<(Endpoint, usize)> {
        let header = ip::parse(packet).ok().filter(|_| self.up)?;
        let slot = self.routes.owner_of(&header.destination(packet))?;
        let to = self.peers.get(slot)?.whereabouts.get()?;
        Some((to, padded_len(packet.len(), self.mtu).saturating_add(DATA_OVERHEAD)))
    }

    /// The peer that an inner packet goes to, and the outer traffic class.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub(super) fn route(&mut self, packet: &[u8]) -> Result<(u32, u8), SendError> {
        let mut to = None;
        let refusal = if !self.up {
            Refusal::Down
        } else if let Ok(header) = ip::parse(packet) {
            to = self.routes.owner_of(&header.destination(packet));
            match to.and_then(|slot| Some((slot, self.peers.get(slot)?))) {
                None => Refusal::NoRoute,
                Some((_, peer)) if !peer.whereabouts.is_known() => Refusal::NoEndpoint,
                Some((slot, _)) => return Ok((slot, header.ecn.encapsulated().traffic_class())),
            }
        } else {
            Refusal::MalformedInner
        };
        Err(SendError::Refused(self.refuse(to, refusal)))
    }

    pub(super) fn no_session(&mut self, now: Instant, slot: u32) -> SendError {
        self.request_handshake(now, slot, Request::Need);
        SendError::NoSession(self.id(slot))
    }

    /// Seals the `len` bytes that stand in `datagram` behind its head; false when there is no
    /// session that can send.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    fn seal_to(&mut self, now: Instant, slot: u32, len: usize, datagram: &mut [u8]) -> bool {
        let Some(peer) = self.peers.get_mut(slot) else { return false };
        let Some((_, keypair)) = peer.keypairs.current_mut().filter(|(_, it)| it.can_send(now))
        else {
            return false;
        };
        let header = keypair.next_header();
        seal_datagram(keypair.send.as_bytes(), &header, len, datagram);
        self.sent(now, slot, datagram.len());
        true
    }

    /// Tells the timers of a data message that goes out. O(log peers).
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub(super) fn sent(&mut self, now: Instant, slot: u32, datagram_len: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.sent(datagram_len);
        peer.wants.keepalive = false;
        peer.timers.any_authenticated_packet_sent();
        peer.timers.any_authenticated_packet_traversal(now, peer.persistent_keepalive);
        if datagram_len > DATA_OVERHEAD {
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
    }

    /// An empty data packet, if the session that it was wanted for is still there.
    pub(super) fn keep_alive(
        &mut self,
        now: Instant,
        slot: u32,
        buf: &mut [u8; INITIATION_LEN],
    ) -> Option<Built> {
        let another_follows = self.peers.get(slot)?.timers.another_follows();
        let datagram = buf.get_mut(..DATA_OVERHEAD)?;
        if !self.seal_to(now, slot, 0, datagram) {
            self.request_handshake(now, slot, Request::Need);
            return None;
        }
        self.peers.get_mut(slot)?.timers.keepalive_sent(now, another_follows);
        self.reschedule(slot);
        Some(Built { traffic_class: 0, len: DATA_OVERHEAD })
    }
}

/// Writes header, padding and tag around the packet and encrypts it. `datagram` is exactly as
/// long as the padded packet needs.
#[cfg_attr(not(target_os = "none"), inline(always))]
pub(super) fn seal_datagram(key: &[u8; 32], header: &DataHeader, len: usize, datagram: &mut [u8]) {
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
pub(super) const fn padded_len(len: usize, mtu: u16) -> usize {
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
