//! What a tunnel is to be.

use wg_core::PrivateKey;

use crate::handle::PeerConfig;

/// The largest inner packet that fits an IPv6 underlay of 1500 bytes.
const DEFAULT_MTU: u16 = 1420;

/// A tunnel as it should be at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our identity; without one, there are no handshakes.
    pub private_key: Option<PrivateKey>,
    /// The UDP port of our sockets, 0 for any free one.
    pub listen_port: u16,
    /// The mark of our own datagrams for policy routing, 0 for none. Needs `CAP_NET_ADMIN`.
    pub fw_mark: u32,
    /// The largest inner packet.
    pub mtu: u16,
    /// The peers.
    pub peers: Vec<PeerConfig>,
    /// Whether it carries packets at once. Else it does, and has sockets, once an
    /// [`InterfaceState`](crate::InterfaceState) has seen the interface up.
    pub is_up: bool,
}

impl Default for Config {
    /// No identity, no peers, any port, and an MTU of 1420.
    fn default() -> Self {
        Self {
            private_key: None,
            listen_port: 0,
            fw_mark: 0,
            mtu: DEFAULT_MTU,
            peers: Vec::new(),
            is_up: true,
        }
    }
}

impl From<&wg_core::config::Config<'_>> for Config {
    /// Takes what concerns the tunnel from a wg-quick file. Endpoints by name are left out:
    /// see [`Names`](crate::Names).
    fn from(file: &wg_core::config::Config<'_>) -> Self {
        let peers = file.peers().map(|peer| PeerConfig {
            public_key: peer.public_key(),
            preshared_key: peer.preshared_key(),
            endpoint: peer.endpoint().and_then(|endpoint| endpoint.socket_addr()),
            persistent_keepalive: peer.persistent_keepalive(),
            allowed_ips: peer.allowed_ips().collect(),
        });
        Self {
            private_key: file.private_key(),
            listen_port: file.listen_port(),
            fw_mark: file.fw_mark(),
            mtu: file.mtu().unwrap_or(DEFAULT_MTU),
            peers: peers.collect(),
            is_up: true,
        }
    }
}
