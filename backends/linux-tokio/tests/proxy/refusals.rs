//! What does not go through: the protocol's own word, and a reason in the log.

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::{Ends, PATIENCE, curl, has, key, serve_http, serve_names};

/// Says `request` and reads until the proxy closes.
fn say(at: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_met_is_told_so_at_once_with_a_reason() {
    if !has(&["curl"]) {
        return;
    }
    let ends = Ends::new();
    let host = ends.host().await;
    serve_http(&host, 80);
    serve_names(&host);
    let mut proxy = ends.proxy(&["--listen", "0"]);
    let at = proxy.address();
    let (socks, http) = (format!("socks5h://{at}"), format!("http://{at}"));
    let start = Instant::now();
    for (url, code, status, why) in [
        ("http://192.0.2.1/", 3, 502, "no peer has 192.0.2.1 in its AllowedIPs"),
        ("http://[2001:db8::1]/", 3, 502, "no peer has 2001:db8::1 in its AllowedIPs"),
        (
            "http://nobody.test/",
            4,
            502,
            "no name server in the tunnel has an address for nobody.test",
        ),
        ("http://10.9.0.2:81/", 5, 502, "connection refused"),
    ] {
        // 97: the proxy's handshake failed; 56: it answered with another status than 200.
        let (exit, said) = curl(&["--proxy", &socks, url]).await;
        assert_eq!(exit, Some(97), "{said}");
        assert!(said.contains(&format!("({code})")), "{url}: {said}");
        let (exit, said) = curl(&["--proxytunnel", "--proxy", &http, url]).await;
        assert_eq!(exit, Some(56), "{said}");
        assert!(said.contains(&status.to_string()), "{url}: {said}");
        proxy.says(&format!(": {why}"));
    }
    assert!(start.elapsed() < Duration::from_secs(10), "at once");

    for (request, answer) in [
        (
            "GET http://10.9.0.2/ HTTP/1.1\r\n\r\n",
            "HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT",
        ),
        ("CONNECT 10.9.0.2 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("\u{1}\u{2}\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("CONNECT a:1 HTTP/1.1\r\nX: ", ""),
        // Another version; no method without a password; BIND, and a command that is none.
        ("\u{4}\u{1}", ""),
        ("\u{5}\u{1}\u{2}", "\u{5}\u{ff}"),
        ("\u{5}\u{1}\0\u{5}\u{2}\0\u{1}\n\t\0\u{2}\0P", "\u{5}\0\u{5}\u{7}"),
        ("\u{5}\u{1}\0\u{5}\u{9}\0\u{1}\n\t\0\u{2}\0P", "\u{5}\0\u{5}\u{7}"),
    ] {
        let mut request: Vec<u8> = request.chars().map(|byte| byte as u8).collect();
        if request.ends_with(b"X: ") {
            request.resize(40_000, b'x');
        }
        let at = at.clone();
        let got = tokio::task::spawn_blocking(move || say(&at, &request)).await.unwrap();
        let answer: Vec<u8> = answer.chars().map(|byte| byte as u8).collect();
        assert!(got.starts_with(&answer), "{:?}", String::from_utf8_lossy(&got));
    }
    let got = curl(&["--proxy", &socks, "http://server.test/still-there"]).await;
    assert_eq!(got, (Some(0), "/still-there".into()));
    proxy.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_or_a_peer_that_is_silent_is_given_up_after_ten_seconds() {
    if !has(&["curl"]) {
        return;
    }
    // This host answers for none of its peer's other addresses; that peer is not there at all.
    let (mut ends, gone) = (Ends::new(), key().public_key());
    let _host = ends.host().await;
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = silent.local_addr().unwrap();
    ends.client +=
        &format!("[Peer]\nPublicKey = {gone}\nEndpoint = {endpoint}\nAllowedIPs = 10.8.0.0/16\n");
    let mut proxy = ends.proxy(&["--listen", "0"]);
    let at = proxy.address();
    let (socks, http) = (format!("socks5h://{at}"), format!("http://{at}"));
    let start = Instant::now();
    let by_socks = ["--proxy", &socks, "http://10.7.0.1/"];
    let by_http = ["--proxytunnel", "--proxy", &http, "http://10.8.0.1/"];
    // Nobody serves names here, and the host says nothing of it.
    let by_name = ["--proxy", &socks, "http://server.test/"];
    let (by_socks, by_http, by_name) =
        tokio::join!(curl(&by_socks), curl(&by_http), curl(&by_name));
    assert!(by_socks.1.contains("(4)"), "{by_socks:?}");
    assert!(by_http.1.contains("504"), "{by_http:?}");
    assert!(by_name.1.contains("(4)"), "{by_name:?}");
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_secs(9) && elapsed < Duration::from_secs(15), "{elapsed:?}");
    proxy.says("cannot reach 10.7.0.1:80: no answer, though the tunnel is up");
    proxy.says(&format!("cannot reach 10.8.0.1:80: its peer {gone} does not answer handshakes"));
    proxy.says("cannot reach server.test:80: no name server in the tunnel answers for server.test");
    proxy.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_clients_those_without_a_place_are_refused() {
    if !has(&["curl"]) {
        return;
    }
    let ends = Ends::new();
    let host = ends.host().await;
    serve_http(&host, 80);
    let mut proxy = ends.proxy(&["--listen", "0"]);
    let (at, socks) = (proxy.address(), format!("socks5h://{}", proxy.address()));
    let waiting = tokio::task::spawn_blocking(move || {
        // Some are reset before the system has told us that they are there.
        let mut clients: Vec<TcpStream> =
            (0..1000).filter_map(|_| TcpStream::connect(&at).ok()).collect();
        for client in &clients {
            client.set_nonblocking(true).unwrap();
        }
        // Those that have a place are answered when they ask, which none does.
        while clients.len() > 256 {
            clients.retain_mut(|client| {
                client.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            });
        }
        clients
    });
    let waiting = waiting.await.unwrap();
    assert_eq!(waiting.len(), 256);
    proxy.says("there are 256 clients already");
    assert!(proxy.log.len() < 30, "{:#?}", proxy.log);
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.child.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let resident: u32 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{resident} KiB at most");
    assert!(resident < 64 * 1024, "{resident} KiB");
    drop(waiting);
    // The places are free again.
    let start = Instant::now();
    while curl(&["--proxy", &socks, "http://10.9.0.2/again"]).await != (Some(0), "/again".into()) {
        assert!(start.elapsed() < PATIENCE);
    }
    proxy.stop();
}
