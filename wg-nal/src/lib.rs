#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
// Firmware's futures stay on their core: none needs to be `Send`.
#![allow(async_fn_in_trait)]
//! A WireGuard tunnel over the UDP stack that firmware already has.
//!
//! [`wg_core`] is the protocol. This crate drives it: it moves datagrams between the engine and
//! a stack, keeps the packets that wait for a session, and shows a network stack or a program
//! the inside of the tunnel. It takes memory from nobody but the caller.
//!
//! A tunnel has three parts: the [`Interface`] is its inside, the [`Handle`] controls it, and a
//! runner does the work. Which runner depends on what the board has.
//!
//! # With embassy
//!
//! The interface is a driver of embassy-net, so that everything that takes a stack of
//! embassy-net works in the tunnel. Feature `embassy`.
//!
//! ```no_run
//! # #[cfg(feature = "embassy")]
//! # async fn example<C: wg_nal::Timestamps + 'static>(
//! #     wifi: embassy_net::Stack<'static>, rng: wg_nal::Drbg, clock: C,
//! #     buffers: &'static mut [u8], metadata: &'static mut [embassy_net::udp::PacketMetadata; 8],
//! #     spawn: impl Fn(&mut dyn core::future::Future<Output = ()>), seed: u64,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use embassy_net::{StackResources, udp::UdpSocket};
//! use static_cell::StaticCell;
//! use wg_nal::{EmbassyTime, EmbassyUdp, Resources, stack_config};
//!
//! static TUNNEL: StaticCell<Resources<1, 2>> = StaticCell::new(); // one peer, two allowed IPs
//! static INSIDE: StaticCell<StackResources<3>> = StaticCell::new();
//! static SOCKET: StaticCell<UdpSocket<'static>> = StaticCell::new();
//!
//! # let (rx, tx) = buffers.split_at_mut(4096);
//! # let (rx_meta, tx_meta) = metadata.split_at_mut(4);
//! let socket = SOCKET.init(UdpSocket::new(wifi, rx_meta, rx, tx_meta, tx));
//! socket.bind(51820).map_err(|error| format!("{error:?}"))?;
//! let underlay = EmbassyUdp::new(socket, 1478); // what esp-radio's frames of 1492 hold
//! let (interface, handle, mut tunnel) =
//!     wg_nal::new(TUNNEL.init(Resources::new()), underlay, rng, clock, EmbassyTime);
//! let begun = handle.begin(
//!     "10.0.0.2".parse()?,
//!     "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", // from flash, in real firmware
//!     "192.0.2.1",
//!     "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
//!     51820,
//! )?;
//! let config = stack_config([begun.address]);
//! let (inside, mut net) =
//!     embassy_net::new(interface, config, INSIDE.init(StackResources::new()), seed);
//! // Each of these in a task of its own:
//! # spawn(&mut async move {
//! tunnel.run().await;
//! # });
//! # spawn(&mut async move {
//! net.run().await;
//! # });
//! inside.wait_link_up().await; // there is a session: connect, and send
//! # Ok(()) }
//! ```
//!
//! # With any executor
//!
//! The underlay is a socket of embedded-nal-async; the inside is packets. Feature
//! `embedded-nal-async`.
//!
//! ```no_run
//! # #[cfg(feature = "embedded-nal-async")]
//! # async fn example<S: embedded_nal_async::UdpStack, C: wg_nal::Timestamps>(
//! #     stack: S, rng: wg_nal::Drbg, clock: C, time: impl wg_nal::Monotonic + Clone, packet: &[u8],
//! # ) -> Result<(), Box<dyn std::error::Error>> where S::Error: core::fmt::Debug {
//! # use embassy_futures::join::join;
//! use wg_nal::{CancelSafe, Resources};
//!
//! let mut resources = Resources::<1, 2>::new();
//! let (local, socket) = stack.bind_single("0.0.0.0:51820".parse()?).await
//! #   .map_err(|error| format!("{error:?}"))?;
//! // By its name you say that this stack's `receive_into` can be dropped without harm.
//! let underlay = CancelSafe::new(socket, local);
//! let (mut interface, handle, mut tunnel) =
//!     wg_nal::new(&mut resources, underlay, rng, clock, time);
//! handle.begin_config(include_str!("../examples/wg0.conf"))?; // or five arguments
//! join(tunnel.run(), async {
//!     if let Err(_too_long) = interface.send(packet).await { /* a smaller one, please */ }
//!     interface.receive(|packet| { /* an IP packet */ }).await;
//!     handle.stop();
//! })
//! .await;
//! # Ok(()) }
//! ```
//!
//! # Without an executor
//!
//! Over any `embedded_nal::UdpFullStack`, in a superloop. With the feature `smoltcp` the
//! interface is also a device of smoltcp, and smoltcp-nal gives TCP, UDP and DNS in the tunnel.
//! Feature `embedded-nal`.
//!
//! ```
//! # #[cfg(feature = "embedded-nal")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use wg_nal::wg_core::{Increasing, Instant, PrivateKey};
//! # use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
//! # #[derive(Clone, Copy)] struct Time;
//! # impl wg_nal::Monotonic for Time {
//! #     fn now(&self) -> Instant { Instant::ZERO }
//! #     async fn delay_until(&self, _: Instant) {}
//! # }
//! # let time = Time;
//! # let now = || Instant::ZERO;
//! # let mut rng = ChaCha20Rng::from_seed([7; 32]);
//! # let clock = Increasing::new(|| Some(core::time::Duration::from_secs(1_800_000_000)), None);
//! # let (private_key, public_key) = (
//! #     "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=");
//! # let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! # let gateway_port = socket.local_addr()?.port();
//! # let (stack, port) = (std_embedded_nal::Stack, 0);
//! # let ping = b"\x45\0\0\x1c\0\0\0\0\x40\x01\0\0\x0a\0\0\x02\x0a\0\0\x01\x08\0\0\0ping";
//! use wg_nal::{Resources, Tunnel};
//!
//! let mut resources = Resources::<1, 2>::new();
//! let (mut interface, mut tunnel) = Tunnel::new(&mut resources, stack, port, rng, clock)?;
//! let handle = tunnel.handle(time);
//! handle.begin("10.0.0.2".parse()?, private_key, "127.0.0.1", public_key, gateway_port)?;
//! loop {
//!     let polled = tunnel.poll(now())?;
//!     while interface.try_receive(|packet| { /* an IP packet */ }).is_some() {}
//!     interface.try_send(ping)?;
//!     // The rest of the firmware; or sleep until `polled.deadline`, or until the radio wakes.
//! #   let _ = polled;
//! #   break;
//! }
//! # let mut initiation = [0; 2048];
//! # assert_eq!(socket.recv(&mut initiation)?, 148, "keepalives asked for a handshake");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "embedded-nal"))]
//! # fn main() {}
//! ```
//!
//! # Which way datagrams go
//!
//! Neither embedded-nal nor embedded-nal-async can bind a socket to an interface, so where the
//! stack routes the tunnel's own datagrams is the stack's choice. When the inside of the tunnel
//! is a stack of its own, as with smoltcp and embassy-net, there is nothing to choose wrongly.
//! When one stack has both, such as an operating system's, the endpoint needs a route of its
//! own, more specific than the tunnel's; else the tunnel's datagrams come back to it as packets,
//! and are counted in [`Counters::routing_loops`].
//!
//! # The MTU
//!
//! A packet grows by 32 bytes of WireGuard, 8 of UDP, and 20 of IPv4 or 40 of IPv6. 1420 is
//! right where the underlay carries 1500. Some stacks lose a datagram that does not fit without
//! an error: esp-radio's default frame of 1492 counts the Ethernet header, which leaves 1418
//! over IPv4 and 1398 over IPv6. So the adapters ask for the underlay's MTU, the interface's is
//! what then fits over IPv6, and what still does not fit is counted in
//! [`Counters::too_long`] and not sent. embedded-nal knows no MTU: there the interface begins with
//! what fits Ethernet, and [`Interface::set_mtu`] is for links that carry less.
//!
//! # A board as gateway
//!
//! Between the tunnel and a LAN, [`Router`] makes packets ready to be sent on, either way: it
//! counts hops, lowers the segment size that TCP connections ask for to what the tunnel carries,
//! and answers what is too long by "fragmentation needed" or "packet too big". The example
//! `forward` is such a board.
//!
//! # Sleep
//!
//! There is no tick: the runner sleeps until the engine's next deadline. With keepalives off and
//! [`LinkPolicy::AlwaysUp`], nothing wakes an idle board once the keys of its last session are
//! wiped, nine minutes after it was made.
//!
//! # Features
//!
//! | feature | what it brings | Rust |
//! | --- | --- | --- |
//! | `embedded-nal` | `Tunnel`, for firmware without an executor; `poll_resolve` | 1.88 |
//! | `embedded-nal-async` | `CancelSafe`, datagrams over its UDP; `resolve` | 1.88 |
//! | `edge-nal` | `EdgeUdp`, datagrams over its UDP | 1.88 |
//! | `embassy` | `EmbassyUdp`, datagrams over embassy-net; the interface as its driver; `EmbassyTime`; with `embedded-nal-async` also `embassy`, all of it in one call, and `UdpNal`, the UDP that embassy-net lacks | 1.91 |
//! | `smoltcp` | the interface as a device of smoltcp 0.12, for smoltcp-nal | 1.88 |
//! | `sntp` | `Sntp`, the time of day from a server; with `embedded-nal-async` also `SntpSocket`, for its UDP | 1.88 |
//! | `flash` | `FlashStore`, records in NOR flash | 1.89 |
//! | `word32` | cryptography for 32-bit processors without a carry flag: faster, and on Xtensa the one whose time does not depend on keys | 1.88 |
//! | `std` | `FileStore`, records in files | 1.88 |
//! | `log`, `defmt` | log lines; with `defmt`, errors are `defmt::Format` too | 1.88 |

#[macro_use]
mod log;

// The order to read in: `shared` is the tunnel without input and output, `runner` and
// `blocking` are the two ways to drive it, `interface` is its inside, `datagrams` its outside and
// `handle` its controls.
#[cfg(feature = "embedded-nal")]
mod blocking;
mod checksum;
mod clock;
mod datagrams;
mod drbg;
#[cfg(all(feature = "embassy", feature = "embedded-nal-async"))]
pub mod embassy;
mod events;
mod frame;
mod handle;
mod icmp;
mod identity;
mod interface;
mod link;
mod monotonic;
mod mss;
mod resolve;
mod resources;
mod router;
mod routing_loop;
mod runner;
mod shared;
mod store;
#[cfg(all(feature = "embassy", feature = "embedded-nal-async"))]
mod udp_nal;
mod waker;

#[cfg(feature = "embedded-nal")]
pub use blocking::{DATAGRAMS_PER_POLL, PATIENCE, Polled, Tunnel};
#[cfg(feature = "flash")]
pub use clock::FlashClock;
#[cfg(all(feature = "sntp", feature = "embedded-nal-async"))]
pub use clock::SntpSocket;
pub use clock::{
    Implausible, Persistent, ReserveError, Standing, Timestamps, WallClock, plausible,
};
#[cfg(feature = "sntp")]
pub use clock::{Sntp, SntpError};
#[cfg(feature = "embedded-nal-async")]
pub use datagrams::CancelSafe;
#[cfg(feature = "edge-nal")]
pub use datagrams::EdgeUdp;
pub use datagrams::{Datagrams, ETHERNET_MTU, UnderlayError};
#[cfg(feature = "embassy")]
pub use datagrams::{EmbassyError, EmbassyUdp};
pub use drbg::{Drbg, SeedError, Vouched};
#[cfg(feature = "embassy")]
pub use handle::stack_config;
pub use handle::{BeginError, Begun, Handle, KEEPALIVE, Peer, PeerError};
pub use icmp::{IcmpError, LONGEST_ICMP};
pub use identity::{Identity, IdentityError, Origin};
pub use interface::{Interface, TooLong};
#[cfg(any(feature = "embassy", feature = "smoltcp"))]
pub use interface::{RxToken, TxToken};
pub use link::LinkPolicy;
#[cfg(feature = "embassy")]
pub use monotonic::EmbassyTime;
pub use monotonic::Monotonic;
pub use mss::clamp_mss;
#[cfg(feature = "embedded-nal")]
pub use resolve::poll_resolve;
#[cfg(feature = "embedded-nal-async")]
pub use resolve::resolve;
pub use resolve::{
    EndpointName, Family, LONGEST_QUERY, LONGEST_WAIT, QUERY_PATIENCE, SHORTEST_WAIT,
};
pub use resources::Resources;
pub use router::{Forward, Router};
pub use routing_loop::routing_loop;
pub use runner::{RECEIVE_PAUSE, Runner, new};
pub use shared::Counters;
#[cfg(feature = "std")]
pub use store::{FileError, FileStore};
#[cfg(feature = "flash")]
pub use store::{FlashError, FlashRangeError, FlashStore};
pub use store::{Record, Store};
#[cfg(all(feature = "embassy", feature = "embedded-nal-async"))]
pub use udp_nal::{UdpBuffers, UdpNal, UdpNalBound, UdpNalConnected, UdpNalError, UdpPool};

#[cfg(feature = "embedded-nal")]
pub use embedded_nal;
pub use rand_core;
#[cfg(feature = "sntp")]
pub use sntpc;
/// The engine.
pub use wg_core;
#[cfg(feature = "flash")]
pub use {embedded_storage_async, sequential_storage};

// The repository's first page; it is not in the package, and nobody tests a package's.
#[cfg(all(doctest, feature = "embassy", feature = "embedded-nal", feature = "embedded-nal-async"))]
#[doc = include_str!("../../README.md")]
mod readme {}
