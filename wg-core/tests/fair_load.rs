//! Whatever the number of attackers that prove their addresses, the device computes no more
//! than its budget says, and honest peers get through (whitepaper section 5.3).
//!
//! The device has the least memory there is and the budget of a microcontroller.

mod oracle;
mod pair;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use oracle::{Heard, Lone, open_cookie_reply, sign};
use pair::{B_OUTER, Node, Seeded, node, private_key};
use wg_core::rand_core::TryRng;
use wg_core::{Device, Instant, Refusal, Storage};

const BUDGET: u16 = 5;
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
/// Between two moments at which attackers strike.
const STEP: Duration = Duration::from_millis(4);
/// The longest wait of an honest peer until its next initiation.
const RETRY: Duration = Duration::from_millis(5_333);

type Cookie = ([u8; 16], Instant);

/// The outer address of the `number`th attacker.
type Addresses = fn(u32) -> IpAddr;

fn ipv4(number: u32) -> IpAddr {
    (0x0a00_0000 + number).to_be_bytes().into()
}

fn sites(number: u32) -> IpAddr {
    Ipv6Addr::from((0x2001_0db8_u128 << 96) + (u128::from(number) << 80) + 1).into()
}

fn networks_of_one_site(number: u32) -> IpAddr {
    Ipv6Addr::from((0x2001_0db8_u128 << 96) + (u128::from(number) << 64) + 1).into()
}

struct Attack {
    lone: Lone,
    rng: Seeded,
    /// With the cookie of each, and when it was new.
    attackers: Vec<(SocketAddr, Option<Cookie>)>,
    next: usize,
    /// When the engine worked on a message.
    worked: Vec<Instant>,
}

impl Attack {
    fn new(attackers: u32, addresses: Addresses, seed: u64) -> Self {
        let mut device = Device::new(Box::leak(Box::new(Storage::<1, 2>::new())));
        device.set_private_key(Instant::ZERO, Some(&private_key(2)));
        device.set_handshake_budget(BUDGET);
        let node = Node { device, rng: Seeded(seed), ..node(2, B_OUTER) };
        let attackers = (0..attackers).map(|number| (SocketAddr::new(addresses(number), 7), None));
        Self {
            lone: Lone::with(node),
            rng: Seeded(seed),
            attackers: attackers.collect(),
            next: 0,
            worked: Vec::new(),
        }
    }

    fn knock(&mut self, kind: u8, from: SocketAddr, cookie: Option<[u8; 16]>) -> Option<[u8; 16]> {
        let mut message = vec![0; if kind == 1 { 148 } else { 92 }];
        let Ok(()) = self.rng.try_fill_bytes(&mut message);
        message[..4].copy_from_slice(&[kind, 0, 0, 0]);
        sign(&mut message, &self.lone.them, cookie);
        match self.lone.node.hear(self.lone.now, from, &message) {
            Err(Refusal::StaticUndecryptable) => self.worked.push(self.lone.now),
            Ok(Heard::Reply(spoken)) => {
                return open_cookie_reply(&spoken.bytes, &self.lone.them, &message);
            }
            Err(Refusal::SourceLimit | Refusal::UnknownIndex) => {}
            other => panic!("{other:?}"),
        }
        None
    }

    /// One attacker's message, with a fresh cookie if there is one to be had.
    fn strike(&mut self) {
        let attacker = self.next % self.attackers.len();
        self.next += 1;
        let (from, cookie) = self.attackers[attacker];
        let now = self.lone.now;
        let fresh = cookie.filter(|(_, at)| !now.has_reached(*at, Duration::from_secs(100)));
        let cookie = fresh.map(|(cookie, _)| cookie);
        let cookie = cookie.or_else(|| self.knock(1, from, None));
        self.attackers[attacker].1 = cookie.map(|cookie| (cookie, fresh.map_or(now, |c| c.1)));
        if cookie.is_some() {
            let kind = if self.rng.chance(20) { 2 } else { 1 };
            self.knock(kind, from, cookie);
        }
    }

    /// Attackers strike as often in each step.
    fn run(&mut self, time: Duration, strikes: u32) {
        let end = self.lone.now.saturating_add(time);
        while self.lone.now < end {
            self.lone.wait(STEP);
            (0..strikes).for_each(|_| self.strike());
        }
    }

    /// How long an honest peer at `home` takes, which asks as rarely as it may.
    fn honest(&mut self, home: &str, strikes: u32, patience: Duration) -> Option<Duration> {
        let (start, home) = (self.lone.now, home.parse::<SocketAddr>().unwrap());
        let mut cookie = None;
        while !self.lone.now.has_reached(start, patience) {
            let mut initiation = self.lone.initiate().bytes;
            sign(&mut initiation, &self.lone.them, cookie);
            match self.lone.node.hear(self.lone.now, home, &initiation) {
                Ok(Heard::Reply(spoken)) if spoken.bytes[0] == 2 => {
                    self.worked.push(self.lone.now);
                    return Some(self.lone.now.saturating_since(start));
                }
                Ok(Heard::Reply(spoken)) => {
                    cookie = open_cookie_reply(&spoken.bytes, &self.lone.them, &initiation);
                }
                Err(Refusal::SourceLimit) => {}
                other => panic!("{other:?}"),
            }
            self.run(RETRY, strikes);
        }
        None
    }

    /// The most messages that were worked on in any second.
    fn most_in_a_second(&self) -> usize {
        let within = |(number, first): (usize, &Instant)| {
            let from_first = &self.worked[number..];
            from_first.iter().take_while(|at| !at.has_reached(*first, SECOND)).count()
        };
        self.worked.iter().enumerate().map(within).max().unwrap_or(0)
    }

    fn assert_bound(&self) {
        let most = self.most_in_a_second();
        assert!(most <= usize::from(BUDGET), "{most} in a second");
    }
}

#[test]
fn the_work_of_a_second_is_bounded_whatever_the_number_of_sources() {
    for (attackers, addresses) in
        [(1, ipv4 as Addresses), (8, ipv4), (8, networks_of_one_site), (64, sites), (1_000, ipv4)]
    {
        let mut attack = Attack::new(attackers, addresses, 1);
        attack.run(Duration::from_secs(60), 4);
        attack.assert_bound();
        assert!(attack.worked.len() > 30, "{attackers}: {}", attack.worked.len());
    }
}

/// The peer's session began before the attack, or during it, and it may be anywhere in a second.
#[test]
fn a_known_peer_gets_through_within_10_s_under_8_and_64_and_1000_and_100000_sources() {
    for (attackers, strikes, seeds) in [(8, 1, 6), (64, 1, 6), (1_000, 1, 6), (100_000, 80, 1)] {
        for seed in 0..seeds {
            let mut attack = Attack::new(attackers, ipv4, seed);
            attack.lone.called();
            attack.run(Duration::from_millis(3_000 + 167 * seed), strikes);
            let home = attack.lone.home.to_string();
            let took = attack.honest(&home, strikes, Duration::from_secs(10));
            assert!(took.is_some(), "{attackers} {seed}");
            attack.assert_bound();
        }
    }
}

#[test]
fn an_unknown_address_gets_through_within_60_s_under_64_sources() {
    let minute = Duration::from_secs(60);
    for addresses in [ipv4 as Addresses, sites, networks_of_one_site] {
        for seed in 0..8 {
            let mut attack = Attack::new(64, addresses, seed);
            attack.run(Duration::from_millis(1_000 + 4_4167 * seed), 1);
            let home = if seed % 2 == 0 { "198.51.100.9:9" } else { "[2001:db8:ffff::9]:9" };
            let took = attack.honest(home, 1, minute);
            assert!(took.is_some_and(|took| took <= minute), "{seed}: {took:?}");
            attack.assert_bound();
        }
    }
}

/// Each time load ends, the attackers fill the second before anybody has a cookie.
#[test]
fn an_attack_that_pauses_keeps_no_known_peer_out() {
    for seed in 0..12 {
        let mut attack = Attack::new(64, ipv4, seed);
        attack.lone.called();
        let start = attack.lone.now;
        let mut cookie = None;
        let mut tries = 0;
        let mut burst = start;
        let mut ask = start.saturating_add(Duration::from_millis(20_000 + 167 * seed));
        let asked = ask;
        let home = attack.lone.home;
        let took = loop {
            attack.lone.wait(MILLISECOND);
            let now = attack.lone.now;
            if now.has_reached(burst, Duration::from_millis(1_001)) {
                burst = now;
                let from = attack.attackers[0].0;
                for _ in 0..=BUDGET {
                    attack.knock(1, from, None);
                }
            }
            if now >= ask {
                ask = now.saturating_add(RETRY);
                tries += 1;
                let mut initiation = attack.lone.initiate().bytes;
                sign(&mut initiation, &attack.lone.them, cookie);
                match attack.lone.node.hear(now, home, &initiation) {
                    Ok(Heard::Reply(spoken)) if spoken.bytes[0] == 2 => {
                        break now.saturating_since(asked);
                    }
                    Ok(Heard::Reply(spoken)) => {
                        cookie = open_cookie_reply(&spoken.bytes, &attack.lone.them, &initiation);
                    }
                    other => assert_eq!(other, Err(Refusal::SourceLimit), "{tries}"),
                }
            }
        };
        assert!(took <= Duration::from_secs(10), "{took:?}");
    }
}

#[test]
fn an_answer_to_our_handshake_gets_through_under_100_sources() {
    for seed in 0..12 {
        let mut attack = Attack::new(100, ipv4, seed);
        attack.run(Duration::from_millis(2_000 + 167 * seed), 1);
        let initiation = attack.lone.initiation();
        let respond = |attack: &Attack, cookie| {
            let us = attack.lone.us.clone();
            let (mut response, _) = us.respond(&initiation, &[0; 32], [9; 32], 77);
            sign(&mut response, &attack.lone.them, cookie);
            response
        };
        let response = respond(&attack, None);
        let reply = attack.lone.hear(&response).unwrap().reply();
        let cookie = open_cookie_reply(&reply, &attack.lone.them, &response);
        attack.run(SECOND, 1);
        let response = respond(&attack, cookie);
        assert_eq!(attack.lone.hear(&response), Ok(Heard::Handshake(attack.lone.peer)));
    }
}

/// As an insider would: it has a session, and floods from its own address.
#[test]
fn a_known_address_that_floods_leaves_the_reserved_share_to_others() {
    let mut attack = Attack::new(64, ipv4, 3);
    attack.lone.called();
    let insider = attack.lone.home;
    attack.lone.home = "192.0.2.99:9".parse().unwrap();
    attack.lone.wait(SECOND);
    attack.lone.called();
    attack.attackers.push((insider, None));
    attack.run(Duration::from_secs(4), 5);
    let home = attack.lone.home.to_string();
    assert!(attack.honest(&home, 5, Duration::from_secs(20)).is_some());
}
