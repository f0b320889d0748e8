//! `cargo xtask bench-esp32`: what the engine costs on the ESP32's instruction sets.

use anyhow::Result;
use clap::Args;

use crate::workspace::{root, target_dir};
use crate::{setup, xtensa};

/// Count the instructions of every operation on Xtensa.
#[derive(Args)]
pub(crate) struct BenchEsp32 {}

impl BenchEsp32 {
    pub(crate) fn run(&self) -> Result<()> {
        setup::require(xtensa::NEEDS)?;
        for abi in [xtensa::Abi::Call0, xtensa::Abi::Windowed] {
            let firmware = xtensa::Firmware {
                package: &root().join("benches/esp32"),
                binary: "emulator",
                cargo_arguments: &[],
                rustc_arguments: &[],
                link_script: &xtensa::sim_link_script(),
                target_dir: &target_dir().join("bench-esp32"),
            };
            print!("{}", xtensa::simulate(&firmware.build(abi)?)?);
        }
        Ok(())
    }
}
