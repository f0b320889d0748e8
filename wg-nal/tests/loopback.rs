//! The blocking tunnel over the operating system's sockets, on loopback.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use std_embedded_nal::Stack;
use wg_core::{Increasing, Instant, PeerId, PresharedKey, PrivateKey};
use wg_nal::{Handle, Interface, Monotonic, Peer, Resources, Tunnel};

type Wall = Increasing<fn() -> Option<Duration>>;

/// A tunnel with everything around it.
struct Side {
    tunnel: Tunnel<'static, Stack, ChaCha20Rng, Wall>,
    interface: Interface<'static>,
    handle: Handle<'static, Uptime>,
    peer: PeerId,
    inbox: Vec<Vec<u8>>,
}

struct Uptime;

impl Monotonic for Uptime {
    fn now(&self) -> Instant {
        now()
    }

    async fn delay_until(&self, _: Instant) {
        unreachable!("a superloop does not wait")
    }
}

fn now() -> Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    Instant::from_micros(start.elapsed().as_micros() as u64)
}

fn unix_time() -> Option<Duration> {
    std::time::SystemTime::UNIX_EPOCH.elapsed().ok()
}

/// Two ports that are free, and not the same.
fn free_ports() -> [u16; 2] {
    let sockets = [(); 2].map(|()| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

fn side(port: u16, keys: [u8; 2]) -> io::Result<Side> {
    let [ours, theirs] =
        keys.map(|seed| PrivateKey::generate(&mut ChaCha20Rng::from_seed([seed; 32])));
    let resources: &mut Resources<'_, 1, 2> = Box::leak(Box::new(Resources::new()));
    let clock: Wall = Increasing::new(unix_time as fn() -> _, None);
    let rng = ChaCha20Rng::from_seed([keys[0] + 100; 32]);
    let (interface, mut tunnel) = Tunnel::new(resources, Stack, port, rng, clock)?;
    let handle = tunnel.handle(Uptime);
    handle.set_private_key(Some(&ours));
    let peer = Peer {
        public_key: &theirs.public_key(),
        preshared_key: &PresharedKey::NONE,
        endpoint: None,
        allowed_ips: &["0.0.0.0/0".parse().unwrap()],
        persistent_keepalive: 0,
    };
    let peer = handle.set_peer(&peer).unwrap();
    tunnel.start(now());
    Ok(Side { tunnel, interface, handle, peer, inbox: Vec::new() })
}

impl Side {
    fn poll(&mut self) {
        self.tunnel.poll(now()).unwrap();
        self.inbox.extend(self.interface.try_receive(|packet| packet.to_vec()));
    }

    fn send(&mut self, packet: &[u8]) {
        assert_eq!(self.interface.try_send(packet), Ok(true));
    }
}

/// Runs both until so many packets came.
fn exchange(alice: &mut Side, bob: &mut Side, to_alice: usize, to_bob: usize) {
    for _ in 0..2000 {
        alice.poll();
        bob.poll();
        if alice.inbox.len() == to_alice && bob.inbox.len() == to_bob {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("only {} and {} packets came", alice.inbox.len(), bob.inbox.len());
}

fn packet(number: u8, len: u16) -> Vec<u8> {
    let mut packet = vec![number; len.into()];
    packet[..20].copy_from_slice(b"\x45\0\0\0\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02");
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}

fn packets_cross(loopback: impl Into<std::net::IpAddr>) {
    let [alice_port, bob_port] = free_ports();
    let mut alice = side(alice_port, [1, 2]).unwrap();
    let mut bob = side(bob_port, [2, 1]).unwrap();
    let endpoint = SocketAddr::new(loopback.into(), bob_port);
    alice.handle.set_endpoint(alice.peer, endpoint);

    // Two that wait for the session.
    alice.send(&packet(1, 84));
    alice.send(&packet(2, 1420));
    exchange(&mut alice, &mut bob, 0, 2);
    assert_eq!(bob.inbox, [packet(1, 84), packet(2, 1420)]);

    // Both ways over the session.
    bob.send(&packet(3, 1420));
    alice.send(&packet(4, 20));
    exchange(&mut alice, &mut bob, 1, 3);
    assert_eq!((&alice.inbox[0], &bob.inbox[2]), (&packet(3, 1420), &packet(4, 20)));

    // The socket of both families tells the address of an IPv4 peer as an IPv6 one: still a
    // loop.
    if let SocketAddr::V4(endpoint) = endpoint {
        bob.tunnel.close().unwrap();
        let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, bob_port)).unwrap();
        alice.send(&packet(5, 20));
        alice.poll();
        let mut datagram = [0; 64];
        assert_eq!(there.recv(&mut datagram).unwrap(), 64);
        let mut looped = packet(0, 92);
        looped[28..].copy_from_slice(&datagram);
        looped[9] = 17;
        looped[16..20].copy_from_slice(&endpoint.ip().octets());
        looped[20..22].copy_from_slice(&alice_port.to_be_bytes());
        looped[22..24].copy_from_slice(&bob_port.to_be_bytes());
        alice.send(&looped);
        alice.poll();
        assert_eq!(alice.handle.counters().routing_loops, 1);
        return;
    }
    alice.tunnel.close().unwrap();
    bob.tunnel.close().unwrap();
}

#[test]
fn packets_cross_ipv4_sockets() {
    packets_cross(Ipv4Addr::LOCALHOST);
}

#[test]
fn packets_cross_ipv6_sockets() {
    packets_cross(Ipv6Addr::LOCALHOST);
}

#[test]
fn a_port_that_is_taken_is_the_stacks_error() {
    let taken = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = side(port, [1, 2]).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
