//! A host of the network whose tunnel is driven by a superloop, over an embedded-nal stack.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use wg_core::{Event, PeerId, PresharedKey, PrivateKey};
use wg_nal::embedded_nal::{UdpClientStack, UdpFullStack, nb};
use wg_nal::{Handle, Interface, Peer, Polled, Resources, Tunnel};

use super::host::{Wall, key_of, wall};
use super::{Clock, Network, Seeded, address_of};

pub const PORT: u16 = 51820;
/// No multiple of 16, which padding would otherwise exceed.
pub const MTU: usize = 1300;
/// Packets that wait.
pub const WAITING: usize = 3;

pub type StackResources = Resources<'static, 4, 8, MTU, 4, { WAITING + 1 }>;

/// What goes wrong in a stack, and how often it was asked; shared with the test.
#[derive(Default)]
pub struct Mood {
    pub send_blocks: Cell<bool>,
    /// Blocks the next one only.
    pub send_blocks_once: Cell<bool>,
    pub send_fails: Cell<bool>,
    pub receive_fails: Cell<bool>,
    pub bind_fails: Cell<bool>,
    pub offers: Cell<u32>,
    pub received: Cell<u32>,
    pub open_sockets: Cell<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    Bind,
    Send,
    Receive,
}

#[derive(Clone)]
pub struct Stack {
    pub network: Rc<Network>,
    /// Can change under it.
    pub address: Rc<Cell<IpAddr>>,
    pub mood: Rc<Mood>,
}

/// The port, once it is bound.
pub struct Socket(Option<u16>);

impl Stack {
    pub fn new(network: &Rc<Network>, host: u8) -> Self {
        let address = Rc::new(Cell::new(address_of(host).ip()));
        Self { network: network.clone(), address, mood: Rc::default() }
    }

    fn here(&self, socket: &Socket) -> SocketAddr {
        SocketAddr::new(self.address.get(), socket.0.expect("the socket is bound"))
    }
}

impl UdpClientStack for Stack {
    type UdpSocket = Socket;
    type Error = Broken;

    fn socket(&mut self) -> Result<Socket, Broken> {
        self.mood.open_sockets.update(|n| n + 1);
        Ok(Socket(None))
    }

    fn connect(&mut self, _: &mut Socket, _: SocketAddr) -> Result<(), Broken> {
        unreachable!("a tunnel has many remotes")
    }

    fn send(&mut self, _: &mut Socket, _: &[u8]) -> nb::Result<(), Broken> {
        unreachable!("a tunnel has many remotes")
    }

    fn receive(
        &mut self,
        socket: &mut Socket,
        buffer: &mut [u8],
    ) -> nb::Result<(usize, SocketAddr), Broken> {
        if self.mood.receive_fails.get() {
            return Err(nb::Error::Other(Broken::Receive));
        }
        let arrived = self.network.arrived(self.here(socket));
        let (from, bytes) = arrived.ok_or(nb::Error::WouldBlock)?;
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        self.mood.received.update(|n| n + 1);
        // The whole length, as some stacks do it.
        Ok((bytes.len(), from))
    }

    fn close(&mut self, _: Socket) -> Result<(), Broken> {
        self.mood.open_sockets.update(|n| n - 1);
        Ok(())
    }
}

impl UdpFullStack for Stack {
    fn bind(&mut self, socket: &mut Socket, port: u16) -> Result<(), Broken> {
        if self.mood.bind_fails.get() {
            return Err(Broken::Bind);
        }
        socket.0 = Some(port);
        Ok(())
    }

    fn send_to(
        &mut self,
        socket: &mut Socket,
        remote: SocketAddr,
        buffer: &[u8],
    ) -> nb::Result<(), Broken> {
        self.mood.offers.update(|n| n + 1);
        if self.mood.send_fails.get() {
            return Err(nb::Error::Other(Broken::Send));
        }
        if self.mood.send_blocks_once.take() || self.mood.send_blocks.get() {
            return Err(nb::Error::WouldBlock);
        }
        self.network.carry(self.here(socket), remote, buffer);
        Ok(())
    }
}

/// A host with a tunnel to one peer, and an application that keeps what it got.
pub struct Node {
    pub tunnel: Tunnel<'static, Stack, Seeded, Wall>,
    pub interface: Interface<'static>,
    pub handle: Handle<'static, Clock>,
    pub peer: PeerId,
    pub network: Rc<Network>,
    pub stack: Stack,
    pub mood: Rc<Mood>,
    pub clock_set: Rc<Cell<bool>>,
    pub address: SocketAddr,
    pub inbox: Vec<Vec<u8>>,
    pub events: Vec<Event>,
}

impl Node {
    pub fn poll(&mut self) -> Result<Polled, Broken> {
        let polled = self.tunnel.poll(self.network.now());
        while let Some(packet) = self.interface.try_receive(|packet| packet.to_vec()) {
            self.inbox.push(packet);
        }
        self.events.extend(std::iter::from_fn(|| self.handle.try_event()));
        polled
    }

    /// Polls until there is nothing left to do now.
    pub fn settle(&mut self) -> Polled {
        for _ in 0..100 {
            let polled = self.poll().expect("the stack works");
            let due = polled.deadline.is_some_and(|(at, _)| at <= self.network.now());
            if !polled.more && !due {
                return polled;
            }
        }
        panic!("there is no end to what is due");
    }

    /// Hands a packet to the tunnel, and lets it do what is due.
    pub fn send(&mut self, packet: &[u8]) -> Result<(), Broken> {
        assert_eq!(self.interface.try_send(packet), Ok(true));
        self.poll().map(|_| ())
    }
}

/// The memory of a tunnel, leaked: tests are short.
pub fn node(network: &Rc<Network>, host: u8, peer: &PrivateKey) -> Node {
    let stack = Stack::new(network, host);
    let clock_set = Rc::new(Cell::new(true));
    let wall = wall(network, clock_set.clone());
    let resources: &mut StackResources = Box::leak(Box::new(Resources::new()));
    let rng = Seeded(u64::from(host) ^ network.now().as_micros());
    let (interface, mut tunnel) =
        Tunnel::new(resources, stack.clone(), PORT, rng, wall).expect("the stack binds");
    let handle = tunnel.handle(Clock::new(network));
    handle.set_private_key(Some(&key_of(host)));
    let peer = Peer {
        public_key: &peer.public_key(),
        preshared_key: &PresharedKey::NONE,
        endpoint: None,
        allowed_ips: &["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()],
        persistent_keepalive: 0,
    };
    let peer = handle.set_peer(&peer).unwrap();
    let mut interface = interface;
    interface.set_link_policy(wg_nal::LinkPolicy::AlwaysUp);
    tunnel.start(network.now());
    Node {
        tunnel,
        interface,
        handle,
        peer,
        network: network.clone(),
        mood: stack.mood.clone(),
        stack,
        clock_set,
        address: address_of(host),
        inbox: Vec::new(),
        events: Vec::new(),
    }
}

/// Two tunnels; the first knows where the second is.
pub fn pair(network: &Rc<Network>) -> (Node, Node) {
    let alice = node(network, 1, &key_of(2));
    let bob = node(network, 2, &key_of(1));
    alice.handle.set_endpoint(alice.peer, bob.address);
    (alice, bob)
}

/// Lets both tunnels run for a while, looking every 5 ms.
pub fn run(alice: &mut Node, bob: &mut Node, time: Duration) {
    let end = alice.network.now().saturating_add(time);
    loop {
        alice.settle();
        bob.settle();
        if alice.network.now() >= end {
            return;
        }
        alice.network.pass(Duration::from_millis(5));
    }
}

/// A packet of `len` bytes to 10.0.0.2 from 10.0.0.1 (both sides allow both), with a number.
pub fn packet(number: u8, len: usize) -> Vec<u8> {
    let mut packet = vec![number; len];
    packet[..20].copy_from_slice(b"\x45\0\0\0\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02");
    packet[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    packet
}

/// A UDP packet with a datagram.
pub fn udp_packet(source_port: u16, to: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let SocketAddr::V4(to) = to else { panic!("IPv4 only") };
    let mut packet = packet(0, 28 + datagram.len());
    packet[28..].copy_from_slice(datagram);
    packet[9] = 17;
    packet[16..20].copy_from_slice(&to.ip().octets());
    packet[20..22].copy_from_slice(&source_port.to_be_bytes());
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    packet
}
