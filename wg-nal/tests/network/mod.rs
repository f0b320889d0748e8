//! A network in memory, with loss and virtual time, whose hosts have an embedded-nal stack.
//!
//! Everything is deterministic: time moves only in [`Network::advance`], randomness is seeded.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use wg_core::rand_core::{TryCryptoRng, TryRng};
use wg_core::{Device, Event, Increasing, Instant, PeerId, PrivateKey, Storage};
use wg_nal::embedded_nal::{UdpClientStack, UdpFullStack, nb};
use wg_nal::{Buffers, News, Polled, Tunnel};

pub const PORT: u16 = 51820;
/// No multiple of 16, which padding would otherwise exceed.
pub const MTU: usize = 1300;
pub const WAITING: usize = 3;

/// A generator that is repeatable and by no means secure (SplitMix64).
pub struct Seeded(pub u64);

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| n as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

struct Flight {
    due: Instant,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// Every datagram arrives 10 ms after it was sent, or never.
pub struct Network {
    now: Cell<Instant>,
    loss_percent: Cell<u64>,
    rng: RefCell<Seeded>,
    flights: RefCell<Vec<Flight>>,
    /// The lengths of all datagrams that were ever sent, with their senders.
    pub record: RefCell<Vec<(IpAddr, usize)>>,
}

impl Network {
    pub fn new(loss_percent: u64) -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(Instant::from_secs(1)),
            loss_percent: Cell::new(loss_percent),
            rng: RefCell::new(Seeded(42)),
            flights: RefCell::default(),
            record: RefCell::default(),
        })
    }

    pub fn now(&self) -> Instant {
        self.now.get()
    }

    pub fn advance(&self, by: Duration) {
        self.now.set(self.now().saturating_add(by));
    }

    pub fn lose(&self, percent: u64) {
        self.loss_percent.set(percent);
    }

    /// Puts a datagram on its way.
    pub fn carry(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.record.borrow_mut().push((from.ip(), bytes.len()));
        let Ok(random) = self.rng.borrow_mut().try_next_u64();
        if random % 100 >= self.loss_percent.get() {
            let due = self.now().saturating_add(Duration::from_millis(10));
            self.flights.borrow_mut().push(Flight { due, from, to, bytes: bytes.to_vec() });
        }
    }

    pub fn sent_by(&self, host: IpAddr) -> Vec<usize> {
        self.record.borrow().iter().filter(|(from, _)| *from == host).map(|(_, len)| *len).collect()
    }
}

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

pub struct Stack {
    pub network: Rc<Network>,
    pub address: IpAddr,
    pub mood: Rc<Mood>,
}

/// The port, once it is bound.
pub struct Socket(Option<u16>);

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
        let here = SocketAddr::new(self.address, socket.0.expect("the socket is bound"));
        let mut flights = self.network.flights.borrow_mut();
        let arrived = |flight: &Flight| flight.to == here && flight.due <= self.network.now();
        let at = flights.iter().position(arrived).ok_or(nb::Error::WouldBlock)?;
        let Flight { from, bytes, .. } = flights.remove(at);
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
        let here = SocketAddr::new(self.address, socket.0.expect("the socket is bound"));
        self.network.carry(here, remote, buffer);
        Ok(())
    }
}

pub type Clock = Increasing<fn() -> Option<Duration>>;

/// A host with a tunnel to one peer, and an application that keeps what it got.
pub struct Node {
    pub tunnel: Tunnel<'static, Stack, Seeded, Clock, MTU, WAITING>,
    pub peer: PeerId,
    pub network: Rc<Network>,
    pub mood: Rc<Mood>,
    pub address: SocketAddr,
    pub inbox: Vec<Vec<u8>>,
    pub events: Vec<Event>,
}

impl Node {
    pub fn poll(&mut self) -> Result<Polled, Broken> {
        let (inbox, events) = (&mut self.inbox, &mut self.events);
        self.tunnel.poll(self.network.now(), |news| match news {
            News::Packet { packet, .. } => inbox.push(packet.to_vec()),
            News::Event(event) => events.push(event),
            _ => {}
        })
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

    pub fn send(&mut self, packet: &[u8]) -> Result<wg_nal::Sent, wg_nal::SendError<Broken>> {
        self.tunnel.send(self.network.now(), packet)
    }
}

/// The memory of a device and a tunnel, leaked: tests are short.
pub fn node(network: &Rc<Network>, host: u8, key: &PrivateKey, peer: &PrivateKey) -> Node {
    let mood = Rc::<Mood>::default();
    let stack =
        Stack { network: network.clone(), address: [192, 0, 2, host].into(), mood: mood.clone() };
    let address = SocketAddr::new(stack.address, PORT);
    let mut device = Device::new(Box::leak(Box::new(Storage::<4, 8>::new())));
    device.set_private_key(network.now(), Some(key));
    let peer = device.add_peer(&peer.public_key()).unwrap();
    device.add_allowed_ip(peer, "10.0.0.0/24".parse().unwrap()).unwrap();
    let buffers = Box::leak(Box::new(Buffers::new()));
    let rng = Seeded(u64::from(host));
    let tunnel = Tunnel::new(device, buffers, stack, PORT, rng, clock()).unwrap();
    let (inbox, events) = (Vec::new(), Vec::new());
    Node { tunnel, peer, network: network.clone(), mood, address, inbox, events }
}

/// A clock that increases by the least step with each stamp.
pub fn clock() -> Clock {
    Increasing::new(|| Some(Duration::from_secs(1_800_000_000)), None)
}

/// Two tunnels; the first knows where the second is.
pub fn pair(network: &Rc<Network>) -> (Node, Node) {
    let [alice_key, bob_key] = [1, 2].map(|seed| PrivateKey::generate(&mut Seeded(seed)));
    let mut alice = node(network, 1, &alice_key, &bob_key);
    let bob = node(network, 2, &bob_key, &alice_key);
    let peer = alice.peer;
    alice.tunnel.device_mut().set_endpoint(network.now(), peer, bob.address);
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
        alice.network.advance(Duration::from_millis(5));
    }
}

/// A packet of `len` bytes to 10.0.0.2 from 10.0.0.1 (both sides allow both), with a number.
pub fn packet(number: u8, len: usize) -> Vec<u8> {
    let mut packet = vec![number; len];
    packet[..20].copy_from_slice(b"\x45\0\0\0\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02");
    packet[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    packet
}

/// A UDP packet with an empty datagram.
pub fn udp_packet(source_port: u16, to: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(to) = to else { panic!("IPv4 only") };
    let mut packet = packet(0, 28);
    packet[9] = 17;
    packet[16..20].copy_from_slice(&to.ip().octets());
    packet[20..22].copy_from_slice(&source_port.to_be_bytes());
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    packet
}
