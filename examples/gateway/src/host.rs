//! A host with nothing but a tunnel: WireGuard below, and a network stack in it.

use std::net::Ipv4Addr;

use anyhow::{Result, anyhow};
use embassy_net::{Config, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use getrandom::{SysRng, rand_core::TryRng};
use wg_nal::Interface;

use crate::tunnel::Runner;

/// What drives a stack.
pub(crate) type StackRunner = embassy_net::Runner<'static, Interface<'static>>;

/// An ordinary stack of embassy-net in a tunnel, with this address. It asks `dns` for names.
///
/// # Errors
/// No random numbers.
pub(crate) fn stack_in(
    interface: Interface<'static>,
    address: Ipv4Addr,
    dns: Ipv4Addr,
) -> Result<(Stack<'static>, StackRunner)> {
    let config = Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(address, 24),
        gateway: None,
        dns_servers: [dns].into_iter().collect(),
    });
    // In firmware, a static.
    let memory = Box::leak(Box::new(StackResources::<24>::new()));
    let seed = SysRng.try_next_u64().map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(embassy_net::new(interface, config, memory, seed))
}

/// Drives a tunnel and the stack in it. In firmware each is a task of its own.
pub(crate) async fn run(mut tunnel: Runner, mut stack: StackRunner) {
    embassy_futures::join::join(tunnel.run(), async { stack.run().await }).await;
}
