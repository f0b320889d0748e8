//! Faults that were found by hand once, put back one at a time, to see what finds them unaided.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::claims;
use crate::workspace::{output_of, root, target_dir};

/// As many scripts are played for each fault, at most.
const SCRIPTS: u64 = 1_000;

/// A tool: its name, the test program, and what shows that it found something.
const TOOLS: &[(&str, &str)] =
    &[("scripts of an adversary", "any_network"), ("work by size of input", "linear_work")];

/// Writes the table of docs/assurance.md.
pub(super) fn put_back() -> Result<()> {
    let copy = target_dir().join("faulty");
    let mut table = String::from("| fault | found by | it took | |\n| --- | --- | --- | --- |\n");
    let mut missed = Vec::new();
    for patch in patches()? {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        copy_workspace(&copy)?;
        let mut apply = Command::new("patch");
        apply.args(["-p1", "--silent", "-i"]).arg(&patch).current_dir(&copy);
        output_of(&mut apply).with_context(|| format!("{name} does not apply any more"))?;
        match found(&copy)? {
            Some(find) => {
                println!("{name}: found by {}, {:.0} s: {}", find.tool, find.seconds, find.says);
                let Find { tool, scripts, seconds, says } = find;
                let scripts = scripts.map_or(String::new(), |n| format!("{n} scripts, "));
                writeln!(table, "| {name} | {tool} | {scripts}{seconds:.0} s | {says} |")?;
            }
            None => {
                println!("{name}: not found");
                writeln!(table, "| {name} | nothing | | |")?;
                missed.push(name);
            }
        }
    }
    fs::remove_dir_all(&copy)?;
    claims::replace(claims::FAULTS, &table)?;
    if !missed.is_empty() {
        bail!("not found: {}", missed.join(", "));
    }
    Ok(())
}

struct Find {
    tool: &'static str,
    scripts: Option<u64>,
    /// Of running the tool, not of building it.
    seconds: f64,
    says: String,
}

/// The first tool that finds something, if one does.
fn found(copy: &Path) -> Result<Option<Find>> {
    for (tool, program) in TOOLS {
        let test = |more: &[&str]| -> Result<Output> {
            let mut test = Command::new("cargo");
            test.args(["test", "--locked", "-p", "wg-core", "--all-features", "--test", program]);
            // Builds of its own: cargo tells workspaces apart by what is in them, not by where.
            test.args(more)
                .current_dir(copy)
                .env("CARGO_TARGET_DIR", target_dir().join("faulty-build"));
            test.env("WG_SCRIPTS", SCRIPTS.to_string()).env("RUST_BACKTRACE", "0");
            Ok(test.output()?)
        };
        if !test(&["--no-run"])?.status.success() {
            bail!("the faulty workspace does not build");
        }
        let start = Instant::now();
        let run = test(&[])?;
        if run.status.success() {
            continue;
        }
        let output = String::from_utf8_lossy(&run.stdout).into_owned();
        let seed = output
            .split("the script of seed ")
            .nth(1)
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok());
        // The last panic is that of the shortest script.
        let lines: Vec<_> = output.lines().collect();
        let place = lines.iter().rposition(|line| line.contains(" panicked at "));
        let says = place.and_then(|at| lines.get(at + 1)).unwrap_or(&"");
        let says = says.trim_start_matches("assertion `left == right` failed: ").to_owned();
        let scripts = seed.map(|seed| seed + 1);
        return Ok(Some(Find { tool, scripts, seconds: start.elapsed().as_secs_f64(), says }));
    }
    Ok(None)
}

/// In the order of their names.
fn patches() -> Result<Vec<PathBuf>> {
    let directory = root().join("wg-core/fuzz/faults");
    let entries = fs::read_dir(&directory).with_context(|| format!("{}", directory.display()))?;
    let mut patches = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    patches.sort();
    Ok(patches)
}

/// Every file of the checkout, so that the manifests find each other.
fn copy_workspace(copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    for file in output_of(&mut list)?.lines() {
        let (from, to) = (root().join(file), copy.join(file));
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory)?;
        }
        // A file that was deleted and not committed yet is in the list, too.
        if from.is_file() {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(())
}
