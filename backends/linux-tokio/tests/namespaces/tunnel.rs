//! What crosses a tunnel, and what its start and its end leave behind.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::{Configs, Program, cable, isolated, output, sh, until};

/// Sends 40 MB by TCP from one namespace to an address in another, and compares checksums.
fn transfer(from: &str, to: &str, address: &str) {
    let receiver = "import socket,hashlib
s=socket.create_server(('ADDRESS',7000),family=socket.AF_INET6 if ':' in 'ADDRESS' else socket.AF_INET)
open('/run/ready','w').close()
c,_=s.accept()
h=hashlib.sha256()
while d:=c.recv(1<<16): h.update(d)
print(h.hexdigest())"
        .replace("ADDRESS", address);
    let sender = "import socket,hashlib,random
s=socket.create_connection(('ADDRESS',7000),20)
h=hashlib.sha256()
for i in range(40):
    d=random.randbytes(1000000); h.update(d); s.sendall(d)
s.close()
print(h.hexdigest())"
        .replace("ADDRESS", address);
    let _ = fs::remove_file("/run/ready");
    let receiver = Command::new("ip")
        .args(["netns", "exec", to, "timeout", "60", "python3", "-c", &receiver])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("test -e /run/ready");
    let sent = Command::new("ip")
        .args(["netns", "exec", from, "timeout", "60", "python3", "-c", &sender])
        .output()
        .unwrap();
    let received = receiver.wait_with_output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    assert_eq!(sent.stdout.len(), 65);
    assert_eq!(sent.stdout, received.stdout);
}

#[test]
fn a_tunnel_carries_pings_and_tcp_over_both_families_and_stops_cleanly() {
    isolated("tunnel::a_tunnel_carries_pings_and_tcp_over_both_families_and_stops_cleanly", || {
        cable();
        for endpoint in ["192.0.2.2:51820", "[2001:db8::2]:51820"] {
            let configs = Configs::new(endpoint, "10.9.0.0/24, fd09::/64", "");
            let mut b = Program::start("b", &configs.b, &[]);
            b.says("wg-b is up, listening on UDP port 51820");
            let mut a = Program::start("a", &configs.a, &["--interface", "tunnel", "-v"]);
            a.says("tunnel is up");
            sh("ip netns exec a ping -c 2 -W 5 10.9.0.2");
            sh("ip netns exec a ping -c 2 -W 5 fd09::2");
            sh("ip netns exec b ping -c 2 -W 5 10.9.0.1");
            // Through the tunnel's MTU of 1420 without a fragment, and not a byte more.
            sh("ip netns exec a ping -c 1 -W 5 -M do -s 1392 10.9.0.2");
            assert!(
                !output("ip netns exec a ping -c 1 -W 1 -M do -s 1393 10.9.0.2").status.success()
            );
            // More than the MTU, in fragments.
            sh("ip netns exec a ping -c 1 -W 5 -s 9000 10.9.0.2");
            transfer("a", "b", "10.9.0.2");
            transfer("b", "a", "fd09::1");

            a.says(&format!("… at {endpoint}"));
            b.says("handshake with ");
            a.stop("TERM");
            b.stop("INT");
            assert!(!output("ip -n a link show tunnel").status.success());
            assert!(!output("ip -n b link show wg-b").status.success());
        }
    });
}

#[test]
fn the_outer_packets_are_marked_and_no_other_packet_leaves_the_tunnel() {
    isolated("tunnel::the_outer_packets_are_marked_and_no_other_packet_leaves_the_tunnel", || {
        cable();
        let configs = Configs::new("192.0.2.2:51820", "10.9.0.0/24", "");
        let count = |what: &str| {
            format!(
                "import socket,sys
s=socket.socket(socket.AF_PACKET,socket.SOCK_DGRAM,socket.htons(0x800))
s.bind(('eth0',0)); s.settimeout(20)
open('/run/ready','w').close()
while True:
    p=s.recv(2000)
    if p[9]==17 and p[28]=={what}: break
print(p[1])"
            )
        };
        let watch = |what: &str| {
            let _ = fs::remove_file("/run/ready");
            let child = Command::new("ip")
                .args(["netns", "exec", "b", "python3", "-c", &count(what)])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            until("test -e /run/ready");
            child
        };
        let initiation = watch("1");
        let data = watch("4");
        let mut b = Program::start("b", &configs.b, &[]);
        b.says("is up");
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("is up");
        // Inside: DSCP 46 and ECT(1).
        sh("ip netns exec a ping -c 1 -W 5 -Q 0xb9 10.9.0.2");
        let class = |child: Child| String::from_utf8(child.wait_with_output().unwrap().stdout);
        assert_eq!(class(initiation).unwrap(), "136\n", "DSCP AF41");
        assert_eq!(class(data).unwrap(), "1\n", "ECT(1) alone");

        // A peer that has no such address, and a route that the configuration does not have.
        sh("ip -n a route add 10.7.0.0/24 dev wg-a");
        let unreachable = output("ip netns exec a ping -c 1 -W 5 10.7.0.1");
        let said = String::from_utf8_lossy(&unreachable.stdout).into_owned();
        assert!(said.contains("Destination Host Unreachable"), "{said}");
        a.says("no peer has this destination among its allowed IPs [NoRoute]");
        a.stop("TERM");
        b.stop("TERM");
    });
}

#[test]
fn a_default_route_leads_into_the_tunnel_but_not_its_own_packets_and_is_undone() {
    isolated(
        "tunnel::a_default_route_leads_into_the_tunnel_but_not_its_own_packets_and_is_undone",
        || {
            cable();
            sh("ip -n a route add default via 192.0.2.2 &&
                ip -n b addr add 198.51.100.1/32 dev lo");
            let before = sh("ip -n a rule; ip -n a -6 rule");
            let configs = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0", "");
            let mut b = Program::start("b", &configs.b, &[]);
            b.says("is up");
            let mut a = Program::start("a", &configs.a, &[]);
            a.says("is up");
            let route = sh("ip -n a route get 203.0.113.1");
            assert!(route.contains("dev wg-a"), "{route}");
            let route = sh("ip -n a route get 198.51.100.1 mark 51820");
            assert!(route.contains("dev eth0"), "{route}");
            let route = sh("ip -n a route get 192.0.2.2");
            assert!(route.contains("dev eth0"), "{route}");
            let route = sh("ip -n a route get 2001:4860::1");
            assert!(route.contains("dev wg-a"), "{route}");
            // To b itself, by the tunnel: the answer comes from its inner side too.
            sh("ip netns exec a ping -c 2 -W 5 10.9.0.2");
            sh("ip netns exec a ping -c 2 -W 5 198.51.100.1");
            a.stop("TERM");
            b.stop("TERM");
            assert_eq!(sh("ip -n a rule; ip -n a -6 rule"), before);
        },
    );
}

#[test]
fn a_restart_with_the_clock_set_back_connects_if_the_timestamps_were_kept() {
    // The clock itself is tested with times of its own; here, that the program uses the file.
    isolated(
        "tunnel::a_restart_with_the_clock_set_back_connects_if_the_timestamps_were_kept",
        || {
            cable();
            let configs = Configs::new("192.0.2.2:51820", "10.9.0.0/24", "");
            let mut b = Program::start("b", &configs.b, &[]);
            b.says("is up");
            let state = configs.state.to_str().unwrap();
            // A ceiling of the year 2100, as if the clock had been there.
            let far = wg_core::Tai64n::from_unix(4_102_444_800, 0);
            fs::write(&configs.state, format!("{far}\n{far}\n")).unwrap();
            for _ in 0..2 {
                let mut a = Program::start("a", &configs.a, &["--state", state]);
                a.says("is up");
                sh("ip netns exec a ping -c 1 -W 5 10.9.0.2");
                a.stop("TERM");
            }
            let mut a = Program::start("a", &configs.a, &[]);
            a.says("is up");
            assert!(!output("ip netns exec a ping -c 1 -W 2 10.9.0.2").status.success());
            b.says("the timestamp is not after the last one");
            a.stop("TERM");
            b.stop("TERM");
        },
    );
}

/// An engine that is not ours, in both roles.
#[test]
fn wireguard_go_is_a_peer_whoever_calls() {
    let tools = "command -v wireguard-go && command -v wg";
    if !output(tools).status.success() {
        assert!(std::env::var_os("CI").is_none(), "needs wireguard-go and wg");
        eprintln!("skipped: needs wireguard-go and wg");
        return;
    }
    isolated("tunnel::wireguard_go_is_a_peer_whoever_calls", || {
        cable();
        sh("mkdir -p /run/wireguard");
        for we_call in [true, false] {
            let configs = Configs::new("192.0.2.2:51820", "10.9.0.2/32, fd09::2/128", "");
            let (ours, theirs) = if we_call { ("a", "b") } else { ("b", "a") };
            let (our_config, their_config) =
                if we_call { (&configs.a, &configs.b) } else { (&configs.b, &configs.a) };
            let their_address = if we_call { "2" } else { "1" };
            // `wg` takes the file without what is for the host.
            let text = fs::read_to_string(their_config).unwrap();
            let stripped: String = text
                .lines()
                .filter(|line| !line.starts_with("Address"))
                .fold(String::new(), |text, line| text + line + "\n");
            fs::write("/run/go.conf", stripped).unwrap();
            sh(&format!(
                "ip netns exec {theirs} wireguard-go go0 >/run/go.log 2>&1 &&
                 ip netns exec {theirs} wg setconf go0 /run/go.conf &&
                 ip -n {theirs} addr add 10.9.0.{their_address}/24 dev go0 &&
                 ip -n {theirs} addr add fd09::{their_address}/64 dev go0 nodad &&
                 ip -n {theirs} link set go0 mtu 1420 up"
            ));
            let mut program = Program::start(ours, our_config, &[]);
            program.says("is up");
            // The caller speaks first: the other one does not know where it is.
            let called = if we_call { their_address } else { "2" };
            sh(&format!("ip netns exec a ping -c 2 -W 5 10.9.0.{called}"));
            sh("ip netns exec b ping -c 2 -W 5 fd09::1");
            program.says("handshake with");
            transfer("a", "b", "10.9.0.2");
            transfer("b", "a", "fd09::1");
            program.stop("TERM");
            sh(&format!("ip -n {theirs} link del go0"));
        }
    });
}
