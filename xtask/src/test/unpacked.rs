//! What cargo remembers of packages that were never published.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::target_dir;

/// Forgets our packages as `cargo package` unpacked and compiled them before: cargo tells them apart
/// by name and version alone, and would check that one builds with what another was last time.
pub(super) fn forget() -> Result<()> {
    forget_compiled(&target_dir().join("debug"))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let sources = home.context("no home directory")?.join("registry/src");
    let Ok(registries) = sources.read_dir() else { return Ok(()) };
    for registry in registries {
        let registry = registry?;
        // A registry that is a folder of this machine has no name before the hash.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for package in registry.path().read_dir()? {
            let package = package?;
            if package.file_name().to_string_lossy().starts_with("wg-") {
                let path = package.path();
                std::fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// What was compiled of them, by the sources that the compiler names beside it.
fn forget_compiled(profile: &Path) -> Result<()> {
    let Ok(compiled) = profile.join("deps").read_dir() else { return Ok(()) };
    for file in compiled {
        let name = file?.file_name().into_string().unwrap_or_default();
        let Some(unit) = name.strip_suffix(".d").filter(|unit| unit.starts_with("wg_")) else {
            continue;
        };
        let sources = std::fs::read_to_string(profile.join("deps").join(&name))?;
        if sources.contains("/registry/src/-") {
            let fingerprint = profile.join(".fingerprint").join(unit.replace('_', "-"));
            if fingerprint.exists() {
                std::fs::remove_dir_all(fingerprint)?;
            }
        }
    }
    Ok(())
}
