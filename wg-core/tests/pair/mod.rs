//! Two devices, the link between them, and a virtual clock.
//!
//! Everything is deterministic: time moves only in [`Pair::advance`], randomness is seeded.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

mod seeded;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use seeded::Seeded;
use wg_core::{
    AllowedIp, ClockUnavailable, Connection, DATA_OVERHEAD, Device, Ecn, Event, INITIATION_LEN,
    Instant, PeerId, PeerStatus, PresharedKey, PrivateKey, PublicKey, Reason, Received, Refusal,
    SendError, Source, Storage, Tai64n, Tai64nClock,
};

/// A wall clock that the test sets; it need not increase.
#[derive(Clone, Debug)]
pub struct WallClock {
    pub answer: Result<Tai64n, ClockUnavailable>,
    pub asked: u32,
    /// Whether the answer moves on with each question.
    pub ticks: bool,
}

impl Tai64nClock for WallClock {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        self.asked += 1;
        let answer = self.answer;
        if let (Ok(stamp), true) = (answer, self.ticks) {
            self.answer = Ok(stamp.successor());
        }
        answer
    }
}

pub type Room = Storage<4, 8>;

/// A device with its surroundings: sockets, clocks, and an application that keeps what it got.
pub struct Node {
    pub device: Device<'static>,
    pub rng: Seeded,
    pub clock: WallClock,
    pub address: SocketAddr,
    /// Inner packets received.
    pub inbox: Vec<Vec<u8>>,
    /// Inner packets that wait for a session, oldest first.
    pub waiting: VecDeque<Vec<u8>>,
    pub events: Vec<Event>,
    pub refusals: Vec<Refusal>,
    /// Deadlines that were served, with their reasons.
    pub deadlines: Vec<(Instant, Reason)>,
    pub sent: Vec<(Instant, Vec<u8>)>,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub due: Instant,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub ecn: u8,
    pub bytes: Vec<u8>,
}

/// How the network treats what it carries.
#[derive(Clone, Debug)]
pub struct Link {
    pub latency: Duration,
    /// Added to the latency, at random: reorders.
    pub spread: Duration,
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    /// Whoever sends from one of these is not heard.
    pub silenced: Vec<SocketAddr>,
    pub rng: Seeded,
    pub flights: Vec<Flight>,
    /// Everything that was ever sent.
    pub record: Vec<Flight>,
}

impl Link {
    pub fn perfect() -> Self {
        Self {
            latency: Duration::from_millis(10),
            spread: Duration::ZERO,
            loss_percent: 0,
            duplicate_percent: 0,
            silenced: Vec::new(),
            rng: Seeded(99),
            flights: Vec::new(),
            record: Vec::new(),
        }
    }

    pub fn carry(&mut self, now: Instant, flight: Flight) {
        self.record.push(Flight { due: now, ..flight.clone() });
        let copies = 1 + u32::from(self.rng.chance(self.duplicate_percent));
        for _ in 0..copies {
            if self.silenced.contains(&flight.from) || self.rng.chance(self.loss_percent) {
                continue;
            }
            let spread = self.rng.below(self.spread.as_micros() as u64 + 1);
            let delay = self.latency + Duration::from_micros(spread);
            self.flights.push(Flight { due: now.saturating_add(delay), ..flight.clone() });
        }
    }
}

pub struct Pair {
    pub now: Instant,
    pub link: Link,
    pub a: Node,
    pub b: Node,
    /// A's name of B, and B's name of A.
    pub ab: PeerId,
    pub ba: PeerId,
}

pub const A_INNER: &str = "10.0.0.1";
pub const B_INNER: &str = "10.0.0.2";
pub const A_OUTER: &str = "192.0.2.1:1111";
pub const B_OUTER: &str = "192.0.2.2:2222";

pub fn private_key(byte: u8) -> PrivateKey {
    PrivateKey::from_bytes([byte; 32]).unwrap()
}

pub fn node(key: u8, address: &str) -> Node {
    let mut device = Device::new(Box::leak(Box::new(Room::new())));
    device.set_private_key(Instant::ZERO, Some(&private_key(key)));
    Node {
        device,
        rng: Seeded(u64::from(key)),
        clock: WallClock { answer: Ok(Tai64n::from_unix(1_700_000_000, 0)), asked: 0, ticks: true },
        address: address.parse().unwrap(),
        inbox: Vec::new(),
        waiting: VecDeque::new(),
        events: Vec::new(),
        refusals: Vec::new(),
        deadlines: Vec::new(),
        sent: Vec::new(),
    }
}

/// An IPv4 or IPv6 packet with a payload of `len` bytes, of value `fill`.
pub fn packet(source: &str, destination: &str, len: usize, fill: u8) -> Vec<u8> {
    let mut packet;
    match (source.parse().unwrap(), destination.parse().unwrap()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet = vec![0; 20];
            packet[0] = 0x45;
            packet[2..4].copy_from_slice(&(20 + len as u16).to_be_bytes());
            packet[8] = 64;
            packet[9] = 17;
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet = vec![0; 40];
            packet[0] = 0x60;
            packet[4..6].copy_from_slice(&(len as u16).to_be_bytes());
            packet[6] = 17;
            packet[7] = 64;
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
        }
        _ => panic!("one family"),
    }
    packet.resize(packet.len() + len, fill);
    packet
}

impl Node {
    pub fn public_key(&self) -> PublicKey {
        self.device.public_key().unwrap()
    }

    /// Adds a peer that owns `allowed`.
    pub fn meet(&mut self, public: PublicKey, allowed: &[&str], endpoint: Option<&str>) -> PeerId {
        let peer = self.device.add_peer(&public).unwrap();
        for prefix in allowed {
            self.device.add_allowed_ip(peer, prefix.parse::<AllowedIp>().unwrap()).unwrap();
        }
        if let Some(endpoint) = endpoint {
            self.device.set_endpoint(Instant::ZERO, peer, endpoint.parse().unwrap());
        }
        peer
    }

    /// Sends an inner packet, or keeps it until there is a session.
    pub fn send(&mut self, now: Instant, packet: &[u8], link: &mut Link) -> Result<(), SendError> {
        let mut buf = vec![0; 16 + packet.len() + 15 + 16];
        buf[16..16 + packet.len()].copy_from_slice(packet);
        let result = match self.device.seal(now, &mut buf, packet.len()) {
            Ok(transmit) => {
                let flight = Flight {
                    due: now,
                    from: self.address,
                    to: transmit.to.remote,
                    ecn: transmit.traffic_class & 3,
                    bytes: transmit.datagram.to_vec(),
                };
                self.sent.push((now, flight.bytes.clone()));
                link.carry(now, flight);
                Ok(())
            }
            Err(error) => {
                if matches!(error, SendError::NoSession(_)) {
                    self.waiting.push_back(packet.to_vec());
                }
                Err(error)
            }
        };
        self.drain(now, link);
        result
    }

    /// The law of driving.
    pub fn drain(&mut self, now: Instant, link: &mut Link) {
        while let Some(event) = self.device.poll_event() {
            self.events.push(event);
            match event {
                Event::SessionUp(_) => {
                    for packet in std::mem::take(&mut self.waiting) {
                        let mut buf = vec![0; 16 + packet.len() + 31];
                        buf[16..16 + packet.len()].copy_from_slice(&packet);
                        if let Ok(transmit) = self.device.seal(now, &mut buf, packet.len()) {
                            let bytes = transmit.datagram.to_vec();
                            let to = transmit.to.remote;
                            let ecn = transmit.traffic_class & 3;
                            self.sent.push((now, bytes.clone()));
                            link.carry(
                                now,
                                Flight { due: now, from: self.address, to, ecn, bytes },
                            );
                        }
                    }
                }
                Event::HandshakeGivenUp(_) => self.waiting.clear(),
                _ => {}
            }
        }
        let mut buf = [0; INITIATION_LEN];
        while let Some(transmit) =
            self.device.poll_transmit(now, &mut self.clock, &mut self.rng, &mut buf)
        {
            let bytes = transmit.datagram.to_vec();
            let to = transmit.to.remote;
            self.sent.push((now, bytes.clone()));
            link.carry(now, Flight { due: now, from: self.address, to, ecn: 0, bytes });
        }
    }

    pub fn receive(
        &mut self,
        now: Instant,
        flight: &Flight,
        link: &mut Link,
    ) -> Result<(), Refusal> {
        let mut bytes = flight.bytes.clone();
        let source = Source {
            remote: flight.from,
            local: Some(flight.to.ip()),
            ecn: Ecn::from_traffic_class(flight.ecn),
        };
        let outcome = match self.device.handle_datagram(now, &mut self.rng, source, &mut bytes) {
            Ok(Received::Packet { packet, .. }) => {
                self.inbox.push(packet.to_vec());
                Ok(())
            }
            Ok(Received::Reply(transmit)) => {
                let bytes = transmit.datagram.to_vec();
                let to = transmit.to.remote;
                self.sent.push((now, bytes.clone()));
                link.carry(now, Flight { due: now, from: self.address, to, ecn: 0, bytes });
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(refusal) => {
                self.refusals.push(refusal);
                Err(refusal)
            }
        };
        self.drain(now, link);
        outcome
    }

    pub fn status(&self, now: Instant, peer: PeerId) -> PeerStatus {
        self.device.peer(now, peer).unwrap()
    }

    pub fn is_up(&self, now: Instant, peer: PeerId) -> bool {
        self.status(now, peer).connection == Connection::Up
    }

    /// What was sent, by message type.
    pub fn sent_of(&self, kind: u8) -> Vec<(Instant, Vec<u8>)> {
        self.sent.iter().filter(|(_, bytes)| bytes[0] == kind).cloned().collect()
    }

    /// When initiations were sent.
    pub fn initiations(&self) -> Vec<Instant> {
        self.sent_of(1).into_iter().map(|(at, _)| at).collect()
    }

    /// When empty data packets were sent.
    pub fn keepalives(&self) -> Vec<Instant> {
        let sent = self.sent_of(4).into_iter();
        sent.filter(|(_, bytes)| bytes.len() == DATA_OVERHEAD).map(|(at, _)| at).collect()
    }

    pub fn serve_deadline(&mut self, now: Instant, link: &mut Link) {
        if let Some(deadline) = self.device.poll_timeout() {
            self.deadlines.push(deadline);
        }
        self.device.handle_timeout(now);
        self.drain(now, link);
    }
}

impl Pair {
    /// A knows where B is; B does not know where A is.
    pub fn new() -> Self {
        let (mut a, mut b) = (node(1, A_OUTER), node(2, B_OUTER));
        let ab = a.meet(b.public_key(), &["10.0.0.2/32", "fd00::2/128"], Some(B_OUTER));
        let ba = b.meet(a.public_key(), &["10.0.0.1/32", "fd00::1/128"], None);
        Self { now: Instant::ZERO, link: Link::perfect(), a, b, ab, ba }
    }

    /// A pair with a session that A initiated.
    pub fn connected() -> Self {
        let mut pair = Self::new();
        assert!(pair.a_sends(8).is_err());
        pair.run(Duration::from_secs(1));
        assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba));
        assert_eq!(pair.b.inbox.len(), 1);
        pair.b.inbox.clear();
        pair
    }

    /// A pair with a session in which nothing is due but the ends of its keys, and with no
    /// record of how it came to be.
    pub fn quiet() -> Self {
        let mut pair = Self::connected();
        pair.run(Duration::from_secs(29));
        pair.forget();
        pair
    }

    /// Starts all records anew.
    pub fn forget(&mut self) {
        for node in [&mut self.a, &mut self.b] {
            node.inbox.clear();
            node.events.clear();
            node.refusals.clear();
            node.deadlines.clear();
            node.sent.clear();
        }
        self.link.record.clear();
    }

    pub fn with_preshared_key(mut self, key: [u8; 32]) -> Self {
        self.a.device.set_preshared_key(self.ab, &PresharedKey::from_bytes(key));
        self.b.device.set_preshared_key(self.ba, &PresharedKey::from_bytes(key));
        self
    }

    pub fn a_sends(&mut self, len: usize) -> Result<(), SendError> {
        let packet = packet(A_INNER, B_INNER, len, 0xaa);
        self.a.send(self.now, &packet, &mut self.link)
    }

    pub fn b_sends(&mut self, len: usize) -> Result<(), SendError> {
        let packet = packet(B_INNER, A_INNER, len, 0xbb);
        self.b.send(self.now, &packet, &mut self.link)
    }

    /// Follows the law of driving after a setting was changed by hand.
    pub fn drain(&mut self) {
        self.a.drain(self.now, &mut self.link);
        self.b.drain(self.now, &mut self.link);
    }

    /// Serves the next thing that is due by `end`; false when there is nothing.
    pub fn step(&mut self, end: Instant) -> bool {
        let flight = (0..self.link.flights.len()).min_by_key(|i| self.link.flights[*i].due);
        let flight_due = flight.map(|i| self.link.flights[i].due);
        let a_due = self.a.device.poll_timeout().map(|(at, _)| at);
        let b_due = self.b.device.poll_timeout().map(|(at, _)| at);
        let Some(due) = [flight_due, a_due, b_due].into_iter().flatten().min() else {
            return false;
        };
        if due > end {
            return false;
        }
        self.now = self.now.max(due);
        if flight_due == Some(due) {
            let flight = self.link.flights.remove(flight.unwrap());
            self.deliver(&flight);
        } else if a_due == Some(due) {
            self.a.serve_deadline(self.now, &mut self.link);
        } else {
            self.b.serve_deadline(self.now, &mut self.link);
        }
        true
    }

    /// Hands a datagram to whom it is addressed to, now.
    pub fn deliver(&mut self, flight: &Flight) {
        if flight.to == self.a.address {
            let _ = self.a.receive(self.now, flight, &mut self.link);
        } else if flight.to == self.b.address {
            let _ = self.b.receive(self.now, flight, &mut self.link);
        }
    }

    /// Lets time pass, serving everything that is due.
    pub fn run(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until `end`, serving everything that is due.
    pub fn run_until(&mut self, end: Instant) {
        self.run(end.saturating_since(self.now));
    }

    /// Lets time pass without serving anything.
    pub fn freeze(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }
}
