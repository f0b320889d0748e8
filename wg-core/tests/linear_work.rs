//! What grows with the number of peers grows no faster, also for those who choose the input.
//!
//! Measured from outside, in time on the processor: a large input may take four times longer than
//! the same in eight parts, and quadratic work takes eight times longer. What is counted exactly
//! is in the unit tests of `config.rs` and `device/tests.rs`.
#![cfg(all(target_os = "linux", feature = "alloc"))]

mod pair;

use std::hint::black_box;

use wg_core::config::Config;
use wg_core::{AllowedIp, Device, Instant, PublicKey};

const FEW: u32 = 400;
const TIMES: u32 = 8;

/// The time that this thread has been on a processor, in nanoseconds.
fn on_processor() -> u64 {
    // The kernel brings it up to date when it schedules.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

/// Asserts that `work` on a large input takes no longer than on as much in small ones. `make` is
/// not measured.
fn assert_linear<T>(what: &str, make: impl Fn(u32) -> T, work: impl Fn(&mut T)) {
    let cost = |inputs, size| {
        let once = |_| {
            let mut inputs: Vec<_> = (0..inputs).map(|_| make(size)).collect();
            let start = on_processor();
            inputs.iter_mut().for_each(&work);
            on_processor() - start
        };
        (0..5).map(once).min().unwrap()
    };
    let (small, large) = (cost(TIMES, FEW), cost(1, FEW * TIMES));
    assert!(large <= 4 * small, "{what}: {large} ns, and {small} ns for {TIMES} parts");
}

/// Public keys that differ in their last bytes alone.
fn alike(number: u32) -> PublicKey {
    let mut bytes = [7; 32];
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    PublicKey::from_bytes(bytes)
}

/// A device with peers whose public keys are alike, and a route to each.
fn crowded(peers: u32) -> (Device<'static>, u32) {
    let mut device = Device::growing();
    for number in 0..peers {
        let peer = device.add_peer(&alike(number)).unwrap();
        let prefix = AllowedIp::new(std::net::Ipv4Addr::from(0x0a00_0000 + number).into(), 32);
        device.add_allowed_ip(peer, prefix.unwrap()).unwrap();
    }
    (device, peers)
}

/// Peers whose keys differ in their first characters, and a prefix each.
fn text(peers: u32) -> String {
    let mut text = String::from("[Interface]\n");
    for number in 0..peers {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let key = PublicKey::from_bytes(key);
        text += &format!("[Peer]\nPublicKey = {key}\nAllowedIPs = fd00::{number:x}/128\n");
    }
    text
}

#[test]
fn peers_with_chosen_keys_are_found_as_fast_as_others() {
    assert_linear("finding each peer", crowded, |(device, peers)| {
        (0..*peers).for_each(|number| _ = black_box(device.find_peer(&alike(number))));
    });
    assert_linear(
        "adding them",
        |peers| (Device::growing(), peers),
        |(device, peers)| {
            (0..*peers).for_each(|number| assert!(device.add_peer(&alike(number)).is_ok()));
        },
    );
    assert_linear("removing them", crowded, |(device, _)| device.retain_peers([]));
}

#[test]
fn a_configuration_is_read_in_time_that_grows_with_its_length() {
    assert_linear("checking the text", text, |text| assert!(Config::parse(text).is_ok()));
    assert_linear("reading every peer", text, |text| {
        let config = Config::parse(text).unwrap();
        let addresses: usize = config.peers().map(|peer| peer.allowed_ips().count()).sum();
        assert_eq!(addresses, config.peers().count());
    });
}

#[test]
fn the_next_deadline_costs_the_same_however_many_peers_wait() {
    let ready = |peers| {
        let (mut device, peers) = crowded(peers);
        device.set_private_key(Instant::ZERO, Some(&pair::private_key(1)));
        (device, peers)
    };
    assert_linear("asking for deadlines", ready, |(device, peers)| {
        (0..*peers).for_each(|_| _ = black_box(device.poll_timeout()));
    });
}
