#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
//! The WireGuard protocol, and nothing else: no input or output, no clock, no random source,
//! no allocator, no unsafe code.
//!
//! Time and randomness are arguments, memory belongs to the caller, packets are encrypted and
//! decrypted in the caller's buffers. What a socket receives goes into a [`Device`], what it
//! answers goes out, and the device says when it wants to be called next and why.
//!
//! # The loop
//!
//! ```
//! # use std::net::SocketAddr;
//! # use wg_core::{Device, Event, INITIATION_LEN, Increasing, Instant, PrivateKey, Received, Source, Storage};
//! # use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
//! # enum Input<'b> { Datagram(Source, &'b mut [u8]), Packet(usize), Deadline, Stop }
//! # fn wait_until<'b>(at: Option<Instant>, buf: &'b mut [u8]) -> Input<'b> {
//! #     if at.is_some() { Input::Stop } else { Input::Packet(28) }
//! # }
//! # fn send(_: &[u8], _: SocketAddr) {}
//! # fn host(_: &[u8]) {}
//! # fn now() -> Instant { Instant::ZERO }
//! # let mut rng = ChaCha20Rng::from_seed([7; 32]);
//! # let mut clock = Increasing::new(|| Some(core::time::Duration::from_secs(1_800_000_000)), None);
//! # let key = PrivateKey::generate(&mut rng);
//! # let gateway = PrivateKey::generate(&mut rng).public_key();
//! # let mut sent = 0;
//! // Memory for one peer and two allowed IPs; in firmware, a static.
//! let mut storage = Storage::<1, 2>::new();
//! let mut device = Device::new(&mut storage);
//! device.set_private_key(now(), Some(&key));
//! let peer = device.add_peer(&gateway)?;
//! device.add_allowed_ip(peer, "10.0.0.0/8".parse()?)?;
//! device.set_endpoint(now(), peer, "192.0.2.1:51820".parse()?);
//!
//! // 16 bytes of head room, the largest packet, padding and tag.
//! let mut packets = [0; 16 + 1420 + 12 + 16];
//! let mut datagrams = [0; 1500];
//! # packets[16..44].copy_from_slice(b"\x45\0\0\x1c\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02ping .. ");
//! loop {
//!     // === 1. News. A session is up: send what waits for it.
//!     while let Some(event) = device.poll_event() {
//!         if let Event::SessionUp(_peer) = event { /* seal the packets that wait */ }
//!     }
//!     // === 2. Datagrams of the protocol's own: initiations and keepalives.
//!     let mut buf = [0; INITIATION_LEN];
//!     while let Some(transmit) = device.poll_transmit(now(), &mut clock, &mut rng, &mut buf) {
//!         send(transmit.datagram, transmit.to.remote);
//! #       sent += transmit.datagram.len();
//!     }
//!     // === 3. Sleep until something comes in, or until the deadline.
//!     match wait_until(device.poll_timeout().map(|(at, _reason)| at), &mut datagrams) {
//!         // === 4. One input: a datagram from the socket,
//!         Input::Datagram(from, datagram) => {
//!             match device.handle_datagram(now(), &mut rng, from, datagram) {
//!                 Ok(Received::Packet { packet, .. }) => host(packet),
//!                 Ok(Received::Reply(reply)) => send(reply.datagram, reply.to.remote),
//!                 Ok(_) => {}
//!                 Err(_refusal) => { /* counted already; log it at will */ }
//!             }
//!         }
//!         // or a packet of the host, at `packets[16..]`,
//!         Input::Packet(len) => match device.seal(now(), &mut packets, len) {
//!             Ok(transmit) => send(transmit.datagram, transmit.to.remote),
//!             Err(_no_session_yet_or_refused) => { /* keep the packet, or drop it */ }
//!         },
//!         // or the deadline.
//!         Input::Deadline => device.handle_timeout(now()),
//!         Input::Stop => break,
//!     }
//! }
//! # assert_eq!(sent, 148, "the packet asked for a handshake");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Its order is a law, told in the documentation of [`Device`].
//!
//! # Features
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `alloc` | [`Device::growing`], a device whose memory grows with its peers |
//! | `ring` | a faster cipher for hosts; a compile error on bare metal |
//! | `graviola` | a faster X25519 for hosts: x86-64 with AES, AVX2 and BMI1, AArch64 with AES and SHA-2. It **panics** on older processors as soon as a key is set |
//! | `word32` | cryptography of our own for 32-bit microcontrollers: faster there, and on Xtensa without the secret-dependent branches of the portable crates; but younger, and read by fewer people. `ring` and `graviola` go before it |
//! | `defmt` | errors, refusals and events are `defmt::Format` |
//!
//! None is on by default.

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
mod identity;
mod index;
mod ip;
mod jitter;
mod keypair;
mod keys;
mod link;
mod load;
mod message;
mod noise;
mod peer;
mod peer_id;
mod queue;
mod ratelimiter;
mod refusal;
mod replay;
mod schedule;
mod secret;
mod storage;
mod table;
mod tai64n;
mod time;
mod timers;

pub use device::{
    AddPeerError, Arena, Connection, Device, Forged, OpenJob, Opened, PeerStatus, Received,
    RoutesFull, SealJob, Sealed, SendError,
};
pub use endpoint::{Endpoint, Source, Transmit};
pub use event::Event;
pub use ip::{AllowedIp, Ecn, ParseAllowedIpError};
pub use keys::{KeyText, ParseKeyError, PresharedKey, PrivateKey, PublicKey};
pub use message::{
    COOKIE_REPLY_LEN, DATA_HEADER_LEN, DATA_OVERHEAD, INITIATION_LEN, RESPONSE_LEN, TAG_LEN,
};
pub use peer_id::PeerId;
pub use refusal::{Refusal, Refusals};
pub use replay::REPLAY_WINDOW;
pub use storage::Storage;
pub use tai64n::{ClockUnavailable, Increasing, Tai64n, Tai64nClock};
pub use time::Instant;
pub use timers::Reason;

/// The random source's traits, in the version that this crate takes.
pub use rand_core;
