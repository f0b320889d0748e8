//! The cases on a chip: built with Espressif's compiler or the stock one, flashed and read by
//! espflash.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::Crypto;
use super::emulator::{UNROLL, builds, package};
use super::numbers::{Column, Numbers};
use crate::setup::rust_src::Toolchain;
use crate::setup::{self, Need};
use crate::workspace::{has_program, output_of, shown};

/// A chip of Espressif's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Chip {
    /// Two Xtensa LX6 cores at 240 MHz.
    Esp32,
    /// An Xtensa LX7 core at 240 MHz.
    Esp32s2,
    /// Two Xtensa LX7 cores at 240 MHz.
    Esp32s3,
    /// A RISC-V core at 160 MHz.
    Esp32c3,
    /// A RISC-V core at 160 MHz.
    Esp32c6,
}

impl Chip {
    fn name(self) -> &'static str {
        match self {
            Self::Esp32 => "esp32",
            Self::Esp32s2 => "esp32s2",
            Self::Esp32s3 => "esp32s3",
            Self::Esp32c3 => "esp32c3",
            Self::Esp32c6 => "esp32c6",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Esp32 => "xtensa-esp32-none-elf",
            Self::Esp32s2 => "xtensa-esp32s2-none-elf",
            Self::Esp32s3 => "xtensa-esp32s3-none-elf",
            Self::Esp32c3 => "riscv32imc-unknown-none-elf",
            Self::Esp32c6 => "riscv32imac-unknown-none-elf",
        }
    }

    fn is_xtensa(self) -> bool {
        self.target().starts_with("xtensa")
    }
}

/// Builds the image for a chip.
pub(super) fn build(chip: Chip, crypto: Crypto) -> Result<PathBuf> {
    println!("building the cases for {}", chip.name());
    let (mut cargo, flags) = if chip.is_xtensa() {
        if output_of(Command::new("cargo").args(["+esp", "--version"])).is_err() {
            bail!(
                "the Xtensa chips need Espressif's Rust toolchain: `cargo install espup --locked`, \
                 `espup install`, and the environment that it tells of"
            );
        }
        let mut cargo = Command::new("cargo");
        cargo.arg("+esp");
        (cargo, "-Clink-arg=-nostartfiles -Clink-arg=-Tlinkall.x")
    } else {
        setup::require(&[Need::RustSrc])?;
        (Toolchain::find()?.cargo(), "-Clink-arg=-Tlinkall.x -Cforce-frame-pointers")
    };
    let target_dir = builds(crypto).join(chip.name());
    cargo
        .args(["build", "--release", "--locked", "--bin", "chip", "-Zbuild-std=core"])
        .args([
            "--features",
            &crypto.features(chip.name()),
            "--target",
            chip.target(),
            "--target-dir",
        ])
        .arg(&target_dir)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", format!("{flags} {UNROLL}"))
        .current_dir(package());
    output_of(&mut cargo)?;
    Ok(target_dir.join(chip.target()).join("release/chip"))
}

/// Asks for what flashes a board before anything is built for it.
pub(super) fn require_flasher() -> Result<()> {
    if !has_program("espflash") {
        bail!(
            "espflash flashes the board: `cargo install espflash --locked`, or see with \
             --build-only whether the image builds"
        );
    }
    Ok(())
}

/// Flashes the image, and reads what the chip says until it is done.
pub(super) fn measure(chip: Chip, image: &Path) -> Result<Numbers> {
    let mut espflash = Command::new("espflash");
    espflash.args(["flash", "--monitor", "--chip", chip.name()]).arg(image);
    espflash.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running =
        espflash.spawn().with_context(|| format!("cannot run `{}`", shown(&espflash)))?;
    let lines = BufReader::new(running.stdout.take().context("espflash has an output")?).lines();
    let mut output = String::new();
    for line in lines {
        let line = line?;
        let line = line.trim();
        output += &format!("{line}\n");
        if line == "done" || line.starts_with("wrong answer") || line.contains("panicked") {
            break;
        }
    }
    // The monitor would read on for ever.
    let _ = running.kill();
    running.wait()?;
    Ok(Numbers(vec![Column::read(chip.name(), "cycles", &output)?]))
}
