//! Addresses as they stand in a configuration.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::str::FromStr;

use super::error::{Fault, ParseErrorKind};
use crate::ip::{AllowedIp, ParseAllowedIpError};

/// Where a peer is reached: a host, which may have to be looked up, and a port.
///
/// `Display` prints what [`Self::parse`] reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HostPort<'t> {
    host: &'t str,
    port: u16,
}

impl<'t> HostPort<'t> {
    /// Reads `name:port`, `IPv4:port`, `[IPv6]:port` or `[IPv6%scope]:port`. The port is not 0.
    ///
    /// # Errors
    /// One of the kinds that begin with `Endpoint`.
    pub fn parse(text: &'t str) -> Result<Self, ParseErrorKind> {
        endpoint(text.trim_ascii()).map_err(|fault| fault.kind)
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

pub(super) fn endpoint(text: &str) -> Result<HostPort<'_>, Fault<'_>> {
    if text.contains("://") {
        return Err(Fault::new(text, ParseErrorKind::EndpointUrl));
    }
    let (host, port) =
        if text.starts_with('[') { split_ipv6(text)? } else { split_name_or_ipv4(text)? };
    let port = port.trim_ascii_start();
    match decimal(port) {
        Some(port @ 1..) => Ok(HostPort { host, port }),
        _ => Err(Fault::new(port, ParseErrorKind::EndpointPort)),
    }
}

fn split_ipv6(text: &str) -> Result<(&str, &str), Fault<'_>> {
    let (host, rest) = text
        .strip_prefix('[')
        .and_then(|text| text.split_once(']'))
        .ok_or_else(|| Fault::new(text, ParseErrorKind::EndpointBracket))?;
    let (addr, scope) = host.split_once('%').map_or((host, None), |(a, s)| (a, Some(s)));
    if addr.parse::<Ipv6Addr>().is_err() || scope.is_some_and(str::is_empty) {
        return Err(Fault::new(host, ParseErrorKind::EndpointIpv6));
    }
    let rest = rest.trim_ascii_start();
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None => Err(Fault::new(rest, ParseErrorKind::EndpointNoPort)),
    }
}

fn split_name_or_ipv4(text: &str) -> Result<(&str, &str), Fault<'_>> {
    let (host, port) =
        text.split_once(':').ok_or_else(|| Fault::new(text, ParseErrorKind::EndpointNoPort))?;
    if port.contains(':') {
        return Err(Fault::new(text, ParseErrorKind::EndpointNoBrackets));
    }
    let host = host.trim_ascii_end();
    if host.parse::<Ipv4Addr>().is_err() && !is_name(host) {
        return Err(Fault::new(host, ParseErrorKind::EndpointHost));
    }
    Ok((host, port))
}

/// Whether DNS can know the name. A last label of digits would be an IPv4 address mistyped.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let top = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(is_label)
        && !top.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number of decimal digits alone: `FromStr` would take a sign as well.
pub(super) fn decimal<N: FromStr>(text: &str) -> Option<N> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}
