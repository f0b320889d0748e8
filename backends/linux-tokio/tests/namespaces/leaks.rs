//! That no packet for the tunnel leaves in the clear: not when another tunnel stops, not when
//! there was a route before, not after a crash. A capture in the underlay looks on.

use std::process::{Child, Command, Stdio};

use crate::{Configs, Program, cable, isolated, output, sh, until};

/// Everything that is sent and received at b's end of the cable.
pub(crate) struct Capture(Child);

impl Capture {
    pub(crate) fn start() -> Self {
        let script = "import socket
s=socket.socket(socket.AF_PACKET,socket.SOCK_DGRAM,socket.htons(3))
s.bind(('eth0',3))
print('ready',flush=True)
while True:
    p,at=s.recvfrom(70000)
    if at[1]==0x800:
        f,o,n=socket.AF_INET,12,4
    elif at[1]==0x86dd:
        f,o,n=socket.AF_INET6,8,16
    else: continue
    a,b=(socket.inet_ntop(f,p[i:i+n]) for i in (o,o+n))
    print(a,'to',b,flush=True)";
        let _ = std::fs::remove_file("/run/capture");
        let log = std::fs::File::create("/run/capture").unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", "b", "python3", "-c", script])
            .stdout(Stdio::from(log))
            .spawn()
            .unwrap();
        until("grep -q ready /run/capture");
        Self(child)
    }

    /// Fails on a packet from or to an inner address. That the capture works is seen from a
    /// packet that is sent now, in the clear.
    pub(crate) fn ends_without(mut self, inner: &[&str]) {
        sh("ip netns exec b ping -c 1 -W 5 -I 192.0.2.2 192.0.2.1");
        until("grep -q '192.0.2.2 to 192.0.2.1' /run/capture");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        let seen = std::fs::read_to_string("/run/capture").unwrap();
        for line in seen.lines() {
            let leaked = inner.iter().any(|inner| line.contains(inner));
            assert!(!leaked, "in the clear: {line}");
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What must not be seen in the underlay: servers in the internet, and inner addresses.
pub(crate) const INNER: &[&str] =
    &["203.0.113.1", "2001:db8:113::1", "10.9.0.", "10.8.0.", "fd09::", "fd08::"];

/// Servers in the internet that b answers for; a's way there is by b.
pub(crate) fn internet() {
    cable();
    sh("ip -n a route add default via 192.0.2.2 &&
        ip -n a -6 route add default via 2001:db8::2 &&
        ip -n b addr add 198.51.100.1/32 dev lo &&
        ip -n b addr add 203.0.113.1/32 dev lo && ip -n b addr add 2001:db8:113::1/128 dev lo");
}

/// What the host knows of routing, which has to be the same before and after. Link-local
/// addresses are left out: they come in their own time.
pub(crate) fn routing() -> String {
    sh("ip -n a rule && ip -n a -6 rule && ip -n a -4 route show table all &&
        ip -n a -6 route show table all | sed '/fe80:\\|ff00:/d' && ip -n a -br link")
}

fn rules() -> usize {
    sh("ip -n a rule && ip -n a -6 rule").lines().count()
}

pub(crate) fn reaches() -> bool {
    output("ip netns exec a ping -c 1 -W 3 203.0.113.1").status.success()
        && output("ip netns exec a ping -c 1 -W 3 2001:db8:113::1").status.success()
}

/// A second pair of configurations, on another port and in other networks.
fn second(configs: &Configs) {
    for path in [&configs.a, &configs.b] {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.replace("51820", "51821").replace("10.9.", "10.8.").replace("fd09", "fd08");
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn two_tunnels_with_a_default_route_do_not_share_a_table() {
    isolated("leaks::two_tunnels_with_a_default_route_do_not_share_a_table", || {
        internet();
        let before = routing();
        let one = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0", "");
        let two = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0", "");
        second(&two);
        let mut b_one = Program::start("b", &one.b, &["--interface", "b1"]);
        b_one.says("is up");
        let mut b_two = Program::start("b", &two.b, &["--interface", "b2"]);
        b_two.says("is up");
        for first_stops_first in [true, false] {
            let mut a_one = Program::start("a", &one.a, &["--interface", "a1"]);
            a_one.says("is up");
            let capture = Capture::start();
            assert!(reaches(), "by the first");
            let mut a_two = Program::start("a", &two.a, &["--interface", "a2"]);
            a_two.says("is up");
            assert!(sh("ip -n a route get 203.0.113.1").contains("dev a2"));
            // Neither tunnel's datagrams go into the other one.
            assert!(reaches(), "by the second");
            let (stops, stays) = if first_stops_first { (a_one, a_two) } else { (a_two, a_one) };
            stops.stop("TERM");
            assert!(reaches(), "by the one that is left");
            capture.ends_without(INNER);
            stays.stop("TERM");
            assert_eq!(routing(), before);
        }
    });
}

#[test]
fn a_route_that_is_there_already_is_named_and_nothing_is_left() {
    isolated("leaks::a_route_that_is_there_already_is_named_and_nothing_is_left", || {
        internet();
        sh("ip -n a link add docker0 type veth peer name docker1 &&
            ip -n a link set docker0 up && ip -n a link set docker1 up &&
            ip -n a addr add 10.7.0.1/24 dev docker0 &&
            ip -n a addr add fd07::1/64 dev docker0 nodad");
        until("ip -n a -6 route show | grep -q fd07::/64");
        let before = routing();
        for (allowed, route) in [
            ("10.7.0.0/24", "10.7.0.0/24"),
            ("fd07::/64", "fd07::/64"),
            ("10.9.0.0/24, 0.0.0.0/0, ::/0, 10.7.0.0/24", "10.7.0.0/24"),
        ] {
            let configs = Configs::new("192.0.2.2:51820", allowed, "");
            let capture = Capture::start();
            let (code, said) = Program::start("a", &configs.a, &[]).fails();
            assert_eq!(code, Some(1));
            assert_eq!(
                said,
                format!(
                    "wg-tokio: there is a route to {route} by docker0 already, and packets would \
                     leave there in the clear: remove that route, or take {route} out of AllowedIPs"
                )
            );
            capture.ends_without(INNER);
            assert_eq!(routing(), before, "{allowed}");
        }
        // Another VPN, whose rule goes before the table that ours would be in.
        sh("ip -n a route add default dev docker0 table 52 &&
            ip -n a rule add to 100.64.0.0/10 table 52 pref 5000");
        let before = routing();
        let configs = Configs::new("192.0.2.2:51820", "100.64.0.0/10", "");
        let (code, said) = Program::start("a", &configs.a, &[]).fails();
        assert_eq!(
            (code, said.as_str()),
            (
                Some(1),
                "wg-tokio: packets to 100.64.0.0/10 would leave by docker0 in the clear, for a rule \
                 of others goes first: remove it from `ip rule`, or take 100.64.0.0/10 out of \
                 AllowedIPs"
            )
        );
        assert_eq!(routing(), before);
        // The tunnel's own network is no such thing, and neither is one's own part of it.
        let configs = Configs::new("192.0.2.2:51820", "10.9.0.0/24, fd09::/64, 10.0.0.0/8", "");
        let mut a = Program::start("a", &configs.a, &[]);
        a.says("is up");
        a.says("more special routes stay outside of the tunnel: 10.7.0.0/24 by docker0");
        a.stop("TERM");
        assert_eq!(routing(), before);
    });
}

#[test]
fn after_a_kill_nothing_leaks_and_the_next_run_clears_what_was_left() {
    isolated("leaks::after_a_kill_nothing_leaks_and_the_next_run_clears_what_was_left", || {
        internet();
        let (before, count) = (routing(), rules());
        let one = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0", "");
        let two = Configs::new("198.51.100.1:51820", "0.0.0.0/0, ::/0", "");
        second(&two);
        let mut b = Program::start("b", &one.b, &[]);
        b.says("is up");
        let capture = Capture::start();
        let mut killed = Program::start("a", &one.a, &[]);
        killed.says("is up");
        assert!(reaches());
        // Another one, which lives on.
        let mut other = Program::start("a", &two.a, &["--interface", "other"]);
        other.says("is up");
        let with_both = rules();
        drop(killed);
        until("! ip -n a link show wg-a");
        assert_eq!(rules(), with_both);

        // What was left is cleared, what lives is not.
        let mut again = Program::start("a", &one.a, &[]);
        again.says("is up");
        assert_eq!(rules(), with_both);
        assert!(reaches());
        other.stop("TERM");
        assert!(reaches());
        drop(again);
        until("! ip -n a link show wg-a");
        // The kernel tells the sender, rather than send in the clear.
        assert!(!reaches());
        capture.ends_without(INNER);

        // Also a tunnel that has no use for rules clears them.
        let plain = Configs::new("198.51.100.1:51820", "10.9.0.0/24", "");
        let mut a = Program::start("a", &plain.a, &[]);
        a.says("is up");
        assert_eq!(rules(), count);
        a.stop("TERM");
        assert_eq!(routing(), before);
        b.stop("TERM");
    });
}
