//! The blocking tunnel over a network in memory, in virtual time.

mod virtual_network;

use std::rc::Rc;
use std::time::Duration;

use virtual_network::stack::{MTU, Node, PORT, Stack, WAITING};
use virtual_network::stack::{node, packet, pair, run, udp_packet};
use virtual_network::{Clock, Network, Seeded, host};
use wg_core::{Event, PresharedKey, PrivateKey, Reason, Refusal};
use wg_nal::{DATAGRAMS_PER_POLL, Peer, Resources, TooLong, Tunnel};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_tunnels_exchange_packets_of_all_sizes() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 20)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    let mut expected = vec![packet(0, 20)];
    for len in [21, 31, 32, 33, MTU - 1, MTU] {
        alice.send(&packet(1, len)).unwrap();
        expected.push(packet(1, len));
        run(&mut alice, &mut bob, SECOND);
    }
    let largest = network.sent_by(alice.address).into_iter().max();
    assert_eq!(largest, Some(MTU + 32), "padding does not exceed the MTU");
    bob.send(&packet(2, 100)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, expected);
    assert_eq!(alice.inbox, [packet(2, 100)]);
    assert_eq!(alice.events, [Event::SessionUp(alice.peer)]);
    assert_eq!(alice.handle.waiting(), 0);
    assert_eq!(alice.handle.counters(), Default::default());
    assert_eq!(bob.handle.refusals().iter().count(), 0);
}

/// A minute of telegrams through a network that loses a third of everything.
#[test]
fn a_lossy_network_delays_the_session_and_loses_no_more_than_its_share() {
    let network = Network::new();
    network.lose(33);
    let (mut alice, mut bob) = pair(&network);
    for number in 0..60 {
        alice.send(&packet(number, 100)).unwrap();
        run(&mut alice, &mut bob, SECOND);
    }
    assert!(bob.inbox.len() > 30, "{} packets came", bob.inbox.len());
    let numbers: Vec<_> = bob.inbox.iter().map(|packet| packet[99]).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[test]
fn packets_wait_for_the_session_and_go_in_order() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    for number in 0..3 {
        alice.send(&packet(number, 60)).unwrap();
    }
    assert_eq!(alice.handle.waiting(), 3);
    assert_eq!(network.sent_by(alice.address), [148], "one handshake for all of them");
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(0, 60), packet(1, 60), packet(2, 60)]);
    assert_eq!(alice.handle.waiting(), 0);
    // The packets confirm the session: no keepalive is needed.
    assert_eq!(network.sent_by(alice.address), [148, 96, 96, 96]);
}

#[test]
fn a_full_queue_gives_up_its_oldest_packet() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    for number in 0..10 {
        alice.send(&packet(number, 60)).unwrap();
        assert_eq!(alice.handle.waiting(), WAITING.min(usize::from(number) + 1));
    }
    assert_eq!(alice.handle.counters().displaced, 7);
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(7, 60), packet(8, 60), packet(9, 60)]);
}

#[test]
fn what_waits_is_dropped_when_the_handshake_is_given_up() {
    let network = Network::new();
    network.lose(100);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, 90 * SECOND);
    assert_eq!((alice.handle.waiting(), alice.events.len()), (1, 0));
    run(&mut alice, &mut bob, 30 * SECOND);
    assert_eq!(alice.events, [Event::HandshakeGivenUp(alice.peer)]);
    assert_eq!((alice.handle.waiting(), alice.handle.counters().abandoned), (0, 1));

    // The next packet begins anew.
    network.lose(0);
    alice.send(&packet(1, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(1, 60)]);
}

#[test]
fn what_waits_for_a_peer_that_is_removed_is_dropped() {
    let network = Network::new();
    let (mut alice, _) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    alice.handle.remove_peer(alice.peer);
    alice.settle();
    assert_eq!((alice.handle.waiting(), alice.handle.counters().abandoned), (0, 1));
}

#[test]
fn what_waits_when_the_tunnel_stops_is_dropped_and_it_starts_again() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    alice.handle.stop();
    let polled = alice.settle();
    assert_eq!((polled.deadline, polled.more), (None, false));
    assert_eq!((alice.handle.waiting(), alice.handle.counters().abandoned), (0, 1));
    assert_eq!(alice.handle.obstacle(alice.peer), Some(Refusal::Down));
    alice.tunnel.start(network.now());
    alice.send(&packet(1, 60)).unwrap();
    run(&mut alice, &mut bob, 6 * SECOND);
    assert_eq!(bob.inbox, [packet(1, 60)]);
}

#[test]
fn a_start_right_after_a_stop_wipes_the_session_and_goes_on() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    let before = alice.handle.status(alice.peer).unwrap().session_birth;
    assert!(before.is_some());
    alice.handle.stop();
    alice.tunnel.start(network.now());
    assert_eq!(alice.handle.status(alice.peer).unwrap().session_birth, None);
    run(&mut alice, &mut bob, 6 * SECOND);
    alice.send(&packet(1, 60)).unwrap();
    run(&mut alice, &mut bob, 6 * SECOND);
    assert_eq!(bob.inbox, [packet(0, 60), packet(1, 60)]);
}

#[test]
fn nothing_of_an_earlier_tunnel_is_left_when_one_is_dropped() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    assert!(alice.handle.public_key().is_some());
    let (handle, peer, mood) = (alice.handle.clone(), alice.peer, alice.mood.clone());
    assert_eq!(mood.open_sockets.get(), 1);
    assert_eq!(alice.tunnel.close(), Ok(()));
    assert_eq!(mood.open_sockets.get(), 0);
    assert_eq!((handle.public_key(), handle.waiting()), (None, 0));
    assert!(handle.status(peer).is_none(), "the peer is forgotten");
}

#[test]
fn a_packet_whose_route_moved_while_it_waited_goes_where_the_route_leads_now() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    let mut carol = node(&network, 3, &host::key_of(1));
    alice.send(&packet(0, 60)).unwrap();
    let carol_key = host::key_of(3).public_key();
    let to_carol = Peer {
        public_key: &carol_key,
        preshared_key: &PresharedKey::NONE,
        endpoint: Some(carol.address),
        allowed_ips: &["10.0.0.0/24".parse().unwrap()],
        persistent_keepalive: 0,
    };
    alice.handle.set_peer(&to_carol).unwrap();
    for _ in 0..20 {
        run(&mut alice, &mut bob, SECOND / 10);
        carol.settle();
    }
    assert_eq!((bob.inbox.len(), carol.inbox), (0, vec![packet(0, 60)]));
}

#[test]
fn a_poll_takes_a_bounded_number_of_datagrams() {
    let network = Network::new();
    let (alice, mut bob) = pair(&network);
    for _ in 0..20 {
        network.carry(alice.address, bob.address, b"no datagram of this protocol");
    }
    network.pass(SECOND);
    let mut taken = Vec::new();
    for _ in 0..3 {
        let more = bob.poll().unwrap().more;
        taken.push((bob.mood.received.get(), more));
    }
    assert_eq!(DATAGRAMS_PER_POLL, 8);
    assert_eq!(taken, [(8, true), (16, true), (20, false)]);
}

#[test]
fn a_burst_stays_in_the_stack_until_the_packets_before_it_are_read() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    for number in 1..21 {
        alice.send(&packet(number, 60)).unwrap();
    }
    network.pass(SECOND);
    bob.settle();
    let expected: Vec<_> = (0..21).map(|number| packet(number, 60)).collect();
    assert_eq!(bob.inbox, expected);
    assert_eq!(bob.handle.counters().overrun, 0);
}

#[test]
fn packets_that_nobody_reads_do_not_hold_back_handshakes() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    for number in 1..21 {
        alice.send(&packet(number, 60)).unwrap();
    }
    network.pass(SECOND);
    let mut polls = 0;
    while bob.tunnel.poll(network.now()).unwrap().more {
        polls += 1;
        assert!(polls < 100, "each call takes one datagram at least");
    }
    assert_eq!(bob.handle.counters().overrun, 17, "three were kept");
    bob.poll().unwrap();
    let kept: Vec<_> = (0..4).map(|number| packet(number, 60)).collect();
    assert_eq!(bob.inbox, kept);
}

#[test]
fn a_poll_serves_a_bounded_number_of_deadlines() {
    let network = Network::new();
    let (alice, _) = pair(&network);
    let resources: &mut Resources<'_, 12, 12, 1280, 2, 2> = Box::leak(Box::new(Resources::new()));
    let wall = host::wall(&network, alice.clock_set.clone());
    let stack = Stack::new(&network, 9);
    let (mut interface, mut tunnel) = Tunnel::new(resources, stack, PORT, Seeded(1), wall).unwrap();
    interface.set_link_policy(wg_nal::LinkPolicy::AlwaysUp);
    let handle = tunnel.handle(Clock::new(&network));
    handle.set_private_key(Some(&PrivateKey::generate(&mut Seeded(1))));
    for seed in 100..112 {
        let peer = Peer {
            public_key: &PrivateKey::generate(&mut Seeded(seed)).public_key(),
            preshared_key: &PresharedKey::NONE,
            endpoint: Some("192.0.2.8:9".parse().unwrap()),
            allowed_ips: &[],
            persistent_keepalive: 25,
        };
        handle.set_peer(&peer).unwrap();
    }
    tunnel.start(network.now());
    tunnel.poll(network.now()).unwrap();
    let mut sent = vec![network.record.borrow().len()];
    network.pass(6 * SECOND);
    let mut overdue = Vec::new();
    for _ in 0..2 {
        let (at, reason) = tunnel.poll(network.now()).unwrap().deadline.unwrap();
        assert_eq!(reason, Reason::Retransmit);
        overdue.push(at <= network.now());
        sent.push(network.record.borrow().len());
    }
    assert_eq!((sent, overdue), (vec![12, 20, 24], vec![true, false]));
}

/// Ten minutes in which the tunnel is called when it said so, or when a datagram came: every
/// deadline lies ahead once the work is done, and no timer needs a tick in between.
#[test]
fn a_deadline_is_never_in_the_past_and_is_all_that_is_needed() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    let end = network.now().saturating_add(600 * SECOND);
    let mut reasons = Vec::new();
    while network.now() < end {
        // Datagrams take 10 ms: six of them are a handshake and its answers.
        for _ in 0..6 {
            alice.settle();
            bob.settle();
            network.pass(Duration::from_millis(10));
        }
        let deadlines = [alice.settle(), bob.settle()].map(|polled| polled.deadline);
        let next = deadlines.into_iter().flatten().min_by_key(|(at, _)| *at);
        let Some((at, reason)) = next else { break };
        assert!(at > network.now(), "{reason:?} at {at:?}, and it is {:?}", network.now());
        network.pass(at.saturating_since(network.now()));
        reasons.push(reason);
        assert!(reasons.len() < 20, "{reasons:?}");
    }
    // Bob answers the packet that nothing answered; both sessions turn 180 s, and their keys 540 s.
    let expected = [Reason::PassiveKeepalive, Reason::SessionExpiry, Reason::WipeKeys];
    assert_eq!(reasons, expected);
    assert_eq!(bob.settle().deadline, None);
    assert_eq!(alice.settle().deadline, None);
}

/// Two tunnels, of which the first one takes everything.
fn default_route(network: &Rc<Network>) -> (Node, Node) {
    let (mut alice, bob) = pair(network);
    let peer = Peer {
        public_key: &host::key_of(2).public_key(),
        preshared_key: &PresharedKey::NONE,
        endpoint: Some(bob.address),
        allowed_ips: &["0.0.0.0/0".parse().unwrap()],
        persistent_keepalive: 0,
    };
    alice.peer = alice.handle.set_peer(&peer).unwrap();
    (alice, bob)
}

/// What a node sends next, which gets no further.
fn intercept(node: &mut Node, to: &Node) -> Vec<u8> {
    node.send(&packet(1, 60)).unwrap();
    node.network.pass(SECOND);
    node.network.arrived(to.address).unwrap().1
}

#[test]
fn the_tunnels_own_datagrams_do_not_enter_the_tunnel() {
    let network = Network::new();
    let (mut alice, mut bob) = default_route(&network);
    let mut loops = 0;
    let initiation = intercept(&mut alice, &bob);
    run(&mut alice, &mut bob, 6 * SECOND);
    let data = intercept(&mut alice, &bob);
    network.pass(121 * SECOND);
    // The first is of the session that the next one replaces.
    let (old, rekey) = (intercept(&mut alice, &bob), network.arrived(bob.address).unwrap().1);
    network.carry(alice.address, bob.address, &rekey);
    run(&mut alice, &mut bob, SECOND);
    for (own, len) in [(&data, 96), (&old, 96), (&rekey, 148)] {
        assert_eq!(own.len(), len);
        let before = network.sent_by(alice.address).len();
        // Whatever port it left from.
        for port in [PORT, 49152] {
            alice.send(&udp_packet(port, bob.address, own)).unwrap();
            loops += 1;
            assert_eq!(alice.handle.counters().routing_loops, loops);
        }
        assert_eq!(network.sent_by(alice.address).len(), before);
    }
    // A handshake that is over is nobody's, and goes to nobody else either.
    let elsewhere = "192.0.2.3:51820".parse().unwrap();
    for (to, other) in [(bob.address, &initiation), (elsewhere, &data), (bob.address, &vec![])] {
        let before = network.sent_by(alice.address).len();
        alice.send(&udp_packet(PORT, to, other)).unwrap();
        assert_eq!(network.sent_by(alice.address).len(), before + 1);
    }
    assert_eq!(alice.handle.counters().routing_loops, loops);
}

#[test]
fn a_host_behind_the_tunnel_may_have_its_own_to_the_same_endpoint_from_the_same_port() {
    let network = Network::new();
    let (mut alice, mut bob) = default_route(&network);
    let mut carol = node(&network, 3, &host::key_of(2));
    carol.handle.set_endpoint(carol.peer, bob.address);
    let peer = Peer {
        public_key: &host::key_of(3).public_key(),
        preshared_key: &PresharedKey::NONE,
        endpoint: None,
        allowed_ips: &[],
        persistent_keepalive: 0,
    };
    bob.handle.set_peer(&peer).unwrap();
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    bob.inbox.clear();
    let initiation = intercept(&mut carol, &bob);
    network.carry(carol.address, bob.address, &initiation);
    run(&mut carol, &mut bob, SECOND);
    let data = intercept(&mut carol, &bob);
    for (theirs, kind) in [(initiation, 1), (data, 4)] {
        assert_eq!(theirs[0], kind);
        let packet = udp_packet(PORT, bob.address, &theirs);
        alice.send(&packet).unwrap();
        run(&mut alice, &mut bob, SECOND);
        assert_eq!(bob.inbox.pop(), Some(packet));
    }
    assert_eq!(alice.handle.counters().routing_loops, 0);
}

#[test]
fn what_cannot_be_sent_says_why() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    let too_long = alice.interface.try_send(&packet(0, MTU + 1));
    assert_eq!(too_long, Err(TooLong { mtu: MTU }));
    assert_eq!(
        too_long.unwrap_err().to_string(),
        "longer than 1300 bytes: send less, or give Resources a larger MTU"
    );
    let mut elsewhere = packet(0, 60);
    elsewhere[16] = 11;
    for (refused, reason) in [
        (&elsewhere[..], Refusal::NoRoute),
        (b"no packet", Refusal::MalformedInner),
        (b"", Refusal::MalformedInner),
    ] {
        let before = alice.handle.refusals().count(reason);
        alice.send(refused).unwrap();
        assert_eq!(alice.handle.refusals().count(reason), before + 1, "{reason}");
    }
    assert_eq!(alice.handle.counters().refused, 3);
    bob.send(&packet(0, 60)).unwrap();
    assert_eq!(bob.handle.refusals().count(Refusal::NoEndpoint), 1);
    assert_eq!((alice.handle.waiting(), bob.handle.waiting()), (0, 0));
}

#[test]
fn a_datagram_that_is_longer_than_the_buffer_is_refused_and_counted() {
    let network = Network::new();
    let (alice, mut bob) = pair(&network);
    network.carry(alice.address, bob.address, &[4; 3000]);
    network.carry(alice.address, bob.address, &[]);
    network.pass(SECOND);
    assert!(!bob.poll().unwrap().more);
    assert_eq!(bob.handle.refusals().count(Refusal::Malformed), 2);
}
