//! The tunnel as an interface of a real lwIP, between sockets of lwIP and a gateway.
//!
//! `cargo xtask lwip` builds that lwIP and runs this.
#![cfg(wg_host_lwip)]

#[path = "../gateway/mod.rs"]
mod gateway;
mod nvs;
mod stack;

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::time::Instant;

use gateway::{Gateway, wait_for};
use stack::{Socket, Stack};
use wg_esp_idf::{AddError, Error, Settings, Tunnel, random, sntp_clock};

const SUBNETS: &[&str] = &["10.9.0.0/24", "fd09::/64"];

fn start(settings: Settings) -> Tunnel {
    try_start(settings).unwrap()
}

fn try_start(settings: Settings) -> Result<Tunnel, Error> {
    Tunnel::start(settings, sntp_clock(), random().unwrap())
}

/// Sends a datagram until it comes back: the first ones may be lost with their session.
fn echo(socket: &Socket, bytes: &[u8]) {
    let mut answer = [0; 2048];
    for _ in 0..40 {
        let _ = socket.send(bytes);
        if let Ok(len) = socket.receive(&mut answer) {
            assert_eq!(&answer[..len], bytes);
            return;
        }
    }
    panic!("no echo of {} bytes", bytes.len());
}

fn stream(socket: &Socket, bytes: usize) {
    let data: Vec<u8> = (0..bytes).map(|index| (index * 7) as u8).collect();
    let (mut sent, mut received) = (0, Vec::new());
    let mut buffer = [0; 4096];
    while received.len() < bytes {
        if sent < bytes && sent - received.len() < 8192 {
            sent += socket.send(&data[sent..bytes.min(sent + 2048)]).unwrap();
        } else {
            let len = socket.receive(&mut buffer).unwrap();
            assert_ne!(len, 0, "closed after {} bytes", received.len());
            received.extend_from_slice(&buffer[..len]);
        }
    }
    assert!(received == data);
}

#[test]
fn tcp_and_udp_pass_in_both_families() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let tunnel = start(gateway.settings(SUBNETS));
    for address in ["10.9.0.1", "fd09::1"] {
        let socket = stack.udp(address, 7, 1000).unwrap();
        for len in [1, 100, 1000, 1300] {
            echo(&socket, &vec![0x5a; len]);
        }
        stream(&stack.tcp(address, 7).unwrap(), 200_000);
    }
    let status = tunnel.status().unwrap();
    assert!(status.is_up());
    assert!(status.peers[0].received_bytes > 400_000, "{:?}", status.peers[0]);
    assert_eq!(status.counters.undelivered, 0);
}

#[test]
fn a_datagram_that_fills_the_mtu_arrives_whole() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let _tunnel = start(gateway.settings(SUBNETS));
    let socket = stack.udp("10.9.0.1", 9, 1000).unwrap();
    echo(&stack.udp("10.9.0.1", 7, 1000).unwrap(), b"first");
    assert_eq!(socket.send(&[3; 1392]).unwrap(), 1392);
    wait_for("the datagram", || {
        gateway.desk.kept.lock().unwrap().iter().any(|kept| kept.len() == 1392)
    });
}

#[test]
fn a_chain_of_pbufs_is_one_datagram() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let _tunnel = start(gateway.settings(SUBNETS));
    for (address, count) in [("10.9.0.1", 1), ("fd09::1", 2)] {
        echo(&stack.udp(address, 7, 1000).unwrap(), b"first");
        assert_eq!(stack.send_chain(address, 9, 13, 101), 0);
        wait_for("the chain", || gateway.desk.kept.lock().unwrap().len() == count);
    }
    let whole: Vec<u8> = (0..13 * 101).map(|index: usize| index as u8).collect();
    assert!(gateway.desk.kept.lock().unwrap().iter().all(|kept| *kept == whole));
}

#[test]
fn without_memory_packets_are_dropped_and_counted_and_it_goes_on() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let tunnel = start(gateway.settings(SUBNETS));
    let socket = stack.udp("10.9.0.1", 7, 300).unwrap();
    let stream_before = stack.tcp("10.9.0.1", 7).unwrap();
    echo(&socket, b"before");
    // Echoes are on their way back when lwIP has no memory to take them.
    gateway.desk.mute.store(true, Ordering::SeqCst);
    for round in 0..50 {
        for byte in 0..4 {
            let _ = socket.send(&[byte; 600]);
        }
        gateway.desk.mute.store(false, Ordering::SeqCst);
        for byte in 0..4 {
            let _ = socket.send(&[byte; 600]);
        }
        stack.without_memory(|| std::thread::sleep(Duration::from_millis(20)));
        if tunnel.status().unwrap().counters.undelivered > 0 {
            break;
        }
        assert!(round < 49, "lwIP never ran out of memory");
    }
    let late = stack.without_memory(|| socket.send(&[1; 600]));
    assert!(late.is_err(), "a packet without memory");
    let mut rest = [0; 2048];
    while socket.receive(&mut rest).is_ok() {}
    echo(&socket, b"after");
    stream(&stream_before, 20_000);
}

#[test]
fn a_thousand_starts_and_stops_leave_nothing_behind() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let (before, files) = (stack.interfaces(), open_files());
    for round in 0..1000 {
        let mut settings = gateway.settings(&["0.0.0.0/0", "::/0"]);
        settings.default_route = true;
        settings.dns_servers = vec!["10.9.0.1".parse().unwrap(), "fd09::1".parse().unwrap()];
        let mut tunnel = start(settings);
        assert_eq!(stack.interfaces(), before + 1);
        if round % 50 == 0 {
            std::thread::sleep(Duration::from_millis(30));
            echo(&stack.udp("10.9.0.1", 7, 1000).unwrap(), b"hello");
        }
        // Something is in the queue in every round.
        let socket = stack.udp("fd09::1", 7, 1).unwrap();
        let _ = socket.send(b"on its way");
        if round % 2 == 0 {
            tunnel.stop();
        } else {
            drop(tunnel);
        }
        drop(socket);
    }
    assert_eq!(stack.interfaces(), before);
    assert_eq!(stack.default_interface(), "st1");
    assert_eq!(stack.dns(0), "192.168.4.1");
    assert_eq!(open_files(), files);
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn begin_twice_is_refused_and_the_first_goes_on() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let first = start(gateway.settings(SUBNETS));
    let interfaces = stack.interfaces();
    let second = try_start(gateway.settings(SUBNETS)).unwrap_err();
    assert!(matches!(second, Error::Netif(AddError::AddressInUse)), "{second}");
    assert_eq!(stack.interfaces(), interfaces);
    echo(&stack.udp("10.9.0.1", 7, 1000).unwrap(), b"still there");
    assert!(first.status().unwrap().is_up());
}

#[test]
fn stop_twice_is_stop_once() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let mut tunnel = start(gateway.settings(SUBNETS));
    let interfaces = stack.interfaces();
    tunnel.stop();
    tunnel.stop();
    assert_eq!(stack.interfaces(), interfaces - 1);
    assert!(matches!(tunnel.status(), Err(Error::Stopped)));
    drop(tunnel);
    // And again from the start, with the same address.
    std::thread::sleep(Duration::from_millis(30));
    let _tunnel = start(gateway.settings(SUBNETS));
    echo(&stack.udp("10.9.0.1", 7, 1000).unwrap(), b"again");
}

#[test]
fn a_stop_during_a_handshake_ends_at_once() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    gateway.desk.mute.store(true, Ordering::SeqCst);
    let before = stack.interfaces();
    let mut tunnel = start(gateway.settings(SUBNETS));
    let socket = stack.udp("10.9.0.1", 7, 10).unwrap();
    socket.send(b"asks for a session").unwrap();
    wait_for("the initiation", || gateway.datagrams() > 0);
    assert!(!tunnel.status().unwrap().is_up());
    let asked = Instant::now();
    tunnel.stop();
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert_eq!(stack.interfaces(), before);
}

#[test]
fn a_connection_through_a_tunnel_that_stops_is_aborted() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let mut tunnel = start(gateway.settings(SUBNETS));
    let connection = stack.tcp("10.9.0.1", 7).unwrap();
    stream(&connection, 1000);
    tunnel.stop();
    let error = connection.receive(&mut [0; 16]).unwrap_err();
    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
}

#[test]
fn a_default_route_and_name_servers_hold_until_stop() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let mut settings = gateway.settings(&["0.0.0.0/0"]);
    settings.default_route = true;
    settings.dns_servers = vec!["10.9.0.1".parse().unwrap()];
    let mut tunnel = start(settings);
    assert!(stack.default_interface().starts_with("wg"));
    assert_eq!((stack.dns(0), stack.dns(1)), ("10.9.0.1".into(), "0.0.0.0".into()));
    let by_wifi = stack.wifi_packets();
    echo(&stack.udp("172.31.5.5", 7, 1000).unwrap(), b"far away");
    assert_eq!(stack.wifi_packets(), by_wifi);
    // The local network stays where it was.
    stack.udp("192.168.4.9", 7, 1).unwrap().send(b"near").unwrap();
    assert_eq!(stack.wifi_packets(), by_wifi + 1);
    tunnel.stop();
    assert_eq!(stack.default_interface(), "st1");
    assert_eq!(stack.dns(0), "192.168.4.1");
    stack.udp("172.31.5.5", 7, 1).unwrap().send(b"far away").unwrap();
    assert_eq!(stack.wifi_packets(), by_wifi + 2);
}

#[test]
fn a_split_tunnel_takes_its_allowed_ips_and_nothing_else() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    // One of them inside Wi-Fi's own network: the longer prefix wins.
    let allowed = ["10.9.0.0/24", "172.31.4.0/23", "192.168.4.128/25", "fd09::/64"];
    let tunnel = start(gateway.settings(&allowed));
    let by_wifi = stack.wifi_packets();
    echo(&stack.udp("172.31.5.5", 7, 1000).unwrap(), b"inside");
    stack.udp("192.168.4.200", 7, 1).unwrap().send(b"inside").unwrap();
    assert_eq!(stack.wifi_packets(), by_wifi);
    stack.udp("172.31.6.5", 7, 1).unwrap().send(b"outside").unwrap();
    stack.udp("192.168.4.100", 7, 1).unwrap().send(b"outside").unwrap();
    stack.udp("8.8.8.8", 53, 1).unwrap().send(b"outside").unwrap();
    assert_eq!(stack.wifi_packets(), by_wifi + 3);
    assert_eq!(tunnel.status().unwrap().refusals.iter().map(|(_, count)| count).sum::<u32>(), 0);
}

#[test]
fn the_way_beneath_is_found_again_when_ethernet_takes_the_place_of_wifi() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    for default_route in [false, true] {
        let mut settings = gateway.settings(&["0.0.0.0/0"]);
        settings.default_route = default_route;
        let mut tunnel = start(settings);
        assert_eq!(stack.underlay(), "st1");
        stack.plug_in();
        assert_eq!(stack.underlay(), "en7");
        tunnel.stop();
        assert_eq!(stack.default_interface(), "en7");
        stack.unplug();
        std::thread::sleep(Duration::from_millis(30));
    }
    let mut settings = gateway.settings(&["0.0.0.0/0"]);
    settings.default_route = true;
    let mut tunnel = start(settings);
    // The one before the tunnel is gone, and nothing is in its place.
    stack.turn_off_wifi();
    assert_eq!(stack.underlay(), "");
    tunnel.stop();
    assert_eq!(stack.default_interface(), "");
    stack.turn_on_wifi();
    assert_eq!(stack.underlay(), "st1");
}

#[test]
fn a_socket_bound_to_the_underlay_passes_by_the_default_route() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let mut settings = gateway.settings(&["0.0.0.0/0"]);
    settings.default_route = true;
    let _tunnel = start(settings);
    let by_wifi = stack.wifi_packets();
    let socket = stack.udp("203.0.113.1", 51820, 1).unwrap();
    socket.bind_device("st1");
    socket.send(b"the tunnel's own datagram").unwrap();
    assert_eq!(stack.wifi_packets(), by_wifi + 1);
}

#[test]
fn a_full_queue_is_an_error_to_the_sender_and_recovers() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    gateway.desk.mute.store(true, Ordering::SeqCst);
    let tunnel = start(gateway.settings(SUBNETS));
    let socket = stack.udp("10.9.0.1", 7, 1000).unwrap();
    for _ in 0..2000 {
        let _ = socket.send(&[7; 100]);
    }
    wait_for("drops", || {
        let counters = tunnel.status().unwrap().counters;
        counters.outbound_dropped + counters.displaced >= 1000
    });
    wait_for("the initiation", || gateway.datagrams() > 0);
    gateway.desk.mute.store(false, Ordering::SeqCst);
    // The next try of the handshake is up to 5 s away.
    echo(&socket, &[7; 100]);
}

#[test]
fn five_arguments_are_enough() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let key = gateway.settings(&[]).private_key;
    let (key, peer) = (key.expose_base64(), gateway.key.to_string());
    let ip = "10.9.0.2".parse().unwrap();
    let port = gateway.address.port();
    let tunnel = Tunnel::begin(ip, key.as_str(), "127.0.0.1", &peer, port).unwrap();
    echo(&stack.udp("172.31.5.5", 7, 1000).unwrap(), b"uptime=42");
    assert!(tunnel.status().unwrap().is_up());
}
