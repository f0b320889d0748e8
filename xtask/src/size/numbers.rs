//! The numbers, their targets, the table and the file.

use std::path::Path;

use anyhow::{Context, Result};

/// The greatest value that a number may have.
const TARGETS: &[(&str, u64)] = &[
    ("device.one_peer.bytes", 1_500),
    ("device.peer.bytes", 1_100),
    ("rv32.engine.flash_bytes", 30 * 1024),
    ("rv32.engine.own_flash_bytes", 14 * 1024),
    ("rv32.engine.panic_symbols", 0),
    ("rv32.image.unexplained_panics", 0),
    ("rv32.storage.initial_flash_bytes", 0),
    ("rv32.handshake.stack_bytes", 4 * 1024),
    ("rv32.data.stack_bytes", 12 * 1024 / 10),
    ("rv32.word32.engine.flash_bytes", 30 * 1024),
    ("rv32.word32.handshake.stack_bytes", 4 * 1024),
    ("rv32.word32.data.stack_bytes", 12 * 1024 / 10),
    ("rv32.packet.own_instructions", 300),
];

#[derive(Default)]
pub(super) struct Numbers {
    numbers: Vec<(String, u64)>,
    /// Name, size on the microcontroller, size here.
    types: Vec<(String, u64, u64)>,
}

impl Numbers {
    pub(super) fn add(&mut self, name: &str, value: u64) {
        self.numbers.push((name.to_owned(), value));
    }

    pub(super) fn add_type(&mut self, name: &str, there: u64, here: u64) {
        self.types.push((name.to_owned(), there, here));
    }

    pub(super) fn print(&self) {
        println!("\n{:<36} {:>8} {:>8}", "size_of, bytes", "RV32", "host");
        for (name, there, here) in &self.types {
            println!("{name:<36} {there:>8} {here:>8}");
        }
        println!("\n{:<36} {:>8} {:>8}", "number", "value", "target");
        for (name, value) in &self.numbers {
            match target(name) {
                Some(target) => {
                    let verdict = if *value <= target { "pass" } else { "ABOVE" };
                    println!("{name:<36} {value:>8} {target:>8}  {verdict}");
                }
                None => println!("{name:<36} {value:>8}"),
            }
        }
    }

    /// One flat object.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut object = serde_json::Map::new();
        for (name, value) in &self.numbers {
            object.insert(name.clone(), (*value).into());
        }
        for (name, there, here) in &self.types {
            object.insert(format!("rv32.size_of.{name}"), (*there).into());
            object.insert(format!("host.size_of.{name}"), (*here).into());
        }
        let text = serde_json::to_string_pretty(&object)?;
        std::fs::write(file, text + "\n")
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

fn target(name: &str) -> Option<u64> {
    TARGETS.iter().find(|(of, _)| *of == name).map(|(_, target)| *target)
}
