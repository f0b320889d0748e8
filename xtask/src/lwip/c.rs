//! The interface in C, between a real lwIP and another engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{run, sources, with_extensions};
use crate::workspace::{output_of, root};

/// How lwIP runs, and who uses it.
struct Way {
    name: &'static str,
    folder: &'static str,
    macros: &'static [&'static str],
    /// Folders of the backend with sources of ours.
    ours: &'static [&'static str],
    includes: &'static [&'static str],
}

const WAYS: &[Way] = &[
    Way {
        name: "a main loop, NO_SYS=1",
        folder: "c-loop",
        macros: &["-DWG_NO_SYS"],
        ours: &["src", "tests/lwip"],
        includes: &[],
    },
    Way {
        name: "the tcpip thread and a core lock",
        folder: "c-thread",
        macros: &[],
        ours: &["src", "tests/lwip"],
        includes: &[],
    },
    Way {
        name: "ESP-IDF: a sketch, and esp_wireguard.h",
        folder: "c-esp",
        macros: &["-DWG_TEST_ESP"],
        ours: &["src", "esp/src", "tests/esp", "tests/lwip"],
        includes: &["esp/include", "esp/src", "tests/esp", "tests/esp/include"],
    },
];

const FLAGS: &[&str] = &[
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
    for way in WAYS {
        println!("wg-c in lwIP with {}", way.name);
        run(&mut Command::new(link(dir, source, way, &archive)?))?;
    }
    Ok(())
}

fn link(dir: &Path, source: &Path, way: &Way, archive: &Path) -> Result<PathBuf> {
    let backend = root().join("backends/c");
    let folder = dir.join(way.folder);
    std::fs::create_dir_all(&folder)?;
    let macros = way.macros;
    let includes = |gcc: &mut Command| {
        for include in ["include", "src", "tests/c", "tests/lwip"].iter().chain(way.includes) {
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
    if !macros.contains(&"-DWG_NO_SYS") {
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
    let mut link = Command::new("g++");
    link.args(FLAGS);
    for part in way.ours {
        for file in with_extensions(&backend.join(part), &["c", "cpp"])? {
            // The two tests have a world in common, and each its own `main`.
            if way.ours.contains(&"tests/esp") && file.ends_with("lwip/main.c") {
                continue;
            }
            let is_c = file.extension().is_some_and(|extension| extension == "c");
            let object = folder.join(part.replace('/', "-") + "-" + &name_of(&file) + ".o");
            let (compiler, standard) =
                if is_c { ("gcc", "-std=c11") } else { ("g++", "-std=c++17") };
            let mut compile = Command::new(compiler);
            compile.arg(standard).args(FLAGS).args(STRICT).args(macros);
            includes(&mut compile);
            output_of(compile.arg("-c").arg(&file).arg("-o").arg(&object))
                .with_context(|| file.display().to_string())?;
            link.arg(object);
        }
    }
    link.arg(&objects).arg(archive).args(["-lpthread", "-ldl", "-lm", "-o"]).arg(&program);
    output_of(&mut link).context("the test in C")?;
    Ok(program)
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
