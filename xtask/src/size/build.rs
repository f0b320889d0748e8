//! Builds the images of `xtask/size-firmware`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::image::Image;
use crate::setup::rust_src::Toolchain;
use crate::workspace::{output_of, root, target_dir};

pub(super) const TARGET: &str = "riscv32imc-unknown-none-elf";

/// Whose cryptography is linked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Crypto {
    /// The portable crates.
    Real,
    /// wg-core's own for 32 bits.
    Word32,
    /// wg-core's stand-in, which leaves the engine alone in the image.
    Opaque,
}

/// How far the compiler goes.
#[derive(Clone, Copy)]
pub(super) enum OptLevel {
    S,
    Z,
    Three,
}

impl OptLevel {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S => "s",
            Self::Z => "z",
            Self::Three => "3",
        }
    }
}

/// What firmware that is short of flash may ask of the compiler (`docs/measuring.md`): the linker
/// shortens calls, less is inlined, and sequences that recur are moved out.
const SMALL: &str = "-Ctarget-feature=+relax -Cllvm-args=-inline-threshold=10 \
    -Cllvm-args=-enable-machine-outliner=always";

/// Which flags the compiler gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flags {
    /// None but what the image needs.
    Plain,
    /// Those for less flash.
    Small,
}

pub(super) struct Builder {
    toolchain: Toolchain,
}

/// The images of one build, by name.
pub(super) struct Images {
    dir: PathBuf,
}

impl Builder {
    pub(super) fn find() -> Result<Self> {
        Ok(Self { toolchain: Toolchain::find()? })
    }

    /// `cargo` with unstable flags.
    pub(super) fn cargo(&self) -> Command {
        self.toolchain.cargo()
    }

    pub(super) fn build(&self, level: OptLevel, crypto: Crypto, flags: Flags) -> Result<Images> {
        let firmware = firmware();
        let kind = match crypto {
            Crypto::Real => "real",
            Crypto::Word32 => "word32",
            Crypto::Opaque => "opaque",
        };
        let (suffix, with) = match flags {
            Flags::Plain => ("", ""),
            Flags::Small => ("-small", ", flags for less flash"),
        };
        let small = flags == Flags::Small;
        println!("building the images: opt-level {}, {kind} cryptography{with}", level.name());
        // A folder for each, or each build would throw the others away.
        let dir = target_dir().join("size").join(format!("{}-{kind}{suffix}", level.name()));
        let mut flags = format!("-Clink-arg=-T{}", firmware.join("link.ld").display());
        if small {
            flags = format!("{flags} {SMALL}");
        }
        if crypto == Crypto::Opaque {
            flags += " --cfg wg_core_opaque_crypto";
        }
        let mut cargo = self.cargo();
        cargo
            .args(["build", "--release", "--locked", "-Zbuild-std=core", "--target", TARGET])
            .arg("--target-dir")
            .arg(&dir)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", flags)
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level.name())
            .current_dir(&firmware);
        if crypto == Crypto::Word32 {
            cargo.args(["--features", "word32"]);
        }
        output_of(&mut cargo)?;
        Ok(Images { dir: dir.join(TARGET).join("release") })
    }
}

impl Images {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn load(&self, name: &str) -> Result<Image> {
        Image::load(&self.path(name))
    }
}

/// The package of the images.
pub(super) fn firmware() -> PathBuf {
    Path::new(root()).join("xtask/size-firmware")
}
