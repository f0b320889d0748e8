//! `cargo xtask test`: everything that must hold before a change is done.

mod forecast;
mod steps;
mod unpacked;

use core::time::Duration;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use forecast::Forecast;

use crate::setup;
use crate::workspace::{shown, tail, target_dir};

/// Run every check: format, lints, tests, documentation, features, packages, interop.
///
/// A line per step, with what is next and about how long that and the rest take; where one fails,
/// the end of what it printed. What this machine lacks is named first, with the command that
/// installs it.
#[derive(Args)]
pub(crate) struct Test {
    /// Install what is missing first: Debian packages as root or through sudo, rust-src and the
    /// oldest Rust that is promised through rustup, cargo-deny.
    #[arg(long)]
    install: bool,
    /// Run only the steps whose name begins so. May be given several times. What this machine
    /// lacks is named then, and ends nothing: the step may not need it.
    #[arg(long, value_name = "NAME")]
    step: Vec<String>,
    /// Begin at the first step whose name begins so: to go on where a run ended.
    #[arg(long, value_name = "NAME", conflicts_with = "step")]
    from: Option<String>,
    /// Name the steps and their commands, and run none.
    #[arg(long)]
    list: bool,
    /// Run the steps after a failed one too.
    #[arg(long)]
    keep_going: bool,
    /// Write the outcome as one JSON object: `passed`, `failed`, `steps`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A command that must succeed.
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) command: Command,
    /// What of its output is shown when it succeeds: the lines that say what ran.
    pub(crate) closing: fn(&str) -> bool,
}

impl Test {
    pub(crate) fn run(&self) -> Result<()> {
        if self.list {
            for step in self.wanted()? {
                println!("{:<34} {}", step.name, shown(&step.command));
            }
            return Ok(());
        }
        if self.install {
            setup::install(setup::ALL)?;
            setup::install_oldest_rust();
        }
        let lacking = setup::require(setup::ALL);
        if self.step.is_empty() && self.from.is_none() {
            lacking?;
        } else if let Err(lacking) = lacking {
            // The steps that were named may need none of it.
            println!("{lacking}");
        }
        unpacked::forget()?;
        let steps = self.wanted()?;
        let names: Vec<_> = steps.iter().map(|step| step.name.clone()).collect();
        let forecast = Forecast::measured()?;
        println!("{} steps{}", names.len(), forecast.of(&names));
        let (mut outcomes, mut failed) = (Map::new(), Vec::new());
        for (place, step) in steps.into_iter().enumerate() {
            let name = step.name.clone();
            let next = forecast.next(names.get(place + 1..).unwrap_or_default());
            let (time, passed) = step.run(&next)?;
            outcomes
                .insert(name.clone(), json!({ "passed": passed, "seconds": time.as_secs_f64() }));
            if !passed {
                failed.push(name);
                if !self.keep_going {
                    break;
                }
            }
        }
        let passed = outcomes.len() - failed.len();
        println!("test: {passed} steps passed, {} failed", failed.len());
        if let Some(file) = &self.json {
            let whole = json!({ "passed": passed, "failed": failed.len(), "steps": Value::Object(outcomes) });
            std::fs::write(file, format!("{whole:#}\n"))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

impl Test {
    /// The steps that are asked for. A name that no step has is a mistake, and not less to do.
    fn wanted(&self) -> Result<Vec<Step>> {
        let mut steps = steps::all()?;
        for name in &self.step {
            if !steps.iter().any(|step| step.name.starts_with(name)) {
                bail!("no step is named {name}: see `cargo xtask test --list`");
            }
        }
        if let Some(name) = &self.from {
            let first = steps.iter().position(|step| step.name.starts_with(name));
            let first = first.with_context(|| {
                format!("no step is named {name}: see `cargo xtask test --list`")
            })?;
            steps.drain(..first);
        }
        let is_named = |step: &Step| self.step.iter().any(|name| step.name.starts_with(name));
        steps.retain(|step| self.step.is_empty() || is_named(step));
        Ok(steps)
    }
}

impl Step {
    /// Runs it, and says how it went, and what is next.
    fn run(mut self, next: &str) -> Result<(Duration, bool)> {
        let start = Instant::now();
        let spinner = ProgressBar::new_spinner().with_message(self.name.clone());
        spinner.enable_steady_tick(Duration::from_millis(200));
        let (passed, output) = self.output()?;
        spinner.finish_and_clear();
        let time = start.elapsed();
        let word = if passed { "ok" } else { "FAILED" };
        println!("{:<34} {word:<6} {:>7.1} s{next}", self.name, time.as_secs_f64());
        if passed {
            for line in output.lines().filter(|line| (self.closing)(line)) {
                println!("    {}", line.trim());
            }
        } else {
            println!("    $ {}", shown(&self.command));
            let log = target_dir().join("xtask-test.log");
            std::fs::write(&log, &output)?;
            println!("{}", tail(&output, 60));
            println!("    (all of it: {})", log.display());
        }
        Ok((time, passed))
    }

    /// Whether the command succeeded, and what it printed to both streams, in order.
    fn output(&mut self) -> Result<(bool, String)> {
        let (mut reader, writer) = std::io::pipe()?;
        let command = &mut self.command;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child =
            command.spawn().with_context(|| format!("cannot run `{}`", shown(command)))?;
        // Ours would keep the pipe open when the child ends.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut output = Vec::new();
        reader.read_to_end(&mut output)?;
        Ok((child.wait()?.success(), String::from_utf8_lossy(&output).into_owned()))
    }
}
