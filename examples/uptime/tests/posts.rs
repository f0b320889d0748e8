//! The application over this computer's sockets, with servers good and bad.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::ControlFlow;
use std::thread;
use std::time::Instant;

use embassy_time::Duration;
use futures_lite::future::block_on;
use tiny_http::{Response, Server};
use uptime::{Outcome, Sockets, post_uptime};

const PAUSE: Duration = Duration::from_millis(20);

/// What becomes of the first `count` posts.
fn post(url: &str, timeout_ms: u64, count: usize) -> Vec<Outcome> {
    let sockets = Sockets::new(core::time::Duration::from_millis(timeout_ms));
    let mut outcomes = Vec::new();
    block_on(post_uptime(&sockets, &sockets, url, PAUSE, |outcome| {
        outcomes.push(outcome);
        if outcomes.len() == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }));
    outcomes
}

/// A server that answers with these statuses, and returns the bodies that it got.
fn serve(statuses: &'static [u16]) -> (String, thread::JoinHandle<Vec<String>>) {
    let server = Server::http((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/uptime", server.server_addr());
    let heard = thread::spawn(move || {
        let answer = |status: &u16| {
            let mut request = server.recv().unwrap();
            assert_eq!(request.method().as_str(), "POST");
            let json = |header: &&tiny_http::Header| header.value == "application/json";
            assert!(request.headers().iter().find(json).is_some());
            let mut body = String::new();
            request.as_reader().read_to_string(&mut body).unwrap();
            // 204 says that nothing follows.
            let text = if *status == 204 { "" } else { "thanks" };
            request.respond(Response::from_string(text).with_status_code(*status)).unwrap();
            body
        };
        statuses.iter().map(answer).collect()
    });
    (url, heard)
}

#[test]
fn posts_go_on_and_uptime_rises() {
    let (url, heard) = serve(&[200, 201, 503, 200]);
    let outcomes = post(&url, 5_000, 4);
    let expected =
        [Outcome::Posted(200), Outcome::Posted(201), Outcome::Refused(503), Outcome::Posted(200)];
    assert_eq!(outcomes, expected);
    let uptime = |body: &String| -> u64 {
        let number =
            body.strip_prefix(r#"{"uptime_ms":"#).and_then(|body| body.strip_suffix("}\n"));
        number.unwrap_or_else(|| panic!("{body:?}")).parse().unwrap()
    };
    let uptimes: Vec<_> = heard.join().unwrap().iter().map(uptime).collect();
    assert!(uptimes.windows(2).all(|pair| pair[0] + PAUSE.as_millis() <= pair[1]), "{uptimes:?}");
}

#[test]
fn a_server_may_be_asked_for_by_name() {
    let (url, heard) = serve(&[204]);
    let port = url.split([':', '/']).nth(4).unwrap();
    assert_eq!(post(&format!("http://localhost:{port}/"), 5_000, 1), [Outcome::Posted(204)]);
    assert_eq!(heard.join().unwrap().len(), 1);
}

#[test]
fn nobody_there_is_told_and_tried_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let outcomes = post(&url, 1_000, 2);
    assert!(matches!(outcomes[..], [Outcome::NoConnection(_), Outcome::NoConnection(_)]));
}

#[test]
fn a_server_that_says_nothing_holds_nothing_up_for_long() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let start = Instant::now();
    assert_eq!(post(&url, 100, 2), [Outcome::NoAnswer; 2]);
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn what_is_no_http_or_no_host_is_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let rude = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 smtp.example ESMTP\r\n\r\n").unwrap();
        // Not closed before it was read.
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    });
    assert_eq!(post(&url, 5_000, 1), [Outcome::NoHttp]);
    rude.join().unwrap();
    assert_eq!(post("uni.soracom.io", 100, 1), [Outcome::NoHttp], "no scheme");
    // RFC 6761: this name never has an address.
    assert_eq!(post("http://nobody.invalid/", 100, 1), [Outcome::UnknownHost]);
}

#[test]
fn each_outcome_is_a_line() {
    assert_eq!(Outcome::Posted(200).to_string(), "posted: 200");
    assert_eq!(Outcome::Refused(404).to_string(), "not posted: the server answers 404");
    assert_eq!(Outcome::NoAnswer.to_string(), "not posted: no answer for 10 s");
}
