//! Who has much to do leaves the others their turns: tasks beside the tunnel, and in the tunnel
//! what is sent, what is received, timers and commands.

mod last_first;
mod virtual_network;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use embassy_futures::yield_now;
use virtual_network::host::{Host, host, host_over, introduce, packet, pair, run};
use virtual_network::{Network, Simulation, Socket, address_of};
use wg_core::{Endpoint, Refusal, Source};
use wg_nal::Datagrams;

const SOON: Duration = Duration::from_secs(1);

/// A link that takes a while for each datagram, as one does whose buffer is full.
struct Slow(Socket);

impl Datagrams for Slow {
    type Error = &'static str;

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), &'static str> {
        self.0.receive(buf).await
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), &'static str> {
        yield_now().await;
        self.0.send(to, datagram).await
    }
}

/// Two hosts with a session, the first of which has a slow link and sends whenever there is room,
/// `most` times. Says after how many packets `until` was true.
fn flood(most: u32, until: impl Fn(&Network, &Host<Slow>, &mut Host) -> Option<bool>) -> u32 {
    let network = Network::new();
    let socket = Socket::new(&network, 1);
    let mut a = host_over(&network, 1, socket.clone(), Slow(socket));
    let mut b = host(&network, 2);
    introduce(&a, &b);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    assert_eq!(a.interface.try_send(&packet("hello")), Ok(true));
    simulation.run_for(SOON);
    assert_eq!(b.interface.try_receive(|packet| packet.to_vec()), Some(packet("hello")));

    let sent = Rc::new(Cell::new(0));
    let so_far = sent.clone();
    simulation.spawn(async move {
        for _ in 0..most {
            if until(&network, &a, &mut b) == Some(true) {
                return;
            }
            a.interface.send(&packet("one of many")).await.unwrap();
            so_far.set(so_far.get() + 1);
            // In a tunnel that stops there is always room.
            yield_now().await;
        }
    });
    simulation.run_for(Duration::ZERO);
    sent.get()
}

fn peer_of(a: &Host<Slow>, b: &Host) -> wg_core::PeerId {
    a.handle.find_peer(&b.key.public_key()).unwrap()
}

#[test]
fn who_sends_without_end_receives_all_the_same() {
    let (asked, before) = (Cell::new(0), Cell::new(0));
    let sent = flood(1000, |network, a, b| {
        let received = a.handle.status(peer_of(a, b))?.received_bytes;
        asked.set(asked.get() + 1);
        match asked.get() {
            10 => assert_eq!(b.interface.try_send(&packet("an answer")), Ok(true)),
            20 => network.pass(Duration::from_millis(20)),
            _ => {}
        }
        if asked.get() <= 20 {
            before.set(received);
        }
        Some(before.get() != received)
    });
    assert!((20..70).contains(&sent), "{sent} packets were sent before one was received");
}

#[test]
fn who_sends_without_end_stops_when_told() {
    let told = Cell::new(0);
    let sent = flood(1000, |_, a, _| {
        told.set(told.get() + 1);
        if told.get() == 20 {
            a.handle.stop();
        }
        // The runner returns, and is dropped.
        Some(a.handle.public_key().is_none())
    });
    assert!((19..70).contains(&sent), "{sent} packets were sent before the tunnel stopped");
}

#[test]
fn who_sends_without_end_serves_the_timers() {
    let asked = Cell::new(0);
    let sent = flood(1000, |network, a, _| {
        asked.set(asked.get() + 1);
        if asked.get() == 20 {
            // No answer came for longer than 15 s: a new session is asked for.
            network.pass(17 * SOON);
        }
        let initiations = network.sent_by(a.address()).iter().filter(|len| **len == 148).count();
        Some(initiations > 1)
    });
    assert!((19..70).contains(&sent), "{sent} packets were sent before a timer was served");
}

/// A socket in which there is always another datagram, so many times.
struct Flooded(Rc<Cell<u32>>);

impl Datagrams for Flooded {
    type Error = &'static str;

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), &'static str> {
        let Some(left) = self.0.get().checked_sub(1) else { return pending().await };
        self.0.set(left);
        buf[..4].copy_from_slice(b"junk");
        Ok((4, address_of(66).into()))
    }

    async fn send(&mut self, _: Endpoint, _: &[u8]) -> Result<(), &'static str> {
        Ok(())
    }
}

#[test]
fn a_flood_of_datagrams_leaves_other_tasks_their_turns() {
    let network = Network::new();
    let left = Rc::new(Cell::new(1000));
    let mut a = host_over(&network, 1, Socket::new(&network, 1), Flooded(left.clone()));
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    let turns = Rc::new(Cell::new(0));
    let (counted, flooding) = (turns.clone(), left.clone());
    simulation.spawn(async move {
        while flooding.get() > 0 {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    simulation.run_for(SOON);
    assert_eq!(a.handle.refusals().count(Refusal::Malformed), 1000);
    assert!(turns.get() >= 100, "{} turns beside 1000 datagrams", turns.get());
}

/// A reader that reads all there is in its turn loses nothing, however many datagrams wait.
#[test]
fn a_burst_leaves_who_reads_its_turn_on_an_executor_that_prefers_who_was_woken_last() {
    const BURST: u32 = 1000;
    let network = Network::new();
    let (a, b) = pair(&network);
    let (mut a_runner, mut b_runner) = (a.runner.unwrap(), b.runner.unwrap());
    let (mut sending, mut reading) = (a.interface, b.interface);
    let read = Cell::new(0);
    let test = async {
        sending.send(&packet("hello")).await.unwrap();
        while read.get() == 0 {
            network.pass(Duration::from_millis(20));
            yield_now().await;
        }
        for _ in 0..BURST {
            sending.send(&packet("one of many")).await.unwrap();
        }
        for _ in 0..10 {
            yield_now().await;
        }
        network.pass(Duration::from_millis(20));
        while read.get() + b.handle.counters().overrun <= BURST {
            yield_now().await;
        }
    };
    last_first::run(vec![
        Box::pin(async { a_runner.run().await }),
        Box::pin(async { b_runner.run().await }),
        Box::pin(async {
            loop {
                reading.receive(|_| read.set(read.get() + 1)).await;
            }
        }),
        Box::pin(test),
    ]);
    assert_eq!((read.get(), b.handle.counters()), (BURST + 1, Default::default()));
}

#[test]
fn who_sends_into_a_tunnel_that_does_not_run_leaves_other_tasks_their_turns() {
    for begun in [false, true] {
        let network = Network::new();
        let (mut a, _b) = pair(&network);
        let mut simulation = Simulation::new(&network);
        if begun {
            run(&mut simulation, &mut a);
            simulation.run_for(SOON);
            a.handle.stop();
            simulation.run_for(SOON);
        }
        let sent = Rc::new(Cell::new(0));
        let (so_far, mut interface) = (sent.clone(), a.interface);
        simulation.spawn(async move {
            for _ in 0..1000 {
                interface.send(&packet("into the void")).await.unwrap();
                so_far.set(so_far.get() + 1);
            }
        });
        let turns = Rc::new(Cell::new(0));
        let (counted, sending) = (turns.clone(), sent.clone());
        simulation.spawn(async move {
            while sending.get() < 1000 {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        simulation.run_for(SOON);
        assert_eq!(sent.get(), 1000);
        assert!(turns.get() >= 1000, "{} turns beside 1000 packets", turns.get());
    }
}

/// Else a flood of datagrams, each of which ends the wait, holds back all timers on embassy.
#[cfg(feature = "embassy")]
#[test]
fn embassys_time_does_not_wait_for_what_has_passed() {
    use wg_nal::{EmbassyTime, Monotonic};
    let passed = EmbassyTime.now();
    let waited = futures_lite::future::poll_once(EmbassyTime.delay_until(passed));
    assert_eq!(embassy_futures::block_on(waited), Some(()));
}
