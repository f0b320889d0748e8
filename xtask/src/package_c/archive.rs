//! One archive: an object that exports wg.h and has all else inside.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::rust_src::Toolchain;
use crate::workspace::{output_of, root};
use crate::xtensa::{Abi, Firmware, LINKER};

/// What a name of a chip is built as.
pub(super) struct Chip {
    /// As Espressif's tools spell it, or the folder's name.
    pub(super) name: &'static str,
    /// `None` for Xtensa, whose target the compiler is told in a file.
    target: Option<&'static str>,
    is_for_32_bits: bool,
}

const fn chip(name: &'static str, target: &'static str) -> Chip {
    Chip { name, target: Some(target), is_for_32_bits: true }
}

/// The S2 and the S3 have all instructions that the ESP32 has, but for floating point, which this
/// library does not use.
const fn xtensa(name: &'static str) -> Chip {
    Chip { name, target: None, is_for_32_bits: true }
}

pub(super) const CHIPS: &[Chip] = &[
    xtensa("esp32"),
    xtensa("esp32s2"),
    xtensa("esp32s3"),
    chip("esp32c2", "riscv32imc-unknown-none-elf"),
    chip("esp32c3", "riscv32imc-unknown-none-elf"),
    chip("esp32c6", "riscv32imac-unknown-none-elf"),
    chip("esp32h2", "riscv32imac-unknown-none-elf"),
    chip("thumbv6m", "thumbv6m-none-eabi"),
    chip("thumbv7em", "thumbv7em-none-eabi"),
    chip("thumbv7em-hf", "thumbv7em-none-eabihf"),
    // Also how the 32-bit half of wg.h is tried out.
    chip("linux-i686", "i686-unknown-linux-gnu"),
    Chip { name: "linux-x86_64", target: Some("x86_64-unknown-linux-gnu"), is_for_32_bits: false },
];

/// What the C library has anyway. `abort` is a trap of Rust's where the compiler knows none.
const OF_C: &[&str] = &["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "abort"];

/// An archive, and its symbols.
pub(super) struct Built {
    pub(super) archive: PathBuf,
    /// What it gives to others: exactly the header's functions.
    pub(super) defined: BTreeSet<String>,
    /// What it wants of the C library.
    pub(super) asked: Vec<String>,
}

/// Builds an archive, and checks what it defines and what it asks for.
pub(super) fn build(dir: &Path, chip: &Chip) -> Result<Built> {
    let out = dir.join("archives").join(chip.name);
    fs::create_dir_all(&out)?;
    let objects = match chip.target {
        Some(target) => objects(dir, &out, chip, target)?,
        None => Firmware {
            package: root(),
            binary: "wg-c",
            cargo_arguments: &arguments(chip),
            rustc_arguments: &["-Zlocation-detail=none"],
            link_script: Path::new(""),
            target_dir: &dir.join("xtensa"),
        }
        .build_library(Abi::Windowed)?,
    };
    let exported = exported()?;
    let object = merge(&out, chip, &objects, &exported)?;
    let asked =
        check(&object, &exported).with_context(|| format!("the archive for {}", chip.name))?;
    let archive = out.join("libwg.a");
    if archive.exists() {
        fs::remove_file(&archive)?;
    }
    // D: without times and owners.
    output_of(Command::new("llvm-ar-22").arg("rcsD").arg(&archive).arg(&object))?;
    if chip.name.starts_with("linux") {
        try_out(&out, chip, &archive)?;
    }
    Ok(Built { archive, defined: exported, asked })
}

/// Two engines of the archive as it is packaged talk to each other in a program in C.
fn try_out(out: &Path, chip: &Chip, archive: &Path) -> Result<()> {
    let backend = root().join("backends/c");
    let program = out.join("talk");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-O1", if chip.is_for_32_bits { "-m32" } else { "-m64" }]);
    gcc.arg("-I").arg(backend.join("include"));
    gcc.arg(backend.join("tests/c/talk.c")).arg(archive).arg("-o").arg(&program);
    output_of(&mut gcc)?;
    output_of(&mut Command::new(&program)).with_context(|| chip.name)?;
    Ok(())
}

/// Of cargo, for the least flash, and the same bytes wherever the sources are.
fn arguments(chip: &Chip) -> Vec<String> {
    let mut arguments = vec![
        "--config=profile.release.lto=\"fat\"".to_owned(),
        "--config=profile.release.codegen-units=1".to_owned(),
        "--config=profile.release.debug=false".to_owned(),
        "--config=profile.release.panic=\"abort\"".to_owned(),
        // At "s" the compiler's young backend for Xtensa runs out of registers.
        format!(
            "--config=profile.release.opt-level=\"{}\"",
            if chip.target.is_none() { "z" } else { "s" }
        ),
    ];
    if chip.is_for_32_bits {
        arguments.extend(["--features".to_owned(), "wg-c/word32".to_owned()]);
    }
    arguments
}

fn objects(dir: &Path, out: &Path, chip: &Chip, target: &str) -> Result<Vec<PathBuf>> {
    let mut cargo = Toolchain::find()?.cargo();
    cargo.args(["rustc", "--release", "--locked", "--quiet", "-p", "wg-c", "--lib"]);
    cargo.args(["--crate-type=staticlib", "-Zbuild-std=core,alloc", "--target", target]);
    cargo.arg("--target-dir").arg(dir).args(arguments(chip)).current_dir(root());
    // Without std on a host, too.
    cargo.env("RUSTFLAGS", "--cfg wg_c_bare -Zlocation-detail=none -Crelocation-model=static");
    if chip.name.starts_with("linux") {
        // Programs there are loaded anywhere.
        cargo.env("RUSTFLAGS", "--cfg wg_c_bare -Zlocation-detail=none -Crelocation-model=pic");
    }
    output_of(cargo.env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    let archive = dir.join(target).join("release/libwg_c.a");
    let folder = out.join("objects");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    output_of(Command::new("llvm-ar-22").arg("x").arg(&archive).current_dir(&folder))?;
    let mut objects: Vec<_> =
        fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    objects.sort();
    Ok(objects)
}

/// The functions of the header.
fn exported() -> Result<BTreeSet<String>> {
    let header = fs::read_to_string(root().join("backends/c/include/wg.h"))?;
    let names = header.lines().filter_map(|line| {
        let before = line.split_once('(')?.0;
        let name = before.rsplit([' ', '*']).next()?;
        let is_function = before.starts_with(|first: char| first.is_ascii_lowercase());
        (is_function && name.starts_with("wg_")).then(|| name.to_owned())
    });
    Ok(names.collect())
}

/// One object of many: all symbols but the header's are its own.
fn merge(
    out: &Path,
    chip: &Chip,
    objects: &[PathBuf],
    exported: &BTreeSet<String>,
) -> Result<PathBuf> {
    let is_xtensa = chip.target.is_none();
    let objcopy = if is_xtensa { "xtensa-lx106-elf-objcopy" } else { "llvm-objcopy-22" };
    // compiler-builtins has these for programs without a C library; under another name they are
    // nobody's, and are left out.
    let mut parts = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        let name = object.file_name().unwrap_or_default().to_string_lossy();
        let part = out.join(format!("part-{number}.o"));
        let mut copy = Command::new(objcopy);
        if name.contains("builtins") {
            let nm =
                Command::new("llvm-nm-22").args(["-P", "--defined-only"]).arg(object).output()?;
            let symbols = String::from_utf8_lossy(&nm.stdout).into_owned();
            let defined = symbols.lines().filter_map(|line| line.split_whitespace().next());
            let own = defined.filter(|name| OF_C.contains(name));
            copy.args(own.map(|name| format!("--redefine-sym={name}=wg_own_{name}")));
        }
        output_of(copy.arg(object).arg(&part))?;
        parts.push(part);
    }
    let whole = out.join("whole.o");
    let mut link = if is_xtensa {
        let mut ld = Command::new(LINKER);
        ld.args(["-r", "--no-relax"]);
        ld
    } else {
        let mut ld = Toolchain::find()?.linker()?;
        ld.args(["-r", "--gc-sections"]);
        ld.args(exported.iter().map(|name| format!("--undefined={name}")));
        ld
    };
    output_of(link.args(&parts).arg("-o").arg(&whole))?;
    let list = out.join("exported.txt");
    fs::write(&list, exported.iter().map(|name| format!("{name}\n")).collect::<String>())?;
    let object = out.join("wg.o");
    output_of(
        Command::new(objcopy)
            .arg(format!("--keep-global-symbols={}", list.display()))
            .args(["--strip-unneeded", "--remove-section=.comment"])
            .arg(&whole)
            .arg(&object),
    )?;
    Ok(object)
}

/// Exactly the header's functions are defined, and only the C library's asked for: these.
fn check(object: &Path, exported: &BTreeSet<String>) -> Result<Vec<String>> {
    let symbols = output_of(Command::new("llvm-nm-22").args(["-P", "-g"]).arg(object))?;
    let mut defined = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for line in symbols.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(kind)) = (words.next(), words.next()) else { continue };
        if kind == "U" || kind == "w" { &mut asked } else { &mut defined }.insert(name.to_owned());
    }
    if defined != *exported {
        let differ: Vec<_> = defined.symmetric_difference(exported).collect();
        bail!("it does not define what wg.h declares: {differ:?}");
    }
    // The linker makes this one, for code that is loaded anywhere.
    asked.remove("_GLOBAL_OFFSET_TABLE_");
    let strange: Vec<_> = asked.iter().filter(|name| !OF_C.contains(&name.as_str())).collect();
    if !strange.is_empty() {
        bail!("it asks for what no C library has: {strange:?}");
    }
    Ok(asked.into_iter().collect())
}
