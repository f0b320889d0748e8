//! Numbers of before and now.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// What counts as the same.
const TOLERANCE: f64 = 0.01;

/// The numbers in a file that `--json` wrote.
pub(super) fn read(old: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read(old).with_context(|| format!("cannot read {}", old.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not an object of numbers", old.display()))
}

/// Fails when a number is greater than it was in `old`, missing, or new.
pub(super) fn compare(
    old: &Path,
    before: &Map<String, Value>,
    new: &Map<String, Value>,
) -> Result<()> {
    let changes = changes(before, new);
    for line in &changes.better {
        println!("better: {line}");
    }
    if !changes.worse.is_empty() {
        bail!(
            "against {}:\n{}\nWhen that is meant to be, write the file anew with --json.",
            old.display(),
            changes.worse.join("\n")
        );
    }
    println!("no number is more than 1 % above that in {}", old.display());
    Ok(())
}

#[derive(Default)]
struct Changes {
    worse: Vec<String>,
    better: Vec<String>,
}

fn changes(before: &Map<String, Value>, now: &Map<String, Value>) -> Changes {
    let mut changes = Changes::default();
    let number = |object: &Map<String, Value>, key| object.get(key).and_then(Value::as_f64);
    for key in before.keys() {
        let (Some(old), Some(new)) = (number(before, key), number(now, key)) else {
            changes.worse.push(format!("  missing: {key}"));
            continue;
        };
        let change = (new - old) / old * 100.0;
        let line = format!("  {key}: {old} became {new} ({change:+.1} %)");
        if new > old * (1.0 + TOLERANCE) {
            changes.worse.push(line);
        } else if new < old * (1.0 - TOLERANCE) {
            changes.better.push(line);
        }
    }
    let added = now.keys().filter(|&key| !before.contains_key(key));
    changes.worse.extend(added.map(|key| format!("  new: {key}")));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(numbers: &[(&str, f64)]) -> Map<String, Value> {
        numbers.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect()
    }

    #[test]
    fn more_than_one_percent_is_worse() {
        let before = object(&[("a", 1000.0), ("b", 1000.0), ("c", 1000.0)]);
        let changes = changes(&before, &object(&[("a", 1010.0), ("b", 1011.0), ("c", 980.0)]));
        assert_eq!(changes.worse, ["  b: 1000 became 1011 (+1.1 %)"]);
        assert_eq!(changes.better, ["  c: 1000 became 980 (-2.0 %)"]);
    }

    #[test]
    fn a_key_of_one_side_only_is_worse() {
        let changes = changes(&object(&[("old", 1.0)]), &object(&[("young", 1.0)]));
        assert_eq!(changes.worse, ["  missing: old", "  new: young"]);
    }
}
