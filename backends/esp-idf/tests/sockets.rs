//! The tunnel over this machine's sockets, with another inside than lwIP's.

mod board;
mod gateway;

use core::net::IpAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::channel;

use board::{Mailbox, SUBNETS, start};
use gateway::{Gateway, wait_for};
use wg_esp_idf::wg_core::{Connection, Increasing, Refusal};
use wg_esp_idf::{Error, Host, Tunnel, Underlay, random};

#[test]
fn the_first_packet_asks_for_the_session_that_carries_it() {
    let gateway = Gateway::start();
    let board = start(gateway.settings(SUBNETS)).unwrap();
    board.ping();
    board.expect_pong();
    let status = board.tunnel.status().unwrap();
    assert!(status.is_up());
    assert_eq!(status.peers[0].endpoint, Some(gateway.address));
}

#[test]
fn the_underlay_changes_without_a_restart_and_the_peer_follows() {
    let gateway = Gateway::start();
    let mut settings = gateway.settings(SUBNETS);
    settings.underlay = Underlay::Address([127, 0, 0, 1].into());
    let board = start(settings).unwrap();
    board.ping();
    board.expect_pong();
    let before = board.tunnel.status().unwrap();

    let other: IpAddr = [127, 0, 0, 2].into();
    board.tunnel.set_underlay(Underlay::Address(other)).unwrap();
    board.ping();
    board.expect_pong();
    assert_eq!(gateway.desk.from.lock().unwrap().map(|from| from.ip()), Some(other));
    let after = board.tunnel.status().unwrap();
    assert_eq!(after.listen_port, before.listen_port);
    assert_eq!(after.peers[0].session_birth, before.peers[0].session_birth);

    // One that is not there changes nothing.
    let nowhere = Underlay::Address([203, 0, 113, 9].into());
    let error = board.tunnel.set_underlay(nowhere).unwrap_err();
    assert!(matches!(error, Error::Underlay(..)), "{error}");
    board.ping();
    board.expect_pong();
}

#[test]
fn an_underlay_that_is_not_there_is_an_error_at_the_start() {
    let gateway = Gateway::start();
    let mut settings = gateway.settings(SUBNETS);
    settings.underlay = Underlay::Interface("nosuchif".into());
    let error = start(settings).err().unwrap().to_string();
    assert!(
        error.starts_with("cannot open the UDP sockets on the interface nosuchif: "),
        "{error}"
    );
}

#[test]
fn without_the_time_of_day_the_status_says_so_and_it_goes_on_when_it_is_set() {
    let gateway = Gateway::start();
    let set = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let sntp = Arc::clone(&set);
    let clock = Increasing::new(
        move || sntp.load(Ordering::SeqCst).then(|| Duration::from_secs(1_800_000_000)),
        None,
    );
    let (mailbox, packets) = channel();
    let mut settings = gateway.settings(SUBNETS);
    settings.peers[0].persistent_keepalive = 25;
    let tunnel =
        Tunnel::start_with(settings, clock, random().unwrap(), |_, _| Ok(Mailbox(mailbox)))
            .unwrap();
    let reason = |tunnel: &Tunnel| tunnel.status().unwrap().peers[0].connection;
    wait_for("the reason", || reason(&tunnel) == Connection::Blocked(Refusal::ClockNotSet));
    assert_eq!(gateway.datagrams(), 0);
    set.store(true, Ordering::SeqCst);
    wait_for("the session", || tunnel.status().unwrap().is_up());
    drop(packets);
}

#[test]
fn a_name_that_cannot_be_found_holds_up_neither_begin_nor_stop() {
    let gateway = Gateway::start();
    let mut settings = gateway.settings(SUBNETS);
    settings.peers[0].endpoint = Some(Host { name: "nowhere.invalid".into(), port: 1 });
    let begun = std::time::Instant::now();
    let mut board = start(settings).unwrap();
    board.ping();
    assert!(begun.elapsed() < Duration::from_secs(2));
    wait_for("the reason", || {
        board.tunnel.status().unwrap().peers[0].connection
            == Connection::Blocked(Refusal::NoEndpoint)
            || board.tunnel.status().unwrap().refusals.count(Refusal::NoEndpoint) > 0
    });
    // Told by hand, it goes on.
    let place = Host { name: "127.0.0.1".into(), port: gateway.address.port() };
    board.tunnel.set_endpoint(gateway.key, place).unwrap();
    board.ping();
    board.expect_pong();
    board.tunnel.stop();
}

#[test]
fn packets_that_nobody_answers_are_displaced_and_counted() {
    let gateway = Gateway::start();
    gateway.desk.mute.store(true, Ordering::SeqCst);
    let board = start(gateway.settings(SUBNETS)).unwrap();
    for sent in 1..=20 {
        board.ping();
        wait_for("the thread", || {
            board.tunnel.status().unwrap().counters.displaced == u32::max(sent, 4) - 4
        });
    }
    assert_eq!(board.tunnel.status().unwrap().counters.outbound_dropped, 0);
}

#[test]
fn the_log_says_with_whom_and_why_not() {
    use std::sync::Mutex;
    struct Lines(Mutex<Vec<String>>);
    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
        fn flush(&self) {}
    }
    static LINES: Lines = Lines(Mutex::new(Vec::new()));
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Info);

    let gateway = Gateway::start();
    let board = start(gateway.settings(SUBNETS)).unwrap();
    board.ping();
    board.expect_pong();
    let port = board.tunnel.status().unwrap().listen_port;
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        stranger.send_to(&[9; 40], ("127.0.0.1", port)).unwrap();
    }
    wait_for("the refusals", || {
        board.tunnel.status().unwrap().refusals.count(Refusal::Malformed) >= 50
    });
    let lines = LINES.0.lock().unwrap();
    let mine = |line: &&String| line.contains(&gateway.address.to_string());
    assert!(lines.iter().any(|line| mine(&line) && line.starts_with("good handshake with ")));
    let from = stranger.local_addr().unwrap().to_string();
    let refused: Vec<_> = lines.iter().filter(|line| line.contains(&from)).collect();
    assert!((1..=5).contains(&refused.len()), "{refused:?}");
    assert!(refused[0].contains("not a WireGuard message [Malformed]"), "{refused:?}");
}
