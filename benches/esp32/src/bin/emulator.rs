//! The cases in QEMU, which counts the instructions that it executes.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "start-up calls `main` by its name, and one owner takes a static")]

#[cfg_attr(target_arch = "xtensa", path = "../machine/xtensa.rs")]
#[cfg_attr(target_arch = "riscv32", path = "../machine/riscv.rs")]
mod machine;

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::panic::PanicInfo;

use machine::{Console, Emulated, exit};
use wg_bench_cases::Memory;

struct Static(UnsafeCell<Memory>);

// SAFETY: there is one thread, and no interrupt is on.
unsafe impl Sync for Static {}

static MEMORY: Static = Static(UnsafeCell::new(Memory::new()));

#[unsafe(no_mangle)]
extern "C" fn main() {
    // SAFETY: start-up calls this function once.
    let memory = unsafe { &mut *MEMORY.0.get() };
    let outcome = match wg_bench_cases::run(&mut Emulated::new(), memory) {
        Ok(()) => writeln!(Console, "done"),
        Err(error) => writeln!(Console, "{error}"),
    };
    exit(u32::from(outcome.is_err()));
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Console, "{info}");
    exit(101)
}
