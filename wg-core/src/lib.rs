#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
//! The WireGuard protocol as a sans-IO engine.

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

// The order to read in: `message`, `noise` and `handshake` are the paper's section 5.4,
// `cookie` its 5.3; `keypair` and `replay` a session; `timers` section 6; then `peer`, and
// `device` with the modules below it.
mod allowed_ips;
pub mod config;
pub mod constants;
mod cookie;
mod crypto;
mod device;
mod endpoint;
mod event;
mod handshake;
mod index;
mod ip;
mod jitter;
mod keypair;
mod keys;
mod load;
mod message;
mod noise;
mod peer;
mod queue;
mod ratelimiter;
mod refusal;
mod replay;
mod schedule;
mod secret;
mod storage;
mod tai64n;
mod time;
mod timers;

pub use device::{
    AddPeerError, Connection, Device, Forged, OpenJob, Opened, PeerStatus, Received, RoutesFull,
    SealJob, Sealed, SendError,
};
pub use endpoint::{Endpoint, Source, Transmit};
pub use event::Event;
pub use ip::{AllowedIp, Ecn, ParseAllowedIpError};
pub use keys::{KeyText, ParseKeyError, PresharedKey, PrivateKey, PublicKey};
pub use message::{
    COOKIE_REPLY_LEN, DATA_HEADER_LEN, DATA_OVERHEAD, INITIATION_LEN, RESPONSE_LEN, TAG_LEN,
};
pub use peer::PeerId;
pub use refusal::{Refusal, Refusals};
pub use storage::Storage;
pub use tai64n::{ClockUnavailable, Increasing, Tai64n, Tai64nClock};
pub use time::Instant;
pub use timers::Reason;

/// The random source's traits, in the version that this crate takes.
pub use rand_core;
