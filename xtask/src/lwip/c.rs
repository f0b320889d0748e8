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
        ours: &["src", "esp/src", "tests/lwip", "tests/esp"],
        includes: &["esp/include", "esp/src", "tests/esp", "tests/esp/include"],
    },
    Way {
        name: "ESP-IDF: ESPHome's own component",
        folder: "c-esphome",
        macros: &["-DWG_TEST_ESP"],
        ours: &["src", "esp/src", "tests/lwip", "tests/esp", "tests/esphome"],
        includes: &[
            "esp/include",
            "esp/src",
            "tests/esp",
            "tests/esp/include",
            "tests/esphome/include",
        ],
    },
];

/// The other end of a kernel's tunnel.
const INTEROP: Way = Way {
    name: "one end of a tunnel",
    folder: "c-interop",
    macros: &["-DWG_NO_SYS"],
    ours: &["src", "tests/interop"],
    includes: &[],
};

/// The version whose component is tried.
const ESPHOME: &str = "2026.10.0";

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
    let archive = archive(dir)?;
    for way in WAYS {
        println!("wg-c in lwIP with {}", way.name);
        run(&mut Command::new(link(dir, source, way, &archive)?))?;
    }
    Ok(())
}

/// Builds the program that is one end of a tunnel, with sanitizers.
pub(super) fn interop_program(dir: &Path, source: &Path) -> Result<PathBuf> {
    link(dir, source, &INTEROP, &archive(dir)?)
}

fn archive(dir: &Path) -> Result<PathBuf> {
    let mut build = Command::new("cargo");
    build.args(["build", "--locked", "--quiet", "-p", "wg-c"]).current_dir(root());
    run(build.env("CARGO_TARGET_DIR", dir.join("cargo")))?;
    Ok(dir.join("cargo/debug/libwg_c.a"))
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

    if way.ours.contains(&"tests/esp") {
        sketches(&includes, macros)?;
    }

    let program = folder.join("test");
    let mut link = Command::new("g++");
    link.args(FLAGS);
    for part in way.ours {
        for file in with_extensions(&backend.join(part), &["c", "cpp"])? {
            let is_c = file.extension().is_some_and(|extension| extension == "c");
            // The tests have a world in C in common, and each its own program.
            let is_last = way.ours.last() == Some(part);
            let is_program = !is_c || file.ends_with("lwip/main.c");
            if part.starts_with("tests/") && is_program && !is_last {
                continue;
            }
            let object = folder.join(part.replace('/', "-") + "-" + &name_of(&file) + ".o");
            let (compiler, standard) =
                if is_c { ("gcc", "-std=c11") } else { ("g++", "-std=c++17") };
            let mut compile = Command::new(compiler);
            compile.arg(standard).args(FLAGS).args(STRICT).args(macros);
            includes(&mut compile);
            if *part == "tests/esphome" {
                compile.arg("-isystem").arg(esphome(dir)?);
            }
            output_of(compile.arg("-c").arg(&file).arg("-o").arg(&object))
                .with_context(|| file.display().to_string())?;
            link.arg(object);
        }
    }
    if way.ours.contains(&"tests/esphome") {
        let wheel = esphome(dir)?;
        let object = folder.join("component.o");
        let mut compile = Command::new("g++");
        // Theirs, so its warnings are theirs.
        compile.args(["-std=gnu++20", "-w"]).args(FLAGS).args(macros);
        includes(&mut compile);
        compile.arg("-I").arg(&wheel);
        compile.arg("-c").arg(wheel.join("esphome/components/wireguard/wireguard.cpp"));
        output_of(compile.arg("-o").arg(&object)).context("ESPHome's component")?;
        link.arg(object);
    }
    link.arg(&objects).arg(archive).args(["-lpthread", "-ldl", "-lm", "-o"]).arg(&program);
    output_of(&mut link).context("the test in C")?;
    Ok(program)
}

/// Compiles the sketches of the library for Arduino, over stand-ins for the headers that they include.
fn sketches(includes: &impl Fn(&mut Command), macros: &[&str]) -> Result<()> {
    let examples = root().join("backends/c/package/arduino/examples");
    let folders: Vec<_> = std::fs::read_dir(&examples)?.collect::<Result<_, _>>()?;
    anyhow::ensure!(folders.len() >= 4, "the sketches have gone from {}", examples.display());
    for folder in folders {
        // The IDE takes a sketch by its folder's name.
        let sketch = folder.path().join(folder.file_name()).with_extension("ino");
        let mut check = Command::new("g++");
        check.args(["-std=gnu++17", "-D_GNU_SOURCE", "-fsyntax-only"]).args(STRICT).args(macros);
        includes(&mut check);
        // As the IDE does.
        check.args(["-include", "Arduino.h", "-x", "c++"]).arg(&sketch);
        output_of(&mut check).with_context(|| sketch.display().to_string())?;
    }
    Ok(())
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folder of ESPHome's sources, fetched once from the Python registry.
fn esphome(dir: &Path) -> Result<PathBuf> {
    let folder = dir.join(format!("esphome-{ESPHOME}"));
    if !folder.is_dir() {
        println!("  fetching ESPHome {ESPHOME} from the Python registry (once)");
        let part = dir.join(format!("esphome.part-{}", std::process::id()));
        std::fs::create_dir_all(&part)?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--python-version", "3.12"]);
        pip.args(["--only-binary", ":all:", &format!("esphome=={ESPHOME}"), "-d"]).arg(&part);
        output_of(&mut pip).context("python3 with pip is needed for ESPHome's component")?;
        let wheel = part.join(format!("esphome-{ESPHOME}-py3-none-any.whl"));
        let mut unpack = Command::new("python3");
        output_of(unpack.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&part))?;
        std::fs::rename(part, &folder).context("cannot move ESPHome into its place")?;
    }
    // Its other headers stay out: ours stand for them.
    let component = "esphome/components/wireguard";
    let place = folder.join("wireguard-alone");
    std::fs::create_dir_all(place.join(component))?;
    for file in ["wireguard.cpp", "wireguard.h"] {
        std::fs::copy(folder.join(component).join(file), place.join(component).join(file))?;
    }
    Ok(place)
}
