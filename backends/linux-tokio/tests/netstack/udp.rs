//! Datagrams.

use std::io::ErrorKind;

use crate::{at, pair, soon};

#[tokio::test]
async fn datagrams_cross_in_both_families_and_keep_their_ends() {
    let (client, server) = pair(|_| {}).await;
    let served = server.udp_bind(at("[::]:53")).unwrap();
    let socket = client.udp_bind(at("0.0.0.0:0")).unwrap();
    let mut buffer = [0; 2000];
    for (server, client) in [("10.9.0.2:53", "10.9.0.1"), ("[fd09::2]:53", "fd09::1")] {
        for length in [0, 1, 1372] {
            soon(socket.send_to(&vec![7; length], at(server))).await.unwrap();
            let (received, from) = soon(served.recv_from(&mut buffer)).await.unwrap();
            assert_eq!(received, length);
            assert_eq!(
                (from.ip(), from.port()),
                (client.parse().unwrap(), socket.local_addr().port())
            );
            soon(served.send_to(&vec![8; length], from)).await.unwrap();
            let (received, from) = soon(socket.recv_from(&mut buffer)).await.unwrap();
            assert_eq!((received, from), (length, at(server)));
        }
    }
    for (to, length, kind) in [
        ("10.9.0.2:53", 1373, ErrorKind::InvalidInput),
        ("10.9.0.2:0", 1, ErrorKind::InvalidInput),
        ("192.0.2.1:53", 1, ErrorKind::NetworkUnreachable),
    ] {
        let sent = socket.send_to(&vec![0; length], at(to)).await;
        assert_eq!(sent.unwrap_err().kind(), kind, "{to}");
    }
    assert_eq!(server.udp_bind(at("0.0.0.0:53")).unwrap_err().kind(), ErrorKind::AddrInUse);
    // A TCP port of the same number is another.
    server.tcp_listen(at("0.0.0.0:53")).unwrap();
}

#[tokio::test]
async fn a_flood_that_nobody_reads_holds_nobody_up() {
    let (client, server) = pair(|_| {}).await;
    let served = server.udp_bind(at("10.9.0.2:9")).unwrap();
    let socket = client.udp_bind(at("0.0.0.0:0")).unwrap();
    for _ in 0..3000 {
        soon(socket.send_to(&[0; 1000], at("10.9.0.2:9"))).await.unwrap();
    }
    let listener = server.tcp_listen(at("10.9.0.2:80")).unwrap();
    let (connected, accepted) =
        tokio::join!(soon(client.tcp_connect(at("10.9.0.2:80"))), soon(listener.accept()));
    assert!(connected.is_ok() && accepted.is_ok());
    assert_eq!(soon(served.recv_from(&mut [0; 2000])).await.unwrap().0, 1000);
}
