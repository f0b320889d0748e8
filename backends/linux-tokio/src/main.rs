//! `wg-tokio`: a WireGuard interface that `wg` configures, or that a wg-quick file describes.

mod check;
mod daemon;
mod file;
mod keys;
mod privileges;
#[cfg(feature = "proxy")]
mod proxy;
mod run;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use daemon::Daemon;
use wg_tokio::Error;

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

A browser in the tunnel, without root:
  wg-tokio proxy --config wg0.conf
  curl --proxy socks5h://127.0.0.1:1080 http://server.internal/

An interface with the tools of WireGuard:
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
    Run(run::Run),
    /// Read a wg-quick file, and say what `run` would make of it. Nothing is changed or looked up.
    Check {
        /// The wg-quick file.
        file: PathBuf,
    },
    /// Be a host in the tunnel of a wg-quick file, and lend its connections to programs on this
    /// machine, by SOCKS5, HTTP CONNECT and forwarded ports, until SIGINT or SIGTERM.
    ///
    /// Makes no interface, changes nothing on this machine, and needs no root. Names are looked up
    /// inside the tunnel, by the name servers of the file.
    #[cfg(feature = "proxy")]
    Proxy(proxy::Proxy),
    /// Print a new private key, in base64.
    Genkey,
    /// Print a new pre-shared key, in base64: the same for both peers.
    Genpsk,
    /// Read a private key from standard input, and print its public key.
    Pubkey,
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
            Error::InterfaceName(_) | Error::Table(_) | Error::Peer(..) | Error::NoAddress => {
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
        Some(Task::Check { file }) => check::check(&file),
        #[cfg(feature = "proxy")]
        Some(Task::Proxy(proxy)) => proxy.start(),
        Some(Task::Genkey) => keys::genkey(),
        Some(Task::Genpsk) => keys::genpsk(),
        Some(Task::Pubkey) => keys::pubkey(),
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

fn log_from(level: &str) {
    env_logger::Builder::new()
        .parse_filters(level)
        .format(|out, line| {
            writeln!(out, "{}: {}", line.level().as_str().to_lowercase(), line.args())
        })
        .init();
}

/// Tells systemd that the interface is there, if it asked.
fn tell_service_manager() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        log::warn!("cannot tell the service manager that the interface is ready: {error}");
    }
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}")
        .map_err(|error| Failure::Trouble(format!("cannot print: {error}")))
}
