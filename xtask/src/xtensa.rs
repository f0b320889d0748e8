//! Builds firmware for Xtensa, the instruction set of the ESP32, S2 and S3, with the stock
//! compiler, and runs it in QEMU.
//!
//! rustc has LLVM's Xtensa backend, which is young: its object files misplace the constants
//! that `l32r` loads, it takes no inline assembly, and it has no linker. So the compiler emits
//! assembly, of the whole program at once; llvm-mc assembles it, together with
//! `xtask/xtensa/asm/start.s`; and Debian's linker for another Xtensa core links it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup::Need;
use crate::setup::rust_src::Toolchain;
use crate::workspace::{has_program, output_of, root};

/// What building and running takes.
pub(crate) const NEEDS: &[Need] = &[Need::RustSrc, Need::XtensaTools];

/// The linker; relocations of the instructions that its core lacks it does not know.
pub(crate) const LINKER: &str = "xtensa-lx106-elf-ld";

/// How functions are called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Abi {
    /// Registers are saved by who uses them.
    Call0,
    /// A call moves a window over 64 registers, as in firmware for the ESP32.
    Windowed,
}

impl Abi {
    fn name(self) -> &'static str {
        match self {
            Self::Call0 => "call0",
            Self::Windowed => "windowed",
        }
    }

    /// The processor's features for the compiler and the assembler. Floating point crashes the
    /// compiler's instruction selection.
    fn features(self) -> &'static str {
        match self {
            Self::Call0 => "-fp,-windowed",
            Self::Windowed => "-fp",
        }
    }
}

/// A package of firmware that starts from `xtask/xtensa`.
pub(crate) struct Firmware<'a> {
    /// The package's folder.
    pub(crate) package: &'a Path,
    pub(crate) binary: &'a str,
    /// Of cargo's, before `--`.
    pub(crate) cargo_arguments: &'a [String],
    /// Of rustc's, for the binary: with fat LTO it is where all code is generated.
    pub(crate) rustc_arguments: &'a [&'a str],
    /// Where the machine has its memory: `sim.ld`, or one of the package's own.
    pub(crate) link_script: &'a Path,
    /// Where the build goes: a folder for each combination of arguments.
    pub(crate) target_dir: &'a Path,
}

impl Firmware<'_> {
    /// Builds the firmware, and returns where its image is.
    pub(crate) fn build(&self, abi: Abi) -> Result<PathBuf> {
        let target = self.target(abi)?;
        let out = self.target_dir.join(abi.name());
        std::fs::create_dir_all(&out)?;
        let program = out.join(format!("{}.s", self.binary));
        let mem = "-Zbuild-std-features=compiler-builtins-mem";
        self.compile(&target, &program, &["--bin", self.binary, mem])?;
        let builtins = self.builtins(&target)?;

        let start = start();
        let mut objects = Vec::new();
        for (source, name) in [(&start, "start"), (&program, self.binary), (&builtins, "builtins")]
        {
            let object = out.join(format!("{name}.o"));
            assemble(abi, source, &object)?;
            objects.push(object);
        }
        let image = out.join(format!("{}.elf", self.binary));
        output_of(
            Command::new(LINKER)
                .args(["--gc-sections", "--no-warn-rwx-segments", "-T"])
                .arg(self.link_script)
                .args(&objects)
                .arg("-o")
                .arg(&image),
        )?;
        Ok(image)
    }

    /// Builds `binary` as a library for programs in C, and returns its object and that of
    /// compiler-builtins. `memcpy` and the like are C's.
    pub(crate) fn build_library(&self, abi: Abi) -> Result<Vec<PathBuf>> {
        let target = self.target(abi)?;
        let out = self.target_dir.join(abi.name());
        std::fs::create_dir_all(&out)?;
        let program = out.join(format!("{}.s", self.binary));
        self.compile(&target, &program, &["-p", self.binary, "--lib", "--crate-type=staticlib"])?;
        let mut objects = Vec::new();
        for (source, name) in [(&program, self.binary), (&self.builtins(&target)?, "builtins")] {
            let object = out.join(format!("{name}.o"));
            assemble(abi, source, &object)?;
            objects.push(object);
        }
        Ok(objects)
    }

    /// The target's description: the compiler's own, with LLVM's data layout for the ABI.
    fn target(&self, abi: Abi) -> Result<PathBuf> {
        let own = output_of(Toolchain::find()?.rustc().args([
            "-Zunstable-options",
            "--print=target-spec-json",
            "--target=xtensa-esp32-none-elf",
        ]))?;
        let mut target: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&own).context("the compiler's description of the target")?;
        target.remove("is-builtin");
        let layout = "e-m:e-p:32:32-i8:8:32-i16:16:32-i64:64-n32";
        for (key, value) in
            [("data-layout", layout), ("features", abi.features()), ("linker", "true")]
        {
            target.insert(key.into(), value.into());
        }
        std::fs::create_dir_all(self.target_dir)?;
        let file = self.target_dir.join(format!("xtensa-{}.json", abi.name()));
        let text = serde_json::to_string_pretty(&target)?;
        if std::fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            std::fs::write(&file, text)?;
        }
        Ok(file)
    }

    /// Compiles the program to assembly at `into`, and compiler-builtins beside it: that one
    /// stays out of LTO, so it is asked for assembly of its own. Asking every crate would have
    /// the backend generate all of `core`, where it fails.
    fn compile(&self, target: &Path, into: &Path, what: &[&str]) -> Result<()> {
        let builtins = "profile.release.package.compiler_builtins";
        let mut cargo = Toolchain::find()?.cargo();
        cargo
            .args(["rustc", "--release", "--locked", "-Zbuild-std=core,alloc"])
            .args(what)
            .args(["-Zjson-target-spec", "-Zprofile-rustflags", "--target"])
            .arg(target)
            .arg("--target-dir")
            .arg(self.target_dir)
            .args(["--config", &format!("{builtins}.rustflags=[\"--emit=asm\"]")])
            .args(["--config", &format!("{builtins}.opt-level=\"s\"")])
            .args(self.cargo_arguments)
            .arg("--")
            .arg(format!("--emit=asm={},link", into.display()))
            .args(self.rustc_arguments)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .current_dir(self.package);
        output_of(&mut cargo).map(drop)
    }

    /// The assembly of compiler-builtins that the last build left.
    fn builtins(&self, target: &Path) -> Result<PathBuf> {
        let name = target.file_stem().context("a target's file has a name")?;
        let dir = self.target_dir.join(name).join("release/deps");
        let mut newest = None;
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("compiler_builtins-") && name.ends_with(".s") {
                newest = newest.max(Some((entry.metadata()?.modified()?, entry.path())));
            }
        }
        let (_, path) = newest
            .with_context(|| format!("no assembly of compiler-builtins in {}", dir.display()))?;
        Ok(path)
    }
}

/// Runs an image on the machine without devices; what it prints comes back when it exits.
///
/// An instruction takes 1024 ns of the machine's time, which are 10.24 ticks of its counter.
pub(crate) fn simulate(image: &Path, seconds: u32) -> Result<String> {
    output_of(
        // A guest that hangs would never end by itself.
        Command::new("timeout")
            .arg(seconds.to_string())
            .args(["qemu-system-xtensa", "-M", "sim", "-cpu", "dc233c", "-m", "64M"])
            .args(["-semihosting", "-icount", "shift=10", "-display", "none"])
            .args(["-monitor", "none", "-serial", "none", "-kernel"])
            .arg(image),
    )
}

/// The link script of the machine without devices.
pub(crate) fn sim_link_script() -> PathBuf {
    folder().join("asm/sim.ld")
}

/// Start-up, exception vectors and the emulator's calls.
pub(crate) fn start() -> PathBuf {
    folder().join("asm/start.s")
}

fn folder() -> PathBuf {
    root().join("xtask/xtensa")
}

pub(crate) fn assemble(abi: Abi, source: &Path, object: &Path) -> Result<()> {
    let assembler = assembler().context("no llvm-mc that knows Xtensa")?;
    output_of(
        Command::new(assembler)
            .args(["-triple=xtensa", "-mcpu=esp32", "-filetype=obj", "--defsym"])
            .arg(format!("WINDOWED={}", u8::from(abi == Abi::Windowed)))
            .arg(format!("-mattr={}", abi.features()))
            .arg(source)
            .arg("-o")
            .arg(object),
    )
    .map(drop)
}

/// An assembler that knows the instruction set: LLVM's since version 22.
pub(crate) fn assembler() -> Option<&'static str> {
    ["llvm-mc-22", "llvm-mc-23", "llvm-mc"].into_iter().find(|program| {
        has_program(program)
            && output_of(Command::new(program).arg("--version"))
                .is_ok_and(|version| version.contains("xtensa"))
    })
}
