//! How deep the stack has been, by painting it first.
#![allow(unsafe_code, reason = "it looks at memory that no variable owns")]

unsafe extern "C" {
    static _stack_bottom: u32;
    static _stack_top: u32;
}

const PAINT: u32 = 0xa5c3_3c5a;
/// What the frames of `main` and of [`paint`] itself may take.
const IN_USE: usize = 1024;

/// Paints what is below the caller. To be called first.
#[inline(never)]
pub(crate) fn paint() {
    let here = 0_u32;
    let top = (&raw const here).addr().saturating_sub(IN_USE);
    let mut at = (&raw const _stack_bottom).cast_mut();
    while at.addr() < top {
        // SAFETY: the stack grows down, and this is below its last frame by a wide margin.
        unsafe { at.write_volatile(PAINT) };
        at = at.wrapping_add(1);
    }
}

/// Bytes of stack that have been in use at once since the start, of how many.
pub(crate) fn high_water() -> (usize, usize) {
    let top = &raw const _stack_top;
    let bottom = &raw const _stack_bottom;
    let mut at = bottom;
    // SAFETY: between the stack's ends there is memory.
    while at < top && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    (top.addr() - at.addr(), top.addr() - bottom.addr())
}
