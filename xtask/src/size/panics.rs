//! The panic proof.
//!
//! With the cryptography replaced, an image that calls everything but text must have no
//! function that only a panic calls, not even the panic handler. With text, what is left must
//! stand in the standard library. With the cryptography, each place that is left must be in
//! the table below, with the reason why it is not reached.

use std::collections::BTreeMap;

use anyhow::Result;

use super::build::Images;
use super::image::Location;

/// A place that the compiler could not prove to be out of reach, and we can.
struct Explained {
    /// The file, with the crate's version: another version has to be read again.
    file: &'static str,
    /// The lines, none for the standard library, whose lines differ between compilers.
    lines: &'static [u32],
    reason: &'static str,
}

const EXPLAINED: &[Explained] = &[
    Explained {
        file: "block-buffer-0.12.1/src/sealed.rs",
        lines: &[97],
        reason: "BLAKE2s splits off the last block only of data that is not empty and has no \
                 tail, so there is one",
    },
    Explained {
        file: "cipher-0.5.2/src/stream.rs",
        lines: &[174, 187],
        reason: "ChaCha20's key stream ends after 256 GiB, and a datagram has 64 KiB at most",
    },
    Explained {
        file: "curve25519-dalek-5.0.0/src/scalar.rs",
        lines: &[879],
        reason: "the bits of a scalar are counted from 0 to 255, and it has 32 bytes",
    },
    Explained {
        file: "core/src/fmt/num.rs",
        lines: &[],
        reason: "the buffer of a number is as long as the longest number of its type",
    },
    Explained {
        file: "core/src/net/display_buffer.rs",
        lines: &[],
        reason: "the length is that of what was written into the same buffer",
    },
    Explained {
        file: "core/src/net/ip_addr.rs",
        lines: &[],
        reason: "the zeroes of an IPv6 address are a range of its eight groups, and the buffer \
                 of an address is as long as the longest one",
    },
    Explained {
        file: "core/src/net/parser.rs",
        lines: &[],
        reason: "an IPv6 address has at most eight groups before and seven after the ::",
    },
    Explained {
        file: "core/src/slice/memchr.rs",
        lines: &[],
        reason: "the aligned middle of a text lies in the text",
    },
    Explained {
        file: "core/src/str/pattern.rs",
        lines: &[],
        reason: "a character has at most four bytes in UTF-8",
    },
];

/// What the images show.
pub(super) struct Proof {
    /// Panics of the engine's own.
    pub(super) ours: Vec<String>,
    /// Other places, with why they are not reached.
    pub(super) explained: BTreeMap<Location, &'static str>,
    pub(super) unexplained: Vec<String>,
}

impl Proof {
    /// `opaque` are the images without cryptography, `real` those with one or another.
    pub(super) fn of(opaque: &Images, real: &[&Images]) -> Result<Self> {
        let mut ours: Vec<_> = opaque.load("device")?.panic_symbols().into_iter().collect();
        let mut explained = BTreeMap::new();
        let mut unexplained = Vec::new();
        let mut places = vec![opaque.load("everything")?];
        for images in real {
            places.extend([images.load("everything")?, images.load("device")?]);
        }
        for location in places.iter().flat_map(|image| image.panic_locations()) {
            match explanation(&location) {
                Some(reason) => {
                    explained.insert(location, reason);
                }
                None if is_ours(&location) => ours.push(location.to_string()),
                None => unexplained.push(location.to_string()),
            }
        }
        for list in [&mut ours, &mut unexplained] {
            list.sort();
            list.dedup();
        }
        Ok(Self { ours, explained, unexplained })
    }

    pub(super) fn print(&self) {
        println!("\nPanics of the engine's own code: {}", self.ours.len());
        println!("Places in other crates that the compiler could not rule out:");
        for (location, reason) in &self.explained {
            println!("  {location}\n      {reason}");
        }
    }
}

fn is_ours(location: &Location) -> bool {
    location.file.starts_with("wg-core/")
}

fn explanation(location: &Location) -> Option<&'static str> {
    let explained = EXPLAINED.iter().find(|explained| {
        let any_line = explained.file.starts_with("core/");
        explained.file == location.file && (any_line || explained.lines.contains(&location.line))
    })?;
    Some(explained.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, line: u32) -> Location {
        Location { file: file.into(), line }
    }

    #[test]
    fn another_line_or_version_of_a_crate_has_to_be_explained_again() {
        assert!(explanation(&at("cipher-0.5.2/src/stream.rs", 174)).is_some());
        assert!(explanation(&at("cipher-0.5.2/src/stream.rs", 175)).is_none());
        assert!(explanation(&at("cipher-0.5.3/src/stream.rs", 174)).is_none());
        assert!(explanation(&at("core/src/net/parser.rs", 9999)).is_some());
    }

    #[test]
    fn nothing_of_the_engine_is_explained_away() {
        assert!(is_ours(&at("wg-core/src/device.rs", 1)));
        assert!(EXPLAINED.iter().all(|explained| !is_ours(&at(explained.file, 1))));
    }
}
