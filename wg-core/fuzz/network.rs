//! What `tests/any_network.rs` plays by seeds, led by coverage.
#![no_main]

#[path = "../tests/hostile/mod.rs"]
mod hostile;
#[path = "../tests/oracle/mod.rs"]
mod oracle;
#[path = "../tests/pair/mod.rs"]
mod pair;

use hostile::{Step, play};

libfuzzer_sys::fuzz_target!(|script: &[u8]| play(&Step::all(script)));
