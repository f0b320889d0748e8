//! Two devices on bad networks: whatever is lost, late, doubled or out of order, sessions come
//! up, packets arrive at most once, and the tunnel recovers as soon as the network does.

mod pair;

use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

use pair::{A_INNER, B_INNER, Link, Node, Pair, Seeded, packet};
use wg_core::{Instant, Refusal};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Packets numbered as they are sent, over a pair.
struct Traffic {
    pair: Pair,
    sent: u32,
}

impl Traffic {
    /// Both know where the other is.
    fn new() -> Self {
        let mut pair = Pair::new();
        let address = pair.a.address;
        pair.b.device.set_endpoint(pair.now, pair.ba, address);
        Self { pair, sent: 0 }
    }

    fn a_sends(&mut self) {
        let packet = self.numbered(A_INNER, B_INNER);
        let _ = self.pair.a.send(self.pair.now, &packet, &mut self.pair.link);
    }

    fn b_sends(&mut self) {
        let packet = self.numbered(B_INNER, A_INNER);
        let _ = self.pair.b.send(self.pair.now, &packet, &mut self.pair.link);
    }

    fn numbered(&mut self, from: &str, to: &str) -> Vec<u8> {
        let mut packet = packet(from, to, 4, 0);
        packet[20..].copy_from_slice(&self.sent.to_be_bytes());
        self.sent += 1;
        packet
    }

    /// How many packets arrived, each of them once.
    fn arrived(&self) -> usize {
        let mut seen = HashSet::new();
        for packet in self.pair.a.inbox.iter().chain(&self.pair.b.inbox) {
            assert!(seen.insert(packet), "a packet was accepted twice");
        }
        seen.len()
    }

    fn heal(&mut self) {
        self.pair.link.latency = Duration::from_millis(20);
        self.pair.link.spread = Duration::ZERO;
        self.pair.link.loss_percent = 0;
        self.pair.link.duplicate_percent = 0;
        self.pair.link.silenced.clear();
    }

    /// Seconds of a sound network until packets arrive both ways.
    fn recovery(&mut self) -> u32 {
        self.heal();
        let before = (self.pair.a.inbox.len(), self.pair.b.inbox.len());
        for waited in 0.. {
            // What is still in flight counts for nothing.
            if waited == 3 {
                self.pair.a.inbox.truncate(before.0);
                self.pair.b.inbox.truncate(before.1);
            }
            self.a_sends();
            self.b_sends();
            self.pair.run(secs(1));
            let after = (self.pair.a.inbox.len(), self.pair.b.inbox.len());
            if waited >= 3 && after.0 > before.0 && after.1 > before.1 {
                return waited;
            }
            assert!(waited < 60, "no recovery");
        }
        unreachable!()
    }
}

/// What a network can make of sound messages; anything else is a mistake of ours.
fn assert_plausible(node: &Node) {
    let plausible = [
        Refusal::Replayed,
        Refusal::TooOld,
        Refusal::UnknownIndex,
        Refusal::StaleTimestamp,
        Refusal::InitiationFlood,
        Refusal::SessionExpired,
        Refusal::Down,
        Refusal::ResponseUndecryptable,
    ];
    for refusal in &node.refusals {
        assert!(plausible.contains(refusal), "{refusal:?}");
    }
}

/// No key sees a nonce twice, and no initiation leaves within 5 s of a handshake message.
fn assert_careful(node: &Node, restarts: &[Instant]) {
    let mut nonces = HashSet::new();
    for (at, bytes) in node.sent_of(4) {
        assert!(nonces.insert(bytes[4..16].to_vec()), "a nonce twice, at {at:?}");
    }
    let mut last: Option<Instant> = None;
    for (at, bytes) in node.sent.iter().filter(|(_, bytes)| bytes[0] < 3) {
        // Going down forgets the time of the last one.
        last = last.filter(|last| !restarts.iter().any(|restart| last <= restart && restart <= at));
        if let Some(last) = last.filter(|_| bytes[0] == 1) {
            assert!(at.saturating_since(last) >= secs(5), "too soon after {last:?}: {at:?}");
        }
        last = Some(*at);
    }
}

/// One cell: five minutes of a packet each way every 200 ms. The share that arrived in percent,
/// and the handshakes that it took.
fn cell(loss_percent: u64, latency: Duration) -> (usize, usize) {
    let mut traffic = Traffic::new();
    let link = &mut traffic.pair.link;
    link.loss_percent = loss_percent;
    link.latency = latency;
    link.spread = latency / 2;
    link.duplicate_percent = 5;
    for _ in 0..1_500 {
        traffic.a_sends();
        traffic.b_sends();
        traffic.pair.run(Duration::from_millis(200));
    }
    traffic.pair.run(secs(5));
    let arrived = traffic.arrived() * 100 / traffic.sent as usize;
    let handshakes = traffic.pair.a.initiations().len() + traffic.pair.b.initiations().len();
    assert_plausible(&traffic.pair.a);
    assert_plausible(&traffic.pair.b);
    assert!(traffic.recovery() < 20);
    (arrived, handshakes)
}

#[test]
fn loss_and_latency_cost_what_they_must_and_no_more() {
    let mut table = String::from("loss %|    1 ms|   50 ms|  500 ms| 2000 ms|\n");
    for loss in [0, 1, 5, 10, 20, 30] {
        write!(table, "{loss:>6}|").unwrap();
        for latency in [1, 50, 500, 2_000] {
            let (arrived, handshakes) = cell(loss, Duration::from_millis(latency));
            write!(table, "{arrived:>4} %{handshakes:>2}|").unwrap();
        }
        table.push('\n');
    }
    // The share of packets that arrived, and the initiations that were sent, in 5 minutes.
    let expected = "\
loss %|    1 ms|   50 ms|  500 ms| 2000 ms|
     0|  99 % 6|  99 % 6|  99 % 6|  96 % 6|
     1|  99 % 6|  99 % 6|  98 % 6|  95 % 6|
     5|  95 % 6|  95 % 6|  95 % 5|  92 % 6|
    10|  91 % 6|  91 % 6|  90 % 6|  86 % 9|
    20|  82 % 5|  82 % 5|  82 % 6|  79 % 6|
    30|  73 % 5|  73 % 5|  72 % 6|  72 % 7|
";
    assert_eq!(table, expected, "it costs more or less than it did; now:\n{table}");
}

#[test]
fn both_may_call_at_any_distance_over_any_latency() {
    for latency in [0, 1, 10, 100, 700, 2_400] {
        for distance in [0, 1, 3, 9, 10, 11, 30, 99, 100, 150, 1_000, 3_000] {
            let mut traffic = Traffic::new();
            traffic.pair.link.latency = Duration::from_millis(latency);
            traffic.a_sends();
            traffic.pair.run(Duration::from_millis(distance));
            traffic.b_sends();
            // A round trip for each handshake, and a one-way trip for the packet.
            traffic.pair.run(Duration::from_millis(3 * latency));
            assert_eq!(traffic.arrived(), 2, "{latency} ms away, {distance} ms apart");
        }
    }
}

#[test]
fn after_any_storm_the_tunnel_is_back_within_seconds() {
    let mut slowest = 0;
    for seed in 0..120 {
        let mut rng = Seeded(seed);
        let mut traffic = Traffic::new();
        traffic.pair.a.rng = Seeded(seed ^ 0xa);
        traffic.pair.b.rng = Seeded(seed ^ 0xb);
        let (ab, ba) = (traffic.pair.ab, traffic.pair.ba);
        if rng.chance(30) {
            let seconds = 1 + rng.below(40) as u16;
            traffic.pair.a.device.set_persistent_keepalive(Instant::ZERO, ab, seconds);
        }
        if rng.chance(30) {
            let seconds = 1 + rng.below(40) as u16;
            traffic.pair.b.device.set_persistent_keepalive(Instant::ZERO, ba, seconds);
        }
        traffic.pair.drain();
        let mut restarts = (Vec::new(), Vec::new());
        for _ in 0..40 {
            let pair = &mut traffic.pair;
            let link = &mut pair.link;
            match rng.below(12) {
                0 => link.loss_percent = rng.below(100),
                1 => link.duplicate_percent = rng.below(50),
                2 => link.latency = Duration::from_millis(rng.below(3_000)),
                3 => link.spread = Duration::from_millis(rng.below(8_000)),
                4 => link.silenced = vec![pair.a.address],
                5 => link.silenced = vec![pair.b.address],
                6 => traffic.heal(),
                7 => restarts.0.push(restart(&mut pair.a, pair.now, &mut pair.link)),
                8 => restarts.1.push(restart(&mut pair.b, pair.now, &mut pair.link)),
                _ => {}
            }
            if rng.chance(60) {
                traffic.a_sends();
            }
            if rng.chance(60) {
                traffic.b_sends();
            }
            let wait = [500, 5_000, 30_000, 200_000][rng.below(4) as usize];
            traffic.pair.run(Duration::from_millis(rng.below(wait)));
        }
        slowest = slowest.max(traffic.recovery());
        traffic.arrived();
        assert_plausible(&traffic.pair.a);
        assert_plausible(&traffic.pair.b);
        assert_careful(&traffic.pair.a, &restarts.0);
        assert_careful(&traffic.pair.b, &restarts.1);
    }
    // Silence is noticed after 15.333 s, and the answer takes a round trip.
    assert!((3..=17).contains(&slowest), "{slowest} s");
}

fn restart(node: &mut Node, now: Instant, link: &mut Link) -> Instant {
    node.device.down();
    node.device.up(now);
    node.drain(now, link);
    now
}
