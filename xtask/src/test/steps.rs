//! What `cargo xtask test` runs, in order.

use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Step;
use crate::setup::rust_src::Toolchain;
use crate::setup::{self, OLDEST_RUST};
use crate::workspace::{has_program, output_of, root};

/// The microcontroller that stands for all: 32 bits, no atomic operations, no unwinding.
const EMBEDDED: &str = "riscv32imc-unknown-none-elf";

/// The crates that must build for it.
const NO_STD: &[&str] = &["wg-core", "wg-nal"];

/// Features that are for hosts, and refused elsewhere: faster cryptography, and files.
const HOST_ONLY: &[&str] = &["graviola", "ring", "std"];

/// Features that firmware has together, by crate; each also builds alone. What several of
/// them bring together is in no build of one: `UdpNal`, `SntpSocket`.
const MIXES: &[(&str, &[&str])] = &[(
    "wg-nal",
    &[
        "embedded-nal,smoltcp",
        "embassy,embedded-nal-async,sntp,flash,log",
        // A board that runs an operating system: all of smoltcp needs `std` then.
        "embassy,embedded-nal-async,std",
    ],
)];

/// Features that the oldest compiler builds, where a crate says so of some: the others'
/// dependencies ask for younger ones (`embassy` and `netstack` for 1.91, `flash` for 1.89).
const OLDEST_RUST_BUILDS: &[(&str, &str)] = &[
    ("wg-nal", "embedded-nal,embedded-nal-async,edge-nal,smoltcp,sntp,std,log,defmt"),
    ("wg-tokio", "ring"),
];

/// The cases of `interop` in which what is around the engine has a part.
const ADAPTER_CASES: &[&str] = &["handshake.", "data.", "roaming.", "replay.", "counters."];

/// What a crate's manifest says, as `cargo metadata` tells it.
#[derive(Deserialize)]
struct Package {
    name: String,
    /// The registries it may go to; absent for any.
    publish: Option<Vec<String>>,
    features: serde_json::Map<String, serde_json::Value>,
    rust_version: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

pub(super) fn all() -> Result<Vec<Step>> {
    let metadata = output_of(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cargo's metadata")?;
    let published: Vec<_> =
        metadata.packages.iter().filter(|package| package.publish.is_none()).collect();

    let mut steps =
        vec![step("format", cargo(&["fmt", "--all", "--check"])), clippy("clippy", &[])];
    for package in &published {
        add_features(&mut steps, package)?;
    }
    steps.push(clippy("features, all of all crates", &["--all-features"]));
    steps.push(Step { closing: is_test_summary, ..step("tests", tests()) });
    steps.push(Step {
        closing: is_test_summary,
        ..step("doctests", cargo(&["test", "--workspace", "--doc", "--all-features", "--locked"]))
    });
    let mut documentation =
        cargo(&["doc", "--workspace", "--all-features", "--no-deps", "--locked"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    steps.push(step("documentation", documentation));
    steps.push(step("specification", xtask("spec")?));
    steps.push(Step { closing: |_| true, ..step("trust", xtask("trust")?) });
    steps.push(step("no circles of modules", xtask("circles")?));
    steps.push(step("public API", xtask("public-api")?));
    for package in &published {
        // Crates over embassy-net need what its smoltcp needs.
        if package.rust_version.as_deref().is_none_or(|version| version == OLDEST_RUST) {
            steps.push(rust_version(&package.name));
        }
    }
    steps.push(step("deny", deny()));
    steps.push(step("packages", package(&published)));
    let mut size = xtask("size")?;
    size.arg("--quick");
    steps.push(step("no panic, and the size", size));
    for (name, baseline) in [("named", "baseline.json"), ("word32", "baseline-word32.json")] {
        let mut cost = xtask("bench-esp32")?;
        cost.args(["--emulator", "--crypto", name, "--compare"]);
        cost.arg(root().join("benches/esp32").join(baseline));
        steps.push(step(&format!("cost on a microcontroller, {name}"), cost));
    }
    let constant_time = xtask("constant-time")?;
    steps.push(step("word32 takes no time by its secrets", constant_time));
    steps.push(step("firmware", xtask("build-firmware")?));
    let mut idf = Toolchain::find()?.cargo();
    idf.args(["check", "--locked", "-p", "wg-esp-idf", "-Zbuild-std=std,panic_abort"]);
    idf.args(["--target", "riscv32imc-esp-espidf"]).current_dir(root());
    steps.push(step("wg-esp-idf for ESP-IDF", idf));
    let mut c = Toolchain::find()?.cargo();
    c.args(["check", "--locked", "-p", "wg-c", "--features", "word32", "-Zbuild-std=core,alloc"]);
    c.args(["--target", EMBEDDED]).current_dir(root());
    steps.push(step("wg-c for a microcontroller", c));
    // One chip of each instruction set; the others are the same code.
    let mut archives = xtask("package-c")?;
    archives.args(
        ["esp32", "esp32c3", "thumbv6m", "linux-i686"].iter().flat_map(|chip| ["--chip", chip]),
    );
    steps.push(step("wg-c as packaged", archives));
    // A build from nothing takes long: one is enough.
    let mut twice = xtask("package-c")?;
    twice.args(["--twice", "--chip", "esp32c3"]);
    steps.push(step("wg-c is the same bytes again", twice));
    steps.push(Step { closing: is_test_summary, ..step("lwip", xtask("lwip")?) });
    let mut interop = xtask("interop")?;
    interop.args(["engine", "blocking", "async"].iter().flat_map(|driver| ["--driver", driver]));
    steps.push(Step { closing: |_| true, ..step("interop", interop) });
    // Its other cases prove the engine again, and wait.
    let mut interop_idf = xtask("interop")?;
    interop_idf.args(["--driver", "esp-idf"]);
    interop_idf.args(ADAPTER_CASES.iter().flat_map(|case| ["--case", case]));
    steps.push(Step { closing: |_| true, ..step("interop, wg-esp-idf", interop_idf) });
    let mut interop_c = xtask("interop")?;
    interop_c.args(["--driver", "c"]);
    interop_c.args(ADAPTER_CASES.iter().flat_map(|case| ["--case", case]));
    steps.push(Step { closing: |_| true, ..step("interop, wg-c", interop_c) });
    let mut proxy = xtask("demo")?;
    proxy.arg("--proxy");
    steps.push(step("wg-tokio proxy and a Linux kernel", proxy));
    let mut boards = xtask("boards")?;
    boards.arg("--quick");
    steps.push(Step { closing: |_| true, ..step("boards", boards) });
    Ok(steps)
}

fn step(name: &str, command: Command) -> Step {
    Step { name: name.to_owned(), command, closing: |_| false }
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(root());
    command
}

/// Another task of this program.
fn xtask(task: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(task).current_dir(root());
    Ok(command)
}

fn clippy(name: &str, args: &[&str]) -> Step {
    let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
    command.args(args).args(["--", "-D", "warnings"]);
    step(name, command)
}

/// No feature, each alone, mixes, and all of them, on the host and on a microcontroller.
fn add_features(steps: &mut Vec<Step>, package: &Package) -> Result<()> {
    let names: Vec<_> = package.features.keys().filter(|name| *name != "default").collect();
    let mut selections = vec![("none".to_owned(), String::new())];
    selections.extend(names.iter().map(|&name| (name.clone(), name.clone())));
    let mixes = MIXES.iter().filter(|(of, _)| *of == package.name).flat_map(|(_, mixes)| *mixes);
    selections.extend(mixes.map(|&mix| (mix.to_owned(), mix.to_owned())));
    let list = |on_board: bool| {
        let fit = names.iter().filter(|name| !on_board || !is_for_hosts(name));
        fit.map(|name| name.as_str()).collect::<Vec<_>>().join(",")
    };
    if names.len() > 1 {
        selections.push(("all".to_owned(), list(false)));
    }
    for (shown, features) in selections {
        let lint = |mut command: Command, features: &str| {
            command.args(["clippy", "--locked", "-p", &package.name, "--no-default-features"]);
            command.args(["--features", features]);
            command
        };
        let mut on_host = lint(cargo(&[]), &features);
        on_host.args(["--", "-D", "warnings"]);
        steps.push(step(&format!("features {}/{shown}", package.name), on_host));
        let features = if shown == "all" { list(true) } else { features };
        if NO_STD.contains(&package.name.as_str()) && !features.split(',').any(is_for_hosts) {
            let mut on_board = lint(Toolchain::find()?.cargo(), &features);
            on_board.current_dir(root());
            on_board.args(["-Zbuild-std=core,alloc", "--target", EMBEDDED]);
            on_board.args(["--", "-D", "warnings"]);
            steps.push(step(&format!("features {}/{shown}, riscv32", package.name), on_board));
        }
    }
    Ok(())
}

fn is_for_hosts(feature: &str) -> bool {
    HOST_ONLY.contains(&feature)
}

/// Every test but documentation's, which cargo-nextest cannot run.
fn tests() -> Command {
    if has_program("cargo-nextest") {
        let mut nextest = cargo(&["nextest", "run", "--workspace", "--all-features", "--locked"]);
        // What fails stands last, where a reader of the output's end finds it.
        nextest.args(["--no-fail-fast", "--status-level=fail", "--failure-output=final"]);
        nextest
    } else {
        cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--all-features", "--locked"])
    }
}

fn is_test_summary(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("Summary [")
        || line.starts_with("test result:") && !line.contains(" 0 passed; 0 failed; 0 ignored")
}

/// Builds with the oldest compiler that we promise, where this machine has it. Elsewhere a
/// lint looks for younger parts of the standard library: younger syntax would pass.
fn rust_version(package: &str) -> Step {
    let features = OLDEST_RUST_BUILDS.iter().find(|(of, _)| *of == package);
    let features: Vec<_> =
        features.iter().flat_map(|(_, all)| ["--no-default-features", "--features", all]).collect();
    if setup::has_oldest_rust() {
        let toolchain = format!("+{OLDEST_RUST}");
        let mut check = cargo(&[&toolchain, "check", "--locked", "-p", package]);
        check.args(features);
        step(&format!("rust {OLDEST_RUST} builds {package}"), check)
    } else {
        let mut lint = cargo(&["clippy", "--locked", "-p", package]);
        lint.args(features);
        lint.args(["--", "-D", "clippy::incompatible_msrv"]);
        step(&format!("rust {OLDEST_RUST} library in {package}"), lint)
    }
}

/// Advisories come from GitHub, which a build machine may not reach; they are not checked.
fn deny() -> Command {
    cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"])
}

/// Together, so that each is built from the others as packaged here, not as published.
fn package(published: &[&Package]) -> Command {
    // What is not committed is packaged too: the check is of the tree as it is.
    let mut command = cargo(&["package", "--locked", "--allow-dirty"]);
    for package in published {
        command.args(["-p", &package.name]);
    }
    command
}
