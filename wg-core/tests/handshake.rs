//! The handshake between two devices (whitepaper section 5.4).

mod pair;

use std::time::Duration;

use pair::Pair;

#[test]
fn a_packet_that_waits_goes_out_with_the_first_session() {
    let mut pair = Pair::new();
    assert!(pair.a_sends(100).is_err());
    pair.run(Duration::from_secs(1));
    assert!(pair.a.is_up(pair.now, pair.ab));
    assert!(pair.b.is_up(pair.now, pair.ba));
    assert_eq!(pair.b.inbox.len(), 1);
    assert_eq!(pair.b.inbox[0].len(), 120);
    pair.b_sends(1).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.a.inbox.len(), 1);
    assert_eq!(pair.a.refusals, []);
    assert_eq!(pair.b.refusals, []);
}
