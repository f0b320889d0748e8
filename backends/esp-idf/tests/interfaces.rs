//! Interfaces that go and come beneath a tunnel, in network namespaces of this test's own.
//!
//! Needs root, `ip`, `nsenter` and `unshare`; elsewhere it says so and does nothing.
#![cfg(target_os = "linux")]

mod board;
mod gateway;

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use board::{SUBNETS, start};
use gateway::{Gateway, wait_for};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use wg_esp_idf::Underlay;

/// A network namespace, there while a process of ours lives in it.
struct Namespace(Child);

impl Namespace {
    fn new() -> Self {
        let ours = namespace_of("self");
        let child =
            Command::new("unshare").args(["--net", "sleep", "600"]).stdin(Stdio::null()).spawn();
        let namespace = Self(child.unwrap());
        wait_for("the namespace", || namespace_of(&namespace.pid()) != ours);
        namespace.run("ip link set lo up");
        namespace
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn run(&self, script: &str) {
        let pid = self.pid();
        let args = ["--target", &pid, "--net", "sh", "-ec", script];
        assert!(Command::new("nsenter").args(args).status().unwrap().success(), "{script}");
    }

    /// Moves this thread, and those that it will start, into it.
    fn enter(&self) {
        let file = File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn namespace_of(process: &str) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

fn is_possible() -> bool {
    let script = "ip link add veth0 type veth peer name veth1 && nsenter --version";
    let asked = Command::new("unshare").args(["--net", "sh", "-c", script]).output();
    asked.is_ok_and(|answer| answer.status.success())
}

/// A cable between the board's `name`, 10.`network`.0.2, and the gateway, 10.77.0.1.
fn plug_in(ours: &Namespace, theirs: &Namespace, name: &str, network: u8) {
    ours.run(&format!(
        "ip link add {name} type veth peer name {name} netns {}
         ip addr add 10.{network}.0.2/32 dev {name}
         ip link set {name} up
         ip route add 10.77.0.1 dev {name} src 10.{network}.0.2",
        theirs.pid()
    ));
    theirs.run(&format!("ip link set {name} up; ip route add 10.{network}.0.2 dev {name}"));
}

#[test]
fn the_station_goes_and_comes_back_and_ethernet_takes_its_place_without_a_restart() {
    if !is_possible() {
        let why = "needs root, ip, nsenter and unshare";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        return;
    }
    let (ours, theirs) = (Namespace::new(), Namespace::new());
    theirs.run("ip addr add 10.77.0.1/32 dev lo");
    plug_in(&ours, &theirs, "sta0", 1);
    theirs.enter();
    let gateway = Gateway::start_at("10.77.0.1:0");
    ours.enter();
    let mut settings = gateway.settings(SUBNETS);
    settings.underlay = Underlay::Interface("sta0".into());
    let board = start(settings).unwrap();
    let from = || gateway.desk.from.lock().unwrap().unwrap().ip().to_string();
    board.ping();
    board.expect_pong();
    assert_eq!(from(), "10.1.0.2");
    let before = board.tunnel.status().unwrap();

    // Away: datagrams are counted, and sockets on an interface that is no more are no use.
    ours.run("ip link del sta0");
    let unsent = || board.tunnel.status().unwrap().counters.unsent;
    wait_for("a failure", || {
        board.ping();
        std::thread::sleep(core::time::Duration::from_millis(50));
        unsent() > before.counters.unsent
    });
    // Back under its name, though with another number: found again.
    plug_in(&ours, &theirs, "sta0", 1);
    wait_for("an echo", || {
        board.ping();
        board.packets.recv_timeout(core::time::Duration::from_millis(100)).is_ok()
    });

    // Away for good, and Ethernet in its place, which the firmware says.
    ours.run("ip link del sta0");
    plug_in(&ours, &theirs, "eth0", 2);
    while board.packets.try_recv().is_ok() {}
    board.tunnel.set_underlay(Underlay::Interface("eth0".into())).unwrap();
    board.ping();
    board.expect_pong();
    assert_eq!(from(), "10.2.0.2");
    let after = board.tunnel.status().unwrap();
    assert_eq!(after.listen_port, before.listen_port);
    assert_eq!(after.peers[0].session_birth, before.peers[0].session_birth);
}
