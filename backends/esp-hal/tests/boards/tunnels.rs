//! Sockets talk in the tunnel, and what is wrong is told before.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;

use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use futures_lite::future::{or, zip};
use wg_esp_hal::wg_nal::{self, Identity};
use wg_esp_hal::{BeginError, Memory, begin, begin_config};

use crate::cable::*;

#[test]
fn five_arguments_and_sockets_talk_in_the_tunnel() {
    over_a_cable(async |&Cable { one, two, ref carried, .. }| {
        let mut gateway = gateway(two);
        let mut board = begin(
            memory(),
            board(one, 1),
            IpAddr::from([10, 9, 0, 2]),
            &base64(1),
            "10.0.0.2",
            &key(2).public_key().to_string(),
            PORT,
        )
        .unwrap();
        let talk = echo(board.inside, gateway.inside, 50_000);
        or(talk, async {
            zip(board.runner.run(), gateway.runner.run()).await;
        })
        .await;
        // A packet too long for the frames outside would have been lost, and sent again.
        assert_eq!(board.handle.counters().too_long, 0);
        assert!(carried.load(Ordering::Relaxed) > 70, "they went over the cable, in datagrams");
    });
}

#[test]
fn a_text_without_a_key_takes_the_boards_own_and_a_stop_is_no_end() {
    over_a_cable(async |&Cable { one, two, ref carried, .. }| {
        let mut gateway = gateway(two);
        let text = board_text("MTU = 1280\nDNS = 10.9.0.1, fd00::1");
        let identity = identity();
        let mut board = begin_config(memory(), board(one, 1), text, Some(&identity)).unwrap();
        let servers = board.inside.config_v4().unwrap().dns_servers;
        assert_eq!(servers.as_slice(), [Ipv4Addr::new(10, 9, 0, 1)], "of our family");
        or(
            async {
                for _ in 0..2 {
                    let (inside, handle) = (board.inside, board.handle);
                    zip(board.runner.run(), async {
                        echo(inside, gateway.inside, 3_000).await;
                        handle.stop();
                        handle.stop();
                    })
                    .await;
                    assert!(!handle.is_link_up());
                }
            },
            gateway.runner.run(),
        )
        .await;
        assert!(carried.load(Ordering::Relaxed) > 0);
    });
}

/// A name server that knows one IPv4 address for every name, and none of IPv6.
async fn serve_names(underlay: Stack<'static>) {
    let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY; 4], [PacketMetadata::EMPTY; 4]);
    let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
    let mut socket = UdpSocket::new(underlay, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
    socket.bind(53).unwrap();
    loop {
        let mut message = [0; 512];
        let (len, from) = socket.recv_from(&mut message).await.unwrap();
        let is_ipv4 = message[len - 3] == 1; // the question's type
        message[2..4].copy_from_slice(&[0x81, 0x80]); // an answer, without error
        message[7] = is_ipv4.into();
        let answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2];
        let answer = if is_ipv4 { &answer[..] } else { &[] };
        message[len..len + answer.len()].copy_from_slice(answer);
        socket.send_to(&message[..len + answer.len()], from).await.unwrap();
    }
}

#[test]
fn an_endpoint_by_name_is_resolved_outside_the_tunnel() {
    over_a_cable(async |&Cable { one, two, .. }| {
        let mut gateway = gateway(two);
        let text = board_text_to("gateway.test", "");
        let mut board = begin_config(memory(), board(one, 1), text, Some(&identity())).unwrap();
        let talk = echo(board.inside, gateway.inside, 1_000);
        let run = async {
            zip(serve_names(two), zip(board.runner.run(), gateway.runner.run())).await;
        };
        or(talk, run).await;
    });
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    over_a_cable(async |&Cable { one, two, .. }| {
        let refused = |text: &'static str, identity: Option<&Identity>, underlay| {
            begin_config(memory(), board(underlay, 1), text, identity).map(drop).unwrap_err()
        };
        let identity = identity();
        assert_eq!(refused(board_text(""), None, one), BeginError::NoPrivateKey);
        assert_eq!(refused(board_text("MTU = 1421"), Some(&identity), one), BeginError::Mtu(1421));
        let no_address = leak(format!("[Interface]\nPrivateKey = {}\n", base64(1)));
        assert_eq!(refused(no_address, None, two), BeginError::NoAddress);
        let error = refused(board_text("MTU = x"), Some(&identity), two);
        assert!(error.to_string().starts_with("line 4"), "{error}");
        let third = key(3).public_key();
        let two_peers = leak(format!("{}[Peer]\nPublicKey = {third}\n", board_text("")));
        assert!(matches!(
            refused(two_peers, Some(&identity), two),
            BeginError::Tunnel(wg_nal::BeginError::Peer(_))
        ));
    });
}

/// The allowed IPs that SORACOM Arc hands out: many, since they leave a few addresses out.
const ARC: &str = "100.127.0.0/21, 100.127.10.0/28, 100.127.10.128/25, 100.127.10.17/32, \
    100.127.10.18/31, 100.127.10.20/30, 100.127.10.24/29, 100.127.10.32/27, 100.127.10.64/26, \
    100.127.11.0/24, 100.127.12.0/22, 100.127.128.0/17, 100.127.16.0/20, 100.127.32.0/19, \
    100.127.64.0/18, 100.127.8.0/23, 54.250.252.67/32";

#[test]
fn a_cloud_with_many_allowed_ips_needs_memory_for_them() {
    over_a_cable(async |&Cable { one, two, .. }| {
        let text = leak(format!(
            "[Interface]\nPrivateKey = {}\nAddress = 10.227.47.214/32\n\
             DNS = 100.127.0.53, 100.127.1.53\n\
             [Peer]\nPublicKey = {}\nAllowedIPs = {ARC}\nEndpoint = x.arc.soracom.io:11010\n",
            base64(1),
            key(2).public_key(),
        ));
        let error = begin_config(memory(), board(one, 1), text, None).map(drop).unwrap_err();
        assert!(matches!(error, BeginError::Tunnel(wg_nal::BeginError::Routes(_))));
        let memory: &'static mut Memory<1, 20> = Box::leak(Box::new(Memory::new()));
        let tunnel = begin_config(memory, board(two, 1), text, None).unwrap();
        assert_eq!(tunnel.inside.config_v4().unwrap().dns_servers.len(), 2);
        assert!(!tunnel.handle.is_link_up(), "the name is not resolved, and nothing runs");
    });
}
