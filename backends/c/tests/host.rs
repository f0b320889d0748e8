//! The library as C sees it: the header against the Rust behind it, and programs in C that use both,
//! under AddressSanitizer and UndefinedBehaviorSanitizer.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
const SANITIZERS: &[&str] = &["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a compiler or a program of ours; its output is the failure's message.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?} failed ({}):\n{text}", output.status);
    text
}

/// Compiles one source that includes the header.
fn compile(compiler: &str, standard: &str, name: &str, source: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, source).unwrap();
    let mut command = Command::new(compiler);
    command.arg(standard).args(STRICT).arg("-I").arg(folder().join("include"));
    run(command.arg("-c").arg(&file).arg("-o").arg(dir.path().join("object.o")));
}

#[test]
fn the_header_compiles_as_c99_c11_and_cpp17_without_a_warning() {
    let source = "#include \"wg.h\"\n#include \"wg.h\"\nWG_STORAGE(storage, 2, 3);\n\
        int use(struct wg **wg, const struct wg_port *port);\n\
        int use(struct wg **wg, const struct wg_port *port) {\n\
        return wg_init(wg, &storage, sizeof storage, 2, 3, port);\n}\n";
    for standard in ["-std=c99", "-std=c11", "-std=gnu17"] {
        compile("gcc", standard, "use.c", source);
    }
    compile("g++", "-std=c++17", "use.cpp", source);
}

/// A parameter's or result's type as C writes it.
fn in_c(rust: &str) -> &'static str {
    match rust {
        "*mut *mut Wg" => "struct wg **",
        "*mut Wg" => "struct wg *",
        "*const RawPort" => "const struct wg_port *",
        "*mut RawAddress" => "struct wg_address *",
        "*const RawAddress" => "const struct wg_address *",
        "*const RawEndpoint" => "const struct wg_endpoint *",
        "*mut RawReceived" => "struct wg_received *",
        "*mut RawTransmit" => "struct wg_transmit *",
        "*mut RawEvent" => "struct wg_event *",
        "*mut RawStatus" => "struct wg_status *",
        "*mut RawConfig" => "struct wg_config *",
        "*mut c_void" => "void *",
        "*mut c_char" => "char *",
        "*const c_char" => "const char *",
        "*mut u8" => "uint8_t *",
        "*const u8" => "const uint8_t *",
        "*mut u16" => "uint16_t *",
        "*mut u64" => "uint64_t *",
        "*mut c_int" => "int *",
        "u8" => "uint8_t",
        "u16" => "uint16_t",
        "u32" => "uint32_t",
        "u64" => "uint64_t",
        "usize" => "size_t",
        "c_int" => "int",
        "" => "void",
        other => panic!("`{other}` has no type of C here"),
    }
}

/// Name and declaration of every function that the Rust sources export.
fn exported() -> Vec<(String, String)> {
    let sources = ["src/ffi.rs", "src/ffi/memory.rs"];
    let text: String =
        sources.iter().map(|file| std::fs::read_to_string(folder().join(file)).unwrap()).collect();
    let mut found = Vec::new();
    let mut add = |name: &str, parameters: &str, result: &str, has_engine: bool| {
        let types = parameters.split(',').filter_map(|one| Some(one.split_once(':')?.1.trim()));
        let mut types: Vec<_> = types.map(in_c).collect();
        if has_engine {
            types.insert(0, in_c("*mut Wg"));
        }
        if types.is_empty() {
            types.push("void");
        }
        let declaration = format!("{} {name}({});", in_c(result), types.join(", "));
        found.push((name.to_owned(), declaration));
    };
    for function in text.split("extern \"C\" fn ").skip(1).filter(|text| text.starts_with("wg_")) {
        let (name, rest) = function.split_once('(').unwrap();
        let (parameters, rest) = rest.split_once(')').unwrap();
        let result = rest.split_once('{').unwrap().0.trim().trim_start_matches("->").trim();
        add(name, parameters, result, false);
    }
    let (_, methods) = text.split_once("\nfunctions! {\n").unwrap();
    let (methods, _) = methods.split_once("\n}\n").unwrap();
    for method in methods.split(") |engine| {").filter(|text| text.contains("    wg_")) {
        let (name, parameters) = method.rsplit_once("    wg_").unwrap().1.split_once('(').unwrap();
        add(&format!("wg_{name}"), parameters, "c_int", true);
    }
    found
}

#[test]
fn every_function_has_the_same_types_in_the_header_and_in_rust() {
    let header = std::fs::read_to_string(folder().join("include/wg.h")).unwrap();
    let exported = exported();
    assert!(exported.len() > 40, "the sources are written in another way: {exported:?}");
    for (name, _) in &exported {
        assert!(header.contains(&format!("{name}(")), "{name} is not in wg.h");
    }
    // A second declaration with other types is an error; arrays and pointers are the same.
    let declarations: String = exported.iter().map(|(_, line)| format!("{line}\n")).collect();
    let pragma = "#pragma GCC diagnostic ignored \"-Warray-parameter\"";
    let source = format!("#include \"wg.h\"\n{pragma}\n{declarations}");
    compile("gcc", "-std=c11", "same.c", &source);

    let declared = header.lines().filter_map(|line| {
        let before = line.split_once('(')?.0;
        let name = before.rsplit([' ', '*']).next()?;
        let is_function = before.starts_with(|first: char| first.is_ascii_lowercase());
        (is_function && name.starts_with("wg_")).then_some(name)
    });
    for name in declared {
        assert!(exported.iter().any(|(known, _)| known == name), "{name} is not in Rust");
    }
}

/// The archive as `cargo build -p wg-c` makes it. The one beside this test does not serve: built for
/// the whole workspace, wg-nal in it has features that only a linked firmware satisfies.
fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wg-c");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-p", "wg-c", "--lib", "--locked", "--target-dir"]).arg(&target);
        run(cargo.current_dir(folder()));
        target.join("debug/libwg_c.a")
    })
}

/// Builds a program of tests/c with the sanitizers and runs it.
fn program(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join(name);
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-O1"]).args(STRICT).args(SANITIZERS);
    gcc.arg("-I").arg(folder().join("include")).arg("-I").arg(folder().join("tests/c"));
    gcc.arg(folder().join(format!("tests/c/{name}.c"))).arg(archive());
    run(gcc.args(["-lpthread", "-ldl", "-lm", "-o"]).arg(&program));
    print!("{}", run(&mut Command::new(&program)));
}

#[test]
fn two_engines_talk_in_c() {
    program("talk");
}

#[test]
fn bad_input_is_an_error_with_a_name_in_c() {
    program("bad_input");
}

#[test]
fn timestamps_rise_over_reboots_in_c() {
    program("reboot");
}
