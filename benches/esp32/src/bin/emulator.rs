#![no_std]
#![no_main]
#![allow(unsafe_code)]
use core::fmt::Write;
use xtensa_emulator::*;
#[unsafe(no_mangle)]
extern "C" fn main() {
    let k = core::hint::black_box(wg_core::PrivateKey::from_bytes([9; 32]).unwrap());
    let p = k.public_key();
    let (t0, n0) = (ticks(), traps());
    let k = wg_core::PrivateKey::from_bytes([7; 32]).unwrap();
    let p2 = k.public_key();
    let (t1, n1) = (ticks(), traps());
    let _ = writeln!(Console, "{:02x?} {:02x?} {} {}", p.as_bytes(), p2.as_bytes(), t1.wrapping_sub(t0), n1 - n0);
    let (a,b)=(core::hint::black_box(0xdeadbeef_u32), core::hint::black_box(0xfedcba98_u32));
    let _ = writeln!(Console, "{:x} {:x}", trapping_product(a,b), (a as u64 * b as u64) >> 32);
    exit(0)
}
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { let _ = Console.write_str("panic\n"); exit(101) }
