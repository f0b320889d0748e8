//! `wg-tokio proxy`: the connections of a host in a tunnel, lent to programs on this machine.

mod address;

mod complaints;
mod http;
mod relay;
mod socks;
mod told;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use wg_tokio::netstack::{Net, NetConfig};
use wg_tokio::{Error, StampClock};

use crate::Failure;
use crate::file::FileText;
use address::{Expose, Forward, Local};
use complaints::Complaints;
use relay::{MOST_CLIENTS, Relay};

#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Proxy {
    /// The wg-quick file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Answer SOCKS5 and HTTP CONNECT here; 127.0.0.1:1080 if left out, or nowhere when ports are
    /// forwarded or exposed.
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    listen: Option<Local>,
    /// Forward TCP connections to a port of this machine into the tunnel. May be repeated.
    #[arg(long, value_name = "[ADDRESS:]PORT=HOST:PORT")]
    forward: Vec<Forward>,
    /// Forward TCP connections that come to a port inside the tunnel to one of this machine. May
    /// be repeated.
    #[arg(long, value_name = "PORT=[ADDRESS:]PORT")]
    expose: Vec<Expose>,
    /// Keep handshake timestamps here, so that they rise over restarts also when the clock is set
    /// back. Made when it does not exist; for one tunnel alone.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Log more; twice for what the libraries say.
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

const AFTER_HELP: &str = "\
An address that is left out is 127.0.0.1. For example:
  wg-tokio proxy --config wg0.conf
  wg-tokio proxy --config wg0.conf --forward 5432=db.internal:5432 --expose 80=3000

There are 256 clients at a time; others are refused. A name has ten seconds to be found, and a
connection ten to be opened.";

impl Proxy {
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let level = match self.verbose {
            0 => "wg_tokio=info",
            1 => "wg_tokio=debug",
            _ => "debug",
        };
        crate::log_from(level);
        // The tunnel's cryptography and the TCP/IP stack are two tasks, and have a core each.
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure::Trouble(format!("cannot start: {error}")))?;
        let done = runtime.block_on(self.run());
        // A name that is still being looked up is not waited for.
        runtime.shutdown_background();
        done
    }

    async fn run(&self) -> Result<(), Failure> {
        // From here on a signal means a clean stop.
        let cannot_listen = |error| Failure::Trouble(format!("cannot wait for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_listen)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot_listen)?;

        let config = self.read_config()?;
        // What can fail does before anything is sent.
        let listener = match self.listen {
            Some(at) => Some(bind(at.0).await?),
            None if self.forward.is_empty() && self.expose.is_empty() => {
                Some(bind(Local::DEFAULT).await?)
            }
            None => None,
        };
        let mut forwards = Vec::new();
        for forward in &self.forward {
            forwards.push((bind(forward.from.0).await?, forward.to.clone()));
        }
        let net = Net::connect(config).await?;
        let relay = Arc::new(Relay::new(net.clone(), Complaints::default()));
        let mut exposed = Vec::new();
        for expose in &self.expose {
            let at = SocketAddr::new([0; 8].into(), expose.port);
            let listener = net.tcp_listen(at).map_err(|error| {
                Failure::Usage(format!("cannot expose port {}: {error}", expose.port))
            })?;
            exposed.push((listener, expose.to.0));
        }

        if let Some(listener) = listener {
            log::info!("SOCKS5 and HTTP CONNECT on {}", at(&listener));
            tokio::spawn(relay.clone().answer(listener));
        }
        for (listener, to) in forwards {
            log::info!("{} leads to {to} in the tunnel", at(&listener));
            tokio::spawn(relay.clone().forward(listener, to));
        }
        for (listener, to) in exposed {
            log::info!("port {} in the tunnel leads to {to}", listener.local_addr().port());
            tokio::spawn(relay.clone().expose(listener, to));
        }
        crate::tell_service_manager();
        let by = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            () = net.ended() => return Err(Failure::Trouble("the tunnel has ended".into())),
        };
        log::info!("{by}: stopping");
        net.stop().await;
        Ok(())
    }

    fn read_config(&self) -> Result<NetConfig, Failure> {
        let text = FileText::read(&self.config)?;
        let file = text.parse()?;
        let path = text.path().display();
        if text.is_for_everybody() {
            log::warn!("{path} can be read by everybody: chmod 600 it");
        }
        if file.private_key().is_none() {
            return Err(Failure::Usage(format!(
                "{path} has no PrivateKey: add one to [Interface], as wg-tokio genkey prints it"
            )));
        }
        if file.peers().next().is_none() {
            return Err(Failure::Usage(format!(
                "{path} has no [Peer]: there is nobody to talk to"
            )));
        }
        for (key, _) in file.host_settings() {
            log::warn!("{key} is left out: a proxy changes nothing on this machine");
        }
        if file.dns_servers().next().is_none() {
            log::warn!("{path} has no DNS: names cannot be looked up in the tunnel");
        }
        let mut config = NetConfig::of(&file);
        // Those that close have places of their own.
        config.connections = 2 * MOST_CLIENTS;
        if let Some(path) = &self.state {
            config.clock = StampClock::kept_in(path).map_err(Error::from)?;
        }
        Ok(config)
    }
}

async fn bind(at: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(at).await.map_err(|error| {
        Failure::Trouble(format!("cannot listen on {at}: {error}: choose another address or port"))
    })?;
    if !at.ip().is_loopback() {
        log::warn!("whoever can reach {at} can use the tunnel: there is no password");
    }
    Ok(listener)
}

/// Where it listens, also when any port was asked for.
fn at(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |at| at.to_string())
}
