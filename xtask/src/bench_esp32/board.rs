//! The cases on a chip: built with Espressif's compiler or the stock one, flashed and read by
//! espflash.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Crypto;
use super::emulator::{UNROLL, builds, package};
use super::numbers::{Column, Numbers};
use crate::chip::Chip;
use crate::workspace::{has_program, output_of, shown};

/// Builds the image for a chip.
pub(super) fn build(chip: Chip, crypto: Crypto) -> Result<PathBuf> {
    println!("building the cases for {}", chip.name());
    let flags = if chip.is_xtensa() {
        "-Clink-arg=-nostartfiles -Clink-arg=-Tlinkall.x"
    } else {
        "-Clink-arg=-Tlinkall.x -Cforce-frame-pointers"
    };
    let target_dir = builds(crypto).join(chip.name());
    let mut cargo = chip.cargo()?;
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
