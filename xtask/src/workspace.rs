//! Where things are, and how other programs are run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// The checkout's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Where builds and caches go: `CARGO_TARGET_DIR`, or `target`.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Runs a program and returns what it printed; its complaint is the error.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !status.success() {
        // An emulated program complains on its console.
        let complaint = if stderr.is_empty() { stdout } else { stderr };
        let complaint = String::from_utf8_lossy(&complaint);
        bail!("`{}` failed ({status}):\n{}", shown(command), tail(&complaint, 20));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    core::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last `lines` lines of `text`.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Whether a program of this name is on the search path (or in the system directories that
/// an ordinary user's path leaves out).
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|dir| dir.join(name).is_file())
}
