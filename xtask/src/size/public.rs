//! Whether the images call every public function.
//!
//! rustdoc knows what is public, whatever macros and re-exports it comes through. The
//! firmware's sources name each call in full: `Device::seal`, `<Refusal as Display>::fmt`.
//! What `derive` writes is not asked for, nor `Drop`, which every image runs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::build::{Builder, firmware};
use crate::workspace::{output_of, target_dir};

/// The public functions that the firmware's sources do not name.
pub(super) fn missing_calls(builder: &Builder) -> Result<Vec<String>> {
    println!("reading what is public");
    let dir = target_dir().join("size/public");
    let mut cargo = builder.cargo();
    cargo
        .args(["rustdoc", "--package", "wg-core", "--lib", "--target-dir"])
        .arg(&dir)
        .args(["--", "-Zunstable-options", "--output-format", "json"])
        .current_dir(crate::workspace::root());
    output_of(&mut cargo)?;
    let text = std::fs::read_to_string(dir.join("doc/wg_core.json"))?;
    let names = public_functions(&serde_json::from_str(&text)?)?;

    let mut sources = String::new();
    for file in ["device.rs", "text.rs"] {
        sources += &std::fs::read_to_string(firmware().join("src").join(file))?;
    }
    let code: Vec<_> =
        sources.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    Ok(names.into_iter().filter(|name| !is_named(&code, name)).collect())
}

/// `Type::function` of every function of a public type, and `<Type as Trait` of every trait
/// that is implemented by hand.
fn public_functions(rustdoc: &Value) -> Result<BTreeSet<String>> {
    let index = rustdoc["index"].as_object().context("rustdoc wrote no index")?;
    let mut names = BTreeSet::new();
    for item in index.values().filter(|item| item["crate_id"] == 0) {
        if item["inner"].get("function").is_some() && is_free(index, item) {
            names.insert(item["name"].as_str().unwrap_or_default().to_owned());
        }
        let Some(implementation) = item["inner"].get("impl") else { continue };
        let derived = item["attrs"].to_string().contains("automatically_derived");
        let compilers = implementation["is_synthetic"] == true
            || !implementation["blanket_impl"].is_null()
            || derived;
        let Some(path) = implementation["for"]["resolved_path"]["path"].as_str() else { continue };
        if compilers {
            continue;
        }
        let type_name = last_segment(path);
        let functions = functions_of(index, implementation);
        match implementation["trait"]["path"].as_str().map(last_segment) {
            Some("Drop") => {}
            Some(_) if functions.is_empty() => {}
            Some(trait_name) => {
                names.insert(format!("<{type_name} as {trait_name}"));
            }
            None => names.extend(functions.iter().map(|name| format!("{type_name}::{name}"))),
        }
    }
    if names.len() < 50 {
        bail!("rustdoc's output is not understood: {} public functions", names.len());
    }
    Ok(names)
}

/// Whether a function belongs to no type or trait.
fn is_free(index: &serde_json::Map<String, Value>, function: &Value) -> bool {
    let id = &function["id"];
    let modules = index.values().filter_map(|item| item["inner"].get("module"));
    modules.filter_map(|module| module["items"].as_array()).flatten().any(|item| item == id)
}

fn functions_of<'i>(
    index: &'i serde_json::Map<String, Value>,
    implementation: &Value,
) -> Vec<&'i str> {
    let items = implementation["items"].as_array().into_iter().flatten();
    items
        .filter_map(|id| index.get(&id.to_string()))
        .filter(|item| item["inner"].get("function").is_some())
        .filter_map(|item| item["name"].as_str())
        .collect()
}

fn last_segment(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// Whether `name` stands in `code`, not as the beginning of a longer name. Generic arguments
/// of the type do not matter.
fn is_named(code: &str, name: &str) -> bool {
    let plain: String = without_generics(code);
    plain.match_indices(name).any(|(at, _)| {
        let goes_on = |c: char| c.is_alphanumeric() || c == '_';
        let before = plain[..at].chars().next_back();
        let after = plain[at + name.len()..].chars().next();
        !before.is_some_and(goes_on) && !after.is_some_and(goes_on)
    })
}

/// `<Config<'_> as Display>` is `<Config as Display>`.
fn without_generics(code: &str) -> String {
    code.replace("<'_>", "").replace("<'static>", "").replace("<_>", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_in_full() {
        assert!(is_named("call1(Device::seal, device)", "Device::seal"));
        assert!(!is_named("call1(Device::seal_all, device)", "Device::seal"));
        assert!(!is_named("call1(MyDevice::seal, device)", "Device::seal"));
        assert!(is_named("show(c, <Config<'_> as Debug>::fmt)", "<Config as Debug"));
        assert!(!is_named("show(c, <Config<'_> as Display>::fmt)", "<Config as Debug"));
    }
}
