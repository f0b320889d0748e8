//! The interface in C, between a real lwIP and another engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{run, sources};
use crate::workspace::{output_of, root};

/// The two ways to run lwIP, and the macro that tells them apart.
const WAYS: &[(&str, &[&str])] =
    &[("a main loop, NO_SYS=1", &["-DWG_NO_SYS"]), ("the tcpip thread and a core lock", &[])];

const FLAGS: &[&str] = &[
    "-std=c11",
    "-D_GNU_SOURCE",
    "-g",
    "-O1",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
];

/// lwIP's sources add a number to NULL, and look at packets at odd addresses.
const LENIENT: &[&str] = &["-fno-sanitize=alignment,pointer-overflow", "-w"];
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Builds lwIP, the interface and its test both ways, with sanitizers, and runs them.
pub(super) fn test(dir: &Path, source: &Path) -> Result<()> {
    let mut build = Command::new("cargo");
    build.args(["build", "--locked", "--quiet", "-p", "wg-c"]).current_dir(root());
    run(build.env("CARGO_TARGET_DIR", dir.join("cargo")))?;
    let archive = dir.join("cargo/debug/libwg_c.a");
    for (name, macros) in WAYS {
        println!("wg-c in lwIP with {name}");
        let program = link(dir, source, macros, &archive)?;
        run(&mut Command::new(program))?;
    }
    Ok(())
}

fn link(dir: &Path, source: &Path, macros: &[&str], archive: &Path) -> Result<PathBuf> {
    let backend = root().join("backends/c");
    let folder = dir.join(if macros.is_empty() { "c-thread" } else { "c-loop" });
    std::fs::create_dir_all(&folder)?;
    let includes = |gcc: &mut Command| {
        for include in ["include", "tests/c", "tests/lwip"] {
            gcc.arg("-I").arg(backend.join(include));
        }
        for include in ["src/include", "port/include"] {
            gcc.arg("-isystem").arg(source.join(include));
        }
    };

    let mut theirs = Vec::new();
    for part in ["src/core", "src/core/ipv4", "src/core/ipv6"] {
        theirs.extend(sources(&source.join(part))?);
    }
    if macros.is_empty() {
        theirs.push(source.join("src/api/tcpip.c"));
        theirs.push(source.join("src/api/err.c"));
        theirs.push(source.join("port/sys_arch.c"));
    }
    // lwIP itself is built again only when its configuration has changed.
    let objects = folder.join("lwip.o");
    let options = backend.join("tests/lwip/lwipopts.h");
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    if !objects.is_file() || changed(&objects)? < changed(&options)? {
        let mut built = Vec::new();
        for (number, file) in theirs.iter().enumerate() {
            let object = folder.join(format!("{number}.o"));
            let mut gcc = Command::new("gcc");
            gcc.args(FLAGS).args(LENIENT).args(macros);
            includes(&mut gcc);
            // Time is the test's.
            if file.ends_with("sys_arch.c") {
                gcc.arg("-Dsys_now=port_sys_now");
            }
            output_of(gcc.arg("-c").arg(file).arg("-o").arg(&object))?;
            built.push(object);
        }
        output_of(Command::new("ld").arg("-r").arg("-o").arg(&objects).args(&built))?;
        for object in built {
            std::fs::remove_file(object)?;
        }
    }

    // What firmware of other standards includes and compiles.
    for (compiler, standard, file) in
        [("gcc", "-std=c99", "src/wg_lwip.c"), ("g++", "-std=c++17", "include/wg_lwip.h")]
    {
        let mut check = Command::new(compiler);
        check.args([standard, "-D_GNU_SOURCE", "-fsyntax-only"]).args(STRICT).args(macros);
        includes(&mut check);
        output_of(check.arg(backend.join(file))).context(standard)?;
    }

    let program = folder.join("test");
    let mut gcc = Command::new("gcc");
    gcc.args(FLAGS).args(STRICT).args(macros);
    includes(&mut gcc);
    gcc.args(sources(&backend.join("src"))?).args(sources(&backend.join("tests/lwip"))?);
    gcc.arg(&objects).arg(archive).args(["-lpthread", "-ldl", "-lm", "-o"]).arg(&program);
    output_of(&mut gcc).context("the test in C")?;
    Ok(program)
}
