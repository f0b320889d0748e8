//! Records in a flash that wears out, and whose power is cut in the middle of any write.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use embassy_futures::block_on;
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use rand_core::{TryCryptoRng, TryRng};
use wg_nal::wg_core::{Tai64n, Tai64nClock};
use wg_nal::{
    Drbg, FlashStore, Identity, IdentityError, Origin, Persistent, Record, Standing, Store,
    Timestamps,
};

const PAGE: usize = 512;
const PAGES: usize = 3;

/// What stays while boards boot and lose power.
struct Chip {
    bytes: RefCell<[u8; PAGE * PAGES]>,
    erases: RefCell<[u32; PAGES]>,
    words_written: Cell<u32>,
    /// Words written and pages erased until the power goes.
    power: Cell<u32>,
    /// Whether the word or page at which the power goes is left half done.
    torn: Cell<bool>,
    /// Whether a word written twice is an error of the driver, and not of this test.
    lenient: Cell<bool>,
}

/// NOR flash of words of `WORD` bytes: bits go from 1 to 0, and pages back to 1.
struct Flash<const WORD: usize>(Rc<Chip>);

#[derive(Debug)]
enum Fault {
    NoPower,
    Misused,
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Chip {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            bytes: RefCell::new([0xff; PAGE * PAGES]),
            erases: RefCell::new([0; PAGES]),
            words_written: Cell::new(0),
            power: Cell::new(u32::MAX),
            torn: Cell::new(false),
            lenient: Cell::new(false),
        })
    }

    /// Uses power for one word or page: `Ok(true)` for all of it, `Ok(false)` for a part.
    fn spend(&self) -> Result<bool, Fault> {
        match self.power.get() {
            0 => Err(Fault::NoPower),
            1 => {
                self.power.set(0);
                if self.torn.get() { Ok(false) } else { Err(Fault::NoPower) }
            }
            left => {
                self.power.set(left - 1);
                Ok(true)
            }
        }
    }
}

impl<const WORD: usize> ErrorType for Flash<WORD> {
    type Error = Fault;
}

impl<const WORD: usize> ReadNorFlash for Flash<WORD> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        if self.0.power.get() == 0 {
            return Err(Fault::NoPower);
        }
        let chip = self.0.bytes.borrow();
        let offset = offset as usize;
        bytes.copy_from_slice(chip.get(offset..offset + bytes.len()).ok_or(Fault::Misused)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        PAGE * PAGES
    }
}

impl<const WORD: usize> NorFlash for Flash<WORD> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        let (from, to) = (from as usize, to as usize);
        assert!(from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE) && to <= PAGE * PAGES);
        for page in from / PAGE..to / PAGE {
            let whole = self.0.spend()?;
            self.0.erases.borrow_mut()[page] += 1;
            let length = if whole { PAGE } else { PAGE / 2 };
            self.0.bytes.borrow_mut()[page * PAGE..][..length].fill(0xff);
            if !whole {
                return Err(Fault::NoPower);
            }
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        let offset = offset as usize;
        assert!(offset.is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD));
        for (index, word) in bytes.chunks(WORD).enumerate() {
            let whole = self.0.spend()?;
            let mut chip = self.0.bytes.borrow_mut();
            let cells = &mut chip[offset + index * WORD..][..WORD];
            if cells.iter().any(|cell| *cell != 0xff) {
                assert!(self.0.lenient.get(), "a word is written twice");
                return Err(Fault::Misused);
            }
            for (position, (cell, byte)) in cells.iter_mut().zip(word).enumerate() {
                // A torn word has every other bit, or every other byte.
                *cell &= if whole || position % 2 == 1 { *byte } else { *byte | 0x55 };
            }
            self.0.words_written.set(self.0.words_written.get() + 1);
            if !whole {
                return Err(Fault::NoPower);
            }
        }
        Ok(())
    }
}

fn store<const WORD: usize>(chip: &Rc<Chip>) -> FlashStore<Flash<WORD>> {
    FlashStore::new(Flash(chip.clone()), 0..(PAGE * PAGES) as u32).unwrap()
}

/// Boots, tries to reserve, takes stamps while there are any, up to `most`.
fn boot<const WORD: usize>(chip: &Rc<Chip>, most: usize, last: &mut Option<Tai64n>) -> usize {
    let mut clock = Persistent::new(|| None, store::<WORD>(chip));
    let mut taken = 0;
    let _ = block_on(clock.reserve());
    while taken < most
        && let Ok(stamp) = clock.next()
    {
        assert!(last.is_none_or(|last| last < stamp), "{stamp} after {last:?}");
        *last = Some(stamp);
        taken += 1;
        if clock.is_short() {
            let _ = block_on(clock.reserve());
        }
    }
    taken
}

/// The power goes at the n-th word written or page erased, for every n until several pages were
/// gone round, cleanly and in the middle, on three kinds of flash; and again at the first boots
/// after it, while sequential-storage repairs what it finds.
fn cut_everywhere<const WORD: usize>() -> u32 {
    let mut cuts = 0;
    for torn in [false, true] {
        // The state before the cut is the one that uncut boots made.
        let healthy = Chip::new();
        healthy.torn.set(torn);
        let mut last = None;
        while healthy.erases.borrow().iter().sum::<u32>() < 4 {
            let mut cut = 1;
            loop {
                let chip = Chip::new();
                chip.torn.set(torn);
                *chip.bytes.borrow_mut() = *healthy.bytes.borrow();
                let mut last = last;
                chip.power.set(cut);
                boot::<WORD>(&chip, 1_000, &mut last);
                let survived = chip.power.get() > 0;
                for again in 1..4 {
                    chip.power.set(again);
                    boot::<WORD>(&chip, 1_000, &mut last);
                }
                chip.power.set(u32::MAX);
                assert_eq!(boot::<WORD>(&chip, 10, &mut last), 10, "cut {cut}, torn {torn}");
                cuts += 1;
                if survived {
                    break;
                }
                cut += 1;
            }
            boot::<WORD>(&healthy, 1_000, &mut last);
        }
    }
    cuts
}

#[test]
fn stamps_rise_whichever_write_the_power_is_cut_in() {
    let cuts = [cut_everywhere::<1>(), cut_everywhere::<4>(), cut_everywhere::<16>()];
    assert!(cuts.iter().all(|cuts| *cuts > 400), "{cuts:?}");
}

#[test]
fn thousands_of_boots_wear_all_pages_alike() {
    let chip = Chip::new();
    let mut last = None;
    for _ in 0..5_000 {
        assert_eq!(boot::<4>(&chip, 3, &mut last), 3);
    }
    let erases = *chip.erases.borrow();
    println!("5000 boots: erases {erases:?}, {} words", chip.words_written.get());
    assert!(erases.iter().max().unwrap() - erases.iter().min().unwrap() <= 1, "{erases:?}");
    // 24 bytes a record as the documentation counts, so 21 fit on a page of 512.
    assert!(erases.iter().sum::<u32>() <= 5_000 / 19, "{erases:?}");
}

#[test]
fn an_erased_flash_begins_anew_and_says_so() {
    let chip = Chip::new();
    boot::<4>(&chip, 500, &mut None);
    block_on(store::<4>(&chip).erase()).unwrap();
    let wall = Cell::new(None);
    let mut clock = Persistent::new(|| wall.get(), store::<4>(&chip));
    block_on(clock.reserve()).unwrap();
    assert_eq!(clock.standing(), Standing::Unanchored);
    wall.set(Some(Duration::from_secs(1_800_000_000)));
    block_on(clock.reserve()).unwrap();
    assert!(clock.next().unwrap() > Tai64n::from_unix(1_800_000_000, 0));
}

#[test]
fn a_flash_full_of_anything_gives_an_answer_or_an_error_and_no_panic() {
    let mut rng = Drbg::try_new(&mut Source(1)).unwrap();
    for _ in 0..300 {
        let chip = Chip::new();
        chip.lenient.set(true);
        let _: Result<(), Infallible> = rng.try_fill_bytes(&mut *chip.bytes.borrow_mut());
        let mut clock = Persistent::new(|| None, store::<4>(&chip));
        if block_on(clock.reserve()).is_ok() {
            clock.next().unwrap();
        }
    }
}

struct Source(u8);

impl TryRng for Source {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill_with(|| {
            self.0 = self.0.wrapping_add(1);
            self.0
        });
        Ok(())
    }
}

impl TryCryptoRng for Source {}

type Identified = Result<Identity, IdentityError<wg_nal::FlashError<Fault>>>;

fn identity(chip: &Rc<Chip>, seed: u8) -> Identified {
    let mut rng = Drbg::try_new(&mut Source(seed)).unwrap();
    block_on(Identity::load_or_generate(&mut store::<4>(chip), &mut rng))
}

#[test]
fn a_first_start_whose_power_is_cut_anywhere_ends_in_one_identity() {
    for (cut, torn) in (1..60).flat_map(|cut| [(cut, false), (cut, true)]) {
        let chip = Chip::new();
        chip.torn.set(torn);
        chip.power.set(cut);
        let first = identity(&chip, 1);
        chip.power.set(u32::MAX);
        let second = identity(&chip, 2).unwrap();
        if let Ok(first) = first {
            assert_eq!((second.origin, second.public_key), (Origin::Kept, first.public_key));
        }
        assert_eq!(identity(&chip, 3).unwrap().public_key, second.public_key);
    }
}

#[test]
fn an_identity_stays_while_timestamps_go_round_the_flash_for_ever() {
    let chip = Chip::new();
    let made = identity(&chip, 1).unwrap();
    let mut last = None;
    for _ in 0..500 {
        boot::<4>(&chip, 1, &mut last);
    }
    assert!(chip.erases.borrow().iter().all(|erases| *erases > 2));
    let kept = identity(&chip, 2).unwrap();
    assert_eq!((kept.origin, kept.public_key), (Origin::Kept, made.public_key));
}

/// Each byte of the two records in turn: a damaged record is as good as gone in this store.
#[test]
fn a_private_key_damaged_in_flash_is_an_error_and_never_replaced() {
    let chip = Chip::new();
    let made = identity(&chip, 1).unwrap();
    let good = *chip.bytes.borrow();
    let position = good.windows(32).position(|window| window == made.private_key.expose()).unwrap();
    for byte in position..position + 32 {
        chip.bytes.borrow_mut()[byte] ^= 0x10;
        match identity(&chip, 2) {
            Err(IdentityError::Lost(key) | IdentityError::Damaged(key)) => {
                assert_eq!(key, made.public_key);
            }
            other => panic!("{other:?}"),
        }
        *chip.bytes.borrow_mut() = good;
    }
    assert_eq!(identity(&chip, 2).unwrap().public_key, made.public_key);
}

#[test]
fn a_record_of_another_length_and_a_range_that_does_not_fit_are_errors() {
    let chip = Chip::new();
    block_on(store::<4>(&chip).save(Record::Timestamp, &[7; 9])).unwrap();
    let error = block_on(store::<4>(&chip).load(Record::Timestamp, &mut [0; 12])).unwrap_err();
    assert!(error.to_string().contains("9 bytes"), "{error}");
    let page = PAGE as u32;
    for (start, end) in [(0, page), (1, 3 * page), (2 * page, page), (0, 0)] {
        assert!(FlashStore::new(Flash::<4>(chip.clone()), start..end).is_err());
    }
}
