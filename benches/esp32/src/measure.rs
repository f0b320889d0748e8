//! Counting a call, and looking how deep its stack went.
#![allow(unsafe_code, reason = "the stack below the caller is painted and read back")]

use core::hint::black_box;

use crate::{Case, Machine, PAINTED};

const PAINT: u32 = 0xa5c3_3c5a;

/// The words just below a stack pointer are not free on Xtensa with windowed calls: the
/// caller's registers are saved there.
const SAVED: usize = 8;

/// A machine, with what counting itself costs on it.
pub struct Bench<'a, M> {
    machine: &'a mut M,
    overhead: u64,
}

impl<'a, M: Machine> Bench<'a, M> {
    /// Measures how much measuring nothing counts.
    pub fn new(machine: &'a mut M) -> Self {
        let mut bench = Self { machine, overhead: 0 };
        bench.measured(|| ());
        let ((), overhead, _) = bench.measured(|| ());
        bench.overhead = overhead;
        bench
    }

    /// Runs `work` once and reports it.
    pub fn case<R>(&mut self, name: &'static str, bytes: usize, work: impl FnOnce() -> R) -> R {
        let (result, count, stack) = self.measured(work);
        let count = count.saturating_sub(self.overhead);
        self.machine.report(&Case { name, bytes, count, stack });
        result
    }

    #[inline(never)]
    fn measured<R>(&mut self, work: impl FnOnce() -> R) -> (R, u64, Option<usize>) {
        let painted = self.machine.stack_pointer().map(|top| {
            let top = top.wrapping_sub(SAVED);
            let bottom = top.wrapping_sub(PAINTED / size_of::<u32>());
            let mut at = bottom;
            while at < top {
                // SAFETY: the machine says that this much of the stack is below its pointer,
                // and nobody uses what is there.
                unsafe { at.write_volatile(PAINT) };
                at = at.wrapping_add(1);
            }
            (bottom, top)
        });
        let start = self.machine.read();
        let result = called(work);
        let end = self.machine.read();
        let stack = painted.map(|(bottom, top)| {
            let mut at = bottom;
            // SAFETY: this memory is the stack's, and was written above.
            while at < top && unsafe { at.read_volatile() } == PAINT {
                at = at.wrapping_add(1);
            }
            top.addr() - at.addr()
        });
        (result, self.machine.between(start, end), stack)
    }
}

/// In a frame of its own, below the painted one.
#[inline(never)]
fn called<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}
