//! Every setting, each of which can change while traffic flows.

use core::fmt;
use core::net::SocketAddr;

use super::Device;
use super::timeout::Request;
use crate::crypto;
use crate::endpoint::Whereabouts;
use crate::event::News;
use crate::handshake::StaticKeys;
use crate::identity::Identity;
use crate::index::IndexTable;
use crate::ip::AllowedIp;
use crate::keys::{PresharedKey, PrivateKey, PublicKey};
use crate::peer::Peer;
use crate::peer_id::PeerId;
use crate::refusal::Refusal;
use crate::table::{Row, Table};
use crate::time::Instant;

/// The inner MTU that leaves room for the headers of an IPv6 underlay of 1500 bytes.
pub(super) const DEFAULT_MTU: u16 = 1420;

/// Why a peer was not added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AddPeerError {
    /// All peers that the storage has room for exist.
    Full,
    /// It is our own public key. The kernel ignores this silently, and so may the caller.
    OwnKey,
}

impl fmt::Display for AddPeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the device has no room for another peer: use a larger Storage<PEERS, _>",
            Self::OwnKey => "a device cannot be its own peer: this is the device's public key",
        })
    }
}

impl core::error::Error for AddPeerError {}

/// All routes that the storage has room for exist. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RoutesFull;

impl fmt::Display for RoutesFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the device has no room for another allowed IP: use a larger Storage<_, ROUTES>",
        )
    }
}

impl core::error::Error for RoutesFull {}

impl Device<'_> {
    /// Sets or removes the device's identity; the same key again changes nothing.
    ///
    /// A change ends all handshakes and all sessions, in both directions: new ones are made when
    /// there is something to send. What is on its way in an old session is refused. A peer whose key is our new public key is removed.
    ///
    /// Costs one X25519 operation, and one for each peer.
    pub fn set_private_key(&mut self, now: Instant, key: Option<&PrivateKey>) {
        if !self.identity.set(key) {
            return;
        }
        if key.is_some() {
            self.rehash();
        }
        let ourselves = self.public_key().and_then(|public| self.find_peer(&public));
        if let Some(ourselves) = ourselves {
            self.remove_peer(ourselves);
        }
        for slot in 0..self.fresh {
            self.renew_identity(now, slot);
        }
    }

    /// Puts every peer where the new key of the table wants it.
    fn rehash(&mut self) {
        self.keys.clear();
        for slot in 0..self.fresh {
            if let Some(peer) = self.peers.get(slot).filter(|peer| peer.occupied) {
                let hash = hash_of(&self.identity, &peer.remote.public);
                // They were all in it before.
                let inserted = self.keys.insert(hash, slot);
                debug_assert!(inserted.is_ok());
            }
        }
    }

    fn renew_identity(&mut self, now: Instant, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot).filter(|peer| peer.occupied) else { return };
        agree(self.identity.keys(), peer);
        let had_session = peer.keypairs.current().is_some_and(|keypair| keypair.can_send(now));
        peer.timers.session_gone();
        peer.last_sent_handshake = None;
        let waits = peer.obstacle == Some(Refusal::NoPrivateKey);
        self.wipe_keys(slot);
        if had_session {
            self.announce(slot, News::SESSION_EXPIRED);
        }
        if waits {
            self.request_handshake(now, slot, Request::Need);
        }
    }

    /// Adds the peer with this public key, or finds it when it exists.
    ///
    /// Costs one X25519 operation for a new peer.
    ///
    /// # Errors
    /// See [`AddPeerError`]; nothing is changed then.
    pub fn add_peer(&mut self, public: &PublicKey) -> Result<PeerId, AddPeerError> {
        if self.public_key().as_ref() == Some(public) {
            return Err(AddPeerError::OwnKey);
        }
        if let Some(id) = self.find_peer(public) {
            return Ok(id);
        }
        let slot = self.vacant.unwrap_or(self.fresh);
        while self.peers.get(slot).is_none() {
            if !self.peers.grow() {
                return Err(AddPeerError::Full);
            }
        }
        if !self.schedule.add(slot) {
            return Err(AddPeerError::Full);
        }
        if self.keys.insert(hash_of(&self.identity, public), slot).is_err() {
            self.schedule.remove(slot);
            return Err(AddPeerError::Full);
        }
        let Some(peer) = self.peers.get_mut(slot) else { return Err(AddPeerError::Full) };
        match self.vacant {
            Some(_) => self.vacant = peer.next_vacant.take().map(Row::number),
            None => self.fresh = self.fresh.saturating_add(1),
        }
        peer.occupy(*public);
        agree(self.identity.keys(), peer);
        Ok(self.id(slot))
    }

    /// Removes a peer with its sessions, keys, timers and allowed IPs. Packets that wait for
    /// it are the caller's to drop. Removing it twice does nothing.
    pub fn remove_peer(&mut self, peer: PeerId) {
        let Some(public) = self.peer_mut(peer).map(|peer| peer.remote.public) else { return };
        let slot = peer.slot;
        self.keys.remove(hash_of(&self.identity, &public), slot);
        self.routes.remove_peer(slot);
        self.wipe_keys(slot);
        self.schedule.remove(slot);
        let next_vacant = self.vacant.replace(slot).and_then(Row::new);
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.vacate();
            peer.next_vacant = next_vacant;
        }
    }

    /// Removes all peers but those with these keys, as [`remove_peer`](Self::remove_peer) does.
    /// Keys without a peer are ignored. O(peers + keys).
    pub fn retain_peers(&mut self, keys: impl IntoIterator<Item = PublicKey>) {
        for key in keys {
            let slot = find_peer(&self.identity, &self.keys, &self.peers, &key);
            if let Some(peer) = slot.and_then(|slot| self.peers.get_mut(slot)) {
                peer.stays = true;
            }
        }
        for slot in 0..self.fresh {
            let id = self.id(slot);
            let stays = self.peers.get_mut(slot).map(|peer| core::mem::take(&mut peer.stays));
            if stays == Some(false) {
                self.remove_peer(id);
            }
        }
    }

    /// The peer with this public key. O(1).
    pub fn find_peer(&self, public: &PublicKey) -> Option<PeerId> {
        find_peer(&self.identity, &self.keys, &self.peers, public).map(|slot| self.id(slot))
    }

    /// All peers, in no particular order.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers_from(0)
    }

    /// The first of [`peers`](Self::peers) that comes after this one, which may have been removed;
    /// for those who change the device in between.
    pub fn peer_after(&self, peer: PeerId) -> Option<PeerId> {
        self.peers_from(peer.slot).find(|next| *next > peer)
    }

    fn peers_from(&self, slot: u32) -> impl Iterator<Item = PeerId> + '_ {
        (slot..self.fresh)
            .filter(|slot| self.peers.get(*slot).is_some_and(|peer| peer.occupied))
            .map(|slot| self.id(slot))
    }

    /// Sets the pre-shared key, or [`PresharedKey::NONE`], for the next handshake. The current
    /// session goes on. A removed peer is ignored, here and in the other settings.
    pub fn set_preshared_key(&mut self, peer: PeerId, key: &PresharedKey) {
        if let Some(peer) = self.peer_mut(peer) {
            peer.remote.preshared.clone_from(key);
        }
    }

    /// Says where the peer is. It moves by itself when the peer sends from somewhere else.
    ///
    /// A handshake that waited for an endpoint begins.
    pub fn set_endpoint(&mut self, now: Instant, peer: PeerId, remote: SocketAddr) {
        let slot = peer.slot;
        let Some(peer) = self.peer_mut(peer) else { return };
        peer.whereabouts.set(&Whereabouts::new(&remote, None));
        if peer.obstacle == Some(Refusal::NoEndpoint) {
            self.request_handshake(now, slot, Request::Need);
        }
    }

    /// Asks for a session with this peer, unless there is one, as a packet for it would.
    pub fn connect(&mut self, now: Instant, peer: PeerId) {
        let slot = peer.slot;
        let up = self.up;
        let Some(peer) = self.peer_mut(peer) else { return };
        let has_session = peer.keypairs.current().is_some_and(|keypair| keypair.can_send(now));
        if up && !has_session && peer.whereabouts.is_known() {
            self.request_handshake(now, slot, Request::Need);
        }
    }

    /// Sets the seconds of silence after which an empty packet is sent, 0 for never. Switched
    /// on, it sends one at once.
    pub fn set_persistent_keepalive(&mut self, now: Instant, peer: PeerId, seconds: u16) {
        let slot = peer.slot;
        let up = self.up;
        let Some(peer) = self.peer_mut(peer) else { return };
        let before = core::mem::replace(&mut peer.persistent_keepalive, seconds);
        if seconds == 0 {
            peer.timers.persistent_keepalive_off();
        } else if before == 0 && up {
            self.want_keepalive(now, slot);
        }
    }

    /// Routes a prefix to this peer, and accepts packets from it. A prefix that was another
    /// peer's moves. O(prefix length).
    ///
    /// # Errors
    /// [`RoutesFull`] when the storage has no room for one more.
    pub fn add_allowed_ip(&mut self, peer: PeerId, prefix: AllowedIp) -> Result<(), RoutesFull> {
        if self.peer_mut(peer).is_none() {
            return Ok(());
        }
        self.routes.insert(prefix, peer.slot).map(drop).map_err(|_| RoutesFull)
    }

    /// Takes a prefix from this peer, if it was this peer's.
    pub fn remove_allowed_ip(&mut self, peer: PeerId, prefix: AllowedIp) {
        if self.peer_mut(peer).is_some() {
            self.routes.remove(prefix, peer.slot);
        }
    }

    /// Takes all prefixes from this peer.
    pub fn remove_allowed_ips(&mut self, peer: PeerId) {
        if self.peer_mut(peer).is_some() {
            self.routes.remove_peer(peer.slot);
        }
    }

    /// The largest inner packet, which padding does not exceed; 0 for no limit. 1420 at first.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu;
    }

    /// How many handshake messages are worked on in a second: the bound on what strangers can
    /// make the device compute, however many they are.
    ///
    /// A message of a stranger costs one X25519 operation, a handshake with a peer four. When
    /// more messages with a valid mac1 come, they are answered by cookies, which cost none, and
    /// of those who return with a cookie as many are served as the budget says: a quarter is for
    /// answers to this device's own handshakes and for the addresses of peers that have or had a
    /// session, the rest is shared between sources. At first 5 without an operating system and
    /// on ESP-IDF, where that is what an ESP32 can afford, and 500 elsewhere. Below 3, load
    /// begins sooner, but 3 messages a second are still worked on.
    pub fn set_handshake_budget(&mut self, per_second: u16) {
        self.load.budget = per_second;
    }

    /// Declares that the machine is under load, for a second.
    pub fn set_under_load(&mut self, now: Instant) {
        self.load.declare(now);
    }

    /// Brings the device up, as a new one is: peers with a persistent keepalive send it.
    pub fn up(&mut self, now: Instant) {
        if core::mem::replace(&mut self.up, true) {
            return;
        }
        for slot in 0..self.fresh {
            let keepalive = self.peers.get(slot).is_some_and(|peer| peer.persistent_keepalive != 0);
            if keepalive {
                self.want_keepalive(now, slot);
            }
        }
    }

    /// Brings the device down: no timer stays, and all session keys are wiped. Settings and
    /// the greatest timestamps stay. Packets that wait are the caller's to drop.
    pub fn down(&mut self) {
        self.up = false;
        for slot in 0..self.fresh {
            self.wipe_keys(slot);
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.stop();
            }
        }
    }
}

/// The slot of the peer with this public key.
pub(super) fn find_peer(
    identity: &Identity,
    keys: &IndexTable<'_>,
    peers: &Table<'_, Peer>,
    public: &PublicKey,
) -> Option<u32> {
    keys.find(hash_of(identity, public), |slot| {
        peers.get(slot).is_some_and(|peer| peer.remote.public == *public)
    })
}

/// Keyed, since whoever chooses public keys could give them the same first bytes. One MAC is
/// little beside the curve operations of a handshake, and its code is there already.
pub(super) fn hash_of(identity: &Identity, public: &PublicKey) -> u32 {
    let [a, b, c, d, ..] = crypto::mac(identity.table_key.as_bytes(), &[public.as_bytes()]);
    u32::from_le_bytes([a, b, c, d])
}

/// Computes the secret that all handshakes with this peer share. Zero without an identity, and
/// for a public key of low order.
fn agree(keys: Option<&StaticKeys>, peer: &mut Peer) {
    let shared =
        keys.and_then(|ours| crypto::dh(ours.private.as_bytes(), peer.remote.public.as_bytes()));
    match shared {
        Some(shared) => *peer.remote.static_static.as_mut() = *shared,
        None => peer.remote.static_static.wipe(),
    }
}
