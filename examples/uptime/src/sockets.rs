//! The sockets of std, as the application asks for them.

extern crate std;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};

use embedded_io_async::{ErrorType, Read, Write};
use embedded_nal_async::{AddrType, Dns, TcpConnect};

/// TCP and DNS of the operating system.
///
/// They block, each call for the timeout at most: for a thread that does nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Sockets {
    timeout: Duration,
}

impl Sockets {
    /// Sockets that wait for so long, to connect, to read or to write. A timeout of zero counts
    /// as a millisecond, since std takes none.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::from_millis(1)) }
    }
}

impl TcpConnect for Sockets {
    type Error = io::Error;
    type Connection<'a> = Connection;

    async fn connect(&self, remote: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&remote, self.timeout)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        Ok(Connection(stream))
    }
}

impl Dns for Sockets {
    type Error = io::Error;

    async fn get_host_by_name(&self, host: &str, family: AddrType) -> io::Result<IpAddr> {
        let fits = |ip: &IpAddr| match family {
            AddrType::IPv4 => ip.is_ipv4(),
            AddrType::IPv6 => ip.is_ipv6(),
            AddrType::Either => true,
        };
        let found = (host, 0).to_socket_addrs()?.map(|address| address.ip()).find(fits);
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// std asks for no names.
    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A TCP connection, closed when it is dropped.
#[derive(Debug)]
pub struct Connection(TcpStream);

impl ErrorType for Connection {
    type Error = io::Error;
}

impl Read for Connection {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(timed_out)
    }
}

impl Write for Connection {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(timed_out)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Unix calls a timeout what it would call an empty socket.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}
