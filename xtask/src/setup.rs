//! What this machine needs, which of it is missing, and how to get it.

pub(crate) mod apt;
pub(crate) mod rust_src;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{has_program, shown};

/// Something outside the workspace that a task needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Boots the kernel of `interop` and `demo --kernel`.
    Emulator,
    /// Runs the image of `size` that measures itself.
    RiscvEmulator,
    /// Assembles, links and runs what `bench-esp32` measures.
    XtensaTools,
    /// Networks, tunnels and another WireGuard for the tests of `wg-tokio`.
    Namespaces,
    /// Fetches and unpacks that kernel; both come with Debian and its descendants.
    DebianPackages,
    /// Checks licences, sources and duplicate crates.
    CargoDeny,
    /// The standard library's source, to build for microcontrollers with any toolchain.
    RustSrc,
    /// Formats and lints.
    RustComponents,
    /// A broker and a browser for the tests of the examples.
    ExamplePrograms,
    /// Builds lwIP and the tests in C, with AddressSanitizer.
    CCompiler,
    /// Builds firmware in C.
    Clang,
}

/// Everything that `cargo xtask test` and `cargo xtask size` run on.
pub(crate) const ALL: &[Need] = &[
    Need::DebianPackages,
    Need::Emulator,
    Need::Namespaces,
    Need::RustComponents,
    Need::RustSrc,
    Need::CargoDeny,
    Need::RiscvEmulator,
    Need::XtensaTools,
    Need::ExamplePrograms,
    Need::CCompiler,
    Need::Clang,
];

/// What the kernel guest runs on.
pub(crate) const KERNEL: &[Need] = &[Need::Emulator, Need::DebianPackages];

/// A need that this machine does not meet.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) need: Need,
    /// What is not there, and what it is for.
    pub(crate) what: String,
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Self::Emulator => (!has_program("qemu-system-x86_64"))
                .then(|| "qemu-system-x86_64, which boots the Linux kernel".into()),
            Self::RiscvEmulator => (!has_program("qemu-system-riscv32"))
                .then(|| "qemu-system-riscv32, which runs what `size` measures".into()),
            Self::XtensaTools => {
                let programs: Vec<_> = [crate::xtensa::LINKER, "qemu-system-xtensa"]
                    .into_iter()
                    .filter(|program| !has_program(program))
                    .chain(crate::xtensa::assembler().is_none().then_some("llvm-mc 22"))
                    .collect();
                (!programs.is_empty())
                    .then(|| format!("{}, for the ESP32's instruction set", programs.join(", ")))
            }
            Self::Namespaces => {
                const PROGRAMS: &[&str] = &[
                    "curl",
                    "ip",
                    "iperf3",
                    "nft",
                    "ping",
                    "python3",
                    "sysctl",
                    "unshare",
                    "wg",
                    "wg-quick",
                    "wireguard-go",
                ];
                let programs: Vec<_> =
                    PROGRAMS.iter().copied().filter(|program| !has_program(program)).collect();
                (!programs.is_empty())
                    .then(|| format!("{}, for the tests of wg-tokio", programs.join(", ")))
            }
            Self::DebianPackages => {
                let programs: Vec<_> = ["apt-get", "dpkg", "tar", "xz"]
                    .into_iter()
                    .filter(|program| !has_program(program))
                    .chain((!apt::KEYRING_FILE.is_file()).then_some("Debian's archive keys"))
                    .collect();
                (!programs.is_empty())
                    .then(|| format!("{}, to fetch Debian packages", programs.join(", ")))
            }
            Self::ExamplePrograms => {
                // Debian keeps the broker where only root looks.
                let broker = has_program("mosquitto") || Path::new("/usr/sbin/mosquitto").is_file();
                let absent: Vec<_> = [("mosquitto", broker), ("chromium", has_program("chromium"))]
                    .into_iter()
                    .filter_map(|(program, is_there)| (!is_there).then_some(program))
                    .collect();
                (!absent.is_empty())
                    .then(|| format!("{}, for the tests of the examples", absent.join(" and ")))
            }
            Self::CargoDeny => (!has_program("cargo-deny"))
                .then(|| "cargo-deny, which checks licences and sources".into()),
            Self::RustSrc => rust_src::missing(),
            Self::CCompiler => {
                let mut absent: Vec<_> = ["gcc", "g++", "dpkg-source"]
                    .into_iter()
                    .filter(|program| !has_program(program))
                    .collect();
                if cfg!(target_arch = "x86_64") && !builds_for_32_bits() {
                    absent.push("gcc for 32 bits");
                }
                let pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
                if !pip.is_ok_and(|output| output.status.success()) {
                    absent.push("python3 with pip");
                }
                (!absent.is_empty())
                    .then(|| format!("{}, to build lwIP and the tests in C", absent.join(", ")))
            }
            Self::Clang => (!has_program(crate::c_firmware::CLANG))
                .then(|| format!("{}, which builds firmware in C", crate::c_firmware::CLANG)),
            Self::RustComponents => {
                let absent: Vec<_> = ["fmt", "clippy"]
                    .into_iter()
                    .filter(|tool| {
                        let version = Command::new("cargo").args([tool, "--version"]).output();
                        !version.is_ok_and(|output| output.status.success())
                    })
                    .collect();
                (!absent.is_empty()).then(|| format!("cargo {}", absent.join(" and cargo ")))
            }
        }
    }

    fn install(self) -> Result<()> {
        match self {
            Self::Emulator => apt::install(&["qemu-system-x86"]),
            Self::RiscvEmulator => apt::install(&["qemu-system-misc"]),
            Self::XtensaTools => {
                apt::install(&["binutils-xtensa-lx106", "llvm-22", "qemu-system-misc"])
            }
            Self::Namespaces => apt::install(&[
                "curl",
                "iperf3",
                "iproute2",
                "iputils-ping",
                "nftables",
                "procps",
                "python3",
                "util-linux",
                "wireguard-go",
                "wireguard-tools",
            ]),
            // The fonts are for the page that the browser draws.
            Self::ExamplePrograms => apt::install(&["mosquitto", "chromium", "fonts-dejavu-core"]),
            Self::DebianPackages => {
                if !has_program("apt-get") {
                    bail!("this is not Debian or a descendant: apt-get and dpkg are needed");
                }
                apt::install(&["debian-archive-keyring", "tar", "xz-utils"])
            }
            Self::CargoDeny => run(Command::new("cargo").args([
                "install",
                "--locked",
                "cargo-deny@0.20.2",
                "--target-dir",
                &crate::workspace::target_dir().join("cargo-deny").to_string_lossy(),
            ])),
            Self::RustSrc => rust_src::install(),
            Self::CCompiler if cfg!(target_arch = "x86_64") => apt::install(&[
                "gcc",
                "g++",
                "gcc-multilib",
                "libc6-dev",
                "dpkg-dev",
                "python3-pip",
            ]),
            Self::CCompiler => {
                apt::install(&["gcc", "g++", "libc6-dev", "dpkg-dev", "python3-pip"])
            }
            Self::Clang => apt::install(&[crate::c_firmware::CLANG]),
            Self::RustComponents => {
                run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
            }
        }
    }
}

/// Whether gcc has what programs of 32 bits start with.
fn builds_for_32_bits() -> bool {
    let answer = Command::new("gcc").args(["-m32", "-print-file-name=crt1.o"]).output();
    // It says the bare name of what it does not have.
    answer.is_ok_and(|answer| answer.stdout.starts_with(b"/"))
}

/// The needs that this machine does not meet.
pub(crate) fn missing(needs: &[Need]) -> Vec<Missing> {
    needs.iter().filter_map(|&need| need.missing().map(|what| Missing { need, what })).collect()
}

/// Names everything missing and the one command that installs it; nothing missing is no error.
pub(crate) fn require(needs: &[Need]) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = missing.iter().map(|missing| format!("  - {}", missing.what)).collect();
    bail!("this machine lacks:\n{}\nInstall it with: cargo xtask setup --install", list.join("\n"))
}

/// Installs whatever of `needs` is missing.
pub(crate) fn install(needs: &[Need]) -> Result<()> {
    for Missing { need, what } in missing(needs) {
        println!("  installing {what}");
        need.install().with_context(|| format!("cannot install {what}"))?;
        if let Some(what) = need.missing() {
            bail!("installed, but still missing: {what}");
        }
    }
    Ok(())
}

/// The oldest compiler that the workspace promises to build with, as rustup names it. This
/// program, and what stands over embassy-net, need a younger one.
pub(crate) const OLDEST_RUST: &str = "1.88";

pub(crate) fn has_oldest_rust() -> bool {
    let version = Command::new("cargo").args([&format!("+{OLDEST_RUST}"), "--version"]).output();
    version.is_ok_and(|output| output.status.success())
}

/// Gets the oldest compiler where rustup's server can be reached. Where it cannot, the test
/// of the promise is a lesser one and says so.
pub(crate) fn install_oldest_rust() {
    if !has_oldest_rust() {
        let arguments = ["toolchain", "install", OLDEST_RUST, "--profile", "minimal"];
        if let Err(error) = run(Command::new("rustup").args(arguments).arg("--no-self-update")) {
            println!("  goes on without Rust {OLDEST_RUST}: {error:#}");
        }
    }
}

/// `cargo xtask setup`.
pub(crate) fn setup(install_missing: bool) -> Result<()> {
    if install_missing {
        install(ALL)?;
        install_oldest_rust();
    }
    require(ALL)?;
    println!("This machine has everything that `cargo xtask test` needs.");
    Ok(())
}

/// Runs an installer with its output in view: it may ask for a password or take minutes.
fn run(command: &mut Command) -> Result<()> {
    println!("  $ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_compiler_is_the_one_that_the_workspace_names() {
        let manifest = include_str!("../../Cargo.toml");
        let named = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
        assert_eq!(named, Some(&*format!("\"{OLDEST_RUST}\"")));
    }
}
