//! Why a tunnel does not start, or ends.

use core::fmt;
use std::io;
use std::path::PathBuf;

use wg_core::{AddPeerError, AllowedIp, PublicKey};

use crate::clock::StateError;

/// Why a tunnel does not start, or ends. `Display` is one sentence that says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Another program has the UDP port.
    PortInUse(u16),
    /// The sockets cannot be opened or set up.
    Sockets(io::Error),
    /// The datagrams cannot be marked.
    Mark(io::Error),
    /// The system has no random numbers.
    Random,
    /// The system has no timer.
    Timer(io::Error),
    /// A peer is refused.
    Peer(PublicKey, AddPeerError),
    /// There is an interface with this name already.
    InterfaceExists(String),
    /// The name cannot be an interface's.
    InterfaceName(String),
    /// The TUN interface cannot be made.
    Tun(String, io::Error),
    /// An address, a route or a rule cannot be set.
    Network {
        /// What could not be set.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// Routes or rules of the system cannot be read.
    Listing {
        /// Which of them.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// There is a route already, which packets for the tunnel would take.
    RouteExists {
        /// Where it leads to.
        to: AllowedIp,
        /// The interface that it leads by, if it has one.
        by: Option<String>,
    },
    /// Packets for the tunnel would take another way, by a rule or a route of others.
    OtherWay {
        /// The allowed IPs.
        to: AllowedIp,
        /// The interface that they would leave by.
        by: Option<String>,
    },
    /// IPv6 is off for the interface with this name, and cannot be switched on.
    NoIpv6(String, io::Error),
    /// The routing table for a default route is in use.
    TableInUse(u32),
    /// The `Table` of the configuration is no routing table.
    Table(String),
    /// The name of an endpoint cannot be resolved.
    Resolve {
        /// The endpoint.
        endpoint: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The configuration socket cannot be opened.
    Uapi {
        /// Where it is to be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The address for metrics cannot be had.
    Metrics {
        /// Where they were to be read.
        address: std::net::SocketAddr,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A host in the tunnel is to have no address.
    NoAddress,
    /// Timestamps cannot be kept.
    State(StateError),
    /// The inner side failed while the tunnel ran.
    Packets(io::Error),
    /// The sockets failed while the tunnel ran.
    Underlay(io::Error),
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortInUse(port) => write!(
                f,
                "UDP port {port} is in use: set another ListenPort, or stop the program that has it"
            ),
            Self::Sockets(error) => write!(f, "cannot open the UDP sockets: {error}"),
            Self::Mark(error) => write!(
                f,
                "cannot mark datagrams: {error}: FwMark and default routes need CAP_NET_ADMIN, \
                 so run as root"
            ),
            Self::Random => f.write_str("the system gives no random numbers: is it very old?"),
            Self::Timer(error) => write!(f, "cannot make a timer: {error}"),
            Self::Peer(key, error) => write!(f, "cannot add the peer {key}: {error}"),
            Self::InterfaceExists(name) => {
                write!(f, "there is an interface {name} already: remove it, or choose another name")
            }
            Self::InterfaceName(name) => write!(
                f,
                "{name:?} cannot be an interface's name, which has 1 to 15 of A-Z a-z 0-9 _ = + . -: \
                 choose another one"
            ),
            Self::Tun(name, error) => match error.kind() {
                io::ErrorKind::PermissionDenied => write!(
                    f,
                    "no permission to make the interface {name}: run as root, or with \
                     CAP_NET_ADMIN and access to /dev/net/tun"
                ),
                io::ErrorKind::NotFound => write!(
                    f,
                    "cannot make the interface {name}: there is no /dev/net/tun: load the kernel \
                     module tun"
                ),
                _ => write!(f, "cannot make the interface {name}: {error}"),
            },
            Self::Network { what, source } => write!(f, "cannot set {what}: {source}"),
            Self::Listing { what, source } => {
                write!(f, "cannot read the {what} of this system: {source}")
            }
            Self::RouteExists { to, by } => {
                write!(f, "there is a route to {to}")?;
                if let Some(by) = by {
                    write!(f, " by {by}")?;
                }
                write!(
                    f,
                    " already, and packets would leave there in the clear: remove that route, or \
                     take {to} out of AllowedIPs"
                )
            }
            Self::OtherWay { to, by } => write!(
                f,
                "packets to {to} would leave by {} in the clear, for a rule of others goes first: \
                 remove it from `ip rule`, or take {to} out of AllowedIPs",
                by.as_deref().unwrap_or("another interface")
            ),
            Self::NoIpv6(name, error) => write!(
                f,
                "IPv6 is off for new interfaces, and stays so for {name}: {error}: take IPv6 out \
                 of Address and AllowedIPs, or set net.ipv6.conf.default.disable_ipv6 to 0"
            ),
            Self::TableInUse(table) => write!(
                f,
                "another tunnel has the routing table {table}: set another FwMark, or stop that \
                 tunnel"
            ),
            Self::Table(value) => {
                write!(f, "Table = {value} is no routing table: write off, auto or a number")
            }
            Self::Resolve { endpoint, source } => write!(
                f,
                "cannot find the address of {endpoint}: {source}: check the name, and that this \
                 machine can resolve names without the tunnel"
            ),
            Self::Metrics { address, source } => {
                write!(f, "no metrics at {address}: {source}")
            }
            Self::Uapi { path, source } => {
                let path = path.display();
                match source.kind() {
                    io::ErrorKind::AddrInUse => write!(
                        f,
                        "another program answers at {path}: stop it, or choose another interface"
                    ),
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "no permission to make {path}: run as root")
                    }
                    _ => write!(f, "cannot make {path}: {source}"),
                }
            }
            Self::NoAddress => {
                f.write_str("there is no Address: without one nothing can be reached in the tunnel")
            }
            Self::State(error) => error.fmt(f),
            Self::Packets(error) => {
                write!(f, "the interface has failed: {error}: did somebody remove it?")
            }
            Self::Underlay(error) => write!(f, "the UDP sockets have failed: {error}"),
        }
    }
}

impl core::error::Error for Error {}
