//! The tunnel that runs as a task.

use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use embassy_futures::select::{Either, Either3, select, select3};
use embassy_futures::yield_now;
use wg_core::rand_core::CryptoRng;
use wg_core::{DATA_OVERHEAD, INITIATION_LEN, Instant, Source};

use crate::clock::Timestamps;
use crate::datagrams::Datagrams;
use crate::handle::Handle;
use crate::interface::Interface;
use crate::monotonic::Monotonic;
use crate::resources::Resources;
use crate::shared::{Outgoing, Place, Shared, State, count};
use crate::waker::TURNS;

/// How long an underlay that failed to receive is left alone, so that one that fails for long
/// costs little.
pub const RECEIVE_PAUSE: Duration = Duration::from_millis(250);

/// How long lasting memory that failed is left alone, whoever sends datagrams.
const RESERVE_PAUSE: Duration = Duration::from_secs(5);

/// So many datagrams go out or come in before everybody else has a turn: those that come in, or
/// the other tasks of the executor.
const IN_A_ROW: usize = 8;

/// An IPv6 address, to which datagrams are shorter than to an IPv4 one.
const ANY_V6: core::net::IpAddr = core::net::IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED);

/// Makes a tunnel in `resources`, over the datagrams of `underlay`.
///
/// - The [`Interface`] is the inside: packets, for a network stack or for a program.
/// - The [`Handle`] gives it a key and peers, and tells what happens.
/// - The [`Runner`] does the work while its [`run`](Runner::run) runs. Spawn it.
///
/// The MTU is the resources', or what the underlay carries whole to an IPv6 endpoint where that
/// is less: [`Interface::set_mtu`].
pub fn new<
    'd,
    U: Datagrams,
    R: CryptoRng,
    C: Timestamps,
    T: Monotonic + Clone,
    const PEERS: usize,
    const ROUTES: usize,
    const MTU: usize,
    const RX: usize,
    const TX: usize,
>(
    resources: &'d mut Resources<'d, PEERS, ROUTES, MTU, RX, TX>,
    underlay: U,
    rng: R,
    clock: C,
    time: T,
) -> (Interface<'d>, Handle<'d, T>, Runner<'d, U, R, C, T>) {
    let parts = resources.parts();
    let whole = underlay.largest_datagram(ANY_V6).saturating_sub(DATA_OVERHEAD);
    let interface = Interface::new(parts.shared, parts.leaving, parts.largest_mtu, whole);
    let handle = Handle::new(parts.shared, time.clone());
    let runner = Runner {
        shared: parts.shared,
        underlay,
        rng,
        clock,
        time,
        arrived: parts.arriving,
        leaving: &mut [],
        own: [0; INITIATION_LEN],
        stamped: false,
        no_reserve_before: Instant::ZERO,
        deaf_until: None,
    };
    (interface, handle, runner)
}

/// Moves datagrams between an underlay and a tunnel.
///
/// Dropping it wipes all keys, the private key included, and forgets the peers. What a [`Handle`]
/// sets later is wiped at once, and what the [`Interface`] is to send is dropped.
pub struct Runner<'d, U, R, C, T> {
    shared: &'d RefCell<Shared<'d>>,
    underlay: U,
    rng: R,
    clock: C,
    time: T,
    /// Where the underlay receives.
    arrived: &'d mut [u8],
    /// The frame of the datagram that is being sent. Here and not in a future, so that it is not
    /// lost with one.
    leaving: &'d mut [u8],
    /// The handshake message or keepalive that was made last.
    own: [u8; INITIATION_LEN],
    /// The clock may be short of timestamps: one was taken, or none could be reserved.
    stamped: bool,
    /// None could be reserved: not before then again.
    no_reserve_before: Instant,
    /// The underlay failed to receive: not before then again.
    deaf_until: Option<Instant>,
}

enum Woken {
    Datagram(usize, Source),
    Deaf,
    Work,
    Deadline,
}

impl<U: Datagrams, R: CryptoRng, C: Timestamps, T: Monotonic> Runner<'_, U, R, C, T> {
    /// Runs the tunnel until [`Handle::stop`]. Between two wake-ups it sleeps until the engine's
    /// next deadline, and without one for ever.
    ///
    /// The future can be dropped at any point: a datagram that was being sent may be lost, and
    /// nothing else; the next call goes on. While it does not run, nothing is received and no
    /// timer is served.
    pub async fn run(&mut self) {
        let now = self.time.now();
        self.shared.borrow_mut().start(now);
        self.reserve().await;
        loop {
            for _ in 0..IN_A_ROW {
                let more = self.send_some().await;
                if self.shared.borrow().state == State::Stopping {
                    let now = self.time.now();
                    self.shared.borrow_mut().stop(now);
                    self.arrived.fill(0);
                    return;
                }
                let may_reserve = self.stamped && self.time.now() >= self.no_reserve_before;
                if may_reserve && core::mem::take(&mut self.stamped) && self.clock.is_short() {
                    self.reserve().await;
                }
                match self.wait(more).await {
                    Woken::Datagram(len, from) => self.handle_datagram(len, from).await,
                    Woken::Deaf => {
                        count(&mut self.shared.borrow_mut().counters.receive_errors);
                        self.deaf_until = Some(self.time.now().saturating_add(RECEIVE_PAUSE));
                    }
                    Woken::Deadline => {
                        let now = self.time.now();
                        self.shared.borrow_mut().handle_timeout(now);
                    }
                    Woken::Work => {}
                }
            }
            // An underlay in which there is always a datagram never makes this task wait.
            yield_now().await;
        }
    }

    /// The underlay, for its own needs.
    pub fn underlay(&mut self) -> &mut U {
        &mut self.underlay
    }

    /// The clock of timestamps.
    pub fn clock(&mut self) -> &mut C {
        &mut self.clock
    }

    /// The random source, to be given fresh entropy.
    pub fn rng(&mut self) -> &mut R {
        &mut self.rng
    }

    /// Waits for something to do, not at all when there is `more` to send.
    async fn wait(&mut self, more: bool) -> Woken {
        let now = self.time.now();
        self.deaf_until = self.deaf_until.filter(|until| *until > now);
        let deadline = self.shared.borrow_mut().poll_timeout().map(|(at, _)| at);
        let work = poll_fn(|cx| {
            let mut shared = self.shared.borrow_mut();
            if more || shared.has_work() {
                return Poll::Ready(());
            }
            shared.waiting.runner.register(cx);
            Poll::Pending
        });
        let (until, deaf) = match (deadline, self.deaf_until) {
            (Some(deadline), Some(deaf)) => (Some(deadline.min(deaf)), true),
            (None, Some(deaf)) => (Some(deaf), true),
            (deadline, None) => (deadline, false),
        };
        let timer = async {
            match until {
                Some(at) => self.time.delay_until(at).await,
                None => core::future::pending().await,
            }
        };
        if deaf {
            return match select(pin!(timer), work).await {
                Either::First(()) => Woken::Deadline,
                Either::Second(()) => Woken::Work,
            };
        }
        // Timers first: they come to rest when they are served. Work has its turn after each
        // datagram anyway, so that neither packets nor datagrams in a flood hold back the others.
        let receive = self.underlay.receive(self.arrived);
        match select3(pin!(timer), pin!(receive), work).await {
            Either3::First(()) => Woken::Deadline,
            Either3::Second(Ok((len, from))) => Woken::Datagram(len, from),
            Either3::Second(Err(_error)) => {
                warn!("the underlay failed to receive: {}", Shown(&_error));
                Woken::Deaf
            }
            Either3::Third(()) => Woken::Work,
        }
    }

    async fn handle_datagram(&mut self, len: usize, from: Source) {
        let now = self.time.now();
        let reply = self.shared.borrow_mut().handle_datagram(
            now,
            &mut self.rng,
            from,
            &mut self.arrived,
            len,
        );
        if let Some(reply) = reply {
            self.send(reply).await;
        }
        // A burst would overrun the stack in the tunnel, which had no turn to read.
        for _ in 0..TURNS {
            if self.shared.borrow().inbound.has_vacancy() {
                return;
            }
            yield_now().await;
        }
    }

    /// Sends what can go; true when there may be more.
    async fn send_some(&mut self) -> bool {
        // A future was dropped while it sent this.
        if !self.leaving.is_empty() {
            self.sent();
        }
        for _ in 0..IN_A_ROW {
            let now = self.time.now();
            let underlay = &self.underlay;
            let next = self.shared.borrow_mut().next_datagram(
                now,
                &mut self.clock,
                &mut self.rng,
                &mut self.own,
                &mut self.leaving,
                |to| underlay.largest_datagram(to),
            );
            let Some(next) = next else { return false };
            self.send(next).await;
        }
        true
    }

    async fn send(&mut self, Outgoing { to, place, len }: Outgoing) {
        self.stamped |= place == Place::Own && len == INITIATION_LEN;
        let datagram = match place {
            Place::Own => self.own.get(..len),
            Place::Frame => self.leaving.get(..len),
            Place::Arrived => self.arrived.get(..len),
        };
        let sent = self.underlay.send(to, datagram.unwrap_or_default()).await;
        if let Err(_error) = sent {
            warn!("the underlay failed to send to {}: {}", to.remote, Shown(&_error));
            count(&mut self.shared.borrow_mut().counters.unsent);
        }
        if place == Place::Frame {
            self.sent();
        }
    }

    /// The frame is free again.
    fn sent(&mut self) {
        let frame = core::mem::take(&mut self.leaving);
        self.shared.borrow_mut().give_back(frame);
    }

    async fn reserve(&mut self) {
        if let Err(_error) = self.clock.reserve().await {
            warn!("timestamps could not be reserved: {}", Shown(&_error));
            count(&mut self.shared.borrow_mut().counters.reserve_errors);
            self.stamped = true;
            self.no_reserve_before = self.time.now().saturating_add(RESERVE_PAUSE);
        }
        let standing = self.clock.standing();
        let mut shared = self.shared.borrow_mut();
        if shared.standing != standing {
            shared.standing = standing;
            if let Some(_standing) = standing {
                info!("{}", _standing);
            }
        }
    }
}

impl<U, R, C, T> Drop for Runner<'_, U, R, C, T> {
    fn drop(&mut self) {
        self.arrived.fill(0);
        self.leaving.fill(0);
        self.shared.borrow_mut().retire();
    }
}

/// An error of somebody else's, of which only `Debug` is known.
pub(crate) struct Shown<'e, E>(pub(crate) &'e E);

impl<E: core::fmt::Debug> core::fmt::Display for Shown<'_, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}
