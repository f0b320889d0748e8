//! Runs the images that measure themselves.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::numbers::Numbers;
use crate::workspace::output_of;

/// The calls that a handshake is made of, and those of a data packet.
const HANDSHAKE: &[&str] = &["initiate", "respond", "complete"];
const DATA: &[&str] = &["seal", "open"];

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
    println!("running the measuring image");
    let report = run(image)?;
    let stack = |name: &str| read(&report, "stack", name);
    let instructions = |name: &str| read(&report, "instructions", name);
    numbers.add("rv32.handshake.stack_bytes", greatest(HANDSHAKE, &stack)?);
    numbers.add("rv32.data.stack_bytes", greatest(DATA, &stack)?);
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

/// wg-nal: the memory of a tunnel, and what a post costs.
pub(super) fn measure_tunnel(image: &Path, numbers: &mut Numbers) -> Result<()> {
    println!("running the tunnel's image");
    let report = run(image)?;
    let parts = ["resources", "runner future", "interface", "handle"];
    let bytes: Result<Vec<u64>> = parts.iter().map(|part| read(&report, "bytes", part)).collect();
    let bytes = bytes?;
    numbers.add("rv32.tunnel.static_bytes", bytes.iter().sum());
    for (part, bytes) in parts.iter().zip(bytes) {
        numbers.add(&format!("rv32.tunnel.{}_bytes", part.replace(' ', "_")), bytes);
    }
    let instructions = |name: &str| read(&report, "instructions", name);
    let whole = instructions("post")?;
    numbers.add("rv32.post.instructions", whole);
    numbers.add("rv32.post.start_instructions", instructions("start")?);
    // The first packet asks for the session.
    numbers.add("rv32.post.handshake_instructions", instructions("packet 0")?);
    let packets: Result<Vec<u64>> = (1..=6).map(|n| instructions(&format!("packet {n}"))).collect();
    numbers.add("rv32.post.packets_instructions", packets?.iter().sum());
    numbers.add("rv32.post.stop_instructions", instructions("stop")?);
    Ok(())
}

fn greatest(names: &[&str], read: &dyn Fn(&str) -> Result<u64>) -> Result<u64> {
    let values: Result<Vec<u64>> = names.iter().map(|name| read(name)).collect();
    values?.into_iter().max().context("nothing was measured")
}

fn read(report: &str, what: &str, name: &str) -> Result<u64> {
    let wanted = format!("{what} {name}");
    let mut lines = report.lines().filter_map(|line| line.rsplit_once(' '));
    let (_, number) = lines
        .find(|(about, _)| *about == wanted)
        .with_context(|| format!("the image says nothing of {name}"))?;
    number.parse().with_context(|| format!("not a number for {name}: {number}"))
}
