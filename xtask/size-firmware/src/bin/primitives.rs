//! The cryptography alone.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the entry's name is unmangled")]

size_firmware::entry!(size_firmware::primitives::call_primitives);
