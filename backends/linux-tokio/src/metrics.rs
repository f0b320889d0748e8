//! Numbers of a tunnel, for Prometheus to collect.

mod text;

use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::handle::Handle;

/// Whoever asks has so long for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest request.
const LONGEST: usize = 4096;
/// As many are answered at once.
const CLIENTS: usize = 16;
/// A socket that cannot take clients is left alone for so long.
const RECOVERY: Duration = Duration::from_millis(200);

/// A loopback address at which a tunnel's numbers are read, by `GET /metrics`.
#[derive(Debug)]
pub struct Metrics {
    listener: TcpListener,
    interface: String,
}

impl Metrics {
    /// Opens the socket. Must be called in a Tokio runtime with I/O.
    ///
    /// # Errors
    /// [`Error::Metrics`]: no loopback address, or one that cannot be had.
    pub async fn open(interface: &str, address: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Metrics { address, source };
        if !address.ip().is_loopback() {
            let why = "everybody could read who talks to whom: name a loopback address";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self { listener, interface: interface.into() })
    }

    /// Answers whoever asks. Never ends, and may be dropped at any time.
    pub async fn serve(&self, tunnel: &Handle) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok((client, _)) => {
                        let (tunnel, interface) = (tunnel.clone(), self.interface.clone());
                        clients.spawn(async move {
                            let answered = answer(client, &tunnel, &interface);
                            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, answered).await {
                                log::debug!("a reader of metrics: {error}");
                            }
                        });
                    }
                    Err(error) => {
                        log::warn!("cannot take a reader of metrics: {error}");
                        tokio::time::sleep(RECOVERY).await;
                    }
                },
                Some(_) = clients.join_next() => {}
            }
        }
    }
}

async fn answer(mut client: TcpStream, tunnel: &Handle, interface: &str) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 512];
        let count = client.read(&mut buffer).await?;
        if count == 0 || request.len() + count > LONGEST {
            return Ok(());
        }
        request.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    let is_ours = request.starts_with(b"GET /metrics ") || request.starts_with(b"GET / ");
    let (status, body) = match tunnel.status().await {
        Ok(status) if is_ours => ("200 OK", text::of(interface, &status)),
        Ok(_) => ("404 Not Found", "the numbers are at /metrics\n".into()),
        Err(_) => ("503 Service Unavailable", "the tunnel has ended\n".into()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await
}
