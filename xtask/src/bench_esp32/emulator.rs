//! Builds the cases for the three instruction sets, and runs them in QEMU.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, anyhow};

use super::Crypto;
use super::numbers::{Column, Numbers};
use crate::setup::rust_src::Toolchain;
use crate::setup::{self, Need};
use crate::workspace::{output_of, root, target_dir};
use crate::xtensa::{self, Abi, Firmware};

/// LLVM's own limit leaves the rounds of ChaCha20 in loops, and its state in memory: a third of
/// all instructions.
pub(super) const UNROLL: &str = "-Cllvm-args=-unroll-threshold=2000";

const RISCV: &str = "riscv32imc-unknown-none-elf";

/// After which a run of the cases hangs: it takes two.
const SECONDS: u32 = 120;

pub(super) fn measure(crypto: Crypto) -> Result<Numbers> {
    setup::require(xtensa::NEEDS)?;
    setup::require(&[Need::RiscvEmulator])?;
    let features = crypto.features("emulator");
    let binary =
        Binary { name: "emulator", crypto, features: &features, opt_level: OptLevel::Speed };
    let mut columns = Vec::new();
    for (name, abi) in [("xtensa", Abi::Call0), ("xtensa_windowed", Abi::Windowed)] {
        println!("building and running the cases for {name}");
        let image = binary.build_xtensa(abi)?;
        columns.push(Column::read(name, "insn", &xtensa::simulate(&image, SECONDS)?)?);
    }
    println!("building and running the cases for rv32");
    let output = simulate_riscv(&binary.build_riscv()?, SECONDS)?;
    columns.push(Column::read("rv32", "insn", &output)?);
    Ok(Numbers(columns))
}

/// A program for one instruction set: its assembly, and what it printed.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) assembly: String,
    pub(crate) output: String,
}

/// What a program is built for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptLevel {
    Speed,
    Size,
}

impl OptLevel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Speed => "3",
            Self::Size => "s",
        }
    }
}

/// Builds `constant-time` for each instruction set, and runs it while the next one is built.
pub(crate) fn constant_time(opt_level: OptLevel, thorough: bool) -> Result<Vec<Program>> {
    setup::require(xtensa::NEEDS)?;
    setup::require(&[Need::RiscvEmulator])?;
    let mut features = Crypto::Word32.features("emulator");
    let mut seconds = SECONDS;
    if thorough {
        features += ",thorough";
        seconds = 4 * 3600;
    }
    let crypto = Crypto::Word32;
    let binary = Binary { name: "constant-time", crypto, features: &features, opt_level };
    std::thread::scope(|scope| {
        let mut runs = Vec::new();
        for (name, abi) in [("xtensa", Abi::Call0), ("xtensa_windowed", Abi::Windowed)] {
            println!("building the functions for {name}");
            let image = binary.build_xtensa(abi)?;
            let assembly = std::fs::read_to_string(image.with_extension("s"))?;
            let run = scope.spawn(move || xtensa::simulate(&image, seconds));
            runs.push((name, assembly, run));
        }
        println!("building the functions for rv32");
        let image = binary.build_riscv()?;
        let assembly = std::fs::read_to_string(binary.builds().join("constant-time.s"))?;
        let run = scope.spawn(move || simulate_riscv(&image, seconds));
        runs.push(("rv32", assembly, run));
        println!("waiting for the last runs");
        let programs = runs.into_iter().map(|(name, assembly, run)| {
            let output = run.join().map_err(|_| anyhow!("{name}: the run panicked"))??;
            Ok(Program { name, assembly, output })
        });
        programs.collect()
    })
}

/// The package of the cases.
pub(super) fn package() -> PathBuf {
    root().join("benches/esp32")
}

/// Where they are built. The assembly of one build lies where that of another would.
pub(super) fn builds(crypto: Crypto) -> PathBuf {
    target_dir().join("bench-esp32").join(crypto.name())
}

/// A program of the package of the cases.
struct Binary<'a> {
    name: &'a str,
    crypto: Crypto,
    features: &'a str,
    opt_level: OptLevel,
}

impl Binary<'_> {
    fn builds(&self) -> PathBuf {
        let builds = builds(self.crypto);
        if self.opt_level == OptLevel::Speed { builds } else { builds.join("size") }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--features".to_owned(), self.features.to_owned()];
        if self.opt_level == OptLevel::Size {
            arguments.push("--config=profile.release.opt-level=\"s\"".to_owned());
        }
        arguments
    }

    fn build_xtensa(&self, abi: Abi) -> Result<PathBuf> {
        Firmware {
            package: &package(),
            binary: self.name,
            cargo_arguments: &self.arguments(),
            rustc_arguments: &[UNROLL],
            link_script: &xtensa::sim_link_script(),
            target_dir: &self.builds(),
        }
        .build(abi)
    }

    /// For RV32IMC, and its assembly beside the folders of the build.
    fn build_riscv(&self) -> Result<PathBuf> {
        // The machine that `size` runs on.
        let link_script = root().join("xtask/size-firmware/link.ld");
        let builds = self.builds();
        let assembly = builds.join(self.name).with_extension("s");
        output_of(
            Toolchain::find()?
                .cargo()
                .args(["rustc", "--release", "--locked", "--bin", self.name])
                .args(self.arguments())
                .args(["-Zbuild-std=core,alloc", "--target", RISCV, "--target-dir"])
                .arg(&builds)
                .args(["--", &format!("--emit=asm={},link", assembly.display())])
                .env_remove("CARGO_ENCODED_RUSTFLAGS")
                .env("RUSTFLAGS", format!("{UNROLL} -Clink-arg=-T{}", link_script.display()))
                .current_dir(package()),
        )?;
        Ok(builds.join(RISCV).join("release").join(self.name))
    }
}

fn simulate_riscv(image: &Path, seconds: u32) -> Result<String> {
    output_of(
        // A guest that hangs would never end by itself.
        Command::new("timeout")
            .arg(seconds.to_string())
            .args(["qemu-system-riscv32", "-M", "virt", "-bios", "none"])
            .args(["-icount", "shift=0", "-display", "none", "-monitor", "none"])
            .args(["-serial", "stdio", "-kernel"])
            .arg(image),
    )
}
