//! The tunnel, as firmware makes it.

use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::{Context, Result};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_nal::wg_core::{Increasing, PresharedKey, PrivateKey};
use wg_nal::{EmbassyTime, Handle, Interface, LinkPolicy, Peer, Resources};

use crate::socket::Socket;

type Clock = Increasing<fn() -> Option<core::time::Duration>>;
pub(crate) type Runner = wg_nal::Runner<'static, Socket, UnwrapErr<SysRng>, Clock, EmbassyTime>;

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
    /// No socket.
    pub fn new() -> Result<Self> {
        let socket = Socket::bind().context("cannot bind a UDP socket on 127.0.0.1")?;
        let outside = socket.address()?;

        // Room for one peer and three allowed IPs. In firmware the resources are a static.
        let resources: &mut Resources<'_, 1, 3> = Box::leak(Box::new(Resources::new()));
        let clock: Clock = Increasing::new(time_of_day, None);
        let rng = UnwrapErr(SysRng);
        let (mut interface, handle, runner) =
            wg_nal::new(resources, socket, rng, clock, EmbassyTime);
        interface.set_link_policy(LinkPolicy::AlwaysUp);
        let key = PrivateKey::generate(&mut UnwrapErr(SysRng));
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
