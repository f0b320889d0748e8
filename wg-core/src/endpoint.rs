//! Where datagrams come from and go to.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::ip::Ecn;
use crate::peer_id::PeerId;

/// Where a datagram came from, as the UDP stack tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// The sender's address and port.
    pub remote: SocketAddr,
    /// The address of ours that it was sent to, where the stack tells: replies leave from it.
    pub local: Option<IpAddr>,
    /// The outer header's congestion mark, [`Ecn::NotCapable`] where the stack does not tell.
    pub ecn: Ecn,
}

impl From<SocketAddr> for Source {
    /// A source of which nothing but the address is known.
    fn from(remote: SocketAddr) -> Self {
        Self { remote, local: None, ecn: Ecn::NotCapable }
    }
}

/// Where a peer is reached, and from which of our addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The address of ours that last received from the peer, until a timer doubts it.
    pub local: Option<IpAddr>,
}

impl From<Source> for Endpoint {
    fn from(source: Source) -> Self {
        Self { remote: source.remote, local: source.local }
    }
}

/// An endpoint as a peer keeps it, in words, which compare and copy faster than the standard
/// library's addresses. All zeros when it is not known, so that a blank peer costs no flash.
///
/// The flow label of an IPv6 address is left out, as by the Linux kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    remote: [u32; 4],
    local: [u32; 4],
    scope: u32,
    port: u16,
    remote_family: Family,
    local_family: Family,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Unknown = 0,
    V4,
    V6,
}

impl Whereabouts {
    pub(crate) const UNKNOWN: Self = Self {
        remote: [0; 4],
        local: [0; 4],
        scope: 0,
        port: 0,
        remote_family: Family::Unknown,
        local_family: Family::Unknown,
    };

    pub(crate) fn new(remote: &SocketAddr, local: Option<&IpAddr>) -> Self {
        let mut new = Self { port: remote.port(), ..Self::UNKNOWN };
        match remote {
            SocketAddr::V4(remote) => new.remote_family = write_v4(&mut new.remote, remote.ip()),
            SocketAddr::V6(remote) => {
                new.remote_family = write_v6(&mut new.remote, remote.ip());
                new.scope = remote.scope_id();
            }
        }
        match local {
            Some(IpAddr::V4(local)) => new.local_family = write_v4(&mut new.local, local),
            Some(IpAddr::V6(local)) => new.local_family = write_v6(&mut new.local, local),
            None => {}
        }
        new
    }

    pub(crate) fn get(&self) -> Option<Endpoint> {
        Some(Endpoint { remote: self.remote()?, local: ip(self.local_family, &self.local) })
    }

    #[cfg_attr(target_os = "none", inline(never))] // for flash
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        Some(match ip(self.remote_family, &self.remote)? {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, self.port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, self.scope).into(),
        })
    }

    /// True when the peer's address is another one than before.
    pub(crate) fn set(&mut self, new: &Self) -> bool {
        let differs = |a: &[u32; 4], b: &[u32; 4]| {
            a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) != 0
        };
        let moved = differs(&self.remote, &new.remote)
            || (self.port, self.scope, self.remote_family)
                != (new.port, new.scope, new.remote_family);
        if moved || self.local_family != new.local_family || differs(&self.local, &new.local) {
            *self = *new;
        }
        moved
    }

    pub(crate) const fn forget_local(&mut self) {
        self.local_family = Family::Unknown;
    }

    pub(crate) const fn is_known(&self) -> bool {
        !matches!(self.remote_family, Family::Unknown)
    }
}

fn write_v4(words: &mut [u32; 4], ip: &Ipv4Addr) -> Family {
    let [first, ..] = words;
    *first = ip.to_bits();
    Family::V4
}

fn write_v6(words: &mut [u32; 4], ip: &Ipv6Addr) -> Family {
    *words = zerocopy::transmute!(ip.octets());
    Family::V6
}

fn ip(family: Family, words: &[u32; 4]) -> Option<IpAddr> {
    let [first, ..] = *words;
    match family {
        Family::Unknown => None,
        Family::V4 => Some(Ipv4Addr::from_bits(first).into()),
        Family::V6 => {
            let octets: [u8; 16] = zerocopy::transmute!(*words);
            Some(octets.into())
        }
    }
}

/// A datagram to send.
///
/// It may be lost, sent twice or not sent at all: the protocol recovers.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a datagram that is not sent is lost"]
pub struct Transmit<'b> {
    /// The peer that it is for; `None` for a cookie reply.
    pub peer: Option<PeerId>,
    /// Where it goes, and from which of our addresses where that is known.
    pub to: Endpoint,
    /// The traffic class of the outer IP header: DSCP and congestion marks.
    pub traffic_class: u8,
    /// The bytes.
    pub datagram: &'b mut [u8],
}
