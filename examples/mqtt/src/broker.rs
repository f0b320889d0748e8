//! A mosquitto of our own, on a free port of loopback.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

/// Ends when it is dropped.
pub(crate) struct Broker {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl Broker {
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Free a moment ago. Mosquitto cannot choose one itself and say which.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let file = folder.path().join("mosquitto.conf");
        let port = address.port();
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        std::fs::write(&file, text)?;
        // Debian keeps it where only root looks.
        let start =
            |program| Command::new(program).arg("-c").arg(&file).stderr(Stdio::null()).spawn();
        let started = start("mosquitto").or_else(|error| match error.kind() {
            ErrorKind::NotFound => start("/usr/sbin/mosquitto"),
            _ => Err(error),
        });
        let child = started.context("cannot run mosquitto: install the package `mosquitto`")?;
        let mut broker = Self { child, address, _folder: folder };
        broker.wait()?;
        Ok(broker)
    }

    fn wait(&mut self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("mosquitto ended at once ({status})");
            }
            if start.elapsed() > PATIENCE {
                bail!("mosquitto does not listen on {}", self.address);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
