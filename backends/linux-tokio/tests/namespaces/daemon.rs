//! `wg-tokio INTERFACE`, as `wg` and `wg-quick` drive it.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::{cable, isolated, output, sh, until};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_wg-tokio");

/// Keys of two hosts in /run, and a daemon in each namespace: wga and wgb.
pub(crate) fn daemons() {
    cable();
    sh(&format!(
        "cd /run && umask 077 && wg genkey >a.key && wg genkey >b.key && wg genpsk >psk &&
         ip netns exec a {PROGRAM} wga && ip netns exec b {PROGRAM} wgb"
    ));
    sh("cd /run && ip netns exec b wg set wgb private-key b.key listen-port 2222 \
            peer $(wg pubkey <a.key) preshared-key psk allowed-ips 10.9.0.1/32,fd09::1/128 &&
        ip netns exec a wg set wga private-key a.key listen-port 1111 \
            peer $(wg pubkey <b.key) preshared-key psk endpoint 192.0.2.2:2222 \
            allowed-ips 10.9.0.2/32,fd09::2/128 persistent-keepalive 1 &&
        ip -n a addr add 10.9.0.1/24 dev wga && ip -n b addr add 10.9.0.2/24 dev wgb &&
        ip -n a link set wga up && ip -n b link set wgb up");
}

pub(crate) fn ping() {
    until("ip netns exec a ping -c 1 -W 1 10.9.0.2");
}

/// What the daemon of `interface` answers to these lines.
fn ask(interface: &str, request: &str) -> String {
    let mut socket = UnixStream::connect(format!("/run/wireguard/{interface}.sock")).unwrap();
    // In pieces, as any program may send it.
    for piece in request.as_bytes().chunks(7) {
        socket.write_all(piece).unwrap();
    }
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn wg_configures_an_interface_and_shows_it() {
    isolated("daemon::wg_configures_an_interface_and_shows_it", || {
        daemons();
        ping();
        assert_eq!(sh("wg show interfaces").split_whitespace().count(), 2);
        let dump = sh("ip netns exec a wg show wga dump");
        let peer: Vec<_> = dump.lines().nth(1).unwrap().split('\t').collect();
        let [_, _, endpoint, allowed_ips, handshake, received, sent, keepalive] = peer[..] else {
            panic!("{dump}");
        };
        assert_eq!((endpoint, keepalive), ("192.0.2.2:2222", "1"));
        assert_eq!(allowed_ips, "10.9.0.2/32,fd09::2/128");
        assert!(received.parse::<u64>().unwrap() > 0 && sent.parse::<u64>().unwrap() > 0);
        let now: u64 = sh("date +%s").trim().parse().unwrap();
        assert!(now.abs_diff(handshake.parse().unwrap()) < 60, "{handshake} is not {now}");

        // What it shows configures another one, which then shows the same.
        sh("cd /run && umask 077 && wg showconf wga >wga.conf && wg syncconf wga wga.conf &&
            wg setconf wga wga.conf && wg showconf wga >again.conf && cmp wga.conf again.conf");
        ping();
        // A third peer comes and goes; the others stay.
        sh("cd /run && printf '[Peer]\\nPublicKey = %s\\nAllowedIPs = 10.8.0.0/16\\n' \
                $(wg genkey | wg pubkey) >more.conf && wg addconf wga more.conf");
        assert_eq!(sh("wg show wga peers").lines().count(), 2);
        sh("cd /run && wg syncconf wga wga.conf");
        assert_eq!(sh("wg show wga peers").lines().count(), 1);
        ping();
    });
}

#[test]
fn port_mark_and_key_change_while_traffic_goes_on() {
    isolated("daemon::port_mark_and_key_change_while_traffic_goes_on", || {
        daemons();
        ping();
        sh("ip netns exec a wg set wga listen-port 3333 fwmark 51820");
        ping();
        assert!(sh("wg show wgb endpoints").contains("192.0.2.1:3333"));
        assert_eq!(sh("wg show wga fwmark").trim(), "0xca6c");
        sh("ip netns exec a wg set wga fwmark 0");
        assert_eq!(sh("wg show wga fwmark").trim(), "off");
        // Another key of ours: nobody hears us until the other side knows it.
        sh("cd /run && umask 077 && wg genkey >new.key && wg set wga private-key new.key");
        assert!(!output("ip netns exec a ping -c 1 -W 1 10.9.0.2").status.success());
        sh("cd /run && wg set wgb peer $(wg pubkey <new.key) preshared-key psk \
                allowed-ips 10.9.0.1/32,fd09::1/128");
        ping();
        // Our own key as a peer is ignored without a word.
        sh("cd /run && wg set wga peer $(wg pubkey <new.key) allowed-ips 10.7.0.0/24");
        assert_eq!(sh("wg show wga peers").lines().count(), 1);
        // A port that is in use is refused, and nothing else changes.
        let taken = "set=1\nlisten_port=2222\nfwmark=7\nreplace_peers=true\n\n";
        let script = "import socket,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('0.0.0.0',2222))
open('/run/bound','w'); time.sleep(60)";
        let mut other = Command::new("ip")
            .args(["netns", "exec", "a", "python3", "-c", script])
            .spawn()
            .unwrap();
        until("test -e /run/bound");
        assert_eq!(ask("wga", taken), "errno=-98\n\n");
        let _ = other.kill();
        let _ = other.wait();
        assert_eq!(sh("wg show wga peers").lines().count(), 1);
        assert_eq!(sh("wg show wga listen-port").trim(), "3333");
        assert_eq!(sh("wg show wga fwmark").trim(), "off");
    });
}

#[test]
fn a_wrong_request_changes_nothing_and_clients_do_not_wait_for_each_other() {
    isolated(
        "daemon::a_wrong_request_changes_nothing_and_clients_do_not_wait_for_each_other",
        || {
            daemons();
            let before = sh("wg showconf wga");
            // One that says half of a request and then nothing holds up nobody.
            let mut half = UnixStream::connect("/run/wireguard/wga.sock").unwrap();
            half.write_all(b"set=1\nreplace_peers=true\n").unwrap();
            let wrong = "set=1\nreplace_peers=true\nlisten_port=1\npublic_key=zz\n\n";
            assert_eq!(ask("wga", wrong), "errno=-22\n\n");
            assert_eq!(ask("wga", "\u{feff}\n\n"), "errno=-71\n\n");
            let mut endless = UnixStream::connect("/run/wireguard/wga.sock").unwrap();
            while endless.write_all(&[b'x'; 4096]).is_ok() {}
            drop(half);
            assert_eq!(sh("wg showconf wga"), before);
            std::thread::scope(|scope| {
                for _ in 0..20 {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            assert!(ask("wga", "get=1\n\n").ends_with("errno=0\n\n"));
                        }
                    });
                }
                ping();
            });
        },
    );
}

#[test]
fn it_ends_with_its_interface_and_leaves_nothing_that_blocks_the_next_start() {
    isolated(
        "daemon::it_ends_with_its_interface_and_leaves_nothing_that_blocks_the_next_start",
        || {
            daemons();
            let socket = Path::new("/run/wireguard/wga.sock");
            let second = output(&format!("ip netns exec a {PROGRAM} wga"));
            assert_eq!(second.status.code(), Some(1));
            let said = String::from_utf8_lossy(&second.stderr).into_owned();
            assert!(said.starts_with("wg-tokio: there is an interface wga already"), "{said}");
            // The name is free in b, but a program answers for it.
            let second = output(&format!("ip netns exec b {PROGRAM} wga"));
            let said = String::from_utf8_lossy(&second.stderr).into_owned();
            assert!(
                said.contains("another program answers at /var/run/wireguard/wga.sock"),
                "{said}"
            );
            assert!(socket.exists());

            sh("ip -n a link del wga");
            until("test ! -e /run/wireguard/wga.sock");
            sh(&format!("ip netns exec a {PROGRAM} wga"));
            // Killed, it leaves the socket's file, which is in nobody's way.
            sh("kill -KILL $(ip netns pids a)");
            until("! ip -n a link show wga");
            assert!(socket.exists());
            sh(&format!("ip netns exec a {PROGRAM} wga && kill -TERM $(ip netns pids a)"));
            until("test ! -e /run/wireguard/wga.sock");
            let nonsense = output(&format!("{PROGRAM} a/b"));
            assert_eq!(nonsense.status.code(), Some(2));
        },
    );
}

/// UDP ports that are listened on in a namespace.
fn ports(namespace: &str) -> String {
    sh(&format!("ip netns exec {namespace} ss -Huln"))
}

#[test]
fn set_down_it_has_no_sockets_and_no_sessions_and_set_up_it_has_them_again() {
    isolated(
        "daemon::set_down_it_has_no_sockets_and_no_sessions_and_set_up_it_has_them_again",
        || {
            cable();
            sh(&format!("ip netns exec a {PROGRAM} wga"));
            // As in the kernel, there is no socket before it is up, and the port is kept in mind.
            assert_eq!(ports("a"), "");
            assert_eq!(sh("wg show wga listen-port").trim(), "0");
            sh("ip -n a link del wga");
            until("test ! -e /run/wireguard/wga.sock");
            sh("ip netns del a && ip netns del b");
            daemons();
            ping();
            assert!(ports("a").contains(":1111 "), "{}", ports("a"));
            sh("ip -n a link set wga down");
            until("test -z \"$(ip netns exec a ss -Huln)\"");
            assert_eq!(sh("wg show wga listen-port").trim(), "1111");
            // Another port while it is down.
            sh("ip netns exec a wg set wga listen-port 3333");
            assert_eq!(ports("a"), "");
            sh("ip -n a link set wga up && ip -n a addr replace 10.9.0.1/24 dev wga");
            until("ip netns exec a ss -Huln | grep -q :3333");
            ping();
            assert!(sh("wg show wgb endpoints").contains("192.0.2.1:3333"));
            // Another MTU, too.
            sh("ip -n a link set wga mtu 1300");
            ping();
        },
    );
}

#[test]
fn it_ends_when_its_socket_is_removed_and_the_socket_is_its_owners() {
    isolated("daemon::it_ends_when_its_socket_is_removed_and_the_socket_is_its_owners", || {
        cable();
        let log = output(&format!(
            "LOG_LEVEL=info ip netns exec a {PROGRAM} wga 2>/run/a.log && stat -c %a:%U \
             /run/wireguard/wga.sock"
        ));
        assert_eq!(String::from_utf8_lossy(&log.stdout), "600:root\n");
        // Another file of that name is not its own.
        sh("mv /run/wireguard/wga.sock /run/wireguard/other && touch /run/wireguard/wga.sock");
        until("! ip -n a link show wga");
        assert!(Path::new("/run/wireguard/wga.sock").exists());
        until("grep -q 'the configuration socket was removed' /run/a.log");
    });
}

#[test]
fn an_unmodified_wg_quick_brings_it_up_with_a_default_route_and_down() {
    isolated("daemon::an_unmodified_wg_quick_brings_it_up_with_a_default_route_and_down", || {
        daemons();
        sh("ip -n b addr add 203.0.113.1/32 dev lo && ip -n b addr add 2001:db8:1::1/128 dev lo");
        let key = |name: &str| fs::read_to_string(format!("/run/{name}")).unwrap();
        let b = sh("wg pubkey </run/b.key");
        let text = format!(
            "[Interface]\nPrivateKey = {}Address = 10.9.0.1/24, fd09::1/64\n\
                 [Peer]\nPublicKey = {b}PresharedKey = {}Endpoint = 192.0.2.2:2222\n\
                 AllowedIPs = 0.0.0.0/0, ::/0\n",
            key("a.key"),
            key("psk")
        );
        fs::write("/run/quick.conf", text).unwrap();
        sh("chmod 600 /run/quick.conf && ip -n a link del wga");
        sh("ip -n b addr add fd09::2/64 dev wgb nodad");
        let quick = |what: &str| {
            sh(&format!(
                "ip netns exec a env WG_QUICK_USERSPACE_IMPLEMENTATION={PROGRAM} \
                     wg-quick {what} /run/quick.conf 2>&1"
            ))
        };
        quick("up");
        // Addresses that only the tunnel leads to, while the endpoint goes by the cable.
        until("ip netns exec a ping -c 1 -W 1 203.0.113.1");
        until("ip netns exec a ping -c 1 -W 1 2001:db8:1::1");
        assert!(sh("ip netns exec a wg show quick fwmark").trim() != "off");
        quick("down");
        assert!(!Path::new("/run/wireguard/quick.sock").exists());
        assert!(!output("ip -n a link show quick").status.success());
    });
}
