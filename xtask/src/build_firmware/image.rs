//! A linked image: what it takes, and what is in it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind};

use super::esp::{IMAGES, Wanted};

/// A function of Wi-Fi's driver, which is in every image that starts the radio.
const RADIO: &str = "esp_wifi_connect_internal";

pub(super) struct Image {
    /// What is written to flash, without the image's headers and padding.
    pub(super) flash: u64,
    /// Code in memory, and variables, the radio's first heap of 36 KB among them. Without the
    /// stack, and without the 64 KB of the bootloader's memory that are its second heap.
    pub(super) ram: u64,
    symbols: Vec<String>,
}

impl Image {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("no image {}", path.display()))?;
        let file = object::File::parse(&*bytes)?;
        let (mut flash, mut ram) = (0, 0);
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            if sh_flags & u64::from(object::elf::SHF_ALLOC) == 0 || section.address() == 0 {
                continue;
            }
            let (flash_bytes, ram_bytes) = places(
                section.name()?,
                section.size(),
                section.kind() == SectionKind::UninitializedData,
            );
            flash += flash_bytes;
            ram += ram_bytes;
        }
        let mut symbols = Vec::new();
        for symbol in file.symbols().filter(|symbol| symbol.is_definition()) {
            symbols.push(format!("{:#}", rustc_demangle::demangle(symbol.name()?)));
        }
        Ok(Self { flash, ram, symbols })
    }

    /// Whether a function of this crate is in the image.
    pub(super) fn holds(&self, krate: &str) -> bool {
        self.symbols.iter().any(|symbol| is_of_crate(symbol, krate))
    }

    /// Whether what was linked is what was meant.
    pub(super) fn check(&self, wanted: &Wanted) -> Result<()> {
        if !self.symbols.iter().any(|symbol| symbol == RADIO) {
            bail!("the radio's driver is not in the image, so its size means nothing");
        }
        let told_apart = IMAGES.iter().flat_map(|image| image.holds);
        for name in told_apart {
            match (self.holds(name), wanted.holds.contains(name)) {
                (true, false) => bail!("{name} is in the image, and should not be"),
                (false, true) => bail!("{name} is not in the image"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The bytes that a section takes in flash and in memory.
fn places(name: &str, size: u64, is_blank: bool) -> (u64, u64) {
    // Stand-ins for another section's addresses, gaps, and memory that is no variable's.
    let is_none = [".stack", ".dram2_uninit"].contains(&name)
        || name.ends_with("_dummy")
        || name.ends_with("_gap");
    let stays = [".text", ".rodata", ".flash", ".boot2", ".vector_table"];
    let stays = stays.iter().any(|prefix| name.starts_with(prefix));
    match (is_none, stays, is_blank) {
        (true, ..) => (0, 0),
        (false, true, _) => (size, 0),
        (false, false, true) => (0, size),
        (false, false, false) => (size, size),
    }
}

/// Whether a function's name begins in this crate, also as `<krate::Type as Trait>::function`.
fn is_of_crate(symbol: &str, krate: &str) -> bool {
    let symbol = symbol.trim_start_matches(['<', '&']);
    symbol.strip_prefix(krate).is_some_and(|rest| rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_flash_or_memory_or_both() {
        assert_eq!(places(".text", 10, false), (10, 0));
        assert_eq!(places(".rodata.wifi", 10, false), (10, 0));
        assert_eq!(places(".vector_table", 10, false), (10, 0));
        assert_eq!(places(".rwtext.wifi", 10, false), (10, 10), "copied at start-up");
        assert_eq!(places(".data", 10, false), (10, 10));
        assert_eq!(places(".bss", 10, true), (0, 10));
        for nothing in [".stack", ".dram2_uninit", ".rwdata_dummy", ".rotext_dummy", ".text_gap"] {
            assert_eq!(places(nothing, 10, true), (0, 0), "{nothing}");
        }
    }

    #[test]
    fn a_crate_is_known_by_its_functions() {
        assert!(is_of_crate("wg_core::crypto::seal", "wg_core"));
        assert!(is_of_crate("<wg_core::device::Device>::respond", "wg_core"));
        assert!(!is_of_crate("wg_core_size::main", "wg_core"));
        assert!(!is_of_crate("core::ptr::drop_in_place::<wg_core::Device>", "wg_core"));
    }

    #[test]
    fn an_image_that_is_not_what_was_meant_is_told() {
        let image = |symbols: &[&str]| Image {
            flash: 0,
            ram: 0,
            symbols: symbols.iter().map(|&symbol| symbol.to_owned()).collect(),
        };
        let plain = IMAGES.iter().find(|image| image.name == "http-plain").unwrap();
        let tunnel = IMAGES.iter().find(|image| image.name == "uptime-post").unwrap();
        let whole = image(&[RADIO, "reqwless::request", "wg_core::keys"]);
        assert!(whole.check(tunnel).is_ok());
        let error = whole.check(plain).unwrap_err().to_string();
        assert_eq!(error, "wg_core is in the image, and should not be");
        let error = image(&[RADIO, "reqwless::request"]).check(tunnel).unwrap_err().to_string();
        assert_eq!(error, "wg_core is not in the image");
        assert!(image(&["reqwless::request"]).check(plain).is_err(), "no radio");
    }
}
