//! The blocking tunnel over the operating system's sockets, on loopback.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use std_embedded_nal::Stack;
use wg_core::{Device, Increasing, Instant, PrivateKey, Storage};
use wg_nal::{Buffers, News, Polled, SendError, Sent, Tunnel};

type Side<'a> = Tunnel<'a, Stack, ChaCha20Rng, Increasing<fn() -> Option<Duration>>, 1420, 4>;

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

fn side<'a>(
    storage: &'a mut Storage<1, 2>,
    buffers: &'a mut Buffers<1420, 4>,
    port: u16,
    keys: [u8; 2],
) -> io::Result<Side<'a>> {
    let [ours, theirs] =
        keys.map(|seed| PrivateKey::generate(&mut ChaCha20Rng::from_seed([seed; 32])));
    let mut device = Device::new(storage);
    device.set_private_key(now(), Some(&ours));
    let peer = device.add_peer(&theirs.public_key()).unwrap();
    device.add_allowed_ip(peer, "10.0.0.0/24".parse().unwrap()).unwrap();
    let clock = Increasing::new(unix_time as fn() -> _, None);
    let rng = ChaCha20Rng::from_seed([keys[0] + 100; 32]);
    Tunnel::new(device, buffers, Stack, port, rng, clock)
}

fn packet(number: u8, len: u16) -> Vec<u8> {
    let mut packet = vec![number; len.into()];
    packet[..20].copy_from_slice(b"\x45\0\0\0\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02");
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}

fn poll(tunnel: &mut Side<'_>, inbox: &mut Vec<Vec<u8>>) -> Polled {
    let on_news = |news: News<'_>| {
        if let News::Packet { packet, .. } = news {
            inbox.push(packet.to_vec());
        }
    };
    tunnel.poll(now(), on_news).unwrap()
}

fn packets_cross(loopback: impl Into<std::net::IpAddr>) {
    let [alice_port, bob_port] = free_ports();
    let (mut storage, mut buffers) = (Storage::new(), Buffers::new());
    let mut alice = side(&mut storage, &mut buffers, alice_port, [1, 2]).unwrap();
    let (mut storage, mut buffers) = (Storage::new(), Buffers::new());
    let mut bob = side(&mut storage, &mut buffers, bob_port, [2, 1]).unwrap();
    let peer = alice.device().peers().next().unwrap();
    let endpoint = SocketAddr::new(loopback.into(), bob_port);
    alice.device_mut().set_endpoint(now(), peer, endpoint);

    let (mut to_alice, mut to_bob) = (Vec::new(), Vec::new());
    let mut exchange = |alice: &mut Side<'_>, bob: &mut Side<'_>, to_alice_len, to_bob_len| {
        for _ in 0..2000 {
            poll(alice, &mut to_alice);
            poll(bob, &mut to_bob);
            if to_alice.len() == to_alice_len && to_bob.len() == to_bob_len {
                return (std::mem::take(&mut to_alice), std::mem::take(&mut to_bob));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("only {} and {} packets came", to_alice.len(), to_bob.len());
    };

    // Two that wait for the session.
    assert_eq!(alice.send(now(), &packet(1, 84)).unwrap(), Sent::Later);
    assert_eq!(alice.send(now(), &packet(2, 1420)).unwrap(), Sent::Later);
    let (_, came) = exchange(&mut alice, &mut bob, 0, 2);
    assert_eq!(came, [packet(1, 84), packet(2, 1420)]);

    // Both ways over the session.
    assert_eq!(bob.send(now(), &packet(3, 1420)).unwrap(), Sent::Now);
    assert_eq!(alice.send(now(), &packet(4, 20)).unwrap(), Sent::Now);
    let came = exchange(&mut alice, &mut bob, 1, 1);
    assert_eq!(came, (vec![packet(3, 1420)], vec![packet(4, 20)]));

    // The socket of both families tells the address of an IPv4 peer as an IPv6 one: still a
    // loop.
    alice.device_mut().add_allowed_ip(peer, "0.0.0.0/0".parse().unwrap()).unwrap();
    if let SocketAddr::V4(endpoint) = endpoint {
        let mut looped = packet(0, 28);
        looped[9] = 17;
        looped[16..20].copy_from_slice(&endpoint.ip().octets());
        looped[20..22].copy_from_slice(&alice_port.to_be_bytes());
        looped[22..24].copy_from_slice(&bob_port.to_be_bytes());
        let refused = alice.send(now(), &looped);
        assert!(matches!(refused, Err(SendError::RoutingLoop(_))), "{refused:?}");
    }
    alice.close().unwrap();
    bob.close().unwrap();
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
    let (mut storage, mut buffers) = (Storage::new(), Buffers::new());
    let error = side(&mut storage, &mut buffers, port, [1, 2]).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
