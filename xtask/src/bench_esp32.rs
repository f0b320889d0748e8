//! `cargo xtask bench-esp32`: what the engine costs on the ESP32's instruction sets.
//! `docs/measuring.md` says what is counted.

mod board;
mod chart;
mod compare;
mod costs;
pub(crate) mod emulator;
mod numbers;
mod readme;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::chip::Chip;

/// Count what every operation costs on the ESP32's instruction sets, or time it on a board.
///
/// Without `--chip`, counts instructions in an emulator: Xtensa with both of its calling
/// conventions (ESP32, S2, S3) and RV32IMC (C3, C6). The counts are exact and the same in every
/// run; the times are estimates. Known answers come first, and a wrong one ends the run.
#[derive(Args)]
pub(crate) struct BenchEsp32 {
    /// Count in the emulator. That is what happens without `--chip` anyway.
    #[arg(long, conflicts_with = "chip")]
    emulator: bool,
    /// Flash this chip, on a serial port of this machine, and read the cycles that it counts.
    #[arg(long, value_name = "CHIP")]
    chip: Option<Chip>,
    /// With `--chip`, only build the image that would be flashed.
    #[arg(long, requires = "chip")]
    build_only: bool,
    /// The engine's cryptography.
    #[arg(long, value_enum, default_value_t)]
    crypto: Crypto,
    /// Write the numbers as one flat JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the cost of a byte as a chart.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Fail when a number is more than 1 % greater than in this file, or in one of both only.
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Write the tables of README.md, from the numbers in benches/esp32, and of benches/README.md
    /// anew; for the latter criterion runs on this machine.
    #[arg(long, conflicts_with = "chip")]
    readme: bool,
}

/// Whose cryptography the engine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Crypto {
    /// The portable crates, which are the default.
    #[default]
    Named,
    /// wg-core's own for 32 bits, its feature `word32`.
    Word32,
}

impl Crypto {
    fn name(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Word32 => "word32",
        }
    }

    /// The features of the firmware that select it, after this one.
    fn features(self, machine: &str) -> String {
        match self {
            Self::Named => machine.to_owned(),
            Self::Word32 => format!("{machine},word32"),
        }
    }
}

impl BenchEsp32 {
    pub(crate) fn run(&self) -> Result<()> {
        // `--json` may write the same file anew.
        let old = self.compare.as_deref();
        let old = old.map(|file| anyhow::Ok((file, compare::read(file)?))).transpose()?;
        let numbers = match self.chip {
            None => emulator::measure(self.crypto)?,
            Some(chip) => {
                if !self.build_only {
                    board::require_flasher()?;
                }
                let image = board::build(chip, self.crypto)?;
                if self.build_only {
                    println!("{}", image.display());
                    return Ok(());
                }
                board::measure(chip, &image)?
            }
        };
        numbers.print();
        if let Some(file) = &self.json {
            write(file, &(serde_json::to_string_pretty(&numbers.json())? + "\n"))?;
        }
        if let Some(file) = &self.svg {
            write(file, &chart::draw(&numbers))?;
        }
        if self.readme {
            costs::write()?;
            readme::write()?;
        }
        match old {
            Some((file, before)) => compare::compare(file, &before, &numbers.json()),
            None => Ok(()),
        }
    }
}

fn write(file: &std::path::Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
