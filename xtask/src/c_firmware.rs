//! Firmware in C for the emulated boards: a real lwIP, and wg-c's archive as `package-c` makes it.
//!
//! clang compiles it. Its backend for Xtensa is the Rust compiler's, and as young: so there it stops at
//! assembly, as in [`crate::xtensa`].

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::board::Kind;
use crate::setup::Need;
use crate::setup::rust_src::Toolchain;
use crate::workspace::{output_of, root, target_dir};
use crate::xtensa::{self, Abi};
use crate::{lwip, package_c};

pub(crate) const CLANG: &str = "clang-22";
const LLC: &str = "llc-22";

/// What building takes, beside what the board does.
pub(crate) const NEEDS: &[Need] = &[Need::DebianPackages, Need::Clang, Need::XtensaTools];

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
const OPTIONS: &[&str] = &["-std=c11", "-Os", "-ffreestanding", "-fno-builtin"];
const SECTIONS: &[&str] = &["-ffunction-sections", "-fdata-sections"];

/// A program for a board.
pub(crate) struct CFirmware {
    pub(crate) kind: Kind,
    /// The folder of its objects, and its image's name.
    pub(crate) name: &'static str,
    pub(crate) program: Program,
}

/// What runs on the board.
pub(crate) enum Program {
    /// The firmware, with this source for its tunnel; without one it posts outside of any.
    Firmware { tunnel: Option<PathBuf> },
    /// A source with a `main` of its own, and the archive.
    Own(PathBuf),
}

impl Program {
    /// The firmware as it is.
    pub(crate) fn firmware() -> Self {
        Self::Firmware { tunnel: Some(root().join("examples/boards-c/tunnel.c")) }
    }

    fn has_tunnel(&self) -> bool {
        matches!(self, Self::Firmware { tunnel: Some(_) })
    }
}

/// The firmware's sources that are no board's.
const FIRMWARE: &[&str] = &["main.c", "application.c", "flash.c"];
const BOARD: &[&str] = &["console.c", "stack.c", "libc/libc.c"];

impl CFirmware {
    /// Builds it, and returns where its image is.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        let out = target_dir().join("boards-c").join(self.kind.name());
        let lwip = lwip::fetch(&target_dir().join("lwip"))?;
        let mut objects = self.lwip(&out.join("lwip"), &lwip)?;
        let own = out.join(self.name);
        std::fs::create_dir_all(&own)?;
        for source in self.sources()? {
            objects.push(self.compile(&source, &own, &lwip, STRICT)?);
        }
        if self.kind == Kind::Xtensa {
            let start = own.join("start.o");
            xtensa::assemble(Abi::Windowed, &xtensa::start(), &start)?;
            objects.push(start);
        }
        if !matches!(self.program, Program::Firmware { tunnel: None }) {
            objects.push(package_c::archive(self.chip())?);
        }
        let image = out.join(format!("{}.elf", self.name));
        let mut link = match self.kind {
            Kind::Riscv => Toolchain::find()?.linker()?,
            Kind::Xtensa => {
                let mut ld = Command::new(xtensa::LINKER);
                ld.arg("--no-warn-rwx-segments");
                ld
            }
        };
        let script = root().join("examples/boards").join(format!("{}.ld", self.kind.name()));
        link.args(["--gc-sections", "-T"]).arg(script).args(objects).arg("-o").arg(&image);
        output_of(&mut link)?;
        Ok(image)
    }

    /// The chip whose archive has the board's instructions.
    fn chip(&self) -> &'static str {
        match self.kind {
            Kind::Riscv => "esp32c3",
            Kind::Xtensa => "esp32",
        }
    }

    fn sources(&self) -> Result<Vec<PathBuf>> {
        let folder = root().join("examples/boards-c");
        let board: &[&str] = match self.kind {
            Kind::Riscv => &["riscv.c", "virtio.c"],
            Kind::Xtensa => &["xtensa.c"],
        };
        let mut sources: Vec<_> = BOARD.iter().chain(board).map(|file| folder.join(file)).collect();
        match &self.program {
            Program::Own(source) => sources.push(source.clone()),
            Program::Firmware { tunnel } => {
                sources.extend(FIRMWARE.iter().map(|file| folder.join(file)));
                if let Some(tunnel) = tunnel {
                    sources.push(tunnel.clone());
                    sources.extend(lwip::sources(&root().join("backends/c/src"))?);
                }
            }
        }
        Ok(sources)
    }

    /// lwIP, which is compiled again only when its configuration has changed.
    fn lwip(&self, out: &Path, lwip: &Path) -> Result<Vec<PathBuf>> {
        let include = root().join("examples/boards-c/include");
        let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified());
        let newest =
            changed(&include.join("lwipopts.h"))?.max(changed(&include.join("arch/cc.h"))?);
        let mut sources = vec![lwip.join("src/netif/ethernet.c")];
        for part in ["src/core", "src/core/ipv4", "src/core/ipv6"] {
            sources.extend(lwip::sources(&lwip.join(part))?);
        }
        std::fs::create_dir_all(out)?;
        let mut objects = Vec::new();
        for source in &sources {
            let object = object(out, source);
            if !object.is_file() || changed(&object)? < newest {
                self.compile(source, out, lwip, &["-w"])?;
            }
            objects.push(object);
        }
        Ok(objects)
    }

    fn compile(
        &self,
        source: &Path,
        out: &Path,
        lwip: &Path,
        warnings: &[&str],
    ) -> Result<PathBuf> {
        let object = object(out, source);
        let firmware = root().join("examples/boards-c");
        let backend = root().join("backends/c");
        let mut clang = Command::new(CLANG);
        clang.args(OPTIONS).args(warnings);
        if self.program.has_tunnel() {
            clang.arg("-DWITH_TUNNEL");
        }
        for folder in
            [&firmware, &firmware.join("include"), &backend.join("include"), &backend.join("src")]
        {
            clang.arg("-I").arg(folder);
        }
        for folder in [firmware.join("libc"), lwip.join("src/include")] {
            clang.arg("-isystem").arg(folder);
        }
        clang.arg("-c").arg(source).arg("-o");
        // What is half written is not taken for an object.
        let part = object.with_extension("part");
        match self.kind {
            Kind::Riscv => {
                clang.arg(&part).args(SECTIONS);
                clang.args(["--target=riscv32", "-march=rv32imc", "-mabi=ilp32"]);
                output_of(&mut clang)?;
            }
            Kind::Xtensa => {
                let bitcode = object.with_extension("bc");
                let assembly = object.with_extension("s");
                output_of(clang.arg(&bitcode).args(["--target=xtensa", "-emit-llvm"]))?;
                let mut llc = Command::new(LLC);
                llc.args(["-mcpu=esp32", "-mattr=-fp", "--function-sections", "--data-sections"]);
                output_of(llc.arg(&bitcode).arg("-o").arg(&assembly))?;
                xtensa::assemble(Abi::Windowed, &assembly, &part)?;
            }
        }
        std::fs::rename(part, &object).context("cannot move an object into its place")?;
        Ok(object)
    }
}

/// Where a source's object goes: folders of lwIP have files of one name.
fn object(out: &Path, source: &Path) -> PathBuf {
    let name = source.file_stem().unwrap_or_default().to_string_lossy();
    let parent = source.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    out.join(format!("{parent}-{name}.o"))
}
