//! `cargo xtask bench-host`: what the engine costs on this machine, beside boringtun.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value};

use crate::workspace::{root, shown};

/// Measure handshakes, packets, refusals, routes and timers, beside boringtun.
///
/// Both run in turns in one process, with the same profile and flags. What counts is the
/// ratio, ours divided by theirs: below 1 is faster. See benches/README.md.
#[derive(Args)]
pub(crate) struct BenchHost {
    /// Build the engine with the faster cryptography for hosts: its features `ring` and
    /// `graviola`. Without, it has the portable crates; boringtun always has ring.
    #[arg(long)]
    fast: bool,
    /// Write the figures as one flat JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl BenchHost {
    pub(crate) fn run(&self) -> Result<()> {
        let mut command = Command::new("cargo");
        command.args(["run", "--quiet", "--locked", "--profile", "bench"]);
        command.args(["--package", "wg-benches", "--bin", "bench-host"]);
        if self.fast {
            command.args(["--features", "ring,graviola"]);
        }
        command.current_dir(root()).stderr(Stdio::inherit());
        eprintln!("building and measuring; a machine with nothing else to do measures best");
        let output =
            command.output().with_context(|| format!("cannot run `{}`", shown(&command)))?;
        if !output.status.success() {
            bail!("`{}` failed ({})", shown(&command), output.status);
        }
        let figures: Map<String, Value> =
            serde_json::from_slice(&output.stdout).context("what bench-host printed")?;
        print_table(&figures);
        if let Some(file) = &self.json {
            std::fs::write(file, serde_json::to_vec_pretty(&figures)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

/// A line for each piece of work that both did, then what only one did.
fn print_table(figures: &Map<String, Value>) {
    println!("{:<16}{:>10}{:>14}{:>14}", "", "ratio", "ours, ns", "boringtun, ns");
    for (name, ratio) in figures {
        let Some(work) = name.strip_suffix(".ratio") else { continue };
        let of = |field| figures.get(&format!("{work}.{field}")).and_then(Value::as_f64);
        let (Some(ratio), Some(ours), Some(theirs)) =
            (ratio.as_f64(), of("ns"), of("boringtun_ns"))
        else {
            continue;
        };
        println!("{work:<16}{ratio:>10.3}{ours:>14.1}{theirs:>14.1}");
    }
    println!();
    for (name, figure) in figures {
        let is_in_table = name.rsplit_once('.').is_some_and(|(work, field)| {
            ["ratio", "ns", "boringtun_ns"].contains(&field)
                && figures.contains_key(&format!("{work}.ratio"))
        });
        if !is_in_table {
            println!("{name:<40}{figure}");
        }
    }
}
