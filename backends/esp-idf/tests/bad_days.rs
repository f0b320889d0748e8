//! What the crate's documentation says of bad days, over this machine's sockets.

mod board;
mod gateway;

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use board::{SUBNETS, checksum, start, start_with};
use gateway::{Gateway, wait_for};
use wg_esp_idf::wg_core::{Connection, Refusal};
use wg_esp_idf::wg_nal::{Persistent, Record, Standing, Store};
use wg_esp_idf::{Error, Host, Tunnel, Underlay};

/// Flash that fails on demand. Copies are the same flash.
#[derive(Clone, Default)]
struct Flash(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    records: HashMap<Record, Vec<u8>>,
    is_full: bool,
    is_unreadable: bool,
    writes: u32,
}

impl Store for Flash {
    type Error = &'static str;

    async fn load(&mut self, record: Record, value: &mut [u8]) -> Result<bool, Self::Error> {
        let inner = self.0.lock().unwrap();
        if inner.is_unreadable {
            return Err("unreadable");
        }
        let found = inner.records.get(&record);
        found.inspect(|found| value.copy_from_slice(found));
        Ok(found.is_some())
    }

    async fn save(&mut self, record: Record, value: &[u8]) -> Result<(), Self::Error> {
        let mut inner = self.0.lock().unwrap();
        if inner.is_full {
            return Err("full");
        }
        inner.writes += 1;
        inner.records.insert(record, value.to_vec());
        Ok(())
    }
}

impl Flash {
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.lock().unwrap());
    }

    /// A clock over it that never learns the time of day.
    fn clock(&self) -> Persistent<impl Fn() -> Option<Duration> + Send + use<>, Self> {
        Persistent::new(|| None, self.clone())
    }
}

/// The gateway takes one initiation from a peer in 20 ms.
fn reboot() {
    std::thread::sleep(Duration::from_millis(30));
}

fn reason(tunnel: &Tunnel) -> Connection {
    tunnel.status().unwrap().peers[0].connection
}

#[test]
fn sntp_never_answers_and_the_stamps_of_the_last_boot_go_on() {
    let (gateway, flash) = (Gateway::start(), Flash::default());
    for boot in 1..=5 {
        let board = start_with(gateway.settings(SUBNETS), flash.clock()).unwrap();
        board.ping();
        board.expect_pong();
        assert_eq!(flash.0.lock().unwrap().writes, boot, "one write a boot");
        reboot();
    }
}

#[test]
fn a_board_that_forgot_is_refused_until_sntp_lifts_its_clock() {
    let (gateway, flash) = (Gateway::start(), Flash::default());
    let before = start_with(gateway.settings(SUBNETS), flash.clock()).unwrap();
    before.ping();
    before.expect_pong();
    drop(before);
    reboot();
    flash.change(|flash| flash.records.clear());
    let unix = Arc::new(AtomicU64::new(0));
    let sntp = Arc::clone(&unix);
    let time_of_day = move || Some(Duration::from_secs(sntp.load(Ordering::SeqCst)));
    let clock = Persistent::new(time_of_day, flash);
    let board = start_with(gateway.settings(SUBNETS), clock).unwrap();
    let heard = gateway.datagrams();
    board.ping();
    wait_for("the initiation", || gateway.datagrams() > heard);
    reboot();
    let status = board.tunnel.status().unwrap();
    assert!(!status.is_up());
    assert_eq!(status.timestamps, Some(Standing::Unanchored));
    unix.store(1_800_000_000, Ordering::SeqCst);
    // One more call with an old stamp, and one with a new one, 5 s apart.
    board.expect_pong();
    assert_eq!(board.tunnel.status().unwrap().timestamps, Some(Standing::Steady));
}

#[test]
fn a_full_flash_is_told_and_needs_no_reboot_when_there_is_room_again() {
    let (gateway, flash) = (Gateway::start(), Flash::default());
    flash.change(|flash| flash.is_full = true);
    let board = start_with(gateway.settings(SUBNETS), flash.clock()).unwrap();
    board.ping();
    wait_for("the reason", || reason(&board.tunnel) == Connection::Blocked(Refusal::ClockReserve));
    let status = board.tunnel.status().unwrap();
    assert!(status.counters.reserve_errors > 0);
    assert_eq!(gateway.datagrams(), 0, "a stamp that is not kept is not sent");
    flash.change(|flash| flash.is_full = false);
    board.expect_pong();
}

#[test]
fn a_flash_that_is_full_later_does_not_stop_a_tunnel_that_has_stamps() {
    let (gateway, flash) = (Gateway::start(), Flash::default());
    let board = start_with(gateway.settings(SUBNETS), flash.clock()).unwrap();
    board.ping();
    board.expect_pong();
    flash.change(|flash| flash.is_full = true);
    board.ping();
    board.expect_pong();
    assert_eq!(board.tunnel.status().unwrap().counters.reserve_errors, 0);
}

#[test]
fn a_flash_that_is_corrupt_is_kept_and_told_and_needs_no_reboot_when_it_is_erased() {
    for damage in [
        (|flash| drop(flash.records.insert(Record::Timestamp, vec![0xff; 12]))) as fn(&mut Inner),
        |flash| flash.is_unreadable = true,
    ] {
        let (gateway, flash) = (Gateway::start(), Flash::default());
        flash.change(damage);
        let board = start_with(gateway.settings(SUBNETS), flash.clock()).unwrap();
        board.ping();
        wait_for("the reason", || {
            reason(&board.tunnel) == Connection::Blocked(Refusal::ClockNotSet)
        });
        let status = board.tunnel.status().unwrap();
        assert_eq!(status.timestamps, Some(Standing::NotLoaded));
        assert!(status.counters.reserve_errors > 0);
        assert_eq!((gateway.datagrams(), flash.0.lock().unwrap().writes), (0, 0));
        flash.change(|flash| *flash = Inner::default());
        board.expect_pong();
    }
}

#[test]
fn wifi_that_never_comes_up_is_counted_and_one_that_comes_late_is_taken() {
    let gateway = Gateway::start();
    let mut settings = gateway.settings(SUBNETS);
    // From this address there is no way to that one.
    settings.underlay = Underlay::Address([127, 0, 0, 1].into());
    settings.peers[0].endpoint = Some(Host { name: "192.0.2.1".into(), port: 51820 });
    settings.peers[0].persistent_keepalive = 25;
    let board = start(settings).unwrap();
    wait_for("a second try", || board.tunnel.status().unwrap().counters.unsent > 1);
    assert!(!board.tunnel.status().unwrap().is_up());
    let place = Host { name: "127.0.0.1".into(), port: gateway.address.port() };
    board.tunnel.set_endpoint(gateway.key, place).unwrap();
    board.ping();
    board.expect_pong();
}

#[test]
fn begin_twice_is_refused_and_the_first_goes_on() {
    let gateway = Gateway::start();
    let first = start(gateway.settings(SUBNETS)).unwrap();
    first.ping();
    first.expect_pong();
    let mut again = gateway.settings(SUBNETS);
    again.listen_port = first.tunnel.status().unwrap().listen_port;
    let error = start(again).err().unwrap();
    assert!(matches!(error, Error::Underlay(..)), "{error}");
    first.ping();
    first.expect_pong();
}

#[test]
fn stop_twice_and_stop_during_a_handshake_are_stop() {
    let gateway = Gateway::start();
    gateway.desk.mute.store(true, Ordering::SeqCst);
    let mut board = start(gateway.settings(SUBNETS)).unwrap();
    board.ping();
    wait_for("the initiation", || gateway.datagrams() > 0);
    let asked = std::time::Instant::now();
    board.tunnel.stop();
    board.tunnel.stop();
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert!(matches!(board.tunnel.status(), Err(Error::Stopped)));
    assert!(matches!(board.tunnel.set_underlay(Underlay::Any), Err(Error::Stopped)));
    // Begun again, it works.
    gateway.desk.mute.store(false, Ordering::SeqCst);
    reboot();
    let board = start(gateway.settings(SUBNETS)).unwrap();
    board.ping();
    board.expect_pong();
}

#[test]
fn the_tunnels_own_datagrams_in_the_tunnel_are_dropped_and_counted() {
    let gateway = Gateway::start();
    let board = start(gateway.settings(&["0.0.0.0/0"])).unwrap();
    let (from, to) = (board.tunnel.status().unwrap().listen_port, gateway.address.port());
    let datagram = |payload: &[u8]| {
        let mut packet = vec![
            0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0,
            0, 0,
        ];
        packet[20..22].copy_from_slice(&from.to_be_bytes());
        packet[22..24].copy_from_slice(&to.to_be_bytes());
        packet[24..26].copy_from_slice(&(8 + payload.len() as u16).to_be_bytes());
        packet[2..4].copy_from_slice(&(28 + payload.len() as u16).to_be_bytes());
        let header = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&header.to_be_bytes());
        [packet, payload.to_vec()].concat()
    };
    // Another program's datagrams to the same place are no loop.
    gateway.desk.mute.store(true, Ordering::SeqCst);
    board.offer(&datagram(b"another program's"));
    wait_for("the initiation", || gateway.datagrams() > 0);
    assert_eq!(board.tunnel.status().unwrap().counters.routing_loops, 0);
    let initiation = gateway.desk.last.lock().unwrap().clone();
    for _ in 0..3 {
        board.offer(&datagram(&initiation));
    }
    wait_for("the drops", || board.tunnel.status().unwrap().counters.routing_loops == 3);
    assert_eq!(gateway.datagrams(), 1);
}
