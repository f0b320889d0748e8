//! The replay window (whitepaper section 5.4.6, RFC 6479): each counter is accepted once.

use crate::constants::REJECT_AFTER_MESSAGES;
use crate::refusal::Refusal;

/// How many counters, up to the greatest accepted one, a session tells apart from those that are
/// too old: 1024, and 8192 on hosts where devices grow.
///
/// A fast link through a host with several queues reorders more than a board's ever will, and
/// memory is no matter there. The Linux kernel and wireguard-go have 8128.
pub const REPLAY_WINDOW: u64 =
    if cfg!(all(feature = "alloc", not(any(target_os = "none", target_os = "espidf")))) {
        8192
    } else {
        1024
    };

const WORDS: usize = REPLAY_WINDOW as usize / 32;

/// Why a counter is refused. In numbers it is the [`Refusal`] that it is counted as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stale {
    /// It was accepted before.
    Seen = Refusal::Replayed as isize,
    /// It is behind the window, so nobody remembers.
    TooOld = Refusal::TooOld as isize,
    /// It is [`REJECT_AFTER_MESSAGES`] or more: the key is used up.
    PastLimit = Refusal::CounterExhausted as isize,
}

impl From<Stale> for Refusal {
    fn from(stale: Stale) -> Self {
        match stale {
            Stale::Seen => Self::Replayed,
            Stale::TooOld => Self::TooOld,
            Stale::PastLimit => Self::CounterExhausted,
        }
    }
}

/// Which of the last [`REPLAY_WINDOW`] counters were accepted: 1024 take 136 bytes.
///
/// The bits form a ring, bit `counter % REPLAY_WINDOW` of it, so that sliding the window forward only
/// clears the bits it slides over. RFC 6479 clears whole words and so gives up one of them;
/// here exact bits are cleared and the window has its full width.
pub(crate) struct Window {
    /// The greatest accepted counter, and 0 before the first.
    greatest: u64,
    seen: [u32; WORDS],
}

impl Window {
    /// A window that accepted nothing yet.
    pub(crate) const fn new() -> Self {
        Self { greatest: 0, seen: [0; WORDS] }
    }

    /// Whether `accept` would take this counter now. For an early look at packets that are not
    /// authenticated yet: it remembers nothing.
    pub(crate) fn check(&self, counter: u64) -> Result<(), Stale> {
        if counter >= REJECT_AFTER_MESSAGES {
            return Err(Stale::PastLimit);
        }
        if counter > self.greatest {
            return Ok(());
        }
        if self.greatest.wrapping_sub(counter) >= REPLAY_WINDOW {
            return Err(Stale::TooOld);
        }
        if self.seen[word(counter)] & bits(counter, counter) != 0 {
            return Err(Stale::Seen);
        }
        Ok(())
    }

    /// Takes the counter of an authenticated packet, once. Bounded by the words of the
    /// window; in order, it touches one.
    pub(crate) fn accept(&mut self, counter: u64) -> Result<(), Stale> {
        self.check(counter)?;
        if counter > self.greatest {
            self.forget(counter);
            self.greatest = counter;
        }
        self.seen[word(counter)] |= bits(counter, counter);
        Ok(())
    }

    /// Clears the bits of the counters after `greatest` up to `last`, which stood for counters
    /// one window ago.
    fn forget(&mut self, last: u64) {
        if last.wrapping_sub(self.greatest) >= REPLAY_WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        let mut before = self.greatest;
        while before < last {
            let first = before.wrapping_add(1);
            before = last.min(first | 31);
            self.seen[word(first)] &= !bits(first, before);
        }
    }
}

/// The word of the ring that a counter's bit is in: below `WORDS`, a power of two.
fn word(counter: u64) -> usize {
    (counter >> 5) as usize & (WORDS - 1)
}

/// The bits, within their word, of the counters from `first` to `last`, both of one word.
fn bits(first: u64, last: u64) -> u32 {
    (u32::MAX << (first & 31)) & (u32::MAX >> (31 - (last & 31)))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const LIMIT: u64 = REJECT_AFTER_MESSAGES;
    const WINDOW: u64 = REPLAY_WINDOW;

    #[test]
    fn counters_are_accepted_once_and_inside_the_window() {
        use Stale::*;
        let mut window = Window::new();
        let table = [
            /*  0 */ (0, Ok(())),
            /*  1 */ (0, Err(Seen)),
            /*  2 */ (1, Ok(())),
            /*  3 */ (1, Err(Seen)),
            /*  4 */ (9, Ok(())),
            /*  5 */ (8, Ok(())),
            /*  6 */ (7, Ok(())),
            /*  7 */ (7, Err(Seen)),
            /*  8 */ (WINDOW, Ok(())),
            /*  9 */ (0, Err(TooOld)),
            /* 10 */ (1, Err(Seen)),
            /* 11 */ (WINDOW - 1, Ok(())),
            /* 12 */ (WINDOW, Err(Seen)),
            /* 13 */ (WINDOW - 1, Err(Seen)),
            /* 14 */ (WINDOW - 2, Ok(())),
            /* 15 */ (2, Ok(())),
            /* 16 */ (2, Err(Seen)),
            /* 17 */ (WINDOW + 16, Ok(())),
            /* 18 */ (16, Err(TooOld)),
            /* 19 */ (17, Ok(())),
            /* 20 */ (WINDOW * 4, Ok(())),
            /* 21 */ (WINDOW * 4 - WINDOW, Err(TooOld)),
            /* 22 */ (WINDOW * 4 - (WINDOW - 1), Ok(())),
            /* 23 */ (WINDOW * 4 - (WINDOW - 1), Err(Seen)),
            /* 24 */ (10, Err(TooOld)),
            /* 25 */ (u64::from(u32::MAX) + 7, Ok(())),
            /* 26 */ (7, Err(TooOld)),
            /* 27 */ (u64::from(u32::MAX), Ok(())),
            /* 28 */ (LIMIT, Err(PastLimit)),
            /* 29 */ (u64::MAX, Err(PastLimit)),
            /* 30 */ (LIMIT - 1, Ok(())),
            /* 31 */ (LIMIT - 1, Err(Seen)),
            /* 32 */ (LIMIT, Err(PastLimit)),
            /* 33 */ (LIMIT - 2, Ok(())),
            /* 34 */ (LIMIT - WINDOW, Ok(())),
            /* 35 */ (LIMIT - 1 - WINDOW, Err(TooOld)),
        ];
        for (row, (counter, expected)) in table.into_iter().enumerate() {
            assert_eq!(window.check(counter), expected, "row {row}, early look");
            assert_eq!(window.accept(counter), expected, "row {row}");
        }
    }

    #[test]
    fn the_first_counter_may_be_any() {
        for counter in [0, 1, 31, 32, WINDOW - 1, WINDOW, 1 << 32, LIMIT - 1] {
            let mut window = Window::new();
            assert_eq!(window.accept(counter), Ok(()));
            assert_eq!(window.accept(counter), Err(Stale::Seen));
        }
    }

    #[test]
    fn a_whole_window_is_accepted_backwards() {
        let mut window = Window::new();
        let last = 5 * WINDOW + 3;
        for counter in (last - WINDOW + 1..=last).rev() {
            assert_eq!(window.accept(counter), Ok(()), "{counter}");
        }
        assert_eq!(window.accept(last - WINDOW), Err(Stale::TooOld));
        for counter in last - WINDOW + 1..=last {
            assert_eq!(window.accept(counter), Err(Stale::Seen), "{counter}");
        }
    }

    #[test]
    fn a_jump_of_any_width_forgets_exactly_what_it_slides_over() {
        for start in [0, 5, 31, 32, 1000] {
            // Every jump of a small window, and as many of a large one.
            for jump in (1..2 * WINDOW).step_by(WORDS * WORDS / 1024) {
                let mut window = Window::new();
                for counter in start..start + WINDOW {
                    window.accept(counter).unwrap();
                }
                let greatest = start + WINDOW - 1 + jump;
                window.accept(greatest).unwrap();
                for counter in start..=greatest {
                    let expected = if greatest - counter >= WINDOW {
                        Err(Stale::TooOld)
                    } else if counter < start + WINDOW || counter == greatest {
                        Err(Stale::Seen)
                    } else {
                        Ok(())
                    };
                    assert_eq!(window.check(counter), expected, "{start} {jump} {counter}");
                }
            }
        }
    }

    #[test]
    fn an_early_look_remembers_nothing() {
        let mut window = Window::new();
        for _ in 0..3 {
            assert_eq!(window.check(1 << 40), Ok(()));
        }
        assert_eq!(window.accept(3), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_set_agrees(
            base in prop_oneof![Just(0), Just(u64::from(u32::MAX)), Just(LIMIT - 3 * WINDOW)],
            steps in prop::collection::vec(
                prop_oneof![4 => 0..40_u64, 2 => 0..WINDOW + 40, 1 => 0..4 * WINDOW],
                1..600,
            ),
        ) {
            let mut window = Window::new();
            let mut accepted = BTreeSet::new();
            let mut around = base;
            for step in steps {
                let counter = around.saturating_add(step).saturating_sub(20);
                let greatest = accepted.last().copied().unwrap_or(0);
                let expected = counter < LIMIT
                    && !accepted.contains(&counter)
                    && counter.saturating_add(WINDOW) > greatest;
                prop_assert_eq!(window.check(counter).is_ok(), expected);
                prop_assert_eq!(window.accept(counter).is_ok(), expected);
                if expected {
                    accepted.insert(counter);
                    around = around.max(counter.saturating_sub(step / 2));
                }
            }
        }
    }
}
