#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
// Firmware's futures stay on their core: none needs to be `Send`.
#![allow(async_fn_in_trait)]
//! A WireGuard tunnel over the UDP stack that firmware already has.
//!
//! [`wg_core`] is the protocol. This crate drives it: it moves datagrams between the engine
//! and a stack, and keeps the packets that wait for a session. It takes memory from nobody but
//! the caller, and never blocks.
//!
//! # A superloop with a tunnel
//!
//! With the feature `embedded-nal`, over any `embedded_nal::UdpFullStack`:
//!
//! ```
//! # #[cfg(feature = "embedded-nal")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use wg_core::{Increasing, Instant, PrivateKey};
//! # use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
//! # struct Inside(bool);
//! # impl Inside {
//! #     fn receive(&mut self, _: &[u8]) {}
//! #     fn transmit(&mut self) -> Option<&[u8]> {
//! #         let ping = b"\x45\0\0\x1c\0\0\0\0\x40\x01\0\0\x0a\0\0\x02\x0a\0\0\x01\x08\0\0\0ping";
//! #         std::mem::take(&mut self.0).then_some(ping)
//! #     }
//! # }
//! # let mut inside = Inside(true);
//! # fn now() -> Instant { Instant::ZERO }
//! # let mut rng = ChaCha20Rng::from_seed([7; 32]);
//! # let clock = Increasing::new(|| Some(core::time::Duration::from_secs(1_800_000_000)), None);
//! # let key = PrivateKey::generate(&mut rng);
//! # let gateway = PrivateKey::generate(&mut rng).public_key();
//! # let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! # let address = socket.local_addr()?;
//! # let (stack, port) = (std_embedded_nal::Stack, 0);
//! use wg_core::{Device, Storage};
//! use wg_nal::{Buffers, News, Tunnel};
//!
//! // Memory for one peer, one allowed IP and four packets that wait; in firmware, statics.
//! let mut storage = Storage::<1, 1>::new();
//! let mut buffers = Buffers::<1420, 4>::new();
//!
//! let mut device = Device::new(&mut storage);
//! device.set_private_key(now(), Some(&key));
//! let peer = device.add_peer(&gateway)?;
//! device.add_allowed_ip(peer, "10.0.0.0/8".parse()?)?;
//! device.set_endpoint(now(), peer, address);
//!
//! let mut tunnel = Tunnel::new(device, &mut buffers, stack, port, rng, clock)?;
//! loop {
//!     let polled = tunnel.poll(now(), |news| match news {
//!         News::Packet { packet, .. } => inside.receive(packet),
//!         News::Event(_event) => { /* a lamp, a log */ }
//!         _ => {}
//!     });
//!     while let Some(packet) = inside.transmit() {
//!         if let Err(_error) = tunnel.send(now(), packet) { /* log it; the packet is lost */ }
//!     }
//!     // The rest of the firmware; or sleep until `polled?.deadline`, or until the radio wakes.
//! #   let _ = polled?;
//! #   break;
//! }
//! # let mut initiation = [0; 2048];
//! # assert_eq!(socket.recv(&mut initiation)?, 148, "the packet asked for a handshake");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "embedded-nal"))]
//! # fn main() {}
//! ```
//!
//! # Which way datagrams go
//!
//! embedded-nal can bind a socket to a port, and to nothing else. So where the stack routes
//! the tunnel's own datagrams is the stack's choice. When the inside of the tunnel is another
//! stack, as with smoltcp, there is nothing to choose wrongly. When one stack has both, such
//! as an operating system's, the endpoint needs a route of its own, more specific than the
//! tunnel's; else the tunnel's datagrams come back to it as packets, and are refused as
//! `SendError::RoutingLoop`.
//!
//! # The MTU
//!
//! A packet grows by 32 bytes of WireGuard, 8 of UDP, and 20 of IPv4 or 40 of IPv6. 1420 is
//! right where the underlay carries 1500. Some stacks lose a datagram that does not fit without
//! an error: esp-radio's default frame of 1492 counts the Ethernet header, which leaves 1418
//! over IPv4 and 1398 over IPv6.
//!
//! # Features
//!
//! - `embedded-nal`: `Tunnel`, for firmware without an executor. Rust 1.88.

#[macro_use]
mod log;

// The order to read in: `shared` is the tunnel without input and output, `runner` and
// `blocking` are the two ways to drive it, `interface` is its inside and `datagrams` its outside.
#[cfg(feature = "embedded-nal")]
mod blocking;
mod checksum;
mod clock;
mod datagrams;
mod events;
mod frame;
mod handle;
mod icmp;
mod interface;
mod link;
mod monotonic;
mod mss;
mod resources;
mod router;
mod routing_loop;
mod runner;
mod shared;
mod waker;

#[cfg(feature = "embedded-nal")]
pub use blocking::{DATAGRAMS_PER_POLL, PATIENCE, Polled, Tunnel};
pub use clock::Timestamps;
pub use datagrams::Datagrams;
pub use handle::{Handle, Peer, PeerError};
pub use icmp::{IcmpError, LONGEST_ICMP};
pub use interface::{Interface, TooLong};
#[cfg(any(feature = "embassy", feature = "smoltcp"))]
pub use interface::{RxToken, TxToken};
pub use link::LinkPolicy;
#[cfg(feature = "embassy")]
pub use monotonic::EmbassyTime;
pub use monotonic::Monotonic;
pub use mss::clamp_mss;
pub use resources::Resources;
pub use router::{Forward, Router};
pub use runner::{RECEIVE_PAUSE, Runner, new};
pub use shared::Counters;

#[cfg(feature = "embedded-nal")]
pub use embedded_nal;
/// The engine.
pub use wg_core;
