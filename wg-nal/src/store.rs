//! Where a board keeps the few bytes that must survive a reboot.

// Firmware has one executor per core, and its futures stay there: a bound of `Send` would shut
// out flash drivers that are not.
#![allow(async_fn_in_trait)]

#[cfg(feature = "std")]
mod file;
#[cfg(feature = "flash")]
mod flash;

#[cfg(feature = "std")]
pub use file::{FileError, FileStore};
#[cfg(feature = "flash")]
pub use flash::{FlashError, FlashRangeError, FlashStore};

/// What is kept. The number is the record's key in flash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum Record {
    /// The greatest timestamp that may have been given out: 12 bytes.
    Timestamp = 1,
    /// The private key: 32 bytes, secret.
    PrivateKey = 2,
    /// The public key that belongs to it: 32 bytes.
    PublicKey = 3,
}

/// Lasting memory for [`Record`]s.
///
/// What an implementation promises:
///
/// - a `save` that answered `Ok` is there after a power cut at any later moment;
/// - a power cut, an error or a dropped future in the middle of a `save` leaves the old value
///   or the new one, never a third;
/// - what is loaded is what was saved, in length and content, or else there is an error, or an
///   older value where the memory keeps it.
///
/// Two tunnels on one board need two stores.
pub trait Store {
    /// Why the memory could not be read or written.
    type Error: core::fmt::Debug;

    /// Reads a record into all of `value`; false where there is none.
    ///
    /// # Errors
    ///
    /// The memory cannot be read, or the record is damaged or of another length.
    async fn load(&mut self, record: Record, value: &mut [u8]) -> Result<bool, Self::Error>;

    /// Writes a record over the one before.
    ///
    /// # Errors
    ///
    /// The memory cannot be written. The record is the old one or the new one.
    async fn save(&mut self, record: Record, value: &[u8]) -> Result<(), Self::Error>;
}

impl<S: Store> Store for &mut S {
    type Error = S::Error;

    async fn load(&mut self, record: Record, value: &mut [u8]) -> Result<bool, S::Error> {
        (**self).load(record, value).await
    }

    async fn save(&mut self, record: Record, value: &[u8]) -> Result<(), S::Error> {
        (**self).save(record, value).await
    }
}
