//! A stand-in without cryptography, under `--cfg wg_core_opaque_crypto` only.
//!
//! It lets the size and panic checks measure the engine alone: each function is a call that
//! the optimizer can neither see through nor remove, as an extern function would be.
//! **It protects nothing.**

use core::hint::black_box;

use zeroize::Zeroizing;

use super::Forged;

#[inline(never)]
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    black_box(parts);
    black_box([0; 32])
}

#[inline(never)]
pub(crate) fn mac<const KEY: usize>(key: &[u8; KEY], parts: &[&[u8]]) -> [u8; 16] {
    black_box((key, parts));
    black_box([0; 16])
}

#[inline(never)]
pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    black_box((key, parts));
    black_box([0; 32])
}

#[inline(never)]
pub(crate) fn seal(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
    black_box((key, nonce, aad, buf));
    black_box([0; 16])
}

#[inline(never)]
pub(crate) fn open(
    key: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    buf: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged> {
    black_box((key, nonce, aad, buf, tag));
    black_box(Ok(()))
}

#[inline(never)]
pub(crate) fn xseal(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
    black_box((key, nonce, aad, buf));
    black_box([0; 16])
}

#[inline(never)]
pub(crate) fn xopen(
    key: &[u8; 32],
    nonce: &[u8; 24],
    aad: &[u8],
    buf: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged> {
    black_box((key, nonce, aad, buf, tag));
    black_box(Ok(()))
}

#[inline(never)]
pub(crate) fn public_key(private: &[u8; 32]) -> [u8; 32] {
    black_box(private);
    black_box([0; 32])
}

#[inline(never)]
pub(crate) fn dh(private: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    black_box((private, public));
    black_box(true).then(|| Zeroizing::new(black_box([0; 32])))
}
