//! A tunnel between two stacks of embassy-net, in one call: [`begin`], or [`begin_config`].
//!
//! The stack outside is the board's, of Wi-Fi or Ethernet; the stack inside is an ordinary one, for
//! every client that takes sockets of embassy-net. Feature `embassy`, with `embedded-nal-async` for
//! endpoints that are names.
//!
//! ```
//! # #[cfg(feature = "flash")]
//! # mod firmware {
//! # use embassy_net::Stack;
//! # use embedded_storage_async::nor_flash::NorFlash;
//! # use static_cell::StaticCell;
//! # use wg_nal::embassy::{BeginError, Board, Memory, Runner, begin_config};
//! # use wg_nal::{Drbg, ETHERNET_MTU, FlashClock, FlashStore};
//! # const TEXT: &str = include_str!("../examples/wg0.conf");
//! fn tunnel<F: NorFlash>(
//!     outside: Stack<'static>, rng: Drbg, store: FlashStore<F>,
//! ) -> Result<(Stack<'static>, Runner<FlashClock<F>>), BeginError> {
//!     static MEMORY: StaticCell<Memory<1, 4>> = StaticCell::new(); // one peer, four allowed IPs
//!     let clock = FlashClock::new(|| None, store); // no time of day, and none needed
//!     let board = Board { underlay: outside, ip_mtu: ETHERNET_MTU, rng, clock };
//!     let tunnel = begin_config(MEMORY.init_with(Memory::new), board, TEXT, None)?;
//!     Ok((tunnel.inside, tunnel.runner)) // spawn, or join, `runner.run()`
//! }
//! # }
//! ```
//!
//! `examples/stm32-ethernet` and `examples/rp-w5500` are whole firmwares.

use core::fmt;
use core::net::IpAddr;

use embassy_futures::join::join_array;
use embassy_futures::select::select3;
use embassy_futures::yield_now;
use embassy_net::dns::DnsSocket;
use embassy_net::udp::{BindError, PacketMetadata, UdpSocket};
use embassy_net::{ConfigV4, ConfigV6, Stack, StackResources};
use rand_core::Rng;
use wg_core::PeerId;
use wg_core::config::{Config, InterfaceAddress};

use crate::{
    Drbg, ETHERNET_MTU, EmbassyTime, EmbassyUdp, EndpointName, Family, Handle, Identity, Interface,
    Resources, Timestamps, stack_config,
};

/// Datagrams that the socket under the tunnel holds in each direction.
const DATAGRAMS: usize = 4;
const SOCKET_LEN: usize = DATAGRAMS * ETHERNET_MTU as usize;

/// The memory of a tunnel and of the stack in it, for a `static`.
///
/// `PEERS`, `ROUTES` (their allowed IPs) and `MTU` are those of [`Resources`]; `SOCKETS` are the
/// sockets of the stack in the tunnel, of which DNS takes one.
///
/// With the defaults it takes 30 KB on a chip: 12 000 bytes are the datagrams of the socket under
/// the tunnel, 11 400 the packets of [`Resources`], and the rest the engine's state, and the
/// tables of both stacks' parts. One more allowed IP adds 80 bytes.
pub struct Memory<
    const PEERS: usize = 1,
    const ROUTES: usize = 2,
    const SOCKETS: usize = 4,
    const MTU: usize = 1420,
> {
    tunnel: Resources<'static, PEERS, ROUTES, MTU>,
    inside: StackResources<SOCKETS>,
    socket: Option<UdpSocket<'static>>,
    metadata: [[PacketMetadata; DATAGRAMS]; 2],
    datagrams: [[u8; SOCKET_LEN]; 2],
}

impl<const PEERS: usize, const ROUTES: usize, const SOCKETS: usize, const MTU: usize>
    Memory<PEERS, ROUTES, SOCKETS, MTU>
{
    /// Blank memory.
    pub const fn new() -> Self {
        Self {
            tunnel: Resources::new(),
            inside: StackResources::new(),
            socket: None,
            metadata: [[PacketMetadata::EMPTY; DATAGRAMS]; 2],
            datagrams: [[0; SOCKET_LEN]; 2],
        }
    }
}

/// What a tunnel takes of the board.
pub struct Board<C> {
    /// The stack outside: of Wi-Fi or Ethernet. It need not be up yet. Its memory needs room for
    /// two sockets: the tunnel's own, and DNS.
    pub underlay: Stack<'static>,
    /// Its largest IP packet, [`ETHERNET_MTU`] on Ethernet. embassy-net loses what is
    /// longer than its driver's frames without a word.
    pub ip_mtu: u16,
    /// Seeded from the hardware: [`Drbg::try_new`], [`Drbg::try_from_fn`].
    pub rng: Drbg,
    /// Timestamps: [`Persistent`](crate::Persistent) over a [`Store`](crate::Store).
    pub clock: C,
}

/// A tunnel that was begun, and does nothing until its runner runs.
pub struct Tunnel<C, const PEERS: usize = 1> {
    /// The stack in the tunnel, an ordinary one: for sockets, and for every client that takes
    /// them. Its link is up while there is a session.
    pub inside: Stack<'static>,
    /// Control, and what happens: sessions, refusals with reasons, counters.
    pub handle: Handle<'static, EmbassyTime>,
    /// What does the work.
    pub runner: Runner<C, PEERS>,
}

/// Does the work of a tunnel: [`Self::run`].
pub struct Runner<C, const PEERS: usize = 1> {
    tunnel: crate::Runner<'static, EmbassyUdp<'static, 'static>, Drbg, C, EmbassyTime>,
    inside: embassy_net::Runner<'static, Interface<'static>>,
    handle: Handle<'static, EmbassyTime>,
    underlay: Stack<'static>,
    names: [Option<(PeerId, EndpointName<'static>)>; PEERS],
}

impl<C: Timestamps, const PEERS: usize> Runner<C, PEERS> {
    /// Runs the tunnel and the stack in it until [`Handle::stop`], and keeps endpoints where
    /// their names say they are. Spawn it, or join it with what uses the tunnel.
    ///
    /// The future may be dropped, and run again; so may a tunnel that was stopped. Names are
    /// those that the tunnel was begun with, also after [`Handle::begin_config`].
    pub async fn run(&mut self) {
        let Self { tunnel, inside, handle, underlay, names } = self;
        let dns = DnsSocket::new(*underlay);
        let resolve = async |name: &mut Option<(PeerId, EndpointName<'static>)>| {
            if let Some((peer, name)) = name {
                handle.keep_resolved(*peer, name, &dns).await;
            }
        };
        let names = async {
            join_array(names.each_mut().map(resolve)).await;
            // What has nothing to resolve goes on.
            core::future::pending::<()>().await;
        };
        let until_stopped = async {
            tunnel.run().await;
            // The stack has a turn to see that its link is down, and to tell who waits for that.
            yield_now().await;
        };
        select3(inside.run(), until_stopped, names).await;
    }

    /// The clock of timestamps, to ask how it stands.
    pub fn clock(&mut self) -> &mut C {
        self.tunnel.clock()
    }

    /// The random generator, to be given fresh entropy.
    pub fn rng(&mut self) -> &mut Drbg {
        self.tunnel.rng()
    }
}

/// Begins a tunnel with five arguments, after the memory and the board: as in the Arduino
/// library that such boards used before. [`Handle::begin`] says what they are.
///
/// # Errors
/// See [`BeginError`].
pub fn begin<C: Timestamps, const P: usize, const R: usize, const S: usize, const MTU: usize>(
    memory: &'static mut Memory<P, R, S, MTU>,
    board: Board<C>,
    local_ip: IpAddr,
    private_key: &str,
    endpoint: &'static str,
    public_key: &str,
    port: u16,
) -> Result<Tunnel<C, P>, BeginError> {
    let parts = Parts::new(memory, board, 0)?;
    let begun = parts.handle.begin(local_ip, private_key, endpoint, public_key, port)?;
    let mut names = [const { None }; P];
    if let Some(name) = names.first_mut() {
        *name = Some((begun.peer, begun.endpoint));
    }
    Ok(parts.finish([begun.address], &[], names))
}

/// Begins a tunnel from the text of a wg-quick file, which may stand in flash.
///
/// Keys, peers, `ListenPort`, `Address` (the first of each family), `MTU` and `DNS` are obeyed.
/// Without a `PrivateKey`, or with one that is all zero, the key is the board's own, which is
/// `identity`: so a text without any secret of the board's will do.
///
/// # Errors
/// See [`BeginError`].
pub fn begin_config<
    C: Timestamps,
    const P: usize,
    const R: usize,
    const S: usize,
    const MTU: usize,
>(
    memory: &'static mut Memory<P, R, S, MTU>,
    board: Board<C>,
    text: &'static str,
    identity: Option<&Identity>,
) -> Result<Tunnel<C, P>, BeginError> {
    let config = Config::parse(text)
        .map_err(|error| BeginError::Tunnel(crate::BeginError::Config(error)))?;
    if config.addresses().next().is_none() {
        return Err(BeginError::NoAddress);
    }
    let own_key = match (config.private_key(), identity) {
        (None, None) => return Err(BeginError::NoPrivateKey),
        (None, Some(identity)) => Some(&identity.private_key),
        (Some(_), _) => None,
    };
    let mut parts = Parts::new(memory, board, config.listen_port())?;
    if let Some(mtu) = config.mtu() {
        parts.interface.set_mtu(mtu.into()).map_err(|_| BeginError::Mtu(mtu))?;
    }
    if own_key.is_some() {
        parts.handle.set_private_key(own_key);
    }
    parts.handle.begin_config(text)?;
    let mut names = [const { None }; P];
    let named = config.peers().filter_map(|peer| {
        let endpoint = peer.endpoint()?;
        let id = parts.handle.find_peer(&peer.public_key())?;
        Some((id, EndpointName::new(endpoint.host(), endpoint.port(), Family::V6)))
    });
    for (place, name) in names.iter_mut().zip(named) {
        *place = Some(name);
    }
    let mut servers = [IpAddr::from([0; 4]); 3];
    let count = servers.iter_mut().zip(config.dns_servers()).map(|(to, ip)| *to = ip).count();
    Ok(parts.finish(config.addresses(), servers.get(..count).unwrap_or_default(), names))
}

/// A tunnel without a stack in it.
struct Parts<C, const SOCKETS: usize> {
    interface: Interface<'static>,
    handle: Handle<'static, EmbassyTime>,
    tunnel: crate::Runner<'static, EmbassyUdp<'static, 'static>, Drbg, C, EmbassyTime>,
    inside: &'static mut StackResources<SOCKETS>,
    underlay: Stack<'static>,
    seed: u64,
}

impl<C: Timestamps, const SOCKETS: usize> Parts<C, SOCKETS> {
    fn new<const P: usize, const R: usize, const MTU: usize>(
        memory: &'static mut Memory<P, R, SOCKETS, MTU>,
        board: Board<C>,
        port: u16,
    ) -> Result<Self, BeginError> {
        let Board { underlay, ip_mtu, mut rng, clock } = board;
        let Memory { tunnel, inside, socket, metadata, datagrams } = memory;
        let [rx_meta, tx_meta] = metadata;
        let [rx, tx] = datagrams;
        let socket = socket.insert(UdpSocket::new(underlay, rx_meta, rx, tx_meta, tx));
        socket.bind(port).map_err(BeginError::Port)?;
        let seed = rng.next_u64();
        let outside = EmbassyUdp::new(socket, ip_mtu);
        let (interface, handle, tunnel) = crate::new(tunnel, outside, rng, clock, EmbassyTime);
        Ok(Self { interface, handle, tunnel, inside, underlay, seed })
    }

    fn finish<const P: usize>(
        self,
        addresses: impl IntoIterator<Item = InterfaceAddress>,
        dns_servers: &[IpAddr],
        names: [Option<(PeerId, EndpointName<'static>)>; P],
    ) -> Tunnel<C, P> {
        let Self { interface, handle, tunnel, inside, underlay, seed } = self;
        let mut config = stack_config(addresses);
        // The stack asks those of a family that it has an address of. More than three do not
        // fit, and three were taken.
        for server in dns_servers {
            match (server, &mut config.ipv4, &mut config.ipv6) {
                (IpAddr::V4(ip), ConfigV4::Static(v4), _) => drop(v4.dns_servers.push(*ip)),
                (IpAddr::V6(ip), _, ConfigV6::Static(v6)) => drop(v6.dns_servers.push(*ip)),
                _ => {}
            }
        }
        let (stack, inside) = embassy_net::new(interface, config, inside, seed);
        let runner = Runner { tunnel, inside, handle, underlay, names };
        Tunnel { inside: stack, handle, runner }
    }
}

/// Why there is no tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BeginError {
    /// The settings: a key, an endpoint, a line of the configuration.
    Tunnel(crate::BeginError),
    /// The configuration has no `Address`.
    NoAddress,
    /// The configuration has no `PrivateKey`, or one that is all zero, and no identity was given.
    NoPrivateKey,
    /// [`Memory`] has no room for packets of the configuration's `MTU`.
    Mtu(u16),
    /// embassy-net did not bind the tunnel's own port.
    Port(#[cfg_attr(feature = "defmt", defmt(Debug2Format))] BindError),
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tunnel(error) => error.fmt(f),
            Self::NoAddress => f.write_str("[Interface] has no Address: add the board's"),
            Self::NoPrivateKey => f.write_str(
                "[Interface] has no PrivateKey, and the board has no key of its own: enter one, or \
                 pass an Identity",
            ),
            Self::Mtu(mtu) => {
                write!(f, "no room for packets of {mtu} bytes: lessen MTU, or enlarge Memory's")
            }
            Self::Port(error) => {
                write!(f, "the tunnel's port cannot be bound: {error:?}: change ListenPort")
            }
        }
    }
}

impl core::error::Error for BeginError {}

impl From<crate::BeginError> for BeginError {
    fn from(error: crate::BeginError) -> Self {
        Self::Tunnel(error)
    }
}
