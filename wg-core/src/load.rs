//! When handshakes come faster than this machine should answer them, and how many it answers
//! then (whitepaper section 5.3).

use core::time::Duration;

use crate::constants::UNDER_LOAD_HOLD;
use crate::time::Instant;

/// A curve operation takes tens of milliseconds on a microcontroller, and a handshake four of
/// them; a host does thousands in a second, whatever its word is.
const DEFAULT_BUDGET: u16 =
    if cfg!(any(target_os = "none", target_os = "espidf")) { 5 } else { 500 };

/// For each share at least one message.
const LEAST_BOUND: u16 = 3;

/// After load, as long must pass before a second may again be filled by messages without a
/// cookie: or an attacker could do that each second, and leave nothing to those with one.
const CALM_AFTER: Duration = Duration::from_secs(16);

/// Whose part of a second's work a message takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Share {
    /// A quarter, for addresses of peers, and answers to our handshakes.
    Reserved,
    /// For everybody in turn, as many as can be remembered.
    InTurn,
    /// The rest, a fifth at least.
    FirstCome,
}

const SECOND: u32 = 1_000_000;

/// No share is closed for longer, in microseconds. What seems to be is long over.
const LONGEST: u32 = 2 * SECOND;

/// Counts handshake messages with a valid mac1 against a budget for each second, and those that
/// are worked on against the parts of it.
pub(crate) struct Load {
    pub(crate) budget: u16,
    /// The messages of this second, which began with the first after the one before ended.
    count: u16,
    /// For each share, the microsecond up to which its work is paid for.
    paid_until: [u32; 3],
    second: Option<Instant>,
    until: Option<Instant>,
}

/// By the generic cell rate algorithm: microseconds between two messages, and how much sooner
/// some may come at once. In any second they are as many as the share has, and no more.
struct Pace {
    cost: u32,
    credit: u32,
}

impl Load {
    pub(crate) const fn new() -> Self {
        Self { budget: DEFAULT_BUDGET, count: 0, paid_until: [0; 3], second: None, until: None }
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

    /// Whether a message is worked on without a cookie, while there is no load. Begins the load
    /// when not.
    pub(crate) fn take_unproven(&mut self, now: Instant, turns: u16) -> bool {
        if self.until.is_none_or(|until| now.has_reached(until, CALM_AFTER)) {
            let shares = [Share::FirstCome, Share::InTurn, Share::Reserved];
            if !shares.into_iter().any(|share| self.take(now, share, turns)) {
                // Within the budget, but more at once than the shares add up to.
                shares.into_iter().for_each(|share| self.close(now, share, turns));
            }
            return true;
        }
        let taken = self.take(now, Share::FirstCome, turns);
        if !taken {
            self.declare(now);
        }
        taken
    }

    /// Takes one message's part of a share, if there is one left. `turns` messages in turn can
    /// be remembered.
    #[cfg_attr(target_os = "none", inline(never))] // for flash
    pub(crate) fn take(&mut self, now: Instant, share: Share, turns: u16) -> bool {
        let Some(Pace { cost, credit }) = self.pace(share, turns) else { return false };
        let now = now.as_micros() as u32;
        let paid_until = self.paid_until(share);
        let ahead = paid_until.wrapping_sub(now);
        let ahead = if ahead > LONGEST { 0 } else { ahead };
        let left = ahead <= credit;
        if left {
            *paid_until = now.wrapping_add(ahead).wrapping_add(cost);
        }
        left
    }

    /// For a second from now on, nothing is left of a share.
    fn close(&mut self, now: Instant, share: Share, turns: u16) {
        if let Some(Pace { credit, .. }) = self.pace(share, turns) {
            let closed = SECOND.saturating_add(credit);
            *self.paid_until(share) = (now.as_micros() as u32).wrapping_add(closed);
        }
    }

    const fn paid_until(&mut self, share: Share) -> &mut u32 {
        let [reserved, in_turn, first_come] = &mut self.paid_until;
        match share {
            Share::Reserved => reserved,
            Share::InTurn => in_turn,
            Share::FirstCome => first_come,
        }
    }

    /// `None` for a share without any part.
    fn pace(&self, share: Share, turns: u16) -> Option<Pace> {
        let bound = u32::from(self.budget.max(LEAST_BOUND));
        let reserved = (bound / 4).max(1);
        let rest = bound.saturating_sub(reserved);
        let in_turn = u32::from(turns).min(rest.saturating_sub((bound / 5).max(1)));
        let per_second = match share {
            Share::Reserved => reserved,
            Share::InTurn => in_turn,
            Share::FirstCome => rest.saturating_sub(in_turn),
        };
        let more_at_once = (per_second / 4).saturating_sub(1);
        let evenly = per_second.saturating_sub(more_at_once);
        let cost = (evenly > 0).then(|| SECOND.div_ceil(evenly))?;
        Some(Pace { cost, credit: cost.saturating_mul(more_at_once) })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

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

    #[test]
    fn the_shares_of_any_second_add_up_to_the_budget() {
        let shares = [Share::Reserved, Share::InTurn, Share::FirstCome];
        for budget in [0, 3, 4, 5, 7, 20, 61, 500, u16::MAX] {
            for turns in [0, 1, 3, 384] {
                let mut load = Load::new();
                load.budget = budget;
                load.declare(Instant::ZERO);
                let mut taken = std::vec::Vec::new();
                // At once, then as it comes, then at once after some silence.
                let steps = (0..2_500).map(|i| i * 1_003).chain((0..900).map(|i| 9_000_000 + i));
                for micros in steps {
                    let now = Instant::from_micros(micros);
                    for share in shares {
                        let some = (0..20).filter(|_| load.take(now, share, turns)).count();
                        taken.push((micros, some));
                    }
                }
                let bound = usize::from(budget.max(3));
                let mut first = 0;
                let mut sum = 0;
                let mut most = 0;
                for (micros, some) in &taken {
                    sum += some;
                    while taken[first].0 + 1_000_000 <= *micros {
                        sum -= taken[first].1;
                        first += 1;
                    }
                    most = most.max(sum);
                }
                assert!(most <= bound, "{most} of {bound}");
                assert!(most * 2 > bound || bound > 10_000, "{most} of {bound}");
            }
        }
    }

    #[test]
    fn what_was_used_up_without_load_is_not_there_under_load() {
        let mut load = Load::new();
        load.budget = 5;
        let at = Instant::from_millis;
        assert!((0..5).all(|i| !load.count(at(i)) && load.take_unproven(at(i), 3)));
        assert!(load.count(at(5)));
        assert!(!load.take(at(1_003), Share::Reserved, 3));
        assert!(load.take(at(1_004), Share::Reserved, 3));
    }

    #[test]
    fn soon_after_load_only_a_part_is_there_without_a_cookie() {
        let mut load = Load::new();
        load.budget = 5;
        let at = Instant::from_millis;
        load.declare(at(0));
        assert!(!load.count(at(1_000)) && load.take_unproven(at(1_000), 3));
        assert!(!load.count(at(1_001)) && !load.take_unproven(at(1_001), 3));
        assert!(load.count(at(1_002)), "that was the beginning of load");
        assert!(load.take(at(1_002), Share::Reserved, 3));
        let calm = at(2_001 + 16_000);
        assert!((0..5).all(|_| !load.count(calm) && load.take_unproven(calm, 3)));
    }
}
