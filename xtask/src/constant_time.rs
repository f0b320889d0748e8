//! `cargo xtask constant-time`: whether `word32`, as compiled, takes its time by its secrets.
//! `docs/measuring.md` says what is looked at.

mod branches;
mod spread;

use anyhow::{Result, bail};
use clap::Args;

use crate::bench_esp32::emulator::{self, OptLevel, Program};

/// Look for what depends on secrets in wg-core's `word32`, as compiled for Xtensa and RV32IMC.
///
/// Its hot functions take no decision but when a loop ends, so each has a number of conditional
/// branches that it may have in the assembly. And in an emulator each of its functions runs
/// 10,000 times (X25519: 120) with secrets at random and at the edges, and every run must take
/// the same number of instructions, at opt-level 3 and at "s". Functions that do branch are in the
/// same program, and must be seen to.
#[derive(Args)]
pub(crate) struct ConstantTime {
    /// Run X25519 10,000 times too, at opt-level 3: a quarter of an hour for each kind of Xtensa.
    #[arg(long)]
    thorough: bool,
}

impl ConstantTime {
    pub(crate) fn run(&self) -> Result<()> {
        let mut failures = Vec::new();
        for opt_level in [OptLevel::Speed, OptLevel::Size] {
            let thorough = self.thorough && opt_level == OptLevel::Speed;
            for Program { name, assembly, output } in emulator::constant_time(opt_level, thorough)?
            {
                println!("{name}, opt-level {}", opt_level.name());
                // For size, loops stay in the code, whose ends are branches too.
                if opt_level == OptLevel::Speed {
                    failures.extend(branches::check(name, &assembly)?);
                }
                failures.extend(spread::check(name, &output)?);
            }
        }
        if !failures.is_empty() {
            bail!("{}", failures.join("\n"));
        }
        Ok(())
    }
}
