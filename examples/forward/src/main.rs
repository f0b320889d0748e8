//! Two boards, each the gateway between its LAN and a tunnel, and hosts that know of neither.
//!
//! ```text
//!   host 192.168.1.2 -- board ==== WireGuard ==== board -- host 192.168.2.2 -- echo server
//! ```
//!
//! The LANs carry packets of 1500 bytes, the tunnel 1420. Connections get through because the
//! boards lower the segment size that they ask for, and whoever sends longer packets is told.

mod forwarding;
mod lan;
mod traffic;

use core::net::IpAddr;
use std::net::TcpListener;
use std::thread;

use anyhow::{Result, bail};
use async_executor::LocalExecutor;
use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_time::Timer;
use gateway::{Service, Tunnel};
use wg_nal::Router;

use crate::forwarding::forward;
use crate::lan::Lan;
use crate::traffic::{PORT, connect, echo, exceed};

const PATIENCE: u64 = 30;

fn main() -> Result<()> {
    let executor = LocalExecutor::new();
    let (near, far) = (Lan(1), Lan(2));
    let (left, right) = (Tunnel::new()?, Tunnel::new()?);
    left.add_peer(&right, Some(right.outside), &far.networks().each_ref().map(|it| &**it))?;
    right.add_peer(&left, None, &near.networks().each_ref().map(|it| &**it))?;
    let here = site(&executor, &near, left);
    let there = site(&executor, &far, right);

    let server = TcpListener::bind("127.0.0.1:0")?;
    let service = Service::Tcp { port: PORT, server: server.local_addr()? };
    thread::spawn(move || echo(&server));
    gateway::serve(&executor, there, service)?;

    let work = async {
        for there in [IpAddr::V4(far.v4(2)), IpAddr::V6(far.v6(2))] {
            connect(here, there).await?;
            exceed(here, there).await?;
        }
        Ok(())
    };
    let late = Timer::after_secs(PATIENCE);
    match async_io::block_on(executor.run(select(work, late))) {
        Either::First(done) => done,
        Either::Second(()) => bail!("not done in {PATIENCE} s"),
    }
}

/// Starts a board and the host on its LAN.
fn site(executor: &LocalExecutor<'_>, lan: &Lan, mut tunnel: Tunnel) -> Stack<'static> {
    let tunnel_mtu = u16::try_from(tunnel.interface.mtu()).unwrap_or(u16::MAX);
    let router = Router { v4: lan.v4(1), v6: lan.v6(1), tunnel_mtu };
    let (stack, mut host, wire) = lan.host();
    println!("board    {} and {}, MTU {tunnel_mtu} into the tunnel", router.v4, router.v6);
    executor.spawn(forward(router, tunnel.interface, wire)).detach();
    executor.spawn(async move { tunnel.runner.run().await }).detach();
    executor.spawn(async move { host.run().await }).detach();
    stack
}
