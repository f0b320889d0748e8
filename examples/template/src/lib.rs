#![no_std]
#![forbid(unsafe_code)]
//! A firmware for a chip that nobody has written one for: copy this package, and fill
//! [`Board`].
//!
//! | file | |
//! | --- | --- |
//! | `src/board.rs` | to be replaced: what the board brings, here of this computer |
//! | `src/main.rs` | to be replaced: where the board starts |
//! | `src/lib.rs` | stays: the tunnel over the board, and a network stack in it |
//!
//! Each hole is a trait that a driver crate of the chip may implement already:
//!
//! | hole | trait | it must | where it may be had |
//! | --- | --- | --- | --- |
//! | [`Board::udp`] | [`Datagrams`] | lose no datagram when a receive is dropped | `EmbassyUdp` over embassy-net; `CancelSafe` over embedded-nal-async; `EdgeUdp` over edge-nal |
//! | [`Board::dns`] | [`Dns`] | ask outside the tunnel; for endpoints by name only | `DnsSocket` of embassy-net |
//! | [`Board::random`] | [`TryCryptoRng`] | be random before its first use, or fail | the HAL's true generator |
//! | [`Board::store`] | [`Store`] | keep 12 bytes over power cuts: old or new, never a third | `FlashStore` over a NOR flash; 16 bytes of FRAM, EEPROM or RTC memory by hand |
//! | [`Board::unix_time`] | a function | say `None` while it does not know | an RTC; `WallClock` and `Sntp`; `\|\| None` |
//! | [`Board::print`] | a function | | a serial port, RTT |
//! | time since boot | a time driver of embassy | count time asleep | the HAL's crate has it, often as a feature |
//!
//! A clock or a store: one of both will do, and the store is the better one. `docs/porting.md`
//! has the checklist.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use embassy_futures::join::join4;
use embassy_futures::select::{Either, select};
use embassy_net::{ConfigV4, Stack, StackResources};
use embedded_nal_async::Dns;
use wg_nal::rand_core::{Rng, TryCryptoRng};
use wg_nal::wg_core::config::Config;
use wg_nal::{
    BeginError, Datagrams, Drbg, EmbassyTime, EndpointName, Family, Identity, IdentityError,
    Persistent, Resources, Store, stack_config,
};

/// Allowed IPs of the peer: as many as a cloud may hand out.
const ROUTES: usize = 20;
/// Sockets in the tunnel. DNS takes one of them.
const SOCKETS: usize = 4;

/// What a board brings.
pub struct Board<U, D, R, S> {
    /// UDP outside the tunnel: a bound socket.
    pub udp: U,
    /// Names, outside the tunnel.
    pub dns: D,
    /// The hardware's random generator. It is asked once, for the seed of ours.
    pub random: R,
    /// Where timestamps are kept, and the board's own key if the configuration has none.
    pub store: S,
    /// The time of day, where the board knows it.
    pub unix_time: fn() -> Option<Duration>,
    /// The console.
    pub print: fn(fmt::Arguments<'_>),
}

/// Runs the tunnel that `text` describes, a wg-quick file, and `application` over a stack in it,
/// until that ends.
///
/// Everything is in the future, `Resources` and the application included: a `static` of an
/// executor's task.
///
/// # Errors
/// See [`Error`]; none comes later than at the start.
pub async fn run<U: Datagrams, D: Dns, R: TryCryptoRng, S: Store, A>(
    board: Board<U, D, R, S>,
    text: &str,
    application: impl AsyncFnOnce(Stack<'_>) -> A,
) -> Result<A, Error<S::Error>> {
    let Board { udp, dns, mut random, mut store, unix_time, print } = board;
    let mut rng = Drbg::try_new(&mut random).map_err(|_| Error::Random)?;
    let config = Config::parse(text).map_err(|error| Error::Begin(BeginError::Config(error)))?;
    if config.addresses().next().is_none() {
        return Err(Error::NoAddress);
    }
    let own_key = match config.private_key() {
        Some(_) => None,
        None => Some(Identity::load_or_generate(&mut store, &mut rng).await?.private_key),
    };

    let seed = rng.next_u64();
    let clock = Persistent::new(unix_time, store);
    let mut memory = Resources::<1, ROUTES>::new();
    let (mut interface, handle, mut tunnel) =
        wg_nal::new(&mut memory, udp, rng, clock, EmbassyTime);
    if let Some(mtu) = config.mtu() {
        interface.set_mtu(mtu.into()).map_err(|_| Error::Mtu(mtu))?;
    }
    if own_key.is_some() {
        handle.set_private_key(own_key.as_ref());
    }
    handle.begin_config(text).map_err(Error::Begin)?;
    if let Some(key) = handle.public_key() {
        print(format_args!("our public key is {key}\n"));
    }

    let mut inside = stack_config(config.addresses());
    if let ConfigV4::Static(inside) = &mut inside.ipv4 {
        let servers = config.dns_servers().filter_map(|server| match server {
            IpAddr::V4(server) => Some(server),
            IpAddr::V6(_) => None,
        });
        // As many as fit.
        servers.take_while(|server| inside.dns_servers.push(*server).is_ok()).for_each(drop);
    }
    let mut sockets = StackResources::<SOCKETS>::new();
    let (stack, mut net) = embassy_net::new(interface, inside, &mut sockets, seed);

    let names = async {
        for peer in config.peers() {
            let Some(endpoint) = peer.endpoint() else { continue };
            let Some(id) = handle.find_peer(&peer.public_key()) else { continue };
            let mut name = EndpointName::new(endpoint.host(), endpoint.port(), Family::V4);
            // For an address it ends at once. There is room for one peer.
            handle.keep_resolved(id, &mut name, &dns).await;
        }
    };
    let events = async {
        loop {
            print(format_args!("{:?}\n", handle.event().await));
        }
    };
    let work = join4(tunnel.run(), net.run(), names, events);
    match select(work, application(stack)).await {
        Either::First(((), never, (), _)) => never,
        Either::Second(end) => Ok(end),
    }
}

/// Why there is no tunnel. `E` is the store's error.
#[derive(Debug)]
pub enum Error<E> {
    /// The hardware gives no random numbers, or the same again and again.
    Random,
    /// The configuration is none, or does not fit.
    Begin(BeginError),
    /// It has no `Address`.
    NoAddress,
    /// It has an `MTU` that the memory has no room for.
    Mtu(u16),
    /// The board's own key cannot be kept.
    Identity(IdentityError<E>),
}

impl<E> From<IdentityError<E>> for Error<E> {
    fn from(error: IdentityError<E>) -> Self {
        Self::Identity(error)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => {
                f.write_str("the random generator gives no randomness: is it on, and clocked?")
            }
            Self::Begin(error) => write!(f, "the configuration: {error}"),
            Self::NoAddress => f.write_str("[Interface] has no Address: add the board's"),
            Self::Mtu(mtu) => write!(f, "no room for packets of {mtu} bytes: lessen MTU"),
            Self::Identity(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}
