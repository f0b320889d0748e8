//! The tunnel, as firmware makes it.

use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::{Context, Result};
use embedded_nal_async::UdpStack;
use getrandom::SysRng;
use std_embedded_nal_async::Stack;
use wg_nal::wg_core::{Increasing, PresharedKey, PrivateKey};
use wg_nal::{CancelSafe, Drbg, EmbassyTime, Handle, Interface, LinkPolicy, Peer, Resources};

/// UDP of the operating system, where a board has its radio's.
type Underlay = CancelSafe<<Stack as UdpStack>::UniquelyBound>;
type Clock = Increasing<fn() -> Option<core::time::Duration>>;
pub(crate) type Runner = wg_nal::Runner<'static, Underlay, Drbg, Clock, EmbassyTime>;

/// One end of a tunnel, with a fresh key.
pub struct Tunnel {
    key: PrivateKey,
    /// Where its datagrams arrive.
    pub outside: SocketAddr,
    /// Its inside, for a stack or for a program that makes packets.
    pub interface: Interface<'static>,
    /// Its controls.
    pub handle: Handle<'static, EmbassyTime>,
    /// Its work.
    pub runner: Runner,
}

impl Tunnel {
    /// A tunnel over UDP of this machine's loopback.
    ///
    /// # Errors
    /// No socket, or no random numbers.
    pub fn new() -> Result<Self> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = async_io::block_on(Stack::default().bind_single(any_port));
        let (outside, socket) = bound.context("cannot bind a UDP socket on 127.0.0.1")?;
        let mut rng = Drbg::try_new(&mut SysRng)?;
        let key = PrivateKey::generate(&mut rng);

        // Room for one peer and three allowed IPs. In firmware the resources are a static.
        let resources: &mut Resources<'_, 1, 3> = Box::leak(Box::new(Resources::new()));
        let clock: Clock = Increasing::new(time_of_day, None);
        let underlay = CancelSafe::new(socket, outside);
        let (mut interface, handle, runner) =
            wg_nal::new(resources, underlay, rng, clock, EmbassyTime);
        interface.set_link_policy(LinkPolicy::AlwaysUp);
        handle.set_private_key(Some(&key));
        Ok(Self { key, outside, interface, handle, runner })
    }

    /// Makes `other` a peer, behind which are `networks`. Only one of two peers has to know where
    /// the other one is.
    ///
    /// # Errors
    /// No networks, too many of them, or another peer before this one.
    pub fn add_peer(
        &self,
        other: &Self,
        endpoint: Option<SocketAddr>,
        networks: &[&str],
    ) -> Result<()> {
        let networks: Result<Vec<_>, _> = networks.iter().map(|text| text.parse()).collect();
        self.handle.set_peer(&Peer {
            public_key: &other.key.public_key(),
            preshared_key: &PresharedKey::NONE,
            endpoint,
            allowed_ips: &networks?,
            persistent_keepalive: 0,
        })?;
        Ok(())
    }
}

fn time_of_day() -> Option<core::time::Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()
}
