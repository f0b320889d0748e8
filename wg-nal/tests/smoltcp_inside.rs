//! A stack of smoltcp-nal in the blocking tunnel: TCP, UDP and DNS of embedded-nal, inside a
//! tunnel that itself is over embedded-nal.

mod virtual_network;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use embedded_time::fraction::Fraction;
use smoltcp::iface::{Config, SocketSet};
use smoltcp::socket::{dns, tcp, udp};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use smoltcp_nal::NetworkStack;
use virtual_network::stack::{Node, pair};
use virtual_network::{Clock, Network, host};
use wg_nal::embedded_nal::{AddrType, Dns, TcpClientStack, UdpClientStack, UdpFullStack, nb};
use wg_nal::{Handle, Interface, LinkPolicy, Tunnel};

const LIMIT: Duration = Duration::from_secs(30);
const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];

/// The network's time, as smoltcp-nal asks for it: in milliseconds.
struct Milliseconds(Rc<Network>);

impl embedded_time::Clock for Milliseconds {
    type T = u32;
    const SCALING_FACTOR: Fraction = Fraction::new(1, 1000);

    fn try_now(&self) -> Result<embedded_time::Instant<Self>, embedded_time::clock::Error> {
        Ok(embedded_time::Instant::new((self.0.now().as_micros() / 1000) as u32))
    }
}

fn smoltcp_time(network: &Network) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(network.now().as_micros() as i64)
}

fn interface(device: &mut Interface<'static>, address: [u8; 4]) -> smoltcp::iface::Interface {
    let config = Config::new(HardwareAddress::Ip);
    let mut interface =
        smoltcp::iface::Interface::new(config, device, smoltcp::time::Instant::ZERO);
    let [a, b, c, d] = address;
    interface.update_ip_addrs(|all| all.push(IpCidr::new(IpAddress::v4(a, b, c, d), 24)).unwrap());
    interface
}

fn buffer(len: usize) -> Vec<u8> {
    vec![0; len]
}

fn udp_socket() -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], buffer(2048));
    udp::Socket::new(buffer(), buffer())
}

fn tcp_socket() -> tcp::Socket<'static> {
    tcp::Socket::new(tcp::SocketBuffer::new(buffer(2048)), tcp::SocketBuffer::new(buffer(2048)))
}

/// A server behind the tunnel: TCP and UDP that echo on port 7, and names on port 53.
struct Server {
    node: Node,
    interface: smoltcp::iface::Interface,
    sockets: SocketSet<'static>,
}

impl Server {
    fn new(mut node: Node) -> Self {
        let interface = interface(&mut node.interface, SERVER);
        let mut sockets = SocketSet::new(Vec::new());
        let mut echo = tcp_socket();
        echo.listen(7).unwrap();
        sockets.add(echo);
        for port in [7, 53] {
            let mut socket = udp_socket();
            socket.bind(port).unwrap();
            sockets.add(socket);
        }
        Self { node, interface, sockets }
    }

    fn poll(&mut self) {
        let now = smoltcp_time(&self.node.network);
        self.node.tunnel.poll(self.node.network.now()).unwrap();
        self.interface.poll(now, &mut self.node.interface, &mut self.sockets);
        for (_, socket) in self.sockets.iter_mut() {
            match socket {
                smoltcp::socket::Socket::Tcp(socket) if socket.can_recv() => {
                    let bytes = socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap();
                    assert_eq!(socket.send_slice(&bytes), Ok(bytes.len()));
                }
                smoltcp::socket::Socket::Udp(socket) => {
                    while let Ok((bytes, from)) = socket.recv() {
                        let bytes = bytes.to_vec();
                        let answer = match socket.endpoint().port {
                            53 => answer_to(&bytes),
                            _ => bytes,
                        };
                        socket.send_slice(&answer, from).unwrap();
                    }
                }
                _ => {}
            }
        }
        self.interface.poll(now, &mut self.node.interface, &mut self.sockets);
        self.node.tunnel.poll(self.node.network.now()).unwrap();
    }
}

/// The query with one answer: 10.0.0.2 for any name.
fn answer_to(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]); // a response, recursion available
    answer[6..8].copy_from_slice(&[0, 1]); // one answer
    answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04"); // the name asked for, A, IN, 60 s
    answer.extend(SERVER);
    answer
}

type Stack = NetworkStack<'static, Interface<'static>, Milliseconds>;
type ClientTunnel =
    Tunnel<'static, virtual_network::stack::Stack, virtual_network::Seeded, host::Wall>;

/// The client's tunnel, the stack in it, and the server that it talks to.
struct World {
    network: Rc<Network>,
    tunnel: ClientTunnel,
    handle: Handle<'static, Clock>,
    stack: Stack,
    server: Server,
}

impl World {
    fn new() -> Self {
        let network = Network::new();
        let (client, server) = pair(&network);
        let Node { tunnel, interface: mut device, handle, .. } = client;
        let interface = interface(&mut device, CLIENT);
        let mut sockets = SocketSet::new(Vec::new());
        sockets.add(tcp_socket());
        sockets.add(udp_socket());
        let [a, b, c, d] = SERVER;
        sockets.add(dns::Socket::new(&[IpAddress::v4(a, b, c, d)], vec![None]));
        let stack = NetworkStack::new(interface, device, sockets, Milliseconds(network.clone()));
        Self { network, tunnel, handle, stack, server: Server::new(server) }
    }

    /// Calls until the answer is there, and lets everything run in between.
    fn wait<A, E: std::fmt::Debug>(
        &mut self,
        mut call: impl FnMut(&mut Stack) -> nb::Result<A, E>,
    ) -> A {
        let end = self.network.now().saturating_add(LIMIT);
        while self.network.now() < end {
            match call(&mut self.stack) {
                Ok(answer) => return answer,
                Err(nb::Error::WouldBlock) => self.turn(),
                Err(nb::Error::Other(error)) => panic!("{error:?}"),
            }
        }
        panic!("no answer within {LIMIT:?}");
    }

    /// What a superloop does in one turn.
    fn turn(&mut self) {
        self.tunnel.poll(self.network.now()).unwrap();
        self.stack.poll().unwrap();
        self.tunnel.poll(self.network.now()).unwrap();
        self.server.poll();
        self.network.pass(Duration::from_millis(5));
    }

    fn exchange_over_tcp(&mut self, text: &[u8]) {
        let mut socket = TcpClientStack::socket(&mut self.stack).unwrap();
        let to = SocketAddr::from((SERVER, 7));
        self.wait(|stack| TcpClientStack::connect(stack, &mut socket, to));
        let sent = TcpClientStack::send(&mut self.stack, &mut socket, text).unwrap();
        assert_eq!(sent, text.len());
        let mut got = Vec::<u8>::new();
        while got.len() < text.len() {
            let mut bytes = [0; 2048];
            let len = TcpClientStack::receive(&mut self.stack, &mut socket, &mut bytes).unwrap();
            got.extend(&bytes[..len]);
            self.turn();
        }
        assert_eq!(got, text);
        TcpClientStack::close(&mut self.stack, socket).unwrap();
        for _ in 0..20 {
            self.turn();
        }
    }
}

#[test]
fn tcp_connects_and_talks() {
    let mut world = World::new();
    // More than one packet holds.
    world.exchange_over_tcp(&[b'u'; 1900]);
    assert_eq!((world.handle.waiting(), world.handle.counters()), (0, Default::default()));
}

#[test]
fn udp_is_answered_after_ten_idle_minutes_too() {
    let mut world = World::new();
    let mut socket = UdpClientStack::socket(&mut world.stack).unwrap();
    world.stack.bind(&mut socket, 5000).unwrap();
    for text in [&b"once"[..], b"and again"] {
        let to = SocketAddr::from((SERVER, 7));
        world.wait(|stack| stack.send_to(&mut socket, to, text));
        let mut bytes = [0; 64];
        // smoltcp-nal 0.7 says of a socket without a datagram that it is exhausted.
        let (len, from) = world.wait(|stack| {
            UdpClientStack::receive(stack, &mut socket, &mut bytes)
                .map_err(|_| nb::Error::<()>::WouldBlock)
        });
        assert_eq!((&bytes[..len], from), (text, to));
        world.network.pass(Duration::from_secs(600));
    }
}

#[test]
fn names_are_looked_up_through_the_tunnel() {
    let mut world = World::new();
    let ip = world.wait(|stack| stack.get_host_by_name("gateway.example", AddrType::IPv4));
    assert_eq!(ip, IpAddr::V4(Ipv4Addr::from(SERVER)));
}

/// The link policy asks for the session before the stack sends anything.
#[test]
fn a_session_link_comes_up_without_a_packet() {
    let network = Network::new();
    let (mut client, mut server) = pair(&network);
    client.interface.set_link_policy(LinkPolicy::Session);
    assert!(!client.handle.is_link_up());
    virtual_network::stack::run(&mut client, &mut server, Duration::from_secs(1));
    assert!(client.handle.is_link_up());
}
