//! A partition of the flash: the configuration, and what the tunnel keeps there.

use core::fmt;
use core::ops::Range;

use embassy_embedded_hal::adapter::BlockingAsync;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use wg_nal::{FlashRangeError, FlashStore};

/// What these chips erase at once.
pub const PAGE: u32 = 4096;

/// The longest configuration: a page.
pub const TEXT_LEN: usize = PAGE as usize;

/// Divides a partition, by its addresses in the flash: the first page is the configuration's
/// text, and the rest is for [`store`].
///
/// So the text can be written anew from a computer, and the timestamps and the key stay.
///
/// # Errors
/// The partition has fewer than three pages, or is not of whole pages.
pub const fn split(partition: Range<u32>) -> Result<[Range<u32>; 2], PartitionTooSmall> {
    let Range { start, end } = partition;
    if !start.is_multiple_of(PAGE) || !end.is_multiple_of(PAGE) {
        return Err(PartitionTooSmall);
    }
    match end.checked_sub(start) {
        Some(len) if len >= 3 * PAGE => Ok([start..start + PAGE, start + PAGE..end]),
        _ => Err(PartitionTooSmall),
    }
}

/// The partition cannot be divided: it has fewer than three pages, or is not of whole ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionTooSmall;

impl fmt::Display for PartitionTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the partition needs three whole pages of 4096 bytes or more, and to begin at one: the \
             first is for the configuration, the others for records",
        )
    }
}

impl core::error::Error for PartitionTooSmall {}

/// Reads the text in `range` of the flash, up to the first byte that is erased or zero.
///
/// # Errors
/// There is none, or no whole one: [`TextError`] says what to do. `buffer` holds what was read.
pub fn read_text<'b, F: ReadNorFlash>(
    flash: &mut F,
    range: Range<u32>,
    buffer: &'b mut [u8; TEXT_LEN],
) -> Result<&'b str, TextError<F::Error>> {
    let len = range.end.saturating_sub(range.start).try_into().unwrap_or(usize::MAX);
    let read = buffer.get_mut(..len).ok_or(TextError::TooLong)?;
    flash.read(range.start, read).map_err(TextError::Flash)?;
    let buffer: &'b [u8] = buffer;
    let read = buffer.get(..len).unwrap_or_default();
    if looks_like_utf_16(read) {
        return Err(TextError::NotText { at: 0 });
    }
    let end = read.iter().position(|byte| [0, 0xff].contains(byte)).ok_or(TextError::TooLong)?;
    match core::str::from_utf8(read.get(..end).unwrap_or_default()) {
        Ok("") => Err(TextError::Empty),
        Ok(text) => Ok(text),
        Err(error) => Err(TextError::NotText { at: error.valid_up_to() }),
    }
}

/// Whether it begins with UTF-16's mark, or with ASCII in UTF-16: neither erased nor a text's end.
fn looks_like_utf_16(read: &[u8]) -> bool {
    match read {
        [0xff, 0xfe, next, ..] | [0xfe, 0xff, next, ..] => *next != 0xff,
        [first, 0, second, 0, ..] | [0, first, 0, second, ..] => {
            [first, second].iter().all(|byte| (1..0x80).contains(*byte))
        }
        _ => false,
    }
}

/// Why there is no text in the flash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TextError<E> {
    /// The flash could not be read.
    Flash(E),
    /// It is erased.
    Empty,
    /// Nothing marks its end, or the range is longer than a page.
    TooLong,
    /// It is not UTF-8 from this byte on.
    NotText {
        /// The byte's place.
        at: usize,
    },
}

impl<E: fmt::Debug> fmt::Display for TextError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "the flash cannot be read: {error:?}"),
            Self::Empty => f.write_str("no configuration: write a wg-quick file to the partition"),
            Self::TooLong => f.write_str("the configuration is longer than 4095 bytes: shorten it"),
            Self::NotText { at } => {
                write!(f, "byte {at} of the configuration is no text: write it again, as UTF-8")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for TextError<E> {}

/// A store in `range` of a flash whose driver blocks, as esp-storage's does: for
/// [`Persistent`](wg_nal::Persistent) timestamps and for an [`Identity`](wg_nal::Identity).
///
/// An erase of a page, once in hundreds of writes, holds everything back for some 50 ms.
///
/// # Errors
/// The range is not of whole pages, or of fewer than two.
pub fn store<F: NorFlash>(
    flash: F,
    range: Range<u32>,
) -> Result<FlashStore<BlockingAsync<F>>, FlashRangeError> {
    FlashStore::new(BlockingAsync::new(flash), range)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use embassy_futures::block_on;
    use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind};
    use wg_nal::wg_core::{Tai64n, Tai64nClock};
    use wg_nal::{Drbg, Identity, Origin, Persistent, Timestamps};

    use super::*;
    use crate::entropy::Entropy;

    /// Flash in memory, with the word and page of esp-storage's.
    struct Ram(Vec<u8>);

    impl ErrorType for Ram {
        type Error = NorFlashErrorKind;
    }

    impl ReadNorFlash for Ram {
        const READ_SIZE: usize = 4;

        fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
            let from = self.0.get(at as usize..).and_then(|rest| rest.get(..bytes.len()));
            bytes.copy_from_slice(from.ok_or(NorFlashErrorKind::OutOfBounds)?);
            Ok(())
        }

        fn capacity(&self) -> usize {
            self.0.len()
        }
    }

    impl NorFlash for Ram {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = PAGE as usize;

        fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
            self.0[from as usize..to as usize].fill(0xff);
            Ok(())
        }

        fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
            // As flash does: bits only fall.
            for (cell, byte) in self.0[at as usize..].iter_mut().zip(bytes) {
                *cell &= byte;
            }
            Ok(())
        }
    }

    const PARTITION: Range<u32> = PAGE..4 * PAGE;

    fn flash_with(text: &[u8]) -> Ram {
        let mut ram = Ram(vec![0xff; 4 * PAGE as usize]);
        ram.write(PAGE, text).unwrap();
        ram
    }

    fn read(text: &[u8]) -> Result<std::string::String, TextError<NorFlashErrorKind>> {
        let [range, _] = split(PARTITION).unwrap();
        read_text(&mut flash_with(text), range, &mut [0; TEXT_LEN]).map(str::to_string)
    }

    #[test]
    fn the_text_ends_where_the_flash_is_erased() {
        assert_eq!(read(b"[Interface]\n").unwrap(), "[Interface]\n");
        assert_eq!(read(b"padded\0\0").unwrap(), "padded");
        assert_eq!(read(&[b'#'; TEXT_LEN - 1]).unwrap().len(), 4095);
    }

    #[test]
    fn what_is_no_text_is_told() {
        assert_eq!(read(b""), Err(TextError::Empty));
        assert_eq!(read(&[b'#'; TEXT_LEN]), Err(TextError::TooLong));
        assert_eq!(read(b"caf\xe9 "), Err(TextError::NotText { at: 3 }));
        let mut flash = flash_with(b"x");
        let beyond = 4 * PAGE..5 * PAGE;
        let error = read_text(&mut flash, beyond, &mut [0; TEXT_LEN]).unwrap_err();
        assert_eq!(error, TextError::Flash(NorFlashErrorKind::OutOfBounds));
        let two_pages = PAGE..3 * PAGE;
        let error = read_text(&mut flash, two_pages, &mut [0; TEXT_LEN]).unwrap_err();
        assert_eq!(error, TextError::TooLong);
    }

    #[test]
    fn a_partition_is_a_page_of_text_and_the_rest_for_records() {
        assert_eq!(split(PARTITION), Ok([PAGE..2 * PAGE, 2 * PAGE..4 * PAGE]));
        let backwards = Range { start: 4 * PAGE, end: PAGE };
        for wrong in [0..2 * PAGE, 0..0, 1..4 * PAGE, 0..3 * PAGE + 1, backwards] {
            assert_eq!(split(wrong), Err(PartitionTooSmall));
        }
        assert!(split(0..3 * PAGE).is_ok());
    }

    /// Counts, and so is never stuck.
    struct Counting(u64);

    impl wg_nal::rand_core::TryRng for Counting {
        type Error = core::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.try_next_u64().map(|n| n as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            Ok(self.0)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            for chunk in bytes.chunks_mut(8) {
                let word = self.try_next_u64()?.to_le_bytes();
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
            Ok(())
        }
    }

    impl wg_nal::rand_core::TryCryptoRng for Counting {}

    fn drbg(seed: u64) -> Drbg {
        Entropy::new(Counting(seed), ()).drbg().unwrap()
    }

    /// What a board does at its start.
    fn boot(flash: &mut Ram, seed: u64) -> (Identity, Tai64n) {
        let [_, records] = split(PARTITION).unwrap();
        let mut store = store(flash, records).unwrap();
        block_on(async {
            let identity = Identity::load_or_generate(&mut store, &mut drbg(seed)).await.unwrap();
            let mut clock = Persistent::new(|| None, store);
            clock.reserve().await.unwrap();
            (identity, clock.next().unwrap())
        })
    }

    #[test]
    fn a_reboot_keeps_the_key_and_the_order_of_timestamps_and_leaves_the_text() {
        let mut flash = flash_with(b"[Interface]\n");
        let (first, mut last) = boot(&mut flash, 1);
        assert_eq!(first.origin, Origin::Generated);
        // Enough of them that pages are erased.
        for seed in 2..500 {
            let (again, stamp) = boot(&mut flash, seed);
            assert_eq!((again.origin, again.public_key), (Origin::Kept, first.public_key));
            assert!(stamp > last, "after reboot {seed}");
            last = stamp;
        }
        assert!(flash.0[..PAGE as usize].iter().all(|byte| *byte == 0xff), "before it");
        let [text, _] = split(PARTITION).unwrap();
        let kept = read_text(&mut flash, text, &mut [0; TEXT_LEN]).map(str::to_string);
        assert_eq!(kept.unwrap(), "[Interface]\n");
    }
}
