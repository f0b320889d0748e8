//! What a host in a tunnel is to be.

use core::fmt;
use std::net::IpAddr;

use wg_core::config::InterfaceAddress;
use wg_core::{AllowedIp, PublicKey};

use crate::clock::StampClock;
use crate::config::Config;
use crate::names::Names;

/// Room of a TCP connection in each direction: what can be on its way at a time, so 42 Mbit/s at
/// 100 ms.
const TCP_BUFFER: usize = 512 * 1024;
/// TCP connections at a time.
const CONNECTIONS: usize = 1024;

/// A host in a tunnel as it should be.
pub struct NetConfig {
    /// The tunnel.
    pub tunnel: Config,
    /// Peers whose endpoint is a name, which the system looks up outside the tunnel.
    pub names: Names,
    /// The host's addresses in the tunnel, eight at most.
    pub addresses: Vec<InterfaceAddress>,
    /// Name servers, asked inside the tunnel; four at most.
    pub dns_servers: Vec<IpAddr>,
    /// Domains in which names without a dot are looked up.
    pub dns_search: Vec<String>,
    /// What handshakes are stamped with: a clock kept in a file does not go back over restarts.
    pub clock: StampClock,
    /// The room of a TCP connection in each direction, in bytes. Its throughput is at most this in
    /// a round trip. Memory that no byte has gone through is not taken from the system.
    pub tcp_buffer: usize,
    /// TCP connections at a time, those that are about to close included. So TCP takes
    /// `2 * tcp_buffer * connections` bytes of memory at most.
    pub connections: usize,
}

impl NetConfig {
    /// What a wg-quick file says, with [`StampClock::system`], and for each of up to 1024
    /// connections a buffer of 512 KiB in each direction.
    pub fn of(file: &wg_core::config::Config<'_>) -> Self {
        Self {
            tunnel: Config::from(file),
            names: Names::of(file),
            addresses: file.addresses().collect(),
            dns_servers: file.dns_servers().collect(),
            dns_search: file.dns_search().map(ToOwned::to_owned).collect(),
            clock: StampClock::system(),
            tcp_buffer: TCP_BUFFER,
            connections: CONNECTIONS,
        }
    }
}

impl fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetConfig")
            .field("tunnel", &self.tunnel)
            .field("addresses", &self.addresses)
            .field("dns_servers", &self.dns_servers)
            .finish_non_exhaustive()
    }
}

/// Which peer has which addresses, to say at once that there is no way.
pub(super) struct Routes {
    /// The longest prefixes first.
    entries: Vec<(AllowedIp, PublicKey)>,
}

impl Routes {
    pub(super) fn of(tunnel: &Config) -> Self {
        let of_peers = tunnel.peers.iter();
        let mut entries: Vec<_> = of_peers
            .flat_map(|peer| peer.allowed_ips.iter().map(|&ips| (ips, peer.public_key)))
            .collect();
        // Of two peers with the same, the later has it.
        entries.reverse();
        entries.sort_by_key(|(ips, _)| core::cmp::Reverse(ips.cidr()));
        Self { entries }
    }

    pub(super) fn peer_for(&self, to: IpAddr) -> Option<PublicKey> {
        let mut entries = self.entries.iter();
        entries.find(|(ips, _)| AllowedIp::new(to, ips.cidr()) == Some(*ips)).map(|&(_, peer)| peer)
    }
}
