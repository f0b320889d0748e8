//! The tunnel as the firmware holds it.

use core::fmt::Display;
#[cfg(any(target_os = "espidf", wg_host_lwip))]
use core::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use wg_core::PublicKey;
use wg_core::rand_core::CryptoRng;
use wg_nal::Timestamps;

use crate::clock::Clock;
use crate::engine::{Command, Engine, Inside, System};
use crate::error::Error;
use crate::outbound::Outbound;
use crate::settings::{Host, Settings};
use crate::status::Status;
use crate::underlay::Underlay;

/// The stack of the tunnel's thread, in bytes, on ESP-IDF. Builds without optimisation on a
/// 64-bit machine get more.
///
/// The thread was seen to take 5.3 KB of it, built for size on 32-bit x86 without vectors, with
/// handshakes both ways, lwIP's ways in and out, and the log formatted: `cargo xtask lwip` measures
/// that, and that it stays below half. The other half is for what is not there: the console's
/// printf, ESP-IDF's NVS and the drivers beneath lwIP.
pub const STACK_SIZE: usize = 12 * 1024;

const STACK: usize = if cfg!(target_os = "espidf") { STACK_SIZE } else { 256 * 1024 };

/// A WireGuard tunnel, running until [`stop`](Self::stop) or until it is dropped.
///
/// None of its methods may be called from lwIP's thread, or under lwIP's core lock: the
/// tunnel's thread may need it before it answers.
#[derive(Debug)]
pub struct Tunnel {
    outbound: Arc<Outbound>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// Starts a tunnel with one peer that all of IPv4 goes through, with the arguments that the
    /// Arduino library takes, in its order.
    ///
    /// It returns at once: neither the endpoint's name nor the time need to be known. Timestamps
    /// are kept in NVS, see [`nvs_clock`](crate::nvs_clock), and random numbers are those of
    /// [`random`](crate::random), whose rule about entropy is this function's too.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    #[cfg(any(target_os = "espidf", wg_host_lwip))]
    pub fn begin(
        local_ip: IpAddr,
        private_key: &str,
        endpoint_address: &str,
        public_key: &str,
        endpoint_port: u16,
    ) -> Result<Self, Error> {
        let settings =
            Settings::new(local_ip, private_key, endpoint_address, public_key, endpoint_port)?;
        Self::start(settings, crate::nvs_clock(), crate::random()?)
    }

    /// Starts a tunnel whose inside is a lwIP interface.
    ///
    /// # Errors
    /// Nothing is left behind by one. A tunnel that runs already goes on: beginning it twice is
    /// [`Error::Netif`] with [`AddressInUse`](crate::AddError::AddressInUse).
    #[cfg(any(target_os = "espidf", wg_host_lwip))]
    pub fn start(
        settings: Settings,
        clock: impl Timestamps<Error: Display> + Send + 'static,
        rng: impl CryptoRng + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start_with(settings, clock, rng, |settings, outbound| {
            crate::Netif::add(settings, outbound).map_err(Error::Netif)
        })
    }

    /// Starts a tunnel with another inside than lwIP's, which `inside` makes: it puts packets
    /// for the tunnel into the [`Outbound`].
    ///
    /// # Errors
    /// Those of `inside`, and of opening sockets and threads.
    pub fn start_with<I: Inside + 'static>(
        settings: Settings,
        clock: impl Timestamps<Error: Display> + Send + 'static,
        rng: impl CryptoRng + Send + 'static,
        inside: impl FnOnce(&Settings, Arc<Outbound>) -> Result<I, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        Self::spawn(settings, Box::new(clock), Box::new(rng), System::HERE, inside)
    }

    fn spawn<I: Inside + 'static>(
        settings: Settings,
        clock: Box<dyn Clock>,
        rng: Box<dyn CryptoRng + Send>,
        system: System,
        inside: impl FnOnce(&Settings, Arc<Outbound>) -> Result<I, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let outbound = Arc::new(Outbound::new(settings.mtu).map_err(Error::Wake)?);
        let (commands, orders) = channel();
        let (started, starting) = sync_channel(1);
        let queue = Arc::clone(&outbound);
        // All of it in the thread: the caller's stack may be too small for an X25519.
        let work = move || match set_up(settings, queue, clock, rng, system, inside) {
            Ok((engine, mut inside)) => {
                let _ = started.send(Ok(()));
                engine.run(&mut *inside, &orders);
            }
            Err(error) => drop(started.send(Err(error))),
        };
        let thread = thread::Builder::new()
            .name("wireguard".into())
            .stack_size(STACK)
            .spawn(work)
            .map_err(Error::Thread)?;
        let mut tunnel = Self { outbound, commands, thread: Some(thread) };
        match starting.recv() {
            Ok(Ok(())) => Ok(tunnel),
            Ok(Err(error)) => {
                tunnel.stop();
                Err(error)
            }
            Err(_) => Err(Error::Stopped),
        }
    }

    /// Ends the tunnel: the thread has ended, the interface is gone, what it changed in lwIP is
    /// as before, sockets are closed and keys are wiped when it returns. Twice is once.
    ///
    /// It takes as long as what the thread does right now, a handshake at most. Connections
    /// through the tunnel are aborted.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.commands.send(Command::Stop);
            self.outbound.wake();
            // It does not panic; if it did, it has ended all the same.
            let _ = thread.join();
        }
    }

    /// The tunnel as it is now: sessions, counters, and the reason when there is no handshake.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn status(&self) -> Result<Status, Error> {
        self.ask(Command::Status)
    }

    /// Has the tunnel's datagrams go by another way from now on. Sessions go on: the peer learns
    /// the new address from the next datagram.
    ///
    /// # Errors
    /// [`Error::Underlay`]: it is as before. [`Error::Stopped`].
    pub fn set_underlay(&self, underlay: Underlay) -> Result<(), Error> {
        self.ask(|answer| Command::SetUnderlay(underlay, answer))?
    }

    /// Says where a peer is: a name, or an address. An unknown peer is ignored.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn set_endpoint(&self, peer: PublicKey, host: Host) -> Result<(), Error> {
        self.ask(|answer| Command::SetEndpoint(peer, host, answer))
    }

    /// Has a peer hear from us after so many seconds of silence, 0 for never. An unknown peer is
    /// ignored.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn set_persistent_keepalive(&self, peer: PublicKey, seconds: u16) -> Result<(), Error> {
        self.ask(|answer| Command::SetPersistentKeepalive(peer, seconds, answer))
    }

    fn ask<A>(&self, command: impl FnOnce(SyncSender<A>) -> Command) -> Result<A, Error> {
        let (answer, answers): (_, Receiver<A>) = sync_channel(1);
        if self.thread.is_none() {
            return Err(Error::Stopped);
        }
        self.commands.send(command(answer)).map_err(|_| Error::Stopped)?;
        self.outbound.wake();
        answers.recv().map_err(|_| Error::Stopped)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes what the thread runs. Not inlined, so that the stack that it takes is free afterwards;
/// boxed, because a thread's stack is for calls.
#[inline(never)]
fn set_up<I: Inside>(
    settings: Settings,
    outbound: Arc<Outbound>,
    clock: Box<dyn Clock>,
    rng: Box<dyn CryptoRng + Send>,
    system: System,
    inside: impl FnOnce(&Settings, Arc<Outbound>) -> Result<I, Error>,
) -> Result<(Box<Engine>, Box<I>), Error> {
    let engine = Engine::new(&settings, Arc::clone(&outbound), clock, rng, system)?;
    // The private key is in its place, and with the settings' end in no other.
    Ok((engine, Box::new(inside(&settings, outbound)?)))
}

#[cfg(test)]
mod tests;
