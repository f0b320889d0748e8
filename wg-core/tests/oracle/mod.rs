//! The protocol once more, straight from the whitepaper and the cryptography crates.
//!
//! It shares no code with the engine, so it tells whether the engine's bytes are right, and it
//! makes the messages that no honest peer would send.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use blake2::digest::{FixedOutput, KeyInit, Update, consts::U16};
use blake2::{Blake2s256, Blake2sMac};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, XChaCha20Poly1305};
use wg_core::rand_core::{TryCryptoRng, TryRng};
use wg_core::{
    Connection, Event, INITIATION_LEN, Instant, PeerId, PresharedKey, PublicKey, Reason, Received,
    Refusal, Source, Tai64n,
};

use crate::pair::{A_INNER, A_OUTER, B_INNER, B_OUTER, Node, node, packet};

pub const ATTACKER: &str = "203.0.113.66:6666";

pub fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Blake2s256::default();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize_fixed().into()
}

pub fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Blake2sMac::<U16>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize_fixed().into()
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut pad = [byte; 64];
        pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        pad
    };
    let (inner, outer) = (pad(0x36), pad(0x5c));
    hash(&[&outer, &hash(&[&[&inner[..]], parts].concat())])
}

fn kdf<const N: usize>(key: &[u8; 32], input: &[u8]) -> [[u8; 32]; N] {
    let secret = hmac(key, &[input]);
    let mut before = Vec::new();
    let mut number = 0;
    [(); N].map(|()| {
        number += 1;
        let output = hmac(&secret, &[&before, &[number]]);
        before = output.to_vec();
        output
    })
}

fn nonce(counter: u64) -> [u8; 12] {
    array(&[&[0; 4][..], &counter.to_le_bytes()].concat())
}

pub fn seal(key: &[u8; 32], counter: u64, aad: &[u8], text: &[u8]) -> Vec<u8> {
    let mut sealed = text.to_vec();
    let tag = ChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&nonce(counter).into(), aad, sealed.as_mut_slice().into())
        .unwrap();
    sealed.extend_from_slice(&tag);
    sealed
}

pub fn open(key: &[u8; 32], counter: u64, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (text, tag) = sealed.split_last_chunk::<16>()?;
    let mut text = text.to_vec();
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&nonce(counter).into(), aad, text.as_mut_slice().into(), tag.into())
        .ok()?;
    Some(text)
}

pub fn dh(private: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
    x25519_dalek::x25519(*private, *public)
}

pub fn public(private: &[u8; 32]) -> [u8; 32] {
    dh(private, &x25519_dalek::X25519_BASEPOINT_BYTES)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap()
}

pub fn sender_of(message: &[u8]) -> u32 {
    u32_at(message, 4)
}

pub fn receiver_of(message: &[u8]) -> u32 {
    u32_at(message, if message[0] == 2 { 8 } else { 4 })
}

pub fn counter_of(data: &[u8]) -> u64 {
    u64::from_le_bytes(array(&data[8..16]))
}

/// Writes both MACs of an initiation or response to `receiver`; mac2 is zero without a cookie.
pub fn sign(message: &mut [u8], receiver: &[u8; 32], cookie: Option<[u8; 16]>) {
    let body = message.len() - 32;
    let mac1 = mac(&hash(&[b"mac1----", receiver]), &[&message[..body]]);
    message[body..body + 16].copy_from_slice(&mac1);
    let mac2 = cookie.map_or([0; 16], |cookie| mac(&cookie, &[&message[..body + 16]]));
    message[body + 16..].copy_from_slice(&mac2);
}

/// The cookie in a reply by `sender` to `refused`, if it authenticates.
pub fn open_cookie_reply(reply: &[u8], sender: &[u8; 32], refused: &[u8]) -> Option<[u8; 16]> {
    assert_eq!((reply.len(), u32_at(reply, 0)), (64, 3));
    let key = hash(&[b"cookie--", sender]);
    let body = refused.len() - 32;
    let nonce: [u8; 24] = array(&reply[8..32]);
    let mut cookie: [u8; 16] = array(&reply[32..48]);
    let tag: [u8; 16] = array(&reply[48..]);
    XChaCha20Poly1305::new(&key.into())
        .decrypt_inout_detached(
            &nonce.into(),
            &refused[body..body + 16],
            cookie.as_mut_slice().into(),
            &tag.into(),
        )
        .ok()?;
    Some(cookie)
}

/// A reply by `sender` to `refused`, carrying `cookie`.
pub fn cookie_reply(sender: &[u8; 32], refused: &[u8], cookie: [u8; 16]) -> Vec<u8> {
    let key = hash(&[b"cookie--", sender]);
    let body = refused.len() - 32;
    let (nonce, mut sealed) = ([0x24; 24], cookie);
    let tag = XChaCha20Poly1305::new(&key.into())
        .encrypt_inout_detached(
            &nonce.into(),
            &refused[body..body + 16],
            sealed.as_mut_slice().into(),
        )
        .unwrap();
    [&[3, 0, 0, 0], &refused[4..8], &nonce, &sealed, &tag].concat()
}

/// Transport keys as one side sees them.
#[derive(Clone, Debug)]
pub struct Session {
    pub send: [u8; 32],
    pub receive: [u8; 32],
    pub local: u32,
    pub remote: u32,
    pub counter: u64,
}

impl Session {
    /// A data message of exactly this plaintext, with the next counter.
    pub fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let counter = self.counter;
        self.counter += 1;
        self.seal_at(counter, plaintext)
    }

    pub fn seal_at(&self, counter: u64, plaintext: &[u8]) -> Vec<u8> {
        let sealed = seal(&self.send, counter, &[], plaintext);
        [&4u32.to_le_bytes(), &self.remote.to_le_bytes(), &counter.to_le_bytes()[..], &sealed]
            .concat()
    }

    /// The padded plaintext of a data message to us.
    pub fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        assert_eq!(u32_at(datagram, 0), 4);
        if receiver_of(datagram) != self.local {
            return None;
        }
        open(&self.receive, counter_of(datagram), &[], &datagram[16..])
    }
}

/// A static key pair.
#[derive(Clone, Debug)]
pub struct Party {
    pub private: [u8; 32],
    pub public: [u8; 32],
}

/// An initiation and what its sender keeps.
#[derive(Clone, Debug)]
pub struct Initiation {
    pub bytes: Vec<u8>,
    pub index: u32,
    ephemeral: [u8; 32],
    chaining_key: [u8; 32],
    hash: [u8; 32],
}

/// What an initiation is made of.
#[derive(Clone, Debug)]
pub struct Draft {
    pub index: u32,
    pub ephemeral: [u8; 32],
    /// Sent in place of the public key of `ephemeral`.
    pub false_ephemeral: Option<[u8; 32]>,
    pub timestamp: [u8; 12],
}

impl Party {
    pub fn new(byte: u8) -> Self {
        Self::of([byte; 32])
    }

    pub fn of(private: [u8; 32]) -> Self {
        Self { private, public: public(&private) }
    }

    pub fn initiate(&self, responder: &[u8; 32], draft: &Draft) -> Initiation {
        let ck = hash(&[b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"]);
        let h = hash(&[&ck, b"WireGuard v1 zx2c4 Jason@zx2c4.com"]);
        let h = hash(&[&h, responder]);
        let e = draft.false_ephemeral.unwrap_or_else(|| public(&draft.ephemeral));
        let h = hash(&[&h, &e]);
        let [ck] = kdf(&ck, &e);
        let es =
            if draft.false_ephemeral.is_some() { [0; 32] } else { dh(&draft.ephemeral, responder) };
        let [ck, key] = kdf(&ck, &es);
        let encrypted_static = seal(&key, 0, &h, &self.public);
        let h = hash(&[&h, &encrypted_static]);
        let [ck, key] = kdf(&ck, &dh(&self.private, responder));
        let encrypted_timestamp = seal(&key, 0, &h, &draft.timestamp);
        let h = hash(&[&h, &encrypted_timestamp]);
        let index = draft.index.to_le_bytes();
        let parts: [&[u8]; 6] =
            [&[1, 0, 0, 0], &index, &e, &encrypted_static, &encrypted_timestamp, &[0; 32]];
        let mut bytes = parts.concat();
        assert_eq!(bytes.len(), 148);
        sign(&mut bytes, responder, None);
        Initiation {
            bytes,
            index: draft.index,
            ephemeral: draft.ephemeral,
            chaining_key: ck,
            hash: h,
        }
    }

    /// Reads an initiation to us, as far as it authenticates: who sent it, and its timestamp.
    pub fn read(&self, initiation: &[u8]) -> Option<(Initiation, [u8; 32], [u8; 12])> {
        assert_eq!((initiation.len(), u32_at(initiation, 0)), (148, 1));
        let ck = hash(&[b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"]);
        let h = hash(&[&ck, b"WireGuard v1 zx2c4 Jason@zx2c4.com"]);
        let h = hash(&[&h, &self.public]);
        let e: [u8; 32] = array(&initiation[8..40]);
        let h = hash(&[&h, &e]);
        let [ck] = kdf(&ck, &e);
        let [ck, key] = kdf(&ck, &dh(&self.private, &e));
        let public: [u8; 32] = array(&open(&key, 0, &h, &initiation[40..88])?);
        let h = hash(&[&h, &initiation[40..88]]);
        let [ck, key] = kdf(&ck, &dh(&self.private, &public));
        let timestamp: [u8; 12] = array(&open(&key, 0, &h, &initiation[88..116])?);
        let h = hash(&[&h, &initiation[88..116]]);
        let read = Initiation {
            bytes: initiation.to_vec(),
            index: sender_of(initiation),
            ephemeral: e,
            chaining_key: ck,
            hash: h,
        };
        Some((read, public, timestamp))
    }

    /// Answers an initiation; the session is ours as the responder.
    pub fn respond(
        &self,
        initiation: &[u8],
        preshared: &[u8; 32],
        ephemeral: [u8; 32],
        index: u32,
    ) -> (Vec<u8>, Session) {
        let (read, initiator, _) = self.read(initiation).expect("an initiation to us");
        let e = public(&ephemeral);
        let h = hash(&[&read.hash, &e]);
        let [ck] = kdf(&read.chaining_key, &e);
        let [ck] = kdf(&ck, &dh(&ephemeral, &read.ephemeral));
        let [ck] = kdf(&ck, &dh(&ephemeral, &initiator));
        let [ck, tau, key] = kdf(&ck, preshared);
        let h = hash(&[&h, &tau]);
        let nothing = seal(&key, 0, &h, &[]);
        let (local, remote) = (index.to_le_bytes(), read.index.to_le_bytes());
        let mut bytes = [&[2, 0, 0, 0], &local, &remote, &e[..], &nothing, &[0; 32]].concat();
        assert_eq!(bytes.len(), 92);
        sign(&mut bytes, &initiator, None);
        let [receive, send] = kdf(&ck, &[]);
        (bytes, Session { send, receive, local: index, remote: read.index, counter: 0 })
    }

    /// Reads the answer to an initiation of ours.
    pub fn finish(
        &self,
        sent: &Initiation,
        response: &[u8],
        preshared: &[u8; 32],
    ) -> Option<Session> {
        assert_eq!((response.len(), u32_at(response, 0)), (92, 2));
        assert_eq!(receiver_of(response), sent.index);
        let e: [u8; 32] = array(&response[12..44]);
        let h = hash(&[&sent.hash, &e]);
        let [ck] = kdf(&sent.chaining_key, &e);
        let [ck] = kdf(&ck, &dh(&sent.ephemeral, &e));
        let [ck] = kdf(&ck, &dh(&self.private, &e));
        let [ck, tau, key] = kdf(&ck, preshared);
        let h = hash(&[&h, &tau]);
        open(&key, 0, &h, &response[44..60])?;
        let [send, receive] = kdf(&ck, &[]);
        let remote = sender_of(response);
        Some(Session { send, receive, local: sent.index, remote, counter: 0 })
    }
}

/// A generator that gives the same byte again and again.
pub struct Stuck(pub u8);

impl TryRng for Stuck {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes([self.0; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes([self.0; 8]))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Stuck {}

/// What the engine made of a datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    Packet(PeerId, Vec<u8>),
    Keepalive(PeerId),
    Reply(Spoken),
    Handshake(PeerId),
    Cookie(PeerId),
}

/// What the engine sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spoken {
    pub peer: Option<PeerId>,
    pub to: SocketAddr,
    pub traffic_class: u8,
    pub bytes: Vec<u8>,
}

impl Heard {
    pub fn reply(self) -> Vec<u8> {
        match self {
            Self::Reply(spoken) => spoken.bytes,
            other => panic!("no reply: {other:?}"),
        }
    }
}

impl Node {
    /// Takes a datagram and nothing else: what it leads to is still to be polled.
    pub fn hear(
        &mut self,
        now: Instant,
        from: impl Into<Source>,
        bytes: &[u8],
    ) -> Result<Heard, Refusal> {
        let mut buf = bytes.to_vec();
        let heard = self.device.handle_datagram(now, &mut self.rng, from.into(), &mut buf)?;
        Ok(match heard {
            Received::Packet { peer, packet } => Heard::Packet(peer, packet.to_vec()),
            Received::Keepalive(peer) => Heard::Keepalive(peer),
            Received::Reply(transmit) => Heard::Reply(Spoken {
                peer: transmit.peer,
                to: transmit.to.remote,
                traffic_class: transmit.traffic_class,
                bytes: transmit.datagram.to_vec(),
            }),
            Received::Handshake(peer) => Heard::Handshake(peer),
            Received::Cookie(peer) => Heard::Cookie(peer),
            other => panic!("a new kind: {other:?}"),
        })
    }

    /// Everything that is to be sent now.
    pub fn speak(&mut self, now: Instant) -> Vec<Spoken> {
        let mut spoken = Vec::new();
        let mut buf = [0; INITIATION_LEN];
        while let Some(transmit) =
            self.device.poll_transmit(now, &mut self.clock, &mut self.rng, &mut buf)
        {
            spoken.push(Spoken {
                peer: transmit.peer,
                to: transmit.to.remote,
                traffic_class: transmit.traffic_class,
                bytes: transmit.datagram.to_vec(),
            });
        }
        spoken
    }

    pub fn news(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.device.poll_event()).collect()
    }

    /// An inner packet sealed, or why not.
    pub fn seal(&mut self, now: Instant, packet: &[u8]) -> Result<Spoken, wg_core::SendError> {
        let mut buf = vec![0; 16 + packet.len() + 15 + 16];
        buf[16..16 + packet.len()].copy_from_slice(packet);
        let transmit = self.device.seal(now, &mut buf, packet.len())?;
        Ok(Spoken {
            peer: transmit.peer,
            to: transmit.to.remote,
            traffic_class: transmit.traffic_class,
            bytes: transmit.datagram.to_vec(),
        })
    }

    /// All that can be seen of a device, but for the counters of refusals.
    pub fn observe(&mut self, now: Instant) -> View {
        let peers = self.device.peers().collect::<Vec<_>>();
        View {
            deadline: self.device.poll_timeout(),
            news: self.news(),
            spoken: self.speak(now),
            public: self.device.public_key(),
            peers: peers
                .into_iter()
                .map(|id| {
                    let status = self.status(now, id);
                    let mut routes: Vec<String> =
                        self.device.allowed_ips(id).map(|prefix| prefix.to_string()).collect();
                    routes.sort();
                    PeerView {
                        id,
                        endpoint: status.endpoint,
                        connection: status.connection,
                        last_handshake: status.last_handshake,
                        session_birth: status.session_birth,
                        bytes: (status.received_bytes, status.sent_bytes),
                        routes,
                    }
                })
                .collect(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    pub deadline: Option<(Instant, Reason)>,
    pub news: Vec<Event>,
    pub spoken: Vec<Spoken>,
    pub public: Option<PublicKey>,
    pub peers: Vec<PeerView>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerView {
    pub id: PeerId,
    pub endpoint: Option<SocketAddr>,
    pub connection: Connection,
    pub last_handshake: Option<Instant>,
    pub session_birth: Option<Instant>,
    pub bytes: (u64, u64),
    pub routes: Vec<String>,
}

/// One engine at `B_OUTER`, whose only peer at `A_OUTER` is this oracle.
pub struct Lone {
    pub node: Node,
    pub peer: PeerId,
    pub us: Party,
    /// The engine's public key.
    pub them: [u8; 32],
    pub preshared: [u8; 32],
    pub now: Instant,
    pub home: SocketAddr,
    drafts: u32,
}

impl Lone {
    pub fn new() -> Self {
        Self::with(node(2, B_OUTER))
    }

    pub fn with(mut node: Node) -> Self {
        let us = Party::new(1);
        let allowed = ["10.0.0.1/32", "fd00::1/128"];
        let peer = node.meet(PublicKey::from_bytes(us.public), &allowed, Some(A_OUTER));
        let them = *node.public_key().as_bytes();
        Self {
            node,
            peer,
            us,
            them,
            preshared: [0; 32],
            now: Instant::from_secs(7),
            home: A_OUTER.parse().unwrap(),
            drafts: 0,
        }
    }

    pub fn set_preshared(&mut self, key: [u8; 32]) {
        self.preshared = key;
        self.node.device.set_preshared_key(self.peer, &PresharedKey::from_bytes(key));
    }

    pub fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// What the next initiation of ours is made of: all new, and after the one before.
    pub fn draft(&mut self) -> Draft {
        self.drafts += 1;
        Draft {
            index: 0x0a00_0000 + self.drafts,
            ephemeral: [0x40 + self.drafts as u8; 32],
            false_ephemeral: None,
            timestamp: *Tai64n::from_unix(1_700_000_000 + u64::from(self.drafts), 0).as_bytes(),
        }
    }

    pub fn initiate(&mut self) -> Initiation {
        let draft = self.draft();
        self.us.initiate(&self.them, &draft)
    }

    pub fn hear(&mut self, bytes: &[u8]) -> Result<Heard, Refusal> {
        self.node.hear(self.now, self.home, bytes)
    }

    pub fn hear_from(&mut self, from: &str, bytes: &[u8]) -> Result<Heard, Refusal> {
        self.node.hear(self.now, from.parse::<SocketAddr>().unwrap(), bytes)
    }

    pub fn speak(&mut self) -> Vec<Spoken> {
        self.node.speak(self.now)
    }

    pub fn view(&mut self) -> View {
        self.node.observe(self.now)
    }

    pub fn connection(&self) -> Connection {
        self.node.status(self.now, self.peer).connection
    }

    pub fn endpoint(&self) -> String {
        self.node.status(self.now, self.peer).endpoint.unwrap().to_string()
    }

    /// A packet of the engine's side to ours.
    pub fn outgoing(&self, len: usize) -> Vec<u8> {
        packet(B_INNER, A_INNER, len, 0xbb)
    }

    /// A packet of our side to the engine's.
    pub fn incoming(&self, len: usize) -> Vec<u8> {
        packet(A_INNER, B_INNER, len, 0xaa)
    }

    /// The engine's initiation, asked for by a packet.
    pub fn initiation(&mut self) -> Vec<u8> {
        let packet = self.outgoing(8);
        assert!(self.node.seal(self.now, &packet).is_err());
        let spoken = self.speak();
        assert_eq!(spoken.len(), 1, "one initiation");
        spoken[0].bytes.clone()
    }

    /// The engine's next initiation, asked for by a persistent keepalive that is switched on.
    pub fn another_initiation(&mut self) -> Vec<u8> {
        self.node.device.set_persistent_keepalive(self.now, self.peer, 0);
        self.node.device.set_persistent_keepalive(self.now, self.peer, u16::MAX);
        let spoken = self.speak();
        assert_eq!(spoken.len(), 1, "one initiation");
        spoken[0].bytes.clone()
    }

    /// The session that we initiated, before the engine knows that we have it.
    pub fn responded(&mut self) -> Session {
        let initiation = self.initiate();
        let response = self.hear(&initiation.bytes).unwrap().reply();
        self.us.finish(&initiation, &response, &self.preshared).expect("a response to us")
    }

    /// A session that we initiated.
    pub fn called(&mut self) -> Session {
        let mut session = self.responded();
        let confirmation = session.seal(&[]);
        assert_eq!(self.hear(&confirmation), Ok(Heard::Keepalive(self.peer)));
        assert!(self.node.news().contains(&Event::SessionUp(self.peer)));
        session
    }

    /// A session that the engine initiated.
    pub fn calling(&mut self) -> Session {
        let initiation = self.initiation();
        self.answer(&initiation)
    }

    /// Answers an initiation of the engine.
    pub fn answer(&mut self, initiation: &[u8]) -> Session {
        self.drafts += 1;
        let ephemeral = [0x80 + self.drafts as u8; 32];
        let index = 0x0b00_0000 + self.drafts;
        let (response, session) = self.us.respond(initiation, &self.preshared, ephemeral, index);
        assert_eq!(self.hear(&response), Ok(Heard::Handshake(self.peer)));
        assert!(self.node.news().contains(&Event::SessionUp(self.peer)));
        let spoken = self.speak();
        assert_eq!(spoken.len(), 1, "the confirmation");
        assert_eq!(session.open(&spoken[0].bytes).as_deref(), Some(&[][..]));
        session
    }
}
