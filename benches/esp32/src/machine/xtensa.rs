//! QEMU's `sim` machine.

use core::fmt::Write;

use esp32_bench::stack_of;
use wg_bench_cases::{Case, CycleCounter, Machine};
pub(crate) use xtensa_emulator::{Console, exit};
use xtensa_emulator::{plain_product, stack_pointer, ticks, trapping_product, traps};

/// Counts by CCOUNT, less what the emulation of MULUH takes.
pub(crate) struct Emulated {
    /// The instructions that one trap takes beyond the one that it stands for.
    trap: u64,
}

impl Emulated {
    /// Measures what a trap costs.
    pub(crate) fn new() -> Self {
        let uncalibrated = Self { trap: 0 };
        let count = |product: fn(u32, u32) -> u32| {
            let start = uncalibrated.read();
            core::hint::black_box(product)(3, 5);
            uncalibrated.between(start, uncalibrated.read())
        };
        Self { trap: count(trapping_product) - count(plain_product) }
    }
}

impl CycleCounter for Emulated {
    type Reading = (u32, u32);

    fn read(&self) -> (u32, u32) {
        (ticks(), traps())
    }

    /// Exact up to 400 million instructions, where the counter has come round.
    fn between(&self, start: (u32, u32), end: (u32, u32)) -> u64 {
        let (ticks, traps) = (end.0.wrapping_sub(start.0), end.1.wrapping_sub(start.1));
        (u64::from(ticks) * 100 + 512) / 1024 - u64::from(traps) * self.trap
    }
}

impl Machine for Emulated {
    #[inline(never)]
    fn stack_of<R>(&mut self, run: impl FnOnce(&Self) -> R) -> (R, Option<usize>) {
        let (result, stack) = stack_of(stack_pointer(), || run(self));
        (result, Some(stack))
    }

    fn report(&mut self, case: &Case) {
        let _ = writeln!(Console, "{case}");
    }
}
