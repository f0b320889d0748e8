//! Monotonic time, and waiting for it.

use wg_core::Instant;

/// A clock that never steps back, and a way to sleep until it says so.
///
/// It must count time asleep: the ages of keys are measured with it, and a key that seems
/// younger than it is gets used too long.
///
/// ```
/// use wg_nal::{Monotonic, wg_core::Instant};
///
/// /// A timer that is asked again and again.
/// struct Polled(fn() -> u64);
///
/// impl Monotonic for Polled {
///     fn now(&self) -> Instant {
///         Instant::from_micros((self.0)())
///     }
///
///     async fn delay_until(&self, at: Instant) {
///         core::future::poll_fn(|cx| {
///             cx.waker().wake_by_ref();
///             if self.now() >= at { core::task::Poll::Ready(()) } else { core::task::Poll::Pending }
///         })
///         .await
///     }
/// }
/// ```
pub trait Monotonic {
    /// The time since any origin, such as boot.
    fn now(&self) -> Instant;

    /// Waits until `at`, or not at all when that has passed. The future may be dropped.
    async fn delay_until(&self, at: Instant);
}

impl<T: Monotonic + ?Sized> Monotonic for &T {
    fn now(&self) -> Instant {
        (**self).now()
    }

    async fn delay_until(&self, at: Instant) {
        (**self).delay_until(at).await;
    }
}

/// The time of embassy's driver.
///
/// Whether it counts time asleep is the driver's affair: esp-rtos counts light sleep. After
/// deep sleep a board boots, and all sessions are gone.
#[cfg(feature = "embassy")]
#[derive(Clone, Copy, Default, Debug)]
pub struct EmbassyTime;

#[cfg(feature = "embassy")]
impl Monotonic for EmbassyTime {
    fn now(&self) -> Instant {
        Instant::from_micros(embassy_time::Instant::now().as_micros())
    }

    async fn delay_until(&self, at: Instant) {
        // embassy's timer waits once also for what has passed.
        if at <= self.now() {
            return;
        }
        // One tick more than asked for rather than a wake-up too early.
        let ticks = embassy_time::Duration::from_micros(at.as_micros()).as_ticks();
        let whole = embassy_time::Duration::from_ticks(ticks).as_micros() >= at.as_micros();
        let ticks = if whole { ticks } else { ticks.saturating_add(1) };
        embassy_time::Timer::at(embassy_time::Instant::from_ticks(ticks)).await;
    }
}
