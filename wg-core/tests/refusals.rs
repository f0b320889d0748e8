//! Bad input: a refused datagram is counted, changes nothing and panics nowhere.

mod oracle;
mod pair;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use oracle::{ATTACKER, Draft, Lone, Party, Session, cookie_reply, sender_of, sign};
use pair::{Flight, Pair, Seeded, packet};
use proptest::prelude::*;
use wg_core::{Instant, Refusal, Tai64n};

const SECOND: Duration = Duration::from_secs(1);

fn stamp(secs: u64) -> [u8; 12] {
    *Tai64n::from_unix(secs, 0).as_bytes()
}

/// Messages that the engine with the public key `them` has to refuse from anybody, `us` being
/// a peer of it, in the middle of whatever it is doing.
fn hostile(us: &Party, them: &[u8; 32]) -> Vec<(Vec<u8>, Refusal)> {
    let draft = |n: u8, secs: u64| Draft {
        index: u32::from(n),
        ephemeral: [0xc0 + n; 32],
        false_ephemeral: None,
        timestamp: stamp(secs),
    };
    let mut messages = Vec::new();
    for len in [0, 1, 3, 4, 16, 31] {
        messages.push((vec![0; len], Refusal::Malformed));
        messages.push(([&[4, 0, 0, 0], &[0; 28][..]].concat()[..len].to_vec(), Refusal::Malformed));
    }
    for kind in [0, 5, 255] {
        messages.push((vec![kind; 148], Refusal::Malformed));
    }
    for (kind, len) in [(1, 147), (1, 149), (2, 91), (2, 93), (3, 63), (3, 65)] {
        let mut message = vec![0; len];
        message[0] = kind;
        messages.push((message, Refusal::Malformed));
    }
    let good = us.initiate(them, &draft(1, u64::from(u32::MAX)));
    let mut reserved = good.bytes.clone();
    reserved[2] = 1;
    messages.push((reserved, Refusal::Malformed));

    let mut unsigned = good.bytes.clone();
    unsigned[116] ^= 1;
    messages.push((unsigned, Refusal::Mac1Mismatch));
    messages.push((us.initiate(&us.public, &draft(2, 1)).bytes, Refusal::Mac1Mismatch));
    let mut signed = |at: usize, refusal| {
        let mut message = good.bytes.clone();
        message[at] ^= 1;
        sign(&mut message, them, None);
        messages.push((message, refusal));
    };
    signed(10, Refusal::StaticUndecryptable);
    signed(50, Refusal::StaticUndecryptable);
    signed(90, Refusal::TimestampUndecryptable);
    let stranger = Party::new(0x66).initiate(them, &draft(3, u64::from(u32::MAX)));
    messages.push((stranger.bytes, Refusal::UnknownPeer));
    let impostor = Party { private: [0x66; 32], public: us.public };
    let impostor = impostor.initiate(them, &draft(4, u64::from(u32::MAX)));
    messages.push((impostor.bytes, Refusal::TimestampUndecryptable));
    let low = Draft { false_ephemeral: Some([0; 32]), ..draft(5, u64::from(u32::MAX)) };
    messages.push((us.initiate(them, &low).bytes, Refusal::ZeroSharedSecret));

    let mut response = vec![0x77; 92];
    response[..4].copy_from_slice(&[2, 0, 0, 0]);
    messages.push((response.clone(), Refusal::Mac1Mismatch));
    sign(&mut response, them, None);
    messages.push((response, Refusal::UnknownIndex));
    let cookie = cookie_reply(&us.public, &good.bytes, [1; 16]);
    messages.push((cookie, Refusal::UnknownIndex));
    let session =
        Session { send: [1; 32], receive: [1; 32], local: 1, remote: 0x6666_6666, counter: 0 };
    for len in [0, 16, 1400] {
        messages.push((session.seal_at(0, &vec![0; len]), Refusal::UnknownIndex));
    }
    messages
}

/// The messages of [`hostile`] that name something alive: a handshake or a session.
fn aimed(us: &Party, them: &[u8; 32], sent: &[Flight]) -> Vec<(Vec<u8>, Vec<Refusal>)> {
    let mut messages = Vec::new();
    for flight in sent {
        let ours = &flight.bytes;
        let index = match ours[0] {
            1 | 2 => sender_of(ours).to_le_bytes(),
            _ => continue,
        };
        // The index is a handshake's, a session's, or gone by now.
        let mut response = vec![0x77; 92];
        response[..4].copy_from_slice(&[2, 0, 0, 0]);
        response[8..12].copy_from_slice(&index);
        sign(&mut response, them, None);
        messages.push((response, vec![Refusal::ResponseUndecryptable, Refusal::UnknownIndex]));
        let mut low = vec![0; 92];
        low[..4].copy_from_slice(&[2, 0, 0, 0]);
        low[8..12].copy_from_slice(&index);
        sign(&mut low, them, None);
        messages.push((low, vec![Refusal::ZeroSharedSecret, Refusal::UnknownIndex]));
        let mut cookie = cookie_reply(&us.public, ours, [1; 16]);
        cookie[50] ^= 1;
        let refusals =
            vec![Refusal::CookieUndecryptable, Refusal::UnexpectedCookie, Refusal::UnknownIndex];
        messages.push((cookie, refusals));
        for counter in [0, 1, 5_000, u64::MAX] {
            let mut data = [&[4, 0, 0, 0], &index, &counter.to_le_bytes()[..]].concat();
            data.resize(16 + 64, 0x99);
            let refusals = vec![
                Refusal::Forged,
                Refusal::UnknownIndex,
                Refusal::Replayed,
                Refusal::SessionExpired,
                Refusal::CounterExhausted,
            ];
            messages.push((data, refusals));
        }
    }
    messages
}

/// A life of two engines, in which everything above comes in between, or does not.
fn life(attacked: bool) -> (Pair, usize) {
    let mut pair = Pair::new();
    // Load has tests of its own.
    pair.a.device.set_handshake_budget(u16::MAX);
    pair.b.device.set_handshake_budget(u16::MAX);
    let mut refused = 0;
    let mut interrupt = |pair: &mut Pair| {
        // Both lives draw the same numbers from here on.
        (pair.a.rng, pair.b.rng) = (Seeded(pair.now.as_micros()), Seeded(!pair.now.as_micros()));
        if !attacked {
            return;
        }
        let record = pair.link.record.clone();
        let (us, them) = (Party::new(1), *pair.b.public_key().as_bytes());
        let attacker: SocketAddr = ATTACKER.parse().unwrap();
        for (party, victim, node) in [(us, them, &mut pair.b), {
            let victim = *pair.a.public_key().as_bytes();
            (Party::new(2), victim, &mut pair.a)
        }] {
            let before = node.observe(pair.now);
            for (message, refusal) in hostile(&party, &victim) {
                assert_eq!(node.hear(pair.now, attacker, &message), Err(refusal));
                refused += 1;
            }
            let sent: Vec<Flight> =
                record.iter().filter(|flight| flight.from == node.address).cloned().collect();
            for (message, refusals) in aimed(&party, &victim, &sent) {
                let refusal = node.hear(pair.now, attacker, &message).unwrap_err();
                assert!(refusals.contains(&refusal), "{refusal:?}: {message:?}");
                refused += 1;
            }
            // What was delivered, once more; what is under way is not the attacker's to deliver.
            let (address, now) = (node.address, pair.now);
            let delivered = |flight: &&Flight| {
                flight.to == address && flight.due.saturating_add(Duration::from_millis(20)) <= now
            };
            for flight in record.iter().filter(delivered) {
                let heard = node.hear(pair.now, attacker, &flight.bytes);
                assert!(heard.is_err(), "{heard:?}: {flight:?}");
                refused += 1;
            }
            assert_eq!(node.observe(pair.now), before);
        }
    };
    interrupt(&mut pair);
    let _ = pair.a_sends(10);
    interrupt(&mut pair);
    for step in 0..60 {
        pair.run(Duration::from_millis(7));
        interrupt(&mut pair);
        if step == 20 {
            pair.b_sends(20).unwrap();
        }
    }
    for step in 0..40_usize {
        pair.run(Duration::from_secs(7));
        interrupt(&mut pair);
        if step % 3 == 0 && step < 30 {
            let _ = if step % 2 == 0 { pair.a_sends(step) } else { pair.b_sends(step) };
        }
    }
    (pair, refused)
}

#[test]
fn refused_messages_leave_no_trace_in_the_life_of_two_peers() {
    let ((attacked, refused), (quiet, _)) = (life(true), life(false));
    assert!(refused > 5_000, "{refused}");
    let record = |pair: &Pair| -> Vec<(Instant, SocketAddr, Vec<u8>)> {
        let flights = pair.link.record.iter();
        flights.map(|flight| (flight.due, flight.to, flight.bytes.clone())).collect()
    };
    assert_eq!(record(&attacked), record(&quiet), "every byte at its time");
    for (attacked, quiet) in [(&attacked.a, &quiet.a), (&attacked.b, &quiet.b)] {
        assert_eq!(attacked.inbox, quiet.inbox);
        assert_eq!(attacked.events, quiet.events);
        assert_eq!(attacked.deadlines, quiet.deadlines);
        assert!(quiet.inbox.len() > 3);
    }
}

#[test]
fn every_refused_datagram_is_counted_by_its_reason() {
    let mut lone = Lone::new();
    let mut counts: HashMap<Refusal, u32> = HashMap::new();
    for _ in 0..3 {
        for (message, refusal) in hostile(&lone.us.clone(), &lone.them.clone()) {
            assert_eq!(lone.hear(&message), Err(refusal));
            *counts.entry(refusal).or_default() += 1;
            let counted: HashMap<Refusal, u32> = lone.node.device.refusals().iter().collect();
            assert_eq!(counted, counts);
        }
    }
    // Those that name a peer, even without proof, are counted there too.
    let status = lone.node.status(lone.now, lone.peer);
    assert_eq!(status.refusals.count(Refusal::TimestampUndecryptable), 6);
    assert_eq!(status.refusals.count(Refusal::UnknownPeer), 0);
}

// Arbitrary bytes

/// An engine with an unconfirmed session, a handshake of its own and messages that were not yet received.
fn busy() -> (Lone, Vec<Vec<u8>>) {
    let mut lone = Lone::new();
    let sent = lone.initiation();
    let initiation = lone.initiate();
    let answer = lone.hear(&initiation.bytes).unwrap().reply();
    let mut next = lone.us.finish(&initiation, &answer, &[0; 32]).unwrap();
    lone.wait(SECOND);
    let (response, _) = lone.us.respond(&sent, &[0; 32], [0x91; 32], 1);
    let messages = vec![
        lone.initiate().bytes,
        response,
        cookie_reply(&lone.us.public, &answer, [1; 16]),
        next.seal(&lone.incoming(20)),
        next.seal(&packet("fd00::1", "fd00::2", 20, 9)),
        next.seal(&[]),
    ];
    lone.view();
    (lone, messages)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn garbage_is_refused_and_changes_nothing(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop::option::weighted(0.8, 1..5_u8),
        exact in any::<bool>(),
        signed in any::<bool>(),
    ) {
        let (mut lone, _) = busy();
        if let Some(kind) = kind {
            if exact && kind < 4 {
                bytes.resize([148, 92, 64][usize::from(kind) - 1], kind);
            }
            if let Some(head) = bytes.get_mut(..4) {
                head.copy_from_slice(&[kind, 0, 0, 0]);
            }
            if signed && [92, 148].contains(&bytes.len()) {
                sign(&mut bytes, &lone.them.clone(), None);
            }
        }
        let before = lone.view();
        prop_assert!(lone.hear_from(ATTACKER, &bytes).is_err());
        prop_assert_eq!(lone.view(), before);
    }

    #[test]
    fn a_damaged_message_is_refused_and_changes_nothing(
        which in 0..6_usize,
        cut in prop::option::of(0..150_usize),
        flips in prop::collection::vec((0..200_usize, 1..=255_u8), 0..4),
        more in prop::collection::vec(any::<u8>(), 0..4),
        signed in any::<bool>(),
    ) {
        let (mut lone, messages) = busy();
        let good = &messages[which];
        let mut bytes = good.clone();
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        bytes.extend(more);
        for (at, flip) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= flip;
            }
        }
        if signed && [92, 148].contains(&bytes.len()) {
            sign(&mut bytes, &lone.them.clone(), None);
        }
        let before = lone.view();
        // mac2 says nothing while there is no load.
        let said = |message: &[u8]| match message.first() {
            Some(1 | 2) => message.get(..message.len().saturating_sub(16)).map(<[u8]>::to_vec),
            _ => Some(message.to_vec()),
        };
        let heard = lone.hear_from(ATTACKER, &bytes);
        // The initiator's index is not authenticated but by the response's MACs.
        let renamed = which == 0 && bytes.len() == 148 && signed && {
            let mut named = bytes.clone();
            named[4..8].copy_from_slice(&good[4..8]);
            sign(&mut named, &lone.them.clone(), None);
            named == *good
        } || which == 1 && bytes.len() == 92 && signed && {
            let mut named = bytes.clone();
            named[4..8].copy_from_slice(&good[4..8]);
            sign(&mut named, &lone.them.clone(), None);
            named == *good
        };
        if said(&bytes) == said(good) || renamed {
            prop_assert!(heard.is_ok(), "{heard:?}");
        } else {
            prop_assert!(heard.is_err(), "{heard:?}");
            prop_assert_eq!(lone.view(), before);
        }
    }
}
