//! A host of the network whose tunnel runs as a task.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use wg_core::{Increasing, PeerId, PresharedKey, PrivateKey, Tai64n};
use wg_nal::{Datagrams, Handle, Interface, LinkPolicy, Peer, Resources, Runner};

use super::{Clock, Network, Seeded, Simulation, Socket};

/// Wall time that can be unknown.
pub type Wall = Increasing<Box<dyn FnMut() -> Option<Duration>>>;

/// A host: a tunnel and its address.
pub struct Host<U = Socket> {
    pub interface: Interface<'static>,
    pub handle: Handle<'static, Clock>,
    /// Until it runs.
    pub runner: Option<Runner<'static, U, Seeded, Wall, Clock>>,
    pub socket: Socket,
    pub clock: Clock,
    /// Whether the host knows what time it is.
    pub clock_set: Rc<Cell<bool>>,
    pub key: PrivateKey,
}

/// Room for two peers, four allowed IPs, two packets that came and three that wait.
pub type HostResources = Resources<'static, 2, 4, 1420, 3, 4>;

pub fn host(network: &Rc<Network>, number: u8) -> Host {
    let socket = Socket::new(network, number);
    host_over(network, number, socket.clone(), socket)
}

/// A host whose tunnel has another underlay than the socket itself.
pub fn host_over<U: Datagrams>(
    network: &Rc<Network>,
    number: u8,
    socket: Socket,
    underlay: U,
) -> Host<U> {
    let resources: &mut HostResources = Box::leak(Box::new(Resources::new()));
    let clock = Clock::new(network);
    let key = key_of(number);
    // A host that boots again draws other numbers.
    let rng = Seeded(u64::from(number) ^ network.now().as_micros());
    let clock_set = Rc::new(Cell::new(true));
    let wall = wall(network, clock_set.clone());
    let (mut interface, handle, runner) =
        wg_nal::new(resources, underlay, rng, wall, clock.clone());
    interface.set_link_policy(LinkPolicy::AlwaysUp);
    handle.set_private_key(Some(&key));
    Host { interface, handle, runner: Some(runner), socket, clock, clock_set, key }
}

pub fn wall(network: &Rc<Network>, set: Rc<Cell<bool>>) -> Wall {
    let network = network.clone();
    let time = move || {
        let uptime = Duration::from_micros(network.now().as_micros());
        set.get().then_some(Duration::from_secs(1_800_000_000) + uptime)
    };
    Increasing::new(Box::new(time), None::<Tai64n>)
}

pub fn key_of(number: u8) -> PrivateKey {
    PrivateKey::generate(&mut Seeded(u64::from(number)))
}

impl<U> Host<U> {
    /// Makes another host a peer, for all addresses.
    pub fn add_peer(&self, key: &PrivateKey, endpoint: Option<SocketAddr>) -> PeerId {
        let everything = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let peer = Peer {
            public_key: &key.public_key(),
            preshared_key: &PresharedKey::NONE,
            endpoint,
            allowed_ips: &everything,
            persistent_keepalive: 0,
        };
        self.handle.set_peer(&peer).unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.address.get()
    }
}

/// Makes two hosts peers of each other; only the first knows where the other one is.
pub fn introduce<A, B>(a: &Host<A>, b: &Host<B>) {
    a.add_peer(&b.key, Some(b.address()));
    b.add_peer(&a.key, None);
}

pub fn pair(network: &Rc<Network>) -> (Host, Host) {
    let (a, b) = (host(network, 1), host(network, 2));
    introduce(&a, &b);
    (a, b)
}

/// Spawns a host's runner.
pub fn run<U: Datagrams + 'static>(simulation: &mut Simulation<'_>, host: &mut Host<U>) -> u32 {
    let mut runner = host.runner.take().unwrap();
    simulation.spawn(async move { runner.run().await })
}

/// An IPv4 packet from 10.0.0.1 to 10.0.0.2 that says `text`.
pub fn packet(text: &str) -> Vec<u8> {
    let len = 20 + text.len();
    let mut packet = vec![0x45, 0, (len >> 8) as u8, len as u8, 0, 0, 0, 0, 64, 99, 0, 0];
    packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(text.as_bytes());
    packet
}
