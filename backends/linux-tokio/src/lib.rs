#![cfg_attr(docsrs, feature(doc_cfg))]
//! WireGuard on Linux: the engine of [`wg_core`] between UDP sockets and a TUN interface,
//! driven by Tokio.
//!
//! A [`Tunnel`] is one task, and threads that encrypt and decrypt for it when it has more to do than
//! one core can. It needs a [`Config`], something that packets come from and go
//! to ([`Packets`]: a [`Tun`] interface, or [`ChannelPackets`] inside of this program) and a
//! clock to stamp handshakes with ([`StampClock`]). A [`Handle`] asks it and changes it while
//! it runs:
//!
//! ```
//! use wg_core::PrivateKey;
//! use wg_tokio::{ChannelPackets, Config, PeerConfig, StampClock, Tunnel};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ours = PrivateKey::generate(&mut wg_tokio::system_random()?);
//! let theirs = PrivateKey::generate(&mut wg_tokio::system_random()?).public_key();
//! let config = Config {
//!     private_key: Some(ours),
//!     peers: vec![PeerConfig {
//!         endpoint: Some("127.0.0.1:51820".parse()?),
//!         allowed_ips: vec!["10.0.0.0/24".parse()?],
//!         ..PeerConfig::new(theirs)
//!     }],
//!     ..Config::default()
//! };
//!
//! let (packets, _to_tunnel, _from_tunnel) = ChannelPackets::new(64);
//! let (handle, tunnel) = Tunnel::new(&config, packets, StampClock::system())?;
//! let running = tokio::spawn(tunnel.run());
//!
//! assert_eq!(handle.status().await?.peers.len(), 1);
//! handle.stop().await;
//! running.await??;
//! # Ok(())
//! # }
//! ```
//!
//! # How many copies
//!
//! A packet out is sealed where the TUN interface put it, and copied once, to stand behind the
//! one before it in a train of datagrams that one system call sends. A packet in is opened
//! where the socket put it, and copied once, to where packets of one TCP stream are joined for
//! the interface. The kernel's copies are its own.
//!
//! # Features
//!
//! | feature | what it brings | default |
//! | --- | --- | --- |
//! | `ring` | ChaCha20-Poly1305 in assembly, several times faster than the portable one | yes |
//! | `netstack` | a host inside this program: TCP, UDP and names in the tunnel without an interface; Rust 1.91 | with `proxy` |
//! | `proxy` | `wg-tokio proxy` | yes |
//! | `graviola` | X25519 at twice the speed; panics on processors without AVX2, or AES and SHA-2 on AArch64 | no |

mod clock;
mod config;
mod error;
mod handle;
mod journal;
mod link;
mod metrics;
mod names;
#[cfg(feature = "netstack")]
pub mod netstack;
mod packets;
mod routes;
mod time;
mod tun;
mod tunnel;
mod uapi;
mod underlay;
mod waiting;

pub use clock::{StampClock, StateError};
pub use config::Config;
pub use error::Error;
pub use handle::{Handle, PeerConfig, SetPeerError, Status, Stopped};
pub use link::InterfaceState;
pub use metrics::Metrics;
pub use names::Names;
pub use packets::{Batch, ChannelPackets, HEAD_ROOM, Packets};
pub use routes::{NetworkPlan, Routes};
pub use time::now;
pub use tun::Tun;
pub use tunnel::Tunnel;
pub use uapi::Uapi;

/// The engine, in the version that this crate takes.
pub use wg_core;

use getrandom::rand_core::UnwrapErr;
use getrandom::{SysRng, rand_core::TryRng};

/// The system's random source, after it has been seen to work.
///
/// Linux's does not fail once it has given something, so there is no error to handle later.
///
/// # Errors
/// [`Error::Random`].
pub fn system_random() -> Result<impl wg_core::rand_core::CryptoRng + Send + use<>, Error> {
    SysRng.try_next_u32().map_err(|_| Error::Random)?;
    Ok(UnwrapErr(SysRng))
}
