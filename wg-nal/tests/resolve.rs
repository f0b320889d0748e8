//! Endpoints by name, in virtual time, with a DNS that says what a script says.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use embedded_nal::nb;
use embedded_nal_async::AddrType;
use futures_lite::future::{block_on, pending, poll_once};
use wg_core::Instant;
use wg_nal::{
    EndpointName, Family, LONGEST_QUERY, LONGEST_WAIT, Monotonic, QUERY_PATIENCE, SHORTEST_WAIT,
    poll_resolve, resolve,
};

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";

/// What DNS has.
#[derive(Default)]
struct Dns {
    v4: Cell<Option<&'static str>>,
    v6: Cell<Option<&'static str>>,
    silent: Cell<bool>,
    asked: RefCell<VecDeque<Family>>,
}

impl Dns {
    fn with(v4: Option<&'static str>, v6: Option<&'static str>) -> Self {
        Self { v4: v4.into(), v6: v6.into(), ..Self::default() }
    }

    fn look_up(&self, host: &str, family: AddrType) -> Result<IpAddr, ()> {
        assert_eq!(host, "vpn.example.org");
        let (family, answer) = match family {
            AddrType::IPv4 => (Family::V4, self.v4.get()),
            AddrType::IPv6 => (Family::V6, self.v6.get()),
            // embassy-net 0.9 asks for one family twice then.
            AddrType::Either => panic!("asked for either"),
        };
        self.asked.borrow_mut().push_back(family);
        answer.map(|address| address.parse().unwrap()).ok_or(())
    }

    fn asked(&self) -> Vec<Family> {
        self.asked.borrow_mut().drain(..).collect()
    }
}

impl embedded_nal_async::Dns for Dns {
    type Error = ();

    async fn get_host_by_name(&self, host: &str, family: AddrType) -> Result<IpAddr, ()> {
        let answer = self.look_up(host, family);
        if self.silent.get() {
            pending::<()>().await;
        }
        answer
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, ()> {
        Err(())
    }
}

impl embedded_nal::Dns for Dns {
    type Error = ();

    fn get_host_by_name(&mut self, host: &str, family: AddrType) -> nb::Result<IpAddr, ()> {
        let answer = self.look_up(host, family);
        if self.silent.get() {
            return Err(nb::Error::WouldBlock);
        }
        answer.map_err(nb::Error::Other)
    }

    fn get_host_by_address(&mut self, _: IpAddr, _: &mut [u8]) -> nb::Result<usize, ()> {
        Err(nb::Error::Other(()))
    }
}

fn name() -> EndpointName<'static> {
    EndpointName::new("vpn.example.org", 51820, Family::V6)
}

fn at(address: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(address.parse().unwrap(), 51820))
}

/// A clock that who waits for sets forward.
struct Time(Cell<Instant>);

impl Monotonic for Time {
    fn now(&self) -> Instant {
        self.0.get()
    }

    async fn delay_until(&self, at: Instant) {
        self.0.set(self.now().max(at));
    }
}

/// A clock that stands.
struct Never;

impl Monotonic for Never {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    async fn delay_until(&self, _: Instant) {
        pending::<()>().await;
    }
}

fn run(name: &mut EndpointName<'_>, dns: &Dns, now: Instant) -> Option<SocketAddr> {
    block_on(resolve(name, dns, &Time(now.into())))
}

/// A name server to which a packet is lost, on a stack that asks once and waits.
#[test]
fn a_query_without_an_answer_fails_in_time_and_the_next_round_has_its_wait() {
    let dns = Dns::with(Some(V4), Some(V6));
    let mut name = name();
    dns.silent.set(true);
    let time = Time(Instant::ZERO.into());
    assert_eq!(block_on(resolve(&mut name, &dns, &time)), None);
    assert_eq!(dns.asked(), [Family::V6, Family::V4]);
    assert_eq!(time.now(), Instant::ZERO.saturating_add(2 * LONGEST_QUERY));
    // The wait began with the round, and is over.
    assert_eq!(name.deadline(), Some(time.now()));
    dns.silent.set(false);
    assert_eq!(block_on(resolve(&mut name, &dns, &time)), at(V6));
    let again = time.now();
    name.unanswered(again, at(V6));
    assert_eq!(name.deadline(), Some(again.saturating_add(2 * SHORTEST_WAIT)));
}

#[test]
fn an_address_is_never_asked_for() {
    for (host, address) in [(V4, V4), (V6, V6), ("[2001:db8::1]", V6)] {
        let mut name = EndpointName::new(host, 51820, Family::V4);
        assert_eq!(name.literal(), at(address));
        for seconds in 0..1000 {
            let now = Instant::from_secs(seconds);
            name.unanswered(now, name.literal());
            assert_eq!((name.deadline(), name.next_query(now)), (None, None));
        }
    }
    assert_eq!(name().literal(), None);
}

#[test]
fn families_alternate_while_handshakes_go_unanswered() {
    let dns = Dns::with(Some(V4), Some(V6));
    let (mut name, mut now) = (name(), Instant::ZERO);
    let mut endpoint = None;
    for expected in [V6, V4, V6, V4, V6] {
        let new = run(&mut name, &dns, now);
        assert_eq!(new, at(expected));
        endpoint = new.or(endpoint);
        name.unanswered(now, endpoint);
        now = name.deadline().unwrap();
    }
    use Family::{V4 as F4, V6 as F6};
    assert_eq!(dns.asked(), [F6, F4, F6, F4, F6], "one query each");
}

#[test]
fn the_other_family_is_tried_when_one_has_no_address() {
    let dns = Dns::with(Some(V4), None);
    assert_eq!(run(&mut name(), &dns, Instant::ZERO), at(V4));
    assert_eq!(dns.asked(), [Family::V6, Family::V4]);
}

#[test]
fn an_answer_that_is_no_news_asks_the_other_family_once() {
    let dns = Dns::with(Some(V4), None);
    let mut name = name();
    assert_eq!(run(&mut name, &dns, Instant::ZERO), at(V4));
    dns.asked();
    name.unanswered(Instant::ZERO, at(V4));
    let due = name.deadline().unwrap();
    assert_eq!(run(&mut name, &dns, due), None);
    assert_eq!(dns.asked(), [Family::V6, Family::V4]);
    assert_eq!(name.deadline(), None, "until the next handshake goes unanswered");

    // The server moves.
    dns.v4.set(Some("192.0.2.2"));
    name.unanswered(due, at(V4));
    let due = name.deadline().unwrap();
    assert_eq!(run(&mut name, &dns, due), at("192.0.2.2"));
}

/// After roaming, what DNS said at first is news again.
#[test]
fn the_endpoint_of_no_use_is_the_one_that_counts() {
    let dns = Dns::with(Some(V4), None);
    let mut name = name();
    assert_eq!(run(&mut name, &dns, Instant::ZERO), at(V4));
    name.reached();
    let later = Instant::from_secs(1000);
    name.unanswered(later, at("198.51.100.7"));
    assert_eq!(run(&mut name, &dns, later), at(V4));
}

#[test]
fn fruitless_rounds_are_ever_further_apart_and_a_session_makes_them_near_again() {
    let dns = Dns::default();
    let (mut name, mut now) = (name(), Instant::ZERO);
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert_eq!(run(&mut name, &dns, now), None);
        assert_eq!(dns.asked().len(), 2);
        assert_eq!(run(&mut name, &dns, now), None);
        assert_eq!(dns.asked(), [], "not before its time");
        let due = name.deadline().unwrap();
        waits.push(due.saturating_since(now).as_secs());
        now = due;
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(waits[0], SHORTEST_WAIT.as_secs());
    assert_eq!(waits[8], LONGEST_WAIT.as_secs());

    dns.v6.set(Some(V6));
    assert!(run(&mut name, &dns, now) == at(V6));
    name.reached();
    assert_eq!(name.deadline(), None);
    let now = now.saturating_add(LONGEST_WAIT);
    name.unanswered(now, at(V6));
    assert_eq!(name.deadline(), Some(now), "at once");
    run(&mut name, &dns, now);
    name.unanswered(now, at(V6));
    assert_eq!(name.deadline(), Some(now.saturating_add(SHORTEST_WAIT)));
}

#[test]
fn a_peer_that_moves_after_a_day_of_silence_is_asked_for_within_ten_seconds() {
    let dns = Dns::with(Some(V4), None);
    let (mut name, mut now) = (name(), Instant::ZERO);
    run(&mut name, &dns, now);
    for _ in 0..86_400 / 5 {
        now = now.saturating_add(Duration::from_secs(5));
        name.unanswered(now, at(V4));
        run(&mut name, &dns, now);
    }
    assert!(dns.asked().len() < 86_400 / 5 + 10, "two queries in ten seconds");
    dns.v4.set(Some("198.51.100.7"));
    let moved = now;
    let found = loop {
        now = now.saturating_add(Duration::from_secs(1));
        name.unanswered(now, at(V4));
        if let Some(found) = run(&mut name, &dns, now) {
            break found;
        }
    };
    assert_eq!(Some(found), at("198.51.100.7"));
    assert!(now.saturating_since(moved) <= SHORTEST_WAIT * 2);
}

#[test]
fn an_answer_that_comes_after_the_session_is_not_heard() {
    let mut name = name();
    assert_eq!(name.next_query(Instant::ZERO), Some(Family::V6));
    assert_eq!(name.next_query(Instant::from_secs(99)), None, "one query at a time");
    name.reached();
    assert_eq!(name.answered(Instant::ZERO, V6.parse().unwrap()), None);
    name.failed(Instant::ZERO);
    assert_eq!(name.deadline(), None);
}

#[test]
fn a_resolver_that_is_dropped_asks_again() {
    let dns = Dns::with(None, Some(V6));
    let mut name = name();
    dns.silent.set(true);
    block_on(async {
        let never = Never;
        let dropped = pin!(resolve(&mut name, &dns, &never));
        assert_eq!(poll_once(dropped).await, None);
    });
    dns.silent.set(false);
    assert_eq!(run(&mut name, &dns, Instant::ZERO), at(V6));
}

#[test]
fn the_blocking_resolver_never_waits_and_gives_up_a_silent_server() {
    let mut dns = Dns::with(Some(V4), Some(V6));
    let mut name = name();
    dns.silent.set(true);
    for millis in 0..10_000 {
        assert_eq!(poll_resolve(&mut name, &mut dns, Instant::from_millis(millis)), None);
    }
    assert!(dns.asked().iter().all(|family| *family == Family::V6));
    let now = Instant::ZERO.saturating_add(QUERY_PATIENCE);
    assert_eq!(poll_resolve(&mut name, &mut dns, now), None);
    dns.asked();
    dns.silent.set(false);
    assert_eq!(poll_resolve(&mut name, &mut dns, now), at(V4));
    assert_eq!(dns.asked(), [Family::V4]);
    let later = now.saturating_add(Duration::from_secs(3600));
    assert_eq!(poll_resolve(&mut name, &mut dns, later), None);
    assert_eq!(dns.asked(), [], "there is nothing to ask");
}
