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
//! [`Host`] is what firmware does, on both sides. A board has its radio's UDP where [`Socket`]
//! is, and statics where this crate leaks memory.

mod host;
mod relay;
mod socket;

use core::future::pending;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use async_executor::LocalExecutor;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use wg_nal::EmbassyTime;

pub use host::Host;
pub use relay::Service;
pub use socket::Socket;

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
    let board = Host::new(BOARD, GATEWAY)?;
    let gateway = Host::new(GATEWAY, GATEWAY)?;
    // The board knows where the gateway is. The gateway learns it from the board's call.
    board.add_peer(&gateway, Some(gateway.outside()))?;
    gateway.add_peer(&board, None)?;
    println!("board    {BOARD} inside, {} outside", board.outside());
    println!("gateway  {GATEWAY} inside, {} outside", gateway.outside());

    // Dropped last: what runs in it ends with the program.
    let executor = LocalExecutor::new();
    let inside = gateway.stack();
    for service in services {
        relay::spawn(&executor, inside, service)?;
    }
    let at_work = Board { stack: board.stack(), tunnel: board.tunnel(), outside: board.outside() };
    executor.spawn(gateway.run()).detach();
    executor.spawn(board.run()).detach();

    let late = Timer::after(patience);
    let outcome = select(program(at_work), late);
    match async_io::block_on(executor.run(outcome)) {
        Either::First(done) => done.with_context(|| at_work.summary()),
        Either::Second(()) => bail!("not done in {} s; {}", patience.as_secs(), at_work.summary()),
    }
}

/// Runs two tasks that do not end.
async fn both(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    select(a, b).await;
    // One that ended, on its error say, must not start the other one again.
    pending::<()>().await;
}
