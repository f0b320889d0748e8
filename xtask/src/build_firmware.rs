//! `cargo xtask build-firmware`: builds the firmware of all boards, and says what flash and
//! memory it takes: beside the same without a tunnel, and with TLS in its place.

mod cortex_m;
mod esp;
mod image;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::board::{Firmware, Kind, Language};
use crate::chip::Chip;
use crate::setup::rust_src::Toolchain;
use crate::setup::{self, Need};
use crate::workspace::{has_program, output_of, root, target_dir};
use cortex_m::BOARDS;
use image::Image;

/// Build the firmware of all boards, and list its flash and memory.
///
/// Without a flag, all images for the ESP32-C3, those for the STM32H743 and the RP2040, and what is
/// compiled only: the template, and what of the firmware for ESP-IDF does without ESP-IDF. The Xtensa chips need Espressif's
/// compiler, a toolchain that rustup calls `esp` (`cargo install espup; espup install`). An
/// image that holds what it must not, or lacks what it must hold, fails; so does one that does
/// not fit its partition, where espflash is installed.
#[derive(Args)]
pub(crate) struct BuildFirmware {
    /// Everything that can be built on this machine: every chip, and the emulated boards.
    #[arg(long, conflicts_with = "chip")]
    all: bool,
    /// These chips alone. Fails where one of them cannot be built.
    #[arg(long, value_enum, value_name = "CHIP")]
    chip: Vec<Chip>,
    /// Write the numbers to this file too, as one flat JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// An image for a chip or a board.
struct Built {
    machine: &'static str,
    name: &'static str,
    image: Image,
}

/// What is compiled and not linked: a library, or what only its own system links.
struct Compiled {
    package: &'static str,
    arguments: &'static [&'static str],
    target: &'static str,
    reason: &'static str,
}

const TEMPLATE: Compiled = Compiled {
    package: "examples/template",
    arguments: &["build", "--lib", "-Zbuild-std=core,alloc"],
    target: "riscv32imc-unknown-none-elf",
    reason: "a library, until a board is filled in",
};

const COMPILED: &[Compiled] = &[
    TEMPLATE,
    Compiled { target: "thumbv7em-none-eabihf", ..TEMPLATE },
    Compiled {
        package: "examples/uptime-post-idf",
        // Of the package's own lock file, and of a library that only ESP-IDF's build links.
        arguments: &["check", "--lib", "--no-default-features"],
        target: "riscv32imc-esp-espidf",
        reason: "its link, and its board file, need ESP-IDF",
    },
];

impl BuildFirmware {
    pub(crate) fn run(self) -> Result<()> {
        let chips = match (self.all, self.chip.is_empty()) {
            (true, _) => Chip::value_variants().to_vec(),
            (false, true) => vec![Chip::Esp32c3],
            (false, false) => self.chip.clone(),
        };
        let mut built = Vec::new();
        let mut left_out = Vec::new();
        for chip in chips {
            match chip.obstacle() {
                Some(obstacle) if self.all => left_out.push(obstacle),
                Some(obstacle) => bail!("{obstacle}"),
                None => built.extend(esp::build(chip)?.into_iter().map(|(name, image)| Built {
                    machine: chip.name(),
                    name,
                    image,
                })),
            }
        }
        if self.chip.is_empty() {
            setup::require(&[Need::RustSrc])?;
            for board in BOARDS {
                let machine = board.chip;
                let images = board.build()?.into_iter();
                built.extend(images.map(|(name, image)| Built { machine, name, image }));
            }
        }
        if self.all {
            for &kind in Kind::ALL {
                setup::require(kind.needs())?;
                let image = Image::load(&Firmware::build(kind, Language::Rust)?.image)?;
                for krate in ["uptime", "wg_core"] {
                    ensure!(image.holds(krate), "{krate} is not in the image of {}", kind.name());
                }
                built.push(Built { machine: kind.name(), name: "boards", image });
            }
        }
        let compiled: &[Compiled] = if self.chip.is_empty() { COMPILED } else { &[] };
        for compiled in compiled {
            compiled.compile()?;
        }

        report(&built);
        for Compiled { package, target, reason, .. } in compiled {
            println!("{target:<28} {package:<26} compiled, not linked: {reason}");
        }
        for obstacle in left_out {
            println!("not built: {obstacle}");
        }
        if !has_program("espflash") {
            println!("not seen: whether images fit their partition (no espflash here)");
        }
        if let Some(file) = self.json {
            let text = serde_json::to_string_pretty(&numbers(&built))? + "\n";
            std::fs::write(&file, text)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

impl Compiled {
    fn compile(&self) -> Result<()> {
        println!("compiling {} for {}", self.package, self.target);
        setup::require(&[Need::RustSrc])?;
        let mut cargo = Toolchain::find()?.cargo();
        cargo
            .args(self.arguments)
            .args(["--locked", "--target", self.target, "--target-dir"])
            .arg(target_dir().join("firmware"))
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .current_dir(root().join(self.package));
        output_of(&mut cargo).map(drop)
    }
}

/// What is added to which image by what.
const ADDED: &[(&str, &str, &str)] = &[
    ("the tunnel, under HTTP", "uptime-post", "http-plain"),
    ("the tunnel, under MQTT", "mqtt-tunnel", "mqtt-plain"),
    ("TLS with P-256, under MQTT", "mqtt-tls", "mqtt-plain"),
    ("TLS with P-256, P-384, RSA", "mqtt-tls-rsa", "mqtt-plain"),
];

fn report(built: &[Built]) {
    println!("\n{:<28} {:<26} {:>8} {:>10}", "chip or board", "image", "flash", "static RAM");
    for images in built.chunk_by(|one, next| one.machine == next.machine) {
        for Built { machine, name, image: Image { flash, ram, .. } } in images {
            println!("{machine:<28} {name:<26} {flash:>8} {ram:>10}");
        }
        for (what, with, without) in ADDED {
            let find = |name: &str| images.iter().find(|built| built.name == name);
            let Some((with, without)) = find(with).zip(find(without)) else { continue };
            let flash = signed_difference(with.image.flash, without.image.flash);
            let ram = signed_difference(with.image.ram, without.image.ram);
            println!("{:<28} {what:<26} {flash:>+8} {ram:>+10}", "");
        }
    }
}

fn numbers(built: &[Built]) -> serde_json::Map<String, serde_json::Value> {
    let mut numbers = serde_json::Map::new();
    for Built { machine, name, image } in built {
        let key = format!("{machine}.{}", name.replace('-', "_"));
        numbers.insert(format!("{key}.flash_bytes"), image.flash.into());
        numbers.insert(format!("{key}.static_ram_bytes"), image.ram.into());
    }
    numbers
}

fn signed_difference(with: u64, without: u64) -> i64 {
    with.cast_signed().saturating_sub(without.cast_signed())
}
