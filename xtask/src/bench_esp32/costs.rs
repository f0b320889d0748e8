//! The table of costs in README.md, from the numbers that the comparison is with.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::workspace::root;

const BEGIN: &str = "<!-- costs: written by `cargo xtask bench-esp32 --readme` -->\n";
const END: &str = "<!-- end of costs -->\n";

/// What the numbers are shown as.
#[derive(Clone, Copy)]
enum Shown {
    PerByte,
    Plain,
    Millions,
}

/// A row: its title, its key after the instruction set, and its aims on Xtensa and RV32.
type Row = (&'static str, &'static str, Shown, Option<[f64; 2]>);

const ROWS: &[Row] = &[
    ("seal 64 B, per byte", "seal_64.insn_per_byte", Shown::PerByte, None),
    ("seal 1420 B, per byte", "seal_1420.insn_per_byte", Shown::PerByte, Some([46.0, 38.0])),
    ("open 1420 B, per byte", "open_1420.insn_per_byte", Shown::PerByte, None),
    ("X25519", "x25519.insn", Shown::Millions, Some([2.1e6, 2.2e6])),
    ("a handshake, initiator's part", "handshake_initiator.insn", Shown::Millions, None),
    ("a handshake, responder's part", "handshake_responder.insn", Shown::Millions, None),
    ("a packet of 1420 B out", "packet_out_1420.insn", Shown::Plain, None),
    ("a packet of 1420 B in", "packet_in_1420.insn", Shown::Plain, None),
    ("a wrong mac1 refused", "refuse_mac1.insn", Shown::Plain, None),
    ("a replay refused", "refuse_replay.insn", Shown::Plain, None),
    ("stack of a handshake, bytes", "handshake.stack_bytes", Shown::Plain, None),
    ("stack of a packet, bytes", "packet.stack_bytes", Shown::Plain, None),
];

/// The columns: instruction set and file.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("Xtensa, portable", "xtensa", "baseline.json"),
    ("Xtensa, `word32`", "xtensa", "baseline-word32.json"),
    ("RV32IMC, portable", "rv32", "baseline.json"),
    ("RV32IMC, `word32`", "rv32", "baseline-word32.json"),
];

/// Writes the table into README.md anew.
pub(super) fn write() -> Result<()> {
    let text = std::fs::read_to_string(readme())?;
    let (before, _, after) = parts(&text)?;
    let table = table()?;
    Ok(std::fs::write(readme(), format!("{before}{BEGIN}{table}{END}{after}"))?)
}

fn readme() -> PathBuf {
    root().join("README.md")
}

/// What is before the table, the table, and what is after it.
fn parts(readme: &str) -> Result<(&str, &str, &str)> {
    let lost = || format!("README.md has no lines {BEGIN} and {END}");
    let (before, rest) = readme.split_once(BEGIN).with_context(lost)?;
    let (table, after) = rest.split_once(END).with_context(lost)?;
    Ok((before, table, after))
}

fn table() -> Result<String> {
    let mut table = String::from("\n| instructions |");
    let mut columns = Vec::new();
    for (title, set, file) in COLUMNS {
        let file = root().join("benches/esp32").join(file);
        let numbers: Map<String, Value> = serde_json::from_slice(&std::fs::read(&file)?)
            .with_context(|| format!("{} is not an object of numbers", file.display()))?;
        columns.push((set, numbers));
        let _ = write!(table, " {title} |");
    }
    table += " aim, Xtensa / RV32 |\n| --- |";
    table += &" --- |".repeat(COLUMNS.len() + 1);
    table += "\n";
    for &(title, key, as_what, aims) in ROWS {
        let _ = write!(table, "| {title} |");
        for (set, numbers) in &columns {
            let key = format!("{set}.{key}");
            let number = numbers.get(&key).and_then(Value::as_f64);
            let number = number.with_context(|| format!("the baselines have no {key}"))?;
            let _ = write!(table, " {} |", shown(number, as_what));
        }
        match aims {
            Some([xtensa, rv32]) => {
                let [xtensa, rv32] = [xtensa, rv32].map(|aim| shown(aim, as_what));
                let _ = writeln!(table, " {xtensa} / {rv32} |");
            }
            None => table += " |\n",
        }
    }
    Ok(table + "\n")
}

fn shown(number: f64, as_what: Shown) -> String {
    match as_what {
        Shown::Millions => format!("{:.2} M", number / 1e6),
        Shown::PerByte => format!("{number:.1}"),
        Shown::Plain => {
            let digits = number.to_string();
            let groups: Vec<_> =
                digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_shows_the_baselines() {
        let text = std::fs::read_to_string(readme()).unwrap();
        let (_, shown, _) = parts(&text).unwrap();
        let table = table().unwrap();
        assert!(shown == table, "README.md is stale: its table of costs is now\n{table}");
    }

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        assert_eq!(shown(95_690.0, Shown::Plain), "95,690");
        assert_eq!(shown(387.0, Shown::Plain), "387");
        assert_eq!(shown(102.0, Shown::PerByte), "102.0");
        assert_eq!(shown(2_176_487.0, Shown::Millions), "2.18 M");
    }
}
