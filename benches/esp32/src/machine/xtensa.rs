//! QEMU's `sim` machine.

use core::fmt::Write;

use esp32_bench::stack_of;
use wg_bench_cases::{Case, CycleCounter, Machine};
pub(crate) use xtensa_emulator::{Console, exit};
use xtensa_emulator::{
    multiply_high, multiply_high_signed, multiply_low, stack_pointer, ticks, traps,
};

/// Counts by CCOUNT, less what the emulation of MULUH and MULSH takes.
pub(crate) struct Emulated {
    /// The instructions that one trap takes beyond the one that it stands for.
    trap: u64,
}

impl Emulated {
    /// Measures what a trap costs, and checks what it computes.
    ///
    /// # Panics
    ///
    /// When a product is wrong, or the two instructions do not cost the same.
    pub(crate) fn new() -> Self {
        let trap = count(multiply_high);
        assert_eq!(trap, count(multiply_high_signed), "one cost for every trap");
        let edges = [0, 1, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX];
        for (a, b) in edges.into_iter().flat_map(|a| edges.map(|b| (a, b))) {
            // In halves, because the compiler would use the same instruction.
            let (ah, al, bh, bl) = (a >> 16, a & 0xffff, b >> 16, b & 0xffff);
            let middle = (al * bl >> 16) + (ah * bl & 0xffff) + (al * bh & 0xffff);
            let high = ah * bh + (ah * bl >> 16) + (al * bh >> 16) + (middle >> 16);
            assert_eq!(multiply_high(a, b), high, "{a:#x} * {b:#x}");
            let excess = ((a >> 31) * b).wrapping_add((b >> 31) * a);
            let signed = high.wrapping_sub(excess);
            assert_eq!(multiply_high_signed(a, b), signed, "{a:#x} * {b:#x}, with signs");
        }
        Self { trap: trap - count(multiply_low) }
    }
}

/// The instructions of a call of `product`, traps included. One piece of code for all products,
/// so that their difference is that of the multiplications.
#[inline(never)]
fn count(product: extern "C" fn(u32, u32) -> u32) -> u64 {
    let machine = Emulated { trap: 0 };
    let start = machine.read();
    core::hint::black_box(product)(3, 5);
    machine.between(start, machine.read())
}

impl CycleCounter for Emulated {
    type Reading = (u32, u32);

    // Inlined, the compiler would multiply, and trap, between the two.
    #[inline(never)]
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
