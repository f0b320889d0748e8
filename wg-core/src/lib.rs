#![no_std]
#![forbid(unsafe_code)]
//! The WireGuard protocol as a sans-IO engine.
pub mod constants;
mod time;
pub use time::Instant;
