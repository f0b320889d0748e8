#![allow(unsafe_code)] // NVS is C.
//! Records in NVS, ESP-IDF's memory for settings.

use core::ffi::{CStr, c_char, c_void};
use core::fmt;
use core::time::Duration;
use std::ffi::CString;

use wg_nal::{Persistent, Record, Store};

use crate::clock::kept_clock;

/// `nvs_open_mode_t`.
const READ_ONLY: i32 = 0;
const READ_WRITE: i32 = 1;

/// `nvs.h`: the errors that ask for something.
const NOT_INITIALIZED: i32 = 0x1101;
const NOT_FOUND: i32 = 0x1102;
const NOT_ENOUGH_SPACE: i32 = 0x1105;
const INVALID_NAME: i32 = 0x1106;
const INVALID_LENGTH: i32 = 0x110c;

/// The most bytes of a name in NVS.
const LONGEST_NAME: usize = 15;

unsafe extern "C" {
    fn nvs_open(namespace: *const c_char, mode: i32, handle: *mut u32) -> i32;
    fn nvs_close(handle: u32);
    fn nvs_get_blob(handle: u32, key: *const c_char, value: *mut c_void, len: *mut usize) -> i32;
    fn nvs_set_blob(handle: u32, key: *const c_char, value: *const c_void, len: usize) -> i32;
    fn nvs_commit(handle: u32) -> i32;
}

/// The clock of `Tunnel::begin`: [`kept_clock`](crate::kept_clock) over the namespace
/// `wireguard` of NVS. The firmware has called `nvs_flash_init`, as it must for Wi-Fi.
pub fn nvs_clock() -> Persistent<fn() -> Option<Duration>, NvsStore> {
    kept_clock(NvsStore { namespace: c"wireguard".into() })
}

/// Records in a namespace of NVS, of the partition `nvs`.
///
/// NVS writes a new value before it forgets the old one, so that a power cut leaves one of them.
/// A record takes three of the 126 entries of a page of 4 KB, which is erased when it is full:
/// with [`kept_clock`](crate::kept_clock)'s 0.76 writes a day that is once in 55 days, and once
/// in two days while nobody answers.
#[derive(Debug)]
pub struct NvsStore {
    namespace: CString,
}

impl NvsStore {
    /// A store in this namespace. Two tunnels on one board need two.
    ///
    /// # Errors
    /// [`NvsError::Name`]: it has no bytes, more than 15, or one that is zero.
    pub fn new(namespace: &str) -> Result<Self, NvsError> {
        let namespace = CString::new(namespace).map_err(|_| NvsError::Name)?;
        if namespace.is_empty() || namespace.as_bytes().len() > LONGEST_NAME {
            return Err(NvsError::Name);
        }
        Ok(Self { namespace })
    }
}

impl Store for NvsStore {
    type Error = NvsError;

    async fn load(&mut self, record: Record, value: &mut [u8]) -> Result<bool, NvsError> {
        let opened = match Opened::new(&self.namespace, READ_ONLY) {
            // Nothing was saved in it yet.
            Err(NvsError::NotFound) => return Ok(false),
            opened => opened?,
        };
        let mut found = value.len();
        // SAFETY: open, the key ends in a zero, and `found` bytes of `value` may be written.
        let result = check(unsafe {
            nvs_get_blob(opened.0, key(record).as_ptr(), value.as_mut_ptr().cast(), &raw mut found)
        });
        match result {
            Err(NvsError::NotFound) => Ok(false),
            Ok(()) if found == value.len() => Ok(true),
            Ok(()) => Err(NvsError::Length),
            Err(error) => Err(error),
        }
    }

    async fn save(&mut self, record: Record, value: &[u8]) -> Result<(), NvsError> {
        let opened = Opened::new(&self.namespace, READ_WRITE)?;
        // SAFETY: open, the key ends in a zero, and the bytes are there for the call.
        check(unsafe {
            nvs_set_blob(opened.0, key(record).as_ptr(), value.as_ptr().cast(), value.len())
        })?;
        // SAFETY: open.
        check(unsafe { nvs_commit(opened.0) })
    }
}

fn key(record: Record) -> CString {
    // The number is the record's for ever, whatever its name.
    CString::new(format!("record-{}", record as u8)).unwrap_or_default()
}

/// A namespace while it is open.
struct Opened(u32);

impl Opened {
    fn new(namespace: &CStr, mode: i32) -> Result<Self, NvsError> {
        let mut handle = 0;
        // SAFETY: the name ends in a zero, and the handle may be written.
        check(unsafe { nvs_open(namespace.as_ptr(), mode, &raw mut handle) })?;
        Ok(Self(handle))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: open, and nobody uses it any more.
        unsafe { nvs_close(self.0) }
    }
}

fn check(result: i32) -> Result<(), NvsError> {
    Err(match result {
        0 => return Ok(()),
        NOT_INITIALIZED => NvsError::NotInitialized,
        NOT_FOUND => NvsError::NotFound,
        NOT_ENOUGH_SPACE => NvsError::Full,
        INVALID_NAME => NvsError::Name,
        INVALID_LENGTH => NvsError::Length,
        other => NvsError::Other(other),
    })
}

/// Why a record cannot be read from NVS, or written to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NvsError {
    /// The firmware has not called `nvs_flash_init`.
    NotInitialized,
    /// There is no such partition, or no such entry to write over.
    NotFound,
    /// There is no room.
    Full,
    /// This is no name for a namespace.
    Name,
    /// What is there has another length.
    Length,
    /// Another `esp_err_t`.
    Other(i32),
}

impl fmt::Display for NvsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInitialized => f.write_str("NVS is not there: call nvs_flash_init first"),
            Self::NotFound => f.write_str("there is no partition `nvs`: add it to the partitions"),
            Self::Full => {
                f.write_str("NVS is full: erase what is not needed, or make the partition larger")
            }
            Self::Name => f.write_str("a namespace of NVS has 1 to 15 bytes, none of them zero"),
            Self::Length => f.write_str(
                "the record in NVS has another length, so it is damaged or another program's: \
                 erase it",
            ),
            Self::Other(error) => write!(f, "NVS failed with error {error:#x} of esp_err.h"),
        }
    }
}

impl core::error::Error for NvsError {}
