#![no_std]
#![forbid(unsafe_code)]
//! The WireGuard protocol as a sans-IO engine.
#[cfg(feature = "alloc")]
extern crate alloc;

pub mod config;
pub mod constants;
mod crypto;
mod index;
mod ip;
mod keys;
mod replay;
mod schedule;
mod secret;
mod storage;
mod tai64n;
mod time;
pub use ip::{AllowedIp, Ecn, ParseAllowedIpError};
pub use keys::{KeyText, ParseKeyError, PresharedKey, PrivateKey, PublicKey};
pub use tai64n::{ClockUnavailable, Increasing, Tai64n, Tai64nClock};
pub use time::Instant;
