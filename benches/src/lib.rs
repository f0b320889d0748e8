//! The work that is measured, ours and boringtun's, for criterion and for `bench-host`.
//!
//! Each module but the first three is a piece of work with a method for each side. A method
//! does it a few times and says how long that took, set-up left out; the callers alternate
//! between the sides and make statistics of it.

pub mod aead;
mod engine;
mod tunn;

pub mod handshake;
pub mod refusals;
pub mod routes;
pub mod timers;
pub mod transport;

use core::time::Duration;
use std::time::Instant;

/// How long some operations took together.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// The time of all of them.
    pub time: Duration,
    /// How many they were.
    pub operations: u32,
    /// How often they asked the heap for memory.
    pub allocations: u64,
}

impl Timed {
    /// Nanoseconds of one operation.
    pub fn nanos(self) -> f64 {
        self.time.as_secs_f64() * 1e9 / f64::from(self.operations)
    }
}

/// Does `work`, which is so many `operations`, and takes the time.
fn timed(operations: usize, work: impl FnOnce()) -> Timed {
    let mut time = Duration::ZERO;
    let memory = allocation_counter::measure(|| {
        let start = Instant::now();
        work();
        time = start.elapsed();
    });
    let operations = u32::try_from(operations).expect("a small batch");
    Timed { time, operations, allocations: memory.count_total }
}

/// What criterion asks for: the time of `iterations` operations, from batches of them.
pub fn time_of(iterations: u64, mut batch: impl FnMut() -> Timed) -> Duration {
    let (mut time, mut done) = (Duration::ZERO, 0);
    while done < iterations {
        let timed = batch();
        time += timed.time;
        done += u64::from(timed.operations);
    }
    time.mul_f64(iterations as f64 / done as f64)
}

/// The inner addresses of the two sides, and a UDP packet of `len` bytes between them.
fn packet(source: [u8; 4], destination: [u8; 4], len: usize) -> Vec<u8> {
    assert!(len >= 20, "room for an IPv4 header");
    let mut packet: Vec<u8> = (0..len).map(|n| n as u8).collect();
    packet[..20].fill(0);
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&u16::try_from(len).expect("a packet").to_be_bytes());
    packet[8] = 64;
    packet[9] = 17;
    packet[12..16].copy_from_slice(&source);
    packet[16..20].copy_from_slice(&destination);
    packet
}

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];
