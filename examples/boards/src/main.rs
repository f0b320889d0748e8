//! Firmware for emulated boards: an ordinary embassy application whose sockets are in a
//! tunnel. `cargo xtask demo --board riscv` runs it.
//!
//! | file | is |
//! |---|---|
//! | `application` | the application of all boards, `examples/uptime`, and an echo |
//! | `tunnel` | the network outside, the tunnel over it, and the network inside |
//! | `flash` | the configuration, and what else is kept while the power is off |
//! | `riscv`, `xtensa` | the boards: start-up, console, clock, network card, sleep |
//! | `executor`, `time` | what embassy asks of a board, on top of these |
//! | `stack` | how deep the stack has been |
//!
//! No interrupt is ever taken: one that is pending ends the processor's sleep, and the loop
//! that slept looks after whatever asked for it.
#![no_std]
#![no_main]

mod application;
mod executor;
mod flash;
#[cfg(target_arch = "riscv32")]
mod riscv;
mod stack;
mod time;
mod tunnel;
#[cfg(target_arch = "xtensa")]
mod xtensa;

#[cfg(target_arch = "riscv32")]
use riscv as board;
#[cfg(target_arch = "xtensa")]
use xtensa as board;

/// Called by the board's start-up.
#[allow(unsafe_code, reason = "start-up calls it by its name")]
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    stack::paint();
    executor::run(application::run)
}
