//! The protocol once more, straight from the whitepaper and the cryptography crates.
//!
//! It shares no code with the engine, so it tells whether the engine's bytes are right, and it
//! makes the messages that no honest peer would send.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

mod lone;

use blake2::digest::{FixedOutput, KeyInit, Update, consts::U16};
use blake2::{Blake2s256, Blake2sMac};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, XChaCha20Poly1305};

#[allow(unused_imports, reason = "each test binary uses a part")]
pub use lone::{Heard, Lone, PeerView, Spoken, Stuck, View};

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
