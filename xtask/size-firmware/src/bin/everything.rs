//! All that is public in the engine, text included.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the entry's name is unmangled")]

size_firmware::entry!(run);

fn run() {
    size_firmware::device::call_device::<true>();
    size_firmware::text::call_text();
}
