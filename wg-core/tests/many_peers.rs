//! Ten thousand peers on one device.

#![cfg(feature = "alloc")]

mod pair;

use std::time::Duration;

use pair::{Seeded, WallClock, packet};
use wg_core::{
    AllowedIp, Device, Event, INITIATION_LEN, Instant, PeerId, PrivateKey, Reason, Received,
    Source, Storage, Tai64n,
};

const HUB: &str = "192.0.2.1:51820";

/// The hub, a clock that moves a millisecond with each client, and the clients' names in the
/// order of their sessions.
struct Hub {
    device: Device<'static>,
    now: Instant,
    peers: Vec<PeerId>,
}

fn key(number: u32) -> PrivateKey {
    let mut bytes = [7; 32];
    bytes[4..8].copy_from_slice(&number.to_be_bytes());
    PrivateKey::from_bytes(bytes).unwrap()
}

fn address(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

impl Hub {
    /// A hub with which this many clients have a session and have exchanged a packet.
    fn with_clients(clients: u32) -> Self {
        let mut device = Device::growing();
        device.set_private_key(Instant::ZERO, Some(&key(0)));
        device.set_handshake_budget(u16::MAX);
        let mut hub = Self { device, now: Instant::ZERO, peers: Vec::new() };
        let mut rng = Seeded(5);
        for number in 1..=clients {
            hub.now = hub.now.saturating_add(Duration::from_millis(1));
            hub.connect(number, &mut rng);
        }
        hub
    }

    fn connect(&mut self, number: u32, rng: &mut Seeded) {
        let mut storage = Box::new(Storage::<1, 1>::new());
        let mut client = Device::new(&mut *storage);
        client.set_private_key(self.now, Some(&key(number)));
        let peer = self.device.add_peer(&client.public_key().unwrap()).unwrap();
        let prefix: AllowedIp = format!("{}/32", address(number)).parse().unwrap();
        self.device.add_allowed_ip(peer, prefix).unwrap();
        self.peers.push(peer);

        let hub = client.add_peer(&self.device.public_key().unwrap()).unwrap();
        client.set_endpoint(self.now, hub, HUB.parse().unwrap());
        client.add_allowed_ip(hub, "10.0.0.0/32".parse().unwrap()).unwrap();

        let stamp = Tai64n::from_unix(1_700_000_000, 0);
        let mut clock = WallClock { answer: Ok(stamp), asked: 0, ticks: true };
        let [_, a, b, c] = number.to_be_bytes();
        let from = Source::from(std::net::SocketAddr::from(([203, a, b, c], 51_820)));
        let mut sealed = sealed_room(&packet(&address(number), "10.0.0.0", 20, 1));
        client.seal(self.now, &mut sealed, 40).unwrap_err();
        let mut buf = [0; INITIATION_LEN];
        let initiation = client.poll_transmit(self.now, &mut clock, rng, &mut buf).unwrap();
        let received = self.device.handle_datagram(self.now, rng, from, initiation.datagram);
        let Ok(Received::Reply(response)) = received else { panic!("{received:?}") };
        let to_hub = Source::from(HUB.parse::<std::net::SocketAddr>().unwrap());
        client.handle_datagram(self.now, rng, to_hub, response.datagram).unwrap();
        let data = client.seal(self.now, &mut sealed, 40).unwrap();
        let received = self.device.handle_datagram(self.now, rng, from, data.datagram);
        assert!(matches!(received, Ok(Received::Packet { peer: sender, .. }) if sender == peer));
    }

    /// Serves everything that is due for the next `time`, and says what it was.
    fn run(&mut self, time: Duration) -> Vec<(Instant, Reason)> {
        let end = self.now.saturating_add(time);
        let mut served = Vec::new();
        while let Some((at, reason)) = self.device.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.device.handle_timeout(self.now);
            served.push((at, reason));
        }
        self.now = end;
        served
    }

    fn keepalives(&mut self) -> usize {
        let mut clock = WallClock { answer: Ok(Tai64n::from_unix(0, 0)), asked: 0, ticks: true };
        let (mut rng, mut buf) = (Seeded(6), [0; INITIATION_LEN]);
        let mut sent = 0;
        while let Some(transmit) =
            self.device.poll_transmit(self.now, &mut clock, &mut rng, &mut buf)
        {
            assert_eq!(transmit.datagram.len(), wg_core::DATA_OVERHEAD);
            sent += 1;
        }
        sent
    }
}

/// A packet with room around it.
fn sealed_room(packet: &[u8]) -> Vec<u8> {
    let mut buf = vec![0; 16 + packet.len() + 31];
    buf[16..16 + packet.len()].copy_from_slice(packet);
    buf
}

#[test]
fn each_of_ten_thousand_peers_has_its_own_timers() {
    const CLIENTS: u32 = 10_000;
    let mut hub = Hub::with_clients(CLIENTS);
    let events = std::iter::from_fn(|| hub.device.poll_event());
    assert_eq!(events.filter(|event| matches!(event, Event::SessionUp(_))).count(), 10_000);

    // The last of them connected 10 s after the first, so the first answers are due already.
    let mut answers = Vec::new();
    answers.extend(hub.run(Duration::from_secs(20)));
    assert_eq!(hub.keepalives(), 10_000);
    let due =
        |number: u32, after: u64, reason| (Instant::from_millis(u64::from(number) + after), reason);
    let expected = (1..=CLIENTS).map(|number| due(number, 10_000, Reason::PassiveKeepalive));
    assert!(answers.into_iter().eq(expected));

    let ends = hub.run(Duration::from_secs(300));
    let expected = (1..=CLIENTS).map(|number| due(number, 180_000, Reason::SessionExpiry));
    assert!(ends.into_iter().eq(expected));

    let wipes = hub.run(Duration::from_secs(3_600));
    let expected = (1..=CLIENTS).map(|number| due(number, 540_000, Reason::WipeKeys));
    assert!(wipes.into_iter().eq(expected));
    assert_eq!(hub.device.poll_timeout(), None);
}

#[test]
fn each_of_ten_thousand_peers_is_found() {
    let mut hub = Hub::with_clients(10_000);
    let mut rng = Seeded(8);
    for _ in 0..10_000 {
        let number = 1 + rng.below(10_000) as u32;
        let mut buf = sealed_room(&packet("10.0.0.0", &address(number), 20, 1));
        let transmit = hub.device.seal(hub.now, &mut buf, 40).unwrap();
        assert_eq!(transmit.peer, Some(hub.peers[number as usize - 1]));
        let [_, a, b, c] = number.to_be_bytes();
        assert_eq!(transmit.to.remote, ([203, a, b, c], 51_820).into());
    }
    // Half of them go; their prefixes, deadlines and names go with them.
    for number in (0..10_000).step_by(2) {
        hub.device.remove_peer(hub.peers[number]);
    }
    assert_eq!(hub.device.peers().count(), 5_000);
    let left = hub.run(Duration::from_secs(3_600));
    assert_eq!(left.iter().filter(|(_, reason)| *reason == Reason::WipeKeys).count(), 5_000);
}

/// The time of a hundred wake-ups with this many peers, when nothing else ran meanwhile.
fn wake_ups(clients: u32) -> Duration {
    let mut hub = Hub::with_clients(clients);
    hub.run(Duration::from_secs(60));
    hub.keepalives();
    let mut best = Duration::MAX;
    // Each client's session ends, and is wiped.
    for _ in 0..2 * clients / 100 {
        let start = std::time::Instant::now();
        for _ in 0..100 {
            let (at, _) = hub.device.poll_timeout().unwrap();
            hub.device.handle_timeout(at);
        }
        best = best.min(start.elapsed());
    }
    assert_eq!(hub.device.poll_timeout(), None);
    best
}

#[test]
fn a_wake_up_costs_much_the_same_with_a_hundred_times_the_peers() {
    // A walk over all peers would cost a hundred times as much.
    let few = (0..5).map(|_| wake_ups(100)).min().unwrap();
    let many = wake_ups(10_000);
    assert!(many < 25 * few, "{few:?} with 100 peers, {many:?} with 10,000");
}
