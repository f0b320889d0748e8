//! `cargo xtask public-api`: what the crates offer, as a list that a change of it has to change.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::setup::rust_src::Toolchain;
use crate::workspace::{output_of, root, target_dir};

/// The libraries that others depend on.
const LIBRARIES: &[&str] = &["wg-core", "wg-nal", "wg-esp-hal", "wg-esp-idf", "wg-tokio"];

/// Compare the public API of the libraries, with all features, with the lists in docs/api.
///
/// What is gone or changed breaks its users, and wants a new minor version; what is new wants a
/// patch. Either way the list is part of the commit.
#[derive(clap::Args)]
pub(crate) struct PublicApi {
    /// Write the lists anew.
    #[arg(long)]
    write: bool,
}

impl PublicApi {
    pub(crate) fn run(self) -> Result<()> {
        let toolchain = Toolchain::find()?;
        let compiler = output_of(toolchain.rustc().arg("--version"))?.trim().to_owned();
        let mut differ = Vec::new();
        for &library in LIBRARIES {
            let file = root().join("docs/api").join(library).with_extension("txt");
            let list = list(&toolchain, library);
            if self.write {
                let list = format!("# {compiler}\n{}", list?);
                fs::write(&file, list)
                    .with_context(|| format!("cannot write {}", file.display()))?;
                continue;
            }
            let known = fs::read_to_string(&file).with_context(|| {
                format!("no {}: `cargo xtask public-api --write`", file.display())
            })?;
            // Another compiler may show the same items in other words, or be too young to be read.
            let is_ours = known.lines().next() == Some(&format!("# {compiler}"));
            let list = match list {
                Err(error) if !is_ours => {
                    println!(
                        "{library}: not compared with the list of another compiler: {error:#}"
                    );
                    continue;
                }
                list => list?,
            };
            println!("{library}: {} items", list.lines().count());
            let changes = changes(&known, &list);
            if changes.is_empty() {
                continue;
            }
            if is_ours {
                differ.push(format!("{library}:\n{changes}"));
            } else {
                println!("listed by another compiler than {compiler}, so this may mean nothing:");
                print!("{changes}");
            }
        }
        if !differ.is_empty() {
            bail!(
                "the public API is not the one in docs/api any more; if that is meant, \
                 `cargo xtask public-api --write`, and say so in CHANGELOG.md\n{}",
                differ.join("\n")
            );
        }
        Ok(())
    }
}

/// An item of the library a line.
fn list(toolchain: &Toolchain, library: &str) -> Result<String> {
    let dir = target_dir().join("public-api");
    let mut rustdoc = toolchain.cargo();
    rustdoc
        .args(["rustdoc", "--quiet", "--locked", "--lib", "--all-features", "-p", library])
        .arg("--target-dir")
        .arg(&dir)
        .args(["--", "-Zunstable-options", "--output-format=json"])
        .current_dir(root());
    output_of(&mut rustdoc)?;
    let json: PathBuf = dir.join("doc").join(library.replace('-', "_")).with_extension("json");
    let api = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| format!("cannot read {}", json.display()))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

/// What is gone, and what is new. The first line of `known` says who made it.
fn changes(known: &str, now: &str) -> String {
    let known: BTreeSet<_> = known.lines().skip(1).collect();
    let now: BTreeSet<_> = now.lines().collect();
    let gone = known.difference(&now).map(|item| format!("  gone: {item}\n"));
    gone.chain(now.difference(&known).map(|item| format!("  new:  {item}\n"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_item_is_gone_and_new() {
        let known = "# rustc\npub fn a::one()\npub fn a::two(u8)\n";
        assert_eq!(changes(known, "pub fn a::two(u8)\npub fn a::one()\n"), "");
        assert_eq!(
            changes(known, "pub fn a::one()\npub fn a::three()\npub fn a::two(u16)\n"),
            "  gone: pub fn a::two(u8)\n  new:  pub fn a::three()\n  new:  pub fn a::two(u16)\n"
        );
    }
}
