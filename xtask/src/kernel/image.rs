//! Debian's cloud kernel and a small initial file system with `wg` in it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cpio::newc;

use crate::setup::apt::{self, Suite};
use crate::workspace::target_dir;

/// The release that everything in the guest comes from.
const SOURCES: &[Suite] = &[
    Suite { archive: "Debian", name: "bookworm" },
    Suite { archive: "Debian-Security", name: "bookworm-security" },
];

/// The meta package of the kernel for virtual machines.
const KERNEL: &str = "linux-image-cloud-amd64";

/// `wg` and what it links to, and a shell.
const PROGRAMS: &[&str] = &["busybox-static", "wireguard-tools", "libmnl0", "libc6"];

/// Loaded in this order: each after the ones it needs.
const MODULES: &[&str] = &[
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "drivers/char/virtio_console",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "lib/crypto/libchacha",
    "arch/x86/crypto/chacha-x86_64",
    "arch/x86/crypto/poly1305-x86_64",
    "lib/crypto/libchacha20poly1305",
    "lib/crypto/libcurve25519-generic",
    "arch/x86/crypto/curve25519-x86_64",
    "net/ipv4/udp_tunnel",
    "net/ipv6/ip6_udp_tunnel",
    "drivers/net/wireguard/wireguard",
];

const FILES: &[(&str, &str)] = &[
    ("bin/busybox", "bin/busybox"),
    ("usr/bin/wg", "bin/wg"),
    ("lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/libc.so.6"),
    ("usr/lib/x86_64-linux-gnu/libmnl.so.0", "lib/x86_64-linux-gnu/libmnl.so.0"),
    ("lib64/ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2"),
];

const INIT: &str = include_str!("init.sh");

/// What the emulator boots.
pub(crate) struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

impl Image {
    /// Takes the image from the cache under `target/interop`, or makes it: about 30 MB of
    /// packages the first time.
    pub(crate) fn build() -> Result<Self> {
        let cache = target_dir().join("interop");
        std::fs::create_dir_all(&cache)?;
        let packages = cache.join(format!("guest-{}", fingerprint(&(SOURCES, PROGRAMS, KERNEL))));
        if !packages.is_dir() {
            fetch(&cache, &packages)?;
        }
        let kernel = find(&packages.join("boot"), "vmlinuz-")?;
        let recipe = fingerprint(&(INIT, MODULES, FILES, &packages));
        let initramfs = cache.join(format!("initramfs-{recipe}.cpio"));
        if !initramfs.is_file() {
            let modules = find(&packages.join("lib/modules"), "")?.join("kernel");
            whole(&initramfs, |part| write_initramfs(part, &packages, &modules))?;
        }
        Ok(Self { kernel, initramfs })
    }
}

fn fetch(cache: &Path, packages: &Path) -> Result<()> {
    println!("  fetching a Linux kernel from Debian (once; 30 MB)");
    let release = apt::Release::update(&cache.join("apt"), SOURCES)?;
    let kernel = release.dependency_of(KERNEL)?;
    let mut wanted = vec![kernel.as_str()];
    wanted.extend(PROGRAMS);
    whole(packages, |part| release.unpack(&wanted, part))
}

/// Makes `path` appear whole or not at all, whoever else is making it.
fn whole(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let part = path.with_extension(format!("part-{}", std::process::id()));
    make(&part)?;
    if std::fs::rename(&part, path).is_err() && !path.exists() {
        anyhow::bail!("cannot move {} to {}", part.display(), path.display());
    }
    Ok(())
}

fn write_initramfs(file: &Path, packages: &Path, modules: &Path) -> Result<()> {
    let mut archive = Archive { file: std::fs::File::create(file)?, inode: 1 };
    for dir in ["bin", "lib", "lib/x86_64-linux-gnu", "lib64", "modules"] {
        archive.add(dir, newc::ModeFileType::Directory, 0o755, &[])?;
    }
    for dir in ["proc", "sys", "dev", "run", "tmp"] {
        archive.add(dir, newc::ModeFileType::Directory, 0o755, &[])?;
    }
    for (from, to) in FILES {
        let from = packages.join(from);
        let bytes = std::fs::read(&from)
            .with_context(|| format!("no {} in Debian's package", from.display()))?;
        archive.add(to, newc::ModeFileType::Regular, 0o755, &bytes)?;
    }
    // Numbered, so that the shell's sorted glob is the order of loading.
    for (number, module) in MODULES.iter().enumerate() {
        let from = modules.join(format!("{module}.ko"));
        let bytes =
            std::fs::read(&from).with_context(|| format!("no kernel module {}", from.display()))?;
        let name = module.rsplit('/').next().unwrap_or(module);
        let to = format!("modules/{number:02}-{name}.ko");
        archive.add(&to, newc::ModeFileType::Regular, 0o644, &bytes)?;
    }
    archive.add("init", newc::ModeFileType::Regular, 0o755, INIT.as_bytes())?;
    newc::trailer(archive.file)?;
    Ok(())
}

/// An archive in the format that the kernel unpacks into its first root file system.
struct Archive {
    file: std::fs::File,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, kind: newc::ModeFileType, mode: u32, bytes: &[u8]) -> Result<()> {
        self.inode += 1;
        let length = u32::try_from(bytes.len())?;
        let mut entry = newc::Builder::new(name)
            .ino(self.inode)
            .mode(mode)
            .set_mode_file_type(kind)
            .write(&mut self.file, length);
        std::io::Write::write_all(&mut entry, bytes)?;
        entry.finish()?;
        Ok(())
    }
}

/// The one entry of `dir` whose name begins with `prefix`.
fn find(dir: &Path, prefix: &str) -> Result<PathBuf> {
    std::fs::read_dir(dir)
        .with_context(|| format!("cannot look into {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .with_context(|| format!("nothing named {prefix}* in {}", dir.display()))
}

/// A name for a recipe: another recipe, another file in the cache.
fn fingerprint(recipe: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
