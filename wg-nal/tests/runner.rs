//! The tunnel that runs as a task, over a network in memory.

mod virtual_network;

use std::time::Duration;

use virtual_network::host::{packet, pair, run};
use virtual_network::{Network, Simulation, address_of};
use wg_core::{Event, Refusal};
use wg_nal::LinkPolicy;

const SOON: Duration = Duration::from_secs(1);

#[test]
fn a_packet_asks_for_the_session_and_arrives() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    simulation.run_for(SOON);
    assert_eq!(network.record.borrow().len(), 0, "nothing was asked for");

    let sent = packet("hello");
    assert_eq!(a.interface.try_send(&sent), Ok(true));
    let received = simulation.block_on(SOON, b.interface.receive(|packet| packet.to_vec()));
    assert_eq!(received, sent);
    assert!(matches!(a.handle.try_event(), Some(Event::SessionUp(_))));
    assert_eq!(a.handle.waiting(), 0);
}

#[test]
fn packets_that_wait_keep_their_order_and_the_oldest_goes_first() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    network.lose(100);
    for number in 0..5 {
        assert_eq!(a.interface.try_send(&packet(&format!("{number}"))), Ok(true));
        simulation.run_for(Duration::from_millis(1));
    }
    assert_eq!(a.handle.counters().displaced, 2, "three frames wait");
    network.lose(0);
    run(&mut simulation, &mut b);
    for number in 2..5 {
        let received = simulation.block_on(SOON * 6, b.interface.receive(|packet| packet.to_vec()));
        assert_eq!(received, packet(&format!("{number}")));
    }
}

/// A sender that waits for room is told when the packets before it come to wait for a session.
#[test]
fn a_newer_packet_does_not_wait_for_the_session_of_older_ones() {
    let network = Network::new();
    let (mut a, _b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    simulation.run_for(SOON);
    simulation.block_on(SOON, async {
        for number in 0..8 {
            a.interface.send(&packet(&format!("{number}"))).await.unwrap();
        }
    });
    assert_eq!(a.handle.counters().displaced, 5);
}

#[test]
fn packets_to_a_peer_that_does_not_answer_are_dropped_in_the_end() {
    let network = Network::new();
    let (mut a, _b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    assert_eq!(a.interface.try_send(&packet("hello")), Ok(true));
    simulation.run_for(SOON * 120);
    assert_eq!(a.handle.counters().abandoned, 1);
    assert_eq!(a.handle.refusals().count(Refusal::Unanswered), 1);
    assert_eq!(a.handle.waiting(), 0);
}

#[test]
fn an_idle_hour_wakes_nobody_after_the_keys_are_wiped() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    assert_eq!(a.interface.try_send(&packet("hello")), Ok(true));
    simulation.run_for(Duration::from_secs(541));
    let (before_a, before_b) = (a.clock.wakeups.get(), b.clock.wakeups.get());
    assert!(before_a > 0);
    simulation.run_for(Duration::from_secs(3600));
    assert_eq!((a.clock.wakeups.get(), b.clock.wakeups.get()), (before_a, before_b));
}

#[test]
fn an_hour_of_keepalives_wakes_as_often_as_they_are_sent() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    let peer = a.handle.find_peer(&b.key.public_key()).unwrap();
    a.handle.set_persistent_keepalive(peer, 25);
    simulation.run_for(SOON);
    let sent = || network.sent_by(a.socket.address.get());
    let (before, already) = (a.clock.wakeups.get(), sent().len());
    simulation.run_for(Duration::from_secs(3600));
    let wakeups = a.clock.wakeups.get() - before;
    let lengths = sent().split_off(already);
    let count = |len| lengths.iter().filter(|sent| **sent == len).count() as u32;
    let (rekeys, keepalives) = (count(148), count(32));
    println!("{wakeups} timer wake-ups in an hour: {keepalives} keepalives, {rekeys} rekeys apart");
    assert!((130..=150).contains(&wakeups), "{wakeups} wake-ups, {rekeys} rekeys");
    // A rekey is made when a keepalive was due anyway, so it wakes nobody; it ends with an empty
    // packet, which the next keepalive counts from.
    assert!((20..=31).contains(&rekeys), "{rekeys}");
    assert!((130..=180).contains(&keepalives), "{keepalives}");
    assert_eq!(lengths.len() as u32, rekeys + keepalives, "nothing else was sent");
}

#[test]
fn stopping_wipes_the_session_and_running_again_makes_another() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut b);
    let mut runner = a.runner.take().unwrap();
    let handle = a.handle.clone();
    simulation.spawn(async move {
        for _ in 0..2 {
            runner.run().await;
            assert!(!handle.is_link_up());
        }
        drop(runner);
        assert_eq!(handle.public_key(), None, "dropping wipes the private key");
    });
    for text in ["first", "second"] {
        simulation.run_for(SOON);
        assert_eq!(a.interface.try_send(&packet(text)), Ok(true));
        let received =
            simulation.block_on(SOON * 10, b.interface.receive(|packet| packet.to_vec()));
        assert_eq!(received, packet(text));
        a.handle.stop();
        simulation.run_for(SOON);
    }
    assert_eq!(a.handle.public_key(), None);
}

#[test]
fn what_a_handle_sets_after_the_runner_was_dropped_is_wiped() {
    let network = Network::new();
    let (mut a, b) = pair(&network);
    a.runner = None;
    a.handle.set_private_key(Some(&a.key));
    assert_eq!(a.handle.public_key(), None);
    a.add_peer(&b.key, Some(b.address()));
    assert_eq!(a.handle.find_peer(&b.key.public_key()), None);
    // What is sent does not stay either.
    assert_eq!(a.interface.try_send(&packet("to nobody")), Ok(true));
    assert_eq!((a.handle.waiting(), a.handle.counters().abandoned), (0, 1));
}

#[test]
fn an_underlay_that_fails_is_left_alone_for_a_while_and_comes_back() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    b.socket.fails.set(20);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    simulation.run_for(SOON);
    assert_eq!(b.handle.counters().receive_errors, 5, "at once and every 250 ms");
    simulation.run_for(SOON * 10);
    assert_eq!(a.interface.try_send(&packet("hello")), Ok(true));
    simulation.block_on(SOON, b.interface.receive(|_| ()));
}

#[test]
fn a_session_link_comes_up_by_itself_and_again_after_silence() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    a.interface.set_link_policy(LinkPolicy::Session);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    simulation.run_for(SOON * 300);
    assert!(!a.handle.is_link_up(), "nobody answers");
    run(&mut simulation, &mut b);
    let handle = a.handle.clone();
    simulation.block_on(SOON * 6, handle.wait_link_up());
    for _ in 0..3 {
        simulation.run_for(SOON * 600);
        simulation.block_on(SOON * 6, handle.wait_link_up());
    }
    assert_eq!(address_of(1), a.socket.address.get());
}

#[test]
fn the_tunnels_own_datagrams_are_not_sent_through_it() {
    let network = Network::new();
    let (mut a, b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    assert_eq!(a.interface.try_send(&packet("hello")), Ok(true));
    simulation.run_for(SOON);
    let (_, initiation) = network.arrived(b.address()).unwrap();
    let mut looped = packet("....!!!!");
    looped[9] = 17;
    looped[16..20].copy_from_slice(&[192, 0, 2, 2]);
    looped[20..24].copy_from_slice(&[0xca, 0x6c, 0xca, 0x6c]);
    looped.extend(initiation);
    assert_eq!(a.interface.try_send(&looped), Ok(true));
    simulation.run_for(SOON);
    assert_eq!((a.handle.counters().routing_loops, a.handle.waiting()), (1, 1));
    assert_eq!(network.sent_by(a.address()), [148]);
}

/// The tasks of an application, each of which waits until it can connect.
#[test]
fn many_tasks_wait_for_the_link_and_sleep_meanwhile() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    a.interface.set_link_policy(LinkPolicy::Session);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    let told = std::rc::Rc::new(std::cell::Cell::new(0));
    for _ in 0..5 {
        let (handle, told) = (a.handle.clone(), told.clone());
        simulation.spawn(async move {
            handle.wait_link_up().await;
            told.set(told.get() + 1);
        });
    }
    simulation.run_for(SOON * 60);
    assert_eq!(told.get(), 0);
    run(&mut simulation, &mut b);
    let handle = a.handle.clone();
    simulation.block_on(SOON * 6, handle.wait_link_up());
    simulation.run_for(SOON * 5);
    assert_eq!(told.get(), 5);
}
