//! The symmetric state of a handshake and its verbs (whitepaper section 5.4).

use zeroize::Zeroizing;

use crate::crypto::{self, Forged};
use crate::keys::{PresharedKey, PublicKey};
use crate::message::TAG_LEN;
use crate::secret::Secret;

const CONSTRUCTION: &[u8; 37] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8; 34] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// A public key of low order: the shared secret would be zero.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ZeroSharedSecret;

/// The chaining key and the hash. Wiped on drop.
#[derive(Clone)]
pub(crate) struct Symmetric {
    chaining_key: Secret<32>,
    hash: Secret<32>,
}

impl Symmetric {
    /// The state before the first handshake of a peer.
    pub(crate) const BLANK: Self = Self { chaining_key: Secret::ZERO, hash: Secret::ZERO };

    /// C = HASH(construction), H = HASH(HASH(C ‖ identifier) ‖ responder's public key).
    pub(crate) fn start(&mut self, responder: &PublicKey) {
        *self.chaining_key.as_mut() = crypto::hash(&[CONSTRUCTION]);
        *self.hash.as_mut() = crypto::hash(&[self.chaining_key.as_bytes(), IDENTIFIER]);
        self.mix_hash(responder.as_bytes());
    }

    /// Wipes in place.
    pub(crate) fn wipe(&mut self) {
        self.chaining_key.wipe();
        self.hash.wipe();
    }

    /// H = HASH(H ‖ data).
    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        *self.hash.as_mut() = crypto::hash(&[self.hash.as_bytes(), data]);
    }

    /// H = HASH(H ‖ e), C = KDF1(C, e).
    pub(crate) fn mix_ephemeral(&mut self, ephemeral: &[u8; 32]) {
        self.mix_hash(ephemeral);
        kdf(&mut self.chaining_key, ephemeral, &mut []);
    }

    /// C = KDF1(C, DH(private, public)).
    pub(crate) fn mix_dh(
        &mut self,
        private: &Secret<32>,
        public: &[u8; 32],
    ) -> Result<(), ZeroSharedSecret> {
        kdf(&mut self.chaining_key, dh(private, public)?.as_slice(), &mut []);
        Ok(())
    }

    /// (C, k) = KDF2(C, shared), for a secret that exists already or that [`dh`] made.
    pub(crate) fn mix_key(&mut self, shared: &[u8; 32]) -> Secret<32> {
        let mut key = Secret::ZERO;
        kdf(&mut self.chaining_key, shared, &mut [&mut key]);
        key
    }

    /// (C, τ, k) = KDF3(C, psk), H = HASH(H ‖ τ).
    pub(crate) fn mix_psk(&mut self, preshared: &PresharedKey) -> Secret<32> {
        let (mut tau, mut key) = (Secret::ZERO, Secret::ZERO);
        kdf(&mut self.chaining_key, preshared.expose(), &mut [&mut tau, &mut key]);
        self.mix_hash(tau.as_bytes());
        key
    }

    /// AEAD with the hash as associated data, in place: `sealed` ends in room for the tag. The
    /// ciphertext goes into the hash.
    pub(crate) fn encrypt(&mut self, key: &Secret<32>, sealed: &mut [u8]) {
        if let Some((text, tag)) = sealed.split_last_chunk_mut::<TAG_LEN>() {
            *tag = crypto::seal(key.as_bytes(), 0, self.hash.as_bytes(), text);
        }
        self.mix_hash(sealed);
    }

    /// The reverse of [`Self::encrypt`].
    pub(crate) fn decrypt(&mut self, key: &Secret<32>, sealed: &mut [u8]) -> Result<(), Forged> {
        let before = self.hash.clone();
        self.mix_hash(sealed);
        let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(Forged)?;
        crypto::open(key.as_bytes(), 0, before.as_bytes(), text, tag)
    }

    /// (k1, k2) = KDF2(C, nothing): the initiator's sending and receiving key.
    pub(crate) fn split(&mut self, k1: &mut Secret<32>, k2: &mut Secret<32>) {
        // KDF2's first output lands in the chaining key, which ends here.
        kdf(&mut self.chaining_key, &[], &mut [k2]);
        *k1.as_mut() = *self.chaining_key.as_bytes();
    }
}

/// DH(private, public), refusing zero.
pub(crate) fn dh(
    private: &Secret<32>,
    public: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, ZeroSharedSecret> {
    crypto::dh(private.as_bytes(), public).ok_or(ZeroSharedSecret)
}

/// KDF1 to KDF3: the first output replaces the chaining key, the others follow.
#[cfg_attr(target_os = "none", inline(never))] // for flash
fn kdf(chaining_key: &mut Secret<32>, input: &[u8], more: &mut [&mut Secret<32>]) {
    let t0 = Secret::new(crypto::hmac(chaining_key.as_bytes(), &[input]));
    *chaining_key.as_mut() = crypto::hmac(t0.as_bytes(), &[&[1]]);
    let mut before: &Secret<32> = chaining_key;
    for (output, number) in more.iter_mut().zip(2..) {
        *output.as_mut() = crypto::hmac(t0.as_bytes(), &[before.as_bytes(), &[number]]);
        before = output;
    }
}
