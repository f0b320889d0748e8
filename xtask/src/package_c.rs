//! `cargo xtask package-c`: wg-c as people who write C and C++ get it, without a Rust compiler.

mod archive;
mod layout;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use sha2::{Digest, Sha256};

use crate::setup::{self, Need};
use crate::workspace::target_dir;
use crate::xtensa;
use archive::Chip;

/// Make the packages of wg-c in target/package-c: a library for Arduino and PlatformIO, a component
/// for ESP-IDF, and archives for Cortex-M and Linux.
///
/// Every archive exports the functions of wg.h and nothing else, and leaves to the C library what it
/// needs of it, which is checked. Two runs make the same bytes.
#[derive(Args)]
pub(crate) struct PackageC {
    /// Only the archives of these chips, such as esp32c3; for a look, no package is whole then.
    #[arg(long, value_name = "CHIP")]
    chip: Vec<String>,
    /// Make everything again and compare.
    #[arg(long)]
    twice: bool,
}

impl PackageC {
    pub(crate) fn run(&self) -> Result<()> {
        setup::require(xtensa::NEEDS)?;
        setup::require(&[Need::CCompiler])?;
        let dir = target_dir().join("package-c");
        let chips: Vec<_> = archive::CHIPS
            .iter()
            .filter(|chip| self.chip.is_empty() || self.chip.iter().any(|name| name == chip.name))
            .collect();
        if chips.is_empty() {
            let known: Vec<_> = archive::CHIPS.iter().map(|chip| chip.name).collect();
            bail!("there is no such chip; there are {}", known.join(", "));
        }
        let packages = dir.join("packages");
        let sums = make(&dir.join("build"), &packages, &chips)?;
        for (file, sum) in &sums {
            println!("{sum}  {file}");
        }
        if self.twice {
            // From nothing, or it would only say that copying is exact.
            let again = make(&dir.join("build-again"), &dir.join("packages-again"), &chips)?;
            let differ: Vec<_> =
                sums.iter().filter(|(file, sum)| again.get(*file) != Some(sum)).collect();
            fs::remove_dir_all(dir.join("build-again"))?;
            fs::remove_dir_all(dir.join("packages-again"))?;
            if !differ.is_empty() || again.len() != sums.len() {
                bail!("a second run made other files: {differ:?}");
            }
            println!("a second build from nothing made the same {} files", sums.len());
        }
        println!("the packages are in {}", packages.display());
        Ok(())
    }
}

/// The archive of a chip, as it is in the packages.
pub(crate) fn archive(name: &str) -> Result<PathBuf> {
    let chip = archive::CHIPS.iter().find(|chip| chip.name == name).context("a chip's name")?;
    Ok(archive::build(&target_dir().join("package-c/build"), chip)?.archive)
}

/// Builds the archives and lays out the packages; the files' checksums.
fn make(build: &Path, packages: &Path, chips: &[&Chip]) -> Result<BTreeMap<String, String>> {
    let mut archives = BTreeMap::new();
    for chip in chips {
        let built = archive::build(build, chip)?;
        let (defined, asked) = (built.defined.len(), built.asked.join(" "));
        println!("  {:<12} defines the {defined} functions of wg.h, asks for {asked}", chip.name);
        archives.insert(chip.name, built.archive);
    }
    if packages.exists() {
        fs::remove_dir_all(packages)?;
    }
    layout::write(packages, &archives)?;
    let mut sums = BTreeMap::new();
    for file in files(packages)? {
        let name = file.strip_prefix(packages)?.display().to_string();
        let digest = Sha256::digest(fs::read(&file)?);
        let sum = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        sums.insert(name, sum);
    }
    let lines: String = sums.iter().map(|(file, sum)| format!("{sum}  {file}\n")).collect();
    fs::write(packages.join("SHA256SUMS"), lines)?;
    Ok(sums)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
