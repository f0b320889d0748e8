//! What a tunnel does over every adapter, over the network in memory.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use wg_core::{Event, PeerId, PresharedKey, Refusal};
use wg_nal::{Peer, TooLong};

use super::adapters::{Adapter, Side, address};
use super::virtual_network::host::key_of;
use super::virtual_network::{Network, Simulation};

const SECOND: Duration = Duration::from_secs(1);

/// A behaviour, and what shows it.
type Behaviour = (&'static str, fn(&Adapter));

pub const BEHAVIOURS: [Behaviour; 14] = [
    ("handshakes as initiator and as responder, packets both ways", handshake_both_ways),
    ("the same over IPv6", the_same_over_ipv6),
    ("packets of all sizes up to the MTU", all_sizes),
    ("a packet longer than the MTU is an error", too_long),
    ("packets that wait for the session go in order", waiting_in_order),
    ("what waits is dropped when the handshake is given up", given_up),
    ("with 10 % loss, no more than the share is lost", loss),
    ("reordering loses and doubles nothing", reordering),
    ("a peer that moves is followed within 3 s", roaming),
    ("over IPv6 within 25 s", roaming_over_ipv6),
    ("ten minutes of packets and rekeys lose nothing", rekeys),
    ("an idle tunnel says nothing", idle),
    ("stops, wipes, and starts again", stop_and_start),
    ("survives a stack that fails for a minute", broken_stack),
];

struct World {
    network: Rc<Network>,
    simulation: Simulation<'static>,
    a: Side,
    b: Side,
    /// What came in at each.
    at_a: Vec<Vec<u8>>,
    at_b: Vec<Vec<u8>>,
}

impl World {
    fn new(adapter: &Adapter, v6: bool) -> Self {
        let network = Network::new();
        let mut simulation = Simulation::new(&network);
        let [a, b] = [1, 2].map(|number| {
            (adapter.make)(&mut simulation, &network, number, address(number, 0, v6))
        });
        let mut world = Self { network, simulation, a, b, at_a: Vec::new(), at_b: Vec::new() };
        introduce(&world.a, 2, Some(address(2, 0, v6)));
        introduce(&world.b, 1, None);
        world.run(SECOND);
        world
    }

    /// Lets time pass, while both sides read what comes.
    fn run(&mut self, time: Duration) {
        let end = self.network.now().saturating_add(time);
        while self.network.now() < end {
            self.simulation.run_for(Duration::from_millis(10));
            while let Some(packet) = self.a.interface.try_receive(|packet| packet.to_vec()) {
                self.at_a.push(packet);
            }
            while let Some(packet) = self.b.interface.try_receive(|packet| packet.to_vec()) {
                self.at_b.push(packet);
            }
        }
    }

    fn peer(side: &Side, number: u8) -> PeerId {
        side.handle.find_peer(&key_of(number).public_key()).unwrap()
    }

    /// How many initiations a host sent, whatever is around them.
    fn initiations(&self, number: u8) -> usize {
        let is_one = |(from, len): &&(SocketAddr, usize)| {
            let host = match from.ip() {
                std::net::IpAddr::V4(ip) => ip.octets()[3],
                std::net::IpAddr::V6(ip) => ip.octets()[15],
            };
            host == number && [148, 148 + 28, 148 + 48].contains(len)
        };
        self.network.record.borrow().iter().filter(is_one).count()
    }

    /// Packets cross both ways, at once.
    fn crosses_both_ways(&mut self) {
        let (to_a, to_b) = (self.at_a.len(), self.at_b.len());
        send(&mut self.a, &packet(1, 100));
        self.run(SECOND);
        send(&mut self.b, &packet(2, 100));
        self.run(SECOND);
        assert_eq!(self.at_b[to_b..], [packet(1, 100)]);
        assert_eq!(self.at_a[to_a..], [packet(2, 100)]);
    }

    /// Sends both ways every second until packets cross.
    fn recovers_within(&mut self, limit: Duration) {
        let end = self.network.now().saturating_add(limit);
        loop {
            let before = (self.at_a.len(), self.at_b.len());
            send(&mut self.a, &packet(1, 100));
            send(&mut self.b, &packet(2, 100));
            self.run(SECOND);
            if self.at_a.len() > before.0 && self.at_b.len() > before.1 {
                return;
            }
            assert!(self.network.now() < end, "not well after {limit:?}");
        }
    }
}

fn introduce(side: &Side, other: u8, endpoint: Option<SocketAddr>) {
    let peer = Peer {
        public_key: &key_of(other).public_key(),
        preshared_key: &PresharedKey::NONE,
        endpoint,
        allowed_ips: &["10.0.0.0/24".parse().unwrap()],
        persistent_keepalive: 0,
    };
    side.handle.set_peer(&peer).unwrap();
}

fn send(side: &mut Side, packet: &[u8]) {
    assert_eq!(side.interface.try_send(packet), Ok(true));
}

fn packet(number: u16, len: u16) -> Vec<u8> {
    let mut packet = vec![number as u8; len.into()];
    packet[..20].copy_from_slice(b"\x45\0\0\0\0\0\0\0\x40\x63\0\0\x0a\0\0\x01\x0a\0\0\x02");
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[4..6].copy_from_slice(&number.to_be_bytes());
    packet
}

/// The number in each packet.
fn numbers(packets: &[Vec<u8>]) -> Vec<u16> {
    packets.iter().map(|packet| u16::from_be_bytes([packet[4], packet[5]])).collect()
}

fn handshake_both_ways(adapter: &Adapter) {
    both_ways(World::new(adapter, false));
}

fn the_same_over_ipv6(adapter: &Adapter) {
    both_ways(World::new(adapter, true));
}

fn both_ways(mut world: World) {
    world.crosses_both_ways();
    assert_eq!((world.initiations(1), world.initiations(2)), (1, 0));
    // Once that session is too old, the other side makes the next one.
    world.run(200 * SECOND);
    send(&mut world.b, &packet(3, 100));
    world.run(SECOND);
    assert_eq!(world.at_a.last(), Some(&packet(3, 100)));
    assert_eq!((world.initiations(1), world.initiations(2)), (1, 1));
    world.crosses_both_ways();
}

fn all_sizes(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    let mtu = world.a.interface.mtu() as u16;
    assert_eq!(mtu, 1420);
    let sizes = [20, 21, 31, 32, 33, 576, 1280, mtu - 1, mtu];
    for len in sizes {
        send(&mut world.a, &packet(1, len));
        world.run(SECOND);
    }
    assert_eq!(world.at_b, sizes.map(|len| packet(1, len)));
    assert_eq!(world.a.handle.counters(), Default::default());
}

fn too_long(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    let mtu = world.a.interface.mtu();
    let refused = world.a.interface.try_send(&packet(1, mtu as u16 + 1));
    assert_eq!(refused, Err(TooLong { mtu }));
    world.run(SECOND);
    assert_eq!(world.initiations(1), 0, "nothing was asked for");
    world.crosses_both_ways();
}

fn waiting_in_order(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    world.network.lose(100);
    for number in 0..10 {
        send(&mut world.a, &packet(number, 60));
        world.run(SECOND / 10);
    }
    assert_eq!((world.a.handle.waiting(), world.a.handle.counters().displaced), (7, 3));
    world.network.lose(0);
    world.run(6 * SECOND);
    assert_eq!(numbers(&world.at_b), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(world.a.handle.waiting(), 0);
}

fn given_up(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    world.network.lose(100);
    send(&mut world.a, &packet(1, 60));
    world.run(120 * SECOND);
    let peer = World::peer(&world.a, 2);
    assert_eq!(world.a.handle.try_event(), Some(Event::HandshakeGivenUp(peer)));
    assert_eq!(world.a.handle.obstacle(peer), Some(Refusal::Unanswered));
    assert_eq!((world.a.handle.waiting(), world.a.handle.counters().abandoned), (0, 1));
    world.network.lose(0);
    world.crosses_both_ways();
}

fn loss(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    world.network.lose(10);
    for number in 0..400 {
        send(&mut world.a, &packet(number, 60));
        world.run(SECOND / 2);
    }
    world.run(10 * SECOND);
    let came = numbers(&world.at_b);
    assert!((340..=380).contains(&came.len()), "{} of 400 came", came.len());
    assert!(came.is_sorted_by(|a, b| a < b), "in order, and each once");
}

fn reordering(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    world.network.reorder(Duration::from_millis(200));
    world.crosses_both_ways();
    world.at_b.clear();
    for number in 0..400 {
        send(&mut world.a, &packet(number, 60));
        world.run(Duration::from_millis(50));
    }
    world.run(SECOND);
    let mut came = numbers(&world.at_b);
    assert!(!came.is_sorted(), "the network did reorder them");
    came.sort_unstable();
    assert_eq!(came, (0..400).collect::<Vec<_>>());
}

fn roaming(adapter: &Adapter) {
    // No handshake is needed for it, nor a timer.
    moves(World::new(adapter, false), false, 3 * SECOND);
}

fn roaming_over_ipv6(adapter: &Adapter) {
    // A stack with several addresses is told which one to send from, and embassy-net sends from
    // it even when it is gone: until handshakes fail.
    moves(World::new(adapter, true), true, 25 * SECOND);
}

fn moves(mut world: World, v6: bool, within: Duration) {
    world.crosses_both_ways();
    for moves in 1..4 {
        let (mover, other) = if moves == 2 { (&world.a, &world.b) } else { (&world.b, &world.a) };
        let (there, mover) = (address(mover.number, moves, v6), mover.number);
        let peer = World::peer(other, mover);
        let follower = other.handle.clone();
        let moved = if mover == 1 { &world.a } else { &world.b };
        (moved.move_to)(there);
        world.recovers_within(within);
        assert_eq!(follower.status(peer).unwrap().endpoint, Some(there));
    }
}

fn rekeys(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    for number in 0..600 {
        send(&mut world.a, &packet(number, 60));
        send(&mut world.b, &packet(number, 60));
        world.run(SECOND);
        if number == 0 {
            // The responder had no endpoint for its first one.
            assert_eq!(world.b.handle.refusals().count(Refusal::NoEndpoint), 1);
        }
    }
    world.run(SECOND);
    assert_eq!(numbers(&world.at_b), (0..600).collect::<Vec<_>>());
    assert_eq!(numbers(&world.at_a), (1..600).collect::<Vec<_>>());
    let handshakes = world.initiations(1) + world.initiations(2);
    assert!((5..=6).contains(&handshakes), "{handshakes} handshakes");
}

fn idle(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    world.crosses_both_ways();
    world.run(30 * SECOND);
    let before = world.network.record.borrow().len();
    world.run(600 * SECOND);
    assert_eq!(world.network.record.borrow().len(), before);
}

fn stop_and_start(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    world.crosses_both_ways();
    world.a.handle.stop();
    world.run(SECOND);
    let peer = World::peer(&world.a, 2);
    assert_eq!(world.a.handle.status(peer).unwrap().session_birth, None);
    assert_eq!(world.a.handle.obstacle(peer), Some(Refusal::Down));
    assert!(!world.a.handle.is_link_up());
    send(&mut world.b, &packet(9, 60));
    let at_a = world.at_a.len();
    world.run(10 * SECOND);
    assert_eq!(world.at_a.len(), at_a, "nothing comes out of a stopped tunnel");
    world.a.start.set(true);
    world.recovers_within(10 * SECOND);
}

fn broken_stack(adapter: &Adapter) {
    let mut world = World::new(adapter, false);
    world.crosses_both_ways();
    (world.a.broken)(true);
    for _ in 0..60 {
        // Without room is an answer, too: the stack holds what it was given.
        let _ = world.a.interface.try_send(&packet(1, 60));
        world.run(SECOND);
    }
    (world.a.broken)(false);
    world.recovers_within(10 * SECOND);
}
