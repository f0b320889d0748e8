//! `cargo xtask circles`: can each file be read after those that it uses?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::root;

/// The crates that are kept free of circles.
const CRATES: &[&str] = &["wg-core", "wg-nal", "backends/esp-hal", "backends/esp-idf"];

/// Check that no modules of a library import each other in a circle.
///
/// Reads `use` declarations, those of tests left out. A module may use its parent, which is the
/// noun that it is a part of; what the parent re-exports counts as used where it stands.
#[derive(clap::Args)]
pub(crate) struct Circles {}

impl Circles {
    pub(crate) fn run(self) -> Result<()> {
        let mut wrong = Vec::new();
        for name in CRATES {
            let mut modules = Modules::default();
            read(&mut modules, &root().join(name).join("src"), "lib.rs", &[])?;
            let uses = uses(&modules);
            println!("{name}: {} modules", modules.len());
            let circle = circle(uses);
            wrong.extend(circle.iter().map(|(module, used)| {
                let used: Vec<_> = used.iter().map(|used| used.join("::")).collect();
                format!("{name}: {} uses {}", module.join("::"), used.join(", "))
            }));
        }
        if !wrong.is_empty() {
            bail!("these modules use each other in a circle:\n  {}", wrong.join("\n  "));
        }
        Ok(())
    }
}

/// The names from the crate's root to a module or to something in it.
type Name = Vec<String>;

/// What each module imports: the path as it is written, and the name that it gets.
type Modules = BTreeMap<Name, Vec<(Name, String)>>;

/// Reads a module and those in it. `file` is in `folder`, where its modules are too.
fn read(modules: &mut Modules, folder: &Path, file: &str, module: &[String]) -> Result<()> {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut imports = Vec::new();
    let mut children = Vec::new();
    for item in items(&text) {
        if let Some(tree) = item.strip_prefix("use ") {
            flatten(tree, &[], &mut imports);
        } else if let Some(child) = item.strip_prefix("mod ") {
            children.push(child.to_owned());
        }
    }
    modules.insert(module.to_vec(), imports);
    let inside = match file {
        "lib.rs" => folder.to_owned(),
        _ => folder.join(file.trim_end_matches(".rs")),
    };
    for child in children {
        let file = format!("{child}.rs");
        if inside.join(&file).exists() {
            read(modules, &inside, &file, &[module, &[child]].concat())?;
        }
    }
    Ok(())
}

/// The declarations `use ...` and `mod ...` of a file, without visibility, tests left out.
fn items(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut for_tests = false;
    let mut lines = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(") && line.contains("test") {
            for_tests = true;
            continue;
        }
        let visible = ["pub(crate) ", "pub(super) ", "pub "];
        let item = visible.iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line);
        if item.starts_with("mod ") && item.ends_with('{') && for_tests {
            // Tests stand last.
            break;
        }
        if item.starts_with("use ") || item.starts_with("mod ") && item.ends_with(';') {
            let mut item = item.to_owned();
            while !item.ends_with(';') {
                let Some(line) = lines.next() else { break };
                item += line;
            }
            if !for_tests {
                items.push(item.trim_end_matches(';').to_owned());
            }
        }
        for_tests &= line.starts_with('#') || line.is_empty();
    }
    items
}

/// Takes `a::{b, c::d}` apart.
fn flatten(tree: &str, before: &[String], imports: &mut Vec<(Name, String)>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(p, n)| (p, Some(n)));
        let mut path: Name =
            before.iter().cloned().chain(path.split("::").map(str::to_owned)).collect();
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let name = name.or_else(|| path.last().map(String::as_str)).unwrap_or_default().to_owned();
        imports.push((path, name));
        return;
    };
    let head = head.split("::").filter(|part| !part.is_empty()).map(str::to_owned);
    let before: Name = before.iter().cloned().chain(head).collect();
    let (mut depth, mut start) = (0, 0);
    let rest = rest.trim_end();
    let rest = rest.strip_suffix('}').unwrap_or(rest);
    for (at, c) in rest.char_indices().chain([(rest.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !rest[start..at].trim().is_empty() {
                    flatten(&rest[start..at], &before, imports);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The modules that each module uses, its own parents left out.
fn uses(modules: &Modules) -> BTreeMap<Name, BTreeSet<Name>> {
    let used = |module: &Name, imports: &[(Name, String)]| {
        let targets = imports.iter().filter_map(|(path, _)| absolute(modules, module, path));
        let targets = targets.map(|target| resolve(modules, &target, 8));
        targets.filter(|target| !module.starts_with(target)).collect()
    };
    modules.iter().map(|(module, imports)| (module.clone(), used(module, imports))).collect()
}

/// A path from the crate's root; `None` for one into another crate.
fn absolute(modules: &Modules, module: &[String], path: &[String]) -> Option<Name> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let parent = &module[..module.len().saturating_sub(1)];
            match rest.first().map(String::as_str) {
                Some("super") => absolute(modules, parent, rest),
                _ => Some([parent, rest].concat()),
            }
        }
        _ => {
            let child = [module, std::slice::from_ref(first)].concat();
            modules.contains_key(&child).then(|| [module, path].concat())
        }
    }
}

/// The module in which the thing with this path is, through re-exports.
fn resolve(modules: &Modules, path: &[String], more: u32) -> Name {
    let depth = (0..=path.len()).rev().find(|&depth| modules.contains_key(&path[..depth]));
    let (module, rest) = path.split_at(depth.unwrap_or(0));
    if let Some((name, rest)) = rest.split_first()
        && let Some((import, _)) = modules[module].iter().find(|(_, import)| import == name)
        && let Some(target) = absolute(modules, module, import)
        && target != path
        && more > 0
    {
        return resolve(modules, &[&target, rest].concat(), more - 1);
    }
    module.to_vec()
}

/// What is left when modules go that use none of the others, or that none of the others uses.
fn circle(mut uses: BTreeMap<Name, BTreeSet<Name>>) -> BTreeMap<Name, BTreeSet<Name>> {
    loop {
        let used: BTreeSet<Name> = uses.values().flatten().cloned().collect();
        let before = uses.len();
        uses.retain(|module, targets| !targets.is_empty() && used.contains(module));
        let left: BTreeSet<Name> = uses.keys().cloned().collect();
        for targets in uses.values_mut() {
            targets.retain(|target| left.contains(target));
        }
        if uses.len() == before && uses.values().all(|targets| !targets.is_empty()) {
            return uses;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circle among modules of one file each, by name and text.
    fn circle_of(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let mut modules = Modules::default();
        read(&mut modules, folder.path(), "lib.rs", &[]).unwrap();
        circle(uses(&modules)).into_keys().map(|name| name.join("::")).collect()
    }

    #[test]
    fn two_that_use_each_other_are_a_circle_and_their_users_are_not_in_it() {
        let lib = ("lib.rs", "mod a;\nmod b;\nmod c;\n");
        let a = ("a.rs", "use core::fmt;\n\nuse crate::{\n    b::{B, C},\n    c,\n};\n");
        let c = ("c.rs", "//! Uses none.\n");
        let user = ("b.rs", "pub(crate) use super::a::{self, A};\n");
        assert_eq!(circle_of(&[lib, a, c, user]), ["a", "b"]);
        assert!(circle_of(&[lib, a, c, ("b.rs", "use super::c::C as A;\n")]).is_empty());
    }

    #[test]
    fn a_re_export_is_used_where_it_stands() {
        let lib = ("lib.rs", "mod a;\nmod b;\npub use a::A;\n");
        let a = ("a.rs", "use crate::b::B;\n");
        assert_eq!(circle_of(&[lib, a, ("b.rs", "use crate::A;\n")]), ["a", "b"]);
    }

    #[test]
    fn a_part_may_use_its_whole_and_a_test_what_it_likes() {
        let lib = ("lib.rs", "mod a;\n");
        let part =
            ("a/part.rs", "use super::A;\n\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n");
        assert!(circle_of(&[lib, ("a.rs", "mod part;\nuse part::P;\n"), part]).is_empty());
    }
}
