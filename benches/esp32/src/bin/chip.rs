//! The cases on a chip, whose cycles are counted and printed on its serial port.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "xtensa", feature(asm_experimental_arch))]
#![allow(unsafe_code, reason = "registers are read, and one owner takes a static")]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::panic::PanicInfo;

use esp_hal::clock::CpuClock;
use esp_println::println;
use esp32_bench::stack_of;
use wg_bench_cases::{Case, CycleCounter, Machine, Memory};

esp_bootloader_esp_idf::esp_app_desc!();

struct Static(UnsafeCell<Memory>);

// SAFETY: one core runs, and no interrupt handler of ours.
unsafe impl Sync for Static {}

static MEMORY: Static = Static(UnsafeCell::new(Memory::new()));

#[esp_hal::main]
fn main() -> ! {
    // The fastest clock that the chip has.
    esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    // SAFETY: start-up calls this function once.
    let memory = unsafe { &mut *MEMORY.0.get() };
    match wg_bench_cases::run(&mut Chip::new(), memory) {
        Ok(()) => println!("done"),
        Err(error) => println!("{error}"),
    }
    loop {}
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("{info}");
    loop {}
}

/// Counts the core's cycles.
struct Chip;

impl Chip {
    #[cfg(target_arch = "xtensa")]
    fn new() -> Self {
        Self
    }

    /// Espressif's RISC-V cores count what they are told to: cycles.
    #[cfg(target_arch = "riscv32")]
    fn new() -> Self {
        // SAFETY: the core has these registers: the event (cycles), and the start.
        unsafe { asm!("csrw 0x7e0, {0}", "csrw 0x7e1, {0}", in(reg) 1) };
        Self
    }
}

impl CycleCounter for Chip {
    type Reading = u32;

    #[inline(always)]
    fn read(&self) -> u32 {
        let count;
        // SAFETY: reads a counter.
        unsafe {
            #[cfg(target_arch = "xtensa")]
            asm!("rsr.ccount {0}", out(reg) count, options(nomem, nostack));
            #[cfg(target_arch = "riscv32")]
            asm!("csrr {0}, 0x7e2", out(reg) count, options(nomem, nostack));
        }
        count
    }

    fn between(&self, start: u32, end: u32) -> u64 {
        end.wrapping_sub(start).into()
    }
}

impl Machine for Chip {
    #[inline(never)]
    fn stack_of<R>(&mut self, run: impl FnOnce(&Self) -> R) -> (R, Option<usize>) {
        let pointer;
        // SAFETY: copies a register.
        unsafe {
            #[cfg(target_arch = "xtensa")]
            asm!("mov {0}, a1", out(reg) pointer, options(nomem, nostack));
            #[cfg(target_arch = "riscv32")]
            asm!("mv {0}, sp", out(reg) pointer, options(nomem, nostack));
        }
        let (result, stack) = stack_of(pointer, || run(self));
        (result, Some(stack))
    }

    fn report(&mut self, case: &Case) {
        println!("{case}");
    }
}
