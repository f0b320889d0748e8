//! What goes through.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::{Ends, Program, curl, free_port, has, run, serve_http, serve_names};

#[tokio::test(flavor = "multi_thread")]
async fn curl_reaches_names_and_addresses_in_the_tunnel() {
    if !has(&["curl"]) {
        return;
    }
    let ends = Ends::new();
    let host = ends.host().await;
    serve_http(&host, 80);
    serve_names(&host);
    let forward = format!("{}=server.test:80", free_port());
    let mut proxy = ends.proxy(&["--listen", "0", "--forward", &forward]);
    let at = proxy.address();
    for (scheme, url) in [
        ("socks5h", "http://server.test/by-name"),
        ("socks5", "http://10.9.0.2/by-address"),
        ("socks5", "http://[fd09::2]/by-ipv6"),
        ("http", "http://server.test/by-name"),
        ("http", "http://[fd09::2]/by-ipv6"),
    ] {
        let proxy = format!("{scheme}://{at}");
        let path = url.rsplit_once('/').unwrap().1;
        let got = curl(&["--proxytunnel", "--proxy", &proxy, url]).await;
        assert_eq!(got, (Some(0), format!("/{path}")), "{scheme} {url}");
    }
    let port = forward.split('=').next().unwrap();
    let got = curl(&[&format!("http://127.0.0.1:{port}/forwarded")]).await;
    assert_eq!(got, (Some(0), "/forwarded".into()));
    proxy.says("handshake with");
    proxy.stop();
}

/// A client of SOCKS5 that associates, and sends a datagram to an address and to a name.
const DATAGRAMS: &str = r#"
import socket, struct, sys
host, port = sys.argv[1].split(":")
control = socket.create_connection((host, int(port)), timeout=10)
control.sendall(b"\x05\x01\x00")
assert control.recv(2) == b"\x05\x00"
control.sendall(b"\x05\x03\x00\x01" + bytes(6))
reply = control.recv(10)
assert reply[:4] == b"\x05\x00\x00\x01", reply
relay = (socket.inet_ntoa(reply[4:8]), struct.unpack(">H", reply[8:])[0])
assert relay[0] == "127.0.0.1", relay
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
address = b"\x01" + bytes([10, 9, 0, 2])
for to in (address, b"\x03\x0bserver.test", b"\x04" + socket.inet_pton(socket.AF_INET6, "fd09::2")):
    s.sendto(b"\0\0\0" + to + struct.pack(">H", 7) + b"hello", relay)
    answer = s.recv(2000)
    assert answer.endswith(struct.pack(">H", 7) + b"HELLO"), answer
    print(len(answer))
# Somebody else's, a fragment and rubbish are dropped, and do not end it.
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other.settimeout(0.3)
other.sendto(b"\0\0\0" + address + struct.pack(">H", 7) + b"other", relay)
for bad in (b"", b"\0", b"\0\0\1" + address + b"\0\7frag", b"\0\0\0\x09xxxx", b"\0\0\0\x01\x0a\x07"):
    s.sendto(bad, relay)
s.sendto(b"\0\0\0" + address + struct.pack(">H", 7) + b"last", relay)
assert s.recv(2000).endswith(b"LAST")
try:
    other.recv(2000)
    raise AssertionError("answered a stranger")
except TimeoutError:
    pass
"#;

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_go_through_an_association() {
    if !has(&["python3"]) {
        return;
    }
    let ends = Ends::new();
    let host = ends.host().await;
    serve_names(&host);
    let socket = host.udp_bind(SocketAddr::new([0; 8].into(), 7)).unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..length].to_ascii_uppercase(), from).await.unwrap();
        }
    });
    let mut proxy = ends.proxy(&["--listen", "0"]);
    let at = proxy.address();
    let output = run("python3", &["-c", DATAGRAMS, &at]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"15\n15\n27\n");
    proxy.stop();
}

/// Both ends are the program.
#[tokio::test(flavor = "multi_thread")]
async fn iperf3_goes_in_by_a_forwarded_port_and_out_by_an_exposed_one() {
    if !has(&["iperf3"]) {
        return;
    }
    let ends = Ends::new();
    let (served, exposed, forwarded) = (free_port(), free_port(), free_port());
    let mut iperf3 = Command::new("iperf3")
        .args(["--server", "--bind", "127.0.0.1", "--port", &served.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let expose = format!("{exposed}={served}");
    let mut server = Program::start(&ends.file("wg1.conf", &ends.server), &["--expose", &expose]);
    server.says(&format!("port {exposed} in the tunnel leads to 127.0.0.1:{served}"));
    let forward = format!("{forwarded}=[fd09::2]:{exposed}");
    let mut client = ends.proxy(&["--forward", &forward]);
    client.says(&format!("127.0.0.1:{forwarded} leads to [fd09::2]:{exposed} in the tunnel"));
    for direction in [&[][..], &["--reverse"], &["--bidir", "--parallel", "4"]] {
        let port = forwarded.to_string();
        let arguments = ["--client", "127.0.0.1", "--port", &port, "--bytes", "20M"];
        let output = run("iperf3", &[&arguments, direction].concat()).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{direction:?}: {said}");
        println!("{said}");
    }
    client.stop();
    server.stop();
    iperf3.kill().unwrap();
    iperf3.wait().unwrap();
}
