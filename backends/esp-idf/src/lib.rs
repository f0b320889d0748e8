//! WireGuard for ESP-IDF: the engine of [`wg_core`] as an interface of lwIP, so that every
//! socket of the firmware (HTTP client, MQTT, OTA) can use the tunnel.
//!
//! `Tunnel::begin` takes the five arguments of the Arduino library; [`Settings`] holds
//! everything else, and comes from a wg-quick file too. A tunnel is one thread, which ends with
//! [`Tunnel::stop`].
//!
//! # On this machine
//!
//! The crate builds on Linux, over std's sockets, where the inner side is any [`Inside`]. lwIP's,
//! `Netif`, is there on ESP-IDF, and in the tests of `cargo xtask lwip`.
//!
//! # How many copies
//!
//! A packet of lwIP, however many pbufs it is chained of, is gathered once, into the buffer in
//! which it is sealed and sent. A datagram is opened where the socket put it, and copied once,
//! into a pbuf.

mod clock;
mod engine;
mod error;
mod journal;
mod names;
#[cfg(any(target_os = "espidf", wg_host_lwip))]
mod netif;
#[cfg(any(target_os = "espidf", wg_host_lwip))]
mod nvs;
mod outbound;
mod random;
mod settings;
mod status;
mod tunnel;
mod underlay;

pub use clock::{kept_clock, now, sntp_clock};
pub use engine::Inside;
pub use error::Error;
#[cfg(any(target_os = "espidf", wg_host_lwip))]
pub use netif::{AddError, Netif};
#[cfg(any(target_os = "espidf", wg_host_lwip))]
pub use nvs::{NvsError, NvsStore, nvs_clock};
pub use outbound::Outbound;
pub use random::random;
pub use settings::{Host, PeerSettings, Settings};
pub use status::{Counters, Status};
pub use tunnel::{STACK_SIZE, Tunnel};
pub use underlay::Underlay;

/// The engine, in the version that this crate takes.
pub use wg_core;
/// Clocks, stores and generators, in the version that this crate takes.
pub use wg_nal;

// The tests inside use the other end of the tests outside, which names this crate.
#[cfg(test)]
extern crate self as wg_esp_idf;
#[cfg(test)]
#[path = "../tests/gateway/mod.rs"]
mod gateway;
