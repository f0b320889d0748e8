extern crate std;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::string::ToString;
use std::vec::Vec;

use embassy_futures::{block_on, yield_now};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const TODAY: Duration = Duration::from_secs(1_800_000_000);

/// Lasting memory, which awaits before and after each effect.
#[derive(Default)]
struct Memory {
    timestamp: Cell<Option<[u8; 12]>>,
    fails: Cell<bool>,
    saves: Cell<u32>,
}

impl Store for &Memory {
    type Error = &'static str;

    async fn load(&mut self, record: Record, value: &mut [u8]) -> Result<bool, Self::Error> {
        assert_eq!(record, Record::Timestamp);
        yield_now().await;
        if self.fails.get() {
            return Err("no answer");
        }
        let found = self.timestamp.get();
        if let Some(bytes) = found {
            value.copy_from_slice(&bytes);
        }
        yield_now().await;
        Ok(found.is_some())
    }

    async fn save(&mut self, record: Record, value: &[u8]) -> Result<(), Self::Error> {
        assert_eq!(record, Record::Timestamp);
        yield_now().await;
        if self.fails.get() {
            return Err("no answer");
        }
        self.timestamp.set(Some(value.try_into().unwrap()));
        self.saves.set(self.saves.get() + 1);
        yield_now().await;
        Ok(())
    }
}

/// A board: its memory and time of day stay, its clock is made anew at each boot.
#[derive(Default)]
struct Board {
    memory: Memory,
    wall: Cell<Option<Duration>>,
    given: RefCell<Vec<Tai64n>>,
}

type Booted<'b, F> = Persistent<F, &'b Memory>;

impl Board {
    fn boot(&self) -> Booted<'_, impl Fn() -> Option<Duration>> {
        Persistent::new(|| self.wall.get(), &self.memory)
    }

    /// Takes a stamp, which must be greater than all before and covered by the memory.
    fn take(&self, clock: &mut impl Tai64nClock) -> Result<Tai64n, ClockUnavailable> {
        let next = clock.next()?;
        let mut given = self.given.borrow_mut();
        assert!(given.last().is_none_or(|last| *last < next), "{next} after {given:?}");
        assert!(next.as_bytes() <= &self.memory.timestamp.get().unwrap(), "{next} is not covered");
        given.push(next);
        Ok(next)
    }

    /// What a runner does for a handshake.
    fn handshake(&self, clock: &mut impl Timestamps) -> Result<Tai64n, ClockUnavailable> {
        let answer = self.take(clock);
        if clock.is_short() {
            let _ = block_on(clock.reserve());
        }
        answer
    }

    fn started(&self) -> Booted<'_, impl Fn() -> Option<Duration>> {
        let mut clock = self.boot();
        block_on(clock.reserve()).unwrap();
        clock
    }
}

/// Polls `future` that often, then drops it.
fn cancelled<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(value);
        }
    }
    None
}

#[test]
fn timestamps_rise_over_thousands_of_reboots_without_any_time_of_day() {
    let board = Board::default();
    for boot in 0..3_000 {
        let mut clock = board.started();
        for _ in 0..boot % 7 {
            board.handshake(&mut clock).unwrap();
        }
        assert_eq!(clock.standing(), Standing::Unanchored);
    }
    assert_eq!(board.memory.saves.get(), 3_000, "once a boot");
    let drift = unix(*board.given.borrow().last().unwrap());
    assert!(drift <= 3_000 * RANGE, "{drift:?}");
}

#[test]
fn there_are_none_before_the_store_was_read_and_none_beyond_the_range() {
    let board = Board::default();
    let mut clock = board.boot();
    assert!(clock.is_short());
    assert_eq!(
        (clock.next(), clock.standing()),
        (Err(ClockUnavailable::NotSet), Standing::NotLoaded)
    );
    block_on(clock.reserve()).unwrap();
    let mut count = 0;
    let mut comfortable = 0;
    while board.take(&mut clock).is_ok() {
        count += 1;
        comfortable += u32::from(!clock.is_short());
    }
    assert_eq!(clock.next(), Err(ClockUnavailable::Reserve));
    // 59 a second; the docs have the numbers.
    assert_eq!((count, comfortable), (1_180, 944));
    block_on(clock.reserve()).unwrap();
    board.take(&mut clock).unwrap();
}

#[test]
fn a_reserve_that_is_not_needed_writes_nothing() {
    let board = Board::default();
    let mut clock = board.started();
    for _ in 0..945 {
        block_on(clock.reserve()).unwrap();
        board.take(&mut clock).unwrap();
    }
    assert_eq!(board.memory.saves.get(), 1);
    block_on(clock.reserve()).unwrap();
    assert_eq!(board.memory.saves.get(), 2);
}

/// The flash writes of a day as the documentation has them.
#[test]
fn a_peer_in_use_costs_less_than_one_write_a_day() {
    for (wall, handshakes, writes) in
        [(false, 720_u32, 0.76), (true, 720, 0.76), (false, 17_280, 18.3), (true, 1, 0.125)]
    {
        let board = Board::default();
        board.wall.set(wall.then_some(TODAY));
        let mut clock = board.started();
        let (days, boot) = (200, board.memory.saves.get());
        for _ in 0..days * handshakes {
            if let Some(now) = board.wall.get() {
                board.wall.set(Some(now + DAY / handshakes));
            }
            board.handshake(&mut clock).unwrap();
            board.given.borrow_mut().clear();
        }
        let measured = f64::from(board.memory.saves.get() - boot) / f64::from(days);
        assert!((measured - writes).abs() < 0.02 * writes + 0.005, "{handshakes}: {measured}");
    }
}

/// Every point at which the future of a reserve may be dropped, in every state of the memory,
/// and then the memory fails, and then the power is cut.
#[test]
fn a_reserve_dropped_anywhere_then_a_failing_store_then_a_power_cut_repeats_nothing() {
    for (at_boot, at_renewal) in (0..6).flat_map(|boot| (0..6).map(move |renewal| (boot, renewal)))
    {
        let board = Board::default();
        for _ in 0..3 {
            let mut clock = board.boot();
            let finished = cancelled(clock.reserve(), at_boot);
            assert_eq!(finished.is_some(), at_boot == 5, "the memory awaits four times");
            while board.take(&mut clock).is_ok() {}
            board.memory.fails.set(true);
            assert_eq!(block_on(clock.reserve()), Err(ReserveError::Store("no answer")));
            while board.take(&mut clock).is_ok() {}
            board.memory.fails.set(false);
            if block_on(clock.reserve()).is_ok() {
                while !clock.is_short() {
                    board.take(&mut clock).unwrap();
                }
                cancelled(clock.reserve(), at_renewal);
                while board.take(&mut clock).is_ok() {}
                board.memory.fails.set(true);
                assert!(block_on(clock.reserve()).is_err());
                while board.take(&mut clock).is_ok() {}
                board.memory.fails.set(false);
            }
        }
        let mut clock = board.started();
        board.take(&mut clock).unwrap();
    }
}

#[test]
fn a_store_that_fails_stops_handshakes_only_at_the_end_of_the_range_and_recovers() {
    let board = Board::default();
    let mut clock = board.started();
    board.memory.fails.set(true);
    let given = (0..2_000).filter(|_| board.handshake(&mut clock).is_ok()).count();
    assert_eq!(given, 1_180);
    assert_eq!(board.handshake(&mut clock), Err(ClockUnavailable::Reserve));
    board.memory.fails.set(false);
    assert_eq!(board.handshake(&mut clock), Err(ClockUnavailable::Reserve));
    board.handshake(&mut clock).unwrap();
}

#[test]
fn a_time_of_day_that_becomes_known_moves_the_stamps_to_it_after_one_handshake() {
    let board = Board::default();
    let mut clock = board.started();
    assert!(unix(board.handshake(&mut clock).unwrap()) < DAY);
    board.wall.set(Some(TODAY));
    assert!(clock.is_short(), "a runner that looks by itself moves at once");
    assert!(unix(board.handshake(&mut clock).unwrap()) < DAY);
    assert_eq!(clock.standing(), Standing::Steady);
    assert!(unix(board.handshake(&mut clock).unwrap()) > TODAY);
    // And it goes again: the next boot has none.
    board.wall.set(None);
    drop(clock);
    let mut clock = board.started();
    assert_eq!(clock.standing(), Standing::Stored);
    assert!(unix(board.handshake(&mut clock).unwrap()) > TODAY);
}

#[test]
fn an_erased_store_begins_at_1970_and_is_made_good_by_a_time_of_day() {
    let board = Board::default();
    board.wall.set(Some(TODAY));
    let greatest = board.handshake(&mut board.started()).unwrap();
    board.memory.timestamp.set(None);
    board.wall.set(None);
    board.given.borrow_mut().clear();
    let mut clock = board.started();
    assert_eq!(clock.standing(), Standing::Unanchored);
    assert!(board.handshake(&mut clock).unwrap() < greatest, "the peer refuses it");
    board.wall.set(Some(TODAY + RANGE));
    board.handshake(&mut clock).unwrap();
    assert!(board.handshake(&mut clock).unwrap() > greatest);
    assert_eq!(clock.standing(), Standing::Steady);
}

#[test]
fn a_time_of_day_that_steps_back_is_not_followed_and_named_from_a_day_on() {
    let board = Board::default();
    board.wall.set(Some(TODAY));
    let mut clock = board.started();
    board.wall.set(Some(TODAY - Duration::from_secs(3_600)));
    assert_eq!(clock.standing(), Standing::Steady);
    assert!(unix(board.handshake(&mut clock).unwrap()) > TODAY);
    board.wall.set(Some(TODAY - 3 * DAY));
    assert!(matches!(clock.standing(), Standing::Ahead(lead) if lead.as_secs() / 86_400 == 3));
    while !clock.is_short() {
        board.take(&mut clock).unwrap();
    }
    block_on(clock.reserve()).unwrap();
    assert!(unix(board.handshake(&mut clock).unwrap()) > TODAY);
    // Over a reboot, too.
    let mut clock = board.started();
    assert!(unix(board.handshake(&mut clock).unwrap()) > TODAY);
    assert!(matches!(clock.standing(), Standing::Ahead(_)));
    // A clock that was reset to its origin is no time of day at all.
    board.wall.set(Some(DAY));
    assert_eq!(clock.standing(), Standing::Stored);
}

#[test]
fn a_leap_of_fifty_years_is_refused_named_and_leaves_the_store_as_it_was() {
    let board = Board::default();
    board.wall.set(Some(TODAY));
    let mut clock = board.started();
    board.wall.set(Some(TODAY + 50 * YEAR));
    assert_eq!(clock.standing(), Standing::LeapRefused(50 * YEAR));
    assert!(!clock.is_short());
    for _ in 0..2_000 {
        board.handshake(&mut clock).unwrap();
    }
    let mut clock = board.started();
    board.handshake(&mut clock).unwrap();
    let kept = Tai64n::from_bytes(board.memory.timestamp.get().unwrap());
    assert!(unix(kept) < TODAY + DAY, "{kept}");
    // When the time of day is right again, nothing has happened.
    board.wall.set(Some(TODAY + DAY));
    assert_eq!(clock.standing(), Standing::Steady);
    board.handshake(&mut clock).unwrap();
}

#[test]
fn a_leap_of_less_is_followed_and_a_leap_at_the_very_first_cannot_be_known() {
    let board = Board::default();
    board.wall.set(Some(TODAY + 50 * YEAR));
    let mut clock = board.started();
    assert_eq!(clock.standing(), Standing::Steady);
    board.wall.set(Some(TODAY));
    assert_eq!(clock.standing(), Standing::Ahead(50 * YEAR));
    board.wall.set(Some(TODAY + 59 * YEAR));
    board.handshake(&mut clock).unwrap();
    assert!(unix(board.handshake(&mut clock).unwrap()) > TODAY + 59 * YEAR);
}

#[test]
fn what_is_no_timestamp_is_an_error_and_is_kept() {
    for bytes in [[0; 12], [0xff; 12], *Tai64n::from_unix(1 << 40, 0).as_bytes()] {
        let board = Board::default();
        board.memory.timestamp.set(Some(bytes));
        board.wall.set(Some(TODAY));
        let mut clock = board.boot();
        let error = block_on(clock.reserve()).unwrap_err();
        assert_eq!(error, ReserveError::NoTimestamp(Tai64n::from_bytes(bytes)));
        assert_eq!(
            (clock.next(), clock.standing()),
            (Err(ClockUnavailable::NotSet), Standing::NotLoaded)
        );
        assert_eq!(board.memory.timestamp.get(), Some(bytes));
    }
}

#[test]
fn every_answer_is_a_sentence_and_the_memory_is_as_documented() {
    assert_eq!(size_of::<Persistent<(), ()>>(), 25);
    assert_eq!(
        Standing::LeapRefused(50 * YEAR).to_string(),
        "the time of day leapt 18250 days ahead and is not followed; if it is right, erase the memory"
    );
    assert_eq!(
        ReserveError::Store("no answer").to_string(),
        "timestamps cannot be reserved: no answer"
    );
}
