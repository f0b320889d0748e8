//! `wg-tokio`: a WireGuard interface that `wg` configures, or that a wg-quick file describes.

mod daemon;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use daemon::Daemon;
use tokio::signal::unix::{SignalKind, signal};
use wg_core::config::text_of;
use wg_core::{PresharedKey, PrivateKey};
use wg_tokio::{
    Config, Error, Names, NetworkPlan, PeerConfig, Routes, StampClock, Tun, Tunnel, Uapi,
};
use zeroize::Zeroizing;

/// WireGuard in user space, for Linux.
///
/// An interface and `run` need root, or CAP_NET_ADMIN and access to /dev/net/tun; the others need
/// nothing.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true)]
struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
    #[command(subcommand)]
    task: Option<Task>,
}

const AFTER_HELP: &str = "\
A new key, and a tunnel:
  umask 077
  wg-tokio genkey > private.key
  wg-tokio pubkey < private.key
  wg-tokio run --config wg0.conf --state /var/lib/wg-tokio/wg0.state

The same with the tools of WireGuard:
  WG_QUICK_USERSPACE_IMPLEMENTATION=wg-tokio wg-quick up ./wg0.conf
  wg show

LOG_LEVEL is verbose, info, error or silent. In the background nothing is logged without it.

Exit codes: 0 after a clean stop, 1 when the machine is in the way, 2 when the arguments or the
file are wrong.";

#[derive(Subcommand)]
enum Task {
    /// Make an interface as a wg-quick file says, and carry its traffic until SIGINT or SIGTERM.
    ///
    /// Addresses and routes are set as wg-quick sets them, and are gone at the end with the
    /// interface. Commands of the file (PostUp and the like) and DNS are left to you.
    Run(Run),
    /// Print a new private key, in base64.
    Genkey,
    /// Print a new pre-shared key, in base64: the same for both peers.
    Genpsk,
    /// Read a private key from standard input, and print its public key.
    Pubkey,
}

#[derive(clap::Args)]
struct Run {
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
    /// Log more; twice for what the libraries say.
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// What was wrong, and whether it was what we were told to do.
enum Failure {
    /// The arguments or the configuration.
    Usage(String),
    Trouble(String),
    /// What has been said already, and its exit code.
    Said(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::InterfaceName(_) | Error::Table(_) | Error::Peer(..) => {
                Self::Usage(error.to_string())
            }
            _ => Self::Trouble(error.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let Arguments { daemon, task } = Arguments::parse();
    let done = match task {
        None => daemon.start(),
        Some(Task::Run(run)) => run.start(),
        Some(Task::Genkey) => genkey(),
        Some(Task::Genpsk) => genpsk(),
        Some(Task::Pubkey) => pubkey(),
    };
    let (text, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => (text, 2),
        Err(Failure::Trouble(text)) => (text, 1),
        Err(Failure::Said(code)) => return ExitCode::from(code),
    };
    // There is nobody to tell when even this fails.
    let _ = writeln!(io::stderr(), "wg-tokio: {text}");
    ExitCode::from(code)
}

impl Run {
    fn start(&self) -> Result<(), Failure> {
        let level = match self.verbose {
            0 => "wg_tokio=info",
            1 => "wg_tokio=debug",
            _ => "debug",
        };
        log_from(level);
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
        let path = self.config.display();
        let bytes = std::fs::read(&self.config)
            .map(Zeroizing::new)
            .map_err(|error| Failure::Usage(format!("cannot read {path}: {error}")))?;
        warn_of_readers(&self.config);
        let text = text_of(&bytes);
        let file = text.and_then(wg_core::config::Config::parse).map_err(|error| {
            Failure::Usage(format!("{path}:{}:{}: {}", error.line, error.column, error.kind))
        })?;
        if file.private_key().is_none() {
            return Err(Failure::Usage(format!(
                "{path} has no PrivateKey: add one to [Interface], as wg-tokio genkey prints it"
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

fn log_from(level: &str) {
    env_logger::Builder::new()
        .parse_filters(level)
        .format(|out, line| {
            writeln!(out, "{}: {}", line.level().as_str().to_lowercase(), line.args())
        })
        .init();
}

/// The file holds keys.
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(file) = std::fs::metadata(path)
        && file.permissions().mode() & 0o007 != 0
    {
        log::warn!("{} can be read by everybody: chmod 600 it", path.display());
    }
}

fn genkey() -> Result<(), Failure> {
    print(PrivateKey::generate(&mut wg_tokio::system_random()?).expose_base64().as_str())
}

fn genpsk() -> Result<(), Failure> {
    print(PresharedKey::generate(&mut wg_tokio::system_random()?).expose_base64().as_str())
}

fn pubkey() -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    // One more byte than a key and its line end tells that there is too much.
    let read = io::stdin().take(64).read_to_string(&mut text);
    read.map_err(|error| Failure::Trouble(format!("cannot read the private key: {error}")))?;
    match text.trim().parse::<PrivateKey>() {
        Ok(key) => print(&key.public_key().to_string()),
        Err(error) => Err(Failure::Usage(format!("standard input is no private key: {error}"))),
    }
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}")
        .map_err(|error| Failure::Trouble(format!("cannot print: {error}")))
}
