//! Espressif's chips, and the compilers for them.

use std::process::Command;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::setup::rust_src::Toolchain;
use crate::setup::{self, Need};

/// A chip of Espressif's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Chip {
    /// A RISC-V core at 160 MHz.
    Esp32c3,
    /// A RISC-V core at 160 MHz.
    Esp32c6,
    /// Two Xtensa LX6 cores at 240 MHz.
    Esp32,
    /// An Xtensa LX7 core at 240 MHz.
    Esp32s2,
    /// Two Xtensa LX7 cores at 240 MHz.
    Esp32s3,
}

impl Chip {
    /// As the features of esp-hal call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Esp32 => "esp32",
            Self::Esp32s2 => "esp32s2",
            Self::Esp32s3 => "esp32s3",
            Self::Esp32c3 => "esp32c3",
            Self::Esp32c6 => "esp32c6",
        }
    }

    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Esp32 => "xtensa-esp32-none-elf",
            Self::Esp32s2 => "xtensa-esp32s2-none-elf",
            Self::Esp32s3 => "xtensa-esp32s3-none-elf",
            Self::Esp32c3 => "riscv32imc-unknown-none-elf",
            Self::Esp32c6 => "riscv32imac-unknown-none-elf",
        }
    }

    pub(crate) fn is_xtensa(self) -> bool {
        self.target().starts_with("xtensa")
    }

    /// Why nothing can be built for it here.
    pub(crate) fn obstacle(self) -> Option<String> {
        let has_espressif = || {
            let version = Command::new("rustc").args(["+esp", "--version"]).output();
            version.is_ok_and(|output| output.status.success())
        };
        (self.is_xtensa() && !has_espressif()).then(|| {
            format!(
                "{} has an Xtensa processor, which needs Espressif's compiler: `cargo install \
                 espup --locked; espup install` and the environment that it tells of",
                self.name()
            )
        })
    }

    /// `cargo` of the toolchain that builds for it, ready for a subcommand.
    pub(crate) fn cargo(self) -> Result<Command> {
        if let Some(obstacle) = self.obstacle() {
            bail!("{obstacle}");
        }
        if self.is_xtensa() {
            let mut cargo = Command::new("cargo");
            cargo.arg("+esp");
            return Ok(cargo);
        }
        setup::require(&[Need::RustSrc])?;
        Ok(Toolchain::find()?.cargo())
    }
}
