//! `wg-tokio INTERFACE`: an interface that `wg` and `wg-quick` configure, as wireguard-go makes
//! one.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use tokio::signal::unix::{SignalKind, signal};
use wg_tokio::{Config, Error, StampClock, Tun, Tunnel, Uapi, follow_mtu};

use crate::Failure;

/// Set in the process that stays.
const STAYS: &str = "WG_PROCESS_FOREGROUND";
/// What it says when the interface can be configured.
const READY: &[u8] = b"ready\n";

#[derive(clap::Args)]
pub(crate) struct Daemon {
    /// Make this interface and go to the background: `wg` and `wg-quick` configure it. It ends when
    /// the interface is deleted, or by SIGINT or SIGTERM.
    #[arg(value_name = "INTERFACE", required = true)]
    interface: Option<String>,
    /// Stay in the foreground, and log to standard error.
    #[arg(short, long)]
    foreground: bool,
}

impl Daemon {
    pub(crate) fn start(&self) -> Result<(), Failure> {
        let Some(interface) = &self.interface else {
            return Err(Failure::Usage("name an interface: see wg-tokio --help".into()));
        };
        let stays = std::env::var_os(STAYS).is_some();
        if !self.foreground && !stays {
            return go_to_background(interface);
        }
        log_to_standard_error();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure::Trouble(format!("cannot start: {error}")))?;
        let ready = || if stays && !self.foreground { let_go() } else { Ok(()) };
        let ended = runtime.block_on(run(interface, ready));
        runtime.shutdown_background();
        ended
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

/// Starts this program once more, in a session of its own, and waits until it is ready.
fn go_to_background(interface: &str) -> Result<(), Failure> {
    let failed = |error| Failure::Trouble(format!("cannot go to the background: {error}"));
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg(interface)
        .env(STAYS, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut said = Vec::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_end(&mut said).map_err(failed)?;
    }
    if said == READY {
        return Ok(());
    }
    // It has ended, and said why.
    let mut why = String::new();
    if let Some(err) = &mut child.stderr {
        err.read_to_string(&mut why).map_err(failed)?;
    }
    let code = child.wait().map_err(failed)?;
    let why = why.trim().trim_start_matches("wg-tokio: ").to_owned();
    Err(if code.code() == Some(2) { Failure::Usage(why) } else { Failure::Trouble(why) })
}

/// Says that all is well, and leaves the terminal of whoever started it.
fn let_go() -> io::Result<()> {
    rustix::process::setsid()?;
    io::stdout().write_all(READY)?;
    io::stdout().flush()?;
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::stdio::dup2_stderr(&null)?)
}

async fn run(interface: &str, ready: impl FnOnce() -> io::Result<()>) -> Result<(), Failure> {
    let cannot_listen = |error| Failure::Trouble(format!("cannot wait for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_listen)?;
    let config = Config::default();
    let tun = Tun::create(interface, config.mtu)?;
    let index = tun.index();
    let uapi = Uapi::open(interface)?;
    let (handle, tunnel) = Tunnel::new(&config, tun, StampClock::system())?;
    log::info!("{interface} waits for wg to configure it");
    ready().map_err(|error| Failure::Trouble(format!("cannot go to the background: {error}")))?;
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
        () = uapi.serve(&handle) => Ok(()),
        followed = follow_mtu(index, &handle) => followed,
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
