//! QEMU's `virt` machine.

use core::arch::{asm, naked_asm};
use core::fmt::{self, Write};

use esp32_bench::stack_of;
use wg_bench_cases::{Case, CycleCounter, Machine};

/// Where the processor begins.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
extern "C" fn _start() -> ! {
    naked_asm!(
        "la sp, _stack_top",
        "la t0, _bss_start",
        "la t1, _bss_end",
        "1: bgeu t0, t1, 2f",
        "sw zero, 0(t0)",
        "addi t0, t0, 4",
        "j 1b",
        "2: call main",
        "3: j 3b",
    )
}

/// Ends the emulation.
pub(crate) fn exit(code: u32) -> ! {
    let finish = if code == 0 { 0x5555 } else { code << 16 | 0x3333 };
    loop {
        // SAFETY: the machine has this register, which ends it.
        unsafe { (0x0010_0000 as *mut u32).write_volatile(finish) };
    }
}

/// The serial port.
pub(crate) struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the machine has this register, and takes a byte at any time.
            unsafe { (0x1000_0000 as *mut u8).write_volatile(byte) };
        }
        Ok(())
    }
}

/// Counts by the processor's own counter.
pub(crate) struct Emulated;

impl Emulated {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl CycleCounter for Emulated {
    type Reading = u32;

    #[inline(always)]
    fn read(&self) -> u32 {
        let count;
        // SAFETY: reads a counter.
        unsafe { asm!("rdinstret {}", out(reg) count, options(nomem, nostack)) };
        count
    }

    fn between(&self, start: u32, end: u32) -> u64 {
        end.wrapping_sub(start).into()
    }
}

impl Machine for Emulated {
    #[inline(never)]
    fn stack_of<R>(&mut self, run: impl FnOnce(&Self) -> R) -> (R, Option<usize>) {
        let pointer;
        // SAFETY: copies a register.
        unsafe { asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack)) };
        let (result, stack) = stack_of(pointer, || run(self));
        (result, Some(stack))
    }

    fn report(&mut self, case: &Case) {
        let _ = writeln!(Console, "{case}");
    }
}
