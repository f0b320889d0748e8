//! ChaCha20-Poly1305 and X25519 for processors of 32 bits without a carry flag.

mod aead;
mod chacha20;
mod field;
mod poly1305;
mod x25519;

pub(crate) use aead::{open, seal, xopen, xseal};
pub(crate) use x25519::{dh, public_key};
