//! The board's flash memory, which has the command set of Intel's: CFI 1.
//!
//! | sectors | hold |
//! |---|---|
//! | the first | the configuration, in the format of wg-quick, up to the first erased byte |
//! | the two after it | what is kept of the handshakes' timestamps: a `FlashStore` |
#![allow(unsafe_code, reason = "the flash is memory at an address")]

use core::ops::Range;

use wg_nal::embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

use crate::board::{FLASH, FLASH_SECTOR};

/// The configuration's text; `None` when it is none.
pub(crate) fn configuration() -> Option<&'static str> {
    // SAFETY: the flash is memory to read from, and this sector is never written to. While
    // another one is, nobody reads this.
    let sector = unsafe { core::slice::from_raw_parts(FLASH.cast::<u8>(), FLASH_SECTOR) };
    let length = sector.iter().position(|&byte| byte == 0xff)?;
    core::str::from_utf8(&sector[..length]).ok().filter(|text| !text.is_empty())
}

/// Where timestamps are kept.
pub(crate) const TIMESTAMPS: Range<u32> = FLASH_SECTOR as u32..3 * FLASH_SECTOR as u32;

/// Everything behind the configuration. There is one.
#[derive(Debug)]
pub(crate) struct Flash(());

/// Commands, on both of the chips that share a bus.
const ERASE: u32 = 0x0020_0020;
const CONFIRM: u32 = 0x00d0_00d0;
const PROGRAM: u32 = 0x0040_0040;
const CLEAR_STATUS: u32 = 0x0050_0050;
const READ: u32 = 0x00ff_00ff;
/// In a status: ready, and every error.
const READY: u32 = 0x80;
const ERRORS: u32 = 0x3a;

impl Flash {
    pub(crate) fn take() -> Self {
        Self(())
    }

    /// Gives two commands at an offset, and waits until they are done.
    fn command(&mut self, offset: u32, first: u32, second: u32) -> Result<(), NorFlashErrorKind> {
        let at = FLASH.wrapping_byte_add(offset as usize);
        // SAFETY: the offset is checked by the caller to be aligned and in the flash, and
        // behind the configuration, which others borrow.
        unsafe {
            at.write_volatile(first);
            at.write_volatile(second);
            let status = loop {
                let status = at.read_volatile();
                if status & READY != 0 {
                    break status;
                }
            };
            at.write_volatile(CLEAR_STATUS);
            at.write_volatile(READ);
            if status & ERRORS == 0 { Ok(()) } else { Err(NorFlashErrorKind::Other) }
        }
    }

    fn check(from: u32, to: u32, unit: usize) -> Result<(), NorFlashErrorKind> {
        if from > to || from < TIMESTAMPS.start || to > TIMESTAMPS.end {
            return Err(NorFlashErrorKind::OutOfBounds);
        }
        if !(from as usize).is_multiple_of(unit) || !(to as usize).is_multiple_of(unit) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        Ok(())
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        Self::check(offset, offset.saturating_add(bytes.len() as u32), Self::READ_SIZE)?;
        let words = bytes.chunks_exact_mut(4).zip((offset..).step_by(4));
        for (word, at) in words {
            let at = FLASH.wrapping_byte_add(at as usize);
            // SAFETY: in the flash and aligned, by the check.
            word.copy_from_slice(&unsafe { at.read_volatile() }.to_le_bytes());
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        3 * FLASH_SECTOR
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = FLASH_SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        Self::check(from, to, Self::ERASE_SIZE)?;
        for sector in (from..to).step_by(Self::ERASE_SIZE) {
            self.command(sector, ERASE, CONFIRM)?;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        Self::check(offset, offset.saturating_add(bytes.len() as u32), Self::WRITE_SIZE)?;
        for (word, at) in bytes.chunks_exact(4).zip((offset..).step_by(4)) {
            let word = word.try_into().map_or(0, u32::from_le_bytes);
            self.command(at, PROGRAM, word)?;
        }
        Ok(())
    }
}
