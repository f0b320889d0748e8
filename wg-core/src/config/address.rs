//! Addresses as they stand in a configuration.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::str::FromStr;

use super::error::ParseErrorKind;
use super::value;
use crate::ip::{AllowedIp, ParseAllowedIpError};

/// Where a peer is reached: a host, which may have to be looked up, and a port.
///
/// `Display` prints what [`Self::parse`] reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HostPort<'t> {
    pub(super) host: &'t str,
    pub(super) port: u16,
}

impl<'t> HostPort<'t> {
    /// Reads `name:port`, `IPv4:port`, `[IPv6]:port` or `[IPv6%scope]:port`. The port is not 0.
    ///
    /// # Errors
    /// One of the kinds that begin with `Endpoint`.
    pub fn parse(text: &'t str) -> Result<Self, ParseErrorKind> {
        value::endpoint(text.trim_ascii()).map_err(|fault| fault.kind)
    }

    /// The name or the address; an IPv6 address is without brackets and keeps its scope.
    pub const fn host(&self) -> &'t str {
        self.host
    }

    /// The UDP port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address when nothing has to be looked up: neither a name nor the name of a scope.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        if let Ok(addr) = self.host.parse::<IpAddr>() {
            return Some(SocketAddr::new(addr, self.port));
        }
        let (addr, scope) = self.host.split_once('%')?;
        let addr: Ipv6Addr = addr.parse().ok()?;
        Some(SocketAddrV6::new(addr, self.port, 0, scope.parse().ok()?).into())
    }
}

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An address of this side inside the tunnel, and the length of its network's prefix.
///
/// Reads and prints what an [`AllowedIp`] does, but the bits after the prefix stay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceAddress {
    addr: IpAddr,
    cidr: u8,
}

impl InterfaceAddress {
    /// An address alone, without a network around it.
    pub const fn host(addr: IpAddr) -> Self {
        Self { addr, cidr: if addr.is_ipv4() { 32 } else { 128 } }
    }

    /// The address `addr` in the network of its first `cidr` bits, at most 32 of an IPv4 and
    /// 128 of an IPv6 address.
    pub fn new(addr: IpAddr, cidr: u8) -> Option<Self> {
        AllowedIp::new(addr, cidr).map(|_| Self { addr, cidr })
    }

    /// The address itself.
    pub const fn addr(self) -> IpAddr {
        self.addr
    }

    /// How many leading bits the addresses of the network share.
    pub const fn cidr(self) -> u8 {
        self.cidr
    }
}

impl FromStr for InterfaceAddress {
    type Err = ParseAllowedIpError;

    fn from_str(text: &str) -> Result<Self, ParseAllowedIpError> {
        let cidr = text.parse::<AllowedIp>()?.cidr();
        let addr = text.split_once('/').map_or(text, |(addr, _)| addr);
        let addr = addr.parse().map_err(|_| ParseAllowedIpError::Address)?;
        Ok(Self { addr, cidr })
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.cidr)
    }
}
