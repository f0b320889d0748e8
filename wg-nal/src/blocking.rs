//! The tunnel for firmware without an executor.

use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;

use embedded_nal::{UdpFullStack, nb};
use wg_core::constants::REKEY_TIMEOUT;
use wg_core::rand_core::CryptoRng;
use wg_core::{DATA_OVERHEAD, INITIATION_LEN, Instant, Reason, Source, Tai64nClock};

use crate::handle::Handle;
use crate::interface::Interface;
use crate::monotonic::Monotonic;
use crate::resources::Resources;
use crate::shared::{Outgoing, Place, Shared, State, count};

/// How many datagrams one [`Tunnel::poll`] takes from the stack, and how many deadlines it
/// serves, at most.
///
/// An initiation, the most expensive of datagrams, costs four X25519 operations.
pub const DATAGRAMS_PER_POLL: usize = 8;

/// How long a datagram that the stack does not take is offered again and again: until the
/// protocol itself has a newer one to offer.
pub const PATIENCE: Duration = REKEY_TIMEOUT;

/// The largest UDP payload that leaves whole over an underlay of 1500 bytes: 1452 over IPv6.
const LARGEST_DATAGRAM: usize = 1452;

/// When to call [`Tunnel::poll`] again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Polled {
    /// The latest time for it, and why; `None` while no timer runs. In the past when more
    /// deadlines were due than one call serves. It knows nothing of a datagram that the stack did
    /// not take: that waits for the next call, which is to come when the stack may have room.
    pub deadline: Option<(Instant, Reason)>,
    /// There may be more to do than one call does: call again soon.
    pub more: bool,
}

/// A WireGuard tunnel over the UDP socket of a [`UdpFullStack`].
///
/// Nothing in it blocks, and nothing happens between two calls: the firmware calls
/// [`poll`](Self::poll) when [`Polled`] says so and as often as it wants to look for
/// datagrams. Packets go in and out by the [`Interface`].
///
/// # A stack that is not ready
///
/// A datagram to which the stack says [`WouldBlock`](nb::Error::WouldBlock) is kept and offered
/// again in each call, as the convention of `nb` asks. Datagrams behind it keep their order.
/// After [`PATIENCE`] it is dropped and counted in [`Counters::unsent`](crate::Counters).
/// Receiving goes on all the while. A datagram with which the stack fails is lost, which the
/// protocol expects of datagrams: the error is returned, and the next call goes on.
pub struct Tunnel<'d, S: UdpFullStack, R, C> {
    shared: &'d RefCell<Shared<'d>>,
    link: Link<S>,
    rng: R,
    clock: C,
    /// Where the stack receives.
    arrived: &'d mut [u8],
    /// The frame of a datagram that the stack has not taken.
    leaving: &'d mut [u8],
    /// The handshake message or keepalive that was made last. The largest one is an initiation.
    own: [u8; INITIATION_LEN],
    /// What the stack has not taken yet, and since when.
    unsent: Option<(Outgoing, Instant)>,
}

/// A socket and its stack.
struct Link<S: UdpFullStack> {
    stack: S,
    /// `None` once it is closed.
    socket: Option<S::UdpSocket>,
}

impl<S: UdpFullStack> Link<S> {
    /// Offers a datagram to the stack; false when it does not take it now.
    fn offer(&mut self, to: SocketAddr, datagram: &[u8]) -> Result<bool, S::Error> {
        let Some(socket) = &mut self.socket else { return Ok(false) };
        match self.stack.send_to(socket, to, datagram) {
            Ok(()) => Ok(true),
            Err(nb::Error::WouldBlock) => Ok(false),
            Err(nb::Error::Other(error)) => Err(error),
        }
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Option<(usize, SocketAddr)>, S::Error> {
        let Some(socket) = &mut self.socket else { return Ok(None) };
        match self.stack.receive(socket, buf) {
            Ok(received) => Ok(Some(received)),
            Err(nb::Error::WouldBlock) => Ok(None),
            Err(nb::Error::Other(error)) => Err(error),
        }
    }
}

impl<'d, S, R, C> Tunnel<'d, S, R, C>
where
    S: UdpFullStack,
    R: CryptoRng,
    C: Tai64nClock,
{
    /// Opens a socket of `stack` on `port`, 0 for any, and makes a tunnel of it.
    ///
    /// A stack that is used for other things, too, can be lent as `&mut` or shared by
    /// [`embedded_nal::SharedStack`].
    ///
    /// # Errors
    /// The stack's, when it has no socket left or the port is taken.
    pub fn new<
        const PEERS: usize,
        const ROUTES: usize,
        const MTU: usize,
        const RX: usize,
        const TX: usize,
    >(
        resources: &'d mut Resources<'d, PEERS, ROUTES, MTU, RX, TX>,
        mut stack: S,
        port: u16,
        rng: R,
        clock: C,
    ) -> Result<(Interface<'d>, Self), S::Error> {
        let mut socket = stack.socket()?;
        if let Err(error) = stack.bind(&mut socket, port) {
            // The first error is the one that says what is wrong.
            let _ = stack.close(socket);
            return Err(error);
        }
        let parts = resources.parts();
        parts.shared.borrow_mut().state = State::Running;
        let whole = LARGEST_DATAGRAM.saturating_sub(DATA_OVERHEAD);
        let interface = Interface::new(parts.shared, parts.leaving, parts.largest_mtu, whole);
        let tunnel = Self {
            shared: parts.shared,
            link: Link { stack, socket: Some(socket) },
            rng,
            clock,
            arrived: parts.arriving,
            leaving: &mut [],
            own: [0; INITIATION_LEN],
            unsent: None,
        };
        Ok((interface, tunnel))
    }

    /// The tunnel's controls. `time` is the clock that [`poll`](Self::poll) is called with.
    pub fn handle<T: Monotonic>(&self, time: T) -> Handle<'d, T> {
        Handle::new(self.shared, time)
    }

    /// Does everything that is due: serves deadlines, sends what can go, and receives.
    ///
    /// At most [`DATAGRAMS_PER_POLL`] datagrams are received, fewer when their packets fill the
    /// room for what came: read them, and call again. As many deadlines are served, each of
    /// which makes two datagrams at most; besides, what waited is sent, and what a change of
    /// settings asks of each peer. The first call after [`Handle::stop`] stops, and
    /// [`start`](Self::start) starts again.
    ///
    /// # Errors
    /// The stack's. They end the call early and harm nothing: the next call goes on with what
    /// is left.
    pub fn poll(&mut self, now: Instant) -> Result<Polled, S::Error> {
        self.stop_if_asked(now);
        if self.shared.borrow().state == State::Stopped {
            return Ok(Polled { deadline: None, more: false });
        }
        self.send_all(now)?;
        for _ in 0..DATAGRAMS_PER_POLL {
            let due = self.shared.borrow_mut().poll_timeout().is_some_and(|(at, _)| at <= now);
            if !due {
                break;
            }
            self.shared.borrow_mut().handle_timeout(now);
            self.send_all(now)?;
        }
        let mut more = true;
        for _ in 0..DATAGRAMS_PER_POLL {
            more = self.receive(now)?;
            if !more {
                break;
            }
            self.send_all(now)?;
            // The rest of a burst stays with the stack until there is room again, or until
            // nobody reads: then handshakes go on, and packets are dropped.
            if !self.shared.borrow().inbound.has_vacancy() {
                break;
            }
        }
        Ok(Polled { deadline: self.shared.borrow_mut().poll_timeout(), more })
    }

    /// Starts, or starts again after [`Handle::stop`]. What runs goes on.
    pub fn start(&mut self, now: Instant) {
        self.stop_if_asked(now);
        self.shared.borrow_mut().start(now);
    }

    /// Closes the socket and wipes all keys.
    ///
    /// # Errors
    /// The stack's.
    pub fn close(mut self) -> Result<(), S::Error> {
        match self.link.socket.take() {
            Some(socket) => self.link.stack.close(socket),
            None => Ok(()),
        }
    }

    /// The stack, for its own needs, such as being polled itself.
    pub fn stack(&mut self) -> &mut S {
        &mut self.link.stack
    }

    /// The clock of timestamps. One that reserves them in lasting memory, such as
    /// [`Persistent`](crate::Persistent), is to be asked between two polls: while it
    /// [`is_short`](crate::Timestamps::is_short), block on its
    /// [`reserve`](crate::Timestamps::reserve).
    pub fn clock(&mut self) -> &mut C {
        &mut self.clock
    }

    fn stop_if_asked(&mut self, now: Instant) {
        if self.shared.borrow().state == State::Stopping {
            self.shared.borrow_mut().stop(now);
            self.forget_unsent();
            self.arrived.fill(0);
        }
    }

    /// Sends what can go, oldest first, until the stack takes no more.
    fn send_all(&mut self, now: Instant) -> Result<(), S::Error> {
        if let Some((outgoing, since)) = self.unsent {
            if now.has_reached(since, PATIENCE) {
                count(&mut self.shared.borrow_mut().counters.unsent);
                self.forget_unsent();
            } else if !self.offer(outgoing)? {
                return Ok(());
            }
        }
        loop {
            let next = self.shared.borrow_mut().next_datagram(
                now,
                &mut self.clock,
                &mut self.rng,
                &mut self.own,
                &mut self.leaving,
                |_| usize::MAX,
            );
            let Some(next) = next else { return Ok(()) };
            self.unsent = Some((next, now));
            if !self.offer(next)? {
                return Ok(());
            }
        }
    }

    /// Offers what is unsent to the stack; false when it does not take it now.
    fn offer(&mut self, Outgoing { to, place, len }: Outgoing) -> Result<bool, S::Error> {
        let datagram = match place {
            Place::Own => self.own.get(..len),
            Place::Frame => self.leaving.get(..len),
            Place::Arrived => self.arrived.get(..len),
        };
        let taken = self.link.offer(to.remote, datagram.unwrap_or_default());
        match taken {
            Ok(true) => self.forget_unsent(),
            Ok(false) => {}
            Err(_) => {
                count(&mut self.shared.borrow_mut().counters.unsent);
                self.forget_unsent();
            }
        }
        taken
    }

    fn forget_unsent(&mut self) {
        self.unsent = None;
        if !self.leaving.is_empty() {
            let frame = core::mem::take(&mut self.leaving);
            self.shared.borrow_mut().give_back(frame);
        }
    }

    /// Takes one datagram from the stack; false when there is none.
    fn receive(&mut self, now: Instant) -> Result<bool, S::Error> {
        let received = self.link.receive(self.arrived);
        let (len, from) = match received {
            Ok(Some(received)) => received,
            Ok(None) => return Ok(false),
            Err(error) => {
                count(&mut self.shared.borrow_mut().counters.receive_errors);
                return Err(error);
            }
        };
        let from = Source::from(from);
        let mut shared = self.shared.borrow_mut();
        let reply = shared.handle_datagram(now, &mut self.rng, from, &mut self.arrived, len);
        drop(shared);
        if let Some(Outgoing { to, len, .. }) = reply {
            let datagram = self.arrived.get(..len).unwrap_or_default();
            let taken = self.link.offer(to.remote, datagram);
            if !matches!(taken, Ok(true)) {
                self.keep_reply(now, to, len);
            }
            taken?;
        }
        Ok(true)
    }

    /// Keeps a reply that the stack did not take, unless another datagram waits.
    fn keep_reply(&mut self, now: Instant, to: wg_core::Endpoint, len: usize) {
        let reply = self.arrived.get(..len);
        match (reply, self.own.get_mut(..len)) {
            (Some(reply), Some(own)) if self.unsent.is_none() => {
                own.copy_from_slice(reply);
                self.unsent = Some((Outgoing { to, place: Place::Own, len }, now));
            }
            _ => count(&mut self.shared.borrow_mut().counters.unsent),
        }
    }
}

impl<S: UdpFullStack, R, C> Drop for Tunnel<'_, S, R, C> {
    fn drop(&mut self) {
        self.arrived.fill(0);
        self.leaving.fill(0);
        self.shared.borrow_mut().retire();
    }
}
