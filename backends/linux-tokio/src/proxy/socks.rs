//! SOCKS5: TCP connections and UDP associations, without a password.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use fast_socks5::server::{NoAuthentication, Socks5ServerProtocol, states};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command, new_udp_header, parse_udp_request};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};

use super::address::Remote;
use super::relay::{REQUEST_TIMEOUT, Relay, relay};
use super::told::Told;

/// Names whose addresses an association remembers.
const NAMES: usize = 64;

type Asked = Socks5ServerProtocol<TcpStream, states::CommandRead>;

impl Relay {
    /// Answers one client.
    pub(super) async fn socks(&self, client: TcpStream) -> io::Result<()> {
        let here = client.local_addr()?;
        let there = client.peer_addr()?;
        let asked = async {
            let opened = Socks5ServerProtocol::start(client);
            let authenticated = opened.negotiate_auth(&[NoAuthentication]).await?;
            Socks5ServerProtocol::finish_auth(authenticated).read_command().await
        };
        let asked = tokio::time::timeout(REQUEST_TIMEOUT, asked).await;
        let (asked, command, to) = match asked {
            Ok(asked) => asked.map_err(io::Error::other)?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        match command {
            Socks5Command::TCPConnect => self.connect(asked, remote(to)).await,
            Socks5Command::UDPAssociate => self.associate(asked, here, there).await,
            Socks5Command::TCPBind => {
                asked.reply_error(&ReplyError::CommandNotSupported).await.map_err(io::Error::other)
            }
        }
    }

    async fn connect(&self, asked: Asked, to: Remote) -> io::Result<()> {
        match self.net.tcp_connect_to(&to.host, to.port).await {
            Ok(stream) => {
                let client = asked.reply_success(stream.local_addr()).await;
                relay(client.map_err(io::Error::other)?, stream).await
            }
            Err(error) => {
                self.complain(&to, &error);
                let told = Told::of(&error).socks;
                asked.reply_error(&told).await.map_err(io::Error::other)
            }
        }
    }

    /// Carries datagrams while the client keeps its connection.
    async fn associate(&self, asked: Asked, here: SocketAddr, there: SocketAddr) -> io::Result<()> {
        let outside = UdpSocket::bind((here.ip(), 0)).await;
        let inside = self.net.udp_bind(SocketAddr::new([0; 8].into(), 0));
        let (outside, inside) = match (outside, inside) {
            (Ok(outside), Ok(inside)) => (outside, inside),
            (Err(error), _) | (_, Err(error)) => {
                self.complaints.write(|| format!("no UDP for {there}: {error}"));
                let told = ReplyError::GeneralFailure;
                return asked.reply_error(&told).await.map_err(io::Error::other);
            }
        };
        let replied = asked.reply_success(outside.local_addr()?).await;
        let mut control = replied.map_err(io::Error::other)?;
        let mut addresses = HashMap::new();
        // The client's port is the first from its address that sends.
        let mut client = None;
        let mut word = [0; 64];
        let mut request = vec![0; usize::from(u16::MAX)];
        let mut answer = vec![0; usize::from(u16::MAX)];
        loop {
            tokio::select! {
                read = control.read(&mut word) => if read.unwrap_or(0) == 0 { return Ok(()) },
                received = outside.recv_from(&mut request) => {
                    // An error is that of a datagram before, whose receiver was not there.
                    let Ok((length, from)) = received else { continue };
                    if from.ip() == there.ip() && *client.get_or_insert(from) == from {
                        let request = request.get(..length).unwrap_or_default();
                        self.send(&inside, request, &mut addresses).await;
                    }
                }
                received = inside.recv_from(&mut answer) => {
                    let (length, from) = received?;
                    let Some(client) = client else { continue };
                    let mut datagram = new_udp_header(from).map_err(io::Error::other)?;
                    datagram.extend_from_slice(answer.get(..length).unwrap_or_default());
                    // As lossy as any UDP.
                    let _ = outside.send_to(&datagram, client).await;
                }
            }
        }
    }

    /// Sends a datagram where its header says, if that can be.
    async fn send(
        &self,
        inside: &wg_tokio::netstack::UdpSocket,
        request: &[u8],
        addresses: &mut HashMap<(String, u16), SocketAddr>,
    ) {
        // Fragments are optional, and nobody sends them.
        let Ok((0, to, datagram)) = parse_udp_request(request).await else { return };
        let to = remote(to);
        let key = (to.host.clone(), to.port);
        let known = addresses.get(&key).copied();
        let sent = async {
            let at = match known {
                Some(at) => at,
                None => {
                    let found = self.net.lookup(&to.host, to.port).await?;
                    *found.first().ok_or(io::ErrorKind::NotFound)?
                }
            };
            inside.send_to(datagram, at).await.map(|()| at)
        };
        match sent.await {
            Ok(at) => {
                if known.is_none() && addresses.len() == NAMES {
                    addresses.clear();
                }
                addresses.insert(key, at);
            }
            Err(error) => self.complain(&to, &error),
        }
    }
}

fn remote(to: TargetAddr) -> Remote {
    match to {
        TargetAddr::Ip(at) => Remote { host: at.ip().to_string(), port: at.port() },
        TargetAddr::Domain(host, port) => Remote { host, port },
    }
}
