//! Records in NOR flash.

use core::fmt;
use core::ops::Range;

use embedded_storage_async::nor_flash::{NorFlash, NorFlashError};
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage};
use zeroize::Zeroizing;

use super::{Record, Store};

/// The greatest record and its key, rounded up to the greatest word of a flash, which is 32.
const BUFFER: usize = 64;

/// A [`Store`] in a range of NOR flash: a map of sequential-storage, which appends each record
/// behind the last and erases a page only when all are full. So wear spreads over the range,
/// and a power cut in a write leaves the record before.
///
/// The range is at least two pages, and this store's alone. esp-hal's flash, for example, has
/// pages of 4096 bytes, and a timestamp takes 24: of two pages each is erased once in 340 writes.
///
/// A record whose checksum fails, since its cells are worn out, counts as absent, and the one
/// before it is read. [`Identity`](crate::Identity) notices that. Timestamps fall back by one
/// range, which two reboots make good.
///
/// The flash's operations block or not as its driver has it; an erase of a page takes some 50
/// ms. The private key is in plain text unless the flash is encrypted.
pub struct FlashStore<F: NorFlash> {
    map: MapStorage<u8, F, Cache<Uncached, Uncached, Uncached, u8>>,
}

impl<F: NorFlash> FlashStore<F> {
    /// A store in the bytes `range` of `flash`. Reads nothing yet.
    ///
    /// # Errors
    ///
    /// The range is not of whole pages, or of fewer than two, or the pages are too small.
    pub fn new(flash: F, range: Range<u32>) -> Result<Self, FlashRangeError> {
        let unfit = FlashRangeError { page: F::ERASE_SIZE };
        // An empty range the wrong way round would overflow in there.
        if range.start > range.end {
            return Err(unfit);
        }
        let config = MapConfig::try_new(range).map_err(|_| unfit)?;
        Ok(Self { map: MapStorage::new(flash, config, Cache::new_uncached()) })
    }

    /// Erases the range, every record with it.
    ///
    /// # Errors
    ///
    /// The flash's.
    pub async fn erase(&mut self) -> Result<(), FlashError<F::Error>> {
        self.map.erase_all().await.map_err(FlashError::Map)
    }
}

impl<F: NorFlash> Store for FlashStore<F> {
    type Error = FlashError<F::Error>;

    async fn load(&mut self, record: Record, value: &mut [u8]) -> Result<bool, Self::Error> {
        let mut buffer = Zeroizing::new([0; BUFFER]);
        let found = self.map.fetch_item::<&[u8]>(&mut *buffer, &(record as u8)).await;
        match found.map_err(FlashError::Map)? {
            None => Ok(false),
            Some(found) if found.len() == value.len() => {
                value.copy_from_slice(found);
                Ok(true)
            }
            Some(found) => Err(FlashError::Length(found.len())),
        }
    }

    async fn save(&mut self, record: Record, value: &[u8]) -> Result<(), Self::Error> {
        let mut buffer = Zeroizing::new([0; BUFFER]);
        self.map.store_item(&mut *buffer, &(record as u8), &value).await.map_err(FlashError::Map)
    }
}

impl<F: NorFlash> fmt::Debug for FlashStore<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlashStore")
    }
}

/// The range of a [`FlashStore`] is not of two or more whole pages, of a useful size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FlashRangeError {
    /// The bytes of a page: what the flash erases at once.
    pub page: usize,
}

impl fmt::Display for FlashRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page } = self;
        write!(f, "records in flash need two or more whole pages, and a page has {page} bytes here")
    }
}

impl core::error::Error for FlashRangeError {}

/// Why records in flash could not be read or written.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlashError<E> {
    /// What sequential-storage says; the driver's error is in its `Storage`.
    Map(#[cfg_attr(feature = "defmt", defmt(Debug2Format))] sequential_storage::Error<E>),
    /// The record has this many bytes, and another length was expected.
    Length(usize),
}

impl<E: NorFlashError> fmt::Display for FlashError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(sequential_storage::Error::Storage { value, .. }) => {
                write!(f, "the flash failed: {value:?} ({:?})", value.kind())
            }
            Self::Map(error) => write!(
                f,
                "the records in flash cannot be used ({error:?}); erase the range if that stays"
            ),
            Self::Length(found) => {
                write!(
                    f,
                    "a record in flash has {found} bytes, so it is not this firmware's: erase the \
                     range, or choose another one"
                )
            }
        }
    }
}

impl<E: NorFlashError> core::error::Error for FlashError<E> {}
