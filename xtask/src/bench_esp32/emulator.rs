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
        let image = Firmware {
            package: &package(),
            binary: "emulator",
            cargo_arguments: &["--features".into(), crypto.features("emulator")],
            rustc_arguments: &[UNROLL],
            link_script: &xtensa::sim_link_script(),
            target_dir: &builds(crypto),
        }
        .build(abi)?;
        columns.push(Column::read(name, "insn", &xtensa::simulate(&image)?)?);
    }
    println!("building and running the cases for rv32");
    columns.push(Column::read("rv32", "insn", &simulate_riscv(&build_riscv(crypto)?)?)?);
    Ok(Numbers(columns))
}

/// The package of the cases.
pub(super) fn package() -> PathBuf {
    root().join("benches/esp32")
}

/// Where they are built. The assembly of one build lies where that of another would.
pub(super) fn builds(crypto: Crypto) -> PathBuf {
    target_dir().join("bench-esp32").join(crypto.name())
}

fn build_riscv(crypto: Crypto) -> Result<PathBuf> {
    // The machine that `size` runs on.
    let link_script = root().join("xtask/size-firmware/link.ld");
    let mut cargo = Toolchain::find()?.cargo();
    cargo
        .args(["build", "--release", "--locked", "--bin", "emulator"])
        .args(["--features", &crypto.features("emulator")])
        .args(["-Zbuild-std=core,alloc", "--target", RISCV, "--target-dir"])
        .arg(builds(crypto))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", format!("{UNROLL} -Clink-arg=-T{}", link_script.display()))
        .current_dir(package());
    output_of(&mut cargo)?;
    Ok(builds(crypto).join(RISCV).join("release/emulator"))
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
