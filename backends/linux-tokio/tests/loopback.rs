//! Two tunnels in this process, over the loopback interface.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wg_core::{Connection, PresharedKey, PrivateKey, PublicKey, Refusal};
use wg_tokio::{
    ChannelPackets, Config, Error, Handle, PeerConfig, SetPeerError, StampClock, Status, Stopped,
    Tunnel,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// One end of a tunnel, and the host inside it.
struct End {
    handle: Handle,
    port: u16,
    to_tunnel: mpsc::Sender<Vec<u8>>,
    from_tunnel: mpsc::Receiver<Vec<u8>>,
    running: JoinHandle<Result<(), Error>>,
}

impl End {
    fn start(config: &Config) -> Self {
        Self::start_by(config, StampClock::system())
    }

    fn start_by(config: &Config, clock: StampClock) -> Self {
        let (packets, to_tunnel, from_tunnel) = ChannelPackets::new(1024);
        let (handle, tunnel) = Tunnel::new(config, packets, clock).unwrap();
        let port = tunnel.listen_port();
        let running = tokio::spawn(tunnel.run());
        Self { handle, port, to_tunnel, from_tunnel, running }
    }

    async fn send(&self, packet: &[u8]) {
        self.to_tunnel.send(packet.to_vec()).await.unwrap();
    }

    async fn receive(&mut self) -> Vec<u8> {
        let received = tokio::time::timeout(PATIENCE, self.from_tunnel.recv()).await;
        received.expect("a packet comes").expect("the tunnel runs")
    }

    async fn status(&self) -> Status {
        self.handle.status().await.unwrap()
    }

    async fn until(&self, what: impl Fn(&Status) -> bool) -> Status {
        let reached = async {
            loop {
                let status = self.status().await;
                if what(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("it comes to that")
    }
}

fn key() -> PrivateKey {
    PrivateKey::generate(&mut wg_tokio::system_random().unwrap())
}

fn config(ours: &PrivateKey, theirs: PublicKey, inside: &[&str], at: Option<SocketAddr>) -> Config {
    Config {
        private_key: Some(ours.clone()),
        peers: vec![PeerConfig {
            endpoint: at,
            allowed_ips: inside.iter().map(|ip| ip.parse().unwrap()).collect(),
            ..PeerConfig::new(theirs)
        }],
        ..Config::default()
    }
}

const CALLER: [&str; 2] = ["10.9.0.1/32", "fd09::1/128"];
const CALLED: [&str; 2] = ["10.9.0.2/32", "fd09::2/128"];

/// A caller that knows where the called one is, which does not know the caller.
fn pair(called_at: &str) -> (End, End) {
    let (ours, theirs) = (key(), key());
    let called = End::start(&config(&theirs, ours.public_key(), &CALLER, None));
    let at = SocketAddr::new(called_at.parse().unwrap(), called.port);
    let caller = End::start(&config(&ours, theirs.public_key(), &CALLED, Some(at)));
    (caller, called)
}

/// A UDP packet, as far as a tunnel looks into it.
fn packet(from: &str, to: &str, mark: u8, fill: u8, len: usize) -> Vec<u8> {
    let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = u16::try_from(20 + len).unwrap().to_be_bytes();
            let mut packet = vec![0x45, mark, total[0], total[1], 0, 0, 0, 0, 64, 17, 0, 0];
            packet.extend(from.octets());
            packet.extend(to.octets());
            packet
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let payload = u16::try_from(len).unwrap().to_be_bytes();
            let mut packet = vec![0x60, mark << 4, 0, 0, payload[0], payload[1], 17, 64];
            packet.extend(from.octets());
            packet.extend(to.octets());
            packet
        }
        _ => panic!("two families"),
    };
    packet.extend(core::iter::repeat_n(fill, len));
    packet
}

#[tokio::test]
async fn packets_of_all_sizes_cross_in_both_directions_and_families() {
    for called_at in ["127.0.0.1", "::1"] {
        if called_at == "::1" && std::net::UdpSocket::bind("[::1]:0").is_err() {
            assert!(std::env::var_os("CI").is_none(), "there is no IPv6 here");
            eprintln!("skipped: there is no IPv6 here");
            continue;
        }
        let (mut caller, mut called) = pair(called_at);
        for len in [0, 1, 15, 16, 17, 500, 1379, 1380] {
            let there = packet("10.9.0.1", "10.9.0.2", 0, 1, len);
            caller.send(&there).await;
            assert_eq!(called.receive().await, there);
            let back = packet("fd09::2", "fd09::1", 0, 2, len);
            called.send(&back).await;
            assert_eq!(caller.receive().await, back);
        }
        let status = caller.status().await;
        let [peer] = status.peers.as_slice() else { panic!() };
        assert_eq!(peer.connection, Connection::Up);
        assert!(peer.last_handshake.is_some_and(|at| at <= status.at));
        let theirs = called.status().await;
        assert_eq!(theirs.peers[0].received_bytes, peer.sent_bytes);
        assert_eq!(theirs.peers[0].sent_bytes, peer.received_bytes);
        assert_eq!(theirs.peers[0].endpoint.map(|at| at.ip().to_string()), Some(called_at.into()));
    }
}

#[tokio::test]
async fn forgotten_sessions_are_made_anew_at_once() {
    let (mut caller, mut called) = pair("127.0.0.1");
    let there = packet("10.9.0.1", "10.9.0.2", 0, 1, 50);
    caller.send(&there).await;
    called.receive().await;
    for _ in 0..2 {
        // Nothing is sent inside; both ends may call.
        for end in [&called, &caller] {
            let before = end.status().await.peers[0].last_handshake;
            end.handle.forget_sessions().await.unwrap();
            end.until(|status| {
                let peer = &status.peers[0];
                peer.connection == Connection::Up && peer.last_handshake > before
            })
            .await;
        }
        caller.send(&there).await;
        assert_eq!(called.receive().await, there);
        let back = packet("10.9.0.2", "10.9.0.1", 0, 1, 50);
        called.send(&back).await;
        assert_eq!(caller.receive().await, back);
    }
    // Without a session there is nobody to call, and what waits is kept.
    let (ours, theirs) = (key(), key());
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = nobody.local_addr().unwrap();
    let lonely = End::start(&config(&ours, theirs.public_key(), &CALLED, Some(at)));
    lonely.send(&there).await;
    lonely.until(|status| status.peers[0].connection != Connection::Idle).await;
    lonely.handle.forget_sessions().await.unwrap();
    let status = lonely.status().await;
    assert_eq!(status.waited_in_vain, 0);
    assert_eq!(status.peers[0].connection, Connection::Handshaking);
}

#[tokio::test]
async fn answers_leave_from_the_address_that_was_called() {
    let (mut caller, mut called) = pair("127.0.0.5");
    caller.send(&packet("10.9.0.1", "10.9.0.2", 0, 1, 50)).await;
    called.receive().await;
    called.send(&packet("10.9.0.2", "10.9.0.1", 0, 1, 50)).await;
    caller.receive().await;
    // From another address, the answers would have moved the endpoint there.
    let status = caller.status().await;
    assert_eq!(status.peers[0].endpoint, Some(([127, 0, 0, 5], called.port).into()));
}

#[tokio::test]
async fn what_waits_for_a_session_leaves_in_order_and_the_oldest_is_dropped() {
    let (ours, theirs) = (key(), key());
    let mut called = End::start(&config(&theirs, ours.public_key(), &CALLER, None));
    // Nobody is there at first.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = nobody.local_addr().unwrap();
    let caller = End::start(&config(&ours, theirs.public_key(), &CALLED, Some(nowhere)));
    for fill in 0..130 {
        caller.send(&packet("10.9.0.1", "10.9.0.2", 0, fill, 100)).await;
    }
    caller.until(|status| status.waited_in_vain == 2).await;
    let status = caller.status().await;
    assert_eq!(status.peers[0].connection, Connection::Handshaking);

    let at = SocketAddr::from(([127, 0, 0, 1], called.port));
    caller.handle.set_endpoint(theirs.public_key(), at).await.unwrap();
    for fill in 2..130 {
        assert_eq!(called.receive().await, packet("10.9.0.1", "10.9.0.2", 0, fill, 100));
    }
}

#[tokio::test]
async fn a_train_of_packets_arrives_whole_and_in_order() {
    let (caller, mut called) = pair("127.0.0.1");
    caller.send(&packet("10.9.0.1", "10.9.0.2", 0, 0, 10)).await;
    called.receive().await;
    for round in 0..20 {
        let sent: Vec<_> = (0..100)
            .map(|fill| packet("10.9.0.1", "10.9.0.2", 0, fill, if fill == 99 { 7 } else { 1200 }))
            .collect();
        for packet in &sent {
            caller.send(packet).await;
        }
        for packet in sent {
            assert_eq!(called.receive().await, packet, "round {round}");
        }
    }
}

#[tokio::test]
async fn a_packet_without_a_way_is_answered_and_counted() {
    let (caller, mut called) = pair("127.0.0.1");
    // The called end does not know yet where the caller is.
    called.send(&packet("10.9.0.2", "10.9.0.1", 0, 1, 50)).await;
    let answer = called.receive().await;
    assert_eq!(answer[9], 1, "an ICMP packet");
    assert_eq!(answer[20..22], [3, 1], "host unreachable");
    called.send(&packet("fd09::2", "fd0a::1", 0, 1, 50)).await;
    let answer = called.receive().await;
    assert_eq!(answer[6], 58, "an ICMPv6 packet");
    assert_eq!(answer[40..42], [1, 3], "address unreachable");
    let status = called.status().await;
    assert_eq!(status.refusals.count(Refusal::NoEndpoint), 1);
    assert_eq!(status.refusals.count(Refusal::NoRoute), 1);
    assert_eq!(status.peers[0].connection, Connection::Idle);
    drop(caller);
}

#[tokio::test]
async fn congestion_marks_cross_the_tunnel() {
    let (caller, mut called) = pair("127.0.0.1");
    for mark in 0..4 {
        let there = packet("fd09::1", "fd09::2", mark, 1, 10);
        caller.send(&there).await;
        assert_eq!(called.receive().await, there);
    }
}

#[tokio::test]
async fn a_wrong_preshared_key_and_an_unknown_peer_are_refused_by_name() {
    let (caller, called) = pair("127.0.0.1");
    let theirs = called.status().await.public_key.unwrap();
    let mut random = wg_tokio::system_random().unwrap();
    let peer = PeerConfig {
        preshared_key: PresharedKey::generate(&mut random),
        endpoint: Some(SocketAddr::from(([127, 0, 0, 1], called.port))),
        allowed_ips: vec!["10.9.0.2".parse().unwrap()],
        ..PeerConfig::new(theirs)
    };
    caller.handle.set_peer(peer.clone()).await.unwrap();
    caller.send(&packet("10.9.0.1", "10.9.0.2", 0, 1, 50)).await;
    let refused = |status: &Status| status.refusals.count(Refusal::ResponseUndecryptable) > 0;
    caller.until(refused).await;

    let stranger = End::start(&Config { private_key: Some(key()), ..Config::default() });
    stranger.handle.set_peer(peer).await.unwrap();
    stranger.send(&packet("10.9.0.1", "10.9.0.2", 0, 1, 50)).await;
    called.until(|status| status.refusals.count(Refusal::UnknownPeer) == 1).await;
}

#[tokio::test]
async fn peers_come_and_go_while_the_tunnel_runs() {
    let (mut caller, mut called) = pair("127.0.0.1");
    let there = packet("10.9.0.1", "10.9.0.2", 0, 1, 50);
    caller.send(&there).await;
    called.receive().await;

    let ours = caller.status().await.public_key.unwrap();
    called.handle.remove_peer(ours).await.unwrap();
    assert!(called.status().await.peers.is_empty());
    caller.send(&there).await;
    called.until(|status| status.refusals.count(Refusal::UnknownIndex) == 1).await;

    let own = PeerConfig::new(called.status().await.public_key.unwrap());
    let refused = called.handle.set_peer(own).await;
    assert_eq!(refused, Err(SetPeerError::Refused(wg_core::AddPeerError::OwnKey)));

    let back = PeerConfig {
        endpoint: Some(SocketAddr::from(([127, 0, 0, 1], caller.port))),
        allowed_ips: vec!["10.9.0.1".parse().unwrap()],
        persistent_keepalive: 25,
        ..PeerConfig::new(ours)
    };
    called.handle.set_peer(back).await.unwrap();
    called.until(|status| status.peers[0].connection == Connection::Up).await;
    let again = packet("10.9.0.2", "10.9.0.1", 0, 1, 50);
    called.send(&again).await;
    assert_eq!(caller.receive().await, again);
}

#[tokio::test]
async fn a_stopped_tunnel_has_closed_its_port_and_says_so() {
    let (caller, called) = pair("127.0.0.1");
    caller.handle.stop().await;
    caller.running.await.unwrap().unwrap();
    std::net::UdpSocket::bind(("0.0.0.0", caller.port)).unwrap();
    assert_eq!(caller.handle.status().await.unwrap_err(), Stopped);
    caller.handle.stop().await;

    // Without handles there is nobody to stop it later.
    drop(called.handle);
    called.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_a_sentence_that_says_what_to_do() {
    let holder = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let config = Config { listen_port: port, ..Config::default() };
    let (packets, ..) = ChannelPackets::new(1);
    let error = Tunnel::new(&config, packets, StampClock::system()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "UDP port {port} is in use: set another ListenPort, or stop the program that has it"
        )
    );
}

#[tokio::test]
async fn a_restart_that_keeps_its_timestamps_connects_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (ours, theirs) = (key(), key());
    let mut called = End::start(&config(&theirs, ours.public_key(), &CALLER, None));
    let at = SocketAddr::from(([127, 0, 0, 1], called.port));
    for fill in 0..3 {
        let clock = StampClock::kept_in(&state).unwrap();
        let settings = config(&ours, theirs.public_key(), &CALLED, Some(at));
        let caller = End::start_by(&settings, clock);
        let there = packet("10.9.0.1", "10.9.0.2", 0, fill, 50);
        caller.send(&there).await;
        assert_eq!(called.receive().await, there);
        caller.handle.stop().await;
        // The responder takes one initiation in 20 ms.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(called.status().await.refusals.count(Refusal::StaleTimestamp), 0);
}
