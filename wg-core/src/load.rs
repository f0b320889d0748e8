//! When handshakes come faster than this machine should answer them (whitepaper section 5.3).

use crate::constants::UNDER_LOAD_HOLD;
use crate::time::Instant;

/// A curve operation takes tens of milliseconds on a microcontroller, and a handshake four of
/// them; a host does thousands in a second.
const DEFAULT_BUDGET: u16 = if cfg!(target_pointer_width = "64") { 500 } else { 5 };

/// Counts handshake messages with a valid mac1 against a budget for each second.
pub(crate) struct Load {
    pub(crate) budget: u16,
    second: Option<Instant>,
    count: u16,
    until: Option<Instant>,
}

impl Load {
    pub(crate) const fn new() -> Self {
        Self { budget: DEFAULT_BUDGET, second: None, count: 0, until: None }
    }

    /// Counts one message; true when it came under load.
    pub(crate) fn count(&mut self, now: Instant) -> bool {
        if self.second.is_none_or(|start| now.has_reached(start, UNDER_LOAD_HOLD)) {
            self.second = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        if self.count > self.budget {
            self.declare(now);
        }
        self.until.is_some_and(|until| now < until)
    }

    /// Load is assumed from now on for a second.
    pub(crate) fn declare(&mut self, now: Instant) {
        self.until = Some(now.saturating_add(UNDER_LOAD_HOLD));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_past_the_budget_and_a_second_after_it_are_under_load() {
        let mut load = Load::new();
        load.budget = 3;
        let at = Instant::from_millis;
        assert!((0..3).all(|i| !load.count(at(i))));
        assert!(load.count(at(3)));
        assert!(load.count(at(1_002)), "sticky");
        assert!(!load.count(at(1_003)));
    }

    #[test]
    fn the_budget_is_for_each_second() {
        let mut load = Load::new();
        load.budget = 3;
        assert!((0..300).all(|i| !load.count(Instant::from_millis(i * 334))));
    }

    #[test]
    fn the_hosts_word_holds_for_a_second() {
        let mut load = Load::new();
        load.declare(Instant::ZERO);
        assert!(load.count(Instant::from_millis(999)));
        assert!(!load.count(Instant::from_millis(1_000)));
    }
}
