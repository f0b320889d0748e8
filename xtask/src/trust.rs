//! `cargo xtask trust`: attack the engine, and say what the evidence is.

mod claims;
mod faults;
mod fuzz;

use core::time::Duration;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use crate::workspace::root;

/// What is played in a run without `--hours`. `cargo xtask test` plays the seeds before.
const FIRST_SEED: u64 = 150;
const SCRIPTS: u64 = 450;

/// Moves in every order, with `--hours`: 177,147 histories. `cargo xtask test` tries 3.
const DEPTH: u32 = 5;

/// Scripts between two looks at the clock.
const BATCH: u64 = 500;

/// Attack the engine, and check that docs/assurance.md says the truth.
///
/// Plays scripts of an adversary who owns the network, measures that work grows with its input and
/// no faster, and compares the network grid with its snapshot. What the machine's `cargo fuzz` can
/// do is done with `--hours`. docs/assurance.md is written from a table of claims; each test that a
/// claim names must exist.
#[derive(Args)]
pub(crate) struct Trust {
    /// Try all histories of five moves, then attack for so long: half of the time with scripts of new seeds, half with libFuzzer's
    /// targets in turn, which need nightly Rust and cargo-fuzz.
    #[arg(long, value_name = "N")]
    hours: Option<f64>,
    /// The first seed of a long run: another one for every night.
    #[arg(long, value_name = "SEED", default_value_t = FIRST_SEED + SCRIPTS)]
    seed: u64,
    /// Put each fault of wg-core/fuzz/faults back into a copy of the workspace, one at a time, and
    /// write into docs/assurance.md what finds it, and when.
    #[arg(long)]
    faults: bool,
    /// Write the table of docs/assurance.md anew.
    #[arg(long)]
    write: bool,
}

impl Trust {
    pub(crate) fn run(&self) -> Result<()> {
        if self.write {
            return claims::write();
        }
        if self.faults {
            return faults::put_back();
        }
        claims::check()?;
        if let Some(hours) = self.hours {
            let half = Duration::from_secs_f64((hours * 1_800.0).max(0.0));
            let mut histories = wg_core_tests(&["any_network"]);
            histories.args(["every_short_history"]).env("WG_DEPTH", DEPTH.to_string());
            succeed("all histories of 5 moves", &mut histories)?;
            self.play_for(half)?;
            return fuzz::run_all(half);
        }
        play(FIRST_SEED, SCRIPTS)?;
        let mut tests = wg_core_tests(&["linear_work", "network_grid"]);
        succeed("work and the network grid", &mut tests)
    }

    /// Scripts of one seed after the other.
    fn play_for(&self, time: Duration) -> Result<()> {
        let (start, mut seed) = (Instant::now(), self.seed);
        while start.elapsed() < time {
            play(seed, BATCH)?;
            seed += BATCH;
        }
        Ok(())
    }
}

fn play(first: u64, scripts: u64) -> Result<()> {
    let mut tests = wg_core_tests(&["any_network"]);
    tests
        .arg("no_adversary")
        .env("WG_SEED", first.to_string())
        .env("WG_SCRIPTS", scripts.to_string());
    succeed(&format!("scripts of seeds {first} to {}", first + scripts - 1), &mut tests)
}

/// Some of wg-core's test programs, as `cargo xtask test` builds them.
fn wg_core_tests(names: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(["test", "--locked", "--package", "wg-core", "--all-features"]);
    command.args(names.iter().flat_map(|name| ["--test", name]));
    command.current_dir(root());
    command
}

fn succeed(what: &str, command: &mut Command) -> Result<()> {
    let start = Instant::now();
    let output = command.output()?;
    if !output.status.success() {
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("{what}: failed");
    }
    println!("{what}: ok, {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
