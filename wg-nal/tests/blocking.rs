//! The blocking tunnel over a network in memory, in virtual time.

mod network;

use std::time::Duration;

use network::{MTU, Network, PORT, Seeded, WAITING, clock, node, packet, pair, run, udp_packet};
use wg_core::{Device, Event, PrivateKey, Reason, Refusal, Storage};
use wg_nal::{Buffers, DATAGRAMS_PER_POLL, SendError, Sent, Tunnel};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_tunnels_exchange_packets_of_all_sizes() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    assert_eq!(alice.send(&packet(0, 20)), Ok(Sent::Later));
    run(&mut alice, &mut bob, SECOND);
    let mut expected = vec![packet(0, 20)];
    for len in [21, 31, 32, 33, MTU - 1, MTU] {
        assert_eq!(alice.send(&packet(1, len)), Ok(Sent::Now), "{len} bytes");
        expected.push(packet(1, len));
        run(&mut alice, &mut bob, SECOND);
    }
    let largest = network.sent_by(alice.address.ip()).into_iter().max();
    assert_eq!(largest, Some(MTU + 32), "padding does not exceed the MTU");
    assert_eq!(bob.send(&packet(2, 100)), Ok(Sent::Now));
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, expected);
    assert_eq!(alice.inbox, [packet(2, 100)]);
    assert_eq!(alice.events, [Event::SessionUp(alice.peer)]);
    assert_eq!(alice.tunnel.waiting(), 0);
    assert_eq!(alice.tunnel.counters(), Default::default());
    assert_eq!(bob.tunnel.device().refusals().iter().count(), 0);
}

/// A minute of telegrams through a network that loses a third of everything.
#[test]
fn a_lossy_network_delays_the_session_and_loses_no_more_than_its_share() {
    let network = Network::new(33);
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
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    for number in 0..3 {
        assert_eq!(alice.send(&packet(number, 60)), Ok(Sent::Later));
    }
    assert_eq!(alice.tunnel.waiting(), 3);
    assert_eq!(network.sent_by(alice.address.ip()), [148], "one handshake for all of them");
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(0, 60), packet(1, 60), packet(2, 60)]);
    assert_eq!(alice.tunnel.waiting(), 0);
    // The packets confirm the session: no keepalive is needed.
    assert_eq!(network.sent_by(alice.address.ip()), [148, 96, 96, 96]);
}

#[test]
fn a_full_queue_gives_up_its_oldest_packet() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    for number in 0..10 {
        alice.send(&packet(number, 60)).unwrap();
        assert_eq!(alice.tunnel.waiting(), WAITING.min(usize::from(number) + 1));
    }
    assert_eq!(alice.tunnel.counters().displaced, 7);
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(7, 60), packet(8, 60), packet(9, 60)]);
}

#[test]
fn what_waits_is_dropped_when_the_handshake_is_given_up() {
    let network = Network::new(100);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, 90 * SECOND);
    assert_eq!((alice.tunnel.waiting(), alice.events.len()), (1, 0));
    run(&mut alice, &mut bob, 30 * SECOND);
    assert_eq!(alice.events, [Event::HandshakeGivenUp(alice.peer)]);
    assert_eq!((alice.tunnel.waiting(), alice.tunnel.counters().abandoned), (0, 1));

    // The next packet begins anew.
    network.lose(0);
    alice.send(&packet(1, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(1, 60)]);
}

#[test]
fn what_waits_for_a_peer_that_is_removed_is_dropped() {
    let network = Network::new(0);
    let (mut alice, _) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    let peer = alice.peer;
    alice.tunnel.device_mut().remove_peer(peer);
    alice.settle();
    assert_eq!((alice.tunnel.waiting(), alice.tunnel.counters().abandoned), (0, 1));
}

#[test]
fn what_waits_when_the_device_goes_down_is_dropped() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    alice.tunnel.device_mut().down();
    alice.settle();
    assert_eq!((alice.tunnel.waiting(), alice.tunnel.counters().abandoned), (0, 1));
    assert_eq!(alice.send(&packet(0, 60)), Err(SendError::Refused(Refusal::Down)));
    alice.tunnel.device_mut().up(network.now());
    alice.send(&packet(1, 60)).unwrap();
    run(&mut alice, &mut bob, 6 * SECOND);
    assert_eq!(bob.inbox, [packet(1, 60)]);
}

#[test]
fn nothing_of_an_earlier_tunnel_waits_in_the_buffers() {
    let network = Network::new(0);
    let (mut alice, bob) = pair(&network);
    let (mut storage, mut buffers) = (Storage::<1, 1>::new(), Buffers::<1280, 1>::new());
    for _ in 0..2 {
        let mut device = Device::new(&mut storage);
        let peer = device.add_peer(&PrivateKey::generate(&mut Seeded(9)).public_key()).unwrap();
        device.add_allowed_ip(peer, "10.0.0.0/24".parse().unwrap()).unwrap();
        device.set_endpoint(network.now(), peer, bob.address);
        let stack = alice.tunnel.stack();
        let mut tunnel =
            Tunnel::new(device, &mut buffers, stack, PORT, Seeded(1), clock()).unwrap();
        assert_eq!(tunnel.waiting(), 0);
        assert_eq!(tunnel.send(network.now(), &packet(0, 60)), Ok(Sent::Later));
        assert_eq!(tunnel.waiting(), 1);
    }
}

#[test]
fn a_packet_whose_route_moved_while_it_waited_goes_where_the_route_leads_now() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    let carol_key = PrivateKey::generate(&mut Seeded(3));
    let alice_key = PrivateKey::generate(&mut Seeded(1));
    let mut carol = node(&network, 3, &carol_key, &alice_key);
    alice.send(&packet(0, 60)).unwrap();
    let device = alice.tunnel.device_mut();
    let to_carol = device.add_peer(&carol_key.public_key()).unwrap();
    device.add_allowed_ip(to_carol, "10.0.0.0/24".parse().unwrap()).unwrap();
    device.set_endpoint(network.now(), to_carol, carol.address);
    for _ in 0..20 {
        run(&mut alice, &mut bob, SECOND / 10);
        carol.settle();
    }
    assert_eq!((bob.inbox.len(), carol.inbox), (0, vec![packet(0, 60)]));
}

#[test]
fn a_poll_takes_a_bounded_number_of_datagrams() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    for number in 0..20 {
        alice.send(&packet(number, 60)).unwrap();
    }
    network.advance(SECOND);
    let before = bob.mood.received.get();
    let mut taken = Vec::new();
    for _ in 0..3 {
        let more = bob.poll().unwrap().more;
        taken.push((bob.mood.received.get() - before, more));
    }
    assert_eq!(DATAGRAMS_PER_POLL, 8);
    assert_eq!(taken, [(8, true), (16, true), (20, false)]);
    assert_eq!(bob.inbox.len(), 21);
}

#[test]
fn a_poll_serves_a_bounded_number_of_deadlines() {
    let network = Network::new(0);
    let (mut alice, _) = pair(&network);
    let mut device = Device::new(Box::leak(Box::new(Storage::<12, 12>::new())));
    device.set_private_key(network.now(), Some(&PrivateKey::generate(&mut Seeded(1))));
    for seed in 100..112 {
        let key = PrivateKey::generate(&mut Seeded(seed)).public_key();
        let peer = device.add_peer(&key).unwrap();
        device.set_endpoint(network.now(), peer, "192.0.2.9:9".parse().unwrap());
        device.set_persistent_keepalive(network.now(), peer, 25);
    }
    let mut buffers = Buffers::<1280, 1>::new();
    let stack = alice.tunnel.stack();
    let mut tunnel = Tunnel::new(device, &mut buffers, stack, PORT, Seeded(1), clock()).unwrap();
    tunnel.poll(network.now(), |_| {}).unwrap();
    let mut sent = vec![network.record.borrow().len()];
    network.advance(6 * SECOND);
    let mut overdue = Vec::new();
    for _ in 0..2 {
        let (at, reason) = tunnel.poll(network.now(), |_| {}).unwrap().deadline.unwrap();
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
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    let end = network.now().saturating_add(600 * SECOND);
    let mut reasons = Vec::new();
    let mut calls = 0;
    while network.now() < end {
        // Datagrams take 10 ms: six of them are a handshake and its answers.
        for _ in 0..6 {
            alice.settle();
            bob.settle();
            network.advance(Duration::from_millis(10));
        }
        let deadlines = [alice.settle(), bob.settle()].map(|polled| polled.deadline);
        let next = deadlines.into_iter().flatten().min_by_key(|(at, _)| *at);
        let Some((at, reason)) = next else { break };
        assert!(at > network.now(), "{reason:?} at {at:?}, and it is {:?}", network.now());
        network.advance(at.saturating_since(network.now()));
        reasons.push(reason);
        calls += 1;
        assert!(calls < 20, "{reasons:?}");
    }
    // Bob answers the packet that nothing answered; both sessions turn 180 s, and their keys 540 s.
    let expected = [Reason::PassiveKeepalive, Reason::SessionExpiry, Reason::WipeKeys];
    assert_eq!(reasons, expected);
    assert_eq!(bob.settle().deadline, None);
    assert_eq!(alice.settle().deadline, None);
}

#[test]
fn the_tunnels_own_datagrams_do_not_enter_the_tunnel() {
    let network = Network::new(0);
    let (mut alice, _) = pair(&network);
    let peer = alice.peer;
    let everything = "0.0.0.0/0".parse().unwrap();
    alice.tunnel.device_mut().add_allowed_ip(peer, everything).unwrap();
    let endpoint = "192.0.2.2:51820".parse().unwrap();
    let looped = udp_packet(PORT, endpoint);
    assert_eq!(alice.send(&looped), Err(SendError::RoutingLoop(endpoint)));
    assert_eq!(alice.tunnel.counters().routing_loops, 1);
    assert_eq!((alice.tunnel.waiting(), network.record.borrow().len()), (0, 0));

    for other in [
        udp_packet(PORT + 1, endpoint),
        udp_packet(PORT, "192.0.2.2:53".parse().unwrap()),
        udp_packet(PORT, "192.0.2.3:51820".parse().unwrap()),
    ] {
        assert_eq!(alice.send(&other), Ok(Sent::Later));
    }
    assert_eq!(alice.tunnel.counters().routing_loops, 1);
}

#[test]
fn on_a_port_that_the_stack_chose_every_port_may_be_a_loop() {
    let network = Network::new(0);
    let (alice, bob) = pair(&network);
    let mut device = Device::new(Box::leak(Box::new(Storage::<1, 1>::new())));
    let peer = device.add_peer(&PrivateKey::generate(&mut Seeded(9)).public_key()).unwrap();
    device.add_allowed_ip(peer, "0.0.0.0/0".parse().unwrap()).unwrap();
    device.set_endpoint(network.now(), peer, bob.address);
    let mut buffers = Buffers::<1280, 1>::new();
    let mut stack = { alice }.tunnel;
    let mut tunnel =
        Tunnel::new(device, &mut buffers, stack.stack(), 0, Seeded(1), clock()).unwrap();
    let looped = tunnel.send(network.now(), &udp_packet(49152, bob.address));
    assert_eq!(looped, Err(SendError::RoutingLoop(bob.address)));
}

#[test]
fn what_cannot_be_sent_says_why() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    let too_long = alice.send(&packet(0, MTU + 1));
    assert_eq!(too_long, Err(SendError::TooLong { mtu: MTU }));
    assert_eq!(
        too_long.unwrap_err().to_string(),
        "the packet is longer than the MTU of 1300 bytes"
    );
    let mut elsewhere = packet(0, 60);
    elsewhere[16] = 11;
    assert_eq!(alice.send(&elsewhere), Err(SendError::Refused(Refusal::NoRoute)));
    assert_eq!(alice.send(b"no packet"), Err(SendError::Refused(Refusal::MalformedInner)));
    assert_eq!(bob.send(&packet(0, 60)), Err(SendError::Refused(Refusal::NoEndpoint)));
    assert_eq!((alice.tunnel.waiting(), bob.tunnel.waiting()), (0, 0));
}

#[test]
fn a_datagram_that_is_longer_than_the_buffer_is_refused_by_the_engine() {
    let network = Network::new(0);
    let (alice, mut bob) = pair(&network);
    network.carry(alice.address, bob.address, &[4; 3000]);
    network.carry(alice.address, bob.address, &[]);
    network.advance(SECOND);
    assert!(!bob.poll().unwrap().more);
    assert_eq!(bob.tunnel.device().refusals().count(Refusal::Malformed), 2);
}
