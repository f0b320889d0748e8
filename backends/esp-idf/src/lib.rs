//! WireGuard for ESP-IDF: the engine of [`wg_core`] as an interface of lwIP, so that every
//! socket of the firmware (HTTP client, MQTT, OTA) can use the tunnel.
//!
//! `Tunnel::begin` takes the five arguments of the Arduino library; [`Settings`] holds
//! everything else, and comes from a wg-quick file too. A tunnel is one thread, which ends with
//! [`Tunnel::stop`].
//!
//! On the Xtensa chips (ESP32, S2, S3) the cryptography is wg-core's `word32`, because the portable
//! crates branch on secrets there, as compiled. On the others it is faster too: ask for the feature
//! `word32` of `wg-core`.
//!
//! # On this machine
//!
//! The crate builds on Linux, over std's sockets, where the inner side is any [`Inside`]. lwIP's,
//! `Netif`, is there on ESP-IDF, and in the tests of `cargo xtask lwip`. So is `NvsStore`.
//!
//! # Bad days
//!
//! None of them needs a reboot. Each line is a test; those with a star are of `cargo xtask lwip`.
//!
//! | What happens | What is seen, and what it does |
//! |---|---|
//! | Wi-Fi never comes up | `begin` returns; each call of a peer, 5 s apart while there is something to send, is [`Counters::unsent`] and now and then a line in the log |
//! | Wi-Fi comes up late | the tunnel takes it with its next datagram: [`Underlay::Default`] follows lwIP's default interface* |
//! | the interface disappears | datagrams are counted as `unsent`; the sockets are opened again every 5 s, and the session goes on when it is back, under another number of lwIP or not |
//! | it comes back as another: station to Ethernet | the same, with `Underlay::Default`; by name, [`Tunnel::set_underlay`] says which. The session and the port stay |
//! | the interface named is not there | at the start and in `set_underlay`: [`Error::Underlay`], and nothing has changed |
//! | SNTP never answers | timestamps go on from those in NVS: [`kept_clock`]. Without a store, [`sntp_clock`]: `ClockNotSet` in the status, and no handshake |
//! | NVS was erased, and SNTP does not answer | a peer that has seen later timestamps refuses the board, [`Standing::Unanchored`](wg_nal::Standing::Unanchored), until SNTP answers; at most one more call, and it goes on |
//! | flash is full | at the start: `ClockReserve`, [`Counters::reserve_errors`], a line in the log, and no handshake with a stamp that is not kept; tried again every 5 s. Later: the same errors, and handshakes go on while stamps last, 236 of them at least |
//! | flash is corrupt, or NVS is not initialised* | `ClockNotSet`, `Standing::NotLoaded`, `reserve_errors`, and nothing is written over it; read again every 5 s |
//! | the random source fails, or is stuck | [`Error::Random`] of [`random`] and of `begin`; later a line in the log, and the generator goes on |
//! | the name does not resolve for an hour | a line in the log now and then; found within 12 s of when it can be; neither `begin` nor `stop` waits for it |
//! | the route to the peer leads into the tunnel | dropped, [`Counters::routing_loops`], a line in the log |
//! | `begin` twice | the second is an error, `AddressInUse` of lwIP*, or `Error::Underlay` for the port; the first goes on |
//! | `stop` twice, or during a handshake | the same as once, at once; `begin` works again |
//! | a thousand starts and stops* | nothing is left: interface, default route, name servers, memory, descriptors |
//! | no memory for a packet* | dropped and counted; TCP sends it again |
//!
//! # Writes to flash
//!
//! Once at each boot, and then 0.76 times a day for a peer in use, 18 times a day while nobody
//! answers; [`wg_nal::Persistent`] has the arithmetic, `NvsStore` what it wears. The tunnel's
//! thread writes, when it has sent what was there: a packet that comes meanwhile waits for the
//! flash, some milliseconds, tens of them when a page is erased.
//!
//! # Entropy
//!
//! Begin after the radio has started: [`random`] says why.
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
