//! Under load an attacker's message costs a few hashes, and an honest peer still gets in
//! (whitepaper section 5.3).

mod oracle;
mod pair;

use std::net::SocketAddr;
use std::time::Duration;

use oracle::{Heard, Lone, open_cookie_reply, sign};
use pair::{Flight, Pair, Seeded};
use wg_core::rand_core::TryRng;
use wg_core::{Instant, Refusal};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What an initiation cost the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// Curve arithmetic, which showed that it is garbage.
    Work,
    Cookie,
    SourceLimit,
}

fn garbage(len: usize, kind: u8, rng: &mut Seeded) -> Vec<u8> {
    let mut message = vec![0; len];
    let Ok(()) = rng.try_fill_bytes(&mut message);
    message[..4].copy_from_slice(&[kind, 0, 0, 0]);
    message
}

/// An initiation that has valid MACs and no sense.
fn knock(lone: &mut Lone, from: &str, cookie: Option<[u8; 16]>) -> Answer {
    let mut initiation = garbage(148, 1, &mut Seeded(lone.now.as_micros()));
    sign(&mut initiation, &lone.them.clone(), cookie);
    match lone.hear_from(from, &initiation) {
        Err(Refusal::StaticUndecryptable) => Answer::Work,
        Err(Refusal::SourceLimit) => Answer::SourceLimit,
        Ok(Heard::Reply(spoken)) if spoken.bytes[0] == 3 => Answer::Cookie,
        other => panic!("{other:?}"),
    }
}

fn cookie_for(lone: &mut Lone, from: &str) -> [u8; 16] {
    let mut initiation = garbage(148, 1, &mut Seeded(0));
    sign(&mut initiation, &lone.them.clone(), None);
    lone.node.device.set_under_load(lone.now);
    let reply = lone.hear_from(from, &initiation).unwrap().reply();
    open_cookie_reply(&reply, &lone.them, &initiation).unwrap()
}

// When there is load

#[test]
fn the_message_past_the_budget_gets_a_cookie_reply_and_load_holds_for_a_second() {
    let mut lone = Lone::new();
    lone.node.device.set_handshake_budget(10);
    for number in 0..10 {
        assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Work, "{number}");
        lone.wait(MILLISECOND);
    }
    assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Cookie);
    lone.wait(Duration::from_millis(999));
    assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Cookie, "sticky");
    lone.wait(MILLISECOND);
    assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Work);
}

#[test]
fn only_messages_with_a_valid_mac1_make_load() {
    let mut lone = Lone::new();
    lone.node.device.set_handshake_budget(1);
    let mut rng = Seeded(3);
    for _ in 0..100 {
        let unsigned = garbage(148, 1, &mut rng);
        assert_eq!(lone.hear(&unsigned), Err(Refusal::Mac1Mismatch));
        let response = garbage(92, 2, &mut rng);
        assert_eq!(lone.hear(&response), Err(Refusal::Mac1Mismatch));
        let cookie = garbage(64, 3, &mut rng);
        assert_eq!(lone.hear(&cookie), Err(Refusal::UnknownIndex));
        let data = garbage(99, 4, &mut rng);
        assert_eq!(lone.hear(&data), Err(Refusal::UnknownIndex));
    }
    assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Work);
    let mut response = garbage(92, 2, &mut rng);
    sign(&mut response, &lone.them.clone(), None);
    assert!(matches!(lone.hear(&response), Ok(Heard::Reply(_))), "responses count as well");
}

#[test]
fn a_rate_within_the_budget_is_never_load() {
    let mut lone = Lone::new();
    lone.node.device.set_handshake_budget(10);
    for _ in 0..1000 {
        lone.wait(Duration::from_millis(101));
        assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Work);
    }
}

#[test]
fn the_hosts_word_is_load_for_a_second() {
    let mut lone = Lone::new();
    lone.node.device.set_under_load(lone.now);
    lone.wait(Duration::from_millis(999));
    assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Cookie);
    lone.wait(MILLISECOND);
    assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Work);
}

// The share of a source

#[test]
fn under_load_a_source_with_a_cookie_gets_5_at_once_and_20_a_second() {
    let mut lone = Lone::new();
    let from = "192.0.2.7:7";
    let cookie = Some(cookie_for(&mut lone, from));
    let mut answers = Vec::new();
    for _ in 0..3_000 {
        lone.node.device.set_under_load(lone.now);
        answers.push(knock(&mut lone, from, cookie));
        lone.wait(MILLISECOND);
    }
    assert!(!answers.contains(&Answer::Cookie), "the rest is dropped without a reply");
    let worked = |from: usize, to: usize| {
        answers[from..to].iter().filter(|answer| **answer == Answer::Work).count()
    };
    assert_eq!(worked(0, 5), 5);
    assert_eq!(worked(5, 50), 0);
    assert_eq!(worked(0, 1000), 5 + 19);
    assert_eq!(worked(1000, 3000), 40);
}

#[test]
fn what_has_no_valid_mac2_uses_up_nobodys_share() {
    let mut lone = Lone::new();
    let from = "192.0.2.7:7";
    let cookie = cookie_for(&mut lone, from);
    for _ in 0..100 {
        assert_eq!(knock(&mut lone, from, None), Answer::Cookie);
        assert_eq!(knock(&mut lone, from, Some([1; 16])), Answer::Cookie);
    }
    for _ in 0..5 {
        assert_eq!(knock(&mut lone, from, Some(cookie)), Answer::Work);
    }
    assert_eq!(knock(&mut lone, from, Some(cookie)), Answer::SourceLimit);
}

#[test]
fn without_load_no_source_is_limited() {
    let mut lone = Lone::new();
    for _ in 0..200 {
        assert_eq!(knock(&mut lone, "192.0.2.7:7", None), Answer::Work);
    }
}

#[test]
fn responses_are_limited_by_source_like_initiations() {
    let mut lone = Lone::new();
    let from = "192.0.2.7:7";
    let cookie = cookie_for(&mut lone, from);
    let mut response = garbage(92, 2, &mut Seeded(5));
    sign(&mut response, &lone.them.clone(), Some(cookie));
    for _ in 0..5 {
        assert_eq!(lone.hear_from(from, &response), Err(Refusal::UnknownIndex));
    }
    assert_eq!(lone.hear_from(from, &response), Err(Refusal::SourceLimit));
    assert_eq!(knock(&mut lone, from, Some(cookie)), Answer::SourceLimit, "one share for both");
}

#[test]
fn an_ipv4_address_and_an_ipv6_network_of_64_bits_are_one_source() {
    let mut lone = Lone::new();
    let mut spend = |from: &str, messages: usize| {
        let cookie = Some(cookie_for(&mut lone, from));
        let mut last = Answer::Work;
        for _ in 0..messages {
            last = knock(&mut lone, from, cookie);
        }
        last
    };
    assert_eq!(spend("192.0.2.7:7", 6), Answer::SourceLimit);
    assert_eq!(spend("192.0.2.7:8", 1), Answer::SourceLimit, "another port is the same source");
    assert_eq!(spend("192.0.2.8:7", 5), Answer::Work);
    assert_eq!(spend("[2001:db8:0:1::1]:7", 6), Answer::SourceLimit);
    assert_eq!(spend("[2001:db8:0:1:ffff::2]:9", 1), Answer::SourceLimit);
    assert_eq!(spend("[2001:db8:0:2::1]:7", 5), Answer::Work);
}

#[test]
fn a_table_full_of_sources_serves_few_at_once_until_they_are_idle() {
    let mut lone = Lone::new();
    let sources: Vec<(String, [u8; 16])> = (0..400)
        .map(|n| format!("10.7.{}.{}:7", n / 200, n % 200))
        .map(|from| {
            let cookie = cookie_for(&mut lone, &from);
            (from, cookie)
        })
        .collect();
    let mut answers = |wait: Duration| {
        lone.wait(wait);
        lone.node.device.set_under_load(lone.now);
        let answers = sources.iter().map(|(from, cookie)| knock(&mut lone, from, Some(*cookie)));
        answers.filter(|answer| *answer == Answer::Work).count()
    };
    let first = answers(Duration::ZERO);
    assert!((4..=7).contains(&first), "{first} of 400: 4 places, and 3 turns at once");
    assert!(answers(Duration::ZERO) <= first, "the same ones again, no more");
    let later = answers(SECOND);
    assert!((4..=7).contains(&later), "{later}");
}

// The attack

/// Everything that an attacker can send, as fast as it likes, for 30 seconds.
#[test]
fn an_attack_of_30_seconds_keeps_no_honest_peer_out() {
    const BUDGET: u16 = 20;
    /// Addresses that the attacker receives at.
    const OWN: usize = 7;
    let mut pair = Pair::new();
    pair.b.device.set_handshake_budget(BUDGET);
    let b = *pair.b.public_key().as_bytes();
    let mut rng = Seeded(1);
    let mut cookies: Vec<(SocketAddr, Option<[u8; 16]>)> = (0..40)
        .map(|n| {
            let address = if n % 2 == 0 {
                format!("198.51.100.{n}:{}", 1000 + n)
            } else {
                format!("[2001:db8:{n}::{n}]:{}", 1000 + n)
            };
            (address.parse().unwrap(), None)
        })
        .collect();
    let mut connected = None;
    let end = Instant::from_secs(30);
    let mut asked = false;
    let mut worked = 0;
    while pair.now < end {
        pair.run(MILLISECOND);
        if pair.now >= Instant::from_secs(5) && !asked {
            asked = true;
            assert!(pair.a_sends(1).is_err());
        }
        if asked && connected.is_none() && pair.b.inbox.len() == 1 {
            connected = Some(pair.now);
        }
        let picked = rng.below(cookies.len() as u64) as usize;
        let (source, cookie) = cookies[picked];
        let (mut message, own) = match rng.below(8) {
            0..4 => (garbage(148, 1, &mut rng), true),
            4 => (garbage(92, 2, &mut rng), true),
            5 => (garbage(64, 3, &mut rng), false),
            6 => (garbage(32 + rng.below(200) as usize, 4, &mut rng), false),
            _ => {
                let recorded = pair.link.record.len() as u64;
                let recorded = pair.link.record.get(rng.below(recorded + 1) as usize);
                (recorded.map_or_else(Vec::new, |flight| flight.bytes.clone()), false)
            }
        };
        if own && rng.chance(90) {
            sign(&mut message, &b, cookie);
        }
        match pair.b.hear(pair.now, source, &message) {
            Ok(Heard::Reply(spoken)) if spoken.bytes[0] == 3 => {
                // The attacker receives at its own addresses, the others are spoofed.
                let cookie = open_cookie_reply(&spoken.bytes, &b, &message);
                cookies[picked].1 = cookie.filter(|_| picked < OWN);
            }
            Ok(other) => panic!("{other:?}"),
            Err(Refusal::StaticUndecryptable) => worked += 1,
            Err(_) => {}
        }
        // Another one that spoofs A's address, from which it gets no cookie.
        let mut spoofed = garbage(148, 1, &mut rng);
        sign(&mut spoofed, &b, None);
        let flight = Flight {
            due: pair.now,
            from: pair.a.address,
            to: pair.b.address,
            ecn: 0,
            bytes: spoofed,
        };
        pair.deliver(&flight);
    }
    let connected = connected.expect("the honest peer connects");
    assert!(connected <= Instant::from_secs(11), "{connected:?}");
    pair.a_sends(5).unwrap();
    pair.run(SECOND);
    assert_eq!(pair.b.inbox.len(), 2);
    let most = 31 * usize::from(BUDGET);
    assert!((1..=most).contains(&worked), "{worked} handshakes worked on");
}

#[test]
fn without_cookies_an_attack_costs_no_arithmetic_past_the_budget() {
    let mut lone = Lone::new();
    lone.node.device.set_handshake_budget(20);
    let mut worked = 0;
    for number in 0..30_000 {
        lone.wait(MILLISECOND);
        let from = format!("10.{}.{}.7:7", number % 250, number / 250);
        worked += usize::from(knock(&mut lone, &from, None) == Answer::Work);
    }
    assert_eq!(worked, 20, "30 s of load, of which the first 20 messages were not");
}
