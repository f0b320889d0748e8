//! QEMU's `lx60` machine: an Xtensa processor as in the ESP32, with an OpenCores Ethernet MAC.
#![allow(unsafe_code, reason = "the card's registers are at an address")]

mod card;

use core::cell::Cell;
use core::fmt;
use core::panic::PanicInfo;

use critical_section::Mutex;
use xtensa_emulator::Console;

pub(crate) use card::{Card, frames};

/// Cycles in a microsecond.
const CCOUNT_MHZ: u32 = 10;
/// The interrupts that end a sleep: the card's, and the first timer's.
const CARD: u32 = 1 << 1;
const TIMER: u32 = 1 << 6;
pub(crate) const FLASH: *mut u32 = 0xf800_0000 as *mut u32;
pub(crate) const FLASH_SECTOR: usize = 64 * 1024;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print(format_args!("{info}\n"));
    exit(false)
}

/// Ends the emulation.
pub(crate) fn exit(success: bool) -> ! {
    xtensa_emulator::exit(u32::from(!success))
}

/// Writes to the console.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    // The console never fails.
    let _ = fmt::Write::write_fmt(&mut Console, text);
}

/// Time since the start. The counter comes round every 429 s: it is looked at more often.
pub(crate) fn micros() -> u64 {
    static SEEN: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));
    critical_section::with(|cs| {
        let seen = SEEN.borrow(cs);
        let elapsed = xtensa_emulator::ticks().wrapping_sub(seen.get() as u32);
        let now = seen.get() + u64::from(elapsed);
        seen.set(now);
        now / u64::from(CCOUNT_MHZ)
    })
}

/// Sleeps until a device asks for attention or the time has come.
pub(crate) fn sleep_until(at: u64) {
    // Not for longer than the counter can tell.
    const LONGEST: u64 = 100_000_000;
    let left = at.saturating_sub(micros()).min(LONGEST);
    if left > 0 {
        let ticks = left as u32 * CCOUNT_MHZ;
        xtensa_emulator::sleep(CARD | TIMER, ticks);
    }
    card::acknowledge();
}

/// Fills a buffer from the random source: the machine has none, the emulator's host has.
pub(crate) fn fill_random(buffer: &mut [u8]) {
    assert!(xtensa_emulator::read_file(c"/dev/urandom", buffer), "the host has /dev/urandom");
}
