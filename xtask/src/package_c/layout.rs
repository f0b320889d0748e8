//! Which file goes where in which package.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::files;
use crate::workspace::root;

/// Writes all packages with the archives that there are, by chip.
pub(super) fn write(packages: &Path, archives: &BTreeMap<&str, PathBuf>) -> Result<()> {
    let arduino = packages.join("arduino/WireGuard-ESP32");
    copy(&["package/arduino"], &arduino, |_| true)?;
    copy(&["include", "src", "esp/include", "esp/src"], &arduino.join("src"), is_of_c)?;
    let idf = packages.join("esp-idf/wireguard");
    copy(&["package/idf"], &idf, |_| true)?;
    copy(&["include", "esp/include"], &idf.join("include"), |path| !is_arduino(path))?;
    copy(&["src", "esp/src"], &idf.join("src"), |path| is_of_c(path) && !is_arduino(path))?;
    let plain = packages.join("plain/wg");
    copy(&["package/plain"], &plain, |_| true)?;
    copy(&["include"], &plain.join("include"), |_| true)?;
    copy(&["src"], &plain.join("src"), is_of_c)?;
    for (chip, archive) in archives {
        let folders = if chip.starts_with("esp32") {
            vec![arduino.join("src").join(chip), idf.join("lib").join(chip)]
        } else {
            vec![plain.join("lib").join(chip)]
        };
        for folder in folders {
            fs::create_dir_all(&folder)?;
            fs::copy(archive, folder.join("libwg.a"))?;
        }
    }
    for package in [&arduino, &idf, &plain] {
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            fs::copy(root().join(licence), package.join(licence))?;
        }
    }
    Ok(())
}

fn is_of_c(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| ["c", "cpp", "h"].contains(&extension))
}

fn is_arduino(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "WireGuard-ESP32")
}

/// Copies the files of some folders of the backend, and of those in them.
fn copy(folders: &[&str], to: &Path, is_wanted: impl Fn(&Path) -> bool) -> Result<()> {
    for folder in folders {
        let from = root().join("backends/c").join(folder);
        for file in files(&from)?.iter().filter(|file| is_wanted(file)) {
            let place = to.join(file.strip_prefix(&from)?);
            fs::create_dir_all(place.parent().context("a file has a folder")?)?;
            fs::copy(file, &place).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}
