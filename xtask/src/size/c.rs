//! What wg-c adds to firmware in C: the firmware of `examples/boards-c` with it and without it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::emulator::{DATA, HANDSHAKE, greatest, read};
use super::image::Image;
use super::numbers::Numbers;
use crate::board::Kind;
use crate::c_firmware::{CFirmware, Program};
use crate::workspace::{output_of, root};

/// The firmware's memory for a tunnel with one peer and two allowed IPs, by its names in
/// `xtask/size-c/tunnel.c`: the interface, and the engine's.
const STATICS: &[&str] = &["tunnel", "storage"];

pub(super) fn measure(numbers: &mut Numbers) -> Result<()> {
    for (kind, prefix) in [(Kind::Riscv, "rv32.c"), (Kind::Xtensa, "xtensa.c")] {
        println!("building firmware in C: {}", kind.name());
        let folder = root().join("xtask/size-c");
        let build = |name, program| CFirmware { kind, name, program }.build();
        let without = build("without", Program::Firmware { tunnel: None })?;
        let tunnel = Some(folder.join("tunnel.c"));
        let with = build("with", Program::Firmware { tunnel })?;
        let objects = with.with_extension("");
        let callers = of_flash(&objects.join("size-c-tunnel.o"))?
            + of_flash(&objects.join("boards-c-flash.o"))?;
        let flash = |image: &Path| Ok::<_, anyhow::Error>(Image::load(image)?.flash_without(&[]));
        let both = flash(&with)? - flash(&without)?;
        numbers.add(&format!("{prefix}.library.flash_bytes"), both - callers);
        // The other calls of wg.h that the boards' own firmware makes, to read a text, and to tell why.
        let board = build("firmware", Program::firmware())?;
        numbers.add(&format!("{prefix}.text.flash_bytes"), flash(&board)? - flash(&with)?);
        let with = Image::load(&with)?;
        let statics: u64 = STATICS.iter().map(|name| with.size_of(name)).sum();
        numbers.add(&format!("{prefix}.tunnel.static_bytes"), statics);

        let image = build("measure", Program::Own(folder.join("measure.c")))?;
        let report = run(kind, &image)?;
        let stack = |name: &str| read(&report, "stack", name);
        numbers.add(&format!("{prefix}.handshake.stack_bytes"), greatest(HANDSHAKE, &stack)?);
        numbers.add(&format!("{prefix}.data.stack_bytes"), greatest(DATA, &stack)?);
    }
    Ok(())
}

/// Code, constants and initial values of an object.
fn of_flash(object: &Path) -> Result<u64> {
    use object::{Object, ObjectSection, SectionKind};
    let bytes = std::fs::read(object).with_context(|| object.display().to_string())?;
    let file = object::File::parse(&*bytes)?;
    let in_flash = file.sections().filter(|section| {
        let name = section.name().unwrap_or_default();
        [".text", ".literal", ".rodata", ".data"].iter().any(|begin| name.starts_with(begin))
            && section.kind() != SectionKind::Metadata
    });
    Ok(in_flash.map(|section| section.size()).sum())
}

/// Runs the measuring program to its end, and returns what it wrote.
fn run(kind: Kind, image: &Path) -> Result<String> {
    let mut emulator = Command::new("timeout");
    emulator.arg("120");
    match kind {
        Kind::Riscv => emulator.args(["qemu-system-riscv32", "-M", "virt", "-m", "32"]),
        Kind::Xtensa => emulator.args([
            "qemu-system-xtensa",
            "-M",
            "lx60",
            "-cpu",
            "dc233c",
            "-m",
            "64",
            "-semihosting",
        ]),
    };
    emulator.args(["-nodefaults", "-display", "none", "-monitor", "none", "-serial", "stdio"]);
    emulator.arg(kind.image_option()).arg(image);
    let report = output_of(&mut emulator)?;
    ensure!(report.lines().last() == Some("done"), "the program has not ended:\n{report}");
    Ok(report)
}
