//! A host inside the tunnel that is this program: TCP, UDP and names without an interface, and
//! without root. Feature `netstack`.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use wg_tokio::netstack::{Net, NetConfig};
//!
//! async fn uptime(wg_quick: &str) -> Result<String, Box<dyn std::error::Error>> {
//!     let net = Net::connect(NetConfig::of(&wg_core::config::Config::parse(wg_quick)?)).await?;
//!     let mut stream = net.tcp_connect_to("server.internal", 7).await?;
//!     stream.write_all(b"uptime\n").await?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer).await?;
//!     net.stop().await;
//!     Ok(answer)
//! }
//! ```
//!
//! [`Net`] is a tunnel with a TCP/IP stack, smoltcp, in place of an interface; both are tasks of
//! the Tokio runtime. [`TcpStream`] is what Tokio's is to hyper, axum, and whatever else takes
//! `AsyncRead + AsyncWrite`. Sockets keep the tunnel alive; it ends with the last of them, or by
//! [`Net::stop`].
//!
//! # What it does not have
//!
//! UDP datagrams longer than the tunnel's MTU: sending one is an error, and one that arrives in
//! fragments is dropped. DNS over TCP, for answers that do not fit a datagram. Selective
//! acknowledgements are given and not used, so that a lossy path is slower than the kernel's.

mod config;
mod dns;
mod driver;
mod icmp;
mod listener;
mod stack;
mod tcp;
mod udp;

use core::fmt;
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use wg_core::{Connection, Refusal};

pub use config::NetConfig;
pub use listener::TcpListener;
pub use tcp::TcpStream;
pub use udp::UdpSocket;

use crate::error::Error;
use crate::handle::{Handle, Status, Stopped};
use crate::packets::ChannelPackets;
use crate::tunnel::Tunnel;
use config::Routes;
use stack::Stack;

/// Packets between the tunnel and the stack, in each direction: 1.4 MB at most.
const PACKETS: usize = 1024;
/// How long the next address of a name waits for the one before it to answer.
const STAGGER: Duration = Duration::from_millis(250);
/// How long packets of the end, such as those that reset connections, have to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// A host inside a tunnel. Clones are the same host.
#[derive(Clone)]
pub struct Net {
    shared: Arc<Shared>,
}

/// What a host and its sockets share.
struct Shared {
    stack: Arc<Mutex<Stack>>,
    /// Told when a socket has something for the stack to do.
    wake: Arc<Notify>,
    to_tunnel: mpsc::Sender<Vec<u8>>,
    handle: Handle,
    routes: Routes,
    search: Vec<String>,
    /// Lookups at the same time.
    lookups: tokio::sync::Semaphore,
    tasks: Vec<AbortHandle>,
}

impl Net {
    /// Starts a tunnel and the host in it. There is a session once something asks for one.
    ///
    /// Must be called in a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// What [`Tunnel::new`] says, [`Error::NoAddress`], and [`Error::Resolve`] for a peer with
    /// a default route whose name has had no address for 20 seconds.
    pub async fn connect(mut config: NetConfig) -> Result<Self, Error> {
        if config.addresses.is_empty() {
            return Err(Error::NoAddress);
        }
        config.names.resolve(&mut config.tunnel.peers, |_| false).await?;
        let (packets, to_tunnel, from_tunnel) = ChannelPackets::new(PACKETS);
        let stack = Stack::new(&config, to_tunnel.clone())?;
        let (handle, tunnel) = Tunnel::new(&config.tunnel, packets, config.clock)?;
        log::info!("{} is up, on UDP port {}", stack.name(), tunnel.listen_port());
        let (stack, wake) = (Arc::new(Mutex::new(stack)), Arc::new(Notify::new()));
        let driver = driver::run(stack.clone(), wake.clone(), from_tunnel, to_tunnel.clone());
        let tasks = vec![
            tokio::spawn(async move {
                if let Err(error) = tunnel.run().await {
                    log::error!("{error}");
                }
            })
            .abort_handle(),
            tokio::spawn(driver).abort_handle(),
            tokio::spawn(config.names.follow(handle.clone())).abort_handle(),
        ];
        let routes = Routes::of(&config.tunnel);
        let lookups = tokio::sync::Semaphore::new(dns::LOOKUPS);
        let search = config.dns_search;
        let shared = Shared { stack, wake, to_tunnel, handle, routes, search, lookups, tasks };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// At once: [`NetworkUnreachable`](io::ErrorKind::NetworkUnreachable) when no peer has this
    /// address in its allowed IPs, [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) when the
    /// host has no address of this family, [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) when
    /// it has as many connections as it may have. When the answer comes:
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused),
    /// [`HostUnreachable`](io::ErrorKind::HostUnreachable). After ten seconds without one:
    /// [`TimedOut`](io::ErrorKind::TimedOut), which says whether it is the tunnel's peer that does
    /// not answer. [`NotConnected`](io::ErrorKind::NotConnected), here and in all other calls,
    /// when the tunnel has ended.
    pub async fn tcp_connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(self.shared.clone(), to).await
    }

    /// Opens a TCP connection to a host by its name, or its address. All addresses of the name are
    /// tried, each a quarter of a second after the one before it, until one answers.
    ///
    /// # Errors
    /// Those of [`lookup`](Self::lookup) and [`tcp_connect`](Self::tcp_connect).
    pub async fn tcp_connect_to(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut attempts = JoinSet::new();
        for (delay, at) in (0..).map(|turn| STAGGER * turn).zip(self.lookup(host, port).await?) {
            let net = self.clone();
            attempts.spawn(async move {
                tokio::time::sleep(delay).await;
                net.tcp_connect(at).await
            });
        }
        let mut failed = io::ErrorKind::NotFound.into();
        while let Some(attempt) = attempts.join_next().await {
            match attempt.map_err(io::Error::other)? {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Waits for TCP connections to `at`; to any of the host's addresses if it is unspecified,
    /// and to any free port if that is 0.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) and
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable).
    pub fn tcp_listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::new(self.shared.clone(), at)
    }

    /// Opens a UDP socket at `at`, as [`tcp_listen`](Self::tcp_listen) takes it. At an
    /// unspecified address it sends and receives in both families.
    ///
    /// # Errors
    /// As for [`tcp_listen`](Self::tcp_listen).
    pub fn udp_bind(&self, at: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::new(self.shared.clone(), at)
    }

    /// Asks the name servers of the configuration, inside the tunnel, for the addresses of a
    /// name, in the families that the host has. An address is its own name. A name without a dot
    /// is looked up in the search domains first.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) when there is no such name,
    /// [`TimedOut`](io::ErrorKind::TimedOut) after ten seconds without an answer,
    /// [`Unsupported`](io::ErrorKind::Unsupported) when the configuration has no name server.
    pub async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = self.shared.lookup(host).await?;
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }

    /// The host's addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.shared.stack().addresses()
    }

    /// The tunnel as it is now.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn status(&self) -> Result<Status, Stopped> {
        self.shared.handle.status().await
    }

    /// Waits until the tunnel has ended, by itself or by [`stop`](Self::stop).
    pub async fn ended(&self) {
        self.shared.to_tunnel.closed().await;
    }

    /// Resets all connections and ends the tunnel; keys are wiped and sockets closed when this
    /// returns. Whoever uses a socket of the host gets an error.
    pub async fn stop(&self) {
        self.shared.stack().reset_all();
        self.shared.wake.notify_one();
        // The tunnel has taken all when there is room for as much again.
        let all_taken = async {
            tokio::task::yield_now().await;
            let _ = self.shared.to_tunnel.reserve_many(PACKETS).await;
        };
        let _ = tokio::time::timeout(FAREWELL, all_taken).await;
        self.shared.handle.stop().await;
    }
}

impl Shared {
    /// Nothing that holds the lock panics half-way through a change.
    fn stack(&self) -> MutexGuard<'_, Stack> {
        lock(&self.stack)
    }

    /// Whether there is a way to an address, before a packet is made.
    fn check_route(&self, to: IpAddr) -> io::Result<()> {
        match self.routes.peer_for(to) {
            Some(_) => Ok(()),
            None => Err(io::Error::new(
                io::ErrorKind::NetworkUnreachable,
                format!("no peer has {to} in its AllowedIPs"),
            )),
        }
    }

    /// Why nothing came from an address: the peer before it, or the host itself.
    async fn why_silent(&self, to: IpAddr) -> String {
        let Some(peer) = self.routes.peer_for(to) else { return "no answer".into() };
        let status = self.handle.status().await;
        let connection = status.ok().and_then(|status| {
            let mut peers = status.peers.into_iter();
            Some(peers.find(|status| status.public_key == peer)?.connection)
        });
        match connection {
            Some(Connection::Blocked(Refusal::NoEndpoint)) => {
                format!("its peer {peer} has no endpoint, and did not call")
            }
            Some(Connection::Blocked(Refusal::Unanswered) | Connection::Handshaking) => {
                format!("its peer {peer} does not answer handshakes")
            }
            Some(Connection::Blocked(refusal)) => {
                format!("there is no session with its peer {peer}: {}", refusal.sentence())
            }
            _ => "no answer, though the tunnel is up".into(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn lock(stack: &Mutex<Stack>) -> MutexGuard<'_, Stack> {
    stack.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tunnel is not there any more.
fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the tunnel has ended")
}
