#![no_std]
//! What the engine and its cryptography cost, counted: one list of cases for chips, emulators
//! and hosts.
//!
//! [`run`] gives known answers first, and stops at a wrong one; then it does each piece of work
//! once and tells what the machine counted. A machine is a [`Machine`]; `cargo xtask
//! bench-esp32` builds the firmware, runs it, and reads what it prints.

mod engine;
mod known_answers;
mod measure;
mod primitives;
#[cfg(feature = "word32")]
pub mod word32;

use core::fmt;

pub use engine::Memory;
pub use measure::Bench;

/// Counts what running costs: instructions, cycles or nanoseconds.
pub trait CycleCounter {
    /// What the counter shows.
    type Reading: Copy;

    /// What it shows now.
    fn read(&self) -> Self::Reading;

    /// What was counted between two readings.
    fn between(&self, start: Self::Reading, end: Self::Reading) -> u64;
}

/// Where the cases run.
pub trait Machine: CycleCounter {
    /// Runs `run`, and says how much of the stack it wrote to, where that can be seen.
    fn stack_of<R>(&mut self, run: impl FnOnce(&Self) -> R) -> (R, Option<usize>);

    /// Takes the result of a case.
    fn report(&mut self, case: &Case);
}

/// What one piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name, the same everywhere.
    pub name: &'static str,
    /// The bytes of payload that it worked on; 0 where there are none.
    pub bytes: usize,
    /// What the machine counted, without the counting itself.
    pub count: u64,
    /// The stack that was written to, when the machine can tell.
    pub stack: Option<usize>,
}

/// `case NAME BYTES COUNT STACK`, as `cargo xtask bench-esp32` reads it.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, bytes, count, stack } = self;
        write!(f, "case {name} {bytes} {count} {}", stack.unwrap_or(0))
    }
}

/// A primitive, or the engine, gave a wrong answer: its numbers would mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongAnswer(pub &'static str);

impl fmt::Display for WrongAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrong answer: {}", self.0)
    }
}

/// The known answers, then every case.
///
/// # Errors
///
/// The first answer that is wrong; no case runs after it.
pub fn run<M: Machine>(machine: &mut M, memory: &mut Memory) -> Result<(), WrongAnswer> {
    known_answers::check()?;
    let mut bench = Bench::new(machine);
    primitives::run(&mut bench, memory)?;
    engine::run(&mut bench, memory)
}
