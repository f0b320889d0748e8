#![no_std]
#![forbid(unsafe_code)]
//! The WireGuard protocol as a sans-IO engine.
pub mod constants;
mod crypto;
mod keys;
mod replay;
mod secret;
mod tai64n;
mod time;
pub use keys::{KeyText, ParseKeyError, PresharedKey, PrivateKey, PublicKey};
pub use tai64n::{ClockUnavailable, Increasing, Tai64n, Tai64nClock};
pub use time::Instant;
