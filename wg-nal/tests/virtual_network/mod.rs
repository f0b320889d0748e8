//! A network in memory, with loss, reordering and virtual time, and an executor that makes the
//! time pass.
//!
//! Everything is deterministic: time moves only when no task has anything to do, to the next
//! timer or arrival, and randomness is seeded.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

pub mod host;
// Of wg-core's tests: it is not in the package, and nobody tests a package's.
#[path = "../../../wg-core/tests/pair/seeded.rs"]
mod seeded;
#[cfg(feature = "embedded-nal")]
pub mod stack;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pub use seeded::Seeded;
use wg_core::{Endpoint, Instant, Source};
use wg_nal::{Datagrams, Monotonic};

/// How long a datagram lies at an address where nobody fetches it.
const LIFETIME: Duration = Duration::from_secs(120);

struct Flight {
    due: Instant,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

struct Alarm {
    at: Instant,
    waker: Waker,
}

/// Datagrams between hosts, and the time.
pub struct Network {
    now: Cell<Instant>,
    loss_percent: Cell<u64>,
    /// Datagrams arrive after 10 ms, and up to so much later.
    jitter: Cell<Duration>,
    rng: RefCell<Seeded>,
    flights: RefCell<Vec<Flight>>,
    alarms: RefCell<Vec<Alarm>>,
    listeners: RefCell<Vec<(SocketAddr, Waker)>>,
    /// The lengths of all datagrams that were ever sent, with their senders.
    pub record: RefCell<Vec<(SocketAddr, usize)>>,
    /// The sender and the length of each data message that was sent and never fetched.
    pub lost_data: RefCell<Vec<(SocketAddr, usize)>>,
}

impl Network {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(Instant::from_secs(1)),
            loss_percent: Cell::new(0),
            jitter: Cell::new(Duration::ZERO),
            rng: RefCell::new(Seeded(42)),
            flights: RefCell::default(),
            alarms: RefCell::default(),
            listeners: RefCell::default(),
            record: RefCell::default(),
            lost_data: RefCell::default(),
        })
    }

    pub fn now(&self) -> Instant {
        self.now.get()
    }

    pub fn lose(&self, percent: u64) {
        self.loss_percent.set(percent);
    }

    pub fn reorder(&self, jitter: Duration) {
        self.jitter.set(jitter);
    }

    /// Puts a datagram on its way.
    pub fn carry(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.record.borrow_mut().push((from, bytes.len()));
        let mut rng = self.rng.borrow_mut();
        if rng.below(100) < self.loss_percent.get() {
            self.lose_one(from, bytes);
            return;
        }
        let late = rng.below(self.jitter.get().as_micros() as u64 + 1);
        let due = self.now().saturating_add(Duration::from_micros(10_000 + late));
        let mut flights = self.flights.borrow_mut();
        let expired = |f: &mut Flight| f.due.saturating_add(LIFETIME) < self.now();
        for flight in flights.extract_if(.., expired) {
            self.lose_one(flight.from, &flight.bytes);
        }
        flights.push(Flight { due, from, to, bytes: bytes.to_vec() });
    }

    fn lose_one(&self, from: SocketAddr, bytes: &[u8]) {
        if bytes.first() == Some(&4) {
            self.lost_data.borrow_mut().push((from, bytes.len()));
        }
    }

    /// Nothing is on its way any more, and nothing is left lying.
    pub fn sweep(&self) {
        for flight in self.flights.take() {
            self.lose_one(flight.from, &flight.bytes);
        }
    }

    /// Lets time pass for those who look at the clock themselves.
    pub fn pass(&self, time: Duration) {
        let end = self.now().saturating_add(time);
        while self.advance(end) {}
    }

    /// Wakes `waker` at `at`, in place of what it was to be woken for before.
    pub fn wake_at(&self, at: Instant, waker: &Waker) {
        let mut alarms = self.alarms.borrow_mut();
        alarms.retain(|alarm| !alarm.waker.will_wake(waker));
        alarms.push(Alarm { at, waker: waker.clone() });
    }

    /// Wakes those who wait at an address: their host moved.
    pub fn wake_listeners(&self, at: SocketAddr) {
        for (_, waker) in self.listeners.borrow_mut().extract_if(.., |(there, _)| *there == at) {
            waker.wake();
        }
    }

    /// Wakes `waker` when something arrives at an address.
    pub fn wake_on_arrival(&self, at: SocketAddr, waker: &Waker) {
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(|(_, listener)| !listener.will_wake(waker));
        listeners.push((at, waker.clone()));
    }

    /// What has arrived at an address: the datagram that came first.
    pub fn arrived(&self, at: SocketAddr) -> Option<(SocketAddr, Vec<u8>)> {
        let mut flights = self.flights.borrow_mut();
        let due = |flight: &&Flight| flight.to == at && flight.due <= self.now();
        let due = flights.iter().filter(due).map(|flight| flight.due).min()?;
        let first = flights.iter().position(|flight| flight.to == at && flight.due == due)?;
        let Flight { from, bytes, .. } = flights.remove(first);
        Some((from, bytes))
    }

    pub fn sent_by(&self, host: SocketAddr) -> Vec<usize> {
        self.record.borrow().iter().filter(|(from, _)| *from == host).map(|(_, len)| *len).collect()
    }

    /// Moves to the next alarm or arrival, no later than `end`; false when there is none.
    fn advance(&self, end: Instant) -> bool {
        let listening = |to| self.listeners.borrow().iter().any(|(at, _)| *at == to);
        let arrivals = self.flights.borrow();
        let arrivals = arrivals.iter().filter(|flight| listening(flight.to)).map(|f| f.due);
        let next = self.alarms.borrow().iter().map(|alarm| alarm.at).chain(arrivals).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now.set(end);
            return false;
        };
        self.now.set(self.now().max(next));
        let now = self.now();
        for alarm in self.alarms.borrow_mut().extract_if(.., |alarm| alarm.at <= now) {
            alarm.waker.wake();
        }
        let flights = self.flights.borrow();
        let reached = |at| flights.iter().any(|flight| flight.to == at && flight.due <= now);
        for (_, waker) in self.listeners.borrow_mut().extract_if(.., |(at, _)| reached(*at)) {
            waker.wake();
        }
        true
    }
}

/// A host's clock, which counts how often it wakes somebody.
#[derive(Clone)]
pub struct Clock {
    network: Rc<Network>,
    pub wakeups: Rc<Cell<u32>>,
}

impl Clock {
    pub fn new(network: &Rc<Network>) -> Self {
        Self { network: network.clone(), wakeups: Rc::default() }
    }
}

impl Monotonic for Clock {
    fn now(&self) -> Instant {
        self.network.now()
    }

    async fn delay_until(&self, at: Instant) {
        let mut waited = false;
        poll_fn(|cx| {
            if self.network.now() >= at {
                self.wakeups.set(self.wakeups.get() + u32::from(waited));
                return Poll::Ready(());
            }
            waited = true;
            self.network.wake_at(at, cx.waker());
            Poll::Pending
        })
        .await;
    }
}

/// A socket of the network. Its address can change under it.
#[derive(Clone)]
pub struct Socket {
    pub network: Rc<Network>,
    pub address: Rc<Cell<SocketAddr>>,
    /// The next operations fail so.
    pub fails: Rc<Cell<u32>>,
}

impl Socket {
    pub fn new(network: &Rc<Network>, host: u8) -> Self {
        let address = Rc::new(Cell::new(address_of(host)));
        Self { network: network.clone(), address, fails: Rc::default() }
    }

    /// Changes the address, and wakes who waits at the old one.
    pub fn move_to(&self, address: SocketAddr) {
        let old = self.address.replace(address);
        self.network.wake_listeners(old);
    }

    fn fail(&self) -> Result<(), &'static str> {
        match self.fails.get() {
            0 => Ok(()),
            more => {
                self.fails.set(more - 1);
                Err("the link is gone")
            }
        }
    }
}

pub fn address_of(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 51820)
}

impl Datagrams for Socket {
    type Error = &'static str;

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), &'static str> {
        poll_fn(|cx| {
            self.fail()?;
            let at = self.address.get();
            while let Some((from, bytes)) = self.network.arrived(at) {
                // What is longer is dropped, as the trait says.
                if let Some(room) = buf.get_mut(..bytes.len()) {
                    room.copy_from_slice(&bytes);
                    return Poll::Ready(Ok((bytes.len(), from.into())));
                }
            }
            self.network.wake_on_arrival(at, cx.waker());
            Poll::Pending
        })
        .await
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), &'static str> {
        self.fail()?;
        self.network.carry(self.address.get(), to.remote, datagram);
        Ok(())
    }
}

/// Tasks over a network.
pub struct Simulation<'t> {
    network: Rc<Network>,
    tasks: Vec<Task<'t>>,
    spawned: u32,
}

struct Task<'t> {
    id: u32,
    future: Pin<Box<dyn Future<Output = ()> + 't>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'t> Simulation<'t> {
    pub fn new(network: &Rc<Network>) -> Self {
        Self { network: network.clone(), tasks: Vec::new(), spawned: 0 }
    }

    /// Spawns a task, and says how to abort it.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 't) -> u32 {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.spawned += 1;
        self.tasks.push(Task { id: self.spawned, future: Box::pin(future), woken });
        self.spawned
    }

    /// Drops a task.
    pub fn abort(&mut self, id: u32) {
        self.tasks.retain(|task| task.id != id);
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.network.now().saturating_add(time);
        self.poll_all();
        while self.network.advance(end) {
            self.poll_all();
        }
    }

    /// Runs until `future` is done, or panics when that takes longer than `limit`.
    pub fn block_on<A>(&mut self, limit: Duration, future: impl Future<Output = A>) -> A {
        self.drive(limit, future, |network, end| network.advance(end))
    }

    /// The same beside tasks that go by the real time: the virtual one goes no faster.
    pub fn block_on_live<A>(&mut self, limit: Duration, future: impl Future<Output = A>) -> A {
        let tick = Duration::from_millis(1);
        self.drive(limit, future, |network, end| {
            std::thread::sleep(tick);
            network.pass(tick);
            network.now() < end
        })
    }

    fn drive<A>(
        &mut self,
        limit: Duration,
        future: impl Future<Output = A>,
        advance: impl Fn(&Network, Instant) -> bool,
    ) -> A {
        let mut future = std::pin::pin!(future);
        let end = self.network.now().saturating_add(limit);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = woken.clone().into();
        loop {
            if woken.0.swap(false, Ordering::Relaxed)
                && let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return answer;
            }
            if !self.poll_woken() && !woken.0.load(Ordering::Relaxed) {
                assert!(advance(&self.network, end), "not done within {limit:?}");
            }
        }
    }

    fn poll_all(&mut self) {
        let mut rounds = 0;
        while self.poll_woken() {
            rounds += 1;
            assert!(rounds < 10_000, "a task wakes itself for ever");
        }
    }

    fn poll_woken(&mut self) -> bool {
        let mut any = false;
        self.tasks.retain_mut(|task| {
            if !task.woken.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            any = true;
            let waker = task.woken.clone().into();
            task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        any
    }
}
