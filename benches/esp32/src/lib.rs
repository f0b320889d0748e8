#![no_std]
//! What chips and emulators share: looking how deep the stack of a call went.
#![allow(unsafe_code, reason = "the stack below the caller is painted and read back")]

/// How much of the stack is painted: more than any case needs, less than any chip has.
const PAINTED: usize = 16 * 1024;

/// The words just below a stack pointer are not free on Xtensa with windowed calls: the
/// caller's registers are saved there.
const SAVED: usize = 8;

const PAINT: u32 = 0xa5c3_3c5a;

/// Bytes below `stack_pointer`, which is the caller's, that `run` wrote to.
#[inline(always)]
pub fn stack_of<R>(stack_pointer: *mut u32, run: impl FnOnce() -> R) -> (R, usize) {
    let top = stack_pointer.wrapping_sub(SAVED);
    let bottom = top.wrapping_sub(PAINTED / size_of::<u32>());
    let mut at = bottom;
    while at < top {
        // SAFETY: that much stack is there, and nobody uses what is below its pointer.
        unsafe { at.write_volatile(PAINT) };
        at = at.wrapping_add(1);
    }
    let result = run();
    let mut at = bottom;
    // SAFETY: this memory is the stack's, and was written above.
    while at < top && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    (result, stack_pointer.addr() - at.addr())
}
