//! The toolchain that builds for microcontrollers: one that takes `-Zbuild-std`, with the
//! standard library's source beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{self, Suite};
use crate::workspace::{output_of, root, target_dir};

/// A toolchain that takes unstable flags: the nightly one, else the default one made to.
pub(crate) struct Toolchain {
    nightly: bool,
    sysroot: PathBuf,
}

impl Toolchain {
    pub(crate) fn find() -> Result<Self> {
        let nightly = output_of(Command::new("rustc").args(["+nightly", "--print", "sysroot"]));
        let (nightly, sysroot) = match nightly {
            Ok(sysroot) => (true, sysroot),
            Err(_) => (false, output_of(Command::new("rustc").args(["--print", "sysroot"]))?),
        };
        Ok(Self { nightly, sysroot: sysroot.trim().into() })
    }

    /// `cargo`, ready for a subcommand and unstable flags such as `-Zbuild-std=core`.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        if self.nightly {
            command.arg("+nightly");
        } else {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// The compiler, ready for unstable flags.
    pub(crate) fn rustc(&self) -> Command {
        let mut command = Command::new("rustc");
        if self.nightly {
            command.arg("+nightly");
        } else {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// The linker that comes with the compiler, for whatever has an ELF format.
    pub(crate) fn linker(&self) -> Result<Command> {
        let version = output_of(self.rustc().arg("-vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("rustc does not tell its host")?;
        let folder = self.sysroot.join("lib/rustlib").join(host);
        let mut command = Command::new(folder.join("bin/rust-lld"));
        command.args(["-flavor", "gnu"]);
        Ok(command)
    }

    fn source(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }

    fn has_source(&self) -> bool {
        self.source().join("library/core/src/lib.rs").is_file()
    }

    fn name(&self) -> &'static str {
        if self.nightly { "nightly" } else { "default" }
    }
}

pub(crate) fn missing() -> Option<String> {
    match Toolchain::find() {
        Ok(toolchain) if toolchain.has_source() => None,
        Ok(toolchain) => Some(format!(
            "rust-src of the {} toolchain, to build for microcontrollers",
            toolchain.name()
        )),
        Err(error) => Some(format!("a Rust toolchain ({error})")),
    }
}

/// Gets the source from the first place that has it: rustup, an archive, Debian.
pub(crate) fn install() -> Result<()> {
    let mut toolchain = Toolchain::find()?;
    let mut refusals = Vec::new();
    if !toolchain.nightly {
        let components = ["--profile", "minimal", "--component", "clippy,rust-src"];
        let nightly = output_of(
            Command::new("rustup").args(["toolchain", "install", "nightly"]).args(components),
        );
        match nightly {
            Ok(_) => toolchain = Toolchain::find()?,
            // The default toolchain can be made to take unstable flags, with its own source.
            Err(error) => refusals.push(format!("nightly by rustup: {error:#}")),
        }
        if toolchain.has_source() {
            return Ok(());
        }
    }
    let mut places = vec![("rustup", from_rustup as fn(&Toolchain) -> Result<()>)];
    if toolchain.nightly {
        // These hold one version, close enough to a nightly of its time; a stable compiler
        // builds its own library and no other.
        places
            .extend([("an archive", from_archive as fn(&Toolchain) -> _), ("Debian", from_debian)]);
    }
    for (place, attempt) in places {
        match attempt(&toolchain) {
            Ok(()) if toolchain.has_source() => return Ok(()),
            Ok(()) => refusals.push(format!("{place}: it holds no library/core")),
            Err(error) => refusals.push(format!("{place}: {error:#}")),
        }
    }
    bail!("rust-src comes from nowhere:\n{}", refusals.join("\n"))
}

fn from_rustup(toolchain: &Toolchain) -> Result<()> {
    let mut add = Command::new("rustup");
    add.args(["component", "add", "rust-src"]);
    if toolchain.nightly {
        add.args(["--toolchain", "nightly"]);
    }
    output_of(&mut add).map(drop)
}

/// An archive of the library, for machines that rustup's server is out of reach of.
fn from_archive(toolchain: &Toolchain) -> Result<()> {
    let archive = match std::env::var_os("WG_RUST_SRC") {
        Some(file) => PathBuf::from(file),
        None => archive_beside_checkout()
            .context("neither WG_RUST_SRC nor ../shared/toolchain/rust-src-*.tar.xz names one")?,
    };
    std::fs::create_dir_all(toolchain.source())?;
    output_of(Command::new("tar").arg("-xJf").arg(archive).arg("-C").arg(toolchain.source()))
        .map(drop)
}

fn archive_beside_checkout() -> Option<PathBuf> {
    let folder = root().join("../shared/toolchain");
    let mut archives: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("rust-src-") && name.ends_with(".tar.xz")
        })
        .collect();
    archives.sort();
    archives.pop()
}

/// Debian's newest release packages the source of a recent stable compiler.
fn from_debian(toolchain: &Toolchain) -> Result<()> {
    let dir = target_dir().join("rust-src");
    let release =
        apt::Release::update(&dir.join("apt"), &[Suite { archive: "Debian", name: "forky" }])?;
    let unpacked = dir.join("unpacked");
    release.unpack(&["rust-src"], &unpacked)?;
    let library =
        find_library(&unpacked.join("usr")).context("Debian's rust-src holds no library folder")?;
    std::fs::create_dir_all(toolchain.source())?;
    output_of(Command::new("cp").arg("-rL").arg(library).arg(toolchain.source()))?;
    Ok(())
}

/// The `library` folder lies under a versioned path: /usr/src/rustc-1.97.1/library.
fn find_library(usr: &Path) -> Option<PathBuf> {
    std::fs::read_dir(usr.join("src"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("library")))
        .find(|library| library.join("core/src/lib.rs").is_file())
}
