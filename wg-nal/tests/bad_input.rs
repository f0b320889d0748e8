//! What a person or a network can do wrong: each is a value to match on or a count, nothing is
//! half-applied, and the tunnel recovers when the cause goes away.

mod virtual_network;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use virtual_network::host::{Host, host, host_over, introduce, key_of, packet, pair, run};
use virtual_network::{Network, Seeded, Simulation, Socket, address_of};
use wg_core::{
    AddPeerError, AllowedIp, Connection, Endpoint, PeerStatus, PresharedKey, Refusal, RoutesFull,
    Source,
};
use wg_nal::{Datagrams, LinkPolicy, Peer, PeerError, TooLong};

const SECOND: Duration = Duration::from_secs(1);

/// The state of a host's only peer.
fn status(host: &Host) -> PeerStatus {
    let mut only = None;
    host.handle.for_each_peer(|_, status| only = Some(status));
    only.unwrap()
}

fn blocked_by(host: &Host) -> Option<Refusal> {
    match status(host).connection {
        Connection::Blocked(reason) => Some(reason),
        _ => None,
    }
}

#[track_caller]
fn arrives<A, B>(
    simulation: &mut Simulation<'_>,
    from: &mut Host<A>,
    to: &mut Host<B>,
    within: Duration,
) {
    assert_eq!(from.interface.try_send(&packet("hello")), Ok(true));
    let received = simulation.block_on(within, to.interface.receive(|packet| packet.to_vec()));
    assert_eq!(received, packet("hello"));
}

#[test]
fn a_clock_that_is_not_set_is_told_and_the_packet_goes_when_it_is() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    a.clock_set.set(false);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    assert_eq!(a.interface.try_send(&packet("before SNTP")), Ok(true));
    simulation.run_for(10 * SECOND);
    assert_eq!(blocked_by(&a), Some(Refusal::ClockNotSet));
    assert!(a.handle.refusals().count(Refusal::ClockNotSet) > 0);
    assert!(Refusal::ClockNotSet.to_string().contains("clock is not set"));
    assert!(network.record.borrow().is_empty(), "nothing is sent without a timestamp");
    a.clock_set.set(true);
    let limit = 6 * SECOND;
    let received = simulation.block_on(limit, b.interface.receive(|packet| packet.to_vec()));
    assert_eq!(received, packet("before SNTP"));
    assert_eq!(status(&a).connection, Connection::Up);
}

#[test]
fn a_link_that_waits_for_the_clock_comes_up_after_an_hour() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    a.interface.set_link_policy(LinkPolicy::Session);
    let mut simulation = Simulation::new(&network);
    a.clock_set.set(false);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    simulation.run_for(3600 * SECOND);
    assert_eq!(blocked_by(&a), Some(Refusal::ClockNotSet));
    a.clock_set.set(true);
    simulation.block_on(6 * SECOND, a.handle.wait_link_up());
}

#[test]
fn a_full_peer_table_refuses_the_next_peer_and_changes_nothing() {
    let network = Network::new();
    let a = host(&network, 1);
    let prefixes: [AllowedIp; 2] = ["10.0.0.0/24".parse().unwrap(), "10.0.0.0/16".parse().unwrap()];
    let set = |number: u8, allowed_ips: &[AllowedIp]| {
        let peer = Peer {
            public_key: &key_of(number).public_key(),
            preshared_key: &PresharedKey::NONE,
            endpoint: Some(address_of(number)),
            allowed_ips,
            persistent_keepalive: 0,
        };
        a.handle.set_peer(&peer)
    };
    set(2, &prefixes[..1]).unwrap();
    set(3, &prefixes[1..]).unwrap();
    let refused = set(4, &prefixes).unwrap_err();
    assert_eq!(refused, PeerError::Peer(AddPeerError::Full));
    assert!(refused.to_string().contains("Storage<PEERS, _>"), "{refused}");
    assert_eq!(a.handle.find_peer(&key_of(4).public_key()), None);
    let own = set(1, &prefixes).unwrap_err();
    assert_eq!(own, PeerError::Peer(AddPeerError::OwnKey));
    // A known peer is not a new one: everything about it can be set again.
    set(3, &prefixes[1..]).unwrap();
    a.handle.remove_peer(a.handle.find_peer(&key_of(2).public_key()).unwrap());
    set(4, &prefixes).unwrap();
}

#[test]
fn all_peers_are_told_even_when_each_is_removed_as_it_is_told() {
    let network = Network::new();
    let a = host(&network, 1);
    a.add_peer(&key_of(2), None);
    a.add_peer(&key_of(3), None);
    let mut told = 0;
    a.handle.for_each_peer(|peer, _| {
        a.handle.remove_peer(peer);
        told += 1;
    });
    assert_eq!(told, 2);
    a.handle.for_each_peer(|_, _| told += 1);
    assert_eq!(told, 2);
}

#[test]
fn all_peers_that_stay_are_told_though_the_one_before_removes_its_neighbour() {
    let network = Network::new();
    let resources = Box::leak(Box::new(wg_nal::Resources::<5, 1, 1420, 2, 2>::new()));
    let wall = virtual_network::host::wall(&network, Rc::new(true.into()));
    let (socket, time) = (Socket::new(&network, 1), virtual_network::Clock::new(&network));
    let (_, handle, _runner) = wg_nal::new(resources, socket, Seeded(1), wall, time);
    let keys = [2, 3, 4, 5, 6].map(|number| key_of(number).public_key());
    let add = |public_key: &_| {
        let preshared_key = &PresharedKey::NONE;
        let (endpoint, allowed_ips, persistent_keepalive) = (None, &[][..], 0);
        handle
            .set_peer(&Peer {
                public_key,
                preshared_key,
                endpoint,
                allowed_ips,
                persistent_keepalive,
            })
            .unwrap()
    };
    let ids = keys.each_ref().map(add);
    let mut told = Vec::new();
    handle.for_each_peer(|_, status| {
        told.push(status.public_key);
        if told.len() == 1 {
            handle.remove_peer(ids[1]);
            handle.remove_peer(ids[2]);
        }
    });
    assert_eq!(told, [keys[0], keys[3], keys[4]]);
    // One that is removed and added again at once is told once more at most.
    let mut told = 0;
    handle.for_each_peer(|peer, status| {
        handle.remove_peer(peer);
        add(&status.public_key);
        told += 1;
        assert!(told <= 3);
    });
    assert_eq!(told, 3);
}

/// Peers with random lists, until the table of routes overflows many times: what was refused
/// left every peer and every route as it was.
#[test]
fn a_full_table_of_routes_refuses_a_peer_whole() {
    let network = Network::new();
    let a = host(&network, 1);
    let mut rng = Seeded(3);
    let mut refusals = 0;
    for _ in 0..500 {
        let key = key_of(2 + rng.below(2) as u8).public_key();
        let count = rng.below(8);
        let text = |_| format!("10.{}.0.0/{}", rng.below(4), 16 + rng.below(3));
        let list: Vec<AllowedIp> = (0..count).map(text).map(|ip| ip.parse().unwrap()).collect();
        let peer = Peer {
            public_key: &key,
            preshared_key: &PresharedKey::NONE,
            endpoint: None,
            allowed_ips: &list,
            persistent_keepalive: 1 + rng.below(99) as u16,
        };
        let state = || {
            let mut all = Vec::new();
            a.handle.for_each_peer(|_, peer| {
                all.push((peer.public_key, peer.persistent_keepalive));
            });
            all
        };
        let before = state();
        match a.handle.set_peer(&peer) {
            Ok(id) => {
                let keepalive = a.handle.status(id).unwrap().persistent_keepalive;
                assert_eq!(keepalive, peer.persistent_keepalive);
            }
            Err(refused) => {
                assert_eq!(refused, PeerError::Routes(RoutesFull));
                assert!(refused.to_string().contains("Storage<_, ROUTES>"), "{refused}");
                assert_eq!(state(), before);
                refusals += 1;
            }
        }
    }
    assert!((50..450).contains(&refusals), "{refusals}");
}

#[test]
fn a_wrong_key_is_named_on_the_side_that_sees_it_and_recovers() {
    let network = Network::new();
    let (mut a, mut b) = (host(&network, 1), host(&network, 2));
    let wrong = a.add_peer(&key_of(7), Some(b.address()));
    b.add_peer(&a.key, None);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    assert_eq!(a.interface.try_send(&packet("to nobody")), Ok(true));
    simulation.run_for(120 * SECOND);
    assert_eq!(blocked_by(&a), Some(Refusal::Unanswered));
    assert!(b.handle.refusals().count(Refusal::Mac1Mismatch) > 10);
    a.handle.remove_peer(wrong);
    a.add_peer(&b.key, Some(b.address()));
    arrives(&mut simulation, &mut a, &mut b, 6 * SECOND);
}

#[test]
fn a_stranger_is_named_and_let_in_when_it_is_a_peer() {
    let network = Network::new();
    let (mut a, mut b) = (host(&network, 1), host(&network, 2));
    a.add_peer(&b.key, Some(b.address()));
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    assert_eq!(a.interface.try_send(&packet("waits")), Ok(true));
    simulation.run_for(10 * SECOND);
    assert!(b.handle.refusals().count(Refusal::UnknownPeer) > 0);
    b.add_peer(&a.key, None);
    simulation.block_on(6 * SECOND, b.interface.receive(|_| ()));
}

#[test]
fn a_wrong_preshared_key_is_named_and_the_right_one_connects() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let peer = a.handle.find_peer(&b.key.public_key()).unwrap();
    a.handle.set_preshared_key(peer, &PresharedKey::from_bytes([7; 32]));
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    assert_eq!(a.interface.try_send(&packet("waits")), Ok(true));
    simulation.run_for(10 * SECOND);
    assert!(a.handle.refusals().count(Refusal::ResponseUndecryptable) > 0);
    assert_ne!(status(&a).connection, Connection::Up);
    a.handle.set_preshared_key(peer, &PresharedKey::NONE);
    simulation.block_on(6 * SECOND, b.interface.receive(|_| ()));
}

#[test]
fn a_peer_without_an_endpoint_is_named_and_waits_for_its_call() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    simulation.run_for(SECOND);
    assert_eq!(b.interface.try_send(&packet("nowhere")), Ok(true));
    simulation.run_for(SECOND);
    assert_eq!(b.handle.refusals().count(Refusal::NoEndpoint), 1);
    let peer = b.handle.find_peer(&a.key.public_key()).unwrap();
    assert_eq!(b.handle.obstacle(peer), Some(Refusal::NoEndpoint));
    arrives(&mut simulation, &mut a, &mut b, 6 * SECOND);
    arrives(&mut simulation, &mut b, &mut a, SECOND);
    assert_eq!(b.handle.obstacle(peer), None);
}

#[test]
fn without_a_private_key_nothing_goes_and_setting_one_helps() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    a.handle.set_private_key(None);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    assert_eq!(a.interface.try_send(&packet("waits")), Ok(true));
    simulation.run_for(SECOND);
    assert_eq!(blocked_by(&a), Some(Refusal::NoPrivateKey));
    a.handle.set_private_key(Some(&key_of(1)));
    let limit = 12 * SECOND;
    let received = simulation.block_on(limit, b.interface.receive(|packet| packet.to_vec()));
    assert_eq!(received, packet("waits"));
}

#[test]
fn an_underlay_that_neither_sends_nor_receives_for_minutes_is_survived() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    arrives(&mut simulation, &mut a, &mut b, SECOND);
    a.socket.fails.set(u32::MAX);
    for _ in 0..60 {
        assert_eq!(a.interface.try_send(&packet("lost")), Ok(true));
        simulation.run_for(5 * SECOND);
    }
    let counters = a.handle.counters();
    assert!(counters.unsent > 60, "{counters:?}");
    assert!((1000..=1300).contains(&counters.receive_errors), "every 250 ms: {counters:?}");
    a.socket.fails.set(0);
    simulation.run_for(6 * SECOND);
    while b.interface.try_receive(|_| ()).is_some() {}
    arrives(&mut simulation, &mut a, &mut b, 6 * SECOND);
    arrives(&mut simulation, &mut b, &mut a, 6 * SECOND);
}

/// An underlay that carries no more than this of UDP, less than Ethernet does.
struct Narrow(Socket, usize);

impl Datagrams for Narrow {
    type Error = &'static str;

    fn largest_datagram(&self, _: IpAddr) -> usize {
        self.1
    }

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), &'static str> {
        self.0.receive(buf).await
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), &'static str> {
        assert!(datagram.len() <= self.1, "the tunnel sends nothing that is too long");
        self.0.send(to, datagram).await
    }
}

/// Two that know each other, the first over an underlay that carries 1000 bytes.
fn narrow_pair(network: &Rc<Network>) -> (Host<Narrow>, Host) {
    let socket = Socket::new(network, 1);
    let a = host_over(network, 1, socket.clone(), Narrow(socket, 1000));
    let b = host(network, 2);
    introduce(&a, &b);
    (a, b)
}

#[test]
fn an_mtu_that_does_not_fit_the_underlay_is_an_error_or_a_count_and_never_a_silent_loss() {
    let network = Network::new();
    let (mut a, mut b) = narrow_pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    // By default it is what fits.
    assert_eq!(a.interface.mtu(), 968);
    assert_eq!(a.interface.try_send(&[0x45; 969]), Err(TooLong { mtu: 968 }));
    assert_eq!(a.interface.set_mtu(1421), Err(TooLong { mtu: 1420 }));
    assert_eq!(a.interface.mtu(), 968);
    let largest = packet(&"x".repeat(948));
    assert_eq!(a.interface.try_send(&largest), Ok(true));
    assert_eq!(simulation.block_on(SECOND, b.interface.receive(|p| p.to_vec())), largest);

    // Who sets a larger one is told what did not leave.
    a.interface.set_mtu(1420).unwrap();
    assert_eq!(a.interface.try_send(&packet(&"x".repeat(1400))), Ok(true));
    simulation.run_for(SECOND);
    assert_eq!(a.handle.counters().too_long, 1);
    assert_eq!(a.handle.waiting(), 0);
    // The longest that fits with its padding, and one that fits without.
    for (len, too_long) in [(960, 1), (961, 2)] {
        assert_eq!(a.interface.try_send(&packet(&"x".repeat(len - 20))), Ok(true));
        simulation.run_for(SECOND);
        assert_eq!(a.handle.counters().too_long, too_long, "{len} bytes");
    }
    simulation.block_on(SECOND, b.interface.receive(|_| ()));
    arrives(&mut simulation, &mut a, &mut b, SECOND);
}

/// Else the engine takes the peer for silent, since it does not answer.
#[test]
fn a_packet_that_does_not_fit_the_underlay_moves_no_timer_and_is_no_traffic() {
    let network = Network::new();
    let (mut a, mut b) = narrow_pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    arrives(&mut simulation, &mut a, &mut b, SECOND);
    // Past the keepalives of both.
    simulation.run_for(20 * SECOND);
    a.interface.set_mtu(1420).unwrap();
    let peer = a.handle.find_peer(&b.key.public_key()).unwrap();
    let before = (a.handle.status(peer).unwrap().sent_bytes, network.record.borrow().len());
    assert_eq!(a.interface.try_send(&packet(&"x".repeat(1400))), Ok(true));
    simulation.run_for(60 * SECOND);
    assert_eq!(a.handle.counters().too_long, 1);
    let after = (a.handle.status(peer).unwrap().sent_bytes, network.record.borrow().len());
    assert_eq!(after, before);
}

#[test]
fn noise_from_the_network_is_refused_and_harms_nothing() {
    let network = Network::new();
    let (mut a, mut b) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    arrives(&mut simulation, &mut a, &mut b, SECOND);
    let mut rng = Seeded(8);
    for _ in 0..2000 {
        let mut noise = vec![0; rng.below(1400) as usize];
        noise.fill_with(|| rng.below(256) as u8);
        if let [kind, reserved @ .., _] = &mut noise[..]
            && rng.below(2) == 0
        {
            *kind = rng.below(5) as u8;
            reserved.iter_mut().take(3).for_each(|byte| *byte = 0);
        }
        network.carry(address_of(9), b.address(), &noise);
        simulation.run_for(Duration::from_millis(20));
    }
    let refused: u32 = b.handle.refusals().iter().map(|(_, count)| count).sum();
    assert_eq!(refused, 2000);
    assert_eq!(status(&b).endpoint, Some(a.address()), "noise moves no endpoint");
    arrives(&mut simulation, &mut b, &mut a, SECOND);
    arrives(&mut simulation, &mut a, &mut b, SECOND);
}

#[test]
fn a_link_policy_that_changes_while_the_tunnel_runs_takes_effect() {
    let network = Network::new();
    let (mut a, mut b) = (host(&network, 1), host(&network, 2));
    introduce(&a, &b);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut a);
    run(&mut simulation, &mut b);
    simulation.run_for(SECOND);
    assert!(a.handle.is_link_up());
    a.interface.set_link_policy(LinkPolicy::Session);
    assert!(!a.handle.is_link_up());
    simulation.block_on(6 * SECOND, a.handle.wait_link_up());
}

/// A stack of smoltcp subtracts its headers from the MTU, and panics when they do not fit.
#[test]
fn an_mtu_that_holds_no_header_is_as_good_as_the_least_one() {
    let network = Network::new();
    let mut a = host(&network, 1);
    for mtu in [0, 1, 59, 67, 68] {
        assert_eq!(a.interface.set_mtu(mtu), Ok(()));
        assert_eq!(a.interface.mtu(), 68);
    }
    let socket = Socket::new(&network, 2);
    let nothing = Narrow(socket.clone(), 0);
    assert_eq!(host_over(&network, 2, socket, nothing).interface.mtu(), 68);
}
