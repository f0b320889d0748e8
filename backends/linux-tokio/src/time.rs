//! Monotonic time that counts sleep, and an alarm by the same clock.

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wg_core::Instant;

/// Now, by `CLOCK_BOOTTIME`: microseconds since boot, time asleep included.
///
/// Tokio's own clock stands still while the machine sleeps, and keys would grow too old.
pub fn now() -> Instant {
    let now = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    let micros = u64::try_from(now.tv_nsec).unwrap_or(0) / 1000;
    Instant::from_micros(secs.saturating_mul(1_000_000).saturating_add(micros))
}

/// Tells that the machine has slept: `CLOCK_BOOTTIME` goes on then, and `CLOCK_MONOTONIC` does
/// not.
#[derive(Debug)]
pub(crate) struct Sleep {
    /// By how much one is ahead of the other.
    asleep: Duration,
}

impl Sleep {
    /// What two readings, one after the other, may differ without sleep.
    const SLACK: Duration = Duration::from_millis(500);

    pub(crate) fn new() -> Self {
        Self { asleep: asleep() }
    }

    /// Whether the machine has slept since this was asked last.
    pub(crate) fn is_over(&mut self) -> bool {
        self.grew(asleep())
    }

    fn grew(&mut self, asleep: Duration) -> bool {
        let grew = asleep.saturating_sub(self.asleep) > Self::SLACK;
        if grew {
            self.asleep = asleep;
        } else {
            // The least is the closest to the truth.
            self.asleep = self.asleep.min(asleep);
        }
        grew
    }
}

/// Time asleep since boot, or a little more.
fn asleep() -> Duration {
    let awake = clock_gettime(ClockId::Monotonic);
    let all = clock_gettime(ClockId::Boottime);
    let duration = |time: Timespec| Duration::try_from(time).unwrap_or_default();
    duration(all).saturating_sub(duration(awake))
}

/// Wakes at a deadline, also when it passed while the machine slept.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// What the timer is set to.
    armed: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        // The replacement is unsafe, and asks for what an `OwnedFd` guarantees.
        #[allow(deprecated)]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self { timer, armed: None })
    }

    /// Waits until `deadline`, or a little less long: a deadline that moves back with every
    /// packet costs a system call only when the earlier one has passed.
    ///
    /// Cancel safe.
    pub(crate) async fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline else { return core::future::pending().await };
        if self.armed.is_none_or(|armed| deadline < armed) {
            // A time of zero would disarm it.
            let micros = deadline.as_micros().max(1);
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
                    tv_nsec: (micros % 1_000_000 * 1000) as _,
                },
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
            self.armed = Some(deadline);
        }
        let mut ready = self.timer.readable().await?;
        // A timer that was moved meanwhile may not have expired at all.
        if let Ok(expired) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?)) {
            expired?;
            self.armed = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_what_one_clock_counts_and_the_other_does_not() {
        let mut sleep = Sleep::new();
        assert!(!sleep.is_over(), "this test does not sleep");
        let before = sleep.asleep;
        let later = |millis| before + Duration::from_millis(millis);
        // A pause between the readings, and none the next time.
        assert!(!sleep.grew(later(400)));
        assert!(!sleep.grew(later(0)));
        assert!(sleep.grew(later(2000)));
        assert!(!sleep.grew(later(2000)), "once");
        assert!(!sleep.grew(later(2400)));
        assert!(sleep.grew(later(4000)));
    }

    #[tokio::test]
    async fn an_alarm_rings_at_its_deadline_and_again_at_the_next() {
        let mut alarm = Alarm::new().unwrap();
        for wait in [Duration::from_millis(30), Duration::from_millis(20), Duration::ZERO] {
            let deadline = now().saturating_add(wait);
            while now() < deadline {
                alarm.wait(Some(deadline)).await.unwrap();
            }
            assert!(now().saturating_since(deadline) < Duration::from_millis(500));
        }
    }

    #[tokio::test]
    async fn an_earlier_deadline_replaces_a_later_one() {
        let mut alarm = Alarm::new().unwrap();
        let far = now().saturating_add(Duration::from_secs(3600));
        let soon = now().saturating_add(Duration::from_millis(20));
        let gave_up = tokio::time::timeout(Duration::from_millis(5), alarm.wait(Some(far))).await;
        assert!(gave_up.is_err());
        alarm.wait(Some(soon)).await.unwrap();
        assert!(now() >= soon && now() < far);
    }

    #[tokio::test]
    async fn a_later_deadline_is_waited_for_after_an_early_wake() {
        let mut alarm = Alarm::new().unwrap();
        let soon = now().saturating_add(Duration::from_millis(10));
        let late = soon.saturating_add(Duration::from_millis(30));
        let gave_up = tokio::time::timeout(Duration::from_millis(1), alarm.wait(Some(soon))).await;
        assert!(gave_up.is_err());
        while now() < late {
            alarm.wait(Some(late)).await.unwrap();
        }
    }
}
