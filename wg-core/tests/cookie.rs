//! The two MACs and the cookies behind the second (whitepaper sections 5.3, 5.4.4 and 5.4.7).

mod oracle;
mod pair;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oracle::{
    ATTACKER, Heard, Lone, Party, Stuck, cookie_reply, mac, open_cookie_reply, receiver_of,
    sender_of, sign,
};
use pair::{A_OUTER, Pair, private_key};
use wg_core::{PublicKey, Received, Refusal};

const SECOND: Duration = Duration::from_secs(1);

/// An initiation of ours with or without a cookie, sent from somewhere to an engine under load.
fn knock(
    lone: &mut Lone,
    from: &str,
    cookie: Option<[u8; 16]>,
) -> (Vec<u8>, Result<Heard, Refusal>) {
    let mut initiation = lone.initiate().bytes;
    sign(&mut initiation, &lone.them.clone(), cookie);
    lone.node.device.set_under_load(lone.now);
    let heard = lone.hear_from(from, &initiation);
    (initiation, heard)
}

/// The cookie that the engine gives to somebody there.
fn cookie_for(lone: &mut Lone, from: &str) -> [u8; 16] {
    let (initiation, heard) = knock(lone, from, None);
    let reply = heard.unwrap().reply();
    open_cookie_reply(&reply, &lone.them, &initiation).expect("a cookie for us")
}

fn is_cookie_reply(heard: &Result<Heard, Refusal>) -> bool {
    matches!(heard, Ok(Heard::Reply(spoken)) if spoken.bytes[0] == 3)
}

fn is_response(heard: &Result<Heard, Refusal>) -> bool {
    matches!(heard, Ok(Heard::Reply(spoken)) if spoken.bytes[0] == 2)
}

/// The cookie that mac2 of a message was made with is this one.
fn is_made_with(message: &[u8], cookie: [u8; 16]) -> bool {
    let at = message.len() - 16;
    message[at..] == mac(&cookie, &[&message[..at]])
}

fn has_no_mac2(message: &[u8]) -> bool {
    message[message.len() - 16..] == [0; 16]
}

// mac1

#[test]
fn every_bit_of_mac1_and_of_what_it_covers_counts() {
    let mut lone = Lone::new();
    let initiation = lone.initiate().bytes;
    let sent = lone.initiation();
    let (response, _) = lone.us.respond(&sent, &[0; 32], [0x91; 32], 1);
    let before = lone.view();
    for message in [&initiation, &response] {
        // The first four bytes say what it is at all.
        for bit in 8 * 4..8 * (message.len() - 16) {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(lone.hear(&flipped), Err(Refusal::Mac1Mismatch), "bit {bit}");
        }
    }
    assert_eq!(lone.view(), before);
    assert!(is_response(&lone.hear(&initiation)));
}

#[test]
fn a_message_for_another_public_key_is_refused_before_any_arithmetic() {
    let mut lone = Lone::new();
    let other = Party::new(9);
    let draft = lone.draft();
    let initiation = lone.us.initiate(&other.public, &draft).bytes;
    assert_eq!(lone.hear(&initiation), Err(Refusal::Mac1Mismatch));

    // Under load too: it is worth no cookie.
    lone.node.device.set_under_load(lone.now);
    assert_eq!(lone.hear(&initiation), Err(Refusal::Mac1Mismatch));
    assert_eq!(lone.node.device.refusals().count(Refusal::Mac1Mismatch), 2);
}

// mac2, checked

#[test]
fn mac2_is_ignored_while_there_is_no_load() {
    let mut lone = Lone::new();
    let mut initiation = lone.initiate().bytes;
    initiation[132..].fill(0x99);
    assert!(is_response(&lone.hear(&initiation)));
    lone.wait(SECOND);
    let sent = lone.another_initiation_after(Duration::from_secs(5));
    let (mut response, _) = lone.us.respond(&sent, &[0; 32], [0x91; 32], 1);
    response[76..].fill(0x99);
    assert_eq!(lone.hear(&response), Ok(Heard::Handshake(lone.peer)));
}

#[test]
fn under_load_an_initiation_without_a_cookie_gets_one_and_nothing_else_happens() {
    let mut lone = Lone::new();
    let before = lone.view();
    let (initiation, heard) = knock(&mut lone, "198.51.100.7:77", None);
    let Ok(Heard::Reply(spoken)) = heard else { panic!("{heard:?}") };
    assert_eq!((spoken.bytes.len(), &spoken.bytes[..4]), (64, &[3, 0, 0, 0][..]));
    assert_eq!((spoken.peer, spoken.traffic_class), (None, 0));
    assert_eq!(spoken.to, "198.51.100.7:77".parse().unwrap(), "to the source, peer or not");
    assert_eq!(receiver_of(&spoken.bytes), sender_of(&initiation));
    assert!(open_cookie_reply(&spoken.bytes, &lone.them, &initiation).is_some());
    assert_eq!(lone.view(), before);
    // It was not even read: its timestamp is free.
    lone.wait(SECOND);
    assert!(is_response(&lone.hear(&initiation)));
}

#[test]
fn under_load_a_cookie_opens_the_door_for_both_kinds_of_messages() {
    let mut lone = Lone::new();
    let cookie = cookie_for(&mut lone, A_OUTER);
    let (_, heard) = knock(&mut lone, A_OUTER, Some(cookie));
    assert!(is_response(&heard));

    lone.wait(Duration::from_secs(6));
    let sent = lone.initiation();
    let (mut response, _) = lone.us.respond(&sent, &[0; 32], [0x91; 32], 1);
    lone.node.device.set_under_load(lone.now);
    let before = lone.view();
    let heard = lone.hear(&response);
    assert!(is_cookie_reply(&heard));
    assert_eq!(lone.view(), before);
    let reply = heard.unwrap().reply();
    let for_response = open_cookie_reply(&reply, &lone.them, &response).unwrap();
    assert_eq!(for_response, cookie, "one cookie for one source");
    sign(&mut response, &lone.them.clone(), Some(cookie));
    assert_eq!(lone.hear(&response), Ok(Heard::Handshake(lone.peer)));
}

#[test]
fn every_bit_of_mac2_counts_under_load() {
    let mut lone = Lone::new();
    let cookie = cookie_for(&mut lone, A_OUTER);
    let mut initiation = lone.initiate().bytes;
    sign(&mut initiation, &lone.them.clone(), Some(cookie));
    for bit in 8 * 132..8 * 148 {
        let mut flipped = initiation.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        lone.node.device.set_under_load(lone.now);
        assert!(is_cookie_reply(&lone.hear(&flipped)), "bit {bit}");
    }
    assert!(is_response(&lone.hear(&initiation)));
}

#[test]
fn a_cookie_is_the_mac_of_address_and_port_under_our_secret() {
    let mut lone = Lone::new();
    for from in ["192.0.2.7:0", "192.0.2.7:51820", "[2001:db8::7]:51820", "[::ffff:1.2.3.4]:5"] {
        let source: SocketAddr = from.parse().unwrap();
        let initiation = lone.initiate().bytes;
        let mut buf = initiation.clone();
        lone.node.device.set_under_load(lone.now);
        let received =
            lone.node.device.handle_datagram(lone.now, &mut Stuck(0x5a), source.into(), &mut buf);
        let Ok(Received::Reply(reply)) = received else { panic!() };
        let cookie = open_cookie_reply(reply.datagram, &lone.them, &initiation).unwrap();
        let address = match source.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let secret = [0x5a; 32];
        assert_eq!(cookie, mac(&secret, &[&address, &source.port().to_be_bytes()]), "{from}");
    }
}

#[test]
fn a_cookie_is_good_for_its_own_address_and_port_only() {
    let mut lone = Lone::new();
    let cookie = cookie_for(&mut lone, "192.0.2.1:1111");
    for from in ["192.0.2.1:1112", "192.0.2.2:1111", "[2001:db8::1]:1111", "[::ffff:c000:201]:1111"]
    {
        let (_, heard) = knock(&mut lone, from, Some(cookie));
        assert!(is_cookie_reply(&heard), "{from}");
        assert_ne!(cookie_for(&mut lone, from), cookie, "{from}");
    }
    assert!(is_response(&knock(&mut lone, "192.0.2.1:1111", Some(cookie)).1));
}

#[test]
fn our_secret_is_replaced_when_it_is_used_at_120_seconds() {
    let mut lone = Lone::new();
    let cookie = cookie_for(&mut lone, A_OUTER);
    lone.wait(Duration::from_micros(119_999_999));
    assert_eq!(cookie_for(&mut lone, A_OUTER), cookie);
    assert!(is_response(&knock(&mut lone, A_OUTER, Some(cookie)).1));
    lone.wait(Duration::from_micros(1));
    assert!(is_cookie_reply(&knock(&mut lone, A_OUTER, Some(cookie)).1));
    let renewed = cookie_for(&mut lone, A_OUTER);
    assert_ne!(renewed, cookie);
    lone.wait(SECOND);
    assert!(is_response(&knock(&mut lone, A_OUTER, Some(renewed)).1));
}

#[test]
fn each_cookie_reply_has_a_nonce_of_its_own() {
    let mut lone = Lone::new();
    let nonces: std::collections::HashSet<Vec<u8>> = (0..50)
        .map(|_| knock(&mut lone, A_OUTER, None).1.unwrap().reply()[8..32].to_vec())
        .collect();
    assert_eq!(nonces.len(), 50);
}

// Cookies received

impl Lone {
    fn another_initiation_after(&mut self, wait: Duration) -> Vec<u8> {
        self.wait(wait);
        self.another_initiation()
    }
}

#[test]
fn a_received_cookie_is_used_by_the_next_retry_and_not_before() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    assert!(has_no_mac2(&initiation));
    let before = lone.view();
    let reply = cookie_reply(&lone.us.public, &initiation, [7; 16]);
    assert_eq!(lone.hear(&reply), Ok(Heard::Cookie(lone.peer)));
    assert_eq!(lone.view(), before, "no timer, no event, nothing sent at once");

    let (at, _) = lone.node.device.poll_timeout().unwrap();
    lone.now = at;
    lone.node.device.handle_timeout(at);
    let retry = lone.speak().remove(0).bytes;
    assert!(is_made_with(&retry, [7; 16]));
    let mut signed = retry.clone();
    sign(&mut signed, &lone.us.public, Some([7; 16]));
    assert_eq!(signed, retry);
}

#[test]
fn a_received_cookie_is_used_below_115_seconds() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let reply = cookie_reply(&lone.us.public, &initiation, [7; 16]);
    lone.hear(&reply).unwrap();
    let retry = lone.another_initiation_after(Duration::from_micros(114_999_999));
    assert!(is_made_with(&retry, [7; 16]));

    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let reply = cookie_reply(&lone.us.public, &initiation, [7; 16]);
    lone.hear(&reply).unwrap();
    let retry = lone.another_initiation_after(Duration::from_secs(115));
    assert!(has_no_mac2(&retry));
    let retry = lone.another_initiation_after(Duration::from_secs(5));
    assert!(has_no_mac2(&retry), "and it does not come back");
}

#[test]
fn a_message_gets_one_cookie() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let first = cookie_reply(&lone.us.public, &initiation, [7; 16]);
    let second = cookie_reply(&lone.us.public, &initiation, [8; 16]);
    assert_eq!(lone.hear(&first), Ok(Heard::Cookie(lone.peer)));
    for late in [&first, &second] {
        assert_eq!(lone.hear(late), Err(Refusal::UnexpectedCookie));
    }
    let retry = lone.another_initiation_after(Duration::from_secs(5));
    assert!(is_made_with(&retry, [7; 16]));
    let third = cookie_reply(&lone.us.public, &retry, [9; 16]);
    assert_eq!(lone.hear(&third), Ok(Heard::Cookie(lone.peer)), "a new message, a new cookie");
    let retry = lone.another_initiation_after(Duration::from_secs(5));
    assert!(is_made_with(&retry, [9; 16]));
}

#[test]
fn a_cookie_reply_that_is_not_for_our_last_message_is_refused() {
    let mut lone = Lone::new();
    let first = lone.initiation();
    let second = lone.another_initiation_after(Duration::from_secs(5));
    let before = lone.view();

    let stale = cookie_reply(&lone.us.public, &first, [7; 16]);
    assert_eq!(lone.hear(&stale), Err(Refusal::UnknownIndex), "its index is gone");
    let mut mixed = first.clone();
    mixed[4..8].copy_from_slice(&second[4..8]);
    let wrong_mac1 = cookie_reply(&lone.us.public, &mixed, [7; 16]);
    assert_eq!(lone.hear(&wrong_mac1), Err(Refusal::CookieUndecryptable));
    let wrong_sender = cookie_reply(&Party::new(9).public, &second, [7; 16]);
    assert_eq!(lone.hear(&wrong_sender), Err(Refusal::CookieUndecryptable));
    let good = cookie_reply(&lone.us.public, &second, [7; 16]);
    for bit in 8 * 8..8 * 64 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(lone.hear_from(ATTACKER, &flipped), Err(Refusal::CookieUndecryptable));
    }
    assert_eq!(lone.view(), before);
    let retry = lone.another_initiation_after(Duration::from_secs(5));
    assert!(has_no_mac2(&retry));
}

#[test]
fn a_refused_cookie_reply_does_not_use_up_the_one_that_is_awaited() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let mut forged = cookie_reply(&lone.us.public, &initiation, [6; 16]);
    forged[40] ^= 1;
    assert_eq!(lone.hear(&forged), Err(Refusal::CookieUndecryptable));
    let good = cookie_reply(&lone.us.public, &initiation, [7; 16]);
    assert_eq!(lone.hear(&good), Ok(Heard::Cookie(lone.peer)));
}

#[test]
fn a_cookie_for_a_response_is_used_by_the_next_response() {
    let mut lone = Lone::new();
    let initiation = lone.initiate().bytes;
    let response = lone.hear(&initiation).unwrap().reply();
    assert!(has_no_mac2(&response));
    let before = lone.view();
    let reply = cookie_reply(&lone.us.public, &response, [7; 16]);
    assert_eq!(lone.hear(&reply), Ok(Heard::Cookie(lone.peer)));
    assert_eq!(lone.view(), before);
    lone.wait(SECOND);
    let initiation = lone.initiate().bytes;
    let response = lone.hear(&initiation).unwrap().reply();
    assert!(is_made_with(&response, [7; 16]));
}

#[test]
fn one_peers_cookie_is_not_used_for_another() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let reply = cookie_reply(&lone.us.public, &initiation, [7; 16]);
    lone.hear(&reply).unwrap();
    let public = PublicKey::from_bytes(Party::new(3).public);
    let other = lone.node.meet(public, &[], Some(A_OUTER));
    lone.node.device.set_persistent_keepalive(lone.now, other, 5);
    let spoken = lone.speak();
    assert_eq!(spoken[0].peer, Some(other));
    assert!(has_no_mac2(&spoken[0].bytes));
}

#[test]
fn under_load_a_peer_connects_by_its_first_retry() {
    let mut pair = Pair::new();
    pair.b.device.set_handshake_budget(0);
    assert!(pair.a_sends(1).is_err());
    pair.run(SECOND);
    assert!(!pair.a.is_up(pair.now, pair.ab));
    assert_eq!(pair.b.sent_of(3).len(), 1);
    pair.run(Duration::from_secs(5));
    assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba));
    assert_eq!((pair.a.sent_of(1).len(), pair.b.inbox.len()), (2, 1));
}

#[test]
fn both_sides_under_load_still_connect() {
    let mut pair = Pair::new();
    pair.a.device.set_handshake_budget(0);
    pair.b.device.set_handshake_budget(0);
    assert!(pair.a_sends(1).is_err());
    pair.run(Duration::from_secs(20));
    assert!(pair.a.is_up(pair.now, pair.ab) && pair.b.is_up(pair.now, pair.ba));
    assert_eq!(pair.b.inbox.len(), 1);
}

#[test]
fn a_new_private_key_changes_mac1_and_the_key_of_cookie_replies() {
    let mut lone = Lone::new();
    let old = lone.initiate().bytes;
    lone.node.device.set_private_key(lone.now, Some(&private_key(9)));
    assert_eq!(lone.hear(&old), Err(Refusal::Mac1Mismatch));
    lone.them = *private_key(9).public_key().as_bytes();
    cookie_for(&mut lone, A_OUTER);
}
