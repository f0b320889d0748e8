//! The workspace's tasks: `cargo xtask --help`.

mod bench_esp32;
mod bench_host;
mod bench_linux;
mod board;
mod build_firmware;
mod c_firmware;
mod chart;
mod chip;
mod circles;
mod constant_time;
mod demo;
mod interop;
mod kernel;
mod lan;
mod lwip;
mod package_c;
mod peer;
mod public_api;
mod setup;
mod size;
mod spec;
mod test;
mod trust;
mod workspace;
mod xtensa;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the wg-core workspace.
///
/// Start with `cargo xtask demo`: a device and a gateway in one process, over real UDP. `cargo xtask
/// test --list` names all checks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Flags {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Demo(demo::Demo),
    Test(test::Test),
    Interop(interop::Interop),
    Boards(board::Boards),
    Lwip(lwip::Lwip),
    PackageC(package_c::PackageC),
    BenchHost(bench_host::BenchHost),
    BenchLinux(bench_linux::BenchLinux),
    #[command(name = "bench-esp32")]
    BenchEsp32(bench_esp32::BenchEsp32),
    ConstantTime(constant_time::ConstantTime),
    Size(size::Size),
    BuildFirmware(build_firmware::BuildFirmware),
    Spec(spec::Spec),
    PublicApi(public_api::PublicApi),
    Trust(trust::Trust),
    Circles(circles::Circles),
    /// Say what this machine needs for these tasks and does not have.
    Setup {
        /// Install it: Debian packages as root or through sudo, Rust's parts through rustup, and
        /// cargo-deny.
        #[arg(long)]
        install: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Flags::parse().task {
        Task::Demo(demo) => demo.run(),
        Task::Test(test) => test.run(),
        Task::Interop(interop) => interop.run(),
        Task::Boards(boards) => boards.run(),
        Task::Lwip(lwip) => lwip.run(),
        Task::PackageC(package) => package.run(),
        Task::BenchHost(bench) => bench.run(),
        Task::BenchLinux(bench) => bench.run(),
        Task::BenchEsp32(bench) => bench.run(),
        Task::ConstantTime(check) => check.run(),
        Task::Size(size) => size.run(),
        Task::BuildFirmware(build) => build.run(),
        Task::Spec(spec) => spec.run(),
        Task::PublicApi(api) => api.run(),
        Task::Trust(trust) => trust.run(),
        Task::Circles(check) => check.run(),
        Task::Setup { install } => setup::setup(install),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
