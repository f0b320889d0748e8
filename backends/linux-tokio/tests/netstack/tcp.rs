//! TCP connections, and what ends them.

use core::time::Duration;
use std::io::ErrorKind;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wg_tokio::netstack::{Net, TcpListener};

use crate::{at, config, file, key, pair, soon};

/// Sends back all that comes, to one caller after the other.
fn echo(listener: TcpListener) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
}

#[tokio::test]
async fn megabytes_come_back_as_they_went_in_both_families() {
    let (client, server) = pair(|_| {}).await;
    echo(server.tcp_listen(at("[::]:7")).unwrap());
    for server in ["10.9.0.2:7", "[fd09::2]:7"] {
        let stream = soon(client.tcp_connect(at(server))).await.unwrap();
        assert_eq!(stream.peer_addr(), at(server));
        assert!(client.addresses().contains(&stream.local_addr().ip()));
        let sent: Vec<u8> = (0..8_000_000_u32).map(|at| (at * 7 / 1000) as u8).collect();
        let expected = sent.clone();
        let (mut from, mut to) = tokio::io::split(stream);
        let writing = tokio::spawn(async move {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await.unwrap();
            to
        });
        let mut received = Vec::new();
        soon(from.read_to_end(&mut received)).await.unwrap();
        assert!(received == expected);
        let mut to = writing.await.unwrap();
        assert_eq!(to.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_is_an_error_with_its_reason() {
    let (client, server) = pair(|config| config.addresses.truncate(1)).await;
    let start = Instant::now();
    for (to, kind, why) in [
        ("10.9.0.2:9", ErrorKind::ConnectionRefused, "connection refused"),
        ("192.0.2.1:80", ErrorKind::NetworkUnreachable, "no peer has 192.0.2.1 in its AllowedIPs"),
        ("[fd09::2]:7", ErrorKind::AddrNotAvailable, "this host has no address to reach"),
    ] {
        let error = soon(client.tcp_connect(at(to))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{to}");
        assert!(error.to_string().starts_with(why), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "at once");
    // The peer's host has no such address, and its stack says nothing.
    let error = soon(client.tcp_connect(at("10.7.7.7:80"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "no answer, though the tunnel is up");
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_said_to_be_the_reason() {
    let gone = key();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = format!("Endpoint = {}\nAllowedIPs = 10.9.0.2", silent.local_addr().unwrap());
    let net = Net::connect(config(&file(&key(), "10.9.0.1", &gone, &peer))).await.unwrap();
    let start = Instant::now();
    let error = soon(net.tcp_connect(at("10.9.0.2:80"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let why = format!("its peer {} does not answer handshakes", gone.public_key());
    assert_eq!(error.to_string(), why);
    assert!(start.elapsed() < Duration::from_secs(12));

    // The tunnel itself refuses what it cannot send anywhere, at once.
    let net = Net::connect(config(&file(&key(), "10.9.0.1", &gone, "AllowedIPs = 10.9.0.2")));
    let start = Instant::now();
    let error = soon(net.await.unwrap().tcp_connect(at("10.9.0.2:80"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn connections_are_bounded_and_their_places_free_again() {
    let (client, server) = pair(|config| config.connections = 3).await;
    echo(server.tcp_listen(at("0.0.0.0:7")).unwrap());
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(soon(client.tcp_connect(at("10.9.0.2:7"))).await.unwrap());
    }
    let error = soon(client.tcp_connect(at("10.9.0.2:7"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert_eq!(error.to_string(), "the host has 3 TCP connections already");
    streams.clear();
    soon(async {
        while client.tcp_connect(at("10.9.0.2:7")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_written_before_a_connection_was_dropped_arrives() {
    let (client, server) = pair(|_| {}).await;
    let listener = server.tcp_listen(at("10.9.0.2:80")).unwrap();
    assert_eq!(
        server.tcp_listen(at("0.0.0.0:80")).unwrap_err().to_string(),
        "port 80 of this host in the tunnel is in use"
    );
    let elsewhere = server.tcp_listen(at("10.9.0.3:80")).unwrap_err();
    assert_eq!(elsewhere.to_string(), "10.9.0.3 is no address of this host in the tunnel");
    let mut stream = soon(client.tcp_connect(at("10.9.0.2:80"))).await.unwrap();
    stream.write_all(&[1; 300_000]).await.unwrap();
    drop(stream);
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let mut received = Vec::new();
    soon(stream.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), 300_000);
    // One with bytes that nobody has read is reset.
    let mut other = soon(client.tcp_connect(at("10.9.0.2:80"))).await.unwrap();
    let (accepted, _) = soon(listener.accept()).await.unwrap();
    other.write_all(b"unread").await.unwrap();
    let mut accepted = accepted;
    soon(accepted.read_exact(&mut [0; 1])).await.unwrap();
    drop(accepted);
    let error = soon(other.read(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    drop(listener);
    drop(server.tcp_listen(at("0.0.0.0:80")).unwrap());
}

#[tokio::test]
async fn stopping_resets_connections_and_tells_everybody() {
    let (client, server) = pair(|_| {}).await;
    let listener = server.tcp_listen(at("10.9.0.2:80")).unwrap();
    let mut stream = soon(client.tcp_connect(at("10.9.0.2:80"))).await.unwrap();
    let (mut accepted, from) = soon(listener.accept()).await.unwrap();
    assert_eq!(from, stream.local_addr());
    let waiting = tokio::spawn(async move { listener.accept().await.map(|_| ()) });
    soon(server.stop()).await;
    let kind = |result: std::io::Result<usize>| result.unwrap_err().kind();
    assert_eq!(kind(soon(accepted.read(&mut [0; 8])).await), ErrorKind::NotConnected);
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    // The other end heard of it.
    assert_eq!(kind(soon(stream.read(&mut [0; 8])).await), ErrorKind::ConnectionReset);
    assert!(server.status().await.is_err());
    let error = server.tcp_connect(at("10.9.0.1:80")).await.unwrap_err();
    assert_eq!(error.to_string(), "the tunnel has ended");
    // A host that nobody has any more ends by itself.
    drop(stream);
    let status = client.status().await.unwrap();
    drop(client);
    let port_is_free = || std::net::UdpSocket::bind(("0.0.0.0", status.listen_port)).is_ok();
    soon(async {
        while !port_is_free() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
