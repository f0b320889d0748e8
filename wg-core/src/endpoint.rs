//! Where datagrams come from and go to.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::ip::Ecn;
use crate::peer::PeerId;

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

/// An endpoint as a peer keeps it: all zeros when it is not known, so that a blank peer costs
/// no flash.
pub(crate) struct Whereabouts {
    known: bool,
    local_known: bool,
    remote: SocketAddr,
    local: IpAddr,
}

impl Whereabouts {
    const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    pub(crate) const UNKNOWN: Self = Self {
        known: false,
        local_known: false,
        remote: SocketAddr::new(Self::NO_ADDRESS, 0),
        local: Self::NO_ADDRESS,
    };

    pub(crate) fn get(&self) -> Option<Endpoint> {
        let local = self.local_known.then_some(self.local);
        self.known.then_some(Endpoint { remote: self.remote, local })
    }

    /// True when the peer's address is another one than before.
    pub(crate) fn set(&mut self, endpoint: Endpoint) -> bool {
        let moved = !self.known || self.remote != endpoint.remote;
        *self = Self {
            known: true,
            local_known: endpoint.local.is_some(),
            remote: endpoint.remote,
            local: endpoint.local.unwrap_or(Self::NO_ADDRESS),
        };
        moved
    }

    pub(crate) const fn forget_local(&mut self) {
        self.local_known = false;
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.known
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
