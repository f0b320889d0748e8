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
