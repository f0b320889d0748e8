//! The socket that `wg` finds an interface by.

use core::time::Duration;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use rustix::fs::{FlockOperation, Mode, flock, inotify};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::Request;
use super::reader::{LONGEST_REQUEST, Reader};
use crate::error::Error;
use crate::handle::Handle;

/// Where `wg` looks.
const DIRECTORY: &str = "/var/run/wireguard";
/// Bytes of all unfinished requests together, and the pieces in which they get room.
const BUDGET: usize = 2 * LONGEST_REQUEST;
const PIECE: usize = 64 << 10;
/// A socket that cannot take clients is left alone for so long.
const RECOVERY: Duration = Duration::from_millis(200);

/// A socket by which programs configure a tunnel: `/var/run/wireguard/INTERFACE.sock`. It is
/// removed when this is dropped.
#[derive(Debug)]
pub struct Uapi {
    listener: UnixListener,
    place: Place,
    /// Tells what becomes of the socket's file.
    watch: AsyncFd<OwnedFd>,
}

/// The socket's file, as long as it is this socket's.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    inode: (u64, u64),
}

impl Uapi {
    /// Opens the socket of an interface, for its owner alone. What a killed program left is
    /// taken away. Must be called in a Tokio runtime with I/O.
    ///
    /// # Errors
    /// [`Error::Uapi`], which says so when another program serves this interface.
    pub fn open(interface: &str) -> Result<Self, Error> {
        let path = Path::new(DIRECTORY).join(format!("{interface}.sock"));
        let failed = |source| Error::Uapi { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(DIRECTORY).map_err(failed)?;
        // Of two that find a remnant at the same time, one must not remove the other's socket.
        let directory = File::open(DIRECTORY).map_err(failed)?;
        flock(&directory, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let listener = match bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // Somebody answers, or the file is all that is left.
                if net::UnixStream::connect(&path).is_ok() {
                    return Err(failed(error));
                }
                fs::remove_file(&path).and_then(|()| bind(&path))
            }
            bound => bound,
        };
        listener.and_then(|listener| Self::new(listener, &path)).map_err(failed)
    }

    fn new(listener: net::UnixListener, path: &Path) -> io::Result<Self> {
        let place = Place { path: path.into(), inode: inode(path)? };
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let events = inotify::WatchFlags::ATTRIB
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::MOVE_SELF;
        inotify::add_watch(&watch, path, events)?;
        listener.set_nonblocking(true)?;
        // The replacement is unsafe, and asks for what an `OwnedFd` guarantees.
        #[allow(deprecated)]
        let watch = AsyncFd::with_interest(watch, Interest::READABLE)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, place, watch })
    }

    /// Serves clients, any number at once, until the socket's file is gone. May be dropped at any
    /// time.
    pub async fn serve(&self, tunnel: &Handle) {
        let budget = Arc::new(Semaphore::new(BUDGET / PIECE));
        // They go with this function.
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((client, _)) => {
                        let (tunnel, budget) = (tunnel.clone(), Arc::clone(&budget));
                        clients.spawn(async move {
                            if let Err(error) = serve(client, &tunnel, &budget).await {
                                log::debug!("a client of the configuration socket: {error}");
                            }
                        });
                    }
                    Err(error) => {
                        log::warn!("cannot take a client of {}: {error}", self.place.path.display());
                        tokio::time::sleep(RECOVERY).await;
                    }
                },
                Some(_) = clients.join_next() => {}
                () = self.removed() => return,
            }
        }
    }

    async fn removed(&self) {
        while self.place.is_ours() {
            let Ok(mut ready) = self.watch.readable().await else { return };
            let _ = ready.try_io(|watch| Ok(rustix::io::read(watch, &mut [0; 1024])?));
        }
    }
}

impl Place {
    fn is_ours(&self) -> bool {
        inode(&self.path).is_ok_and(|inode| inode == self.inode)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_ours() {
            // Whoever starts next takes it away otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// For its owner alone from the first moment.
fn bind(path: &Path) -> io::Result<net::UnixListener> {
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = net::UnixListener::bind(path);
    rustix::process::umask(before);
    listener
}

/// Answers a client until it closes, or says more than a request can be.
async fn serve(mut client: UnixStream, tunnel: &Handle, budget: &Semaphore) -> io::Result<()> {
    let mut reader = Reader::default();
    let mut buffer = Zeroizing::new([0; 4096]);
    let mut room = Vec::new();
    loop {
        let count = client.read(buffer.as_mut()).await?;
        if count == 0 {
            return Ok(());
        }
        let mut bytes = buffer.get(..count).unwrap_or_default();
        loop {
            match reader.read(bytes) {
                Ok(None) => break,
                Ok(Some((request, rest))) => {
                    client.write_all(perform(tunnel, request).await.as_bytes()).await?;
                    bytes = rest;
                }
                Err(code) => return client.write_all(errno(code).as_bytes()).await,
            }
        }
        room.truncate(reader.length().div_ceil(PIECE));
        while room.len() * PIECE < reader.length() {
            match budget.try_acquire() {
                Ok(piece) => room.push(piece),
                Err(_) => return client.write_all(errno(Errno::ENOMEM).as_bytes()).await,
            }
        }
    }
}

async fn perform(tunnel: &Handle, request: Result<Request, Errno>) -> Zeroizing<String> {
    let done = match request {
        Ok(Request::Get) => match tunnel.describe().await {
            Ok(text) => return text,
            Err(_) => Err(Errno::EIO),
        },
        Ok(Request::Set(transaction)) => tunnel.configure(transaction).await,
        Err(code) => Err(code),
    };
    match done {
        Ok(()) => Zeroizing::new("errno=0\n\n".into()),
        Err(code) => errno(code),
    }
}

/// Negative, as wireguard-go answers and `wg` reads.
fn errno(code: Errno) -> Zeroizing<String> {
    log::debug!("a request on the configuration socket failed: {code}");
    Zeroizing::new(format!("errno={}\n\n", -(code as i32)))
}
