//! The firmware for boards with a Cortex-M: each with the tunnel, and without it.

use anyhow::{Result, ensure};

use super::image::Image;
use crate::setup::rust_src::Toolchain;
use crate::workspace::{output_of, root, target_dir};

/// A package with two images, [`IMAGES`].
pub(super) struct Board {
    pub(super) chip: &'static str,
    package: &'static str,
    target: &'static str,
}

/// With the tunnel, and without.
const IMAGES: [&str; 2] = ["uptime-post", "http-plain"];

pub(super) const BOARDS: &[Board] = &[
    Board { chip: "stm32h743", package: "stm32-ethernet", target: "thumbv7em-none-eabihf" },
    Board { chip: "rp2040", package: "rp-w5500", target: "thumbv6m-none-eabi" },
];

impl Board {
    /// Links both images, and looks into each.
    pub(super) fn build(&self) -> Result<Vec<(&'static str, Image)>> {
        println!("building {} for {}", self.package, self.chip);
        let dir = target_dir().join("firmware");
        let mut cargo = Toolchain::find()?.cargo();
        cargo
            .args(["build", "--release", "--locked", "-Zbuild-std=core,alloc"])
            .args(["--target", self.target, "--target-dir"])
            .arg(&dir)
            // These would replace the flags in the package's .cargo/config.toml.
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .env_remove("POST_URL")
            .current_dir(root().join("examples").join(self.package));
        output_of(&mut cargo)?;
        let mut images = Vec::new();
        for name in IMAGES {
            let image = Image::load(&dir.join(self.target).join("release").join(name))?;
            ensure!(image.holds("uptime"), "the application is not in {name}");
            let has_tunnel = image.holds("wg_core");
            ensure!(has_tunnel == (name == "uptime-post"), "wg_core in {name}: {has_tunnel}");
            images.push((name, image));
        }
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(board: &Board, image: &str) -> String {
        let file = root().join("examples").join(board.package).join("src/bin").join(image);
        std::fs::read_to_string(file).unwrap()
    }

    #[test]
    fn a_tunnel_takes_35_lines_of_firmware_at_most() {
        for board in BOARDS {
            let [with, without] =
                ["uptime_post.rs", "http_plain.rs"].map(|image| source(board, image));
            let more = with.lines().count() - without.lines().count();
            assert!(more <= 35, "{}: {more} lines", board.package);
        }
    }

    #[test]
    fn the_readme_shows_the_firmware_as_it_is() {
        let source = source(&BOARDS[0], "uptime_post.rs");
        let (_, tunnel) = source.split_once("\n\n/// The tunnel").unwrap();
        let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
        let excerpt = format!("```rust,ignore\n/// The tunnel{tunnel}```\n");
        assert!(readme.contains(&excerpt), "README.md is stale, it has to have:\n{excerpt}");
    }
}
