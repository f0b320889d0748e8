//! `cargo xtask spec`: does `docs/spec.md` still say the truth?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{output_of, root};

/// A row has as many cells as its table's head.
const COLUMNS: usize = 5;

/// Check that every rule of docs/spec.md names functions and tests that exist.
///
/// A rule is a row `| id | rule | section | functions | tests |`; functions and tests stand in
/// backquotes, as `file.rs:function` and as the test's name.
#[derive(clap::Args)]
pub(crate) struct Spec {}

impl Spec {
    pub(crate) fn run(self) -> Result<()> {
        let text = fs::read_to_string(root().join("docs/spec.md")).context("docs/spec.md")?;
        let sources = sources()?;
        let tests: Vec<&str> = sources.values().flat_map(|source| tests_in(source)).collect();

        let mut wrong = Vec::new();
        let mut rules = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(cells) = cells(line) else { continue };
            let [id, rule, section, functions, named] = cells;
            if let Some(before) = rules.insert(id, number) {
                wrong.push(format!("{number}: `{id}` is the id of line {before}, too"));
            }
            if rule.is_empty() || section.is_empty() {
                wrong.push(format!("{number}: `{id}` has no text, or no section of the paper"));
            }
            for function in quoted(functions).filter(|name| !exists(&sources, name)) {
                wrong.push(format!("{number}: `{id}`: there is no `{function}`"));
            }
            let mut named = quoted(named).peekable();
            if named.peek().is_none() {
                wrong.push(format!("{number}: `{id}` has no test"));
            }
            for test in named.filter(|name| !tests.contains(name)) {
                wrong.push(format!("{number}: `{id}`: there is no test `{test}`"));
            }
        }
        if rules.is_empty() {
            bail!("docs/spec.md has no rules");
        }
        if !wrong.is_empty() {
            bail!("docs/spec.md is not true any more:\n  {}", wrong.join("\n  "));
        }
        println!("{} rules, each with its tests", rules.len());
        Ok(())
    }
}

/// The cells of a rule; `None` for every other line, a table's head included.
fn cells(line: &str) -> Option<[&str; COLUMNS]> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let cells: [&str; COLUMNS] = cells.try_into().ok()?;
    let is_head = cells[0] == "id" || cells[0].starts_with("--");
    (!is_head).then_some(cells)
}

/// What stands in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// All Rust files of the checkout by their path.
fn sources() -> Result<BTreeMap<String, String>> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]);
    list.current_dir(root());
    let read = |path: &str| Ok((path.to_owned(), fs::read_to_string(root().join(path))?));
    output_of(&mut list)?.lines().map(read).collect()
}

/// Whether `file.rs:function` is there, the file named by the end of its path.
fn exists(sources: &BTreeMap<String, String>, name: &str) -> bool {
    let Some((file, function)) = name.split_once(':') else { return false };
    sources
        .iter()
        .filter(|(path, _)| path.as_str() == file || path.ends_with(&format!("/{file}")))
        .any(|(_, source)| {
            let definitions = ["fn", "struct", "enum", "const", "trait"];
            definitions.iter().any(|kind| {
                source.match_indices(&format!("{kind} {function}")).any(|(at, found)| {
                    let after = source[at + found.len()..].chars().next();
                    after.is_none_or(|c| !c.is_alphanumeric() && c != '_')
                })
            })
        })
}

/// The names of all tests of the checkout.
pub(crate) fn all_tests() -> Result<BTreeSet<String>> {
    Ok(sources()?.values().flat_map(|source| tests_in(source)).map(str::to_owned).collect())
}

/// The names of a file's test functions: what follows `#[test]` and its like.
fn tests_in(source: &str) -> impl Iterator<Item = &str> {
    ["#[test]", "#[tokio::test"].into_iter().flat_map(|attribute| {
        source.split(attribute).skip(1).filter_map(|after| {
            let (_, name) = after.split_once("fn ")?;
            name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_rule_unless_it_is_a_head() {
        assert_eq!(cells("| a | b | c | `d` | `e` |"), Some(["a", "b", "c", "`d`", "`e`"]));
        assert_eq!(cells("| id | rule | section | functions | tests |"), None);
        assert_eq!(cells("| --- | --- | --- | --- | --- |"), None);
        assert_eq!(cells("text"), None);
    }

    #[test]
    fn functions_are_found_by_their_whole_name() {
        let source = BTreeMap::from([("a/b.rs".to_owned(), "pub fn whole_name(".to_owned())]);
        assert!(exists(&source, "b.rs:whole_name"));
        assert!(!exists(&source, "b.rs:whole"));
        assert!(!exists(&source, "c.rs:whole_name"));
    }

    #[test]
    fn tests_are_found_with_attributes_between() {
        let source = "#[test]\n#[ignore]\nfn one() {}\nfn two() {}\n#[test]\nfn three() {}";
        assert_eq!(tests_in(source).collect::<Vec<_>>(), ["one", "three"]);
    }
}
