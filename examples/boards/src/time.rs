//! Embassy's clock: the board's, in microseconds since it started.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::board;

struct Clock {
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for Clock {
    fn now(&self) -> u64 {
        board::micros()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // The loop that sleeps asks for the next time before it does.
        critical_section::with(|cs| self.queue.borrow_ref_mut(cs).schedule_wake(at, waker));
    }
}

/// Wakes whoever's time has come, and says when the next one's does; `u64::MAX` for never.
pub(crate) fn wake_expired() -> u64 {
    critical_section::with(|cs| CLOCK.queue.borrow_ref_mut(cs).next_expiration(board::micros()))
}
