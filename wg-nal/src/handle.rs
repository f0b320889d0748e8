//! Commands to a tunnel that runs, and what it tells.

mod begin;
mod name;

use core::cell::RefCell;
use core::fmt;
use core::future::{pending, poll_fn};
use core::net::SocketAddr;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use embassy_futures::select::select;
use wg_core::{
    AddPeerError, AllowedIp, Event, Instant, PeerId, PeerStatus, PresharedKey, PrivateKey,
    PublicKey, Refusal, Refusals, RoutesFull,
};

#[cfg(feature = "embassy")]
pub use begin::stack_config;
pub use begin::{BeginError, Begun, KEEPALIVE};

use crate::clock::Standing;
use crate::monotonic::Monotonic;
use crate::shared::{Counters, Shared, State, Waiting};
use crate::waker::Wakers;

/// Where more tasks wait than there is room for, the others look so often: they would displace
/// each other for ever.
const LOOK: Duration = Duration::from_secs(5);

/// A tunnel's controls. Copies control the same tunnel.
///
/// Commands take effect at once, also while the runner sleeps; none of them waits. A peer that
/// was removed is ignored, as the engine does. Once the runner was dropped, keys and peers that
/// are set are wiped and removed again at once.
#[derive(Clone, Copy)]
pub struct Handle<'d, T> {
    shared: &'d RefCell<Shared<'d>>,
    time: T,
}

/// A peer to be added.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its name in the protocol.
    pub public_key: &'a PublicKey,
    /// [`PresharedKey::NONE`] for none.
    pub preshared_key: &'a PresharedKey,
    /// Where it is; `None` for one that calls us.
    pub endpoint: Option<SocketAddr>,
    /// What routes to it, and may come from it.
    pub allowed_ips: &'a [AllowedIp],
    /// Seconds of silence between keepalives, 0 for none.
    pub persistent_keepalive: u16,
}

/// Why a peer was not added. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PeerError {
    /// The peer itself.
    Peer(AddPeerError),
    /// Its allowed IPs.
    Routes(RoutesFull),
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(error) => error.fmt(f),
            Self::Routes(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PeerError {}

impl From<AddPeerError> for PeerError {
    fn from(error: AddPeerError) -> Self {
        Self::Peer(error)
    }
}

impl From<RoutesFull> for PeerError {
    fn from(error: RoutesFull) -> Self {
        Self::Routes(error)
    }
}

impl<'d, T: Monotonic> Handle<'d, T> {
    pub(crate) fn new(shared: &'d RefCell<Shared<'d>>, time: T) -> Self {
        Self { shared, time }
    }

    /// Sets the tunnel's identity, or takes it away; the same key again changes nothing. Costs
    /// an X25519 operation, and one for each peer.
    pub fn set_private_key(&self, key: Option<&PrivateKey>) {
        self.change(|shared, now| shared.device.set_private_key(now, key));
    }

    /// The tunnel's name in the protocol, once it has a private key.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.shared.borrow().device.public_key()
    }

    /// Adds a peer, or sets everything about one that exists.
    ///
    /// # Errors
    /// See [`PeerError`]; nothing is changed then.
    pub fn set_peer(&self, peer: &Peer<'_>) -> Result<PeerId, PeerError> {
        self.change(|shared, now| {
            let device = &mut shared.device;
            let known = device.find_peer(peer.public_key);
            // Counted before anything changes. What this peer has already is free again.
            let mine = known.map_or(0, |id| device.allowed_ips(id).count());
            if peer.allowed_ips.len() > device.free_routes().saturating_add(mine) {
                return Err(RoutesFull.into());
            }
            let id = device.add_peer(peer.public_key)?;
            device.set_preshared_key(id, peer.preshared_key);
            device.remove_allowed_ips(id);
            for prefix in peer.allowed_ips {
                device.add_allowed_ip(id, *prefix)?;
            }
            if let Some(endpoint) = peer.endpoint {
                device.set_endpoint(now, id, endpoint);
            }
            device.set_persistent_keepalive(now, id, peer.persistent_keepalive);
            Ok(id)
        })
    }

    /// Removes a peer with its sessions, keys and waiting packets.
    pub fn remove_peer(&self, peer: PeerId) {
        self.change(|shared, _| shared.device.remove_peer(peer));
    }

    /// The peer with this public key.
    pub fn find_peer(&self, public: &PublicKey) -> Option<PeerId> {
        self.shared.borrow().device.find_peer(public)
    }

    /// Calls `tell` with each peer's state. It may remove any of them, those that are still to be
    /// told included, which are left out then.
    pub fn for_each_peer(&self, mut tell: impl FnMut(PeerId, PeerStatus)) {
        let now = self.time.now();
        let mut next = self.shared.borrow().peer_after(None);
        // Not borrowed while `tell` runs, which may well use the handle, and remove peers.
        while let Some(peer) = next {
            next = self.shared.borrow().peer_after(Some(peer));
            let status = self.shared.borrow().device.peer(now, peer);
            if let Some(status) = status {
                tell(peer, status);
            }
        }
    }

    /// Says where a peer is. A handshake that waited for an endpoint begins.
    pub fn set_endpoint(&self, peer: PeerId, endpoint: SocketAddr) {
        self.change(|shared, now| shared.device.set_endpoint(now, peer, endpoint));
    }

    /// Sets the seconds of silence after which an empty packet is sent, 0 for never.
    pub fn set_persistent_keepalive(&self, peer: PeerId, seconds: u16) {
        self.change(|shared, now| shared.device.set_persistent_keepalive(now, peer, seconds));
    }

    /// Sets the pre-shared key for the next handshake.
    pub fn set_preshared_key(&self, peer: PeerId, key: &PresharedKey) {
        self.change(|shared, _| shared.device.set_preshared_key(peer, key));
    }

    /// Asks for a session with a peer, unless there is one.
    pub fn connect(&self, peer: PeerId) {
        self.change(|shared, now| shared.device.connect(now, peer));
    }

    /// The state of a peer: session, bytes, why it is not connected; `None` when it was removed.
    pub fn status(&self, peer: PeerId) -> Option<PeerStatus> {
        self.shared.borrow().device.peer(self.time.now(), peer)
    }

    /// What stands between this peer and a session, if something does.
    pub fn obstacle(&self, peer: PeerId) -> Option<Refusal> {
        self.shared.borrow().obstacle(self.time.now(), peer)
    }

    /// Everything that was refused, by reason.
    pub fn refusals(&self) -> Refusals {
        *self.shared.borrow().device.refusals()
    }

    /// What was dropped for other reasons.
    pub fn counters(&self) -> Counters {
        self.shared.borrow().counters
    }

    /// How timestamps stand to the time of day, as of the last time that some were reserved;
    /// `None` for a clock that cannot say.
    pub fn standing(&self) -> Option<Standing> {
        self.shared.borrow().standing
    }

    /// How many packets wait for a session, or for the underlay.
    pub fn waiting(&self) -> usize {
        let shared = self.shared.borrow();
        shared.outbound.count(|fate| fate != crate::frame::Fate::Vacant)
    }

    /// Whether the link is up: see [`LinkPolicy`](crate::LinkPolicy).
    pub fn is_link_up(&self) -> bool {
        self.shared.borrow().link_is_up()
    }

    /// Waits until the link is up. Of more than two tasks, the others are up to five seconds late.
    pub async fn wait_link_up(&self) {
        while !self.is_link_up() {
            self.news(|waiting| &mut waiting.handle_link, None).await;
        }
    }

    /// Waits until these are woken, or until `deadline`, and sometimes less.
    async fn news<const N: usize>(
        &self,
        of: impl Fn(&mut Waiting) -> &mut Wakers<N>,
        deadline: Option<Instant>,
    ) {
        let is_told = poll_fn(|cx| {
            let mut shared = self.shared.borrow_mut();
            Poll::Ready(of(&mut shared.waiting).register_if_room(cx))
        });
        let look = (!is_told.await).then(|| self.time.now().saturating_add(LOOK));
        let timer = async {
            match deadline.into_iter().chain(look).min() {
                Some(at) => self.time.delay_until(at).await,
                None => pending().await,
            }
        };
        let mut waited = false;
        // A wake-up that was for somebody else costs a look.
        let woken = poll_fn(|_| match core::mem::replace(&mut waited, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        select(woken, pin!(timer)).await;
    }

    /// Waits for the next event. The last eight are kept; older ones are dropped and counted
    /// in [`Counters::missed_events`]. One task at a time.
    pub async fn event(&self) -> Event {
        poll_fn(|cx| {
            let mut shared = self.shared.borrow_mut();
            match shared.events.take() {
                Some(event) => Poll::Ready(event),
                None => {
                    shared.waiting.event.register(cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The oldest event that was not fetched.
    pub fn try_event(&self) -> Option<Event> {
        self.shared.borrow_mut().events.take()
    }

    /// Asks the runner to stop: it wipes all session keys, drops what waits, and returns. The
    /// private key and the peers stay, and running it again goes on with them; dropping it
    /// wipes them, too. Stopping what does not run does nothing.
    pub fn stop(&self) {
        let mut shared = self.shared.borrow_mut();
        if shared.state == State::Running {
            shared.state = State::Stopping;
            shared.waiting.runner.wake();
        }
    }

    fn change<A>(&self, change: impl FnOnce(&mut Shared<'d>, Instant) -> A) -> A {
        let now = self.time.now();
        let mut shared = self.shared.borrow_mut();
        let answer = change(&mut shared, now);
        shared.touch(now);
        answer
    }
}

impl<T> fmt::Debug for Handle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
