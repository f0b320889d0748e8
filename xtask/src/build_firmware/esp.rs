//! The images for Espressif's chips, and how they are built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::image::Image;
use crate::chip::Chip;
use crate::workspace::{has_program, output_of, root, target_dir};

/// An image of the firmware.
pub(super) struct Wanted {
    pub(super) name: &'static str,
    pub(super) binary: &'static str,
    pub(super) features: &'static [&'static str],
    /// Crates that are in it, and none of the other images' that are told apart by them.
    pub(super) holds: &'static [&'static str],
}

const fn image(name: &'static str, holds: &'static [&'static str]) -> Wanted {
    Wanted { name, binary: name, features: &[], holds }
}

pub(super) const IMAGES: &[Wanted] = &[
    image("uptime-post", &["reqwless", "wg_core"]),
    image("http-plain", &["reqwless"]),
    image("mqtt-plain", &["rust_mqtt"]),
    image("mqtt-tunnel", &["rust_mqtt", "wg_core"]),
    image("mqtt-tls", &["embedded_tls", "rust_mqtt"]),
    Wanted {
        name: "mqtt-tls-rsa",
        binary: "mqtt-tls",
        features: &["tls-rsa"],
        holds: &["embedded_tls", "rsa", "rust_mqtt"],
    },
];

/// Builds every image for a chip, and looks into each.
pub(super) fn build(chip: Chip) -> Result<Vec<(&'static str, Image)>> {
    let mut images = Vec::new();
    for features in [&["tls-rsa"] as &[&str], &[]] {
        // The next build may replace what this one made.
        let built = compile(chip, features)?;
        for wanted in IMAGES.iter().filter(|image| image.features == features) {
            let file = built.join(wanted.binary);
            let of = || format!("{} {}", chip.name(), wanted.name);
            let image = Image::load(&file)?;
            image.check(wanted).with_context(of)?;
            if has_program("espflash") {
                for_flash(chip, &file).with_context(of)?;
            }
            images.push((wanted.name, image));
        }
    }
    // In the order of the list.
    images.sort_by_key(|(name, _)| IMAGES.iter().position(|image| image.name == *name));
    Ok(images)
}

/// The package of the images.
fn package() -> PathBuf {
    root().join("examples/uptime-post-esp")
}

/// Builds all images with these features, and returns the folder that they are in.
fn compile(chip: Chip, features: &[&str]) -> Result<PathBuf> {
    println!("building for {}, with {features:?}", chip.name());
    let dir = target_dir().join("firmware");
    let selected = [&[chip.name()], features].concat().join(",");
    let mut cargo = chip.cargo()?;
    cargo
        .args(["build", "--release", "--locked", "--target", chip.target()])
        .args(["--features", &selected])
        .arg("--target-dir")
        .arg(&dir)
        // These would replace the flags in the package's .cargo/config.toml.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        // Without a network's name the compiler would leave the radio out.
        .env("WIFI_SSID", "a network")
        .env("WIFI_PASSWORD", "its password")
        .env("MQTT_BROKER", "broker.example")
        .env_remove("WG_CONF")
        .env_remove("POST_URL")
        .current_dir(package());
    for image in IMAGES.iter().filter(|image| image.features == features) {
        cargo.args(["--bin", image.binary]);
    }
    output_of(&mut cargo)?;
    Ok(dir.join(chip.target()).join("release"))
}

/// Makes of an image what would be flashed: that it fits its partition, and that espflash
/// understands the table.
fn for_flash(chip: Chip, image: &Path) -> Result<()> {
    let mut espflash = Command::new("espflash");
    espflash
        .args(["save-image", "--skip-update-check", "--merge", "--flash-size", "4mb"])
        .args(["--chip", chip.name(), "--partition-table"])
        .arg(package().join("partitions.csv"))
        .arg(image)
        .arg(image.with_extension("flash"));
    output_of(&mut espflash).map(drop)
}
