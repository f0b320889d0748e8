//! Our host inside the tunnel: a small IP stack whose packets the peer carries.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;

use anyhow::{Context, Result};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::socket::{icmp, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    HardwareAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpCidr, IpListenEndpoint,
};

/// The identifier of all our echo requests: one host asks.
const ECHO_IDENT: u16 = 0x5747;
/// Enough for a window that keeps an emulated kernel busy.
const TCP_BUFFER: usize = 256 * 1024;

/// An answer to one of our echo requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EchoReply {
    pub(crate) from: IpAddr,
    pub(crate) sequence: u16,
    /// Bytes after the ICMP header.
    pub(crate) length: usize,
}

/// A host with addresses inside the tunnel.
pub(crate) struct Inner {
    interface: Interface,
    sockets: SocketSet<'static>,
    echo: SocketHandle,
    packets: Packets,
    started: std::time::Instant,
    next_port: u16,
}

/// The stack's link: two queues of IP packets.
struct Packets {
    mtu: usize,
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Inner {
    pub(crate) fn new(addresses: &[IpAddr], mtu: usize) -> Self {
        let mut packets = Packets { mtu, incoming: VecDeque::new(), outgoing: VecDeque::new() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = fastrand::u64(..);
        let mut interface = Interface::new(config, &mut packets, Instant::ZERO);
        interface.update_ip_addrs(|list| {
            for address in addresses {
                // The other end is in the same network, and there is nobody else.
                let prefix = if address.is_ipv4() { 24 } else { 64 };
                list.push(IpCidr::new((*address).into(), prefix))
                    .expect("room for a test's addresses");
            }
        });
        let buffer =
            || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 16], vec![0; 64 * 1024]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(ECHO_IDENT)).expect("a fresh socket");
        let mut sockets = SocketSet::new(Vec::new());
        let echo = sockets.add(socket);
        let started = std::time::Instant::now();
        Self { interface, sockets, echo, packets, started, next_port: 49152 }
    }

    /// Takes a packet out of the tunnel.
    pub(crate) fn deliver(&mut self, packet: &[u8]) {
        self.packets.incoming.push_back(packet.to_vec());
    }

    /// The next packet for the tunnel.
    pub(crate) fn next_packet(&mut self) -> Option<Vec<u8>> {
        self.packets.outgoing.pop_front()
    }

    /// Lets the stack work.
    pub(crate) fn poll(&mut self) {
        self.interface.poll(self.now(), &mut self.packets, &mut self.sockets);
    }

    /// How long the stack can wait, were no packet to come.
    pub(crate) fn poll_delay(&mut self) -> Option<core::time::Duration> {
        self.interface.poll_delay(self.now(), &self.sockets).map(Into::into)
    }

    /// Asks `to` for an echo of `length` bytes.
    pub(crate) fn ping(&mut self, to: IpAddr, sequence: u16, length: usize) -> Result<()> {
        let data: Vec<u8> = (0..length).map(|index| index.to_le_bytes()[0]).collect();
        let checksums = ChecksumCapabilities::default();
        let from = self.interface.get_source_address(&to.into());
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.echo);
        match to {
            IpAddr::V4(_) => {
                let echo =
                    Icmpv4Repr::EchoRequest { ident: ECHO_IDENT, seq_no: sequence, data: &data };
                let body = socket.send(echo.buffer_len(), to.into())?;
                echo.emit(&mut Icmpv4Packet::new_unchecked(body), &checksums);
            }
            IpAddr::V6(to_v6) => {
                let Some(smoltcp::wire::IpAddress::Ipv6(from)) = from else {
                    anyhow::bail!("no IPv6 address to ping {to} from");
                };
                let echo =
                    Icmpv6Repr::EchoRequest { ident: ECHO_IDENT, seq_no: sequence, data: &data };
                let body = socket.send(echo.buffer_len(), to.into())?;
                echo.emit(&from, &to_v6, &mut Icmpv6Packet::new_unchecked(body), &checksums);
            }
        }
        Ok(())
    }

    /// An echo that came back, whole and unchanged.
    pub(crate) fn next_echo(&mut self) -> Option<EchoReply> {
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.echo);
        while let Ok((body, from)) = socket.recv() {
            // Type, code and checksum, which the stack has verified; identifier; sequence.
            let Some((head, data)) = body.split_first_chunk::<8>() else { continue };
            if data.iter().enumerate().all(|(index, &byte)| byte == index.to_le_bytes()[0]) {
                let sequence = u16::from_be_bytes([head[6], head[7]]);
                return Some(EchoReply { from: from.into(), sequence, length: data.len() });
            }
        }
        None
    }

    /// Begins a TCP connection.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> Result<SocketHandle> {
        self.next_port += 1;
        let mut socket = tcp_socket();
        let context = self.interface.context();
        socket.connect(context, to, self.next_port).context("cannot connect")?;
        Ok(self.sockets.add(socket))
    }

    /// Waits for a TCP connection to `port`.
    pub(crate) fn listen(&mut self, port: u16) -> Result<SocketHandle> {
        let mut socket = tcp_socket();
        socket.listen(IpListenEndpoint::from(port)).context("cannot listen")?;
        Ok(self.sockets.add(socket))
    }

    /// A TCP connection's socket.
    pub(crate) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed().into()
    }
}

fn tcp_socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; TCP_BUFFER]);
    tcp::Socket::new(buffer(), buffer())
}

impl phy::Device for Packets {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((RxToken(packet), TxToken(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        // A link takes what it can carry soon; what waits behind it is the sockets' to keep.
        (self.outgoing.len() < 32).then_some(TxToken(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

struct RxToken(Vec<u8>);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct TxToken<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut packet = vec![0; length];
        let result = fill(&mut packet);
        self.0.push_back(packet);
        result
    }
}
