#![cfg_attr(any(target_os = "none", wg_c_bare), no_std)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
//! WireGuard for firmware in C and C++: [`wg_core`] behind the header `include/wg.h`, which is this
//! crate's documentation. There is nothing to call from Rust.
//!
//! `cargo xtask package-c` makes the archives that firmware links. The engine in them takes no memory
//! but the caller's, and has no variables.

// The order to read in: `ffi` is what C calls and all that is unsafe, `engine` what it does.
mod clock;
mod code;
mod config;
mod engine;
mod ffi;
mod types;

// For C: the functions of wg.h stay in the archive because they are reachable.
#[doc(hidden)]
pub use {ffi::*, types::*};

/// Firmware in C has no unwinding, and there is no reachable panic: `cargo xtask size` looks for them
/// in the engine.
#[cfg(any(target_os = "none", wg_c_bare))]
#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
