//! `cargo xtask size`: what the engine and a tunnel cost a microcontroller, and the proof that
//! the engine cannot panic. `docs/measuring.md` says what each number means.

mod build;
mod c;
mod emulator;
mod image;
mod numbers;
mod panics;
mod public;
mod types;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::c_firmware;
use crate::setup::{self, Need};
use build::{Builder, Crypto, Flags, OptLevel};
use image::Image;
use numbers::Numbers;

/// Memory, flash and stack of the engine on a 32-bit microcontroller (RV32IMC), the memory of a
/// tunnel of wg-nal and what a post through it costs, what wg-c adds to firmware in C there and on
/// Xtensa, and the proof that the engine cannot panic.
///
/// Builds images with fat LTO that call every public function, looks into them, and runs one
/// in an emulator. Fails when the engine can panic, and when a public function is in no image.
#[derive(Args)]
pub(crate) struct Size {
    /// Write the numbers to this file too, as one flat JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only at opt-level "s", not at "z" and 3 too.
    #[arg(long)]
    quick: bool,
}

impl Size {
    pub(crate) fn run(self) -> Result<()> {
        setup::require(&[Need::RustSrc, Need::RiscvEmulator])?;
        setup::require(c_firmware::NEEDS)?;
        let mut failures = Vec::new();
        let builder = Builder::find()?;

        let missing = public::missing_calls(&builder)?;
        if !missing.is_empty() {
            failures.push(format!(
                "the images in xtask/size-firmware do not call {}: add them to src/device.rs or \
                 src/text.rs there",
                missing.join(", ")
            ));
        }

        let mut numbers = Numbers::default();
        let images = builder.build(OptLevel::S, Crypto::Real, Flags::Plain)?;
        types::measure(&images.load("sizes")?, &mut numbers)?;
        flash(&images, "rv32", &mut numbers)?;
        emulator::measure(&images.path("measure"), &mut numbers)?;
        emulator::measure_tunnel(&images.path("tunnel"), "rv32", &mut numbers)?;
        let word32 = builder.build(OptLevel::S, Crypto::Word32, Flags::Plain)?;
        measure_word32(&word32, "rv32.word32", &mut numbers)?;
        let small = builder.build(OptLevel::S, Crypto::Word32, Flags::Small)?;
        measure_word32(&small, "rv32.small", &mut numbers)?;
        let opaque = builder.build(OptLevel::S, Crypto::Opaque, Flags::Plain)?;
        numbers.add("rv32.engine.opaque_flash_bytes", engine_alone(&opaque)?);
        let small_opaque = builder.build(OptLevel::S, Crypto::Opaque, Flags::Small)?;
        numbers.add("rv32.small.engine.opaque_flash_bytes", engine_alone(&small_opaque)?);
        if !self.quick {
            for level in [OptLevel::Z, OptLevel::Three] {
                let images = builder.build(level, Crypto::Real, Flags::Plain)?;
                flash(&images, &format!("rv32.opt_{}", level.name()), &mut numbers)?;
            }
        }

        c::measure(&mut numbers)?;

        let proof = panics::Proof::of(&opaque, &[&images, &word32])?;
        numbers.add("rv32.engine.panic_symbols", proof.ours.len() as u64);
        numbers.add("rv32.image.panic_locations", proof.explained.len() as u64);
        numbers.add("rv32.image.unexplained_panics", proof.unexplained.len() as u64);

        numbers.print();
        proof.print();
        if !proof.ours.is_empty() {
            failures.push(format!("the engine can panic: {}", proof.ours.join(", ")));
        }
        if !proof.unexplained.is_empty() {
            failures.push(format!(
                "the image can panic where nobody has said why it does not: {} \
                 (xtask/src/size/panics.rs)",
                proof.unexplained.join(", ")
            ));
        }
        if let Some(file) = self.json {
            numbers.write(&file)?;
        }
        if !failures.is_empty() {
            bail!("{}", failures.join("\n"));
        }
        Ok(())
    }
}

/// What differs with wg-core's own cryptography: the engine with it, all of what an image with a
/// tunnel and a gateway links, and the stack.
fn measure_word32(images: &build::Images, prefix: &str, numbers: &mut Numbers) -> Result<()> {
    let flash = |name| Ok::<_, anyhow::Error>(images.load(name)?.flash_without(Image::HARNESS));
    let empty = flash("empty")?;
    numbers.add(&format!("{prefix}.engine.flash_bytes"), flash("device")? - empty);
    emulator::measure_stack(&images.path("measure"), prefix, numbers)?;
    emulator::measure_tunnel(&images.path("tunnel"), prefix, numbers)
}

/// The engine where the cryptography is replaced, less what replaces it.
fn engine_alone(images: &build::Images) -> Result<u64> {
    let device = images.load("device")?;
    let empty = images.load("empty")?.flash_without(Image::HARNESS);
    let stubs = device.bytes_of("wg_core::crypto::opaque::");
    Ok(device.flash_without(Image::HARNESS) - empty - stubs)
}

/// The flash of an image is its code, constants and initial values, less an empty image's and
/// less the calls that make the image.
fn flash(images: &build::Images, prefix: &str, numbers: &mut Numbers) -> Result<()> {
    let flash =
        |name: &str| Ok::<_, anyhow::Error>(images.load(name)?.flash_without(Image::HARNESS));
    let (empty, primitives) = (flash("empty")?, flash("primitives")?);
    let (device, everything) = (flash("device")?, flash("everything")?);
    numbers.add(&format!("{prefix}.engine.flash_bytes"), device - empty);
    numbers.add(&format!("{prefix}.primitives.flash_bytes"), primitives - empty);
    numbers.add(&format!("{prefix}.engine.own_flash_bytes"), device - primitives);
    numbers.add(&format!("{prefix}.text.flash_bytes"), everything - device);
    numbers.add(&format!("{prefix}.everything.flash_bytes"), everything - empty);
    let storage = images.load("device")?.initial_values();
    numbers.add(&format!("{prefix}.storage.initial_flash_bytes"), storage);
    Ok(())
}
