//! The blocking tunnel over a stack that does not do what it is asked to.

mod virtual_network;

use std::time::Duration;

use virtual_network::stack::{Broken, Stack, StackResources, packet, pair, run};
use virtual_network::{Network, Seeded, host};
use wg_core::{Connection, Event, Refusal};
use wg_nal::{PATIENCE, Resources, Tunnel};

const SECOND: Duration = Duration::from_secs(1);

/// Twenty seconds of a stack that never sends, then the rest of the time for which a handshake
/// is tried: each call returns and has offered little, one initiation after the other is lost.
#[test]
fn a_stack_that_always_blocks_is_asked_now_and_then_and_nothing_hangs() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.mood.send_blocks.set(true);
    alice.send(&packet(0, 60)).unwrap();
    for second in 0_u32..20 {
        let before = alice.mood.offers.get();
        let polled = alice.poll().unwrap();
        let offers = alice.mood.offers.get() - before;
        assert!(offers <= 3, "{offers} offers in second {second}");
        assert!(!polled.more && polled.deadline.unwrap().0 > network.now());
        network.pass(SECOND);
    }
    assert!(alice.mood.offers.get() > 15, "each call tries again");
    assert_eq!(alice.handle.counters().unsent, 3, "one in {PATIENCE:?}");
    assert_eq!(alice.handle.waiting(), 1, "the packet still waits");

    run(&mut alice, &mut bob, 100 * SECOND);
    assert_eq!(alice.events, [Event::HandshakeGivenUp(alice.peer)]);
    assert_eq!(alice.handle.waiting(), 0);
    assert!(network.record.borrow().is_empty());
}

#[test]
fn a_stack_that_blocks_for_a_moment_loses_nothing() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.mood.send_blocks.set(true);
    alice.send(&packet(0, 60)).unwrap();
    network.pass(SECOND);
    alice.settle();
    alice.mood.send_blocks.set(false);
    // Now the initiation goes, and while Bob answers, his stack is busy, too.
    alice.settle();
    bob.mood.send_blocks.set(true);
    run(&mut alice, &mut bob, SECOND);
    bob.mood.send_blocks.set(false);
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(0, 60)]);
    let sent = [&alice, &bob].map(|node| network.sent_by(node.address));
    assert_eq!(sent, [vec![148, 96], vec![92]]);
}

#[test]
fn packets_behind_a_blocked_stack_keep_their_order_and_their_bound() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    alice.mood.send_blocks.set(true);
    for number in 1..4 {
        alice.send(&packet(number, 60)).unwrap();
    }
    assert_eq!(alice.handle.waiting(), 3);
    assert_eq!(alice.interface.try_send(&packet(4, 60)), Ok(false), "there is no room");
    alice.mood.send_blocks.set(false);
    alice.poll().unwrap();
    alice.send(&packet(5, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [0, 1, 2, 3, 5].map(|number| packet(number, 60)));
    assert_eq!(alice.handle.counters().displaced, 0);
}

#[test]
fn a_packet_does_not_overtake_those_that_the_stack_did_not_take() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    alice.mood.send_blocks.set(true);
    alice.send(&packet(1, 60)).unwrap();
    alice.mood.send_blocks.set(false);
    alice.mood.send_blocks_once.set(true);
    alice.send(&packet(2, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [0, 1, 2].map(|number| packet(number, 60)));
}

#[test]
fn a_datagram_that_the_stack_leaves_too_long_is_dropped() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    alice.mood.send_blocks.set(true);
    alice.send(&packet(1, 60)).unwrap();
    network.pass(PATIENCE);
    alice.mood.send_blocks.set(false);
    run(&mut alice, &mut bob, SECOND);
    assert_eq!((bob.inbox.len(), alice.handle.counters().unsent), (1, 1));
    assert_eq!(alice.handle.waiting(), 0, "its frame is free again");
}

#[test]
fn receiving_goes_on_while_sending_blocks() {
    let network = Network::new();
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
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.mood.send_fails.set(true);
    assert_eq!(alice.send(&packet(0, 60)), Err(Broken::Send));
    assert_eq!(alice.handle.waiting(), 1, "the packet waits for the session nevertheless");
    alice.mood.send_fails.set(false);
    // The initiation is lost; the protocol sends another one.
    run(&mut alice, &mut bob, 6 * SECOND);
    assert_eq!(bob.inbox, [packet(0, 60)]);

    alice.mood.send_fails.set(true);
    assert_eq!(alice.send(&packet(1, 60)), Err(Broken::Send));
    alice.mood.send_fails.set(false);
    alice.send(&packet(2, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    assert_eq!(bob.inbox, [packet(0, 60), packet(2, 60)]);
    assert_eq!((alice.handle.counters().unsent, alice.handle.waiting()), (2, 0));
}

#[test]
fn a_failure_to_receive_does_not_hold_back_the_timers() {
    let network = Network::new();
    let (mut alice, _) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    alice.mood.receive_fails.set(true);
    for _ in 0..6 {
        network.pass(SECOND);
        assert_eq!(alice.poll(), Err(Broken::Receive));
    }
    assert_eq!(network.sent_by(alice.address), [148, 148]);
    assert_eq!(alice.handle.counters().receive_errors, 6);
}

#[test]
fn a_failed_reply_is_an_error_and_the_peer_asks_again() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    network.pass(SECOND);
    bob.mood.send_fails.set(true);
    assert_eq!(bob.poll(), Err(Broken::Send));
    bob.mood.send_fails.set(false);
    run(&mut alice, &mut bob, 6 * SECOND);
    assert_eq!(bob.inbox, [packet(0, 60)]);
}

#[test]
fn a_port_that_is_taken_is_an_error_and_leaves_no_socket_open() {
    let network = Network::new();
    let stack = Stack::new(&network, 1);
    let mood = stack.mood.clone();
    mood.bind_fails.set(true);
    let resources: &mut StackResources = Box::leak(Box::new(Resources::new()));
    let wall = host::wall(&network, std::rc::Rc::new(true.into()));
    let tunnel = Tunnel::new(resources, stack, 1, Seeded(1), wall);
    assert_eq!(tunnel.err().map(|error| format!("{error:?}")), Some("Bind".into()));
    assert_eq!(mood.open_sockets.get(), 0);
}

/// A missing clock is the engine's to report; the tunnel only has to come back for it.
#[test]
fn a_handshake_without_a_clock_is_tried_again() {
    let network = Network::new();
    let (mut alice, _bob) = pair(&network);
    alice.clock_set.set(false);
    alice.send(&packet(0, 60)).unwrap();
    assert_eq!(alice.handle.refusals().count(Refusal::ClockNotSet), 1);
    let deadline = alice.poll().unwrap().deadline.unwrap().0;
    alice.clock_set.set(true);
    network.pass(deadline.saturating_since(network.now()));
    alice.poll().unwrap();
    assert_eq!(network.sent_by(alice.address), [148]);
}

/// The response to a rekey comes while the stack sends nothing, so that nobody is told of the new
/// session before it ends.
#[test]
fn a_session_that_ended_with_a_stop_is_not_announced_after_the_next_start() {
    let network = Network::new();
    let (mut alice, mut bob) = pair(&network);
    alice.send(&packet(0, 60)).unwrap();
    run(&mut alice, &mut bob, SECOND);
    network.pass(121 * SECOND);
    // It asks for a new session, too.
    alice.send(&packet(1, 60)).unwrap();
    alice.mood.send_blocks.set(true);
    alice.send(&packet(2, 60)).unwrap();
    let before = alice.handle.status(alice.peer).unwrap().session_birth;
    run(&mut alice, &mut bob, SECOND);
    assert!(alice.handle.status(alice.peer).unwrap().session_birth > before);
    alice.events.clear();
    alice.handle.stop();
    alice.mood.send_blocks.set(false);
    alice.settle();
    alice.tunnel.start(network.now());
    alice.settle();
    assert_eq!(alice.handle.status(alice.peer).unwrap().connection, Connection::Idle);
    assert_eq!(alice.events, []);
}
