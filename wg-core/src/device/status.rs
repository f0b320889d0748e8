//! What there is to know about a device and its peers.

use core::net::SocketAddr;

use zerocopy::FromBytes;
use zerocopy::byteorder::little_endian::U32;

use super::Device;
use crate::ip::AllowedIp;
use crate::keypair::Keypair;
use crate::keys::{PresharedKey, PrivateKey, PublicKey};
use crate::message::kind;
use crate::peer_id::PeerId;
use crate::refusal::{Refusal, Refusals};
use crate::time::Instant;

/// Whether a packet for a peer could be sent now, and if not, why.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Connection {
    /// There is a session.
    Up,
    /// There is no session, and nothing asked for one.
    Idle,
    /// The first initiation is on its way.
    Handshaking,
    /// Something stands between this peer and a session: [`Refusal::Down`],
    /// [`Refusal::NoPrivateKey`], [`Refusal::NoEndpoint`], [`Refusal::ClockNotSet`],
    /// [`Refusal::ClockReserve`], [`Refusal::ZeroSharedSecret`] or [`Refusal::Unanswered`].
    Blocked(Refusal),
}

/// One peer as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its name in the protocol.
    pub public_key: PublicKey,
    /// Where it was last heard from, or set to be.
    pub endpoint: Option<SocketAddr>,
    /// Whether a packet could be sent now.
    pub connection: Connection,
    /// When the last handshake was completed.
    pub last_handshake: Option<Instant>,
    /// When the keys of the current session were derived.
    pub session_birth: Option<Instant>,
    /// Bytes of all accepted messages: whole ones, handshakes included, as the kernel counts.
    pub received_bytes: u64,
    /// Bytes of all messages sent, counted the same way.
    pub sent_bytes: u64,
    /// Seconds of silence between keepalives, 0 for none.
    pub persistent_keepalive: u16,
    /// What was refused, by reason. A peer's counts stop at 65,535.
    pub refusals: Refusals,
}

impl Device<'_> {
    /// The device's own public key, unless it has none.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.identity.keys().map(|keys| keys.public)
    }

    /// The device's private key, unless it has none: for those who may read it back, as the
    /// administrator of a host may.
    pub fn private_key(&self) -> Option<PrivateKey> {
        self.identity.keys().and_then(|keys| PrivateKey::from_bytes(*keys.private.as_bytes()))
    }

    /// The pre-shared key of a peer, for the same; `None` when the peer was removed.
    pub fn preshared_key(&self, id: PeerId) -> Option<PresharedKey> {
        let peer = self.peers.get(id.slot)?;
        let alive = peer.occupied && peer.generation == id.generation;
        alive.then(|| peer.remote.preshared.clone())
    }

    /// The state of one peer; `None` when it was removed.
    pub fn peer(&self, now: Instant, id: PeerId) -> Option<PeerStatus> {
        let peer = self.peers.get(id.slot)?;
        if !peer.occupied || peer.generation != id.generation {
            return None;
        }
        let session = peer.keypairs.current().filter(|keypair| keypair.can_send(now));
        let connection = if !self.up {
            Connection::Blocked(Refusal::Down)
        } else if session.is_some() {
            Connection::Up
        } else if let Some(obstacle) = peer.obstacle {
            Connection::Blocked(obstacle)
        } else if peer.handshake.is_some() || peer.wants.initiation {
            Connection::Handshaking
        } else {
            Connection::Idle
        };
        Some(PeerStatus {
            public_key: peer.remote.public,
            endpoint: peer.whereabouts.remote(),
            connection,
            last_handshake: peer.last_handshake,
            session_birth: session.and_then(Keypair::birth),
            received_bytes: peer.received_bytes,
            sent_bytes: peer.sent_bytes,
            persistent_keepalive: peer.persistent_keepalive,
            refusals: (&peer.refusals).into(),
        })
    }

    /// Where a peer is, if that is known.
    pub fn endpoint(&self, id: PeerId) -> Option<SocketAddr> {
        let peer = self.peers.get(id.slot)?;
        let alive = peer.occupied && peer.generation == id.generation;
        peer.whereabouts.remote().filter(|_| alive)
    }

    /// Whether a datagram is one that this device made, or the beginning of one, by the index in
    /// it: of a handshake or a session that it has. Both sides choose these at random, and a peer
    /// chooses another one for everyone, so another device's are not taken for ours.
    ///
    /// Cookie replies are not known again, since they have no index of ours. For data messages
    /// O(peers).
    pub fn is_own(&self, datagram: &[u8]) -> bool {
        let Some((&[kind, index], _)) = <[U32; 2]>::ref_from_prefix(datagram).ok() else {
            return false;
        };
        match kind.get() {
            kind::INITIATION | kind::RESPONSE => self.receivers.find(index.get()).is_some(),
            kind::DATA => (0..self.fresh)
                .filter_map(|slot| self.peers.get(slot))
                .any(|peer| peer.occupied && peer.keypairs.sends_to(index.get())),
            _ => false,
        }
    }

    /// The prefixes that route to this peer.
    pub fn allowed_ips(&self, peer: PeerId) -> impl Iterator<Item = AllowedIp> + '_ {
        let alive = self.id(peer.slot) == peer;
        self.routes.of(peer.slot).filter(move |_| alive)
    }

    /// How many more allowed IPs certainly fit, over all peers. Grows with their number.
    pub fn free_routes(&self) -> usize {
        self.routes.free()
    }

    /// How many more peers certainly fit. Grows with their number.
    pub fn free_peers(&self) -> usize {
        if self.peers.grows() {
            return usize::MAX;
        }
        (self.peers.len() as usize).saturating_sub(self.peers().count())
    }

    /// Everything that was refused, by reason, over all peers and strangers.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Whether the device is up.
    pub fn is_up(&self) -> bool {
        self.up
    }
}
