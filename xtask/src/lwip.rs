//! `cargo xtask lwip`: the tests of wg-esp-idf between sockets of a real lwIP, and of wg-c in C.

mod c;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::apt::{Release, Suite};
use crate::setup::rust_src::Toolchain;
use crate::setup::{self, Need};
use crate::workspace::{output_of, root, shown, target_dir};

/// Where lwIP comes from: 2.1.3, which ESP-IDF's own version is made of.
const SOURCE: Suite = Suite { archive: "Debian", name: "bookworm" };

/// Makes lwIP's fixed pools and heap, and a core lock.
const POOLS: &[&str] = &["-DWG_POOLS"];

/// The two ways in which ESP-IDF can configure lwIP, and the macro that tells them apart.
const CONFIGURATIONS: &[(&str, &[&str], &[&str])] = &[
    ("pools and a core lock", POOLS, &[]),
    // Without pools lwIP's own timers come from the memory that this test takes away, and one that
    // is due just then is an assertion in lwIP.
    ("malloc and messages to lwIP's thread", &[], &["--skip", "without_memory"]),
];

const FLAGS: &[&str] = &["-g", "-O1", "-fPIC", "-fsanitize=address", "-fno-omit-frame-pointer"];

/// How firmware is built, on the 32-bit machine that is nearest.
const SMALL: &[&str] = &["-g", "-Os", "-fPIC", "-m32"];
const SMALL_TARGET: &str = "i686-unknown-linux-gnu";
/// Chips have no vectors, whose registers take stack.
const NO_VECTORS: &str = r#"--cfg chacha20_backend="soft" --cfg poly1305_backend="soft""#;

/// Test wg-esp-idf and wg-c as interfaces of a real lwIP.
///
/// Fetches lwIP's source from Debian once (0.8 MB, and a list of 9 MB), builds it with
/// AddressSanitizer as ESP-IDF configures it, and runs the tests with each configuration.
/// A use of freed memory, a leak, or a call without lwIP's core lock is a failure. Then it measures
/// how much stack the tunnel's thread takes, on x86 with 32 bits, and that is an error, too, when it
/// is too much.
#[derive(Args)]
pub(crate) struct Lwip {
    /// Only the interface in C.
    #[arg(long)]
    c: bool,
}

impl Lwip {
    pub(crate) fn run(&self) -> Result<()> {
        setup::require(&[Need::DebianPackages, Need::CCompiler])?;
        let dir = target_dir().join("lwip");
        let source = fetch(&dir)?;
        c::test(&dir, &source)?;
        if self.c {
            return Ok(());
        }
        for (name, macros, skipped) in CONFIGURATIONS {
            println!("lwIP with {name}");
            let library = build(&dir, &source, FLAGS, macros)?;
            test(&dir, &library, skipped)?;
        }
        if cfg!(target_arch = "x86_64") {
            setup::require(&[Need::RustSrc])?;
            println!("the stack of the tunnel's thread");
            measure_stack(&dir, &build(&dir, &source, SMALL, POOLS)?)?;
        }
        Ok(())
    }
}

/// The program in C of `interop`'s driver, built once.
pub(crate) fn interop_program() -> Result<PathBuf> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program.clone());
    }
    let dir = target_dir().join("lwip");
    let program = c::interop_program(&dir, &fetch(&dir)?)?;
    Ok(PROGRAM.get_or_init(|| program).clone())
}

pub(crate) fn fetch(dir: &Path) -> Result<PathBuf> {
    let source = dir.join("source");
    if !source.is_dir() {
        println!("  fetching lwIP's source from Debian (once)");
        std::fs::create_dir_all(dir)?;
        let part = dir.join(format!("source.part-{}", std::process::id()));
        Release::update_sources(&dir.join("apt"), &[SOURCE])?.unpack_source("lwip", &part)?;
        // Ours takes its place.
        std::fs::remove_file(part.join("port/include/lwipopts.h"))?;
        std::fs::rename(&part, &source).context("cannot move lwIP's source into its place")?;
    }
    Ok(source)
}

/// Builds the shared library and returns the folder that holds it.
fn build(dir: &Path, source: &Path, flags: &[&str], macros: &[&str]) -> Result<PathBuf> {
    let backend = root().join("backends/esp-idf");
    let mut files = vec![source.join("port/sys_arch.c")];
    for folder in ["src/api", "src/core", "src/core/ipv4", "src/core/ipv6"] {
        files.extend(sources(&source.join(folder))?);
    }
    let ours = [sources(&backend.join("component"))?, sources(&backend.join("host"))?].concat();

    // lwIP itself is built again only when its configuration or its hooks have changed.
    let mut hasher = DefaultHasher::new();
    (macros, flags).hash(&mut hasher);
    for header in ["host/lwipopts.h", "component/wg_netif_hooks.h"] {
        std::fs::read(backend.join(header))?.hash(&mut hasher);
    }
    let folder = dir.join(format!("{:016x}", hasher.finish()));
    let objects = folder.join("objects");
    std::fs::create_dir_all(&objects)?;

    let compile = |file: &Path, strict: &[&str]| -> Result<PathBuf> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let parent = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let object = objects.join(format!("{parent}-{name}.o"));
        if !strict.is_empty() || !object.is_file() {
            let part = object.with_extension("part");
            let mut gcc = Command::new("gcc");
            gcc.args(flags).args(macros).args(strict).arg("-c").arg(file).arg("-o").arg(&part);
            for include in [&backend.join("host"), &backend.join("component")] {
                gcc.arg("-I").arg(include);
            }
            for include in ["src/include", "port/include"] {
                gcc.arg("-isystem").arg(source.join(include));
            }
            output_of(&mut gcc)?;
            std::fs::rename(part, &object)?;
        }
        Ok(object)
    };
    let mut built = Vec::new();
    let threads = std::thread::available_parallelism()?.get();
    for batch in files.chunks(threads) {
        let batch: Result<Vec<_>> = std::thread::scope(|scope| {
            let compiling: Vec<_> =
                batch.iter().map(|file| scope.spawn(|| compile(file, &[]))).collect();
            compiling.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        built.extend(batch?);
    }
    for file in &ours {
        built.push(compile(file, &["-Wall", "-Wextra", "-Werror"])?);
    }
    let mut link = Command::new("gcc");
    link.args(flags).args(["-shared", "-o"]).arg(folder.join("libwg_lwip.so"));
    output_of(link.args(&built))?;
    Ok(folder)
}

pub(crate) fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    with_extensions(folder, &["c"])
}

fn with_extensions(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let is_one = |path: &PathBuf| {
        path.extension().and_then(|own| own.to_str()).is_some_and(|own| extensions.contains(&own))
    };
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_one).collect();
    files.sort();
    Ok(files)
}

fn test(dir: &Path, library: &Path, skipped: &[&str]) -> Result<()> {
    let version = output_of(Command::new("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not tell its host")?;
    let sanitizer = output_of(Command::new("gcc").arg("-print-file-name=libasan.so"))?;
    // Linked against one of the libraries, run with each: they differ inside alone. The
    // sanitizer has to come before all others.
    let linked = dir.join("linked");
    std::fs::create_dir_all(&linked)?;
    let name = "libwg_lwip.so";
    std::fs::copy(library.join(name), linked.join(name))?;
    let runner =
        format!("env LD_PRELOAD={} LD_LIBRARY_PATH={}", sanitizer.trim(), library.display());
    let mut tests = Command::new("cargo");
    tests
        .args(["test", "--locked", "-p", "wg-esp-idf", "--test", "lwip", "--target", host])
        // There is one lwIP in the process, and one test at a time may have it.
        .args(["--", "--test-threads=1"])
        .args(skipped)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", dir.join("cargo"))
        .env("RUSTFLAGS", format!("--cfg wg_host_lwip -Lnative={} -lwg_lwip", linked.display()))
        .env(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_")), runner);
    run(&mut tests)
}

/// Runs the test that paints a stack, built for size and with std from source.
fn measure_stack(dir: &Path, library: &Path) -> Result<()> {
    let library = library.display();
    let mut tests = Toolchain::find()?.cargo();
    tests
        .args(["test", "--locked", "-p", "wg-esp-idf", "--test", "stack_size", "--release"])
        .args(["-Zbuild-std=std,panic_unwind,test", "--target", SMALL_TARGET])
        .args(["--", "--nocapture"])
        .current_dir(root())
        .env("CARGO_TARGET_DIR", dir.join("cargo"))
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("RUSTFLAGS", format!("{NO_VECTORS} --cfg wg_host_lwip -Lnative={library} -lwg_lwip"))
        .env("LD_LIBRARY_PATH", library.to_string())
        // The linker looks names up on the stack of whoever calls first.
        .env("LD_BIND_NOW", "1");
    run(&mut tests)
}

fn run(tests: &mut Command) -> Result<()> {
    let status = tests.status().with_context(|| format!("cannot run `{}`", shown(tests)))?;
    if !status.success() {
        bail!("the tests failed ({status})");
    }
    Ok(())
}
