//! What `cargo xtask test` runs, in order.

use std::process::Command;

use anyhow::Result;

use super::Step;
use crate::setup::rust_src::Toolchain;
use crate::workspace::{has_program, root};

/// The crates that are published, each after the ones that it needs.
const PUBLISHED: &[&str] = &["wg-core"];

/// The microcontroller target that stands for all: no atomics wider than a word, no unwinding.
const EMBEDDED: &str = "riscv32imc-unknown-none-elf";

/// What crates must build with, beside their defaults: a crate, its features, and whether it
/// must also build for [`EMBEDDED`] so.
const FEATURES: &[(&str, &[&str], bool)] = &[("wg-core", &[], true), ("wg-core", &["alloc"], true)];

pub(super) fn all() -> Result<Vec<Step>> {
    let toolchain = Toolchain::find()?;
    let mut steps = vec![
        step("format", cargo(&["fmt", "--all", "--check"])),
        step(
            "clippy",
            cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        ),
    ];
    for &(package, features, embedded) in FEATURES {
        let shown = if features.is_empty() { "none".into() } else { features.join("+") };
        let selection =
            ["--no-default-features", "--features", &features.join(",")].map(String::from);
        let mut on_host = cargo(&["clippy", "--locked", "-p", package]);
        on_host.args(&selection).args(["--", "-D", "warnings"]);
        steps.push(step(&format!("features {package}/{shown}"), on_host));
        if embedded {
            let mut on_board = toolchain.cargo();
            on_board.current_dir(root()).args(["clippy", "--locked", "-p", package]);
            on_board.args(["-Zbuild-std=core,alloc", "--target", EMBEDDED]);
            on_board.args(&selection).args(["--", "-D", "warnings"]);
            steps.push(step(&format!("features {package}/{shown} riscv32"), on_board));
        }
    }
    let mut all_features = cargo(&["clippy", "--workspace", "--all-targets", "--all-features"]);
    all_features.args(["--locked", "--", "-D", "warnings"]);
    steps.push(step("features all", all_features));

    steps.push(Step { closing: is_test_summary, ..step("tests", tests()) });
    steps.push(Step {
        closing: is_test_summary,
        ..step("doctests", cargo(&["test", "--workspace", "--doc", "--locked"]))
    });
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    steps.push(step("documentation", doc));

    steps.push(step("rust-version", rust_version()));
    steps.push(step("deny", deny()));
    steps.push(step("packages", package()));

    let mut interop = Command::new(std::env::current_exe()?);
    interop.arg("interop").current_dir(root());
    steps.push(Step { closing: |_| true, ..step("interop", interop) });
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

/// Every test but documentation's, which cargo-nextest cannot run.
fn tests() -> Command {
    if has_program("cargo-nextest") {
        cargo(&["nextest", "run", "--workspace", "--all-features", "--locked", "--no-fail-fast"])
    } else {
        cargo(&[
            "test",
            "--workspace",
            "--all-features",
            "--all-targets",
            "--locked",
            "--no-fail-fast",
        ])
    }
}

fn is_test_summary(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("Summary [") || line.starts_with("test result:")
}

/// Builds with the oldest compiler that we promise, where this machine has it; elsewhere
/// lints for younger parts of the standard library, which is less: younger syntax would pass.
fn rust_version() -> Command {
    let version = env!("CARGO_PKG_RUST_VERSION");
    let toolchain = format!("+{version}");
    let has_it = Command::new("cargo").args([&toolchain, "--version"]).output();
    if has_it.is_ok_and(|output| output.status.success()) {
        cargo(&[&toolchain, "check", "--locked", "-p", "wg-core", "--all-features"])
    } else {
        println!("    (no toolchain {version} here: its library is checked, not its syntax)");
        let mut lint = cargo(&["clippy", "--locked", "-p", "wg-core", "--all-features"]);
        lint.args(["--", "-D", "clippy::incompatible_msrv"]);
        lint
    }
}

/// Advisories need a download from GitHub, which a build machine may not reach.
fn deny() -> Command {
    cargo(&[
        "deny",
        "--offline",
        "--all-features",
        "check",
        "--config",
        ".deny.toml",
        "bans",
        "licenses",
        "sources",
    ])
}

/// Together, so that each is verified against the others as packaged, not as published.
fn package() -> Command {
    let mut command = cargo(&["package", "--locked", "--allow-dirty"]);
    for package in PUBLISHED {
        command.args(["-p", package]);
    }
    command
}
