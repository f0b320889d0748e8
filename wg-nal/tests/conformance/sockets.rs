//! Tunnels over the system's sockets, in real time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use edge_nal::UdpBind;
use embedded_nal_async::UdpStack;
use futures_lite::future::{block_on, or};
use wg_core::{Increasing, Instant, PresharedKey};
use wg_nal::{
    CancelSafe, Datagrams, EdgeUdp, Handle, Interface, Monotonic, Peer, Resources, TooLong, Tunnel,
};

use super::virtual_network::host::key_of;

/// What is shown over sockets of each family.
pub const ON_SOCKETS: [(&str, IpAddr); 2] = [
    ("on the system's sockets: 100 packets of all sizes both ways, one too long", V4),
    ("the same on sockets of IPv6", V6),
];

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Packets cross between two sockets on loopback.
pub struct Sockets {
    /// The adapter's.
    pub name: &'static str,
    pub cross: fn(IpAddr),
}

pub const SOCKETS: [Sockets; 3] = [
    Sockets { name: "embedded-nal: `Tunnel`", cross: blocking },
    Sockets { name: "embedded-nal-async: `CancelSafe`", cross: nal_async },
    Sockets { name: "edge-nal: `EdgeUdp`", cross: edge },
];

#[derive(Clone, Copy)]
struct Uptime;

impl Monotonic for Uptime {
    fn now(&self) -> Instant {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let start = START.get_or_init(std::time::Instant::now);
        Instant::from_micros(start.elapsed().as_micros() as u64)
    }

    async fn delay_until(&self, at: Instant) {
        async_io::Timer::after(at.saturating_since(self.now())).await;
    }
}

type Wall = Increasing<fn() -> Option<Duration>>;
type Memory = Resources<'static, 1, 1, 1420, 8, 8>;
type Ends = (Interface<'static>, Handle<'static, Uptime>);

fn wall() -> Wall {
    Increasing::new(|| std::time::SystemTime::UNIX_EPOCH.elapsed().ok(), None)
}

fn rng(number: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([number; 32])
}

/// Two ports that are free, and not the same.
fn two_places(ip: IpAddr) -> [SocketAddr; 2] {
    let sockets = [(); 2].map(|()| std::net::UdpSocket::bind((ip, 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

/// Makes host `number` of two.
fn set_up(handle: &Handle<'static, Uptime>, number: u8, endpoint: Option<SocketAddr>) {
    handle.set_private_key(Some(&key_of(number)));
    let peer = Peer {
        public_key: &key_of(3 - number).public_key(),
        preshared_key: &PresharedKey::NONE,
        endpoint,
        allowed_ips: &["10.0.0.0/24".parse().unwrap()],
        persistent_keepalive: 0,
    };
    handle.set_peer(&peer).unwrap();
}

fn over<U: Datagrams>(
    number: u8,
    underlay: U,
    endpoint: Option<SocketAddr>,
) -> (Ends, impl Future<Output = ()>) {
    let resources: &mut Memory = Box::leak(Box::new(Resources::new()));
    let (interface, handle, mut runner) =
        wg_nal::new(resources, underlay, rng(number), wall(), Uptime);
    set_up(&handle, number, endpoint);
    ((interface, handle), async move { runner.run().await })
}

fn nal_async(ip: IpAddr) {
    block_on(async {
        let places = two_places(ip);
        let stack = std_embedded_nal_async::Stack::default();
        let (local, a) = stack.bind_single(places[0]).await.unwrap();
        let a = CancelSafe::new(a, local);
        let (local, b) = stack.bind_single(places[1]).await.unwrap();
        let b = CancelSafe::new(b, local);
        let ((a, run_a), (b, run_b)) = (over(1, a, Some(places[1])), over(2, b, None));
        or(cross(a.0, b.0), or(run_a, run_b)).await;
    });
}

fn edge(ip: IpAddr) {
    block_on(async {
        let places = two_places(ip);
        let stack = edge_nal_std::Stack::new();
        let a = EdgeUdp::new(stack.bind(places[0]).await.unwrap());
        let b = EdgeUdp::new(stack.bind(places[1]).await.unwrap());
        let ((a, run_a), (b, run_b)) = (over(1, a, Some(places[1])), over(2, b, None));
        or(cross(a.0, b.0), or(run_a, run_b)).await;
    });
}

/// A superloop that looks every millisecond.
fn blocking(ip: IpAddr) {
    let places = two_places(ip);
    let side = |number: u8, endpoint| {
        let resources: &mut Memory = Box::leak(Box::new(Resources::new()));
        let port = places[usize::from(number) - 1].port();
        let (interface, mut tunnel) =
            Tunnel::new(resources, std_embedded_nal::Stack, port, rng(number), wall()).unwrap();
        set_up(&tunnel.handle(Uptime), number, endpoint);
        tunnel.start(Uptime.now());
        let run = async move {
            loop {
                tunnel.poll(Uptime.now()).unwrap();
                async_io::Timer::after(Duration::from_millis(1)).await;
            }
        };
        (interface, run)
    };
    let ((a, run_a), (b, run_b)) = (side(1, Some(places[1])), side(2, None));
    block_on(or(cross(a, b), or(run_a, run_b)));
}

fn packet(len: usize) -> Vec<u8> {
    let mut packet = vec![7; len];
    packet[..20].copy_from_slice(b"\x45\0\0\0\0\0\0\0\x40\x63\0\0\x0a\0\0\x01\x0a\0\0\x02");
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet
}

async fn cross(mut a: Interface<'static>, mut b: Interface<'static>) {
    let crossing = async {
        let mtu = a.mtu();
        assert_eq!(a.send(&packet(mtu + 1)).await, Err(TooLong { mtu }));
        for number in 0..100 {
            let sent = packet(20 + number * (mtu - 20) / 99);
            a.send(&sent).await.unwrap();
            b.receive(|packet| assert_eq!(packet, sent)).await;
            b.send(&sent).await.unwrap();
            a.receive(|packet| assert_eq!(packet, sent)).await;
        }
    };
    or(crossing, async {
        async_io::Timer::after(Duration::from_secs(20)).await;
        panic!("waited for a packet in vain");
    })
    .await;
}
