//! Counting a call.

use core::hint::black_box;

use crate::{Case, Machine};

/// A machine, with what measuring itself costs on it.
pub struct Bench<'a, M> {
    machine: &'a mut M,
    overhead: u64,
    /// The stack of the measuring frames between a machine and a case.
    frames: usize,
}

impl<'a, M: Machine> Bench<'a, M> {
    /// Measures how much measuring nothing counts.
    pub fn new(machine: &'a mut M) -> Self {
        let mut bench = Self { machine, overhead: 0, frames: 0 };
        bench.measured(|| ());
        let ((), overhead, frames) = bench.measured(|| ());
        (bench.overhead, bench.frames) = (overhead, frames.unwrap_or(0));
        bench
    }

    /// Runs `work` once and reports it.
    pub fn case<R>(&mut self, name: &'static str, bytes: usize, work: impl FnOnce() -> R) -> R {
        let (result, count, stack) = self.measured(work);
        let count = count.saturating_sub(self.overhead);
        let stack = stack.map(|bytes| bytes.saturating_sub(self.frames));
        self.machine.report(&Case { name, bytes, count, stack });
        result
    }

    #[inline(never)]
    fn measured<R>(&mut self, work: impl FnOnce() -> R) -> (R, u64, Option<usize>) {
        let counting = |machine: &M| {
            let start = machine.read();
            let result = called(work);
            (result, machine.between(start, machine.read()))
        };
        let ((result, count), stack) = self.machine.stack_of(counting);
        (result, count, stack)
    }
}

/// In a frame of its own.
#[inline(never)]
pub(crate) fn called<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}
