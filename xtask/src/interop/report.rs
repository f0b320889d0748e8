//! What became of the cases.

use core::time::Duration;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

pub(super) enum Outcome {
    Passed { time: Duration },
    Failed { time: Duration, why: String },
    Skipped { why: String },
}

impl Outcome {
    pub(super) fn of(result: Result<()>, time: Duration) -> Self {
        match result {
            Ok(()) => Self::Passed { time },
            Err(error) => Self::Failed { time, why: format!("{error:#}") },
        }
    }

    pub(super) fn panicked() -> Self {
        Self::Failed { time: Duration::ZERO, why: "panicked".into() }
    }
}

/// The outcomes, in the order in which they came.
#[derive(Default)]
pub(super) struct Report {
    cases: Vec<(String, Outcome)>,
}

impl Report {
    /// Notes and prints one.
    pub(super) fn add(&mut self, name: &str, outcome: Outcome) {
        match &outcome {
            Outcome::Passed { time } => {
                println!("{name:<52} passed  {:>6.1} s", time.as_secs_f64());
            }
            Outcome::Failed { time, why } => {
                println!("{name:<52} FAILED  {:>6.1} s", time.as_secs_f64());
                for line in why.lines() {
                    println!("    {line}");
                }
            }
            Outcome::Skipped { why } => println!("{name:<52} skipped ({why})"),
        }
        self.cases.push((name.to_owned(), outcome));
    }

    pub(super) fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed { .. }))
    }

    pub(super) fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed { .. }))
    }

    pub(super) fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped { .. }))
    }

    pub(super) fn ran(&self) -> usize {
        self.passed() + self.failed()
    }

    pub(super) fn print_summary(&self) {
        println!(
            "interop: {} passed, {} failed, {} skipped",
            self.passed(),
            self.failed(),
            self.skipped()
        );
    }

    pub(super) fn write_json(&self, file: &Path) -> Result<()> {
        let cases: Map<String, Value> = self
            .cases
            .iter()
            .map(|(name, outcome)| {
                let value = match outcome {
                    Outcome::Passed { time } => {
                        json!({ "result": "passed", "seconds": time.as_secs_f64() })
                    }
                    Outcome::Failed { time, why } => {
                        json!({ "result": "failed", "seconds": time.as_secs_f64(), "why": why })
                    }
                    Outcome::Skipped { why } => json!({ "result": "skipped", "why": why }),
                };
                (name.clone(), value)
            })
            .collect();
        let whole = json!({
            "passed": self.passed(),
            "failed": self.failed(),
            "skipped": self.skipped(),
            "cases": cases,
        });
        std::fs::write(file, format!("{whole:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|(_, outcome)| which(outcome)).count()
    }
}
