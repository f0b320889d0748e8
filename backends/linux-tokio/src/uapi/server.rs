//! The socket that `wg` finds an interface by.

use core::time::Duration;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

use nix::errno::Errno;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use zeroize::{Zeroize, Zeroizing};

use super::{Parser, Request};
use crate::error::Error;
use crate::handle::Handle;

/// Where `wg` looks.
const DIRECTORY: &str = "/var/run/wireguard";
/// The longest line is a key's, an endpoint's or a prefix's, and shorter by far.
const LONGEST_LINE: u64 = 4096;
/// A request of a hundred thousand peers with ten prefixes each.
const LONGEST_REQUEST: usize = 64 << 20;
/// A socket that cannot take clients is left alone for so long.
const RECOVERY: Duration = Duration::from_millis(200);

/// A socket by which programs configure a tunnel: `/var/run/wireguard/INTERFACE.sock`. It is
/// removed when this is dropped.
#[derive(Debug)]
pub struct Uapi {
    listener: UnixListener,
    path: PathBuf,
}

impl Uapi {
    /// Opens the socket of an interface, for its owner alone. What a killed program left is
    /// taken away.
    ///
    /// # Errors
    /// [`Error::Uapi`], which says so when another program serves this interface.
    pub fn open(interface: &str) -> Result<Self, Error> {
        let path = PathBuf::from(DIRECTORY).join(format!("{interface}.sock"));
        let failed = |source| Error::Uapi { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(DIRECTORY).map_err(failed)?;
        let listener = match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // Somebody answers, or the file is all that is left.
                if std::os::unix::net::UnixStream::connect(&path).is_ok() {
                    return Err(failed(error));
                }
                fs::remove_file(&path).and_then(|()| UnixListener::bind(&path))
            }
            bound => bound,
        };
        let listener = listener.map_err(failed)?;
        let uapi = Self { listener, path };
        fs::set_permissions(&uapi.path, fs::Permissions::from_mode(0o600))
            .map_err(|source| Error::Uapi { path: uapi.path.clone(), source })?;
        Ok(uapi)
    }

    /// Serves clients, any number at once. Never ends; may be dropped at any time.
    pub async fn serve(&self, tunnel: &Handle) {
        loop {
            match self.listener.accept().await {
                Ok((client, _)) => {
                    let tunnel = tunnel.clone();
                    tokio::spawn(async move {
                        if let Err(error) = serve(client, &tunnel).await {
                            log::debug!("a client of the configuration socket: {error}");
                        }
                    });
                }
                Err(error) => {
                    log::warn!("cannot take a client of {}: {error}", self.path.display());
                    tokio::time::sleep(RECOVERY).await;
                }
            }
        }
    }
}

impl Drop for Uapi {
    fn drop(&mut self) {
        // It may be gone with its directory.
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers a client until it closes, or says what cannot be understood.
async fn serve(client: UnixStream, tunnel: &Handle) -> io::Result<()> {
    let (requests, mut answers) = client.into_split();
    let mut requests = BufReader::new(requests);
    let mut parser = Parser::default();
    let (mut line, mut length) = (Zeroizing::new(Vec::new()), 0);
    loop {
        line.zeroize();
        let read = (&mut requests).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(());
        }
        length += read;
        let text = line.strip_suffix(b"\n").and_then(|line| core::str::from_utf8(line).ok());
        let Some(text) = text.filter(|_| length <= LONGEST_REQUEST) else {
            return answers.write_all(&errno(Errno::EINVAL)).await;
        };
        let Some(request) = parser.line(text) else { continue };
        length = 0;
        let outcome = match request {
            Ok(Request::Get) => match tunnel.describe().await {
                Ok(text) => {
                    answers.write_all(text.as_bytes()).await?;
                    Ok(())
                }
                Err(_) => Err(Errno::EIO),
            },
            Ok(Request::Set(transaction)) => tunnel.configure(transaction).await,
            Err(errno) => Err(errno),
        };
        match outcome {
            Ok(()) => answers.write_all(b"errno=0\n\n").await?,
            Err(code) => answers.write_all(&errno(code)).await?,
        }
    }
}

/// Negative, as wireguard-go answers and `wg` reads.
fn errno(code: Errno) -> Vec<u8> {
    format!("errno={}\n\n", -(code as i32)).into_bytes()
}
