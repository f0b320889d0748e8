//! A linked image: its sections, its symbols, and the places it can panic at.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol};

pub(super) struct Image {
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
}

struct Section {
    name: String,
    address: u64,
    data: Vec<u8>,
}

struct Symbol {
    name: String,
    size: u64,
    takes_flash: bool,
}

impl Image {
    /// How the functions begin that call the engine, and the memory that they lend it.
    pub(super) const HARNESS: &[&str] = &[
        "size_firmware::device::",
        "<size_firmware::device::",
        "size_firmware::text::",
        "<size_firmware::text::",
        "size_firmware::primitives::call_primitives",
    ];

    pub(super) fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("no image {}", path.display()))?;
        let file = object::File::parse(&*bytes)?;
        let (mut sections, mut in_flash) = (Vec::new(), BTreeSet::new());
        for section in file.sections() {
            // What is not here takes no flash.
            let name = section.name()?;
            if [".text", ".rodata", ".data"].contains(&name) {
                in_flash.insert(section.index().0);
                let (name, address) = (name.to_owned(), section.address());
                sections.push(Section { name, address, data: section.data()?.to_vec() });
            }
        }
        let mut symbols = Vec::new();
        for symbol in file.symbols() {
            symbols.push(Symbol {
                name: format!("{:#}", rustc_demangle::demangle(symbol.name()?)),
                size: symbol.size(),
                takes_flash: symbol.section_index().is_some_and(|at| in_flash.contains(&at.0)),
            });
        }
        Ok(Self { sections, symbols })
    }

    /// Code, constants and initial values, without the symbols that begin like one of these.
    pub(super) fn flash_without(&self, prefixes: &[&str]) -> u64 {
        let sections: u64 = self.sections.iter().map(|section| section.data.len() as u64).sum();
        let without: u64 = prefixes.iter().map(|prefix| self.bytes_of(prefix)).sum();
        sections - without
    }

    /// The size of the symbol of this name; 0 when there is none.
    pub(super) fn size_of(&self, name: &str) -> u64 {
        self.symbols.iter().filter(|symbol| symbol.name == name).map(|symbol| symbol.size).sum()
    }

    /// The bytes of all symbols that begin like this and take flash.
    pub(super) fn bytes_of(&self, prefix: &str) -> u64 {
        let matching = self.symbols.iter().filter(|symbol| symbol.name.starts_with(prefix));
        matching.filter(|symbol| symbol.takes_flash).map(|symbol| symbol.size).sum()
    }

    /// What is copied from flash to memory at start-up.
    pub(super) fn initial_values(&self) -> u64 {
        let data = self.sections.iter().filter(|section| section.name == ".data");
        data.map(|section| section.data.len() as u64).sum()
    }

    /// The sizes of the symbols that begin like this, by the rest of their names.
    pub(super) fn symbols_of<'i>(&'i self, prefix: &str) -> impl Iterator<Item = (&'i str, u64)> {
        self.symbols.iter().filter_map(move |symbol| {
            symbol.name.strip_prefix(prefix).map(|rest| (rest, symbol.size))
        })
    }

    /// The functions of this image that only a panic calls.
    pub(super) fn panic_symbols(&self) -> BTreeSet<String> {
        const SIGNS: &[&str] = &[
            "core::panicking::",
            "panic_handler",
            "rust_begin_unwind",
            "unwrap_failed",
            "expect_failed",
            "slice_index_fail",
            "slice_error_fail",
            "len_mismatch_fail",
            "panic_already_",
        ];
        self.symbols
            .iter()
            .filter(|symbol| SIGNS.iter().any(|sign| symbol.name.contains(sign)))
            .map(|symbol| symbol.name.clone())
            .collect()
    }

    /// The source places that this image can panic at: the `core::panic::Location`s in it,
    /// which are a file's name, its length, a line and a column.
    pub(super) fn panic_locations(&self) -> BTreeSet<Location> {
        let mut locations = BTreeSet::new();
        for section in &self.sections {
            for at in (0..section.data.len().saturating_sub(15)).step_by(4) {
                let word = |n: usize| {
                    let bytes = section.data[at + 4 * n..][..4].try_into();
                    u32::from_le_bytes(bytes.expect("four bytes"))
                };
                let (line, column) = (word(2), word(3));
                let plausible = (1..1_000_000).contains(&line) && (1..1_000).contains(&column);
                let file = if plausible { self.text(word(0), word(1)) } else { None };
                if let Some(file) = file.filter(|file| file.ends_with(".rs")) {
                    locations.insert(Location { file: shortened(file), line });
                }
            }
        }
        locations
    }

    fn text(&self, address: u32, len: u32) -> Option<&str> {
        let (address, len) = (u64::from(address), len as usize);
        self.sections.iter().find_map(|section| {
            let at = usize::try_from(address.checked_sub(section.address)?).ok()?;
            core::str::from_utf8(section.data.get(at..at.checked_add(len)?)?).ok()
        })
    }
}

/// A line of a source file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Location {
    /// From the crate's name on: `core/src/net/parser.rs`, `cipher-0.5.2/src/stream.rs`.
    pub(super) file: String,
    pub(super) line: u32,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A path from the folder of its crate on, wherever the sources are.
fn shortened(path: &str) -> String {
    let (crate_path, rest) = path.rsplit_once("/src/").unwrap_or(("", path));
    match crate_path.rsplit('/').next() {
        Some(name) if !name.is_empty() => format!("{name}/src/{rest}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_its_crate_on() {
        let library = "/home/u/.rustup/toolchains/n/lib/rustlib/src/rust/library/core/src/a/b.rs";
        assert_eq!(shortened(library), "core/src/a/b.rs");
        let registry = "/home/u/.cargo/registry/src/mirror-1/cipher-0.5.2/src/stream.rs";
        assert_eq!(shortened(registry), "cipher-0.5.2/src/stream.rs");
        assert_eq!(shortened("src/device.rs"), "src/device.rs");
    }

    #[test]
    fn locations_are_found_among_constants() {
        let mut data = b"a/x-1.0/src/y.rs".to_vec();
        for word in [0x8000_0000_u32, 16, 42, 7] {
            data.extend(word.to_le_bytes());
        }
        let name = ".rodata".to_owned();
        let sections = vec![Section { name, address: 0x8000_0000, data }];
        let image = Image { sections, symbols: Vec::new() };
        let found: Vec<_> = image.panic_locations().into_iter().collect();
        assert_eq!(found, [Location { file: "x-1.0/src/y.rs".into(), line: 42 }]);
    }
}
