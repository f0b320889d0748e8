//! Clients, and the bytes between them and the tunnel.

use core::fmt::Display;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wg_tokio::netstack::{self, Net};

use super::address::Remote;
use super::complaints::Complaints;

/// Clients at a time, from both sides of the tunnel together.
pub(super) const MOST_CLIENTS: usize = 256;
/// How long a client may take to say what it wants.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes on their way through this program, in each direction of a connection.
const BUFFER: usize = 64 * 1024;
/// A listener that fails, for want of descriptors for one, is left alone for so long.
const RECOVERY: Duration = Duration::from_millis(200);

/// The version that every SOCKS5 client begins with; no HTTP method does.
const SOCKS5: u8 = 5;

/// What all clients share.
pub(super) struct Relay {
    pub(super) net: Net,
    pub(super) complaints: Complaints,
    places: Arc<Semaphore>,
}

impl Relay {
    pub(super) fn new(net: Net, complaints: Complaints) -> Self {
        Self { net, complaints, places: Arc::new(Semaphore::new(MOST_CLIENTS)) }
    }

    /// Answers SOCKS5 and HTTP clients, whichever they are.
    pub(super) async fn answer(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (client, place) = self.accept(&listener).await;
            let relay = self.clone();
            tokio::spawn(async move {
                let _place = place;
                let mut first = [0];
                let peeked = tokio::time::timeout(REQUEST_TIMEOUT, client.peek(&mut first)).await;
                let done = match peeked {
                    Ok(Ok(1)) if first == [SOCKS5] => relay.socks(client).await,
                    Ok(Ok(1)) => relay.http(client).await,
                    // It left, or said nothing.
                    _ => Ok(()),
                };
                tell(done);
            });
        }
    }

    /// Connects clients of a port with a host in the tunnel.
    pub(super) async fn forward(self: Arc<Self>, listener: TcpListener, to: Remote) {
        loop {
            let (client, place) = self.accept(&listener).await;
            let (relay, to) = (self.clone(), to.clone());
            tokio::spawn(async move {
                let _place = place;
                match relay.net.tcp_connect_to(&to.host, to.port).await {
                    Ok(stream) => tell(self::relay(client, stream).await),
                    Err(error) => {
                        relay.complain(&to, &error);
                        reset(client);
                    }
                }
            });
        }
    }

    /// Connects clients in the tunnel with a port of this machine.
    pub(super) async fn expose(self: Arc<Self>, listener: netstack::TcpListener, to: SocketAddr) {
        // Its error is the tunnel's end.
        while let Ok((client, from)) = listener.accept().await {
            let Some(place) = self.place(from) else { continue };
            let relay = self.clone();
            tokio::spawn(async move {
                let _place = place;
                match TcpStream::connect(to).await {
                    Ok(stream) => tell(self::relay(stream, client).await),
                    Err(error) => relay.complain(to, &error),
                }
            });
        }
    }

    /// Writes to the log why somebody could not be reached.
    pub(super) fn complain(&self, to: impl Display, error: &io::Error) {
        self.complaints.write(|| format!("cannot reach {to}: {error}"));
    }

    /// The next client for which there is a place. Others are reset.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            match listener.accept().await {
                Ok((client, from)) => match self.place(from) {
                    Some(place) => return (client, place),
                    None => reset(client),
                },
                Err(error) => {
                    self.complaints.write(|| format!("cannot accept a client: {error}"));
                    tokio::time::sleep(RECOVERY).await;
                }
            }
        }
    }

    fn place(&self, from: SocketAddr) -> Option<OwnedSemaphorePermit> {
        let place = self.places.clone().try_acquire_owned().ok();
        if place.is_none() {
            self.complaints
                .write(|| format!("refused {from}: there are {MOST_CLIENTS} clients already"));
        }
        place
    }
}

/// Carries bytes in both directions until both have ended.
pub(super) async fn relay(
    mut client: TcpStream,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut stream, BUFFER, BUFFER).await?;
    Ok(())
}

/// Ends a connection so that its other end knows that nothing will come of it.
fn reset(client: TcpStream) {
    // Otherwise it is closed, which says nearly as much.
    let _ = client.set_zero_linger();
}

/// A connection that is cut off is no news, but for somebody who looks for a reason.
fn tell(done: io::Result<()>) {
    if let Err(error) = done {
        log::debug!("a connection ended: {error}");
    }
}
