//! `cargo xtask build-firmware`: links the firmware of Espressif's chips, and says what flash
//! and memory it takes beside the same firmware without a tunnel and with TLS in its place.

mod chip;
mod image;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Need};
use chip::{Builder, Chip, IMAGES};
use image::Image;

/// Build and link the firmware in examples/uptime-post-esp, and list its flash and memory.
///
/// Builds every image for the ESP32-C3, unless other chips are named. The Xtensa chips need
/// Espressif's compiler, a toolchain that rustup calls `esp` (`cargo install espup; espup
/// install`). An image that holds what it must not, or lacks what it must hold, fails.
#[derive(Args)]
pub(crate) struct BuildFirmware {
    /// Every chip that can be built on this machine.
    #[arg(long, conflicts_with = "chip")]
    all: bool,
    /// These chips. Fails where one of them cannot be built.
    #[arg(long, value_enum, value_name = "CHIP")]
    chip: Vec<Chip>,
    /// Write the numbers to this file too, as one flat JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl BuildFirmware {
    pub(crate) fn run(self) -> Result<()> {
        setup::require(&[Need::RustSrc])?;
        let builder = Builder::find()?;
        let chips = match (self.all, self.chip) {
            (true, _) => Chip::ALL.to_vec(),
            (false, chips) if chips.is_empty() => vec![Chip::Esp32c3],
            (false, chips) => {
                if let Some(obstacle) = chips.iter().find_map(|chip| builder.obstacle(*chip)) {
                    bail!("{obstacle}");
                }
                chips
            }
        };
        let mut numbers = serde_json::Map::new();
        let mut left_out = Vec::new();
        for chip in chips {
            if let Some(obstacle) = builder.obstacle(chip) {
                left_out.push(obstacle);
                continue;
            }
            let mut images = Vec::new();
            for features in [&["tls-rsa"] as &[&str], &[]] {
                let built = builder.build(chip, features)?;
                for wanted in IMAGES.iter().filter(|image| image.features == features) {
                    let image = Image::load(&built.join(wanted.binary))?;
                    image
                        .check(wanted)
                        .with_context(|| format!("{} {}", chip.name(), wanted.name))?;
                    images.push((wanted.name, image));
                }
            }
            report(chip, &images, &mut numbers);
        }
        for obstacle in left_out {
            println!("\nnot built: {obstacle}");
        }
        if let Some(file) = self.json {
            let text = serde_json::to_string_pretty(&numbers)? + "\n";
            std::fs::write(&file, text)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

/// What is added to which image by what.
const ADDED: &[(&str, &str, &str)] = &[
    ("the tunnel, under HTTP", "uptime-post", "http-plain"),
    ("the tunnel, under MQTT", "mqtt-tunnel", "mqtt-plain"),
    ("TLS with P-256, under MQTT", "mqtt-tls", "mqtt-plain"),
    ("TLS with P-256, P-384 and RSA", "mqtt-tls-rsa", "mqtt-plain"),
];

fn report(
    chip: Chip,
    images: &[(&str, Image)],
    numbers: &mut serde_json::Map<String, serde_json::Value>,
) {
    println!("\n{:<32} {:>10} {:>10}", format!("{}, bytes", chip.name()), "flash", "static RAM");
    let named = IMAGES.iter().filter_map(|wanted| find(images, wanted.name).zip(Some(wanted.name)));
    for (image, name) in named {
        let Image { flash, ram, .. } = image;
        println!("{name:<32} {flash:>10} {ram:>10}");
        let key = format!("{}.{}", chip.name(), name.replace('-', "_"));
        numbers.insert(format!("{key}.flash_bytes"), (*flash).into());
        numbers.insert(format!("{key}.static_ram_bytes"), (*ram).into());
    }
    for (what, with, without) in ADDED {
        let Some((with, without)) = find(images, with).zip(find(images, without)) else { continue };
        let flash = signed_difference(with.flash, without.flash);
        let ram = signed_difference(with.ram, without.ram);
        println!("{:<32} {flash:>+10} {ram:>+10}", format!("+ {what}"));
    }
}

fn find<'i>(images: &'i [(&str, Image)], name: &str) -> Option<&'i Image> {
    images.iter().find(|(of, _)| *of == name).map(|(_, image)| image)
}

fn signed_difference(with: u64, without: u64) -> i64 {
    with.cast_signed().saturating_sub(without.cast_signed())
}
