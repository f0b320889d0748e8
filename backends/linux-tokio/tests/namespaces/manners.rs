//! What an interface does that nobody asks for in so many words: as the kernel's does it.

use crate::daemon::{PROGRAM, daemons, ping};
use crate::{cable, isolated, output, sh, until};

#[test]
fn answers_leave_from_the_address_that_was_called_until_it_is_gone() {
    isolated("manners::answers_leave_from_the_address_that_was_called_until_it_is_gone", || {
        daemons();
        sh("ip -n b addr add 192.0.2.22/24 dev eth0 &&
            ip -n b addr add 2001:db8::22/64 dev eth0 nodad");
        let peer = sh("wg pubkey </run/b.key");
        for called in ["192.0.2.22", "[2001:db8::22]"] {
            sh(&format!("wg set wga peer {} endpoint {called}:2222", peer.trim()));
            ping();
            sh("ip netns exec a ping -c 5 -i 0.05 -W 1 10.9.0.2");
            let endpoints = sh("wg show wga endpoints");
            assert!(endpoints.contains(&format!("{called}:2222")), "{endpoints}");
        }
        sh("ip -n b addr del 2001:db8::22/64 dev eth0");
        until("ip netns exec b ping -c 1 -W 1 10.9.0.1");
        until("wg show wga endpoints | grep -F '[2001:db8::2]:2222'");
        ping();
    });
}

#[test]
fn both_families_are_on_one_port() {
    isolated("manners::both_families_are_on_one_port", || {
        daemons();
        let peer = sh("wg pubkey </run/b.key");
        for (ours, theirs) in [("192.0.2.1", "192.0.2.2"), ("[2001:db8::1]", "[2001:db8::2]")] {
            sh(&format!("wg set wga peer {} endpoint {theirs}:2222", peer.trim()));
            ping();
            let ours = format!("{ours}:1111");
            until(&format!("wg show wgb endpoints | grep -F '{ours}'"));
        }
    });
}

#[test]
fn who_sends_where_no_way_leads_is_told() {
    isolated("manners::who_sends_where_no_way_leads_is_told", || {
        cable();
        sh(&format!(
            "cd /run && umask 077 && wg genkey >b.key && ip netns exec b {PROGRAM} wgb &&
             wg set wgb private-key b.key peer $(wg genkey | wg pubkey) \
                allowed-ips 10.9.0.1/32,fd09::1/128 &&
             ip -n b addr add 10.9.0.2/24 dev wgb && ip -n b addr add fd09::2/64 dev wgb nodad &&
             ip -n b link set wgb up"
        ));
        // A peer of whom nobody knows where it is, and no peer at all.
        let places = ["10.9.0.1", "10.9.0.77", "fd09::1", "fd09::77"];
        for place in places {
            let said = output(&format!("ip netns exec b ping -c 1 -W 5 {place}")).stdout;
            let said = String::from_utf8_lossy(&said).into_owned();
            let expected = ["Destination Host Unreachable", "Destination unreachable"];
            assert!(expected.iter().any(|words| said.contains(words)), "{place}: {said}");
        }
    });
}

#[test]
fn the_service_manager_is_told_when_it_is_ready() {
    isolated("manners::the_service_manager_is_told_when_it_is_ready", || {
        cable();
        let manager = std::os::unix::net::UnixDatagram::bind("/run/manager").unwrap();
        sh(&format!("NOTIFY_SOCKET=/run/manager ip netns exec a {PROGRAM} wga"));
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length].trim_ascii(), b"READY=1");
    });
}

#[test]
fn no_privilege_is_left_but_the_networks_and_metrics_say_how_it_goes() {
    isolated("manners::no_privilege_is_left_but_the_networks_and_metrics_say_how_it_goes", || {
        daemons();
        ping();
        let get = |path: &str| {
            sh(&format!(
                "ip netns exec a python3 -c 'import urllib.request as r
print(r.urlopen(\"http://127.0.0.1:9586{path}\").read().decode())'"
            ))
        };
        // One more interface, which has metrics.
        sh(&format!("ip netns exec a {PROGRAM} --metrics 127.0.0.1:9586 wgm"));
        sh("cd /run && wg set wgm private-key a.key peer $(wg pubkey <b.key) \
                endpoint 192.0.2.2:9 allowed-ips 10.7.0.0/24 &&
            ip -n a addr add 10.7.0.1/24 dev wgm && ip -n a link set wgm up");
        let _ = output("ip netns exec a ping -c 1 -W 1 10.7.0.9");
        let metrics = get("/metrics");
        let key = sh("wg pubkey </run/b.key");
        for line in [
            "wireguard_peers{interface=\"wgm\"} 1",
            "wireguard_packets_waiting{interface=\"wgm\"} 1",
            "wireguard_handshakes_total{interface=\"wgm\"} 0",
            &format!(
                "wireguard_sent_bytes_total{{interface=\"wgm\",public_key=\"{}\"}} 148",
                key.trim()
            ),
        ] {
            assert!(metrics.lines().any(|has| has == line), "{line}: not in {metrics}");
        }
        for secret in ["/run/a.key", "/run/b.key"] {
            let secret = std::fs::read_to_string(secret).unwrap();
            assert!(!metrics.contains(secret.trim()));
        }
        // For this machine alone.
        let refused = output(&format!("ip netns exec a {PROGRAM} --metrics 0.0.0.0:9587 wgn"));
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("name a loopback address"), "{said}");
        assert!(!output("ip -n a link show wgn").status.success());

        // CAP_NET_ADMIN and CAP_NET_BIND_SERVICE are bits 12 and 10. No key is in the arguments.
        let daemons = sh(&format!("pgrep -f '^{PROGRAM} --foreground.* wg[abm]$'"));
        assert!(daemons.lines().count() >= 3);
        for pid in daemons.lines() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            for line in [
                "CapEff:\t0000000000001400",
                "CapPrm:\t0000000000001400",
                "CapInh:\t0000000000000000",
                "NoNewPrivs:\t1",
            ] {
                assert!(status.contains(line), "{line}: not in {status}");
            }
        }
        // What it was told to be able to do, it can still do.
        sh("ip netns exec a wg set wga listen-port 53 fwmark 7");
        ping();
    });
}
