//! Futures that are dropped at random, at whatever they wait for, while traffic flows.

mod virtual_network;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use virtual_network::host::{Host, Wall, introduce, key_of, packet, wall};
use virtual_network::{Clock, Network, Seeded, Simulation, Socket};
use wg_core::{ClockUnavailable, Endpoint, Source, Tai64n, Tai64nClock};
use wg_nal::{Datagrams, LinkPolicy, Resources, Runner, Timestamps};

type Random = Rc<RefCell<Seeded>>;

fn below(random: &Random, limit: u64) -> u64 {
    random.borrow_mut().below(limit)
}

/// Waits for its turn up to two times.
async fn dawdle(random: &Random) {
    for _ in 0..below(random, 3) {
        embassy_futures::yield_now().await;
    }
}

/// An underlay that waits before and after each thing that it does.
struct Dawdling {
    socket: Socket,
    random: Random,
    /// Data messages, keepalives apart, that were dropped before they left.
    unsent: Rc<Cell<u32>>,
}

impl Datagrams for Dawdling {
    type Error = &'static str;

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), &'static str> {
        dawdle(&self.random).await;
        self.socket.receive(buf).await
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), &'static str> {
        let data = datagram.first() == Some(&4) && datagram.len() > 32;
        self.unsent.update(|n| n + u32::from(data));
        dawdle(&self.random).await;
        self.socket.send(to, datagram).await?;
        self.unsent.update(|n| n - u32::from(data));
        dawdle(&self.random).await;
        Ok(())
    }
}

/// A clock that writes into lasting memory, slowly.
struct Slow {
    wall: Wall,
    random: Random,
}

impl Tai64nClock for Slow {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        self.wall.next()
    }
}

impl Timestamps for Slow {
    type Error = std::convert::Infallible;

    fn is_short(&self) -> bool {
        below(&self.random, 4) == 0
    }

    async fn reserve(&mut self) -> Result<(), std::convert::Infallible> {
        dawdle(&self.random).await;
        Ok(())
    }
}

/// Polls a future a few times, then drops it.
async fn give_up_on<A>(random: &Random, future: impl Future<Output = A>) -> Option<A> {
    let mut future = pin!(future);
    let mut polls = below(random, 6);
    poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

struct Side {
    host: Host<Dawdling>,
    unsent: Rc<Cell<u32>>,
    cancelled: Rc<Cell<u32>>,
    may_cancel: Rc<Cell<bool>>,
    accepted: Cell<u32>,
    received: Rc<Cell<u32>>,
}

fn side(simulation: &mut Simulation<'_>, network: &Rc<Network>, number: u8) -> Side {
    let random = Rc::new(RefCell::new(Seeded(100 + u64::from(number))));
    let socket = Socket::new(network, number);
    let unsent = Rc::new(Cell::new(0));
    let underlay =
        Dawdling { socket: socket.clone(), random: random.clone(), unsent: unsent.clone() };
    let clock = Clock::new(network);
    let clock_set = Rc::new(Cell::new(true));
    let slow = Slow { wall: wall(network, clock_set.clone()), random: random.clone() };
    let resources: &mut Resources<'_, 2, 4, 1400, 3, 4> = Box::leak(Box::new(Resources::new()));
    let rng = Seeded(u64::from(number));
    let (mut interface, handle, runner) =
        wg_nal::new(resources, underlay, rng, slow, clock.clone());
    interface.set_link_policy(LinkPolicy::AlwaysUp);
    let key = key_of(number);
    handle.set_private_key(Some(&key));
    let (cancelled, may_cancel) = (Rc::<Cell<_>>::default(), Rc::new(Cell::new(true)));
    simulation.spawn(run(runner, random, cancelled.clone(), may_cancel.clone()));
    let host = Host { interface, handle, runner: None, socket, clock, clock_set, key };
    let (accepted, received) = (Cell::new(0), Rc::default());
    Side { host, unsent, cancelled, may_cancel, accepted, received }
}

/// Runs, and drops that at random, until it may not any more.
async fn run(
    mut runner: Runner<'static, Dawdling, Seeded, Slow, Clock>,
    random: Random,
    cancelled: Rc<Cell<u32>>,
    may_cancel: Rc<Cell<bool>>,
) {
    while may_cancel.get() {
        give_up_on(&random, runner.run()).await;
        cancelled.update(|n| n + 1);
    }
    runner.run().await;
}

impl Side {
    /// Sends a packet, receives what came, and asks for events, and gives up on all of it.
    fn act(&mut self, simulation: &mut Simulation<'_>, random: &Random) {
        let limit = Duration::from_secs(1);
        let Host { interface, handle, .. } = &mut self.host;
        let sent = packet("a packet");
        if simulation.block_on(limit, give_up_soon(random, interface.send(&sent))).is_some() {
            self.accepted.update(|n| n + 1);
        }
        let received = &self.received;
        while simulation
            .block_on(
                limit,
                give_up_soon(
                    random,
                    interface.receive(|bytes| {
                        assert_eq!(bytes, sent);
                        received.update(|n| n + 1);
                    }),
                ),
            )
            .is_some()
        {}
        simulation.block_on(limit, give_up_soon(random, handle.event()));
        simulation.block_on(limit, give_up_soon(random, handle.wait_link_up()));
    }
}

/// Polls a future once or twice, without waiting for what it waits for.
async fn give_up_soon<A>(random: &Random, future: impl Future<Output = A>) -> Option<A> {
    let mut future = pin!(future);
    let mut polls = below(random, 3);
    poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        cx.waker().wake_by_ref();
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

#[test]
fn ten_thousand_dropped_futures_lose_no_frame_and_no_packet_that_was_not_leaving() {
    let network = Network::new();
    let mut simulation = Simulation::new(&network);
    let mut a = side(&mut simulation, &network, 1);
    let mut b = side(&mut simulation, &network, 2);
    introduce(&a.host, &b.host);
    let random = Rc::new(RefCell::new(Seeded(7)));
    let mut rounds = 0;
    while a.cancelled.get().min(b.cancelled.get()) < 5_000 {
        for side in [&mut a, &mut b] {
            if below(&random, 2) == 0 {
                side.act(&mut simulation, &random);
            }
        }
        simulation.run_for(Duration::from_millis(below(&random, 300)));
        rounds += 1;
        assert!(rounds < 50_000, "{} and {}", a.cancelled.get(), b.cancelled.get());
    }
    println!(
        "{} and {} dropped runs in {rounds} rounds; {} and {} packets sent, {} and {} received, \
         {} and {} dropped while they left",
        a.cancelled.get(),
        b.cancelled.get(),
        a.accepted.get(),
        b.accepted.get(),
        a.received.get(),
        b.received.get(),
        a.unsent.get(),
        b.unsent.get(),
    );

    // Now nothing is dropped any more, and everything that is somewhere comes.
    for side in [&mut a, &mut b] {
        side.may_cancel.set(false);
        assert_eq!(side.host.interface.try_send(&packet("a packet")), Ok(true));
        side.accepted.update(|n| n + 1);
    }
    simulation.run_for(Duration::from_secs(30));
    for side in [&mut a, &mut b] {
        while side.host.interface.try_receive(|_| side.received.update(|n| n + 1)).is_some() {}
    }
    for (from, to) in [(&a, &b), (&b, &a)] {
        let counters = from.host.handle.counters();
        let kept = from.accepted.get() - counters.displaced - counters.abandoned - counters.refused;
        let lost = from.unsent.get() + to.host.handle.counters().overrun;
        assert_eq!(to.received.get(), kept - lost, "{counters:?}");
        assert!(to.received.get() > 500);
        assert_eq!(from.host.handle.waiting(), 0);
    }

    // All frames are there: three go out at once while nobody runs, and two come in.
    for (from, to) in [(0, 1), (1, 0)] {
        let sides = [&mut a, &mut b];
        let displaced = sides[from].host.handle.counters().displaced;
        for _ in 0..3 {
            assert_eq!(sides[from].host.interface.try_send(&packet("a packet")), Ok(true));
        }
        assert_eq!(sides[from].host.interface.try_send(&packet("a packet")), Ok(false));
        assert_eq!(sides[from].host.handle.counters().displaced, displaced);
        let overrun = sides[to].host.handle.counters().overrun;
        simulation.run_for(Duration::from_secs(1));
        for _ in 0..2 {
            assert_eq!(sides[to].host.interface.try_receive(|_| ()), Some(()));
        }
        assert_eq!(sides[to].host.interface.try_receive(|_| ()), None);
        assert_eq!(sides[to].host.handle.counters().overrun, overrun + 1);
    }
}
