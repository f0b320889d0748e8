//! Endpoints by name, looked up without holding up anything.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use wg_core::{Instant, PeerId};

use crate::outbound::Outbound;
use crate::settings::Host;

/// Between two questions, longer than between two attempts of a handshake: each answer is tried.
const INTERVAL: Duration = Duration::from_secs(6);
/// Of the thread that asks: lwIP's resolver keeps its buffers elsewhere.
const STACK_SIZE: usize = if cfg!(target_os = "espidf") { 6 * 1024 } else { 64 * 1024 };

/// How a name becomes addresses.
pub(crate) type Resolve = fn(&Host) -> io::Result<Vec<SocketAddr>>;

/// The system's resolver. It blocks, for as long as it likes.
pub(crate) fn system(host: &Host) -> io::Result<Vec<SocketAddr>> {
    Ok((host.name.as_str(), host.port).to_socket_addrs()?.collect())
}

/// The peers that are known by name, and a thread that asks for one name at a time.
pub(crate) struct Names {
    entries: Vec<Entry>,
    resolve: Resolve,
    answers: Receiver<(PeerId, io::Result<Vec<SocketAddr>>)>,
    /// Kept, so that the other end never sees it closed.
    answer: Sender<(PeerId, io::Result<Vec<SocketAddr>>)>,
    is_asking: bool,
    next: Instant,
}

struct Entry {
    peer: PeerId,
    host: Host,
    /// The address that was tried last; the next answer begins behind it.
    tried: Option<SocketAddr>,
}

/// What came of a question.
pub(crate) enum Answer {
    /// Try this place.
    Try(PeerId, SocketAddr),
    /// There is no answer; it is asked again.
    Failed(PeerId, String, io::Error),
}

impl Names {
    pub(crate) fn new(resolve: Resolve) -> Self {
        let (answer, answers) = channel();
        let (entries, next) = (Vec::new(), Instant::ZERO);
        Self { entries, resolve, answers, answer, is_asking: false, next }
    }

    /// Looks this name up from now on, whenever the peer is in need.
    pub(crate) fn add(&mut self, peer: PeerId, host: Host) {
        self.entries.retain(|entry| entry.peer != peer);
        self.entries.push(Entry { peer, host, tried: None });
        self.next = Instant::ZERO;
    }

    /// Stops looking for this peer.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.entries.retain(|entry| entry.peer != peer);
    }

    /// When to call [`poll`](Self::poll) again, an answer aside; `None` while no peer is in need.
    pub(crate) fn deadline(&self, is_in_need: impl Fn(PeerId) -> bool) -> Option<Instant> {
        let in_need = !self.is_asking && self.entries.iter().any(|entry| is_in_need(entry.peer));
        in_need.then_some(self.next)
    }

    /// Fetches an answer, and asks the next question when a peer is in need and it is time.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        outbound: &Arc<Outbound>,
        is_in_need: impl Fn(PeerId) -> bool,
    ) -> Option<Answer> {
        if let Ok((peer, answer)) = self.answers.try_recv() {
            self.is_asking = false;
            let entry = self.entries.iter_mut().find(|entry| entry.peer == peer)?;
            return Some(match answer {
                Ok(addresses) => match entry.turn(&addresses) {
                    Some(address) => Answer::Try(peer, address),
                    None => Answer::Failed(
                        peer,
                        entry.host.to_string(),
                        io::Error::other("the name has no address"),
                    ),
                },
                Err(error) => Answer::Failed(peer, entry.host.to_string(), error),
            });
        }
        if self.is_asking || now < self.next {
            return None;
        }
        // In turn, so that one that cannot be found holds up no other.
        let asked = self.entries.iter().position(|entry| is_in_need(entry.peer))?;
        self.next = now.saturating_add(INTERVAL);
        let entry = self.entries.remove(asked);
        let (peer, host) = (entry.peer, entry.host.clone());
        self.entries.push(entry);
        let (resolve, answer) = (self.resolve, self.answer.clone());
        let bell = Arc::clone(outbound);
        let asking = thread::Builder::new().name("wg-names".into()).stack_size(STACK_SIZE).spawn(
            move || {
                // A tunnel that was stopped meanwhile needs no answer.
                let _ = answer.send((peer, resolve(&host)));
                bell.wake();
            },
        );
        match asking {
            Ok(_) => {
                self.is_asking = true;
                None
            }
            Err(error) => {
                let host = self.entries.last().map(|entry| entry.host.to_string());
                Some(Answer::Failed(peer, host.unwrap_or_default(), error))
            }
        }
    }
}

impl Entry {
    /// The address behind the one that was tried last, which did not answer.
    fn turn(&mut self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        let behind = self
            .tried
            .and_then(|tried| addresses.iter().position(|address| *address == tried))
            .map_or(0, |position| position + 1);
        let next = addresses.get(behind).or_else(|| addresses.first()).copied();
        self.tried = next;
        next
    }
}

#[cfg(test)]
mod tests {
    use chacha20::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn addresses_of_both_families_take_turns() {
        let addresses: Vec<SocketAddr> =
            ["[2001:db8::1]:1", "192.0.2.1:1"].map(|text| text.parse().unwrap()).to_vec();
        let peer = {
            let mut device = wg_core::Device::growing();
            device.add_peer(&wg_core::PublicKey::from_bytes([1; 32])).unwrap()
        };
        let host = Host { name: "both".into(), port: 1 };
        let mut entry = Entry { peer, host, tried: None };
        let turns: Vec<_> = (0..3).map(|_| entry.turn(&addresses).unwrap()).collect();
        assert_eq!(turns, [addresses[0], addresses[1], addresses[0]]);
        assert_eq!(entry.turn(&[]), None);
    }
    #[test]
    fn a_name_that_is_not_found_for_an_hour_is_found_in_the_next_seconds() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static ASKED: AtomicU32 = AtomicU32::new(0);
        const PLACE: SocketAddr =
            SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 51820);
        let mut names = Names::new(|_| {
            if ASKED.fetch_add(1, Ordering::SeqCst) < 600 {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(vec![PLACE])
        });
        let peer = {
            let mut device = wg_core::Device::growing();
            device.add_peer(&wg_core::PublicKey::from_bytes([1; 32])).unwrap()
        };
        names.add(peer, Host { name: "late".into(), port: 51820 });
        let outbound = Arc::new(Outbound::new(1420).unwrap());
        let (mut now, mut failures) = (Instant::from_secs(5), 0);
        loop {
            match names.poll(now, &outbound, |_| true) {
                Some(Answer::Failed(_, host, _)) => {
                    assert_eq!(host, "late:51820");
                    failures += 1;
                }
                Some(Answer::Try(found, place)) => {
                    assert_eq!((found, place, failures), (peer, PLACE, 600));
                    break;
                }
                None => match names.deadline(|_| true) {
                    None => thread::yield_now(),
                    Some(due) => now = due,
                },
            }
        }
        let hour = Instant::from_secs(3600);
        assert!(now >= hour && now < hour.saturating_add(INTERVAL * 2), "{now:?}");
    }

    /// Seconds from the move of a name to the first initiation to where it is, with a packet
    /// each `gap`.
    fn seconds_to_follow(gap: Option<Duration>) -> u64 {
        use std::sync::atomic::{AtomicBool, Ordering};
        static HAS_MOVED: AtomicBool = AtomicBool::new(false);
        const BEFORE: &str = "192.0.2.1:51820";
        const AFTER: &str = "198.51.100.7:51820";
        HAS_MOVED.store(false, Ordering::SeqCst);
        let resolve = |_: &Host| {
            let at = if HAS_MOVED.load(Ordering::SeqCst) { AFTER } else { BEFORE };
            Ok(vec![at.parse().unwrap()])
        };
        let mut rng = chacha20::ChaCha20Rng::from_seed([7; 32]);
        let mut device = wg_core::Device::growing();
        device.set_private_key(Instant::ZERO, Some(&wg_core::PrivateKey::generate(&mut rng)));
        let theirs = wg_core::PrivateKey::generate(&mut rng).public_key();
        let peer = device.add_peer(&theirs).unwrap();
        device.add_allowed_ip(peer, "0.0.0.0/0".parse().unwrap()).unwrap();
        device.set_endpoint(Instant::ZERO, peer, BEFORE.parse().unwrap());
        device.set_persistent_keepalive(Instant::ZERO, peer, 1);
        let mut clock = wg_core::Increasing::new(|| Some(Duration::from_secs(1)), None);

        let mut names = Names::new(resolve);
        names.add(peer, Host { name: "moves".into(), port: 51820 });
        let outbound = Arc::new(Outbound::new(1420).unwrap());
        let mut packet = [0; 16 + 32 + 16];
        packet[16..36].copy_from_slice(b"\x45\0\0\x14\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02");
        let (mut now, mut next, moved) = (Instant::ZERO, Instant::ZERO, Instant::from_secs(600));
        let mut built = [0; wg_core::INITIATION_LEN];
        loop {
            HAS_MOVED.store(now >= moved, Ordering::SeqCst);
            if let Some(gap) = gap.filter(|_| now >= next) {
                next = now.saturating_add(gap);
                assert!(device.seal(now, &mut packet, 20).is_err(), "nobody answers");
            }
            while device.poll_timeout().is_some_and(|(at, _)| at <= now) {
                device.handle_timeout(now);
            }
            while let Some(sent) = device.poll_transmit(now, &mut clock, &mut rng, &mut built) {
                if sent.to.remote == AFTER.parse().unwrap() {
                    return now.saturating_since(moved).as_secs();
                }
            }
            let need = |peer| crate::engine::is_in_need(&device, now, peer);
            let answer = names.poll(now, &outbound, need);
            if let Some(Answer::Try(peer, at)) = answer {
                device.set_endpoint(now, peer, at);
            }
            if names.is_asking {
                // No time passes while the other thread answers.
                thread::yield_now();
            } else {
                now = now.saturating_add(Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn a_name_that_moved_is_followed_within_20_seconds_in_any_traffic() {
        for gap in [None, Some(3_300), Some(1_000), Some(100), Some(10)] {
            let seconds = seconds_to_follow(gap.map(Duration::from_millis));
            assert!(seconds < 20, "{seconds} s with a packet every {gap:?} ms");
        }
    }
}
