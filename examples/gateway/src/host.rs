//! One end of the tunnel: WireGuard below, and a network stack in it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use embassy_net::{Config, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use getrandom::{SysRng, rand_core::TryRng, rand_core::UnwrapErr};
use wg_nal::wg_core::{Increasing, PresharedKey, PrivateKey};
use wg_nal::{EmbassyTime, Handle, Interface, LinkPolicy, Peer, Resources};

use crate::socket::Socket;

type Clock = Increasing<fn() -> Option<core::time::Duration>>;
type Runner = wg_nal::Runner<'static, Socket, UnwrapErr<SysRng>, Clock, EmbassyTime>;

/// A tunnel with a network stack in it.
pub struct Host {
    key: PrivateKey,
    inside: Ipv4Addr,
    outside: SocketAddr,
    tunnel: Handle<'static, EmbassyTime>,
    runner: Runner,
    stack: Stack<'static>,
    stack_runner: embassy_net::Runner<'static, Interface<'static>>,
}

impl Host {
    /// A host with this address in the tunnel, that asks `dns` for names, and a fresh key.
    ///
    /// # Errors
    /// No socket, or no random numbers.
    pub fn new(inside: Ipv4Addr, dns: Ipv4Addr) -> Result<Self> {
        let socket = Socket::bind().context("cannot bind a UDP socket on 127.0.0.1")?;
        let outside = socket.address()?;

        // The tunnel: one peer, one allowed IP. In firmware the resources are a static.
        let resources: &mut Resources<'_, 1, 1> = Box::leak(Box::new(Resources::new()));
        let clock: Clock = Increasing::new(time_of_day, None);
        let rng = UnwrapErr(SysRng);
        let (mut interface, tunnel, runner) =
            wg_nal::new(resources, socket, rng, clock, EmbassyTime);
        interface.set_link_policy(LinkPolicy::AlwaysUp);
        let key = PrivateKey::generate(&mut UnwrapErr(SysRng));
        tunnel.set_private_key(Some(&key));

        // The stack in the tunnel: an ordinary one of embassy-net.
        let address = Ipv4Cidr::new(inside, 24);
        let dns_servers = [dns].into_iter().collect();
        let config = Config::ipv4_static(StaticConfigV4 { address, gateway: None, dns_servers });
        let memory = Box::leak(Box::new(StackResources::<24>::new()));
        let seed = SysRng.try_next_u64().map_err(|error| anyhow!("no random numbers: {error}"))?;
        let (stack, stack_runner) = embassy_net::new(interface, config, memory, seed);
        Ok(Self { key, inside, outside, tunnel, runner, stack, stack_runner })
    }

    /// Makes `other` a peer. Only one of the two has to know where the other one is.
    ///
    /// # Errors
    /// There is a peer already.
    pub fn add_peer(&self, other: &Self, endpoint: Option<SocketAddr>) -> Result<()> {
        self.tunnel.set_peer(&Peer {
            public_key: &other.key.public_key(),
            preshared_key: &PresharedKey::NONE,
            endpoint,
            allowed_ips: &[format!("{}/32", other.inside).parse()?],
            persistent_keepalive: 0,
        })?;
        Ok(())
    }

    /// Where the tunnel's datagrams arrive.
    pub fn outside(&self) -> SocketAddr {
        self.outside
    }

    /// The stack in the tunnel.
    pub fn stack(&self) -> Stack<'static> {
        self.stack
    }

    /// The tunnel's controls.
    pub fn tunnel(&self) -> Handle<'static, EmbassyTime> {
        self.tunnel
    }

    /// Drives the tunnel and the stack in it. In firmware each is a task of its own.
    pub async fn run(mut self) {
        crate::both(self.runner.run(), async { self.stack_runner.run().await }).await;
    }
}

fn time_of_day() -> Option<core::time::Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()
}
