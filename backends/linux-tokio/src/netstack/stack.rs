//! smoltcp's interface and sockets, and what it does not keep of them.

use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};

use getrandom::SysRng;
use getrandom::rand_core::TryRng;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::dns::{QueryHandle, StartQueryError};
use smoltcp::socket::{AnySocket, Socket, dns, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{DnsQueryType, HardwareAddress, IpAddress, IpCidr, IpListenEndpoint};
use tokio::sync::mpsc;

use super::config::NetConfig;
use super::{ended, icmp};
use crate::error::Error;

/// Ports for those who do not choose one.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 49152..=65535;

/// The TCP/IP stack of a host.
pub(super) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    device: Device,
    dns: Option<SocketHandle>,
    /// TCP connections, by their sockets; listening ones are none.
    connections: HashMap<SocketHandle, Connection>,
    most_connections: usize,
    tcp_buffer: usize,
    /// Ports of listeners and UDP sockets, each with its protocol.
    bound: HashSet<(Protocol, u16)>,
    next_port: u16,
    mtu: u16,
    start: std::time::Instant,
    has_ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

#[derive(Default)]
struct Connection {
    /// Nobody has it any more: it goes when it is closed.
    is_orphan: bool,
    /// ICMP said so while it was to be opened.
    is_unreachable: bool,
}

/// When the stack is to be called again, unless something happens before.
pub(super) struct Next {
    pub(super) delay: Option<Duration>,
    /// Or when the tunnel has taken a packet.
    pub(super) is_held_up: bool,
}

impl Stack {
    pub(super) fn new(config: &NetConfig, to_tunnel: mpsc::Sender<Vec<u8>>) -> Result<Self, Error> {
        let mtu = config.tunnel.mtu;
        let arrived = VecDeque::new();
        let mut device = Device { arrived, to_tunnel, mtu: mtu.into(), is_held_up: false };
        let mut settings = Config::new(HardwareAddress::Ip);
        settings.random_seed = SysRng.try_next_u64().map_err(|_| Error::Random)?;
        let mut interface = Interface::new(settings, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            for address in &config.addresses {
                let address = IpCidr::new(address.addr().into(), address.cidr());
                if addresses.push(address).is_err() {
                    log::warn!("{address} is left out: a host in a tunnel has eight addresses");
                }
            }
        });
        // All goes into the tunnel; there is no next hop, so whose address it has is all the same.
        for address in &config.addresses {
            let routes = interface.routes_mut();
            let set = match address.addr() {
                IpAddr::V4(own) => routes.add_default_ipv4_route(own).err(),
                IpAddr::V6(own) => routes.add_default_ipv6_route(own).err(),
            };
            debug_assert!(set.is_none(), "there is room for one route of each family");
        }
        let mut sockets = SocketSet::new(Vec::new());
        let servers: Vec<IpAddress> = config.dns_servers.iter().map(|&ip| ip.into()).collect();
        let servers = servers.get(..4).unwrap_or(&servers);
        let dns = (!servers.is_empty()).then(|| sockets.add(dns::Socket::new(servers, Vec::new())));
        let random = SysRng.try_next_u32().map_err(|_| Error::Random)?;
        Ok(Self {
            interface,
            sockets,
            device,
            dns,
            connections: HashMap::new(),
            most_connections: config.connections,
            tcp_buffer: config.tcp_buffer,
            bound: HashSet::new(),
            next_port: *EPHEMERAL.start() | (random & 0x3fff) as u16,
            mtu,
            start: std::time::Instant::now(),
            has_ended: false,
        })
    }

    /// Takes the packets that have come, and sends what is due.
    pub(super) fn poll(&mut self, arrived: &mut Vec<Vec<u8>>) -> Next {
        let now = self.now();
        for packet in arrived.drain(..) {
            if let Some((local, remote)) = icmp::unreachable(&packet) {
                self.tell_unreachable(local, remote);
            }
            self.device.arrived.push_back(packet);
        }
        self.device.is_held_up = false;
        if self.interface.poll(now, &mut self.device, &mut self.sockets)
            == PollResult::SocketStateChanged
        {
            self.bury();
        }
        let delay = self.interface.poll_delay(now, &self.sockets);
        let is_held_up = self.device.is_held_up;
        // Held up, nothing but room helps.
        let delay = delay.filter(|_| !is_held_up).map(Into::into);
        Next { delay, is_held_up }
    }

    /// A socket of the set, in which it stays until its owner drops it.
    pub(super) fn socket<T: AnySocket<'static>>(&mut self, handle: SocketHandle) -> &mut T {
        self.sockets.get_mut(handle)
    }

    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.interface.ip_addrs().iter().map(|cidr| cidr.address().into()).collect()
    }

    /// For the log: what is up.
    pub(super) fn name(&self) -> String {
        let addresses: Vec<_> = self.addresses().iter().map(ToString::to_string).collect();
        format!("the host {} in the tunnel", addresses.join(", "))
    }

    pub(super) fn mtu(&self) -> u16 {
        self.mtu
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Begins to open a TCP connection.
    pub(super) fn connect(&mut self, to: SocketAddr) -> io::Result<SocketHandle> {
        if self.has_ended {
            return Err(ended());
        }
        if self.connections.len() >= self.most_connections {
            let why = format!("the host has {} TCP connections already", self.most_connections);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        if !self.addresses().iter().any(|own| own.is_ipv4() == to.is_ipv4()) {
            let why = format!("this host has no address to reach {to} from");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why));
        }
        let port = self.ephemeral_port(Protocol::Tcp)?;
        let mut socket = self.new_tcp();
        socket.connect(self.interface.context(), to, port).map_err(|_| {
            let why = format!("{to} is no address to connect to");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        })?;
        let handle = self.sockets.add(socket);
        self.connections.insert(handle, Connection::default());
        Ok(handle)
    }

    /// A socket that waits for a connection. It counts as one when it is [taken](Self::take).
    pub(super) fn listen(&mut self, at: IpListenEndpoint) -> SocketHandle {
        let mut socket = self.new_tcp();
        listen(&mut socket, at);
        self.sockets.add(socket)
    }

    /// Takes the connection that has come to a listening socket; false when there are too many,
    /// and it is reset.
    pub(super) fn take(&mut self, handle: SocketHandle) -> bool {
        if self.connections.len() >= self.most_connections {
            let socket: &mut tcp::Socket<'_> = self.socket(handle);
            socket.abort();
            return false;
        }
        self.connections.insert(handle, Connection::default());
        true
    }

    /// Whether ICMP said that this connection cannot be opened.
    pub(super) fn is_unreachable(&self, handle: SocketHandle) -> bool {
        self.connections.get(&handle).is_some_and(|connection| connection.is_unreachable)
    }

    /// Leaves a connection to itself: what was written is sent, then it is gone.
    pub(super) fn abandon(&mut self, handle: SocketHandle, patience: Duration) {
        let socket: &mut tcp::Socket<'_> = self.socket(handle);
        // Nobody reads what came, and would come: the other end is to know.
        if socket.recv_queue() > 0 {
            socket.abort();
        } else {
            socket.close();
            socket.set_timeout(Some(patience.into()));
            socket.set_keep_alive(Some((patience / 4).into()));
        }
        if let Some(connection) = self.connections.get_mut(&handle) {
            connection.is_orphan = true;
        }
    }

    /// Takes a socket that is no connection out.
    pub(super) fn remove(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    pub(super) fn bind_udp(&mut self, at: SocketAddr, room: usize) -> io::Result<SocketHandle> {
        let slots = || vec![udp::PacketMetadata::EMPTY; room / 64];
        let buffer = || udp::PacketBuffer::new(slots(), vec![0; room]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(endpoint(at)).map_err(io::Error::other)?;
        Ok(self.sockets.add(socket))
    }

    /// Takes a port, the one of `at` or a free one, and checks the address.
    pub(super) fn bind(
        &mut self,
        protocol: Protocol,
        mut at: SocketAddr,
    ) -> io::Result<SocketAddr> {
        if self.has_ended {
            return Err(ended());
        }
        if !at.ip().is_unspecified() && !self.addresses().contains(&at.ip()) {
            let why = format!("{} is no address of this host in the tunnel", at.ip());
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why));
        }
        if at.port() == 0 {
            at.set_port(self.ephemeral_port(protocol)?);
        }
        if !self.bound.insert((protocol, at.port())) {
            let why = format!("port {} of this host in the tunnel is in use", at.port());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
        }
        Ok(at)
    }

    pub(super) fn unbind(&mut self, protocol: Protocol, port: u16) {
        self.bound.remove(&(protocol, port));
    }

    pub(super) fn dns(&self) -> Option<SocketHandle> {
        self.dns
    }

    pub(super) fn start_query(
        &mut self,
        socket: SocketHandle,
        name: &str,
        kind: DnsQueryType,
    ) -> Result<QueryHandle, StartQueryError> {
        let socket: &mut dns::Socket<'_> = self.sockets.get_mut(socket);
        socket.start_query(self.interface.context(), name, kind)
    }

    /// Resets all connections and takes no more calls: everybody who waits is told.
    pub(super) fn reset_all(&mut self) {
        self.has_ended = true;
        for (_, socket) in self.sockets.iter_mut() {
            match socket {
                Socket::Tcp(socket) => socket.abort(),
                Socket::Udp(socket) => socket.close(),
                // Lookups look after the tunnel's end themselves. Which other kinds there are
                // depends on what else is in the build.
                _ => {}
            }
        }
    }

    fn new_tcp(&self) -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; self.tcp_buffer]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_congestion_control(tcp::CongestionControl::Cubic);
        // What a program writes in small pieces is to be there soon.
        socket.set_nagle_enabled(false);
        socket
    }

    fn ephemeral_port(&mut self, protocol: Protocol) -> io::Result<u16> {
        let of_connections = self.connections.keys().filter_map(|&handle| {
            let socket: &tcp::Socket<'_> = self.sockets.get(handle);
            Some(socket.local_endpoint()?.port)
        });
        let in_use: HashSet<u16> = match protocol {
            Protocol::Tcp => of_connections.collect(),
            Protocol::Udp => HashSet::new(),
        };
        for _ in EPHEMERAL {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            if !in_use.contains(&port) && !self.bound.contains(&(protocol, port)) {
                return Ok(port);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "all ports of this host are in use"))
    }

    fn tell_unreachable(&mut self, local: SocketAddr, remote: SocketAddr) {
        for (&handle, connection) in &mut self.connections {
            let socket: &mut tcp::Socket<'_> = self.sockets.get_mut(handle);
            if socket.state() == tcp::State::SynSent
                && socket.local_endpoint() == Some(local.into())
                && socket.remote_endpoint() == Some(remote.into())
            {
                connection.is_unreachable = true;
                socket.abort();
            }
        }
    }

    /// Takes connections out that nobody has and that are over. A duplicate of the other end's
    /// last packet then finds none, and is answered with a reset: no harm to either.
    fn bury(&mut self) {
        let sockets = &mut self.sockets;
        self.connections.retain(|&handle, connection| {
            let socket = sockets.get::<tcp::Socket<'_>>(handle);
            // A closed socket with a remote end has still to send a reset.
            let is_over = match socket.state() {
                tcp::State::TimeWait => true,
                tcp::State::Closed => socket.remote_endpoint().is_none(),
                _ => false,
            };
            if connection.is_orphan && is_over {
                sockets.remove(handle);
                return false;
            }
            true
        });
    }

    fn now(&self) -> Instant {
        let micros = self.start.elapsed().as_micros();
        Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

pub(super) fn listen(socket: &mut tcp::Socket<'_>, at: IpListenEndpoint) {
    // A caller that does not finish its handshake does not keep the place of others.
    socket.set_timeout(Some(smoltcp::time::Duration::from_secs(10)));
    let done = socket.listen(at);
    debug_assert!(done.is_ok(), "a closed socket listens at a port that is not 0");
}

/// Where a socket listens: at any address if that is unspecified.
pub(super) fn endpoint(at: SocketAddr) -> IpListenEndpoint {
    if at.ip().is_unspecified() { at.port().into() } else { at.into() }
}

/// smoltcp's view of the tunnel.
struct Device {
    arrived: VecDeque<Vec<u8>>,
    to_tunnel: mpsc::Sender<Vec<u8>>,
    mtu: usize,
    /// The tunnel has not taken yet what it was given.
    is_held_up: bool,
}

/// A packet that came.
struct Arrived(Vec<u8>);

/// Room for a packet on its way to the tunnel.
struct Room<'d>(mpsc::Permit<'d, Vec<u8>>);

impl phy::Device for Device {
    type RxToken<'d> = Arrived;
    type TxToken<'d> = Room<'d>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived, Room<'_>)> {
        if self.arrived.is_empty() {
            return None;
        }
        let room = self.to_tunnel.try_reserve();
        self.is_held_up |= room.is_err();
        // An answer may be due: without room for it, what came waits.
        let room = room.ok()?;
        Some((Arrived(self.arrived.pop_front()?), Room(room)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        let room = self.to_tunnel.try_reserve();
        self.is_held_up |= room.is_err();
        room.ok().map(Room)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

impl phy::RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.send(packet);
        result
    }
}
