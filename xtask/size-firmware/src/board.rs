//! QEMU's `virt` machine: start-up, a console, a way out, and what the measurements need.
#![allow(unsafe_code, reason = "there is nothing below this file but the machine")]

use core::arch::{asm, naked_asm};
use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::fmt;
use core::hint::black_box;
use core::panic::PanicInfo;

use wg_core::rand_core::{TryCryptoRng, TryRng};

/// A register of the console's; reading it tells the optimizer nothing.
const CONSOLE: *mut u8 = 0x1000_0000 as *mut u8;
/// Writing here ends the emulation.
const EXIT: *mut u32 = 0x0010_0000 as *mut u32;

unsafe extern "C" {
    static _stack_bottom: u8;
}

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
        "j exit",
    )
}

/// Makes a function the one that start-up calls.
#[macro_export]
macro_rules! entry {
    ($run:expr) => {
        #[unsafe(no_mangle)]
        extern "C" fn main() {
            $run();
        }
    };
}

/// Ends the emulation.
#[unsafe(no_mangle)]
extern "C" fn exit() -> ! {
    loop {
        // SAFETY: the machine has this register.
        unsafe { EXIT.write_volatile(0x5555) };
    }
}

/// Every panic of an image ends here: without this symbol, nothing in it can panic.
#[panic_handler]
#[inline(never)]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The address alone: printing would link what the images are to show as absent.
    black_box(info);
    for byte in *b"panic\n" {
        put(byte);
    }
    exit()
}

fn put(byte: u8) {
    // SAFETY: the machine has this register, and takes a byte at any time.
    unsafe { CONSOLE.write_volatile(byte) };
}

/// The console.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(put);
        Ok(())
    }
}

/// A word that the optimizer knows nothing of.
#[inline(never)]
pub fn word() -> u32 {
    // SAFETY: the console's registers can be read, by words too.
    unsafe { CONSOLE.cast::<u32>().read_volatile() }
}

/// Bytes that the optimizer knows nothing of.
#[inline(never)]
pub fn fill(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: the console's registers can be read.
        *byte = unsafe { CONSOLE.read_volatile() };
    }
}

/// Bytes that the optimizer knows nothing of.
#[inline(always)]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Text of which the optimizer knows nothing but that it is ASCII.
#[inline(never)]
pub fn text(buf: &mut [u8]) -> &str {
    fill(buf);
    for byte in &mut *buf {
        *byte &= 0x7f;
    }
    // SAFETY: ASCII is UTF-8.
    unsafe { core::str::from_utf8_unchecked(buf) }
}

/// Runs an iterator of the engine's, whose code is not the caller's.
#[inline(never)]
pub fn drain<I: Iterator>(items: I) {
    for item in items {
        black_box(item);
    }
}

/// Memory that one owner takes at start-up, as a `static_cell` does.
pub struct Taken<T>(UnsafeCell<T>);

// SAFETY: there is one thread, and no interrupt is on.
unsafe impl<T> Sync for Taken<T> {}

impl<T> Taken<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// To be called once.
    #[allow(clippy::mut_from_ref)]
    pub fn take(&'static self) -> &'static mut T {
        // SAFETY: each static of the images is taken once, at the beginning of `main`.
        unsafe { &mut *self.0.get() }
    }
}

/// A random source whose words the optimizer knows nothing of.
pub struct Unknown;

impl TryRng for Unknown {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(word()) << 32 | u64::from(word()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Unknown {}

/// A generator that is repeatable and by no means secure (xorshift).
pub struct Seeded(pub u32);

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        Ok(self.0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let (Ok(high), Ok(low)) = (self.try_next_u32(), self.try_next_u32());
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            let Ok(word) = self.try_next_u32();
            *byte = word as u8;
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

/// Instructions executed so far.
#[inline(always)]
pub fn instructions() -> u32 {
    let count;
    // SAFETY: reads a counter.
    unsafe { asm!("rdinstret {}", out(reg) count, options(nomem, nostack)) };
    count
}

const PAINT: u32 = 0xa5c3_3c5a;

/// Bytes of stack that `run` touches, by painting what is below it first.
#[inline(never)]
pub fn stack_of<R>(run: impl FnOnce() -> R) -> (R, usize) {
    let bottom = (&raw const _stack_bottom).cast::<u32>().cast_mut();
    let top: *mut u32;
    // SAFETY: copies a register.
    unsafe { asm!("mv {}, sp", out(reg) top, options(nomem, nostack)) };
    let mut at = bottom;
    while at < top {
        // SAFETY: the stack grows down, so nobody uses what is below its pointer.
        unsafe { at.write_volatile(PAINT) };
        at = at.wrapping_add(1);
    }
    let result = called(run);
    let mut at = bottom;
    // SAFETY: this memory is the stack's, and was written above.
    while at < top && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    (result, top.addr() - at.addr())
}

/// In a frame of its own, below the painted one.
#[inline(never)]
fn called<R>(run: impl FnOnce() -> R) -> R {
    black_box(run())
}

/// A call that the optimizer can neither inline nor specialize, so that an engine function
/// is whole and outside of the code that calls it.
macro_rules! call {
    ($name:ident: $($argument:ident: $type:ident),*) => {
        #[doc = "Calls `function`, which stays a function of its own."]
        #[inline(always)]
        pub fn $name<$($type,)* R>(function: fn($($type),*) -> R, $($argument: $type),*) -> R {
            black_box(function)($($argument),*)
        }
    };
}

call!(call0:);
call!(call1: a: A);
call!(call2: a: A, b: B);
call!(call3: a: A, b: B, c: C);
call!(call4: a: A, b: B, c: C, d: D);
call!(call5: a: A, b: B, c: C, d: D, e: E);
