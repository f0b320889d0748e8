//! wg-esp-idf over this machine's sockets, and a relay between the loopback and an underlay.
//!
//! The tunnel has its own thread and its own sockets. For each place that it talks to, or that talks
//! to it, the relay has a socket on the loopback, which stands for that place; and the tunnel's
//! underlay is another address of the loopback for each address of ours.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Result, bail, ensure};
use wg_core::config::InterfaceAddress;
use wg_core::{Instant, PublicKey, Refusal};
use wg_esp_idf::{Host, Inside, Outbound, PeerSettings, Settings, Status, Tunnel};

use super::{Drive, FileClock, PeerConfig, Seen, SinceStart, Underlay};
use crate::interop::MTU;
use crate::lan::{Datagram, Inner};

/// A frame of Ethernet holds no longer datagram.
const LONGEST_DATAGRAM: usize = 1500;
/// For the tunnel's thread to have a turn, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct EspIdf {
    tunnel: Tunnel,
    outbound: Arc<Outbound>,
    /// What came out of the tunnel.
    packets: Receiver<Vec<u8>>,
    relay: Relay,
    their_key: PublicKey,
    /// What the tunnel's clock was ahead of ours, in microseconds: it counts since the boot.
    ahead: u64,
}

/// The host inside: a queue.
struct Queue(Sender<Vec<u8>>);

impl Inside for Queue {
    fn deliver(&mut self, packet: &[u8]) -> bool {
        self.0.send(packet.to_vec()).is_ok()
    }
}

impl EspIdf {
    pub(super) fn new(config: &PeerConfig, clock: FileClock, time: &SinceStart) -> Result<Self> {
        let mut relay = Relay { places: Vec::new(), local: config.local, port: 0 };
        let endpoint = config.remote.map(|remote| relay.stand_in(remote)).transpose()?;
        let settings = Settings {
            private_key: config.private_key.clone(),
            addresses: Vec::<InterfaceAddress>::new(),
            listen_port: 0,
            mtu: u16::try_from(MTU)?,
            dns_servers: Vec::new(),
            default_route: false,
            underlay: underlay(config.local),
            peers: vec![PeerSettings {
                public_key: config.their_key,
                preshared_key: config.preshared_key.clone(),
                endpoint: endpoint.map(host),
                allowed_ips: config.allowed_ips.iter().map(|&address| address.into()).collect(),
                persistent_keepalive: 0,
            }],
        };
        let (queue, packets) = channel();
        let (handed, handed_over) = channel();
        let rng = wg_esp_idf::random()?;
        let tunnel = Tunnel::start_with(settings, clock, rng, move |_, outbound| {
            // Nobody waits for it when the tunnel did not start.
            let _ = handed.send(outbound);
            Ok(Queue(queue))
        })?;
        relay.port = tunnel.status()?.listen_port;
        let ahead = wg_esp_idf::now().as_micros().saturating_sub(time.now().as_micros());
        let (outbound, their_key) = (handed_over.recv()?, config.their_key);
        Ok(Self { tunnel, outbound, packets, relay, their_key, ahead })
    }

    /// Lets the tunnel's thread work: between two answers it mostly takes what is there. What it
    /// does later is fetched with the next step.
    fn settle(&self) -> Result<Status> {
        self.tunnel.status()?;
        Ok(self.tunnel.status()?)
    }

    /// Moves datagrams out and packets in until there are no more.
    fn turn(&mut self, underlay: &mut dyn Underlay, inner: &mut Inner) -> Result<()> {
        loop {
            self.settle()?;
            let mut moved = self.relay.carry_away(underlay)?;
            for packet in self.packets.try_iter() {
                inner.deliver(&packet);
                moved = true;
            }
            if !moved {
                return Ok(());
            }
        }
    }
}

impl Drive for EspIdf {
    fn step(
        &mut self,
        underlay: &mut dyn Underlay,
        inner: &mut Inner,
        local: SocketAddr,
    ) -> Result<()> {
        if local != self.relay.local {
            if loopback(local) != loopback(self.relay.local) {
                self.tunnel.set_underlay(self::underlay(local))?;
            }
            self.relay.local = local;
        }
        self.turn(underlay, inner)?;
        while let Some(datagram) = underlay.receive()? {
            self.relay.bring(&datagram)?;
            self.turn(underlay, inner)?;
        }
        inner.poll();
        while let Some(packet) = inner.next_packet() {
            let patience = std::time::Instant::now() + PATIENCE;
            while !self.outbound.offer(packet.len(), |room| room.copy_from_slice(&packet)) {
                ensure!(std::time::Instant::now() < patience, "the tunnel takes no packet");
                self.settle()?;
            }
            self.turn(underlay, inner)?;
        }
        Ok(())
    }

    /// The thread keeps its own deadlines; it is looked after as often as the case is.
    fn deadline(&mut self) -> Option<Instant> {
        None
    }

    fn set_endpoint(&mut self, remote: SocketAddr) {
        let place = self.relay.stand_in(remote).expect("a socket on the loopback");
        self.tunnel.set_endpoint(self.their_key, host(place)).expect("it runs");
    }

    fn set_persistent_keepalive(&mut self, seconds: u16) {
        self.tunnel.set_persistent_keepalive(self.their_key, seconds).expect("it runs");
    }

    fn declare_load(&mut self) -> Result<()> {
        bail!("wg-esp-idf leaves it to the engine when it is under load")
    }

    fn status(&self) -> Seen {
        let mut peer = self.settle().expect("it runs").peers.remove(0);
        peer.endpoint = peer.endpoint.and_then(|place| self.relay.behind(place));
        peer.last_handshake = peer
            .last_handshake
            .map(|at| Instant::from_micros(at.as_micros().saturating_sub(self.ahead)));
        peer.into()
    }

    fn refusals(&self) -> Vec<(Refusal, u32)> {
        self.settle().expect("it runs").refusals.iter().collect()
    }
}

/// Sockets on the loopback that stand for places in the underlay.
struct Relay {
    places: Vec<(SocketAddr, UdpSocket)>,
    /// Where our datagrams leave from in the underlay.
    local: SocketAddr,
    /// The tunnel's port.
    port: u16,
}

impl Relay {
    /// The address on the loopback that stands for `remote`.
    fn stand_in(&mut self, remote: SocketAddr) -> Result<SocketAddr> {
        Ok(self.socket(remote)?.local_addr()?)
    }

    fn socket(&mut self, remote: SocketAddr) -> Result<&UdpSocket> {
        let known = self.places.iter().position(|(place, _)| *place == remote);
        let index = match known {
            Some(index) => index,
            None => {
                let any: IpAddr = match remote {
                    SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                let socket = UdpSocket::bind((any, 0))?;
                socket.set_nonblocking(true)?;
                self.places.push((remote, socket));
                self.places.len() - 1
            }
        };
        Ok(&self.places[index].1)
    }

    /// The place that an address on the loopback stands for.
    fn behind(&self, place: SocketAddr) -> Option<SocketAddr> {
        let stands = |socket: &UdpSocket| socket.local_addr().is_ok_and(|at| at == place);
        self.places.iter().find(|(_, socket)| stands(socket)).map(|(remote, _)| *remote)
    }

    /// Hands a datagram from the underlay to the tunnel. Its traffic class is lost on the way.
    fn bring(&mut self, datagram: &Datagram) -> Result<()> {
        if datagram.to.ip() != self.local.ip() {
            // It came for an address that we have left.
            return Ok(());
        }
        let to = SocketAddr::new(loopback(self.local), self.port);
        self.socket(datagram.from)?.send_to(&datagram.payload, to)?;
        Ok(())
    }

    /// Sends what the tunnel has sent; false when it has sent nothing.
    fn carry_away(&self, underlay: &mut dyn Underlay) -> Result<bool> {
        let mut buffer = [0; LONGEST_DATAGRAM];
        let mut moved = false;
        for (remote, socket) in &self.places {
            loop {
                match socket.recv_from(&mut buffer) {
                    Ok((length, _)) => {
                        let payload = buffer[..length].to_vec();
                        let (from, to) = (self.local, *remote);
                        underlay.send(&Datagram { from, to, traffic_class: 0, payload })?;
                        moved = true;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(moved)
    }
}

/// The address on the loopback that stands for one of ours: the same host of 127.0.0.0/24. IPv6 has
/// one alone.
fn loopback(local: SocketAddr) -> IpAddr {
    match local.ip() {
        IpAddr::V4(address) => Ipv4Addr::new(127, 0, 0, address.octets()[3]).into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn underlay(local: SocketAddr) -> wg_esp_idf::Underlay {
    wg_esp_idf::Underlay::Address(loopback(local))
}

fn host(place: SocketAddr) -> Host {
    Host { name: place.ip().to_string(), port: place.port() }
}
