//! `wg-tokio INTERFACE`: an interface that `wg` and `wg-quick` configure, as wireguard-go makes
//! one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tokio::signal::unix::{SignalKind, signal};
use wg_tokio::{Config, Error, InterfaceState, Metrics, StampClock, Tun, Tunnel, Uapi};

use crate::{Failure, privileges};

/// What the process in the background says when the interface can be configured.
const READY: &str = "ready\n";

#[derive(clap::Args)]
pub(crate) struct Daemon {
    /// Make this interface and go to the background: `wg` and `wg-quick` configure it. It ends when
    /// the interface is deleted, or by SIGINT or SIGTERM.
    #[arg(value_name = "INTERFACE", required = true)]
    interface: Option<String>,
    /// Stay in the foreground, and log to standard error. WG_PROCESS_FOREGROUND=1 is the same.
    #[arg(short, long)]
    foreground: bool,
    /// Answer `GET /metrics` here, in Prometheus' text format: a loopback address and a port.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Say on standard output that the interface is ready, or why not, and leave the terminal.
    #[arg(long, hide = true, requires = "foreground")]
    report: bool,
}

impl Daemon {
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let Some(interface) = &self.interface else {
            return Err(Failure::Usage("name an interface: see wg-tokio --help".into()));
        };
        let stays = std::env::var_os("WG_PROCESS_FOREGROUND").is_some_and(|value| value == "1");
        if !self.foreground && !stays {
            return self.go_to_background(interface);
        }
        log_to_standard_error();
        if self.report {
            // Fails only for a process that has a session of its own already.
            let _ = rustix::process::setsid();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure::Trouble(format!("cannot start: {error}")))?;
        let ready = || if self.report { let_go() } else { Ok(()) };
        let ended = runtime.block_on(run(interface, self.metrics, ready));
        runtime.shutdown_background();
        let (text, code) = match ended {
            Err(Failure::Usage(text)) if self.report => (text, 2),
            Err(Failure::Trouble(text)) if self.report => (text, 1),
            ended => return ended,
        };
        // Nobody listens any more once it was ready.
        log::error!("{text}");
        let _ = writeln!(io::stdout(), "{text}");
        Err(Failure::Said(code))
    }

    /// Starts this program once more, in a session of its own, and waits until it is ready.
    fn go_to_background(&self, interface: &str) -> Result<(), Failure> {
        let failed = |error| Failure::Trouble(format!("cannot go to the background: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["--foreground", "--report"]).current_dir("/");
        if let Some(address) = self.metrics {
            command.args(["--metrics", &address.to_string()]);
        }
        command.args(["--", interface]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let logs = std::env::var_os("LOG_LEVEL").is_some_and(|level| !level.is_empty());
        if !logs {
            command.stderr(Stdio::null());
        }
        let mut child = command.spawn().map_err(failed)?;
        let mut said = String::new();
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output);
            output.read_line(&mut said).map_err(failed)?;
            if said == READY {
                return Ok(());
            }
            output.read_to_string(&mut said).map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        match (said.trim(), status.code()) {
            ("", _) => {
                Err(Failure::Trouble(format!("the process in the background ended: {status}")))
            }
            // It is in the log already.
            (_, Some(code)) if logs => Err(Failure::Said(u8::try_from(code).unwrap_or(1))),
            (said, Some(2)) => Err(Failure::Usage(said.into())),
            (said, _) => Err(Failure::Trouble(said.into())),
        }
    }
}

/// `LOG_LEVEL`, in wireguard-go's words and in ours.
fn log_to_standard_error() {
    let level = match std::env::var("LOG_LEVEL").as_deref() {
        Ok("verbose" | "debug") => "wg_tokio=debug",
        Ok("error") => "wg_tokio=error",
        Ok("silent") => "off",
        _ => "wg_tokio=info",
    };
    crate::log_from(level);
}

/// Says that all is well, and leaves whoever started it. The log stays where it goes.
fn let_go() -> io::Result<()> {
    io::stdout().write_all(READY.as_bytes())?;
    io::stdout().flush()?;
    Ok(rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?)
}

async fn run(
    interface: &str,
    metrics: Option<SocketAddr>,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<(), Failure> {
    let cannot_listen = |error| Failure::Trouble(format!("cannot wait for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_listen)?;
    let config = Config { is_up: false, ..Config::default() };
    let tun = Tun::create(interface, config.mtu)?;
    let mut state = InterfaceState::of(&tun)?;
    let uapi = Uapi::open(interface)?;
    let metrics = match metrics {
        Some(address) => Some(Metrics::open(interface, address).await?),
        None => None,
    };
    privileges::drop_all_but_the_network(false)?;
    let (handle, tunnel) = Tunnel::new(&config, tun, StampClock::system())?;
    log::info!("{interface} waits for wg to configure it");
    ready().map_err(|error| Failure::Trouble(format!("cannot go to the background: {error}")))?;
    crate::tell_service_manager();
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        handle.stop().await;
    };
    let ended = tokio::select! {
        ended = tunnel.run() => ended,
        () = stop => Ok(()),
        () = uapi.serve(&handle) => {
            log::info!("the configuration socket was removed");
            Ok(())
        }
        () = state.follow(&handle) => Ok(()),
        () = serve_metrics(metrics.as_ref(), &handle) => Ok(()),
    };
    match ended {
        Err(Error::Packets(_))
            if !std::path::Path::new("/sys/class/net").join(interface).exists() =>
        {
            log::info!("{interface} was deleted");
            Ok(())
        }
        ended => Ok(ended?),
    }
}

/// Answers readers of metrics, if there are to be any. Never ends.
pub(crate) async fn serve_metrics(metrics: Option<&Metrics>, tunnel: &wg_tokio::Handle) {
    match metrics {
        Some(metrics) => metrics.serve(tunnel).await,
        None => core::future::pending().await,
    }
}
