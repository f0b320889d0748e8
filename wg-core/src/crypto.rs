//! The cryptographic primitives (whitepaper section 5.4) as plain functions over raw bytes.
//!
//! This file and its provider modules are the only ones that name a cryptography crate. Keys
//! are 32 raw bytes whatever the provider, so nothing outside depends on the choice, which is
//! made per group of functions: the measuring stand-in first, then a host's feature (`ring`,
//! `graviola`), then `word32`, then the portable crates. No function allocates on the heap, or panics: except that graviola does so
//! at its first use on a processor that it does not support.

#[cfg(all(feature = "ring", target_os = "none"))]
compile_error!("feature `ring` needs a hosted target: leave it off in firmware");
#[cfg(all(feature = "graviola", target_os = "none"))]
compile_error!("feature `graviola` needs a hosted target: leave it off in firmware");

#[cfg(feature = "graviola")]
mod graviola;
#[cfg(not(wg_core_opaque_crypto))]
#[cfg_attr(
    any(feature = "ring", feature = "graviola", feature = "word32"),
    allow(dead_code, reason = "what a feature replaces stays for the differential tests")
)]
mod named;
#[cfg(wg_core_opaque_crypto)]
mod opaque;
#[cfg(feature = "ring")]
mod ring;
#[cfg(all(test, not(wg_core_opaque_crypto)))]
mod tests;
#[cfg(all(feature = "word32", not(wg_core_opaque_crypto)))]
#[cfg_attr(
    any(feature = "ring", feature = "graviola"),
    allow(dead_code, unused_imports, reason = "as with `named`")
)]
mod word32;

use subtle::ConstantTimeEq;

#[cfg(not(wg_core_opaque_crypto))]
pub(crate) use named::{hash, hmac, mac};
#[cfg(not(any(wg_core_opaque_crypto, feature = "word32")))]
pub(crate) use named::{xopen, xseal};
#[cfg(wg_core_opaque_crypto)]
pub(crate) use opaque::{hash, hmac, mac, xopen, xseal};

#[cfg(all(feature = "word32", not(wg_core_opaque_crypto)))]
pub(crate) use word32::{xopen, xseal};

#[cfg(not(any(wg_core_opaque_crypto, feature = "ring", feature = "word32")))]
use named as aead;
#[cfg(wg_core_opaque_crypto)]
use opaque as aead;
#[cfg(all(feature = "ring", not(wg_core_opaque_crypto)))]
use ring as aead;
#[cfg(all(feature = "word32", not(any(wg_core_opaque_crypto, feature = "ring"))))]
use word32 as aead;

#[cfg(all(feature = "graviola", not(wg_core_opaque_crypto)))]
pub(crate) use graviola::{dh, public_key};
#[cfg(not(any(wg_core_opaque_crypto, feature = "graviola", feature = "word32")))]
pub(crate) use named::{dh, public_key};
#[cfg(wg_core_opaque_crypto)]
pub(crate) use opaque::{dh, public_key};
#[cfg(all(feature = "word32", not(any(wg_core_opaque_crypto, feature = "graviola"))))]
pub(crate) use word32::{dh, public_key};

/// The tag does not belong to the ciphertext under this key, nonce and associated data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Forged;

/// Compares secrets or tags in time that depends on nothing but `N`.
pub(crate) fn equal<const N: usize>(a: &[u8; N], b: &[u8; N]) -> bool {
    a.as_slice().ct_eq(b.as_slice()).into()
}

/// AEAD: encrypts `buf` in place by ChaCha20-Poly1305 (RFC 8439) and returns the tag.
pub(crate) fn seal(key: &[u8; 32], counter: u64, aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
    aead::seal(key, nonce(counter), aad, buf)
}

/// AEAD: checks the tag and only then decrypts `buf` in place. On [`Forged`] what is left
/// in `buf` is unspecified, but no plaintext.
pub(crate) fn open(
    key: &[u8; 32],
    counter: u64,
    aad: &[u8],
    buf: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged> {
    aead::open(key, nonce(counter), aad, buf, tag)
}

/// Four zero bytes and the counter, little endian.
fn nonce(counter: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}
