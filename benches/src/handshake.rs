//! Handshakes: initiation, response, and the empty packet that confirms the session, by both
//! sides in one thread.

use core::time::Duration;

use boringtun::noise::Tunn;
use wg_core::{PrivateKey, Received};

use crate::engine::Engine;
use crate::{A, B, Timed, packet, timed, tunn};

const A_KEY: [u8; 32] = [0x11; 32];
const B_KEY: [u8; 32] = [0x22; 32];

pub(crate) fn public(key: [u8; 32]) -> [u8; 32] {
    *PrivateKey::from_bytes(key).expect("a private key").public_key().as_bytes()
}

/// Two devices of ours, which know each other.
pub(crate) fn our_pair() -> (Engine, Engine) {
    (Engine::new(A_KEY, public(B_KEY), B), Engine::new(B_KEY, public(A_KEY), A))
}

/// A device of ours, at address A, and a tunnel of boringtun's, at B.
pub(crate) fn mixed_pair() -> (Engine, Tunn) {
    (Engine::new(A_KEY, public(B_KEY), B), tunn::new(B_KEY, public(A_KEY)))
}

/// Handshakes of ours, one after the other, between the same two devices.
pub struct Ours {
    a: Engine,
    b: Engine,
    packet: Vec<u8>,
}

impl Ours {
    /// Two devices.
    pub fn new() -> Self {
        let (a, b) = our_pair();
        Self { a, b, packet: packet(A, B, 64) }
    }

    /// Lets the session before grow too old, which is not timed, and makes another.
    pub fn handshake(&mut self) -> Timed {
        for side in [&mut self.a, &mut self.b] {
            side.pass(Duration::from_secs(200));
        }
        timed(1, || shake_ours(&mut self.a, &mut self.b, &self.packet))
    }
}

fn shake_ours(a: &mut Engine, b: &mut Engine, packet: &[u8]) {
    let mut initiation = a.initiate(packet);
    let Ok(Received::Reply(response)) = b.receive(&mut initiation) else {
        panic!("the initiation is refused")
    };
    let Ok(Received::Handshake(_)) = a.receive(response.datagram) else {
        panic!("the response is refused")
    };
    let Ok(Received::Keepalive(_)) = b.receive(a.sent()) else {
        panic!("the confirmation is refused")
    };
}

/// Handshakes of boringtun's.
pub struct Boringtun {
    buffers: [[u8; 256]; 3],
}

impl Boringtun {
    /// Buffers of the size that boringtun asks for.
    pub fn new() -> Self {
        Self { buffers: [[0; 256]; 3] }
    }

    /// Makes two tunnels, which is not timed, and a session between them. They are new each
    /// time because a tunnel's clock cannot be made to grow its session old.
    pub fn handshake(&mut self) -> Timed {
        let (mut a, mut b) = (tunn::new(A_KEY, public(B_KEY)), tunn::new(B_KEY, public(A_KEY)));
        let [first, second, third] = &mut self.buffers;
        timed(1, || {
            let initiation = tunn::initiate(&mut a, first);
            let response = tunn::receive(&mut b, initiation, second);
            let confirmation = tunn::receive(&mut a, response, third);
            assert!(tunn::receive(&mut b, confirmation, first).is_empty());
        })
    }
}

/// A session that our device initiated with boringtun.
pub(crate) fn we_initiate(ours: &mut Engine, theirs: &mut Tunn) {
    let mut buf = [0; 256];
    let response = tunn::receive(theirs, &ours.initiate(&packet(A, B, 64)), &mut buf);
    assert!(matches!(ours.receive(response), Ok(Received::Handshake(_))));
    assert!(tunn::receive(theirs, ours.sent(), &mut buf).is_empty());
}

/// A session that boringtun initiated with our device.
#[cfg(test)]
fn boringtun_initiates(ours: &mut Engine, theirs: &mut Tunn) {
    let (mut buf, mut confirmation) = ([0; 256], [0; 256]);
    let Ok(Received::Reply(response)) = ours.receive(tunn::initiate(theirs, &mut buf)) else {
        panic!("boringtun's initiation is refused")
    };
    let confirmation = tunn::receive(theirs, response.datagram, &mut confirmation);
    assert!(matches!(ours.receive(confirmation), Ok(Received::Keepalive(_))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets_cross(ours: &mut Engine, theirs: &mut Tunn) {
        for len in [20, 64, 100, 512, 1420] {
            let (mut buf, mut dst) = (vec![0; 16 + len + 31], vec![0; len + 64]);
            let sent = packet(A, B, len);
            buf[16..16 + len].copy_from_slice(&sent);
            let datagram = ours.seal(&mut buf, len).expect("a session");
            assert_eq!(tunn::open(theirs, datagram, &mut dst), sent);

            let sent = packet(B, A, len);
            match ours.receive(tunn::seal(theirs, &sent, &mut dst)) {
                Ok(Received::Packet { packet, .. }) => assert_eq!(packet, sent),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn both_sides_understand_each_other_in_both_roles() {
        let (mut ours, mut theirs) = mixed_pair();
        we_initiate(&mut ours, &mut theirs);
        packets_cross(&mut ours, &mut theirs);

        let (mut ours, mut theirs) = mixed_pair();
        boringtun_initiates(&mut ours, &mut theirs);
        packets_cross(&mut ours, &mut theirs);
    }

    #[test]
    fn our_devices_agree_again_and_again() {
        let mut ours = Ours::new();
        for _ in 0..20 {
            ours.handshake();
        }
    }
}
