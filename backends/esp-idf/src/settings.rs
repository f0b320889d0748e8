//! What a tunnel is made of.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use wg_core::config::{Config, HostPort, InterfaceAddress};
use wg_core::{AllowedIp, PresharedKey, PrivateKey, PublicKey};

use crate::error::Error;
use crate::underlay::Underlay;

/// The MTU that fits every underlay of 1500 bytes, over either family.
const DEFAULT_MTU: u16 = 1420;
/// Often enough for every address translation on the way to a sensor.
const KEEPALIVE: u16 = 25;

/// Everything that a tunnel needs to know. `Debug` shows no secret.
#[derive(Debug)]
pub struct Settings {
    /// Who we are.
    pub private_key: PrivateKey,
    /// Our addresses inside the tunnel: one of IPv4 and two of IPv6, at most, for lwIP.
    pub addresses: Vec<InterfaceAddress>,
    /// The UDP port, 0 for any free one.
    pub listen_port: u16,
    /// The largest packet inside the tunnel: at least 576, and 1280 with IPv6.
    pub mtu: u16,
    /// Name servers to use while the tunnel runs; those before are restored by stop.
    pub dns_servers: Vec<IpAddr>,
    /// Make the tunnel lwIP's default interface. Stop restores the one before.
    pub default_route: bool,
    /// The way beneath the tunnel.
    pub underlay: Underlay,
    /// The peers.
    pub peers: Vec<PeerSettings>,
}

/// One peer of [`Settings`].
#[derive(Debug)]
pub struct PeerSettings {
    /// Who it is.
    pub public_key: PublicKey,
    /// The key shared with it, or [`PresharedKey::NONE`].
    pub preshared_key: PresharedKey,
    /// Where it is, unless it is to call us.
    pub endpoint: Option<Host>,
    /// What is routed to it, and accepted from it.
    pub allowed_ips: Vec<AllowedIp>,
    /// Seconds of silence after which it hears from us, 0 for never.
    pub persistent_keepalive: u16,
}

/// A place by name or address. A name is looked up by the tunnel, again and again while the
/// peer does not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// The name, or an address as text.
    pub name: String,
    /// The UDP port.
    pub port: u16,
}

impl From<HostPort<'_>> for Host {
    fn from(host: HostPort<'_>) -> Self {
        Self { name: host.host().into(), port: host.port() }
    }
}

impl Host {
    /// By the rules of a wg-quick file, but for an IPv6 address that stands without brackets.
    fn checked(name: &str, port: u16) -> Result<Self, Error> {
        let bare = name.contains(':') && !name.starts_with('[');
        let text = if bare { format!("[{name}]:{port}") } else { format!("{name}:{port}") };
        HostPort::parse(&text).map(Self::from).map_err(Error::Endpoint)
    }

    /// The place, if it is given as an address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let name = self.name.trim_start_matches('[').trim_end_matches(']');
        Some(SocketAddr::new(name.parse().ok()?, self.port))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl Settings {
    /// One peer that all of IPv4 goes through, as the Arduino library's `begin` has it: with a
    /// default route, and a keepalive every 25 s.
    ///
    /// # Errors
    /// [`Error::PrivateKey`], [`Error::PublicKey`], [`Error::Endpoint`].
    pub fn new(
        local_ip: IpAddr,
        private_key: &str,
        endpoint_address: &str,
        public_key: &str,
        endpoint_port: u16,
    ) -> Result<Self, Error> {
        let everything = AllowedIp::new([0, 0, 0, 0].into(), 0);
        let full = if local_ip.is_ipv4() { 32 } else { 128 };
        Ok(Self {
            private_key: private_key.parse().map_err(Error::PrivateKey)?,
            addresses: InterfaceAddress::new(local_ip, full).into_iter().collect(),
            listen_port: 0,
            mtu: DEFAULT_MTU,
            dns_servers: Vec::new(),
            default_route: true,
            underlay: Underlay::Default,
            peers: vec![PeerSettings {
                public_key: public_key.parse().map_err(Error::PublicKey)?,
                preshared_key: PresharedKey::NONE,
                endpoint: Some(Host::checked(endpoint_address, endpoint_port)?),
                allowed_ips: everything.into_iter().collect(),
                persistent_keepalive: KEEPALIVE,
            }],
        })
    }

    /// The settings of a wg-quick file. Of `Table`, `PreUp` and the like nothing is taken;
    /// there is a default route when a peer's allowed IPs have one (`0.0.0.0/0` or `::/0`).
    ///
    /// # Errors
    /// [`Error::Config`], with line and column, and [`Error::NoPrivateKey`].
    pub fn from_config(text: &str) -> Result<Self, Error> {
        let config = Config::parse(text).map_err(Error::Config)?;
        let mut peers: Vec<PeerSettings> = Vec::new();
        let mut places = HashMap::new();
        for peer in config.peers() {
            let settings = PeerSettings {
                public_key: peer.public_key(),
                preshared_key: peer.preshared_key(),
                endpoint: peer.endpoint().map(Host::from),
                allowed_ips: peer.allowed_ips().collect(),
                persistent_keepalive: peer.persistent_keepalive(),
            };
            // Of a peer that is there twice, the later counts.
            match places.entry(peer.public_key()) {
                Entry::Vacant(place) => {
                    place.insert(peers.len());
                    peers.push(settings);
                }
                Entry::Occupied(place) => {
                    let earlier = &mut peers[*place.get()];
                    let endpoint = settings.endpoint.or_else(|| earlier.endpoint.take());
                    *earlier = PeerSettings { endpoint, ..settings };
                }
            }
        }
        let default_route =
            peers.iter().flat_map(|peer| &peer.allowed_ips).any(|prefix| prefix.cidr() == 0);
        Ok(Self {
            private_key: config.private_key().ok_or(Error::NoPrivateKey)?,
            addresses: config.addresses().collect(),
            listen_port: config.listen_port(),
            mtu: config.mtu().unwrap_or(DEFAULT_MTU),
            dns_servers: config.dns_servers().collect(),
            default_route,
            underlay: Underlay::Default,
            peers,
        })
    }

    /// Everything that is routed to a peer.
    #[cfg(any(target_os = "espidf", wg_host_lwip))]
    pub(crate) fn routes(&self) -> impl Iterator<Item = AllowedIp> + '_ {
        self.peers.iter().flat_map(|peer| peer.allowed_ips.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
    const PEER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

    #[test]
    fn five_arguments_make_a_tunnel_for_all_of_ipv4() {
        let settings =
            Settings::new([10, 0, 0, 2].into(), KEY, "vpn.example.org", PEER, 51820).unwrap();
        assert_eq!(settings.peers[0].allowed_ips, ["0.0.0.0/0".parse().unwrap()]);
        assert!(settings.default_route);
        assert_eq!(settings.addresses[0].to_string(), "10.0.0.2/32");
        let text = format!("{settings:?}");
        assert!(!text.contains(KEY), "{text}");
    }

    #[test]
    fn a_key_that_is_none_is_named() {
        let error = Settings::new([10, 0, 0, 2].into(), "x", "h", PEER, 1).unwrap_err();
        assert!(error.to_string().starts_with("the private key: "), "{error}");
        let error = Settings::new([10, 0, 0, 2].into(), KEY, "h", "x", 1).unwrap_err();
        assert!(error.to_string().starts_with("the peer's public key: "), "{error}");
    }

    #[test]
    fn an_endpoint_that_nobody_can_look_up_is_refused_at_once() {
        let endpoint = |name: &str, port| {
            Settings::new([10, 0, 0, 2].into(), KEY, name, PEER, port)
                .map(|settings| settings.peers[0].endpoint.clone().unwrap())
        };
        for (name, port) in
            [("", 51820), ("vpn example", 51820), ("vpn.example.org", 0), ("::g", 1)]
        {
            let error = endpoint(name, port).unwrap_err().to_string();
            assert!(error.starts_with("the endpoint: ") && error.contains("expected"), "{error}");
        }
        let place = Some("[2001:db8::1]:51820".parse().unwrap());
        for name in ["2001:db8::1", "[2001:db8::1]"] {
            assert_eq!(endpoint(name, 51820).unwrap().address(), place);
        }
    }

    #[test]
    fn a_file_with_a_split_tunnel_has_no_default_route() {
        let file = |allowed: &str| {
            format!(
                "[Interface]\nPrivateKey = {KEY}\nAddress = 10.0.0.2/24, fd00::2/64\n\
                 DNS = 10.0.0.1\nMTU = 1280\n[Peer]\nPublicKey = {PEER}\nAllowedIPs = {allowed}\n\
                 Endpoint = [2001:db8::1]:51820\n"
            )
        };
        let split = Settings::from_config(&file("10.0.0.0/24, fd00::/64")).unwrap();
        assert!(!split.default_route);
        assert_eq!((split.mtu, split.addresses.len(), split.dns_servers.len()), (1280, 2, 1));
        let endpoint = split.peers[0].endpoint.as_ref().unwrap().address();
        assert_eq!(endpoint, Some("[2001:db8::1]:51820".parse().unwrap()));
        assert!(Settings::from_config(&file("::/0")).unwrap().default_route);
        let error = Settings::from_config("[Interface]\nAddress = x\n").unwrap_err();
        assert!(error.to_string().contains("line 2, column"), "{error}");
    }

    #[test]
    fn of_a_peer_that_is_there_twice_the_later_counts() {
        let peer = |rest: &str| format!("[Peer]\nPublicKey = {PEER}\n{rest}\n");
        let text = format!(
            "[Interface]\nPrivateKey = {KEY}\n{}{}",
            peer("AllowedIPs = ::/0\nEndpoint = a:1"),
            peer("AllowedIPs = 10.0.0.0/8")
        );
        let settings = Settings::from_config(&text).unwrap();
        let [peer] = &settings.peers[..] else { panic!("{settings:?}") };
        assert_eq!(peer.allowed_ips, ["10.0.0.0/8".parse().unwrap()]);
        assert!(peer.endpoint.is_some() && !settings.default_route);
    }

    #[test]
    fn a_file_without_a_private_key_is_told_to_have_one() {
        for key in [String::new(), format!("PrivateKey = {}=\n", "A".repeat(43))] {
            let text = format!("[Interface]\n{key}Address = 10.0.0.2/24\n");
            let error = Settings::from_config(&text).unwrap_err().to_string();
            assert!(error.starts_with("the configuration has no PrivateKey: "), "{error}");
        }
    }
}
