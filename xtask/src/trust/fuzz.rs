//! libFuzzer's targets, in `wg-core/fuzz`.

use core::time::Duration;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::succeed;
use crate::workspace::root;

/// Of the time, the adversary gets as much as all parsers together.
const TARGETS: &[(&str, u32)] =
    &[("network", 5), ("datagram", 1), ("packet", 1), ("config", 1), ("keys", 1), ("sntp", 1)];

/// Runs every target for its part of the time; what it finds stays in `wg-core/fuzz/corpus`, and
/// what fails in `wg-core/fuzz/artifacts`.
pub(super) fn run_all(time: Duration) -> Result<()> {
    let directory = root().join("wg-core");
    let parts: u32 = TARGETS.iter().map(|(_, parts)| parts).sum();
    for (target, part) in TARGETS {
        let corpus = directory.join("fuzz/corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("{}", corpus.display()))?;
        let mut fuzz = Command::new("cargo");
        // There is no unsafe code for the address sanitizer to look at, and it costs half.
        fuzz.args(["+nightly", "fuzz", "run", "--sanitizer", "none", target]);
        fuzz.arg(&corpus).arg(directory.join("fuzz/seeds").join(target)).arg("--");
        let seconds = (time * *part / parts).as_secs().max(1);
        fuzz.arg(format!("-max_total_time={seconds}")).args(["-max_len=4096", "-len_control=0"]);
        fuzz.current_dir(&directory);
        succeed(&format!("{target}, {seconds} s"), &mut fuzz)?;
    }
    Ok(())
}
