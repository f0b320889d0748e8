//! Datagrams at a device in a session: as they are, and with a right mac1 or a session's index
//! in them, so that they come further. Nobody without keys leaves a trace.
#![no_main]

#[path = "../tests/oracle/mod.rs"]
mod oracle;
#[path = "../tests/pair/mod.rs"]
mod pair;

use libfuzzer_sys::fuzz_target;
use oracle::{ATTACKER, receiver_of, sign};
use pair::Pair;
use wg_core::{Device, INITIATION_LEN, Received, Source};

thread_local! {
    /// Made once: what is thrown at it must not change it.
    static TARGET: std::cell::RefCell<Option<(Pair, u32)>> = const { std::cell::RefCell::new(None) };
}

/// A pair in a session, and the index of it at B.
fn target() -> (Pair, u32) {
    let mut pair = Pair::connected();
    // Time stands still: what comes is not to be held for a flood.
    pair.b.device.set_handshake_budget(u16::MAX);
    pair.a_sends(4).expect("there is a session");
    let index = receiver_of(&pair.link.flights.pop().expect("a datagram").bytes);
    (pair, index)
}

fn shown(device: &Device<'_>, pair: &Pair) -> String {
    format!(
        "{:?}",
        device.peer(pair.now, pair.ba).map(|status| (
            status.endpoint,
            status.connection,
            status.received_bytes
        ))
    )
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (how, mut bytes) = input;
    TARGET.with_borrow_mut(|target_of_all| {
        let (pair, index) = target_of_all.get_or_insert_with(target);
        let (kind, len) =
            [(1, 148), (2, 92), (3, 64), (4, bytes.len().max(32))][usize::from(how % 4)];
        if how >= 64 {
            bytes.resize(len, 0);
            bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
        }
        if how >= 128 && kind < 3 {
            let key = *pair.b.public_key().as_bytes();
            sign(&mut bytes, &key, None);
        }
        if how >= 128 && kind >= 3 {
            bytes[4..8].copy_from_slice(&index.to_le_bytes());
        }
        let before = shown(&pair.b.device, pair);
        let deadline = pair.b.device.poll_timeout();
        let from = Source::from(ATTACKER.parse::<std::net::SocketAddr>().expect("an address"));
        let _ = pair.b.device.is_own(&bytes);
        match pair.b.device.handle_datagram(pair.now, &mut pair.b.rng, from, &mut bytes) {
            Err(refusal) => drop(refusal.to_string()),
            Ok(Received::Reply(reply)) => assert_eq!(reply.datagram[0], 3, "an answer to nobody"),
            Ok(other) => panic!("{other:?} of nobody"),
        }
        assert_eq!(pair.b.device.poll_event(), None);
        let mut buf = [0; INITIATION_LEN];
        let (clock, rng) = (&mut pair.b.clock, &mut pair.b.rng);
        assert!(pair.b.device.poll_transmit(pair.now, clock, rng, &mut buf).is_none());
        assert_eq!(pair.b.device.poll_timeout(), deadline);
        assert_eq!(shown(&pair.b.device, pair), before);
    });
});
