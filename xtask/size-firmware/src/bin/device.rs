//! The engine as a firmware uses it whose settings are compiled in: no text.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the entry's name is unmangled")]

size_firmware::entry!(size_firmware::device::call_device::<false>);
