//! The primitives of wg-core's portable provider, from its very file, without the engine.

use core::hint::black_box;

use crate::board::{bytes, call1, call2, call4, call5};

/// What the provider expects in the file above it.
#[derive(Debug)]
pub struct Forged;

#[path = "../../../wg-core/src/crypto/named.rs"]
mod named;

/// Calls each one.
#[inline(never)]
pub fn call_primitives() {
    let (key, nonce, mut buf): ([u8; 32], [u8; 12], [u8; 64]) = (bytes(), bytes(), bytes());
    let (long_nonce, cookie, tag): ([u8; 24], [u8; 16], [u8; 16]) = (bytes(), bytes(), bytes());
    black_box(call1(named::hash, &[&key, &nonce]));
    black_box(call2(named::mac::<32>, &key, &[&nonce]));
    black_box(call2(named::mac::<16>, &cookie, &[&nonce]));
    black_box(call2(named::hmac, &key, &[&nonce]));
    black_box(call4(named::seal, &key, nonce, &cookie, &mut buf));
    let _ = black_box(call5(named::open, &key, nonce, &cookie, &mut buf, &tag));
    black_box(call4(named::xseal, &key, &long_nonce, &cookie, &mut buf));
    let _ = black_box(call5(named::xopen, &key, &long_nonce, &cookie, &mut buf, &tag));
    black_box(call1(named::public_key, &key));
    let _ = black_box(call2(named::dh, &key, &key));
}

/// Bare AEAD, for comparison with what the engine does around it.
pub fn seal(key: &[u8; 32], buf: &mut [u8]) -> [u8; 16] {
    named::seal(key, [0; 12], &[], buf)
}

/// Bare AEAD.
pub fn open(key: &[u8; 32], buf: &mut [u8], tag: &[u8; 16]) -> bool {
    named::open(key, [0; 12], &[], buf, tag).is_ok()
}
