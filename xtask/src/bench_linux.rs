//! `cargo xtask bench-linux`: what WireGuard costs a Linux host in user space.
//! `docs/measuring.md` says what is measured.

mod crowd;
mod load;
mod network;
mod program;
mod report;
mod scale;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::{has_program, output_of, root, target_dir};
use network::Network;
use program::Program;
use report::Report;

/// Set in the process that is in namespaces of its own.
const INSIDE: &str = "WG_BENCH_LINUX_INSIDE";

/// Measure wg-tokio between two network namespaces, beside wireguard-go and boringtun-cli.
///
/// iperf3 sends TCP in one and in eight streams and small UDP packets, ping goes through an idle
/// and a busy tunnel, and /proc says what CPU time and memory it took. The programs that are
/// installed take turns. Needs root, iproute2, iperf3, ping and wg.
#[derive(Args)]
pub(crate) struct BenchLinux {
    /// Turns of each program. What is reported is the median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each load.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Only these programs: wg-tokio, wireguard-go, boringtun-cli, or none, which is the bare
    /// cable. May be given several times.
    #[arg(long, value_name = "PROGRAM")]
    only: Vec<String>,
    /// Measure with many peers instead: how long it takes to set and show them, memory, whether a
    /// packet costs more, all of them calling at once, and strangers calling all the time.
    #[arg(long, conflicts_with_all = ["json", "svg", "rounds"])]
    scale: bool,
    /// How many peers `--scale` has, with ten allowed IPs each.
    #[arg(long, default_value_t = 10_000)]
    peers: usize,
    /// Another wg-tokio than the one of this tree: to compare two versions.
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Write the numbers as one flat JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the costs as a chart.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl BenchLinux {
    pub(crate) fn run(&self) -> Result<()> {
        if std::env::var_os(INSIDE).is_none() {
            return self.run_inside();
        }
        let programs = self.programs();
        if programs.is_empty() {
            bail!("none of these programs is here: {}", self.only.join(", "));
        }
        let network = Network::new()?;
        let load = Duration::from_secs(self.seconds);
        if self.scale {
            scale::raise_limits()?;
            for program in programs.iter().filter(|program| program.is_tunnel()) {
                eprintln!("{}", program.name());
                scale::measure(&network, program, self.peers, load)
                    .with_context(|| program.name().to_owned())?;
            }
            return Ok(());
        }
        let mut report = Report::new(programs.iter().map(Program::name));
        for round in 1..=self.rounds {
            for program in &programs {
                eprintln!("round {round} of {}: {}", self.rounds, program.name());
                let measured = program
                    .start(&network)
                    .and_then(|tunnel| load::measure(&network, &tunnel, load))
                    .with_context(|| program.name().to_owned())?;
                report.add(program.name(), &measured);
            }
        }
        report.print();
        if let Some(file) = &self.json {
            write(file, &(serde_json::to_string_pretty(&report.json())? + "\n"))?;
        }
        if let Some(file) = &self.svg {
            write(file, &report.chart().draw())?;
        }
        Ok(())
    }

    /// Builds the program, and starts this one again where nobody else's networks are.
    fn run_inside(&self) -> Result<()> {
        if output_of(Command::new("id").arg("-u"))?.trim() != "0" {
            bail!("needs root, for network namespaces and interfaces");
        }
        for program in ["ip", "iperf3", "ping", "wg", "unshare"] {
            if !has_program(program) {
                bail!(
                    "needs {program}: apt-get install iproute2 iperf3 iputils-ping util-linux \
                     wireguard-tools"
                );
            }
        }
        let mut build = Command::new("cargo");
        build.args(["build", "--quiet", "--locked", "--release", "-p", "wg-tokio"]);
        eprintln!("building wg-tokio; a machine with nothing else to do measures best");
        if !build.current_dir(root()).status().context("cannot run cargo")?.success() {
            bail!("cannot build wg-tokio");
        }
        let status = Command::new("unshare")
            .args(["--net", "--mount", "--fork", "--kill-child"])
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .status()
            .context("cannot run unshare")?;
        if !status.success() {
            bail!("the measurement ended early: see above");
        }
        Ok(())
    }

    fn programs(&self) -> Vec<Program> {
        let ours = target_dir().join("release/wg-tokio");
        let mut all = vec![Program::of("wg-tokio", ours)];
        all.extend(self.before.iter().map(|file| Program::of("before", file.clone())));
        all.extend(
            ["wireguard-go", "boringtun-cli"]
                .into_iter()
                .filter(|name| {
                    let is_there = has_program(name);
                    if !is_there {
                        eprintln!("goes on without {name}, which is not installed");
                    }
                    is_there
                })
                .map(|name| Program::of(name, name.into())),
        );
        all.push(Program::NONE);
        all.retain(|program| {
            self.only.is_empty() || self.only.iter().any(|name| name == program.name())
        });
        all
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
