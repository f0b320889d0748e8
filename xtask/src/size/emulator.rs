//! Runs the images that measure themselves.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::numbers::Numbers;
use crate::workspace::output_of;

/// The calls that a handshake is made of, and those of a data packet.
pub(super) const HANDSHAKE: &[&str] = &["initiate", "respond", "complete"];
pub(super) const DATA: &[&str] = &["seal", "open"];

/// Runs an image to its end, and returns what it wrote.
fn run(image: &Path) -> Result<String> {
    // A guest that hangs would never end by itself.
    let mut emulator = Command::new("timeout");
    emulator
        .args(["60", "qemu-system-riscv32", "-M", "virt", "-bios", "none"])
        .args(["-icount", "shift=0", "-display", "none", "-monitor", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(image);
    let report = output_of(&mut emulator)?;
    if report.lines().last() != Some("done") {
        bail!("the image {} did not come to its end:\n{report}", image.display());
    }
    Ok(report)
}

/// The engine.
pub(super) fn measure(image: &Path, numbers: &mut Numbers) -> Result<()> {
    let report = measure_stack(image, "rv32", numbers)?;
    let instructions = |name: &str| read(&report, "instructions", name);
    for line in report.lines().filter_map(|line| line.strip_prefix("stack ")) {
        let (name, bytes) = line.rsplit_once(' ').context("a report without a number")?;
        numbers.add(&format!("rv32.stack.{}.bytes", name.replace(' ', "_")), bytes.parse()?);
    }
    let own = |name: &str| Ok(instructions(name)? - instructions(&format!("bare {name}"))?);
    numbers.add("rv32.packet.own_instructions", greatest(DATA, &own)?);
    for name in DATA {
        numbers.add(&format!("rv32.{name}_1420.instructions"), instructions(name)?);
        numbers.add(&format!("rv32.{name}_1420.own_instructions"), own(name)?);
    }
    numbers.add("rv32.poll.instructions", instructions("poll")?);
    Ok(())
}

/// The engine's stack alone. What the image wrote comes back.
pub(super) fn measure_stack(image: &Path, prefix: &str, numbers: &mut Numbers) -> Result<String> {
    println!("running the measuring image");
    let report = run(image)?;
    let stack = |name: &str| read(&report, "stack", name);
    numbers.add(&format!("{prefix}.handshake.stack_bytes"), greatest(HANDSHAKE, &stack)?);
    numbers.add(&format!("{prefix}.data.stack_bytes"), greatest(DATA, &stack)?);
    Ok(report)
}

/// wg-nal: the memory of a tunnel, and what a post costs.
pub(super) fn measure_tunnel(image: &Path, prefix: &str, numbers: &mut Numbers) -> Result<()> {
    println!("running the tunnel's image");
    let report = run(image)?;
    let mut add = |name: &str, value| numbers.add(&format!("{prefix}.{name}"), value);
    let parts = ["resources", "runner future", "interface", "handle"];
    let bytes: Result<Vec<u64>> = parts.iter().map(|part| read(&report, "bytes", part)).collect();
    let bytes = bytes?;
    add("tunnel.static_bytes", bytes.iter().sum());
    for (part, bytes) in parts.iter().zip(bytes) {
        add(&format!("tunnel.{}_bytes", part.replace(' ', "_")), bytes);
    }
    let instructions = |name: &str| read(&report, "instructions", name);
    add("post.instructions", instructions("post")?);
    add("post.start_instructions", instructions("start")?);
    // The first packet asks for the session.
    add("post.handshake_instructions", instructions("packet 0")?);
    let packets: Result<Vec<u64>> = (1..=6).map(|n| instructions(&format!("packet {n}"))).collect();
    add("post.packets_instructions", packets?.iter().sum());
    add("post.stop_instructions", instructions("stop")?);
    Ok(())
}

pub(super) fn greatest(names: &[&str], read: &dyn Fn(&str) -> Result<u64>) -> Result<u64> {
    let values: Result<Vec<u64>> = names.iter().map(|name| read(name)).collect();
    values?.into_iter().max().context("nothing was measured")
}

pub(super) fn read(report: &str, what: &str, name: &str) -> Result<u64> {
    let wanted = format!("{what} {name}");
    let mut lines = report.lines().filter_map(|line| line.rsplit_once(' '));
    let (_, number) = lines
        .find(|(about, _)| *about == wanted)
        .with_context(|| format!("the image says nothing of {name}"))?;
    number.parse().with_context(|| format!("not a number for {name}: {number}"))
}
