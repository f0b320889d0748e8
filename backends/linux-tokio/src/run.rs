//! `wg-tokio run`: an interface from a wg-quick file.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use wg_tokio::{
    Config, Error, Metrics, Names, NetworkPlan, PeerConfig, Routes, StampClock, Tun, Tunnel, Uapi,
};

use crate::daemon::serve_metrics;
use crate::file::FileText;
use crate::{Failure, privileges};

#[derive(clap::Args)]
pub(crate) struct Run {
    /// The wg-quick file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The interface's name; the file's name up to the dot if left out.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Keep handshake timestamps here, so that they rise over restarts also when the clock is set
    /// back. Made when it does not exist; for one interface alone.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Answer `GET /metrics` here, in Prometheus' text format: a loopback address and a port.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Log more; twice for what the libraries say.
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl Run {
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let level = match self.verbose {
            0 => "wg_tokio=info",
            1 => "wg_tokio=debug",
            _ => "debug",
        };
        crate::log_from(level);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
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

        let name = self.interface_name();
        let (config, plan, names) = tokio::select! {
            read = self.read_config() => read?,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        let metrics = match self.metrics {
            Some(address) => Some(Metrics::open(&name, address).await?),
            None => None,
        };
        // The state may be in a folder of somebody else, and is replaced again and again.
        privileges::drop_all_but_the_network(self.state.is_some())?;
        let clock = match &self.state {
            Some(path) => StampClock::kept_in(path).map_err(Error::from)?,
            None => StampClock::system(),
        };
        let tun = Tun::create(&name, config.mtu)?;
        let mut routes = Routes::set_up(&tun, &plan).await?;
        let ended = match Tunnel::new(&config, tun, clock) {
            Ok((handle, tunnel)) => {
                drop(config);
                // The tunnel carries traffic without it.
                let uapi = Uapi::open(&name).map_err(|error| log::warn!("{error}")).ok();
                let serve = async {
                    if let Some(uapi) = &uapi {
                        uapi.serve(&handle).await;
                        log::warn!("the configuration socket was removed: no wg from now on");
                    }
                    core::future::pending::<()>().await;
                };
                log::info!("{name} is up, listening on UDP port {}", tunnel.listen_port());
                crate::tell_service_manager();
                tokio::spawn(names.follow(handle.clone()));
                let stop = async {
                    let by = tokio::select! {
                        _ = interrupt.recv() => "SIGINT",
                        _ = terminate.recv() => "SIGTERM",
                    };
                    log::info!("{by}: stopping");
                    handle.stop().await;
                };
                tokio::select! {
                    ended = tunnel.run() => ended,
                    () = stop => Ok(()),
                    () = serve => Ok(()),
                    () = serve_metrics(metrics.as_ref(), &handle) => Ok(()),
                    () = routes.follow(&handle) => Ok(()),
                }
            }
            Err(error) => Err(error),
        };
        routes.undo().await;
        Ok(ended?)
    }

    fn interface_name(&self) -> String {
        let from_file = || self.config.file_stem().unwrap_or_default().to_string_lossy().into();
        self.interface.clone().unwrap_or_else(from_file)
    }

    async fn read_config(&self) -> Result<(Config, NetworkPlan, Names), Failure> {
        let text = FileText::read(&self.config)?;
        let file = text.parse()?;
        if text.is_for_everybody() {
            log::warn!("{} can be read by everybody: chmod 600 it", text.path().display());
        }
        if file.private_key().is_none() {
            return Err(Failure::Usage(format!(
                "{} has no PrivateKey: add one to [Interface], as wg-tokio genkey prints it",
                text.path().display()
            )));
        }
        for (key, _) in file.host_settings().filter(|(key, _)| *key != "Table") {
            log::warn!("{key} is left to you: wg-tokio runs no commands and saves nothing");
        }
        if file.dns_servers().next().is_some() || file.dns_search().next().is_some() {
            log::warn!("DNS is left to you: wg-tokio does not change how names are resolved");
        }
        let plan = NetworkPlan::of(&file)?;
        let mut names = Names::of(&file);
        let mut config = Config::from(&file);
        if let Some(mark) = plan.fw_mark() {
            config.fw_mark = mark;
        }
        let takes_all = |peer: &PeerConfig| peer.allowed_ips.iter().any(|ips| ips.cidr() == 0);
        let must = |peer: &PeerConfig| plan.fw_mark().is_some() && takes_all(peer);
        names.resolve(&mut config.peers, must).await?;
        Ok((config, plan, names))
    }
}
