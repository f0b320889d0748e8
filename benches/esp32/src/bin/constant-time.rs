//! `word32` in QEMU, whose counts must not depend on secrets.
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
use wg_bench_cases::{Memory, word32};

struct Static(UnsafeCell<Memory>);

// SAFETY: there is one thread, and no interrupt is on.
unsafe impl Sync for Static {}

static MEMORY: Static = Static(UnsafeCell::new(Memory::new()));

/// Of X25519: the pairs of edge values are 81, and an emulated Xtensa takes a tenth of a second.
const CURVE_RUNS: usize = if cfg!(feature = "thorough") { 10_000 } else { 120 };

#[unsafe(no_mangle)]
extern "C" fn main() {
    // SAFETY: start-up calls this function once.
    let memory = unsafe { &mut *MEMORY.0.get() };
    word32::run(&Emulated::new(), memory, CURVE_RUNS, |spread| {
        let _ = writeln!(Console, "{spread}");
    });
    let _ = writeln!(Console, "done");
    exit(0);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Console, "{info}");
    exit(101)
}
