#![no_std]
#![allow(unsafe_code, reason = "below this file is the machine")]
//! QEMU's Xtensa machines, as `asm/start.s` offers them: a console and a way out by
//! semihosting, the cycle counter, the stack pointer.
//!
//! A firmware defines `extern "C" fn main()` and a panic handler, for which
//! [`exit`] and [`Console`] are there. `xtask/src/xtensa.rs` builds it.

use core::fmt::{self, Write};

unsafe extern "C" {
    safe fn sim_exit(code: u32) -> !;
    fn sim_write(address: *const u8, len: usize);
    safe fn cycle_count() -> u32;
    static multiply_traps: u32;
}

pub use routines::{multiply_high, multiply_high_signed, multiply_low, stack_pointer};

mod routines {
    unsafe extern "C" {
        /// The stack pointer of the caller.
        pub safe fn stack_pointer() -> *mut u32;

        /// The high word of a product, by MULUH, which traps: see [`traps`](crate::traps).
        pub safe fn multiply_high(a: u32, b: u32) -> u32;

        /// The high word of a product of numbers with signs, by MULSH, which traps.
        pub safe fn multiply_high_signed(a: u32, b: u32) -> u32;

        /// The low word of a product, by an instruction that does not trap.
        pub safe fn multiply_low(a: u32, b: u32) -> u32;
    }
}

/// The emulator's standard output.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the emulator reads so many bytes there.
        unsafe { sim_write(text.as_ptr(), text.len()) };
        Ok(())
    }
}

/// Ends the emulation.
pub fn exit(code: u32) -> ! {
    sim_exit(code)
}

/// CCOUNT. With `-icount shift=10` an instruction takes 10.24 of its ticks.
pub fn ticks() -> u32 {
    cycle_count()
}

/// How many MULUH and MULSH instructions the exception handler computed so far, because the
/// emulated core has neither.
pub fn traps() -> u32 {
    // SAFETY: the handler alone writes it, and not during this read.
    unsafe { (&raw const multiply_traps).read_volatile() }
}

/// An exception that nobody expects.
#[unsafe(no_mangle)]
extern "C" fn unexpected_exception(cause: u32, pc: u32) -> ! {
    let _ = writeln!(Console, "exception {cause} at {pc:#x}");
    exit(101)
}

/// compiler-builtins refers to it.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    exit(102)
}
