//! What went wrong for clients, in a log that they cannot fill.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Lines that are written in an interval; the others are counted.
const LINES: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(10);

/// Warnings, ten in ten seconds at most.
#[derive(Default)]
pub(super) struct Complaints {
    interval: Mutex<Interval>,
}

#[derive(Default)]
struct Interval {
    start: Option<Instant>,
    lines: u32,
}

impl Complaints {
    pub(super) fn write(&self, line: impl FnOnce() -> String) {
        let (is_written, left_out) = self.count(Instant::now());
        if left_out > 0 {
            log::warn!("{left_out} more such lines were left out");
        }
        if is_written {
            log::warn!("{}", line());
        }
    }

    /// Whether a line is written now, and how many were not in the interval before.
    fn count(&self, now: Instant) -> (bool, u32) {
        let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = 0;
        if interval.start.is_none_or(|start| now.duration_since(start) >= INTERVAL) {
            left_out = interval.lines.saturating_sub(LINES);
            *interval = Interval { start: Some(now), lines: 0 };
        }
        interval.lines = interval.lines.saturating_add(1);
        (interval.lines <= LINES, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_are_written_and_the_others_counted() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        for at in 0..15 {
            assert_eq!(complaints.count(start), (at < 10, 0));
        }
        assert_eq!(complaints.count(start + INTERVAL), (true, 5));
        assert_eq!(complaints.count(start + 2 * INTERVAL), (true, 0));
    }
}
