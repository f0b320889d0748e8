//! A whole tunnel in one call.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use wg_core::config::{Config, InterfaceAddress, ParseError};
use wg_core::{
    AddPeerError, AllowedIp, ParseKeyError, PeerId, PresharedKey, PrivateKey, PublicKey, RoutesFull,
};

use super::{Handle, Peer, PeerError};
use crate::monotonic::Monotonic;
use crate::resolve::{EndpointName, Family};
use crate::shared::Shared;

/// Seconds between keepalives of a tunnel that [`Handle::begin`] made: boards are behind NAT,
/// which forgets an idle path after 30 s or later, and then the cloud cannot reach the board.
pub const KEEPALIVE: u16 = 25;

/// A tunnel that was begun.
#[derive(Clone, Debug)]
pub struct Begun<'h> {
    /// The peer at the other end.
    pub peer: PeerId,
    /// Where it is. A name is still to be resolved:
    /// [`keep_resolved`](Handle::keep_resolved), or `poll_resolved` without an executor.
    pub endpoint: EndpointName<'h>,
    /// Our address in the tunnel, for the stack in it.
    pub address: InterfaceAddress,
}

/// Why a tunnel was not begun. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BeginError {
    /// The private key is no key.
    PrivateKey(ParseKeyError),
    /// The peer's public key is no key.
    PublicKey(ParseKeyError),
    /// The endpoint is neither a name nor an address that can be sent to, or its port is 0.
    Endpoint,
    /// The configuration has an error.
    Config(ParseError),
    /// The configuration has no private key, or one that is all zero, and the tunnel had none.
    NoPrivateKey,
    /// The peers do not fit the resources, or one of them is this tunnel itself.
    Peer(AddPeerError),
    /// The allowed IPs do not fit the resources.
    Routes(RoutesFull),
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateKey(error) => write!(f, "private key: {error}"),
            Self::PublicKey(error) => write!(f, "the peer's public key: {error}"),
            Self::Endpoint => f.write_str(
                "the endpoint is no host's name or address that can be sent to, or port 0",
            ),
            Self::Config(error) => error.fmt(f),
            Self::NoPrivateKey => f.write_str(
                "[Interface] has no PrivateKey: enter one, or give the tunnel its key before",
            ),
            Self::Peer(error) => error.fmt(f),
            Self::Routes(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BeginError {}

impl From<PeerError> for BeginError {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Peer(error) => Self::Peer(error),
            PeerError::Routes(error) => Self::Routes(error),
        }
    }
}

impl<T: Monotonic> Handle<'_, T> {
    /// Five arguments, and the tunnel is up: as in the Arduino library that boards used before.
    ///
    /// Keys are in base64. `endpoint` is a host's name or an address, of either family. The
    /// peer's other settings are what a careful board wants:
    ///
    /// | | |
    /// | --- | --- |
    /// | allowed IPs | everything, of both families |
    /// | keepalive | every [`KEEPALIVE`] seconds |
    /// | pre-shared key | none: [`set_preshared_key`](Self::set_preshared_key) |
    ///
    /// Peers that were there before are gone. The public key is logged.
    ///
    /// # Errors
    /// See [`BeginError`]; nothing is changed then.
    pub fn begin<'h>(
        &self,
        local_ip: IpAddr,
        private_key: &str,
        endpoint: &'h str,
        public_key: &str,
        port: u16,
    ) -> Result<Begun<'h>, BeginError> {
        let private_key: PrivateKey = private_key.parse().map_err(BeginError::PrivateKey)?;
        let public_key: PublicKey = public_key.parse().map_err(BeginError::PublicKey)?;
        if public_key == private_key.public_key() {
            return Err(BeginError::Peer(AddPeerError::OwnKey));
        }
        if endpoint.is_empty() || endpoint.contains(char::is_whitespace) {
            return Err(BeginError::Endpoint);
        }
        let endpoint = EndpointName::new(endpoint, port, Family::V6);
        let nowhere = |literal: SocketAddr| literal.ip().is_unspecified();
        if port == 0 || endpoint.literal().is_some_and(nowhere) {
            return Err(BeginError::Endpoint);
        }
        let address = InterfaceAddress::host(local_ip);
        let peer = Peer {
            public_key: &public_key,
            preshared_key: &PresharedKey::NONE,
            endpoint: endpoint.literal(),
            allowed_ips: &AllowedIp::EVERYTHING,
            persistent_keepalive: KEEPALIVE,
        };
        self.change(|shared, now| {
            make_room(shared, core::iter::once(public_key), AllowedIp::EVERYTHING.len())?;
            shared.device.set_private_key(now, Some(&private_key));
            Ok::<(), BeginError>(())
        })?;
        let peer = self.set_peer(&peer)?;
        self.log_public_key();
        Ok(Begun { peer, endpoint, address })
    }

    /// The same from the text of a wg-quick file, which may stand in flash.
    ///
    /// Its peers replace all there were; of two with one key, the later counts. Without a `PrivateKey`, or with one that is all zero, the
    /// tunnel keeps the key that it has, such as one of an [`Identity`](crate::Identity). Endpoints by name are still to be resolved, each by a
    /// [`keep_resolved`](Self::keep_resolved) of its own; addresses, MTU and DNS servers are
    /// for the stack in the tunnel. The public key is logged.
    ///
    /// # Errors
    /// See [`BeginError`]; nothing is changed then.
    pub fn begin_config<'t>(&self, text: &'t str) -> Result<Config<'t>, BeginError> {
        let config = Config::parse(text).map_err(BeginError::Config)?;
        let private_key = config.private_key();
        let own_key = private_key.as_ref().map(PrivateKey::public_key);
        self.change(|shared, now| {
            let own_key = own_key.or_else(|| shared.device.public_key());
            let own_key = own_key.ok_or(BeginError::NoPrivateKey)?;
            // As the kernel does, which ignores a peer that is the interface itself.
            let peers = config.peers().filter(|peer| peer.public_key() != own_key);
            let routes = peers.clone().map(|peer| peer.allowed_ips().count()).sum();
            make_room(shared, peers.clone().map(|peer| peer.public_key()), routes)?;
            let device = &mut shared.device;
            if private_key.is_some() {
                device.set_private_key(now, private_key.as_ref());
            }
            for peer in peers {
                let id = device.add_peer(&peer.public_key()).map_err(BeginError::Peer)?;
                device.set_preshared_key(id, &peer.preshared_key());
                device.remove_allowed_ips(id);
                for prefix in peer.allowed_ips() {
                    device.add_allowed_ip(id, prefix).map_err(BeginError::Routes)?;
                }
                let endpoint = peer.endpoint().and_then(|endpoint| endpoint.socket_addr());
                if let Some(endpoint) = endpoint {
                    device.set_endpoint(now, id, endpoint);
                }
                device.set_persistent_keepalive(now, id, peer.persistent_keepalive());
            }
            Ok::<(), BeginError>(())
        })?;
        self.log_public_key();
        Ok(config)
    }

    fn log_public_key(&self) {
        if let Some(_key) = self.public_key() {
            info!("our public key is {}", _key);
        }
    }
}

/// Removes all peers but these, once it is certain that these fit with so many routes.
fn make_room(
    shared: &mut Shared<'_>,
    wanted: impl Iterator<Item = PublicKey> + Clone,
    routes: usize,
) -> Result<(), BeginError> {
    let device = &shared.device;
    let used = device.peers().map(|peer| device.allowed_ips(peer).count()).sum();
    if routes > device.free_routes().saturating_add(used) {
        return Err(BeginError::Routes(RoutesFull));
    }
    if wanted.clone().count() > device.free_peers().saturating_add(device.peers().count()) {
        return Err(BeginError::Peer(AddPeerError::Full));
    }
    shared.device.retain_peers(wanted);
    Ok(())
}

/// The configuration of an embassy-net stack in the tunnel: our addresses, the first of each
/// family, and everything beyond them through the tunnel.
#[cfg(feature = "embassy")]
pub fn stack_config(addresses: impl IntoIterator<Item = InterfaceAddress>) -> embassy_net::Config {
    use embassy_net::{ConfigV4, ConfigV6, Ipv4Cidr, Ipv6Cidr, StaticConfigV4, StaticConfigV6};

    let mut config = embassy_net::Config::default();
    for address in addresses {
        // A tunnel has no gateway, but without one the stack sends nothing beyond the prefix.
        match address.addr() {
            IpAddr::V4(ip) if matches!(config.ipv4, ConfigV4::None) => {
                config.ipv4 = ConfigV4::Static(StaticConfigV4 {
                    address: Ipv4Cidr::new(ip, address.cidr()),
                    gateway: Some(ip),
                    dns_servers: Default::default(),
                });
            }
            IpAddr::V6(ip) if matches!(config.ipv6, ConfigV6::None) => {
                config.ipv6 = ConfigV6::Static(StaticConfigV6 {
                    address: Ipv6Cidr::new(ip, address.cidr()),
                    gateway: Some(ip),
                    dns_servers: Default::default(),
                });
            }
            _ => {}
        }
    }
    config
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;
    use std::vec::Vec;

    use super::*;
    use crate::resources::Resources;

    /// Gives the keys that are read while room is made for as many peers as there are, all of
    /// them there but one.
    fn keys_read<const PEERS: usize>() -> usize {
        fn read_with<'d, const PEERS: usize>(
            resources: &'d mut Resources<'d, PEERS, 1, 68, 2, 2>,
        ) -> usize {
            let keys: Vec<_> =
                (0..=PEERS).map(|number| PublicKey::from_bytes([number as u8; 32])).collect();
            let mut shared = resources.parts().shared.borrow_mut();
            for key in &keys[1..] {
                shared.device.add_peer(key).unwrap();
            }
            let read = Cell::new(0);
            let wanted = keys[..PEERS].iter().copied().inspect(|_| read.set(read.get() + 1));
            make_room(&mut shared, wanted, 1).unwrap();
            assert_eq!(shared.device.peers().count(), PEERS - 1);
            read.get()
        }
        read_with(&mut Resources::<PEERS, 1, 68, 2, 2>::new())
    }

    #[test]
    fn room_for_peers_is_made_by_reading_each_key_twice_at_most() {
        assert_eq!((keys_read::<10>(), keys_read::<80>()), (20, 160));
    }
}
