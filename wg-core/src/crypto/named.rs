//! The portable provider: chacha20poly1305, x25519-dalek and blake2, which run everywhere.

use blake2::digest::{FixedOutput, KeyInit, Update, consts::U16};
use blake2::{Blake2s256, Blake2sMac};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, XChaCha20Poly1305};
use x25519_dalek::{PublicKey, StaticSecret, X25519_BASEPOINT_BYTES};
use zeroize::Zeroizing;

use super::Forged;

/// HASH: BLAKE2s-256 of the concatenated parts.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Blake2s256::default();
    for part in parts {
        hasher.update(part);
    }
    let mut output = [0; 32];
    hasher.finalize_into((&mut output).into());
    output
}

/// MAC: keyed BLAKE2s of the concatenated parts with 16 bytes of output, under a key of 32
/// bytes or a cookie of 16.
pub(crate) fn mac<const KEY: usize>(key: &[u8; KEY], parts: &[&[u8]]) -> [u8; 16] {
    const { assert!(KEY <= 32, "BLAKE2s takes keys of at most 32 bytes") }
    let mut output = [0; 16];
    // Fails only for longer keys.
    let Ok(mut hasher) = Blake2sMac::<U16>::new_from_slice(key) else { return output };
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize_into((&mut output).into());
    output
}

/// HMAC: RFC 2104 over BLAKE2s-256, whose block is 64 bytes.
pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut inner_pad = Zeroizing::new([0x36; 64]);
    let mut outer_pad = Zeroizing::new([0x5c; 64]);
    for ((inner, outer), byte) in inner_pad.iter_mut().zip(outer_pad.iter_mut()).zip(key) {
        *inner ^= byte;
        *outer ^= byte;
    }
    let mut hasher = Blake2s256::default();
    hasher.update(inner_pad.as_slice());
    for part in parts {
        hasher.update(part);
    }
    let mut inner_hash = Zeroizing::new([0; 32]);
    hasher.finalize_into((&mut *inner_hash).into());
    hash(&[outer_pad.as_slice(), inner_hash.as_slice()])
}

/// AEAD: encrypts `buf` in place by ChaCha20-Poly1305 (RFC 8439) and returns the tag.
pub(crate) fn seal(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
    let cipher = ChaCha20Poly1305::new(key.into());
    let sealed = cipher.encrypt_inout_detached(&nonce.into(), aad, (&mut *buf).into());
    tag_or_nothing(sealed, buf)
}

/// AEAD: checks the tag and only then decrypts `buf` in place. On [`Forged`] what is left
/// in `buf` is unspecified, but no plaintext.
pub(crate) fn open(
    key: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    buf: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged> {
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&nonce.into(), aad, buf.into(), tag.into())
        .map_err(|_| Forged)
}

/// XAEAD: encrypts `buf` in place by XChaCha20-Poly1305 and returns the tag.
pub(crate) fn xseal(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
    let cipher = XChaCha20Poly1305::new(key.into());
    let sealed = cipher.encrypt_inout_detached(nonce.into(), aad, (&mut *buf).into());
    tag_or_nothing(sealed, buf)
}

/// XAEAD: checks the tag and only then decrypts `buf` in place. On [`Forged`] what is left
/// in `buf` is unspecified, but no plaintext.
pub(crate) fn xopen(
    key: &[u8; 32],
    nonce: &[u8; 24],
    aad: &[u8],
    buf: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged> {
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce.into(), aad, buf.into(), tag.into())
        .map_err(|_| Forged)
}

/// The public key of a private key, which need not be clamped.
///
/// By the ladder that `dh` uses: the Edwards arithmetic of dalek's own conversion would cost
/// flash and a deeper stack, and is no faster on 32 bits.
pub(crate) fn public_key(private: &[u8; 32]) -> [u8; 32] {
    let base = PublicKey::from(X25519_BASEPOINT_BYTES);
    StaticSecret::from(*private).diffie_hellman(&base).to_bytes()
}

/// DH: X25519, or nothing when the result is all zero.
pub(crate) fn dh(private: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let shared = StaticSecret::from(*private).diffie_hellman(&PublicKey::from(*public));
    shared.was_contributory().then(|| Zeroizing::new(*shared.as_bytes()))
}

/// Sealing fails only for messages of 256 GiB and more; nothing of such a one may leave.
fn tag_or_nothing<E>(sealed: Result<chacha20poly1305::Tag, E>, buf: &mut [u8]) -> [u8; 16] {
    sealed.map_or_else(
        |_| {
            buf.fill(0);
            [0; 16]
        },
        Into::into,
    )
}
