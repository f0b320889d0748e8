//! Debian packages: installed on this machine, or only unpacked into a folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

use crate::workspace::{has_program, output_of};

/// The keys that sign Debian's archive.
pub(crate) static KEYRING_FILE: LazyLock<PathBuf> =
    LazyLock::new(|| "/usr/share/keyrings/debian-archive-keyring.gpg".into());

/// Installs packages on this machine, as root or through sudo.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let root = output_of(Command::new("id").arg("-u"))?.trim() == "0";
    if !root && !has_program("sudo") {
        bail!("needs root: run `apt-get install {}` as root", packages.join(" "));
    }
    let apt_get = || {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.arg("apt-get");
        }
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    // A fresh machine has no package lists, or stale ones.
    super::run(apt_get().args(["-qq", "update"]))?;
    super::run(apt_get().args(["-qq", "-y", "--no-install-recommends", "install"]).args(packages))
}

/// A part of one of Debian's archives.
#[derive(Hash)]
pub(crate) struct Suite {
    /// The archive by its label: `Debian` or `Debian-Security`.
    pub(crate) archive: &'static str,
    pub(crate) name: &'static str,
}

/// The mirror that this machine takes an archive from.
fn mirror(archive: &str) -> Result<String> {
    let targets = output_of(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(SITE) $(ORIGIN) $(LABEL)",
    ]))?;
    targets
        .lines()
        .find_map(|line| line.strip_suffix(&format!(" Debian {archive}")))
        .map(str::to_owned)
        .with_context(|| format!("apt knows no mirror of {archive}: run `apt-get update` first"))
}

/// A Debian release seen through package lists of our own, so that the guest's packages are
/// the same on every machine, without root and without touching its configuration.
pub(crate) struct Release {
    dir: PathBuf,
}

impl Release {
    /// Fetches the package lists of `suites`, keeping them in `dir`. They come from the mirror
    /// that this machine's own packages come from.
    pub(crate) fn update(dir: &Path, suites: &[Suite]) -> Result<Self> {
        Self::update_of("deb", dir, suites)
    }

    /// Fetches the lists of source packages instead.
    pub(crate) fn update_sources(dir: &Path, suites: &[Suite]) -> Result<Self> {
        Self::update_of("deb-src", dir, suites)
    }

    fn update_of(kind: &str, dir: &Path, suites: &[Suite]) -> Result<Self> {
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(dir.join(folder))?;
        }
        std::fs::write(dir.join("state/status"), "")?;
        let mut lines = String::new();
        for Suite { archive, name } in suites {
            let (keys, mirror) = (KEYRING_FILE.display(), mirror(archive)?);
            lines += &format!("{kind} [signed-by={keys}] {mirror} {name} main\n");
        }
        std::fs::write(dir.join("sources.list"), lines)?;
        let release = Self { dir: dir.to_owned() };
        output_of(release.apt("apt-get").arg("update"))
            .context("cannot fetch Debian's package lists: is the mirror reachable?")?;
        Ok(release)
    }

    /// What `package` depends on first: the real package behind a meta package.
    pub(crate) fn dependency_of(&self, package: &str) -> Result<String> {
        let depends = output_of(self.apt("apt-cache").args(["depends", "--important", package]))?;
        depends
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: "))
            .map(str::to_owned)
            .with_context(|| format!("Debian's {package} depends on nothing:\n{depends}"))
    }

    /// Downloads `packages` and unpacks them into `into`.
    pub(crate) fn unpack(&self, packages: &[&str], into: &Path) -> Result<()> {
        let downloads = tempfile::tempdir_in(&self.dir)?;
        output_of(
            self.apt("apt-get").arg("download").args(packages).current_dir(downloads.path()),
        )?;
        std::fs::create_dir_all(into)?;
        for entry in std::fs::read_dir(downloads.path())? {
            output_of(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(into))?;
        }
        Ok(())
    }

    /// Downloads the source of `package`, unpacks it into `into`, which must not exist, and
    /// applies Debian's patches.
    pub(crate) fn unpack_source(&self, package: &str, into: &Path) -> Result<()> {
        let downloads = tempfile::tempdir_in(&self.dir)?;
        // apt checks what it downloads against the signed list.
        output_of(
            self.apt("apt-get")
                .args(["source", "--download-only", package])
                .current_dir(downloads.path()),
        )?;
        let description = std::fs::read_dir(downloads.path())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "dsc"))
            .with_context(|| format!("Debian's source of {package} has no description"))?;
        let mut unpack = Command::new("dpkg-source");
        unpack.args(["--no-check", "-x"]).arg(description).arg(into);
        output_of(&mut unpack).map(drop)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let dir = self.dir.display();
        let options = [
            format!("Dir::State={dir}/state"),
            format!("Dir::State::status={dir}/state/status"),
            format!("Dir::Cache={dir}/cache"),
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=-".into(),
            "APT::Architecture=amd64".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::Retries=3".into(),
            // The downloads lie where apt's own user may not look.
            "APT::Sandbox::User=root".into(),
        ];
        for option in options {
            command.arg("-o").arg(option);
        }
        command
    }
}
