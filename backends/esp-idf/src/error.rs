//! Why a tunnel does not start, or a setting is not taken.

use core::fmt;
use std::io;

use wg_core::config::{ParseError, ParseErrorKind};
use wg_core::{AddPeerError, ParseKeyError, PublicKey, RoutesFull};
use wg_nal::SeedError;

use crate::underlay::Underlay;

/// Why a tunnel does not start, or a setting is not taken. Nothing is changed then.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The private key is no key.
    PrivateKey(ParseKeyError),
    /// The public key is no key.
    PublicKey(ParseKeyError),
    /// The endpoint is no host's name or address, or its port is 0.
    Endpoint(ParseErrorKind),
    /// The wg-quick file is wrong.
    Config(ParseError),
    /// The wg-quick file has no private key, or one that is all zero.
    NoPrivateKey,
    /// A peer is refused.
    Peer(PublicKey, AddPeerError),
    /// There is no memory for the allowed IPs.
    AllowedIps(RoutesFull),
    /// No random numbers: the source fails, or is stuck.
    Random(SeedError<getrandom::Error>),
    /// No sockets, or none that is bound so.
    Underlay(Underlay, io::Error),
    /// The tunnel cannot be woken.
    Wake(io::Error),
    /// No memory for the thread.
    Thread(io::Error),
    /// The thread has ended.
    Stopped,
    /// lwIP does not take the interface.
    #[cfg(any(target_os = "espidf", wg_host_lwip))]
    Netif(crate::netif::AddError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateKey(error) => write!(f, "the private key: {error}"),
            Self::PublicKey(error) => write!(f, "the peer's public key: {error}"),
            Self::Endpoint(error) => write!(f, "the endpoint: {error}"),
            Self::Config(error) => write!(f, "the configuration: {error}"),
            Self::NoPrivateKey => f.write_str(
                "the configuration has no PrivateKey: enter the key of this board in [Interface]",
            ),
            Self::Peer(key, error) => write!(f, "cannot add the peer {key}: {error}"),
            Self::AllowedIps(error) => write!(f, "cannot add the allowed IPs: {error}"),
            Self::Random(error) => write!(f, "no random numbers: {error}"),
            Self::Underlay(underlay, error) => write!(
                f,
                "cannot open the UDP sockets on {underlay}: {error}: is it up, and has nobody \
                 else the port?"
            ),
            Self::Wake(error) => write!(
                f,
                "cannot make an eventfd: {error}: mount ESP-IDF's eventfd with room for one more"
            ),
            Self::Thread(error) => write!(
                f,
                "cannot start the tunnel's thread: {error}: it needs {} bytes of stack",
                crate::STACK_SIZE
            ),
            Self::Stopped => f.write_str("the tunnel was stopped: begin a new one"),
            #[cfg(any(target_os = "espidf", wg_host_lwip))]
            Self::Netif(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}
