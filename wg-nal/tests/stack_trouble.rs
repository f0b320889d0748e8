//! The blocking tunnel over a stack that does not do what it is asked to.

mod network;

use std::time::Duration;

use network::{Broken, Network, Seeded, Stack, clock, packet, pair, run};
use wg_core::{Device, Event, Refusal, Storage};
use wg_nal::{Buffers, PATIENCE, SendError, Sent, Tunnel};

const SECOND: Duration = Duration::from_secs(1);

/// Twenty seconds of a stack that never sends, then the rest of the time for which a handshake
/// is tried: each call returns and has offered little, one initiation after the other is lost.
#[test]
fn a_stack_that_always_blocks_is_asked_now_and_then_and_nothing_hangs() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.mood.send_blocks.set(true);
    assert_eq!(alice.send(&packet(0, 60)), Ok(Sent::Later));
    for second in 0_u32..20 {
        let before = alice.mood.offers.get();
        let polled = alice.poll().unwrap();
        let offers = alice.mood.offers.get() - before;
        assert!(offers <= 2, "{offers} offers in second {second}");
        assert!(!polled.more && polled.deadline.unwrap().0 > network.now());
        network.advance(SECOND);
    }
    assert!(alice.mood.offers.get() > 15, "each call tries again");
    assert_eq!(alice.tunnel.counters().unsent, 3, "one in {PATIENCE:?}");
    assert_eq!(alice.tunnel.waiting(), 1, "the packet still waits");

    run(&mut alice, &mut bob, 100 * SECOND);
    assert_eq!(alice.events, [Event::HandshakeGivenUp(alice.peer)]);
    assert_eq!(alice.tunnel.waiting(), 0);
    assert!(network.record.borrow().is_empty());
}

#[test]
fn a_stack_that_blocks_for_a_moment_loses_nothing() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.mood.send_blocks.set(true);
    alice.send(&packet(0, 60)).unwrap();
    network.advance(SECOND);
    alice.settle();
    alice.mood.send_blocks.set(false);
    // Now the initiation goes, and while Bob answers, his stack is busy, too.
    alice.settle();
    bob.mood.send_blocks.set(true);
    run(&mut alice, &mut bob, SECOND);
    bob.mood.send_blocks.set(false);
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(0, 60)]);
    let sent = [&alice, &bob].map(|node| network.sent_by(node.address.ip()));
    assert_eq!(sent, [vec![148, 96], vec![92]]);
}

#[test]
fn packets_behind_a_blocked_stack_keep_their_order_and_their_bound() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    alice.mood.send_blocks.set(true);
    for number in 1..5 {
        assert_eq!(alice.send(&packet(number, 60)), Ok(Sent::Later));
    }
    assert_eq!((alice.tunnel.waiting(), alice.tunnel.counters().displaced), (3, 1));
    alice.mood.send_blocks.set(false);
    assert_eq!(alice.send(&packet(5, 60)), Ok(Sent::Now));
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [0, 2, 3, 4, 5].map(|number| packet(number, 60)));
}

#[test]
fn a_packet_does_not_overtake_those_that_the_stack_did_not_take() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    alice.mood.send_blocks.set(true);
    alice.send(&packet(1, 60)).unwrap();
    alice.mood.send_blocks.set(false);
    alice.mood.send_blocks_once.set(true);
    assert_eq!(alice.send(&packet(2, 60)), Ok(Sent::Later));
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [0, 1, 2].map(|number| packet(number, 60)));
}

#[test]
fn a_datagram_that_the_stack_leaves_too_long_is_dropped() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    alice.mood.send_blocks.set(true);
    alice.send(&packet(1, 60)).unwrap();
    network.advance(PATIENCE);
    alice.mood.send_blocks.set(false);
    run(&mut alice, &mut bob, SECOND);
    assert_eq!((bob.inbox.len(), alice.tunnel.counters().unsent), (1, 1));
}

#[test]
fn receiving_goes_on_while_sending_blocks() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    bob.mood.send_blocks.set(true);
    bob.send(&packet(9, 60)).unwrap();
    for number in 1..4 {
        alice.send(&packet(number, 60)).unwrap();
    }
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox.len(), 4);
}

#[test]
fn a_failure_to_send_is_an_error_to_match_on_and_the_tunnel_goes_on() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.mood.send_fails.set(true);
    assert_eq!(alice.send(&packet(0, 60)), Err(SendError::Stack(Broken::Send)));
    assert_eq!(alice.tunnel.waiting(), 1, "the packet waits for the session nevertheless");
    alice.mood.send_fails.set(false);
    // The initiation is lost; the protocol sends another one.
    run(&mut alice, &mut bob, 6 * SECOND);
    assert_eq!(bob.inbox, [packet(0, 60)]);

    alice.mood.send_fails.set(true);
    let failed = alice.send(&packet(1, 60));
    assert_eq!(failed, Err(SendError::Stack(Broken::Send)));
    assert_eq!(failed.unwrap_err().to_string(), "the UDP stack failed: Send");
    alice.mood.send_fails.set(false);
    alice.send(&packet(2, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(0, 60), packet(2, 60)]);
}

#[test]
fn a_failure_to_receive_does_not_hold_back_the_timers() {
    let network = Network::new(0);
    let (mut alice, _) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    alice.mood.receive_fails.set(true);
    for _ in 0..6 {
        network.advance(SECOND);
        assert_eq!(alice.poll(), Err(Broken::Receive));
    }
    assert_eq!(network.sent_by(alice.address.ip()), [148, 148]);
}

#[test]
fn a_failed_reply_is_an_error_and_the_peer_asks_again() {
    let network = Network::new(0);
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    network.advance(SECOND);
    bob.mood.send_fails.set(true);
    assert_eq!(bob.poll(), Err(Broken::Send));
    bob.mood.send_fails.set(false);
    run(&mut alice, &mut bob, 6 * SECOND);
    assert_eq!(bob.inbox, [packet(0, 60)]);
}

#[test]
fn sockets_are_closed() {
    let network = Network::new(0);
    let (alice, _) = pair(&network);
    assert_eq!(alice.mood.open_sockets.get(), 1);
    assert_eq!(alice.tunnel.close(), Ok(()));
    assert_eq!(alice.mood.open_sockets.get(), 0);

    alice.mood.bind_fails.set(true);
    let mut storage = Storage::<1, 1>::new();
    let mut buffers = Buffers::<1280, 1>::new();
    let (address, mood) = (alice.address.ip(), alice.mood.clone());
    let stack = Stack { network: network.clone(), address, mood };
    let device = Device::new(&mut storage);
    let tunnel = Tunnel::new(device, &mut buffers, stack, 1, Seeded(1), clock());
    assert_eq!(tunnel.err(), Some(Broken::Bind));
    assert_eq!(alice.mood.open_sockets.get(), 0);
}

/// A missing clock is the engine's to report; the tunnel only has to come back for it.
#[test]
fn a_handshake_without_a_clock_is_tried_again() {
    let network = Network::new(0);
    let (mut alice, bob) = pair(&network);
    let mut storage = Storage::<1, 1>::new();
    let mut device = Device::new(&mut storage);
    let key = wg_core::PrivateKey::generate(&mut Seeded(7));
    device.set_private_key(network.now(), Some(&key));
    let peer =
        device.add_peer(&wg_core::PrivateKey::generate(&mut Seeded(2)).public_key()).unwrap();
    device.add_allowed_ip(peer, "10.0.0.0/24".parse().unwrap()).unwrap();
    device.set_endpoint(network.now(), peer, bob.address);
    let mut buffers = Buffers::<1280, 1>::new();
    let time = std::cell::Cell::new(None);
    let no_clock = wg_core::Increasing::new(|| time.get(), None);
    let mut tunnel =
        Tunnel::new(device, &mut buffers, alice.tunnel.stack(), 7, Seeded(1), no_clock).unwrap();
    assert_eq!(tunnel.send(network.now(), &packet(0, 60)), Ok(Sent::Later));
    let refusals = tunnel.device().refusals();
    assert_eq!(refusals.count(Refusal::ClockNotSet), 1);
    let deadline = tunnel.poll(network.now(), |_| {}).unwrap().deadline.unwrap().0;
    time.set(Some(SECOND));
    network.advance(deadline.saturating_since(network.now()));
    tunnel.poll(network.now(), |_| {}).unwrap();
    assert_eq!(network.sent_by(alice.address.ip()), [148]);
}
