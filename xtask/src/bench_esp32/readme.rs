//! The table of benches/README.md: this machine by criterion, beside the emulated ones.

use std::fmt::Write;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::numbers::{Case, Column, Numbers};
use super::{Crypto, emulator};
use crate::workspace::{root, target_dir};

const BEGIN: &str = "<!-- cases: written by `cargo xtask bench-esp32 --readme` -->\n";
const END: &str = "<!-- end of cases -->\n";

/// The clock that the devices' columns are for, in MHz.
const CLOCK: f64 = 240.0;

pub(super) fn write() -> Result<()> {
    let devices =
        [("", emulator::measure(Crypto::Named)?), (", word32", emulator::measure(Crypto::Word32)?)];
    println!("\nrunning the same cases on this machine by criterion");
    let status = Command::new("cargo")
        .args(["bench", "--quiet", "--locked", "-p", "wg-benches", "--bench", "cases"])
        .current_dir(root())
        .status()
        .context("cannot run cargo bench")?;
    if !status.success() {
        bail!("criterion failed ({status})");
    }
    let file = root().join("benches/README.md");
    let text = std::fs::read_to_string(&file)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("{} has no line {BEGIN}", file.display()))?;
    let (_, after) =
        rest.split_once(END).with_context(|| format!("{} has no line {END}", file.display()))?;
    let table = table(&devices)?;
    std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}"))?;
    Ok(())
}

/// `devices` are by their cryptography, which is named behind each.
fn table(devices: &[(&str, Numbers)]) -> Result<String> {
    let columns = || devices.iter().flat_map(|(_, Numbers(columns))| columns);
    let first = columns().next().context("nothing was measured")?;
    let mut table = String::from("\n| | this host |");
    for (crypto, Numbers(columns)) in devices {
        columns.iter().for_each(|column| table += &format!(" `{}`{crypto} |", column.name));
    }
    table += "\n|---|---|";
    table += &"---|".repeat(columns().count());
    table += "\n";
    for case in &first.cases {
        // Sums of two cases have no run of their own.
        let Some(nanos) = criterion(&case.name)? else { continue };
        let _ = write!(table, "| {} | {} |", case.name, shown(case.bytes, nanos));
        for column in columns() {
            let _ = write!(table, " {} |", device(column, case)?);
        }
        table += "\n";
    }
    Ok(table + "\n")
}

/// The median that criterion found, in nanoseconds.
fn criterion(case: &str) -> Result<Option<f64>> {
    let file = target_dir().join("criterion/cases").join(case).join("new/estimates.json");
    let Ok(text) = std::fs::read(&file) else { return Ok(None) };
    let estimates: Value =
        serde_json::from_slice(&text).with_context(|| format!("{}", file.display()))?;
    let median = estimates["median"]["point_estimate"].as_f64();
    Ok(Some(median.with_context(|| format!("no median in {}", file.display()))?))
}

fn device(column: &Column, case: &Case) -> Result<String> {
    let Case { bytes, count, .. } = *column.case(&case.name)?;
    Ok(shown(bytes, count as f64 / CLOCK * 1000.0))
}

fn shown(bytes: u64, nanos: f64) -> String {
    if bytes > 0 {
        let speed = bytes as f64 / nanos * 1000.0;
        return if speed < 100.0 { format!("{speed:.2} MB/s") } else { format!("{speed:.0} MB/s") };
    }
    match nanos {
        nanos if nanos >= 1e6 => format!("{:.1} ms", nanos / 1e6),
        nanos if nanos >= 1e3 => format!("{:.1} us", nanos / 1e3),
        nanos => format!("{nanos:.0} ns"),
    }
}
