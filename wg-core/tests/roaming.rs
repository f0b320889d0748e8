//! A peer's endpoint follows what it authenticates, and nothing else (whitepaper section 2.1).

mod oracle;
mod pair;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oracle::{ATTACKER, Heard, Lone, cookie_reply, sign};
use pair::{A_OUTER, Pair};
use wg_core::{Event, INITIATION_LEN, Reason, Refusal, Source};

const ELSEWHERE: &str = "198.51.100.7:7777";

#[test]
fn the_endpoint_moves_with_data_a_keepalive_an_initiation_and_a_response() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let (data, keepalive) = (session.seal(&lone.incoming(1)), session.seal(&[]));
    let initiation = lone.initiate().bytes;
    for (from, message) in
        [("198.51.100.7:1", data), ("198.51.100.7:2", keepalive), ("[2001:db8::7]:2", initiation)]
    {
        lone.wait(Duration::from_secs(1));
        assert!(lone.hear_from(from, &message).is_ok());
        assert_eq!(lone.endpoint(), from);
        assert_eq!(lone.node.news(), [Event::EndpointMoved(lone.peer)]);
        let packet = lone.outgoing(1);
        assert_eq!(lone.node.seal(lone.now, &packet).unwrap().to, from.parse().unwrap());
    }

    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let (response, _) = lone.us.respond(&initiation, &[0; 32], [0x91; 32], 1);
    assert_eq!(lone.hear_from(ELSEWHERE, &response), Ok(Heard::Handshake(lone.peer)));
    assert_eq!(lone.endpoint(), ELSEWHERE);
    assert_eq!(lone.speak()[0].to, ELSEWHERE.parse().unwrap(), "the confirmation goes there");
}

#[test]
fn a_packet_in_the_previous_session_moves_the_endpoint_too() {
    let mut lone = Lone::new();
    let mut first = lone.called();
    lone.wait(Duration::from_secs(1));
    lone.called();
    let late = first.seal(&[]);
    lone.hear_from(ELSEWHERE, &late).unwrap();
    assert_eq!(lone.endpoint(), ELSEWHERE);
}

#[test]
fn an_authentic_packet_with_a_bad_inside_still_tells_where_the_peer_is() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let bad = session.seal(&[0x45; 20]);
    assert_eq!(lone.hear_from(ELSEWHERE, &bad), Err(Refusal::MalformedInner));
    assert_eq!(lone.endpoint(), ELSEWHERE);
}

#[test]
fn a_replayed_packet_from_a_new_address_steals_no_endpoint() {
    let mut lone = Lone::new();
    let initiation = lone.initiate().bytes;
    lone.hear(&initiation).unwrap();
    lone.wait(Duration::from_secs(1));
    let mut session = lone.called();
    let (data, keepalive) = (session.seal(&lone.incoming(1)), session.seal(&[]));
    lone.hear(&data).unwrap();
    lone.hear(&keepalive).unwrap();
    lone.wait(Duration::from_secs(1));
    for message in [initiation, data, keepalive] {
        assert!(lone.hear_from(ATTACKER, &message).is_err());
        assert_eq!(lone.endpoint(), A_OUTER);
    }
}

#[test]
fn nothing_forged_steals_an_endpoint() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    lone.wait(Duration::from_secs(180));
    let expired = session.seal(&[]);
    let sent = lone.initiation();
    let (mut response, _) = lone.us.respond(&sent, &[0; 32], [0x91; 32], 1);
    response[50] ^= 1;
    sign(&mut response, &lone.them.clone(), None);
    let mut initiation = lone.initiate().bytes;
    initiation[100] ^= 1;
    sign(&mut initiation, &lone.them.clone(), None);
    for message in [expired, response, initiation] {
        assert!(lone.hear_from(ATTACKER, &message).is_err());
        assert_eq!(lone.endpoint(), A_OUTER);
    }
}

/// The key of a cookie reply follows from a public key: whoever saw the message can make one.
#[test]
fn a_cookie_reply_steals_no_endpoint_and_moves_no_timer() {
    let mut lone = Lone::new();
    let initiation = lone.initiation();
    let before = lone.view();
    let forged = cookie_reply(&lone.us.public, &initiation, [7; 16]);
    assert_eq!(lone.hear_from(ATTACKER, &forged), Ok(Heard::Cookie(lone.peer)));
    assert_eq!(lone.view(), before);
    assert_eq!(lone.endpoint(), A_OUTER);
}

#[test]
fn a_peer_without_an_endpoint_is_reached_where_it_called_from() {
    let mut pair = Pair::new();
    assert_eq!(pair.b.status(pair.now, pair.ba).endpoint, None);
    assert!(pair.a_sends(1).is_err());
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.b.status(pair.now, pair.ba).endpoint, Some(A_OUTER.parse().unwrap()));
    pair.b_sends(1).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.a.inbox.len(), 1);
}

#[test]
fn a_later_handshake_goes_to_the_learned_address() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let data = session.seal(&lone.incoming(1));
    lone.hear_from(ELSEWHERE, &data).unwrap();
    lone.wait(Duration::from_secs(200));
    let packet = lone.outgoing(1);
    assert!(lone.node.seal(lone.now, &packet).is_err());
    assert_eq!(lone.speak()[0].to, ELSEWHERE.parse().unwrap());
}

#[test]
fn traffic_survives_a_change_of_address_on_either_side() {
    let mut pair = Pair::connected();
    for round in 0..4u16 {
        let moved: SocketAddr =
            format!("203.0.113.{}:{}", 10 + round, 1000 + round).parse().unwrap();
        if round % 2 == 0 {
            pair.a.address = moved;
            pair.a_sends(5).unwrap();
        } else {
            pair.b.address = moved;
            pair.b_sends(5).unwrap();
        }
        pair.run(Duration::from_secs(1));
        pair.a_sends(5).unwrap();
        pair.b_sends(5).unwrap();
        pair.run(Duration::from_secs(1));
    }
    assert_eq!((pair.a.inbox.len(), pair.b.inbox.len()), (6, 6));
    assert_eq!(pair.a.sent_of(1).len(), 1, "in the same session");
}

#[test]
fn the_address_that_received_is_the_one_that_answers_until_a_timer_doubts_it() {
    let local: IpAddr = "192.0.2.200".parse().unwrap();
    let mut lone = Lone::new();
    let mut session = lone.called();
    let data = session.seal(&lone.incoming(1));
    let source = Source { local: Some(local), ..Source::from(lone.home) };
    lone.node.hear(lone.now, source, &data).unwrap();

    let packet = lone.outgoing(1);
    let mut buf = [&[0; 16], &packet[..], &[0; 31]].concat();
    let sealed = lone.node.device.seal(lone.now, &mut buf, packet.len()).unwrap();
    assert_eq!(sealed.to.local, Some(local));

    // Unanswered for 15 s: a new handshake, from any address, to the same endpoint.
    let (at, reason) = lone.node.device.poll_timeout().unwrap();
    assert_eq!(reason, Reason::NewHandshake);
    lone.now = at;
    lone.node.device.handle_timeout(at);
    let mut buf = [0; INITIATION_LEN];
    let (clock, rng) = (&mut lone.node.clock, &mut lone.node.rng);
    let sent = lone.node.device.poll_transmit(at, clock, rng, &mut buf).unwrap();
    assert_eq!((sent.to.local, sent.to.remote), (None, lone.home));
    let initiation = sent.datagram.to_vec();

    // The answer names an address again; a retransmit after that forgets it.
    let (response, _) = lone.us.respond(&initiation, &[0; 32], [0x91; 32], 1);
    lone.node.hear(lone.now, source, &response).unwrap();
    let mut buf = [&[0; 16], &packet[..], &[0; 31]].concat();
    let sealed = lone.node.device.seal(lone.now, &mut buf, packet.len()).unwrap();
    assert_eq!(sealed.to.local, Some(local));
    lone.speak();
    lone.wait(Duration::from_secs(180));
    assert!(lone.node.seal(lone.now, &packet).is_err());
    lone.speak();
    lone.wait(Duration::from_millis(5_333));
    while lone.node.device.poll_timeout().is_some_and(|(at, _)| at <= lone.now) {
        lone.node.device.handle_timeout(lone.now);
    }
    let mut buf = [0; INITIATION_LEN];
    let (clock, rng) = (&mut lone.node.clock, &mut lone.node.rng);
    let sent = lone.node.device.poll_transmit(lone.now, clock, rng, &mut buf).unwrap();
    assert_eq!((sent.to.local, sent.to.remote), (None, lone.home));
}

#[test]
fn a_set_endpoint_is_used_at_once_and_moves_again_by_itself() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    lone.node.device.set_endpoint(lone.now, lone.peer, ELSEWHERE.parse().unwrap());
    let packet = lone.outgoing(1);
    assert_eq!(lone.node.seal(lone.now, &packet).unwrap().to, ELSEWHERE.parse().unwrap());
    let data = session.seal(&[]);
    lone.hear(&data).unwrap();
    assert_eq!(lone.endpoint(), A_OUTER);
}

#[test]
fn a_packet_from_where_the_peer_is_already_is_no_news() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    for _ in 0..3 {
        let data = session.seal(&[]);
        lone.hear(&data).unwrap();
    }
    assert_eq!(lone.node.news(), []);
}
