//! What every image has: start-up and unknown inputs.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the entry's name is unmangled")]

use core::hint::black_box;

use size_firmware::board::{bytes, word};

size_firmware::entry!(run);

fn run() {
    black_box((word(), bytes::<32>()));
}
