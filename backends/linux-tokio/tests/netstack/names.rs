//! Names, looked up inside.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Instant;

use wg_tokio::netstack::UdpSocket;

use crate::{at, pair, soon};

/// A name server that knows one name in both families, answers for others that there is none,
/// and is silent about `silent.test`.
fn serve(socket: UdpSocket) {
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            if let Some(answer) = answer(&query[..length]) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    // A header of 12 bytes, then the name in parts, its end, and two bytes of type and class.
    let end = 12 + query[12..].iter().position(|&byte| byte == 0)?;
    let (name, kind) = (&query[12..end], u16::from_be_bytes([query[end + 1], query[end + 2]]));
    if name == b"\x06silent\x04test" {
        return None;
    }
    let data: &[u8] = match kind {
        _ if name != b"\x06server\x04test" => &[],
        1 => &[10, 9, 0, 2],
        28 => &[0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        _ => &[],
    };
    let mut answer = query.get(..end + 5)?.to_vec();
    let code = if name == b"\x06server\x04test" { 0 } else { 3 };
    answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0]);
    if !data.is_empty() {
        answer[7] = 1;
        // The name of the question, class IN, ten seconds.
        answer.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 10, 0, data.len() as u8]);
        answer.extend(data);
    }
    Some(answer)
}

#[tokio::test]
async fn names_are_found_inside_in_the_families_that_the_host_has() {
    let both: Vec<IpAddr> = vec!["fd09::2".parse().unwrap(), "10.9.0.2".parse().unwrap()];
    for families in [2, 1] {
        let (client, server) = pair(|config| {
            config.addresses.truncate(families);
            config.dns_search.push("test".into());
        })
        .await;
        serve(server.udp_bind(at("0.0.0.0:53")).unwrap());
        // By its whole name, and by the search domain.
        for name in ["server.test", "server"] {
            let found = soon(client.lookup(name, 80)).await.unwrap();
            assert!(found.iter().all(|at| at.port() == 80));
            let found: Vec<IpAddr> = found.iter().map(|at| at.ip()).collect();
            assert_eq!(found, both[2 - families..]);
        }
        assert_eq!(soon(client.lookup("fd09::7", 1)).await.unwrap(), [at("[fd09::7]:1")]);

        let start = Instant::now();
        for (name, kind) in [
            ("nobody.test", ErrorKind::NotFound),
            ("a..b", ErrorKind::InvalidInput),
            (&"a.".repeat(200), ErrorKind::InvalidInput),
        ] {
            let error = soon(client.lookup(name, 80)).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{name}: {error}");
        }
        assert!(start.elapsed().as_secs() < 5, "at once");
    }
}

#[tokio::test]
async fn a_name_server_that_is_silent_is_given_up() {
    let (client, server) = pair(|_| {}).await;
    serve(server.udp_bind(at("0.0.0.0:53")).unwrap());
    let start = Instant::now();
    let error = soon(client.lookup("silent.test", 80)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "no name server in the tunnel answers for silent.test");
    assert!(start.elapsed().as_secs() < 12, "{:?}", start.elapsed());

    let (client, _server) = pair(|config| config.dns_servers.clear()).await;
    let error = soon(client.lookup("server.test", 80)).await.unwrap_err();
    assert_eq!(error.to_string(), "the configuration has no name server: add DNS to [Interface]");
}
