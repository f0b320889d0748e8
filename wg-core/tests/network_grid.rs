//! Five minutes of traffic in every weather, and what it costs: one table each for two of our
//! devices and for boringtun at one end, compared with what they were.
//!
//! Where a table differs, the new one is printed: it goes into `network_grid.txt` or
//! `network_grid_boringtun.txt` when the difference is wanted.

mod pair;

use std::collections::HashSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use mock_instant::MockClock;
use pair::{A_INNER, A_OUTER, B_INNER, B_OUTER, Link, Node, Seeded, node, packet};
use wg_core::{DATA_OVERHEAD, Instant, PublicKey};

const MINUTES_5: Duration = Duration::from_secs(300);
/// Between two packets of a host.
const PAUSE: Duration = Duration::from_millis(200);
/// How often boringtun looks at its timers, as its own device does.
const TICK: Duration = Duration::from_millis(250);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What the network does beside losing datagrams.
struct Weather {
    name: &'static str,
    duplicate_percent: u64,
    latency: Duration,
    /// Added to the latency at random, so that datagrams overtake each other.
    spread: Duration,
    damage_percent: u64,
    cut_percent: u64,
    /// The first machine's NAT forgets it and gives it another port so often.
    rebinding: Option<Duration>,
    /// Nothing passes for 40 s of so long.
    partition: Option<Duration>,
}

const FAIR: Weather = Weather {
    name: "fair",
    duplicate_percent: 0,
    latency: ms(20),
    spread: Duration::ZERO,
    damage_percent: 0,
    cut_percent: 0,
    rebinding: None,
    partition: None,
};

const WEATHERS: [Weather; 7] = [
    FAIR,
    Weather { name: "doubled, overtaken", duplicate_percent: 20, spread: ms(600), ..FAIR },
    Weather { name: "2 s away", latency: ms(2_000), ..FAIR },
    Weather { name: "damaged, cut", damage_percent: 10, cut_percent: 10, ..FAIR },
    Weather { name: "NAT rebinds, 20 s", rebinding: Some(ms(20_000)), ..FAIR },
    Weather { name: "40 s of 100 s down", partition: Some(ms(100_000)), ..FAIR },
    Weather {
        name: "all of it",
        duplicate_percent: 20,
        latency: ms(300),
        spread: ms(600),
        damage_percent: 5,
        cut_percent: 5,
        rebinding: Some(ms(20_000)),
        partition: Some(ms(100_000)),
    },
];

/// One side of the tunnel. What it sends is in an outbox until the network takes it.
enum End {
    Ours(Box<Node>),
    Theirs { tunnel: Box<Tunn>, next_tick: Instant, remote: SocketAddr, inbox: Vec<Vec<u8>> },
}

struct Flight {
    due: Instant,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

struct Network<'w> {
    now: Instant,
    weather: &'w Weather,
    loss_percent: u64,
    ends: [End; 2],
    /// Where the first machine appears.
    address: SocketAddr,
    rebound: Instant,
    outbox: Link,
    flights: Vec<Flight>,
    rng: Seeded,
    numbers: u32,
    arrived: HashSet<u32>,
    last_arrival: [Instant; 2],
    outage: Duration,
    initiations: usize,
    responses: usize,
    bytes: usize,
    /// Of which some carry no host's packet: handshakes and keepalives.
    overhead: usize,
}

fn ours(key: u8, address: &str, peer: u8, allowed: &str, endpoint: &str) -> End {
    let mut ours = node(key, address);
    let public = pair::private_key(peer).public_key();
    ours.meet(public, &[allowed], Some(endpoint));
    End::Ours(Box::new(ours))
}

fn theirs() -> End {
    let private = x25519::StaticSecret::from([2; 32]);
    let public: PublicKey = pair::private_key(1).public_key();
    let public = x25519::PublicKey::from(*public.as_bytes());
    let tunnel = Box::new(Tunn::new(private, public, None, None, 7, None));
    let remote = A_OUTER.parse().unwrap();
    End::Theirs { tunnel, next_tick: Instant::ZERO, remote, inbox: Vec::new() }
}

impl<'w> Network<'w> {
    fn new(weather: &'w Weather, loss_percent: u64, boringtun: bool) -> Self {
        MockClock::set_time(Duration::ZERO);
        let a = ours(1, A_OUTER, 2, "10.0.0.2/32", B_OUTER);
        let b = if boringtun { theirs() } else { ours(2, B_OUTER, 1, "10.0.0.1/32", A_OUTER) };
        Self {
            now: Instant::ZERO,
            weather,
            loss_percent,
            ends: [a, b],
            address: A_OUTER.parse().unwrap(),
            rebound: Instant::ZERO,
            outbox: Link { latency: Duration::ZERO, ..Link::perfect() },
            flights: Vec::new(),
            rng: Seeded(loss_percent + 1),
            numbers: 0,
            arrived: HashSet::new(),
            last_arrival: [Instant::ZERO; 2],
            outage: Duration::ZERO,
            initiations: 0,
            responses: 0,
            bytes: 0,
            overhead: 0,
        }
    }

    /// Something happens at an end, and the network takes what comes of it.
    fn at(&mut self, end: usize, what: impl FnOnce(&mut End, Instant, &mut Link)) {
        what(&mut self.ends[end], self.now, &mut self.outbox);
        self.outbox.record.clear();
        for sent in std::mem::take(&mut self.outbox.flights) {
            let from = if end == 0 { self.address } else { B_OUTER.parse().unwrap() };
            self.carry(from, sent.to, sent.bytes);
        }
    }

    fn carry(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.initiations += usize::from(bytes[0] == 1);
        self.responses += usize::from(bytes[0] == 2);
        if bytes[0] != 4 || bytes.len() == DATA_OVERHEAD {
            self.overhead += bytes.len();
        }
        let copies = 1 + u32::from(self.rng.chance(self.weather.duplicate_percent));
        for _ in 0..copies {
            let spread = self.rng.below(self.weather.spread.as_micros() as u64 + 1);
            let lost = self.rng.chance(self.loss_percent);
            let cut = self.rng.chance(self.weather.cut_percent);
            let damaged = self.rng.chance(self.weather.damage_percent);
            let place = self.rng.below(bytes.len() as u64) as usize;
            let down = self.weather.partition.is_some_and(|period| {
                self.now.as_micros() % period.as_micros() as u64 >= 60_000_000
            });
            if lost || down {
                continue;
            }
            let mut bytes = bytes.clone();
            if damaged {
                bytes[place] ^= 1 << (place % 8);
            }
            if cut {
                bytes.truncate(place);
            }
            let due = self.now.saturating_add(self.weather.latency + Duration::from_micros(spread));
            self.flights.push(Flight { due, from, to, bytes });
        }
    }

    fn deliver(&mut self, flight: Flight) {
        let end = match flight.to {
            to if to == self.address => 0,
            to if to == B_OUTER.parse().unwrap() => 1,
            // The NAT has forgotten this port.
            _ => return,
        };
        self.at(end, |at, now, outbox| match at {
            End::Ours(node) => {
                let to = node.address;
                let flight =
                    pair::Flight { due: now, from: flight.from, to, ecn: 0, bytes: flight.bytes };
                let _ = node.receive(now, &flight, outbox);
            }
            End::Theirs { tunnel, remote, inbox, .. } => {
                let mut buf = [0; 512];
                let mut input: &[u8] = &flight.bytes;
                loop {
                    match tunnel.decapsulate(None, input, &mut buf) {
                        TunnResult::WriteToNetwork(bytes) => {
                            *remote = flight.from;
                            post(outbox, now, *remote, bytes);
                            input = &[];
                        }
                        TunnResult::WriteToTunnelV4(bytes, _) => {
                            *remote = flight.from;
                            inbox.push(bytes.to_vec());
                            break;
                        }
                        TunnResult::Done => {
                            *remote = if flight.bytes.len() >= 32 { flight.from } else { *remote };
                            break;
                        }
                        _ => break,
                    }
                }
            }
        });
        let inbox = match &mut self.ends[end] {
            End::Ours(node) => &mut node.inbox,
            End::Theirs { inbox, .. } => inbox,
        };
        for packet in inbox.drain(..) {
            let number = u32::from_be_bytes(packet[20..24].try_into().unwrap());
            assert!(self.arrived.insert(number), "a packet arrived twice");
            let gap = self.now.saturating_since(self.last_arrival[end]);
            self.outage = self.outage.max(gap);
            self.last_arrival[end] = self.now;
        }
    }

    fn host_sends(&mut self, end: usize) {
        let (from, to) = [(A_INNER, B_INNER), (B_INNER, A_INNER)][end];
        let mut bytes = packet(from, to, 64, 0);
        bytes[20..24].copy_from_slice(&self.numbers.to_be_bytes());
        self.numbers += 1;
        self.at(end, |at, now, outbox| match at {
            End::Ours(node) => drop(node.send(now, &bytes, outbox)),
            End::Theirs { tunnel, remote, .. } => {
                let mut buf = [0; 512];
                if let TunnResult::WriteToNetwork(bytes) = tunnel.encapsulate(&bytes, &mut buf) {
                    post(outbox, now, *remote, bytes);
                }
            }
        });
    }

    fn deadline(&mut self, end: usize) -> Option<Instant> {
        match &mut self.ends[end] {
            End::Ours(node) => node.device.poll_timeout().map(|(at, _)| at),
            End::Theirs { next_tick, .. } => Some(*next_tick),
        }
    }

    fn serve(&mut self, end: usize) {
        self.at(end, |at, now, outbox| match at {
            End::Ours(node) => node.serve_deadline(now, outbox),
            End::Theirs { tunnel, next_tick, remote, .. } => {
                *next_tick = now.saturating_add(TICK);
                let mut buf = [0; 512];
                if let TunnResult::WriteToNetwork(bytes) = tunnel.update_timers(&mut buf) {
                    post(outbox, now, *remote, bytes);
                }
            }
        });
    }

    fn run(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        loop {
            let flight = (0..self.flights.len()).min_by_key(|i| self.flights[*i].due);
            let mut due = vec![(self.deadline(0), 0), (self.deadline(1), 1)];
            due.push((flight.map(|i| self.flights[i].due), 2));
            let next = due.into_iter().filter_map(|(at, what)| Some((at?, what))).min();
            let Some((at, what)) = next.filter(|(at, _)| *at <= end) else { break };
            self.go_to(self.now.max(at));
            match what {
                2 => {
                    let flight = self.flights.remove(flight.unwrap());
                    self.deliver(flight);
                }
                end => self.serve(end),
            }
        }
        self.go_to(end);
    }

    fn go_to(&mut self, now: Instant) {
        self.now = now;
        MockClock::set_time(Duration::from_micros(now.as_micros()));
        if self.weather.rebinding.is_some_and(|often| now.has_reached(self.rebound, often)) {
            self.rebound = now;
            self.address.set_port(self.address.port() + 1);
        }
    }
}

/// Leaves a datagram of boringtun's in the outbox.
fn post(outbox: &mut Link, now: Instant, to: SocketAddr, bytes: &[u8]) {
    let from = B_OUTER.parse().unwrap();
    outbox.carry(now, pair::Flight { due: now, from, to, ecn: 0, bytes: bytes.to_vec() });
}

/// The share of packets that arrived, initiations and responses sent, the share of bytes that
/// carried no packet, and the longest time without a packet at one end.
fn cell(weather: &Weather, loss_percent: u64, boringtun: bool) -> String {
    let mut network = Network::new(weather, loss_percent, boringtun);
    while !network.now.has_reached(Instant::ZERO, MINUTES_5) {
        network.host_sends(0);
        network.host_sends(1);
        network.run(PAUSE);
    }
    network.run(Duration::from_secs(5));
    for last in network.last_arrival {
        network.outage =
            network.outage.max(network.now.saturating_since(last).saturating_sub(ms(5_000)));
    }
    format!(
        "{:>4} % {:>3} {:>3} {:>5.1} % {:>5.1} s|",
        network.arrived.len() * 100 / network.numbers as usize,
        network.initiations,
        network.responses,
        network.overhead as f64 * 100.0 / network.bytes as f64,
        network.outage.as_secs_f64(),
    )
}

fn grid(boringtun: bool) -> String {
    let losses = [0, 10, 30, 50];
    let mut table = format!("{:<20}|", "weather, loss");
    losses.iter().for_each(|loss| write!(table, "{:>28} %|", loss).unwrap());
    table.push('\n');
    for weather in &WEATHERS {
        write!(table, "{:<20}|", weather.name).unwrap();
        for loss in losses {
            table += &cell(weather, loss, boringtun);
        }
        table.push('\n');
    }
    table
}

#[test]
fn the_grid_is_as_its_snapshot() {
    let table = grid(false);
    assert!(table == include_str!("network_grid.txt"), "it costs more or less; now:\n{table}");
}

#[test]
fn the_grid_with_boringtun_is_as_its_snapshot() {
    let table = grid(true);
    let snapshot = include_str!("network_grid_boringtun.txt");
    assert!(table == snapshot, "it costs more or less; now:\n{table}");
}
