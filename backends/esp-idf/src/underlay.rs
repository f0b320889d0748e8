//! The UDP sockets beneath the tunnel, and the interface that they are bound to.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::outbound::Outbound;

/// By which way the tunnel's own datagrams go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Underlay {
    /// The interface that is lwIP's default one, or was before the tunnel became it. When that
    /// changes, say from station to Ethernet, the tunnel follows with the next datagram. On
    /// Linux, any.
    #[default]
    Default,
    /// Whatever interface the system's routes lead to. With a default route into the tunnel,
    /// that is the tunnel itself, where it leads nowhere.
    Any,
    /// The interface of this name: on ESP-IDF st1 (station), ap2, en3, pp4 and so on. One that
    /// goes and comes back under its name is found again.
    Interface(String),
    /// The interface with this address, where the stack binds no sockets to interfaces.
    Address(IpAddr),
}

impl fmt::Display for Underlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default interface"),
            Self::Any => f.write_str("any interface"),
            Self::Interface(name) => write!(f, "the interface {name}"),
            Self::Address(address) => write!(f, "the address {address}"),
        }
    }
}

/// A socket for each family that the system has, on one port.
pub(crate) struct Sockets {
    sockets: Vec<UdpSocket>,
    port: u16,
    /// The interface that was the default one, where that is known.
    bound: Option<String>,
}

/// How the default interface is found; `None` where there is none, or nobody can tell.
pub(crate) type DefaultInterface = fn() -> Option<String>;

/// lwIP's default interface, our own aside.
#[cfg(target_os = "espidf")]
pub(crate) fn default_interface() -> Option<String> {
    Some(crate::netif::default_interface()).filter(|name| !name.is_empty())
}

/// A host's routes say where datagrams go.
#[cfg(not(target_os = "espidf"))]
pub(crate) fn default_interface() -> Option<String> {
    None
}

impl Sockets {
    /// Opens them on `port`, 0 for any.
    pub(crate) fn open(
        underlay: &Underlay,
        default_interface: DefaultInterface,
        port: u16,
    ) -> io::Result<Self> {
        let bound = match underlay {
            // There may be none yet: then it is whatever there is when a datagram is sent.
            Underlay::Default => default_interface(),
            _ => None,
        };
        let interface = match underlay {
            Underlay::Interface(name) => Some(name),
            _ => bound.as_ref(),
        };
        let addresses: &[IpAddr] = match underlay {
            Underlay::Address(address) => &[*address],
            _ => &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        };
        let mut opened = Self { sockets: Vec::new(), port, bound: None };
        let mut refusal = None;
        for address in addresses {
            match open(interface, SocketAddr::new(*address, opened.port)) {
                Ok(socket) => {
                    opened.port = socket.local_addr()?.port();
                    opened.sockets.push(socket);
                }
                // A system without IPv6, or without IPv4, has one socket.
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        match refusal {
            Some(error) if opened.sockets.is_empty() => Err(error),
            _ => Ok(Self { bound, ..opened }),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether the default interface that they were bound to is another one now.
    pub(crate) fn are_left_behind(
        &self,
        underlay: &Underlay,
        default_interface: DefaultInterface,
    ) -> bool {
        *underlay == Underlay::Default && self.bound != default_interface()
    }

    /// Closes them, and keeps the port's number.
    pub(crate) fn close(&mut self) {
        self.sockets.clear();
    }

    /// Sends a datagram, or says why not.
    pub(crate) fn send(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let same_family = |socket: &&UdpSocket| {
            socket.local_addr().is_ok_and(|local| local.is_ipv4() == to.is_ipv4())
        };
        let socket = self.sockets.iter().find(same_family);
        let socket = socket.ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.send_to(datagram, to).map(drop)
    }

    /// How many sockets there are, to receive from by number.
    pub(crate) fn count(&self) -> usize {
        self.sockets.len()
    }

    /// Takes a datagram; `None` when there is none now.
    pub(crate) fn receive(
        &self,
        number: usize,
        buffer: &mut [u8],
    ) -> io::Result<Option<(usize, SocketAddr)>> {
        let Some(socket) = self.sockets.get(number) else { return Ok(None) };
        match socket.recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            // Refused: an answer to an earlier datagram, which was lost.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for a datagram, for `outbound`, or for so long.
    pub(crate) fn wait(&self, outbound: &Outbound, timeout: Option<Duration>) {
        let bell = core::iter::once(PollFd::new(outbound.bell(), PollFlags::IN));
        let sockets = self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN));
        let mut fds: Vec<_> = bell.chain(sockets).collect();
        let timeout = timeout.map(|timeout| {
            // Rounded up: a wait that is too short by a fraction would be made again and again.
            let millis = timeout.as_micros().div_ceil(1000);
            let millis = i64::try_from(millis).unwrap_or(i64::MAX);
            Timespec { tv_sec: (millis / 1000) as _, tv_nsec: (millis % 1000 * 1_000_000) as _ }
        });
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, timeout.as_ref());
        if fds.first().is_some_and(|bell| bell.revents().contains(PollFlags::IN)) {
            outbound.hush();
        }
    }
}

fn open(interface: Option<&String>, at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if let Some(name) = interface {
        bind_to_interface(&socket, name)?;
    }
    socket.bind(&at.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(target_os = "espidf")]
fn bind_to_interface(socket: &Socket, name: &str) -> io::Result<()> {
    crate::netif::bind_socket(socket, name)
}

#[cfg(target_os = "linux")]
fn bind_to_interface(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(any(target_os = "espidf", target_os = "linux")))]
fn bind_to_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_share_a_port_and_a_wait_ends_with_a_datagram() {
        let sockets = Sockets::open(&Underlay::Any, default_interface, 0).unwrap();
        let outbound = Outbound::new(1420).unwrap();
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(friend) = UdpSocket::bind(local) else { continue };
            let to = SocketAddr::new(friend.local_addr().unwrap().ip(), sockets.port());
            friend.send_to(b"hello", to).unwrap();
            sockets.wait(&outbound, Some(Duration::from_secs(5)));
            let mut buffer = [0; 16];
            let received = (0..sockets.count())
                .find_map(|number| sockets.receive(number, &mut buffer).unwrap());
            assert_eq!(received, Some((5, friend.local_addr().unwrap())));
        }
    }

    #[test]
    fn a_wake_ends_a_wait_once() {
        let sockets = Sockets::open(&Underlay::Any, default_interface, 0).unwrap();
        let outbound = Outbound::new(1420).unwrap();
        outbound.wake();
        let start = std::time::Instant::now();
        sockets.wait(&outbound, Some(Duration::from_secs(60)));
        assert!(start.elapsed() < Duration::from_secs(30));
        sockets.wait(&outbound, Some(Duration::from_millis(30)));
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        let underlay = Underlay::Interface("nosuchif".into());
        assert!(Sockets::open(&underlay, default_interface, 0).is_err());
    }
}
