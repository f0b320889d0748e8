//! Whether there is a core that has nothing else to do.

use core::time::Duration;
use std::fs;
use std::time::Instant;

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(100);
/// Whoever waits for a core for a tenth of the time would only make others wait, too.
const CROWDED: u32 = 10;

/// How long the thread that asks had to wait for a core.
///
/// Work that is given to another core costs more than it would here: somebody has to be woken, and
/// the packets cross from one core's cache to the other's and back.
#[derive(Debug)]
pub(super) struct Cores {
    looked: Option<(Instant, Duration)>,
    are_free: bool,
}

impl Cores {
    pub(super) fn new() -> Self {
        Self { looked: None, are_free: true }
    }

    /// Whether a core was to be had whenever there was something to do lately.
    pub(super) fn are_free(&mut self) -> bool {
        let now = Instant::now();
        if self.looked.is_none_or(|(at, _)| now.saturating_duration_since(at) >= INTERVAL) {
            self.look(now, waited().unwrap_or_default());
        }
        self.are_free
    }

    fn look(&mut self, now: Instant, waited: Duration) {
        if let Some((at, before)) = self.looked {
            let time = now.saturating_duration_since(at);
            self.are_free = waited.saturating_sub(before) * CROWDED < time;
        }
        self.looked = Some((now, waited));
    }
}

/// How long this thread was ready to run, and did not: the second number of `schedstat`, where the
/// kernel counts.
fn waited() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_tenth_of_the_time_finds_no_core_free() {
        let (mut cores, start) = (Cores::new(), Instant::now());
        let mut look = |millis, waited| {
            cores.look(start + Duration::from_millis(millis), Duration::from_millis(waited));
            cores.are_free
        };
        assert!(look(0, 500), "what was before does not count");
        assert!(look(100, 509));
        assert!(!look(200, 519));
        assert!(!look(300, 600));
        assert!(look(400, 600));
    }

    #[test]
    fn the_kernel_counts_how_long_a_thread_waits() {
        if std::path::Path::new("/proc/thread-self/schedstat").exists() {
            assert!(waited().is_some());
        }
    }
}
