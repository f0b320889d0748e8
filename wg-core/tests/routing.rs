//! Cryptokey routing: the longest prefix decides, over the whole device, in both directions
//! (whitepaper section 2).

mod oracle;
mod pair;

use oracle::{Heard, Lone, Party, Session};
use pair::{A_OUTER, packet};
use wg_core::{AllowedIp, PeerId, PublicKey, Refusal, SendError};

fn prefix(text: &str) -> AllowedIp {
    text.parse().unwrap()
}

/// The engine and two peers of it, all with sessions.
struct Three {
    lone: Lone,
    one: (PeerId, Session),
    two: (PeerId, Session),
}

impl Three {
    fn new(one: &[&str], two: &[&str]) -> Self {
        let mut lone = Lone::new();
        lone.node.device.remove_allowed_ips(lone.peer);
        for route in one {
            lone.node.device.add_allowed_ip(lone.peer, prefix(route)).unwrap();
        }
        let session = lone.called();
        let one = (lone.peer, session);
        lone.us = Party::new(3);
        let public = PublicKey::from_bytes(lone.us.public);
        lone.peer = lone.node.meet(public, two, Some(A_OUTER));
        let session = lone.called();
        let two = (lone.peer, session);
        Self { lone, one, two }
    }

    fn sends_to(&mut self, destination: &str) -> Result<PeerId, SendError> {
        let source = if destination.contains(':') { "fd00::2" } else { "10.0.0.2" };
        let packet = packet(source, destination, 4, 4);
        self.lone.node.seal(self.lone.now, &packet).map(|spoken| spoken.peer.unwrap())
    }

    /// What becomes of a packet with this inner source from either peer.
    fn from(&mut self, source: &str) -> [Result<Heard, Refusal>; 2] {
        let destination = if source.contains(':') { "fd00::2" } else { "10.0.0.2" };
        let packet = packet(source, destination, 4, 4);
        [&mut self.one, &mut self.two].map(|(_, session)| {
            let datagram = session.seal(&packet);
            self.lone.hear(&datagram)
        })
    }

    /// Asserts that exactly this peer owns the address, sending and receiving.
    #[track_caller]
    fn owner_is(&mut self, address: &str, owner: Option<PeerId>) {
        match owner {
            Some(owner) => assert_eq!(self.sends_to(address), Ok(owner)),
            None => {
                let refused = Err(SendError::Refused(Refusal::NoRoute));
                assert_eq!(self.sends_to(address), refused);
            }
        }
        let peers = [self.one.0, self.two.0];
        for (heard, peer) in self.from(address).into_iter().zip(peers) {
            if owner == Some(peer) {
                assert!(matches!(heard, Ok(Heard::Packet(from, _)) if from == peer), "{heard:?}");
            } else {
                assert_eq!(heard, Err(Refusal::NotAllowedSource));
            }
        }
    }
}

#[test]
fn the_longest_prefix_decides_for_destinations_and_for_sources() {
    let mut three =
        Three::new(&["10.0.0.0/8", "fd00::/8"], &["10.1.0.0/16", "10.1.2.3/32", "fd00:1::/32"]);
    let (one, two) = (Some(three.one.0), Some(three.two.0));
    for (address, owner) in [
        ("10.0.0.1", one),
        ("10.255.255.255", one),
        ("10.1.0.0", two),
        ("10.1.255.255", two),
        ("10.2.0.0", one),
        ("11.0.0.0", None),
        ("9.255.255.255", None),
        ("fd00:1::1", two),
        ("fd00:2::1", one),
        ("fe00::1", None),
    ] {
        three.owner_is(address, owner);
    }
}

#[test]
fn a_peer_cannot_send_from_an_address_of_another_peer_inside_its_own_prefix() {
    let mut three = Three::new(&["0.0.0.0/0", "::/0"], &["10.1.0.0/16", "fd00:1::/32"]);
    let [from_one, from_two] = three.from("10.1.2.3");
    assert_eq!(from_one, Err(Refusal::NotAllowedSource), "its /0 covers it, but is not longest");
    assert!(from_two.is_ok());
    let [from_one, from_two] = three.from("fd00:1::3");
    assert_eq!(from_one, Err(Refusal::NotAllowedSource));
    assert!(from_two.is_ok());
    assert!(three.from("172.16.0.1")[0].is_ok());
}

#[test]
fn the_source_is_checked_and_not_the_destination() {
    let mut three = Three::new(&["10.0.0.1/32"], &["10.0.0.3/32"]);
    for destination in ["10.0.0.2", "10.0.0.3", "8.8.8.8", "10.0.0.1"] {
        let good = packet("10.0.0.1", destination, 1, 1);
        let spoofed = packet("10.0.0.3", destination, 1, 1);
        let datagram = three.one.1.seal(&good);
        assert!(three.lone.hear(&datagram).is_ok());
        let datagram = three.one.1.seal(&spoofed);
        assert_eq!(three.lone.hear(&datagram), Err(Refusal::NotAllowedSource));
    }
}

#[test]
fn a_prefix_of_no_bits_covers_its_own_family_only() {
    let mut three = Three::new(&["0.0.0.0/0"], &["::/0"]);
    let (one, two) = (Some(three.one.0), Some(three.two.0));
    for (address, owner) in [
        ("0.0.0.0", one),
        ("255.255.255.255", one),
        ("::", two),
        ("::ffff:10.0.0.1", two),
        ("ffff::", two),
    ] {
        three.owner_is(address, owner);
    }
}

#[test]
fn host_bits_of_a_prefix_are_masked() {
    let mut three = Three::new(&["10.1.2.3/16", "fd00::1/64"], &[]);
    let one = Some(three.one.0);
    three.owner_is("10.1.200.1", one);
    three.owner_is("fd00::ffff", one);
    let mut routes: Vec<String> =
        three.lone.node.device.allowed_ips(three.one.0).map(|ip| ip.to_string()).collect();
    routes.sort();
    assert_eq!(routes, ["10.1.0.0/16", "fd00::/64"]);
}

#[test]
fn a_prefix_given_to_another_peer_moves() {
    let mut three = Three::new(&["10.1.0.0/16", "10.0.0.0/8"], &[]);
    let (one, two) = (three.one.0, three.two.0);
    three.owner_is("10.1.0.1", Some(one));
    three.lone.node.device.add_allowed_ip(two, prefix("10.1.9.9/16")).unwrap();
    three.owner_is("10.1.0.1", Some(two));
    let routes: Vec<AllowedIp> = three.lone.node.device.allowed_ips(one).collect();
    assert_eq!(routes, [prefix("10.0.0.0/8")]);

    // Only the owner can give it up.
    three.lone.node.device.remove_allowed_ip(one, prefix("10.1.0.0/16"));
    three.owner_is("10.1.0.1", Some(two));
    three.lone.node.device.remove_allowed_ip(two, prefix("10.1.0.0/16"));
    three.owner_is("10.1.0.1", Some(one));
    three.lone.node.device.remove_allowed_ips(one);
    three.owner_is("10.1.0.1", None);
}

#[test]
fn a_removed_peers_prefixes_route_nowhere() {
    let mut three = Three::new(&["10.0.0.0/8"], &["10.1.0.0/16"]);
    let (one, two) = (three.one.0, three.two.0);
    three.lone.node.device.remove_peer(two);
    assert_eq!(three.sends_to("10.1.0.1"), Ok(one), "the next longest");
    three.lone.node.device.remove_peer(one);
    assert_eq!(three.sends_to("10.1.0.1"), Err(SendError::Refused(Refusal::NoRoute)));
}

#[test]
fn no_route_and_no_endpoint_are_two_errors_and_neither_asks_for_a_handshake() {
    let mut lone = Lone::new();
    let silent =
        lone.node.meet(PublicKey::from_bytes(Party::new(9).public), &["10.9.0.0/16"], None);
    for (destination, refusal) in
        [("172.16.0.1", Refusal::NoRoute), ("10.9.0.1", Refusal::NoEndpoint)]
    {
        let packet = packet("10.0.0.2", destination, 4, 4);
        let error = lone.node.seal(lone.now, &packet).unwrap_err();
        assert_eq!(error, SendError::Refused(refusal));
        assert_eq!(error.to_string(), refusal.to_string());
        assert_eq!(lone.node.device.refusals().count(refusal), 1);
    }
    assert_eq!(lone.node.status(lone.now, silent).refusals.count(Refusal::NoEndpoint), 1);
    assert_eq!(lone.speak(), []);
    assert_eq!(lone.node.device.poll_timeout(), None);
    assert_ne!(Refusal::NoRoute.to_string(), Refusal::NoEndpoint.to_string());
}

#[test]
fn a_whole_table_refuses_one_more_and_keeps_what_it_has() {
    let mut lone = Lone::new();
    lone.node.device.remove_allowed_ips(lone.peer);
    let mut taken = 0;
    while lone.node.device.add_allowed_ip(lone.peer, prefix(&format!("10.{taken}.0.0/16"))).is_ok()
    {
        taken += 1;
        assert!(taken < 100, "the storage has an end");
    }
    assert!(taken >= 8, "room for as many as were asked for");
    assert_eq!(lone.node.device.allowed_ips(lone.peer).count(), taken);
    assert!(lone.node.device.add_allowed_ip(lone.peer, prefix("10.3.0.0/16")).is_ok(), "known");
}
