//! A board and the gateway at the other end of its tunnel, in one process without root.
//!
//! ```text
//!   a program with its client            a real server
//!   embassy_net::Stack, 10.77.0.2        127.0.0.1
//!   wg_nal::Interface                    relay
//!   wg_nal::Runner                       embassy_net::Stack, 10.77.0.1
//!   UDP socket  ---- WireGuard, over this machine's loopback ----  the same
//! ```
//!
//! [`Tunnel`] is what firmware does, on both sides. A board has its radio's UDP where this crate
//! has the operating system's, and statics where it leaks memory.

mod host;
mod relay;
mod tunnel;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use async_executor::LocalExecutor;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use wg_nal::EmbassyTime;

pub use relay::{Service, serve};
pub use tunnel::Tunnel;

/// The gateway inside the tunnel. It serves the [`Service`]s.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The board inside the tunnel.
pub const BOARD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// What a program has on the board.
#[derive(Clone, Copy)]
pub struct Board {
    /// The stack inside the tunnel, for any client.
    pub stack: embassy_net::Stack<'static>,
    /// The tunnel's controls.
    pub tunnel: wg_nal::Handle<'static, EmbassyTime>,
    /// Where its datagrams arrive.
    pub outside: SocketAddr,
}

impl Board {
    /// A line about the tunnel: what went through it, and what did not.
    pub fn summary(&self) -> String {
        let mut line = String::from("tunnel:");
        self.tunnel.for_each_peer(|_, peer| {
            line += &format!(
                " {:?}, {} bytes sent, {} received, handshakes included",
                peer.connection, peer.sent_bytes, peer.received_bytes
            );
        });
        for (refusal, times) in self.tunnel.refusals().iter() {
            line += &format!("; {times} times {refusal}");
        }
        line
    }
}

/// Runs `program` on a board whose gateway offers `services`.
///
/// # Errors
/// The program's, and that it was not done in `patience`.
pub fn run<A>(
    services: Vec<Service>,
    patience: Duration,
    program: impl AsyncFnOnce(Board) -> Result<A>,
) -> Result<A> {
    let (board, gateway) = (Tunnel::new()?, Tunnel::new()?);
    // The board knows where the gateway is. The gateway learns it from the board's call.
    board.add_peer(&gateway, Some(gateway.outside), &["10.77.0.1/32"])?;
    gateway.add_peer(&board, None, &["10.77.0.2/32"])?;
    println!("board    {BOARD} inside, {} outside", board.outside);
    println!("gateway  {GATEWAY} inside, {} outside", gateway.outside);

    let (stack, stack_runner) = host::stack_in(board.interface, BOARD, GATEWAY)?;
    let at_work = Board { stack, tunnel: board.handle, outside: board.outside };
    // Dropped last: what runs in it ends with the program.
    let executor = LocalExecutor::new();
    executor.spawn(host::run(board.runner, stack_runner)).detach();
    let (stack, stack_runner) = host::stack_in(gateway.interface, GATEWAY, GATEWAY)?;
    executor.spawn(host::run(gateway.runner, stack_runner)).detach();
    for service in services {
        serve(&executor, stack, service)?;
    }

    let late = Timer::after(patience);
    let outcome = select(program(at_work), late);
    match async_io::block_on(executor.run(outcome)) {
        Either::First(done) => done.with_context(|| at_work.summary()),
        Either::Second(()) => bail!("not done in {} s; {}", patience.as_secs(), at_work.summary()),
    }
}
