//! The network outside, the tunnel over it, and the network inside.

use core::convert::Infallible;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use embassy_executor::Spawner;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{
    Config, ConfigV4, ConfigV6, Ipv4Cidr, Ipv6Cidr, Runner, Stack, StackResources, StaticConfigV4,
    StaticConfigV6,
};
use static_cell::{ConstStaticCell, StaticCell};
use wg_nal::rand_core::{Rng, TryCryptoRng, TryRng};
use wg_nal::wg_core::Event;
use wg_nal::{
    BeginError, Drbg, ETHERNET_MTU, EmbassyTime, EmbassyUdp, FlashStore, Interface, Persistent,
    Resources, stack_config,
};

use crate::board::{self, Card, print};
use crate::flash::{self, Flash};

/// The board's addresses on the Ethernet. A real one would ask for them.
const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
/// A datagram that has no route stays at the head of smoltcp's queue until `EmbassyUdp` clears it:
/// with a gateway no reply to a spoofed call is one.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

pub(crate) type Handle = wg_nal::Handle<'static, EmbassyTime>;
/// The board never knows the time of day; its timestamps rise over every reboot all the same.
type Clock = Persistent<fn() -> Option<Duration>, FlashStore<Flash>>;
type Underlay = EmbassyUdp<'static, 'static>;
type TunnelRunner = wg_nal::Runner<'static, Underlay, Drbg, Clock, EmbassyTime>;

/// Why there is no tunnel.
#[derive(Debug)]
pub(crate) enum Error {
    /// The random source is stuck.
    Random,
    /// The flash holds no text.
    NoConfiguration,
    /// It does, but not a configuration's, or one that does not fit.
    Configuration(BeginError),
    /// It gives the board no IPv4 address in the tunnel.
    NoAddress,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfiguration => f.write_str("no text at the beginning of the flash"),
            Self::Random => f.write_str("the random source gives no randomness"),
            Self::Configuration(error) => write!(f, "the configuration in the flash: {error}"),
            Self::NoAddress => f.write_str("the configuration has no IPv4 Address"),
        }
    }
}

/// The board's two networks.
#[derive(Clone, Copy)]
pub(crate) struct Networks {
    pub(crate) inside: Stack<'static>,
    pub(crate) outside: Stack<'static>,
}

/// Starts everything, and returns the networks on both sides of the tunnel.
pub(crate) fn start(spawner: Spawner) -> Result<(Networks, Handle), Error> {
    let text = flash::configuration().ok_or(Error::NoConfiguration)?;
    let port = wg_nal::wg_core::config::Config::parse(text)
        .map_err(|error| Error::Configuration(BeginError::Config(error)))?
        .listen_port();
    let mut rng = Drbg::try_new(&mut Source).map_err(|_| Error::Random)?;

    let card = Card::start();
    static OUTSIDE_RESOURCES: StaticCell<StackResources<3>> = StaticCell::new();
    let resources = OUTSIDE_RESOURCES.init_with(StackResources::new);
    let mut addresses = Config::default();
    addresses.ipv4 = outside_v4(OUTSIDE_V4);
    addresses.ipv6 = outside_v6(OUTSIDE_V6);
    let (outside, runner) = embassy_net::new(card, addresses, resources, rng.next_u64());
    spawner.spawn(run_outside(runner).expect("one of it"));

    static TUNNEL: ConstStaticCell<Resources<'static, 1, 4>> =
        ConstStaticCell::new(Resources::new());
    let underlay = EmbassyUdp::new(socket(outside, port), ETHERNET_MTU);
    let store = FlashStore::new(Flash::take(), flash::TIMESTAMPS).expect("two whole sectors");
    let clock = Clock::new(|| None, store);
    let seed = rng.next_u64();
    let (interface, handle, runner) = wg_nal::new(TUNNEL.take(), underlay, rng, clock, EmbassyTime);
    spawner.spawn(run_tunnel(runner).expect("one of it"));

    let config = handle.begin_config(text).map_err(Error::Configuration)?;
    if !config.addresses().any(|address| address.addr().is_ipv4()) {
        return Err(Error::NoAddress);
    }
    spawner.spawn(report(handle).expect("one of it"));

    static INSIDE_RESOURCES: StaticCell<StackResources<4>> = StaticCell::new();
    let resources = INSIDE_RESOURCES.init_with(StackResources::new);
    let (inside, runner) =
        embassy_net::new(interface, stack_config(config.addresses()), resources, seed);
    spawner.spawn(run_inside(runner).expect("one of it"));
    Ok((Networks { inside, outside }, handle))
}

/// Gives the board another address on the Ethernet. The tunnel is not told, and need not be.
pub(crate) fn move_to(outside: Stack<'static>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => outside.set_config_v4(outside_v4(address)),
        IpAddr::V6(address) => outside.set_config_v6(outside_v6(address)),
    }
    print(format_args!("moved to {address}\n"));
}

fn outside_v4(address: Ipv4Addr) -> ConfigV4 {
    ConfigV4::Static(StaticConfigV4 {
        address: Ipv4Cidr::new(address, 24),
        gateway: Some(GATEWAY),
        dns_servers: Default::default(),
    })
}

fn outside_v6(address: Ipv6Addr) -> ConfigV6 {
    ConfigV6::Static(StaticConfigV6 {
        address: Ipv6Cidr::new(address, 64),
        gateway: None,
        dns_servers: Default::default(),
    })
}

/// The socket under the tunnel, with room for a burst.
fn socket(outside: Stack<'static>, port: u16) -> &'static mut UdpSocket<'static> {
    const PACKETS: usize = 16;
    const BYTES: usize = PACKETS * 1472;
    static MEMORY: ConstStaticCell<[([PacketMetadata; PACKETS], [u8; BYTES]); 2]> =
        ConstStaticCell::new([([PacketMetadata::EMPTY; PACKETS], [0; BYTES]); 2]);
    let [(rx_meta, rx), (tx_meta, tx)] = MEMORY.take();
    let mut socket = UdpSocket::new(outside, rx_meta, rx, tx_meta, tx);
    socket.bind(port).expect("the first socket of its stack");
    static SOCKET: StaticCell<UdpSocket<'static>> = StaticCell::new();
    SOCKET.init(socket)
}

/// The board's random source.
struct Source;

impl TryRng for Source {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        board::fill_random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        board::fill_random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        board::fill_random(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Source {}

/// What happens to the tunnel.
#[embassy_executor::task]
async fn report(handle: Handle) -> ! {
    loop {
        match handle.event().await {
            Event::SessionUp(_) => print(format_args!("session up\n")),
            Event::SessionExpired(_) => print(format_args!("session expired\n")),
            event => print(format_args!("{event:?}\n")),
        }
    }
}

#[embassy_executor::task]
async fn run_outside(mut runner: Runner<'static, Card>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn run_tunnel(mut runner: TunnelRunner) {
    runner.run().await;
}

#[embassy_executor::task]
async fn run_inside(mut runner: Runner<'static, Interface<'static>>) -> ! {
    runner.run().await
}
