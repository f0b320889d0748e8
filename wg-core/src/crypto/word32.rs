//! ChaCha20-Poly1305 and X25519 for processors of 32 bits without a carry flag: the feature
//! `word32`. BLAKE2s stays the crate's.
//!
//! **What it gives.** On the ESP32's instruction sets 1.4 (Xtensa) to 1.5 times (RV32) fewer
//! instructions for each long packet, and 1.8 times fewer for each handshake; at opt-level "s", on
//! RV32, 1.2 and 1.8 times. On Xtensa also independence of time from secrets, which the portable
//! crates do not have there: the processor has no carry flag, and LLVM makes the carry of a 64-bit
//! addition a branch. The sums here need none on Xtensa (see `Column` in `field` and `poly1305`),
//! and `cargo xtask constant-time` counts the branches of the compiled code, and its instructions
//! for ten thousand secrets.
//!
//! **What it costs.** The crates are reviewed, verified in part, and used by many; this code is
//! neither: it is tested against them, by the RFCs' vectors and by Wycheproof. Compiler output
//! can change with any version: run the check with the compiler that builds a firmware. On hosts
//! it is slower than the crates.

mod aead;
mod chacha20;
mod field;
mod poly1305;
#[cfg(test)]
mod tests;
mod x25519;

pub(crate) use aead::{open, seal, xopen, xseal};
pub(crate) use x25519::{dh, public_key};
