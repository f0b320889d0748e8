//! Runs embassy's tasks, and lets the processor sleep between.
#![allow(unsafe_code, reason = "embassy's executor is told by a symbol that there is work")]

use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

use critical_section::Mutex;
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

use crate::{board, time};

static WORK: AtomicBool = AtomicBool::new(false);
/// Whoever waits for a device.
static DEVICES: Mutex<RefCell<Option<Waker>>> = Mutex::new(RefCell::new(None));

struct NoInterrupts;

critical_section::set_impl!(NoInterrupts);

// SAFETY: there is one processor, and no interrupt is ever taken: nothing can come between.
unsafe impl critical_section::Impl for NoInterrupts {
    unsafe fn acquire() -> critical_section::RawRestoreState {}
    unsafe fn release((): critical_section::RawRestoreState) {}
}

/// Embassy calls this when a task has something to do.
#[unsafe(export_name = "__pender")]
fn pender(_context: *mut ()) {
    WORK.store(true, Ordering::Relaxed);
}

/// Runs the tasks that `start` spawns, for ever.
pub(crate) fn run(start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    start(executor.spawner());
    loop {
        WORK.store(false, Ordering::Relaxed);
        // SAFETY: called from here alone, and never from within a task.
        unsafe { executor.poll() };
        let next = time::wake_expired();
        if !WORK.load(Ordering::Relaxed) {
            board::sleep_until(next);
            wake_devices();
        }
    }
}

/// Remembers whom to wake when a device asks for attention: the one network stack.
pub(crate) fn on_device(waker: &Waker) {
    critical_section::with(|cs| DEVICES.borrow_ref_mut(cs).replace(waker.clone()));
}

fn wake_devices() {
    if let Some(waker) = critical_section::with(|cs| DEVICES.borrow_ref_mut(cs).take()) {
        waker.wake();
    }
}
