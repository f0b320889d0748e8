//! A whole tunnel in one call, and endpoints that are names.

mod virtual_network;

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use virtual_network::{Clock, Network, Seeded, Simulation, Socket};
use wg_core::{AddPeerError, ClockUnavailable, PrivateKey, Refusal, Tai64n, Tai64nClock};
use wg_nal::{
    BeginError, EndpointName, Family, Handle, Interface, LONGEST_QUERY, Monotonic, PeerError,
    Persistent, Record, Resources, Runner, Standing, Store, Timestamps,
};

/// A clock that may not be set.
#[derive(Clone, Default)]
struct Wall(Rc<Cell<Option<Tai64n>>>);

impl Tai64nClock for Wall {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        let now = self.0.get().ok_or(ClockUnavailable::NotSet)?;
        self.0.set(Some(now.successor()));
        Ok(now)
    }
}

impl Timestamps for Wall {
    type Error = ();

    fn is_short(&self) -> bool {
        false
    }

    async fn reserve(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

struct Board {
    interface: Interface<'static>,
    handle: Handle<'static, Clock>,
    runner: Runner<'static, Socket, Seeded, Wall, Clock>,
    socket: Socket,
    wall: Wall,
}

fn board(network: &Rc<Network>, number: u8) -> Board {
    let resources = Box::leak(Box::new(Resources::<1, 2, 1420, 4, 4>::new()));
    let (socket, wall) = (Socket::new(network, number), Wall::default());
    wall.0.set(Some(Tai64n::from_unix(1_800_000_000, 0)));
    let rng = Seeded(u64::from(number));
    let (interface, handle, runner) =
        wg_nal::new(resources, socket.clone(), rng, wall.clone(), Clock::new(network));
    Board { interface, handle, runner, socket, wall }
}

/// The private and the public key of a host, as text.
fn keys(number: u8) -> (String, String) {
    let key = PrivateKey::generate(&mut Seeded(1000 + u64::from(number)));
    let public = key.public_key().to_string();
    (key.expose_base64().as_str().to_owned(), public)
}

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const SOON: Duration = Duration::from_secs(1);

#[test]
fn five_arguments_make_a_tunnel() {
    let network = Network::new();
    let (mut a, mut b) = (board(&network, 1), board(&network, 2));
    let ((a_private, a_public), (b_private, b_public)) = (keys(1), keys(2));
    let begun = a.handle.begin(LOCAL, &a_private, "192.0.2.2", &b_public, 51820).unwrap();
    b.handle.begin(LOCAL, &b_private, "192.0.2.1", &a_public, 51820).unwrap();
    let mut simulation = Simulation::new(&network);
    simulation.spawn(async move { a.runner.run().await });
    simulation.spawn(async move { b.runner.run().await });
    simulation.block_on(SOON, a.handle.wait_link_up());
    let status = a.handle.status(begun.peer).unwrap();
    assert_eq!((status.persistent_keepalive, begun.address.cidr()), (25, 32));
    let _ = (a.interface.mtu(), b.interface.mtu());
}

#[test]
fn beginning_again_replaces_the_peer_and_a_mistake_changes_nothing() {
    let network = Network::new();
    let a = board(&network, 1);
    let ((private, own), (_, first), (_, second)) = (keys(1), keys(2), keys(3));
    a.handle.begin(LOCAL, &private, "192.0.2.2", &first, 51820).unwrap();
    a.handle.begin(LOCAL, &private, "192.0.2.2", &second, 51820).unwrap();
    let second_key = second.parse().unwrap();
    assert!(a.handle.find_peer(&first.parse().unwrap()).is_none());

    let begin = |private: &str, host: &str, public: &str| {
        a.handle.begin(LOCAL, private, host, public, 51820).map(drop).unwrap_err()
    };
    assert!(matches!(begin("no key", "192.0.2.2", &first), BeginError::PrivateKey(_)));
    assert!(matches!(begin(&private, "192.0.2.2", "no key"), BeginError::PublicKey(_)));
    assert_eq!(begin(&private, "", &first), BeginError::Endpoint);
    assert_eq!(begin(&private, "a b", &first), BeginError::Endpoint);
    assert_eq!(begin(&private, "0.0.0.0", &first), BeginError::Endpoint);
    assert_eq!(begin(&private, "::", &first), BeginError::Endpoint);
    let port_0 = a.handle.begin(LOCAL, &private, "192.0.2.2", &first, 0);
    assert_eq!(port_0.unwrap_err(), BeginError::Endpoint);
    assert_eq!(begin(&private, "192.0.2.2", &own), BeginError::Peer(AddPeerError::OwnKey));
    assert!(a.handle.find_peer(&second_key).is_some());
    assert_eq!(a.handle.public_key().unwrap().to_string(), own);
}

#[test]
fn a_configuration_without_a_key_keeps_the_tunnels_and_is_refused_where_there_is_none() {
    let network = Network::new();
    let a = board(&network, 1);
    let ((private, own), (_, first), (_, second)) = (keys(1), keys(2), keys(3));
    a.handle.begin(LOCAL, &private, "192.0.2.2", &first, 51820).unwrap();
    let zero = format!("PrivateKey = {}=\n", "A".repeat(43));
    for key in ["", &zero] {
        let text = |peer: &str| format!("[Interface]\n{key}[Peer]\nPublicKey = {peer}\n");
        a.handle.set_private_key(None);
        let (before, text) = (a.handle.find_peer(&first.parse().unwrap()), text(&second));
        let error = a.handle.begin_config(&text).unwrap_err();
        assert_eq!(error, BeginError::NoPrivateKey);
        assert!(error.to_string().starts_with("[Interface] has no PrivateKey: "), "{error}");
        assert_eq!(a.handle.find_peer(&first.parse().unwrap()), before);
        assert!(a.handle.public_key().is_none());

        a.handle.set_private_key(Some(&private.parse().unwrap()));
        a.handle.begin_config(&text).unwrap();
        assert_eq!(a.handle.public_key().unwrap().to_string(), own);
        assert!(a.handle.find_peer(&second.parse().unwrap()).is_some());
        a.handle.begin(LOCAL, &private, "192.0.2.2", &first, 51820).unwrap();
    }
}

#[test]
fn of_a_peer_that_is_there_twice_the_later_counts() {
    let network = Network::new();
    let resources = Box::leak(Box::new(Resources::<2, 2, 1420, 4, 4>::new()));
    let (_interface, handle, _runner) = wg_nal::new(
        resources,
        Socket::new(&network, 1),
        Seeded(1),
        Wall::default(),
        Clock::new(&network),
    );
    let ((private, _), (_, peer)) = (keys(1), keys(2));
    let text = format!(
        "[Interface]\nPrivateKey = {private}\n[Peer]\nPublicKey = {peer}\nAllowedIPs = 10.0.0.0/8
Endpoint = 192.0.2.2:1\nPersistentKeepalive = 5\n[Peer]\nPublicKey = {peer}
AllowedIPs = 10.1.0.0/16\nEndpoint = 192.0.2.2:2\nPersistentKeepalive = 6"
    );
    handle.begin_config(&text).unwrap();
    let mut told = Vec::new();
    handle.for_each_peer(|_, status| told.push((status.endpoint, status.persistent_keepalive)));
    assert_eq!(told, [("192.0.2.2:2".parse().ok(), 6)]);
}

#[test]
fn a_configuration_that_does_not_fit_changes_nothing() {
    let network = Network::new();
    let a = board(&network, 1);
    let ((private, _), (_, first), (_, second)) = (keys(1), keys(2), keys(3));
    let one = format!(
        "[Interface]\nPrivateKey = {private}\n[Peer]\nPublicKey = {first}\n\
         AllowedIPs = 10.0.0.0/8\nEndpoint = 192.0.2.2:51820\n"
    );
    a.handle.begin_config(&one).unwrap();
    let known = a.handle.find_peer(&first.parse().unwrap()).unwrap();
    assert_eq!(a.handle.status(known).unwrap().endpoint, "192.0.2.2:51820".parse().ok());

    let two = format!("{one}[Peer]\nPublicKey = {second}\n");
    assert_eq!(a.handle.begin_config(&two).unwrap_err(), BeginError::Peer(AddPeerError::Full));
    let many = one.replace("10.0.0.0/8", "10.0.0.0/8, 10.1.0.0/16, 10.2.0.0/16");
    assert!(matches!(a.handle.begin_config(&many), Err(BeginError::Routes(_))));
    let broken = one.replace("Endpoint", "Endpiont");
    assert!(matches!(a.handle.begin_config(&broken), Err(BeginError::Config(_))));
    assert_eq!(a.handle.find_peer(&first.parse().unwrap()), Some(known));

    let peer = wg_nal::Peer {
        public_key: &second.parse().unwrap(),
        preshared_key: &wg_core::PresharedKey::NONE,
        endpoint: None,
        allowed_ips: &[],
        persistent_keepalive: 0,
    };
    assert_eq!(a.handle.set_peer(&peer), Err(PeerError::Peer(AddPeerError::Full)));
}

#[test]
fn a_clock_that_is_not_set_is_told_and_the_handshake_follows_it() {
    let network = Network::new();
    let (mut a, mut b) = (board(&network, 1), board(&network, 2));
    let ((a_private, a_public), (b_private, b_public)) = (keys(1), keys(2));
    let begun = a.handle.begin(LOCAL, &a_private, "192.0.2.2", &b_public, 51820).unwrap();
    b.handle.begin(LOCAL, &b_private, "192.0.2.9", &a_public, 51820).unwrap();
    let time = a.wall.0.take();
    let mut simulation = Simulation::new(&network);
    simulation.spawn(async move { a.runner.run().await });
    simulation.spawn(async move { b.runner.run().await });
    simulation.run_for(SOON * 30);
    assert_eq!(a.handle.obstacle(begun.peer), Some(Refusal::ClockNotSet));
    assert!(network.sent_by(a.socket.address.get()).is_empty());
    a.wall.0.set(time);
    simulation.block_on(SOON * 6, a.handle.wait_link_up());
    assert_eq!(a.handle.obstacle(begun.peer), None);
}

/// Memory that fails for a while, and forgets nothing.
#[derive(Clone, Default)]
struct Memory {
    failures: Rc<Cell<u32>>,
    bytes: Rc<RefCell<Option<Vec<u8>>>>,
}

impl Store for Memory {
    type Error = &'static str;

    async fn load(&mut self, _: Record, bytes: &mut [u8]) -> Result<bool, &'static str> {
        if let Some(fewer) = self.failures.get().checked_sub(1) {
            self.failures.set(fewer);
            return Err("the flash is asleep");
        }
        let kept = self.bytes.borrow();
        if let Some(kept) = kept.as_deref() {
            bytes.copy_from_slice(kept);
        }
        Ok(kept.is_some())
    }

    async fn save(&mut self, _: Record, bytes: &[u8]) -> Result<(), &'static str> {
        *self.bytes.borrow_mut() = Some(bytes.to_vec());
        Ok(())
    }
}

#[test]
fn lasting_memory_that_fails_at_first_is_asked_again_and_a_reboot_goes_on_where_it_was() {
    let network = Network::new();
    let b = board(&network, 2);
    let mut b_runner = b.runner;
    let ((a_private, a_public), (b_private, b_public)) = (keys(1), keys(2));
    b.handle.begin(LOCAL, &b_private, "192.0.2.9", &a_public, 51820).unwrap();
    let mut simulation = Simulation::new(&network);
    simulation.spawn(async move { b_runner.run().await });
    let memory = Memory::default();
    memory.failures.set(2);
    for boot in 0..3 {
        let resources = Box::leak(Box::new(Resources::<1, 2, 1420, 4, 4>::new()));
        let clock = Persistent::new(|| None, memory.clone());
        let (_interface, handle, mut runner) = wg_nal::new(
            resources,
            Socket::new(&network, 1),
            Seeded(boot),
            clock,
            Clock::new(&network),
        );
        handle.begin(LOCAL, &a_private, "192.0.2.2", &b_public, 51820).unwrap();
        let stopped = handle.clone();
        simulation.spawn(async move { runner.run().await });
        simulation.block_on(SOON * 30, handle.wait_link_up());
        let failed = if boot == 0 { 2 } else { 0 };
        assert_eq!(handle.counters().reserve_errors, failed);
        assert_eq!(handle.standing(), Some(Standing::Unanchored));
        stopped.stop();
        simulation.run_for(SOON);
    }
}

/// Name servers that know one name in each family, from some time on.
struct Names {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
    asked: RefCell<u32>,
}

impl embedded_nal_async::Dns for Names {
    type Error = &'static str;

    async fn get_host_by_name(
        &self,
        host: &str,
        family: embedded_nal_async::AddrType,
    ) -> Result<IpAddr, &'static str> {
        assert_eq!(host, "gateway.example");
        *self.asked.borrow_mut() += 1;
        match family {
            embedded_nal_async::AddrType::IPv6 => self.v6.ok_or("no such name"),
            _ => self.v4.ok_or("no such name"),
        }
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, &'static str> {
        Err("not asked for")
    }
}

#[test]
fn a_name_is_resolved_again_in_the_other_family_while_nobody_answers() {
    let network = Network::new();
    let (mut a, mut b) = (board(&network, 1), board(&network, 2));
    let ((a_private, a_public), (b_private, b_public)) = (keys(1), keys(2));
    let mut begun = a.handle.begin(LOCAL, &a_private, "gateway.example", &b_public, 51820).unwrap();
    // It calls the wrong address, so that only the name can bring the two together.
    b.handle.begin(LOCAL, &b_private, "192.0.2.9", &a_public, 51820).unwrap();
    let names = Names {
        // Nobody is there.
        v6: Some("2001:db8::7".parse().unwrap()),
        v4: Some("192.0.2.2".parse().unwrap()),
        asked: RefCell::default(),
    };
    let asked = |names: &Names| *names.asked.borrow();
    let names = &names;
    let handle = a.handle.clone();
    let mut simulation = Simulation::new(&network);
    simulation.spawn(async move { a.runner.run().await });
    simulation.spawn(async move {
        handle.keep_resolved(begun.peer, &mut begun.endpoint, names).await;
    });
    simulation.run_for(SOON * 2);
    let first: SocketAddr = "[2001:db8::7]:51820".parse().unwrap();
    assert_eq!(a.handle.status(begun.peer).unwrap().endpoint, Some(first));
    simulation.spawn(async move { b.runner.run().await });
    simulation.block_on(SOON * 20, a.handle.wait_link_up());
    let second: SocketAddr = "192.0.2.2:51820".parse().unwrap();
    assert_eq!(a.handle.status(begun.peer).unwrap().endpoint, Some(second));
    let before = asked(names);
    assert_eq!(before, 2);
    simulation.run_for(SOON * 1000);
    assert_eq!(asked(names), before, "a session needs no name");
}

/// A name server that takes half a minute to answer with an address where nobody is any more.
struct Late(Clock);

impl embedded_nal_async::Dns for Late {
    type Error = &'static str;

    async fn get_host_by_name(
        &self,
        _: &str,
        family: embedded_nal_async::AddrType,
    ) -> Result<IpAddr, &'static str> {
        if family == embedded_nal_async::AddrType::IPv6 {
            return Err("no such name");
        }
        self.0.delay_until(self.0.now().saturating_add(SOON * 30)).await;
        Ok("192.0.2.9".parse().unwrap())
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, &'static str> {
        Err("not asked for")
    }
}

#[test]
fn a_name_that_is_answered_late_does_not_move_a_peer_that_is_there_already() {
    let network = Network::new();
    let (mut a, mut b) = (board(&network, 1), board(&network, 2));
    let ((a_private, a_public), (b_private, b_public)) = (keys(1), keys(2));
    let mut begun = a.handle.begin(LOCAL, &a_private, "gateway.example", &b_public, 51820).unwrap();
    b.handle.begin(LOCAL, &b_private, "192.0.2.1", &a_public, 51820).unwrap();
    let (handle, dns) = (a.handle.clone(), Late(Clock::new(&network)));
    let mut simulation = Simulation::new(&network);
    simulation.spawn(async move { a.runner.run().await });
    simulation.spawn(async move { b.runner.run().await });
    simulation.spawn(async move {
        handle.keep_resolved(begun.peer, &mut begun.endpoint, &dns).await;
    });
    simulation.block_on(SOON, a.handle.wait_link_up());
    for _ in 0..60 {
        simulation.run_for(SOON);
        let there = "192.0.2.2:51820".parse().ok();
        assert_eq!(a.handle.status(begun.peer).unwrap().endpoint, there);
    }
}

/// A name server whose one record changes.
struct Moving(Cell<IpAddr>);

impl embedded_nal_async::Dns for Moving {
    type Error = &'static str;

    async fn get_host_by_name(
        &self,
        _: &str,
        family: embedded_nal_async::AddrType,
    ) -> Result<IpAddr, &'static str> {
        match family {
            embedded_nal_async::AddrType::IPv6 => Err("no such name"),
            _ => Ok(self.0.get()),
        }
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, &'static str> {
        Err("not asked for")
    }
}

/// From us to anybody.
const PACKET: &[u8] = b"\x45\0\0\x14\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02";

#[test]
fn a_name_that_moved_is_followed_within_20_seconds_in_any_traffic() {
    for gap in [None, Some(3_300), Some(1_000), Some(100), Some(10)] {
        let network = Network::new();
        let (mut a, mut b) = (board(&network, 1), board(&network, 2));
        let ((a_private, a_public), (b_private, b_public)) = (keys(1), keys(2));
        let mut begun =
            a.handle.begin(LOCAL, &a_private, "gateway.example", &b_public, 51820).unwrap();
        // It calls the wrong address, so that only the name can bring the two together.
        b.handle.begin(LOCAL, &b_private, "192.0.2.9", &a_public, 51820).unwrap();
        let dns = Moving(Cell::new("192.0.2.8".parse().unwrap()));
        let (handle, dns, clock) = (a.handle.clone(), &dns, Clock::new(&network));
        let mut simulation = Simulation::new(&network);
        simulation.spawn(async move { a.runner.run().await });
        simulation.spawn(async move { b.runner.run().await });
        simulation.spawn(async move {
            handle.keep_resolved(begun.peer, &mut begun.endpoint, dns).await;
        });
        if let Some(gap) = gap.map(Duration::from_millis) {
            simulation.spawn(async move {
                loop {
                    let _ = a.interface.try_send(PACKET);
                    clock.delay_until(clock.now().saturating_add(gap)).await;
                }
            });
        }
        simulation.run_for(Duration::from_secs(600));
        dns.0.set("192.0.2.2".parse().unwrap());
        simulation.block_on(Duration::from_secs(20), a.handle.wait_link_up());
    }
}

/// Name servers of which the first queries are lost.
struct Lossy(Cell<u32>);

impl embedded_nal_async::Dns for Lossy {
    type Error = &'static str;

    async fn get_host_by_name(
        &self,
        _: &str,
        _: embedded_nal_async::AddrType,
    ) -> Result<IpAddr, &'static str> {
        match self.0.get().checked_sub(1) {
            Some(left) => {
                self.0.set(left);
                std::future::pending().await
            }
            None => Ok("192.0.2.2".parse().unwrap()),
        }
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, &'static str> {
        Err("not asked for")
    }
}

#[test]
fn a_name_whose_queries_are_never_answered_is_asked_for_again() {
    let network = Network::new();
    let (mut a, mut b) = (board(&network, 1), board(&network, 2));
    let ((a_private, a_public), (b_private, b_public)) = (keys(1), keys(2));
    let mut begun = a.handle.begin(LOCAL, &a_private, "gateway.example", &b_public, 51820).unwrap();
    b.handle.begin(LOCAL, &b_private, "192.0.2.9", &a_public, 51820).unwrap();
    let (handle, dns) = (a.handle.clone(), Lossy(Cell::new(3)));
    let mut simulation = Simulation::new(&network);
    simulation.spawn(async move { a.runner.run().await });
    simulation.spawn(async move { b.runner.run().await });
    simulation.spawn(async move {
        handle.keep_resolved(begun.peer, &mut begun.endpoint, &dns).await;
    });
    simulation.block_on(3 * LONGEST_QUERY + SOON * 6, a.handle.wait_link_up());
}

/// More names than there is room for tasks that wait for news.
#[test]
fn a_gateway_keeps_the_names_of_many_peers_and_sleeps_in_between() {
    let network = Network::new();
    let resources = Box::leak(Box::new(Resources::<7, 7, 1420, 4, 4>::new()));
    let clock = Clock::new(&network);
    let wall = Wall::default();
    wall.0.set(Some(Tai64n::from_unix(1_800_000_000, 0)));
    let (_interface, handle, mut runner) =
        wg_nal::new(resources, Socket::new(&network, 1), Seeded(1), wall, clock.clone());
    let mut text = format!("[Interface]\nPrivateKey = {}\n", keys(1).0);
    for peer in 2..9 {
        text += &format!(
            "[Peer]\nPublicKey = {}\nEndpoint = gateway.example:51820\nAllowedIPs = 10.0.{peer}.0/24\n",
            keys(peer).1
        );
    }
    let config = handle.begin_config(&text).unwrap();
    let names = Names { v4: None, v6: None, asked: RefCell::default() };
    let names = &names;
    let mut simulation = Simulation::new(&network);
    simulation.spawn(async move { runner.run().await });
    for peer in config.peers() {
        let handle = handle.clone();
        let id = handle.find_peer(&peer.public_key()).unwrap();
        let mut name = EndpointName::new("gateway.example", 51820, Family::V4);
        simulation.spawn(async move { handle.keep_resolved(id, &mut name, names).await });
    }
    simulation.run_for(SOON * 3600);
    let asked = *names.asked.borrow();
    assert!((7 * 2 * 12..7 * 2 * 24).contains(&asked), "{asked} queries in an hour");
    assert!(clock.wakeups.get() < 7 * 800, "{} wake-ups", clock.wakeups.get());
}

/// Lasting memory that is broken is not worn out by whoever sends datagrams.
#[test]
fn a_flood_of_datagrams_does_not_make_a_board_try_its_broken_flash_for_each() {
    let network = Network::new();
    let memory = Memory::default();
    memory.failures.set(u32::MAX);
    let resources = Box::leak(Box::new(Resources::<1, 2, 1420, 4, 4>::new()));
    let clock = Persistent::new(|| None, memory);
    let socket = Socket::new(&network, 1);
    let (_interface, handle, mut runner) =
        wg_nal::new(resources, socket, Seeded(1), clock, Clock::new(&network));
    let mut simulation = Simulation::new(&network);
    simulation.spawn(async move { runner.run().await });
    for _ in 0..1000 {
        network.carry(virtual_network::address_of(66), virtual_network::address_of(1), b"junk");
        simulation.run_for(Duration::from_millis(10));
    }
    assert_eq!(handle.refusals().count(Refusal::Malformed), 1000);
    let tries = handle.counters().reserve_errors;
    assert!((1..=4).contains(&tries), "{tries} tries in ten seconds");
}
