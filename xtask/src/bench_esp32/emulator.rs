//! Builds the cases for the three instruction sets, and runs them in QEMU.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

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

pub(super) fn measure(crypto: Crypto) -> Result<Numbers> {
    setup::require(xtensa::NEEDS)?;
    setup::require(&[Need::RiscvEmulator])?;
    let mut columns = Vec::new();
    for (name, abi) in [("xtensa", Abi::Call0), ("xtensa_windowed", Abi::Windowed)] {
        println!("building and running the cases for {name}");
        let image = build_xtensa(crypto, abi)?;
        columns.push(Column::read(name, "insn", &xtensa::simulate(&image)?)?);
    }
    println!("building and running the cases for rv32");
    columns.push(Column::read("rv32", "insn", &simulate_riscv(&build_riscv(crypto)?)?)?);
    Ok(Numbers(columns))
}

/// The assembly of the cases with `word32`, by instruction set.
pub(crate) fn assembly() -> Result<Vec<(&'static str, String)>> {
    setup::require(xtensa::NEEDS)?;
    let mut programs = Vec::new();
    for (name, abi) in [("xtensa", Abi::Call0), ("xtensa_windowed", Abi::Windowed)] {
        println!("building the cases for {name}");
        let image = build_xtensa(Crypto::Word32, abi)?;
        programs.push((name, std::fs::read_to_string(image.with_extension("s"))?));
    }
    println!("building the cases for rv32");
    let file = builds(Crypto::Word32).join("rv32.s");
    let mut cargo = cargo_riscv("rustc", Crypto::Word32)?;
    output_of(cargo.args(["--", &format!("--emit=asm={},link", file.display())]))?;
    programs.push(("rv32", std::fs::read_to_string(file)?));
    Ok(programs)
}

/// The package of the cases.
pub(super) fn package() -> PathBuf {
    root().join("benches/esp32")
}

/// Where they are built. The assembly of one build lies where that of another would.
pub(super) fn builds(crypto: Crypto) -> PathBuf {
    target_dir().join("bench-esp32").join(crypto.name())
}

fn build_xtensa(crypto: Crypto, abi: Abi) -> Result<PathBuf> {
    Firmware {
        package: &package(),
        binary: "emulator",
        cargo_arguments: &["--features".into(), crypto.features("emulator")],
        rustc_arguments: &[UNROLL],
        link_script: &xtensa::sim_link_script(),
        target_dir: &builds(crypto),
    }
    .build(abi)
}

fn build_riscv(crypto: Crypto) -> Result<PathBuf> {
    output_of(&mut cargo_riscv("build", crypto)?)?;
    Ok(builds(crypto).join(RISCV).join("release/emulator"))
}

/// Builds the cases for RV32IMC by `cargo build` or `cargo rustc`.
fn cargo_riscv(command: &str, crypto: Crypto) -> Result<Command> {
    // The machine that `size` runs on.
    let link_script = root().join("xtask/size-firmware/link.ld");
    let mut cargo = Toolchain::find()?.cargo();
    cargo
        .args([command, "--release", "--locked", "--bin", "emulator"])
        .args(["--features", &crypto.features("emulator")])
        .args(["-Zbuild-std=core,alloc", "--target", RISCV, "--target-dir"])
        .arg(builds(crypto))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", format!("{UNROLL} -Clink-arg=-T{}", link_script.display()))
        .current_dir(package());
    Ok(cargo)
}

fn simulate_riscv(image: &Path) -> Result<String> {
    output_of(
        // A guest that hangs would never end by itself.
        Command::new("timeout")
            .args(["120", "qemu-system-riscv32", "-M", "virt", "-bios", "none"])
            .args(["-icount", "shift=0", "-display", "none", "-monitor", "none"])
            .args(["-serial", "stdio", "-kernel"])
            .arg(image),
    )
}
