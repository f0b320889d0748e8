//! QEMU's `virt` machine with one RV32IMC processor and virtio devices.
#![allow(unsafe_code, reason = "there is nothing below this file but the machine")]

mod card;

use core::arch::{asm, naked_asm};
use core::fmt;
use core::panic::PanicInfo;
use core::ptr::NonNull;

use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::mmio::MmioTransport;

pub(crate) use card::{Card, frames};

const EXIT: *mut u32 = 0x0010_0000 as *mut u32;
const MTIMECMP: *mut u32 = 0x0200_4000 as *mut u32;
const MTIME: *const u32 = 0x0200_bff8 as *const u32;
/// Cycles of `mtime` in a microsecond.
const MTIME_MHZ: u64 = 10;
/// The second of two flash memories, the first of which is for a boot loader.
pub(crate) const FLASH: *mut u32 = 0x2200_0000 as *mut u32;
pub(crate) const FLASH_SECTOR: usize = 256 * 1024;
const PLIC: usize = 0x0c00_0000;
const CONSOLE: *mut u8 = 0x1000_0000 as *mut u8;
/// Where the virtio devices are: the card first, then the random source.
const VIRTIO: usize = 0x1000_1000;
const VIRTIO_SIZE: usize = 0x1000;
const CARD: usize = 0;
const RANDOM: usize = 1;

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
        "2: la t0, {trap}",
        "csrw mtvec, t0",
        // The timer and devices end a sleep; mstatus.MIE stays off, so none interrupts.
        "li t0, 0x880",
        "csrw mie, t0",
        "call main",
        trap = sym trap,
    )
}

/// Any exception: an error of ours, for no interrupt is taken.
#[unsafe(link_section = ".text.trap")]
extern "C" fn trap() -> ! {
    let (cause, at, value): (u32, u32, u32);
    // SAFETY: reads registers.
    unsafe {
        asm!("csrr {}, mcause", out(reg) cause, options(nomem, nostack));
        asm!("csrr {}, mepc", out(reg) at, options(nomem, nostack));
        asm!("csrr {}, mtval", out(reg) value, options(nomem, nostack));
    }
    print(format_args!("trap {cause} at {at:#x}, value {value:#x}\n"));
    exit(false)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print(format_args!("{info}\n"));
    exit(false)
}

/// Ends the emulation.
pub(crate) fn exit(success: bool) -> ! {
    loop {
        // SAFETY: the machine has this register.
        unsafe { EXIT.write_volatile(if success { 0x5555 } else { 0x1_3333 }) };
    }
}

/// Writes to the console.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    struct Console;
    impl fmt::Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                // SAFETY: the machine has this register, and takes a byte at any time.
                unsafe { CONSOLE.write_volatile(byte) };
            }
            Ok(())
        }
    }
    // The console never fails.
    let _ = fmt::Write::write_fmt(&mut Console, text);
}

/// Time since the start.
pub(crate) fn micros() -> u64 {
    // SAFETY: the machine has this clock, as two words of which the upper one may move on
    // between the reads.
    let word = |index| unsafe { MTIME.add(index).read_volatile() };
    loop {
        let (high, low) = (word(1), word(0));
        if word(1) == high {
            return (u64::from(high) << 32 | u64::from(low)) / MTIME_MHZ;
        }
    }
}

/// Sleeps until a device asks for attention or the time has come, and attends to the device.
pub(crate) fn sleep_until(micros: u64) {
    let at = micros.saturating_mul(MTIME_MHZ);
    let (low, high) = (at as u32, (at >> 32) as u32);
    // SAFETY: the machine has these registers. With the low word at its greatest first, no
    // time in between is earlier than both the old one and the new.
    unsafe {
        MTIMECMP.write_volatile(u32::MAX);
        MTIMECMP.add(1).write_volatile(high);
        MTIMECMP.write_volatile(low);
        asm!("wfi", options(nomem, nostack));
    }
    let claim = (PLIC + 0x20_0004) as *mut u32;
    loop {
        // SAFETY: the machine has this register; reading takes the most urgent interrupt.
        let interrupt = unsafe { claim.read_volatile() };
        if interrupt == 0 {
            return;
        }
        let device = VIRTIO + VIRTIO_SIZE * (interrupt as usize - 1);
        // SAFETY: only virtio devices are enabled. What they want is acknowledged here and
        // attended to by whoever polls them after.
        unsafe {
            let status = ((device + 0x60) as *const u32).read_volatile();
            ((device + 0x64) as *mut u32).write_volatile(status);
            claim.write_volatile(interrupt);
        }
    }
}

/// Lets a virtio device end the processor's sleep.
fn enable_interrupt(device: usize) {
    let interrupt = device + 1;
    // SAFETY: the machine has these registers: an urgency for each source, and a bit in the
    // word of the first processor's machine mode.
    unsafe {
        ((PLIC + 4 * interrupt) as *mut u32).write_volatile(1);
        let enable = (PLIC + 0x2000) as *mut u32;
        enable.write_volatile(enable.read_volatile() | 1 << interrupt);
    }
}

fn transport(device: usize) -> MmioTransport<'static> {
    let header = NonNull::new((VIRTIO + VIRTIO_SIZE * device) as *mut _);
    // SAFETY: the machine has a virtio device here, for as long as it runs.
    unsafe { MmioTransport::new(header.expect("not at zero"), VIRTIO_SIZE) }
        .expect("the emulator is started with this device")
}

/// Fills a buffer from the random source.
pub(crate) fn fill_random(buffer: &mut [u8]) {
    let mut source: VirtIORng<card::Memory, _> =
        VirtIORng::new(transport(RANDOM)).expect("the random source starts");
    let mut filled = 0;
    while filled < buffer.len() {
        filled += source.request_entropy(&mut buffer[filled..]).expect("entropy");
    }
}
