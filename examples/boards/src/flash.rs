//! The board's flash memory, which has the command set of Intel's: CFI 1.
//!
//! | sectors | hold |
//! |---|---|
//! | the first | the configuration, in the format of wg-quick, up to the first erased byte |
//! | the rest | free |
#![allow(unsafe_code, reason = "the flash is memory at an address")]

use crate::board::{FLASH, FLASH_SECTOR};

/// The configuration's text; `None` when it is none.
pub(crate) fn configuration() -> Option<&'static str> {
    // SAFETY: the flash is memory to read from, and this sector is never written to.
    let sector = unsafe { core::slice::from_raw_parts(FLASH.cast::<u8>(), FLASH_SECTOR) };
    let length = sector.iter().position(|&byte| byte == 0xff)?;
    core::str::from_utf8(&sector[..length]).ok().filter(|text| !text.is_empty())
}
