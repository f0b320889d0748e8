//! The boards there are, and how their firmware is built.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use crate::c_firmware::{self, CFirmware, Program};
use crate::setup::Need;
use crate::setup::rust_src::Toolchain;
use crate::workspace::{output_of, root, target_dir};
use crate::xtensa;

/// A machine of the emulator's with a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// RV32IMC as in the ESP32-C3: QEMU's `virt` machine with virtio devices.
    Riscv,
    /// Xtensa as in the ESP32: QEMU's `lx60` machine with an OpenCores Ethernet MAC.
    Xtensa,
}

/// What firmware is written in. Both do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// `examples/boards`: embassy, and wg-nal.
    Rust,
    /// `examples/boards-c`: lwIP, and wg-c as it is packaged.
    C,
}

/// An image and the board that it is for.
pub(crate) struct Firmware {
    pub(crate) kind: Kind,
    pub(crate) language: Language,
    pub(crate) image: PathBuf,
}

impl Firmware {
    pub(crate) fn build(kind: Kind, language: Language) -> Result<Self> {
        let image = match language {
            Language::Rust => Self::build_rust(kind),
            Language::C => {
                CFirmware { kind, name: "firmware", program: Program::firmware() }.build()
            }
        };
        Ok(Self { kind, language, image: image? })
    }

    /// The board's name, and the language where that is C.
    pub(crate) fn name(&self) -> String {
        match self.language {
            Language::Rust => self.kind.name().to_owned(),
            Language::C => format!("{}-c", self.kind.name()),
        }
    }

    fn build_rust(kind: Kind) -> Result<PathBuf> {
        let source = root().join("examples/boards");
        let target_dir = target_dir().join("boards");
        match kind {
            Kind::Riscv => build_riscv(&source, &target_dir),
            Kind::Xtensa => xtensa::Firmware {
                package: &source,
                binary: "boards",
                cargo_arguments: &[
                    // At "s" the compiler's backend runs out of registers in inlined functions,
                    "--config=profile.release.opt-level=\"z\"".into(),
                    // and the assembler does not know the names in what a debugger is told.
                    "--config=profile.release.debug=false".into(),
                ],
                rustc_arguments: &[],
                link_script: &source.join("xtensa.ld"),
                target_dir: &target_dir,
            }
            .build(xtensa::Abi::Call0),
        }
    }
}

fn build_riscv(source: &Path, target_dir: &Path) -> Result<PathBuf> {
    let target = "riscv32imc-unknown-none-elf";
    let mut cargo = Toolchain::find()?.cargo();
    cargo
        .args(["build", "--release", "--locked", "-Zbuild-std=core,alloc", "--target", target])
        .arg("--target-dir")
        .arg(target_dir)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", format!("-Clink-arg=-T{}", source.join("riscv.ld").display()))
        .current_dir(source);
    output_of(&mut cargo)?;
    Ok(target_dir.join(target).join("release/boards"))
}

impl Language {
    pub(crate) const ALL: &[Self] = &[Self::Rust, Self::C];

    /// What building takes, beside what the board does.
    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Self::Rust => &[],
            Self::C => c_firmware::NEEDS,
        }
    }
}

impl Kind {
    pub(crate) const ALL: &[Self] = &[Self::Riscv, Self::Xtensa];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Riscv => "riscv",
            Self::Xtensa => "xtensa",
        }
    }

    /// What building for the board and emulating it runs on.
    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Self::Riscv => &[Need::RustSrc, Need::RiscvEmulator],
            Self::Xtensa => xtensa::NEEDS,
        }
    }

    pub(super) fn emulator(self) -> &'static str {
        match self {
            Self::Riscv => "qemu-system-riscv32",
            Self::Xtensa => "qemu-system-xtensa",
        }
    }

    /// The emulator's option for an image to start.
    pub(crate) fn image_option(self) -> &'static str {
        match self {
            // As a kernel it would not be loaded: the machine expects one in its flash.
            Self::Riscv => "-bios",
            Self::Xtensa => "-kernel",
        }
    }

    /// The emulator wants a file of exactly this length.
    pub(super) fn flash_len(self) -> usize {
        match self {
            Self::Riscv => 32 * 1024 * 1024,
            Self::Xtensa => 4 * 1024 * 1024,
        }
    }

    /// The emulator's options for the machine, with its card at the end of `cable`.
    pub(super) fn machine(self, flash: &Path, mac: [u8; 6]) -> Vec<String> {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let flash = flash.display();
        let options: &[String] = match self {
            Self::Riscv => &[
                "-M virt -m 32".into(),
                "-global virtio-mmio.force-legacy=false".into(),
                format!("-device virtio-net-device,netdev=cable,bus=virtio-mmio-bus.0,mac={mac}"),
                "-device virtio-rng-device,bus=virtio-mmio-bus.1".into(),
                format!("-drive if=pflash,unit=1,format=raw,file={flash}"),
            ],
            Self::Xtensa => &[
                "-M lx60 -cpu dc233c -m 64 -semihosting".into(),
                format!("-net nic,netdev=cable,macaddr={mac}"),
                format!("-drive if=pflash,format=raw,file={flash}"),
            ],
        };
        options.iter().flat_map(|option| option.split(' ')).map(str::to_owned).collect()
    }
}
