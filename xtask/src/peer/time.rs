//! Monotonic time, and an alarm for the task that waits for it.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::rc::Rc;

use wg_core::Instant;
use wg_nal::Monotonic;

/// The time since our end of a tunnel was made. Copies have the same alarm.
#[derive(Clone)]
pub(super) struct SinceStart {
    origin: std::time::Instant,
    alarm: Rc<RefCell<Option<(Instant, Waker)>>>,
}

impl SinceStart {
    pub(super) fn new() -> Self {
        Self { origin: std::time::Instant::now(), alarm: Rc::default() }
    }

    pub(super) fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The same moment by this machine's clock.
    pub(super) fn to_std(&self, at: Instant) -> std::time::Instant {
        self.origin + Duration::from_micros(at.as_micros())
    }

    /// When the alarm is set for.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.alarm.borrow().as_ref().map(|(at, _)| *at)
    }

    /// Wakes the task whose time has come.
    pub(super) fn ring(&self) {
        if self.alarm().is_some_and(|at| at <= self.now())
            && let Some((_, waker)) = self.alarm.take()
        {
            waker.wake();
        }
    }
}

impl Monotonic for SinceStart {
    fn now(&self) -> Instant {
        self.now()
    }

    async fn delay_until(&self, at: Instant) {
        poll_fn(|cx| {
            if self.now() >= at {
                return Poll::Ready(());
            }
            self.alarm.replace(Some((at, cx.waker().clone())));
            Poll::Pending
        })
        .await;
        self.alarm.take();
    }
}
