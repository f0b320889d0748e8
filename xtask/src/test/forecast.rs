//! How long the steps take, from a whole run that was measured.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What `cargo xtask test --json` wrote on two cores, after a fresh clone.
const MEASURED: &str = include_str!("measured.json");

/// The seconds of each step.
pub(super) struct Forecast(HashMap<String, f64>);

#[derive(Deserialize)]
struct Run {
    steps: HashMap<String, Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    seconds: f64,
}

impl Forecast {
    pub(super) fn measured() -> Result<Self> {
        let run: Run = serde_json::from_str(MEASURED).context("measured.json")?;
        Ok(Self(run.steps.into_iter().map(|(name, outcome)| (name, outcome.seconds)).collect()))
    }

    /// How long these steps take together; nothing where none was measured.
    pub(super) fn of(&self, names: &[String]) -> String {
        let mut known = names.iter().filter_map(|name| self.0.get(name)).peekable();
        if known.peek().is_none() {
            return String::new();
        }
        format!(", about {} on two cores", spoken(known.sum()))
    }

    /// What to say when these steps are still to come.
    pub(super) fn next(&self, names: &[String]) -> String {
        let Some(next) = names.first() else { return String::new() };
        let time = self.0.get(next).map(|seconds| format!(", {}", spoken(*seconds)));
        let all = spoken(names.iter().filter_map(|name| self.0.get(name)).sum());
        format!("   next: {next}{} (all: {all})", time.unwrap_or_default())
    }
}

fn spoken(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{:.0} s", seconds.max(1.0))
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_next_is_said_with_its_time_and_that_of_all_that_follow() {
        let times = [("clippy", 96.6), ("tests", 400.0), ("format", 0.4)];
        let forecast = Forecast(times.map(|(name, time)| (name.to_owned(), time)).into());
        let names = ["format", "clippy", "tests", "a new one"].map(str::to_owned);
        assert_eq!(forecast.of(&names), ", about 8 min on two cores");
        assert_eq!(forecast.next(&names), "   next: format, 1 s (all: 8 min)");
        assert_eq!(forecast.next(&names[2..]), "   next: tests, 7 min (all: 7 min)");
        assert_eq!(forecast.next(&names[3..]), "   next: a new one (all: 1 s)");
        assert_eq!(forecast.next(&[]), "");
        assert_eq!(forecast.of(&names[3..]), "");
    }

    #[test]
    fn the_measured_run_is_read() {
        assert!(Forecast::measured().unwrap().0.len() > 40);
    }
}
