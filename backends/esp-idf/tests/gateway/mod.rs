//! The other end of the tunnel: an engine of its own, and behind it a small IP stack that
//! answers on port 7, TCP and UDP, and keeps what comes to port 9.
#![allow(dead_code)] // Each test crate uses a part.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};
use wg_esp_idf::wg_core::{
    Device, Event, INITIATION_LEN, Increasing, PresharedKey, PrivateKey, PublicKey, Received,
    SendError,
};
use wg_esp_idf::{Host, PeerSettings, Settings, Underlay, now};

/// Our own key and addresses inside the tunnel are the same in all tests.
const BOARD: [u8; 32] = [0x42; 32];
const GATEWAY: [u8; 32] = [0x17; 32];

/// What the gateway shows and is told.
#[derive(Default)]
pub(crate) struct Desk {
    stop: AtomicBool,
    /// Take no notice of anything that comes.
    pub(crate) mute: AtomicBool,
    /// Ask the board for a new session.
    call: AtomicBool,
    /// Datagrams that came, answered or not.
    pub(crate) datagrams: AtomicU32,
    /// From where the last one came, and it itself.
    pub(crate) from: Mutex<Option<SocketAddr>>,
    pub(crate) last: Mutex<Vec<u8>>,
    /// What came to UDP port 9.
    pub(crate) kept: Mutex<Vec<Vec<u8>>>,
}

pub(crate) struct Gateway {
    pub(crate) desk: Arc<Desk>,
    pub(crate) address: SocketAddr,
    pub(crate) key: PublicKey,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    pub(crate) fn start_at(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let address = socket.local_addr().unwrap();
        let desk = Arc::new(Desk::default());
        let key = PrivateKey::from_bytes(GATEWAY).unwrap().public_key();
        let shown = Arc::clone(&desk);
        let thread = std::thread::spawn(move || run(&socket, &shown));
        Self { desk, address, key, thread: Some(thread) }
    }

    /// The board's end, with this gateway as the only peer.
    pub(crate) fn settings(&self, allowed_ips: &[&str]) -> Settings {
        Settings {
            private_key: PrivateKey::from_bytes(BOARD).unwrap(),
            addresses: ["10.9.0.2/24", "fd09::2/64"].map(|text| text.parse().unwrap()).to_vec(),
            listen_port: 0,
            mtu: 1420,
            dns_servers: Vec::new(),
            default_route: false,
            underlay: Underlay::Any,
            peers: vec![PeerSettings {
                public_key: self.key,
                preshared_key: PresharedKey::NONE,
                endpoint: Some(Host {
                    name: self.address.ip().to_string(),
                    port: self.address.port(),
                }),
                allowed_ips: allowed_ips.iter().map(|text| text.parse().unwrap()).collect(),
                persistent_keepalive: 0,
            }],
        }
    }

    /// Has the gateway ask the board for a session, once it knows where the board is.
    pub(crate) fn call(&self) {
        self.desk.call.store(true, Ordering::SeqCst);
    }

    pub(crate) fn datagrams(&self) -> u32 {
        self.desk.datagrams.load(Ordering::SeqCst)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.desk.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking(), "the gateway failed");
    }
}

/// Waits for something that another thread brings about.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Packets {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

fn run(socket: &UdpSocket, desk: &Desk) {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let unix = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok();
    let mut clock = Increasing::new(unix, None);
    let mut device = Device::growing();
    device.set_private_key(now(), Some(&PrivateKey::from_bytes(GATEWAY).unwrap()));
    let board = PrivateKey::from_bytes(BOARD).unwrap().public_key();
    let board = device.add_peer(&board).unwrap();
    for prefix in ["10.9.0.2/32", "fd09::2/128"] {
        device.add_allowed_ip(board, prefix.parse().unwrap()).unwrap();
    }

    let mut packets = Packets { incoming: VecDeque::new(), outgoing: VecDeque::new() };
    let mut interface =
        Interface::new(Config::new(HardwareAddress::Ip), &mut packets, Instant::ZERO);
    interface.update_ip_addrs(|list| {
        for text in ["10.9.0.1/24", "fd09::1/64", "172.31.5.5/32"] {
            list.push(text.parse::<IpCidr>().unwrap()).unwrap();
        }
    });
    let mut sockets = SocketSet::new(Vec::new());
    let servers: Vec<SocketHandle> = (0..8).map(|_| sockets.add(tcp_socket())).collect();
    let echo = sockets.add(udp_socket(7));
    let keep = sockets.add(udp_socket(9));

    let start = std::time::Instant::now();
    let mut buffer = [0; 2048];
    while !desk.stop.load(Ordering::SeqCst) {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            *desk.from.lock().unwrap() = Some(from);
            *desk.last.lock().unwrap() = buffer[..len].to_vec();
            desk.datagrams.fetch_add(1, Ordering::SeqCst);
            if !desk.mute.load(Ordering::SeqCst) {
                match device.handle_datagram(now(), &mut rng, from.into(), &mut buffer[..len]) {
                    Ok(Received::Packet { packet, .. }) => {
                        packets.incoming.push_back(packet.to_vec());
                    }
                    Ok(Received::Reply(reply)) => {
                        socket.send_to(reply.datagram, reply.to.remote).unwrap();
                    }
                    _ => {}
                }
            }
        }
        interface.poll(Instant::ZERO + start.elapsed().into(), &mut packets, &mut sockets);
        for server in &servers {
            serve_tcp(sockets.get_mut(*server));
        }
        let socket_7 = sockets.get_mut::<udp::Socket<'_>>(echo);
        while let Ok((data, meta)) = socket_7.recv().map(|(data, meta)| (data.to_vec(), meta)) {
            let _ = socket_7.send_slice(&data, meta);
        }
        let socket_9 = sockets.get_mut::<udp::Socket<'_>>(keep);
        while let Ok((data, _)) = socket_9.recv() {
            desk.kept.lock().unwrap().push(data.to_vec());
        }
        interface.poll(Instant::ZERO + start.elapsed().into(), &mut packets, &mut sockets);
        while let Some(packet) = packets.outgoing.pop_front() {
            let mut frame = [0; 2048];
            frame[16..16 + packet.len()].copy_from_slice(&packet);
            match device.seal(now(), &mut frame, packet.len()) {
                Ok(sealed) => drop(socket.send_to(sealed.datagram, sealed.to.remote).unwrap()),
                Err(SendError::NoSession(_) | SendError::Refused(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if desk.call.swap(false, Ordering::SeqCst) {
            // Without a session of its own, a packet asks for one.
            let place = device.endpoint(board);
            device.down();
            device.up(now());
            place.inspect(|place| device.set_endpoint(now(), board, *place));
            device.set_persistent_keepalive(now(), board, 25);
        }
        device.handle_timeout(now());
        while let Some(Event::SessionUp(_) | Event::EndpointMoved(_) | _) = device.poll_event() {}
        let mut own = [0; INITIATION_LEN];
        while let Some(transmit) = device.poll_transmit(now(), &mut clock, &mut rng, &mut own) {
            socket.send_to(transmit.datagram, transmit.to.remote).unwrap();
        }
    }
}

fn tcp_socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; 16 * 1024]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_timeout(Some(smoltcp::time::Duration::from_secs(10)));
    socket.set_ack_delay(None);
    socket
}

fn serve_tcp(socket: &mut tcp::Socket<'_>) {
    if matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait) {
        socket.abort();
        let _ = socket.listen(7);
    }
    while socket.can_recv() && socket.can_send() {
        let room = socket.send_capacity() - socket.send_queue();
        let data =
            socket.recv(|data| (data.len().min(room), data[..data.len().min(room)].to_vec()));
        let data = data.unwrap();
        assert_eq!(socket.send_slice(&data), Ok(data.len()));
    }
    if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
        socket.close();
    }
}

fn udp_socket(port: u16) -> udp::Socket<'static> {
    let buffer =
        || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 32], vec![0; 32 * 1024]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).unwrap();
    socket
}

impl phy::Device for Packets {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _: Instant) -> Option<(RxToken, TxToken<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((RxToken(packet), TxToken(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        (self.outgoing.len() < 16).then_some(TxToken(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1420;
        capabilities
    }
}

pub(crate) struct RxToken(Vec<u8>);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

pub(crate) struct TxToken<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut packet = vec![0; length];
        let result = fill(&mut packet);
        self.0.push_back(packet);
        result
    }
}
