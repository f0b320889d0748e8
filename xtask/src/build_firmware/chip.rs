//! The chips and the images, and how they are built.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::setup::rust_src::Toolchain;
use crate::workspace::{output_of, root, target_dir};

/// A chip that the firmware is written for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Chip {
    Esp32,
    Esp32s2,
    Esp32s3,
    Esp32c3,
    Esp32c6,
}

impl Chip {
    pub(super) const ALL: &[Self] =
        &[Self::Esp32c3, Self::Esp32c6, Self::Esp32, Self::Esp32s2, Self::Esp32s3];

    /// As the features of esp-hal call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Esp32 => "esp32",
            Self::Esp32s2 => "esp32s2",
            Self::Esp32s3 => "esp32s3",
            Self::Esp32c3 => "esp32c3",
            Self::Esp32c6 => "esp32c6",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Esp32 => "xtensa-esp32-none-elf",
            Self::Esp32s2 => "xtensa-esp32s2-none-elf",
            Self::Esp32s3 => "xtensa-esp32s3-none-elf",
            Self::Esp32c3 => "riscv32imc-unknown-none-elf",
            Self::Esp32c6 => "riscv32imac-unknown-none-elf",
        }
    }

    fn is_xtensa(self) -> bool {
        self.target().starts_with("xtensa")
    }
}

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

pub(super) struct Builder {
    riscv: Toolchain,
    has_espressif: bool,
}

impl Builder {
    pub(super) fn find() -> Result<Self> {
        let espressif = Command::new("rustc").args(["+esp", "--version"]).output();
        let has_espressif = espressif.is_ok_and(|output| output.status.success());
        Ok(Self { riscv: Toolchain::find()?, has_espressif })
    }

    /// Why a chip cannot be built for here.
    pub(super) fn obstacle(&self, chip: Chip) -> Option<String> {
        (chip.is_xtensa() && !self.has_espressif).then(|| {
            format!(
                "{} has an Xtensa processor, which needs Espressif's compiler: `cargo install \
                 espup; espup install`, then the same command again",
                chip.name()
            )
        })
    }

    /// Builds all images with these features, and returns the folder that they are in.
    pub(super) fn build(&self, chip: Chip, features: &[&str]) -> Result<PathBuf> {
        println!("building for {}, with {features:?}", chip.name());
        let mut cargo = if chip.is_xtensa() {
            let mut cargo = Command::new("cargo");
            cargo.arg("+esp");
            cargo
        } else {
            self.riscv.cargo()
        };
        // A folder for each, or each build would throw the other's images away.
        let dir = target_dir().join("firmware").join(if features.is_empty() {
            "images".to_owned()
        } else {
            features.join("-")
        });
        let selected = [&[chip.name()], features].concat().join(",");
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
            .current_dir(root().join("examples/uptime-post-esp"));
        for image in IMAGES.iter().filter(|image| image.features == features) {
            cargo.args(["--bin", image.binary]);
        }
        output_of(&mut cargo)?;
        Ok(dir.join(chip.target()).join("release"))
    }
}
