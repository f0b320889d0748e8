//! A tunnel over each of the adapters, over the network in memory.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use edge_nal::io::{Error, ErrorKind, ErrorType};
use edge_nal::{UdpReceive, UdpSend};
use embassy_net::driver::{HardwareAddress, LinkState};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{
    Config, ConfigV4, ConfigV6, Ipv4Cidr, Ipv6Cidr, Stack, StackResources, StaticConfigV4,
    StaticConfigV6,
};
use embassy_net_driver_channel::State;
use embedded_nal_async::UnconnectedUdp;
use wg_core::Endpoint;
use wg_nal::{
    CancelSafe, Datagrams, EdgeUdp, EmbassyUdp, Handle, Interface, LinkPolicy, Monotonic,
    Resources, Tunnel,
};

use super::virtual_network::host::{key_of, wall};
use super::virtual_network::stack::{PORT, Stack as NalStack};
use super::virtual_network::{Clock, Network, Seeded, Simulation, Socket};

/// Room for seven packets each way.
type Memory = Resources<'static, 2, 4, 1420, 8, 8>;

/// Where a host is after so many moves, in either family.
pub fn address(number: u8, moves: u8, v6: bool) -> SocketAddr {
    let ip = match v6 {
        true => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, moves.into(), number.into()]),
        false => IpAddr::from([192, 0, moves, number]),
    };
    SocketAddr::new(ip, PORT)
}

/// A tunnel that runs.
pub struct Side {
    pub interface: Interface<'static>,
    pub handle: Handle<'static, Clock>,
    pub number: u8,
    /// Set to run again what was stopped.
    pub start: Rc<Cell<bool>>,
    /// Moves the host.
    pub move_to: Box<dyn Fn(SocketAddr)>,
    /// Breaks the stack under the tunnel, or mends it.
    pub broken: Box<dyn Fn(bool)>,
}

/// How to make a tunnel of a host's number, at an address.
pub struct Adapter {
    pub name: &'static str,
    pub make: fn(&mut Simulation<'_>, &Rc<Network>, u8, SocketAddr) -> Side,
}

pub const ADAPTERS: [Adapter; 5] = [
    Adapter { name: "embedded-nal: `Tunnel`", make: over_embedded_nal },
    Adapter { name: "embedded-nal-async: `CancelSafe`", make: over_embedded_nal_async },
    Adapter { name: "edge-nal: `EdgeUdp`", make: over_edge_nal },
    Adapter { name: "embassy-net: `EmbassyUdp`", make: over_embassy_net },
    Adapter { name: "own `Datagrams`", make: over_datagrams },
];

/// Spawns a runner, and runs it again when it was stopped and is told to.
fn spawn<U: Datagrams + 'static>(
    simulation: &mut Simulation<'_>,
    network: &Rc<Network>,
    number: u8,
    underlay: U,
) -> Side {
    let resources: &mut Memory = Box::leak(Box::new(Resources::new()));
    let clock = Clock::new(network);
    let wall = wall(network, Rc::new(Cell::new(true)));
    let rng = Seeded(u64::from(number));
    let (mut interface, handle, mut runner) =
        wg_nal::new(resources, underlay, rng, wall, clock.clone());
    interface.set_link_policy(LinkPolicy::AlwaysUp);
    handle.set_private_key(Some(&key_of(number)));
    let start = Rc::new(Cell::new(true));
    let told = start.clone();
    simulation.spawn(async move {
        loop {
            if told.take() {
                runner.run().await;
            }
            clock.delay_until(clock.now().saturating_add(Duration::from_millis(100))).await;
        }
    });
    let (move_to, broken) = (Box::new(|_| ()), Box::new(|_| ()));
    Side { interface, handle, number, start, move_to, broken }
}

fn socket(network: &Rc<Network>, number: u8, at: SocketAddr) -> Socket {
    let socket = Socket::new(network, number);
    socket.address.set(at);
    socket
}

fn over_socket<U: Datagrams + 'static>(
    simulation: &mut Simulation<'_>,
    network: &Rc<Network>,
    number: u8,
    at: SocketAddr,
    wrap: impl Fn(Socket) -> U,
) -> Side {
    let socket = socket(network, number, at);
    let side = spawn(simulation, network, number, wrap(socket.clone()));
    let fails = socket.fails.clone();
    let broken = move |broken| fails.set(if broken { u32::MAX } else { 0 });
    Side { move_to: Box::new(move |to| socket.move_to(to)), broken: Box::new(broken), ..side }
}

fn over_datagrams(s: &mut Simulation<'_>, n: &Rc<Network>, number: u8, at: SocketAddr) -> Side {
    over_socket(s, n, number, at, |socket| socket)
}

fn over_embedded_nal_async(
    s: &mut Simulation<'_>,
    n: &Rc<Network>,
    number: u8,
    at: SocketAddr,
) -> Side {
    over_socket(s, n, number, at, |socket| CancelSafe::new(Traits(socket), at))
}

fn over_edge_nal(s: &mut Simulation<'_>, n: &Rc<Network>, number: u8, at: SocketAddr) -> Side {
    over_socket(s, n, number, at, |socket| EdgeUdp::new(Traits(socket)))
}

/// A socket of the network as other crates' traits have it.
struct Traits(Socket);

#[derive(Debug)]
struct Gone(&'static str);

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Gone {}

impl Error for Gone {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Traits {
    type Error = Gone;
}

impl UdpReceive for Traits {
    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Gone> {
        let (len, from) = Datagrams::receive(&mut self.0, buf).await.map_err(Gone)?;
        Ok((len, from.remote))
    }
}

impl UdpSend for Traits {
    async fn send(&mut self, remote: SocketAddr, data: &[u8]) -> Result<(), Gone> {
        let to = Endpoint { remote, local: None };
        Datagrams::send(&mut self.0, to, data).await.map_err(Gone)
    }
}

impl UnconnectedUdp for Traits {
    type Error = Gone;

    async fn send(&mut self, _: SocketAddr, to: SocketAddr, data: &[u8]) -> Result<(), Gone> {
        UdpSend::send(self, to, data).await
    }

    async fn receive_into(
        &mut self,
        buf: &mut [u8],
    ) -> Result<(usize, SocketAddr, SocketAddr), Gone> {
        let (len, from) = UdpReceive::receive(self, buf).await?;
        Ok((len, self.0.address.get(), from))
    }
}

/// A superloop that looks every 5 ms.
fn over_embedded_nal(
    simulation: &mut Simulation<'_>,
    network: &Rc<Network>,
    number: u8,
    at: SocketAddr,
) -> Side {
    let stack = NalStack::new(network, number);
    stack.address.set(at.ip());
    let resources: &mut Memory = Box::leak(Box::new(Resources::new()));
    let wall = wall(network, Rc::new(Cell::new(true)));
    let rng = Seeded(u64::from(number));
    let (mut interface, mut tunnel) =
        Tunnel::new(resources, stack.clone(), PORT, rng, wall).unwrap();
    interface.set_link_policy(LinkPolicy::AlwaysUp);
    let clock = Clock::new(network);
    let handle = tunnel.handle(clock.clone());
    handle.set_private_key(Some(&key_of(number)));
    let start = Rc::new(Cell::new(true));
    let told = start.clone();
    simulation.spawn(async move {
        loop {
            if told.take() {
                tunnel.start(clock.now());
            }
            // A broken stack is what some of the tests are about.
            let _ = tunnel.poll(clock.now());
            clock.delay_until(clock.now().saturating_add(Duration::from_millis(5))).await;
        }
    });
    let (here, mood) = (stack.address, stack.mood);
    let broken = move |broken| {
        mood.send_fails.set(broken);
        mood.receive_fails.set(broken);
    };
    let move_to = Box::new(move |to: SocketAddr| here.set(to.ip()));
    Side { interface, handle, number, start, move_to, broken: Box::new(broken) }
}

/// A stack of embassy-net, of which the network carries the IP packets. Broken, it has no link.
fn over_embassy_net(
    simulation: &mut Simulation<'_>,
    network: &Rc<Network>,
    number: u8,
    at: SocketAddr,
) -> Side {
    let state: &mut State<1500, 8, 8> = Box::leak(Box::new(State::new()));
    let (wire, device) = embassy_net_driver_channel::new(state, HardwareAddress::Ip);
    let (link, mut rx, mut tx) = wire.split();
    let resources: &mut StackResources<2> = Box::leak(Box::new(StackResources::new()));
    let (stack, mut runner) = embassy_net::new(device, Config::default(), resources, number.into());
    configure(stack, at.ip());
    link.set_link_state(LinkState::Up);
    simulation.spawn(async move { runner.run().await });

    // On the wire, a host is its IP address.
    let wire_of = |ip| SocketAddr::new(ip, 0);
    let here = Rc::new(Cell::new(wire_of(at.ip())));
    let (from, out) = (here.clone(), network.clone());
    simulation.spawn(async move {
        loop {
            let packet = tx.tx_buf().await;
            let to: IpAddr = match packet[0] >> 4 {
                4 => Ipv4Addr::from(<[u8; 4]>::try_from(&packet[16..20]).unwrap()).into(),
                _ => Ipv6Addr::from(<[u8; 16]>::try_from(&packet[24..40]).unwrap()).into(),
            };
            out.carry(from.get(), wire_of(to), packet);
            tx.tx_done();
        }
    });
    let (at_wire, network_in) = (here.clone(), network.clone());
    simulation.spawn(async move {
        loop {
            let (_, packet) = poll_fn(|cx| match network_in.arrived(at_wire.get()) {
                Some(packet) => Poll::Ready(packet),
                None => {
                    network_in.wake_on_arrival(at_wire.get(), cx.waker());
                    Poll::Pending
                }
            })
            .await;
            rx.rx_buf().await[..packet.len()].copy_from_slice(&packet);
            rx.rx_done(packet.len());
        }
    });

    let meta = || Box::leak(Box::new([PacketMetadata::EMPTY; 16]));
    let buffer = || Box::leak(vec![0; 16 * 1500].into_boxed_slice());
    let udp = UdpSocket::new(stack, meta(), buffer(), meta(), buffer());
    let udp = Box::leak(Box::new(udp));
    udp.bind(PORT).unwrap();
    let side = spawn(simulation, network, number, EmbassyUdp::new(udp, 1500));
    let network = network.clone();
    let move_to = move |to: SocketAddr| {
        let old = here.replace(wire_of(to.ip()));
        network.wake_listeners(old);
        configure(stack, to.ip());
    };
    let broken = move |broken| {
        link.set_link_state(if broken { LinkState::Down } else { LinkState::Up });
    };
    Side { move_to: Box::new(move_to), broken: Box::new(broken), ..side }
}

fn configure(stack: Stack<'_>, ip: IpAddr) {
    let dns_servers = Default::default();
    match ip {
        IpAddr::V4(ip) => {
            let address = Ipv4Cidr::new(ip, 16);
            let config = StaticConfigV4 { address, gateway: None, dns_servers };
            stack.set_config_v4(ConfigV4::Static(config));
        }
        IpAddr::V6(ip) => {
            let address = Ipv6Cidr::new(ip, 64);
            let dns_servers = Default::default();
            let config = StaticConfigV6 { address, gateway: None, dns_servers };
            stack.set_config_v6(ConfigV6::Static(config));
        }
    }
}
