//! Bad days of a machine, each with the result that the README states. Where a default route is
//! in play, a capture sees that nothing leaves in the clear.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use crate::leaks::{Capture, INNER, internet, reaches, routing};
use crate::{Configs, Program, cable, isolated, output, sh, until};

/// A name server at b, which knows every name but those with "no" in front.
struct NameServer(Child);

impl NameServer {
    /// Where a asks for names, whether somebody answers there or not.
    fn is_asked() {
        sh("printf 'nameserver 192.0.2.2\\noptions timeout:1 attempts:1\\n' > /run/resolv.conf &&
            mount --bind /run/resolv.conf /etc/resolv.conf");
    }

    fn start(answer: &str) -> Self {
        let script = "import socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('192.0.2.2',53))
while True:
    q,a=s.recvfrom(512)
    e=q.index(0,12)+5
    known=q[13:15]!=b'no'
    is_a=known and q[e-3]==1
    r=q[:2]+bytes([0x81,0x80 if known else 0x83,0,1,0,int(is_a),0,0,0,0])+q[12:e]
    if is_a: r+=bytes([0xc0,12,0,1,0,1,0,0,0,9,0,4])+socket.inet_aton(sys.argv[1])
    s.sendto(r,a)";
        let child = Command::new("ip")
            .args(["netns", "exec", "b", "python3", "-c", script, answer])
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn append(config: &Path, text: &str) {
    fs::write(config, fs::read_to_string(config).unwrap() + text).unwrap();
}

#[test]
fn a_name_server_that_is_late_is_waited_for() {
    isolated("days::a_name_server_that_is_late_is_waited_for", || {
        internet();
        NameServer::is_asked();
        // A route to some networks: the tunnel is up, and looks again.
        let configs = Configs::new("vpn.example:51820", "10.9.0.0/24", "");
        let mut b = Program::start("b", &configs.b, &[]);
        b.says("is up");
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("cannot find the address of vpn.example:51820 yet, trying again");
        a.says("is up");
        assert!(!output("ip netns exec a ping -c 1 -W 1 10.9.0.2").status.success());
        let server = NameServer::start("192.0.2.2");
        until("ip netns exec a ping -c 1 -W 1 10.9.0.2");
        assert_eq!(a.count("cannot find the address"), 1);
        a.stop("TERM");
        b.stop("TERM");
        drop(server);

        // A default route, behind which names cannot be looked up: not up before.
        let before = routing();
        let configs = Configs::new("vpn.example:51820", "0.0.0.0/0, ::/0", "");
        let mut b = Program::start("b", &configs.b, &[]);
        b.says("is up");
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("cannot find the address of vpn.example:51820 yet, trying again");
        assert_eq!(routing(), before);
        let capture = Capture::start();
        let server = NameServer::start("198.51.100.1");
        a.says("is up");
        assert!(reaches());
        capture.ends_without(INNER);
        a.stop("TERM");
        drop(server);
        // Nor if none comes.
        let (code, said) = Program::start("a", &configs.a, &[]).fails();
        assert_eq!(code, Some(1));
        assert!(said.contains("cannot find the address of vpn.example:51820: "), "{said}");
        assert_eq!(routing(), before);
    });
}

/// Sends every `interval` seconds to a peer by name whose address changes after a while.
fn follows_a_name_that_moved(interval: &str) {
    internet();
    NameServer::is_asked();
    let configs = Configs::new("vpn.example:51820", "10.9.0.0/24", "");
    let mut b = Program::start("b", &configs.b, &[]);
    b.says("is up");
    let before = NameServer::start("192.0.2.99");
    let mut a = Program::start("a", &configs.a, &[]);
    a.says("is up");
    let mut traffic = Command::new("ip")
        .args(["netns", "exec", "a", "ping", "-q", "-i", interval, "10.9.0.2"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(12));
    drop(before);
    let _after = NameServer::start("192.0.2.2");
    let moved = Instant::now();
    until("ip netns exec a ping -c 1 -W 1 10.9.0.2");
    assert!(moved.elapsed() < Duration::from_secs(20), "{:?}", moved.elapsed());
    let _ = traffic.kill();
    let _ = traffic.wait();
    a.stop("TERM");
    b.stop("TERM");
}

#[test]
fn a_name_that_moved_is_followed_within_20_seconds_with_a_packet_a_second() {
    isolated(
        "days::a_name_that_moved_is_followed_within_20_seconds_with_a_packet_a_second",
        || follows_a_name_that_moved("1"),
    );
}

#[test]
fn a_name_that_moved_is_followed_within_20_seconds_with_a_hundred_packets_a_second() {
    isolated(
        "days::a_name_that_moved_is_followed_within_20_seconds_with_a_hundred_packets_a_second",
        || follows_a_name_that_moved("0.01"),
    );
}

#[test]
fn a_bad_peer_does_not_hold_up_good_ones() {
    isolated("days::a_bad_peer_does_not_hold_up_good_ones", || {
        internet();
        NameServer::is_asked();
        let _server = NameServer::start("192.0.2.2");
        let before = routing();
        let configs = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0", "");
        // No such name, nobody at home, and no endpoint at all.
        for (key, lines) in [
            ("xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "Endpoint = no.such.name:1"),
            ("TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=", "Endpoint = 192.0.2.77:1"),
            ("gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA=", ""),
        ] {
            let third = key.as_bytes()[0];
            append(
                &configs.a,
                &format!(
                    "\n[Peer]\nPublicKey = {key}\n{lines}\nAllowedIPs = 10.20.{third}.0/24\n\
                     PersistentKeepalive = 5\n"
                ),
            );
        }
        let mut b = Program::start("b", &configs.b, &[]);
        b.says("is up");
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("cannot find the address of no.such.name:1 yet, trying again");
        a.says("is up");
        let capture = Capture::start();
        assert!(reaches());
        output("ip netns exec a ping -c 1 -W 1 10.20.120.1");
        capture.ends_without(INNER);
        a.stop("TERM");
        assert_eq!(routing(), before);

        // But what is wrong in the file itself is refused, with nothing left.
        let text = fs::read_to_string(&configs.a).unwrap();
        let key = text.lines().find_map(|line| line.strip_prefix("PrivateKey = ")).unwrap();
        let own = key.parse::<wg_core::PrivateKey>().unwrap().public_key();
        append(&configs.a, &format!("\n[Peer]\nPublicKey = {own}\n"));
        let (code, said) = Program::start("a", &configs.a, &[]).fails();
        assert_eq!(code, Some(2));
        assert!(said.contains(&format!("cannot add the peer {own}: ")), "{said}");
        assert_eq!(routing(), before);
    });
}

#[test]
fn where_ipv6_is_off_the_tunnel_has_it_all_the_same() {
    isolated("days::where_ipv6_is_off_the_tunnel_has_it_all_the_same", || {
        internet();
        let off = "for which in all default eth0 lo; do
                echo 1 > /proc/sys/net/ipv6/conf/$which/disable_ipv6 || exit 1
            done";
        sh(&format!("ip netns exec a sh -c '{off}'"));
        let before = routing();
        let configs = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0", "");
        let mut b = Program::start("b", &configs.b, &[]);
        b.says("is up");
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("is up");
        let capture = Capture::start();
        assert!(reaches());
        capture.ends_without(INNER);
        a.stop("TERM");
        assert_eq!(routing(), before);

        let a = Program::start_by(READ_ONLY, "a", &configs.a, &[]);
        let (code, said) = a.fails();
        assert_eq!(code, Some(1));
        assert!(said.contains("IPv6 is off for new interfaces, and stays so for wg-a"), "{said}");
        assert_eq!(routing(), before);
    });
}

const READ_ONLY: &str = "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys";

#[test]
fn with_a_read_only_proc_sys_it_works_and_says_what_may_not() {
    isolated("days::with_a_read_only_proc_sys_it_works_and_says_what_may_not", || {
        internet();
        let before = routing();
        let configs = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0", "");
        let mut b = Program::start("b", &configs.b, &[]);
        b.says("is up");
        let mut a = Program::start_by(READ_ONLY, "a", &configs.a, &[]);
        a.says("src_valid_mark: Read-only file system");
        a.says("is up");
        let capture = Capture::start();
        assert!(reaches());
        capture.ends_without(INNER);
        a.stop("TERM");
        assert_eq!(routing(), before);
        // Nothing to say where it is set.
        sh("ip netns exec a sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/src_valid_mark'");
        let mut a = Program::start_by(READ_ONLY, "a", &configs.a, &[]);
        a.says("is up");
        assert_eq!(a.count("src_valid_mark"), 0);
        a.stop("TERM");
    });
}

#[test]
fn an_interface_that_is_set_down_and_up_has_its_routes_again() {
    isolated("days::an_interface_that_is_set_down_and_up_has_its_routes_again", || {
        internet();
        let before = routing();
        let configs = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0, 10.6.0.0/16", "");
        let mut b = Program::start("b", &configs.b, &[]);
        b.says("is up");
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("is up");
        assert!(reaches());
        let (with, capture) = (routing(), Capture::start());
        sh("ip -n a link set wg-a down");
        a.says("wg-a was set down");
        assert!(!reaches());
        // Nobody hears what comes for an interface that is down.
        output("ip netns exec b ping -c 50 -i 0.01 -W 1 10.9.0.1");
        assert_eq!(sh("ip netns exec a ss -Huln"), "");
        assert_eq!(a.count("cannot hand a packet") + a.count("refused a datagram"), 0);
        sh("ip -n a link set wg-a up");
        a.says("wg-a has its addresses and routes again");
        assert!(reaches());
        sh("ip netns exec b ping -c 1 -W 5 10.9.0.1");
        assert_eq!(routing(), with);
        // Again, by an MTU that IPv6 cannot have.
        sh("ip -n a link set wg-a mtu 1000");
        a.says("the MTU of wg-a is 1000 now");
        assert!(!output("ip netns exec a ping -c 1 -W 1 2001:db8:113::1").status.success());
        sh("ip -n a link set wg-a mtu 1420");
        a.says("the MTU of wg-a is 1420 now");
        until("ip netns exec a ping -c 1 -W 1 2001:db8:113::1");
        assert!(reaches());
        capture.ends_without(INNER);
        a.stop("TERM");
        assert_eq!(routing(), before);

        // One that is removed is the end.
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("is up");
        sh("ip -n a link del wg-a");
        let (code, said) = a.fails();
        assert_eq!(code, Some(1));
        assert!(said.contains("did somebody remove it?"), "{said}");
        assert_eq!(routing(), before);
    });
}

#[test]
fn the_mtu_may_change_while_the_tunnel_runs() {
    isolated("days::the_mtu_may_change_while_the_tunnel_runs", || {
        cable();
        sh("ip -n a link set eth0 mtu 9000 && ip -n b link set eth0 mtu 9000");
        let configs = Configs::new("192.0.2.2:51820", "10.9.0.0/24", "");
        let mut b = Program::start("b", &configs.b, &[]);
        b.says("is up");
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("is up");
        for mtu in [1420, 8000, 600, 1420] {
            sh(&format!("ip -n a link set wg-a mtu {mtu} && ip -n b link set wg-b mtu {mtu}"));
            if mtu != 1420 {
                a.says(&format!("the MTU of wg-a is {mtu} now"));
                b.says(&format!("the MTU of wg-b is {mtu} now"));
            }
            let fits = mtu - 28;
            let ping =
                |size| output(&format!("ip netns exec a ping -c 1 -W 2 -M do -s {size} 10.9.0.2"));
            until(&format!("ip netns exec a ping -c 1 -W 1 -M do -s {fits} 10.9.0.2"));
            assert!(ping(fits).status.success(), "{mtu}");
            assert!(!ping(fits + 1).status.success(), "{mtu}");
        }
        a.stop("TERM");
    });
}
