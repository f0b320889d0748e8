//! What no test can reach from outside: counters that take centuries to use up.

extern crate std;

use std::boxed::Box;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;

use super::*;
use crate::constants::{REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES};
use crate::endpoint::Source;
use crate::keys::{PrivateKey, PublicKey};
use crate::tai64n::Increasing;

/// Two devices with a session that the first one initiated.
struct Session {
    devices: [Device<'static>; 2],
    rng: ChaCha20Rng,
    now: Instant,
}

fn address(last: u8) -> core::net::SocketAddr {
    ([192, 0, 2, last], 51_820).into()
}

/// An IPv4 packet from host `from` to host `to`, with room around it.
fn room(from: u8, to: u8) -> [u8; 80] {
    let mut buf = [0; 80];
    buf[16] = 0x45;
    buf[19] = 20;
    buf[28..32].copy_from_slice(&[10, 0, 0, from]);
    buf[32..36].copy_from_slice(&[10, 0, 0, to]);
    buf
}

impl Session {
    fn new() -> Self {
        let rng = ChaCha20Rng::from_seed([3; 32]);
        let devices = [1, 2].map(|key: u8| {
            let mut device = Device::new(Box::leak(Box::new(Storage::<1, 1>::new())));
            device.set_private_key(Instant::ZERO, PrivateKey::from_bytes([key; 32]).as_ref());
            device
        });
        let mut session = Self { devices, rng, now: Instant::ZERO };
        let keys = session.devices.each_ref().map(|device| device.public_key().unwrap());
        for (device, key, last) in [(0, keys[1], 2), (1, keys[0], 1)] {
            let device = &mut session.devices[device];
            let peer = device.add_peer(&key).unwrap();
            let prefix = std::format!("10.0.0.{last}/32").parse().unwrap();
            device.add_allowed_ip(peer, prefix).unwrap();
            device.set_endpoint(Instant::ZERO, peer, address(last));
        }
        assert!(session.send(0).is_err());
        let mut buf = session.initiation(0).unwrap();
        let [first, second] = &mut session.devices;
        let from = Source::from(address(1));
        let received =
            second.handle_datagram(session.now, &mut session.rng, from, &mut buf).unwrap();
        let Received::Reply(response) = received else { panic!("no response") };
        let from = Source::from(address(2));
        first.handle_datagram(session.now, &mut session.rng, from, response.datagram).unwrap();
        session.send(0).unwrap();
        // After the 5 s in which nothing is initiated again, and before any key is old.
        session.now = Instant::from_secs(10);
        session
    }

    /// Sends a packet from one of the two, and delivers it to the other.
    fn send(&mut self, from: usize) -> Result<(), SendError> {
        let (last, other) = ([1, 2][from], [2, 1][from]);
        let mut buf = room(last, other);
        let sealed = self.devices[from].seal(self.now, &mut buf, 20)?;
        let source = Source::from(address(last));
        let receiver = &mut self.devices[1 - from];
        let result = receiver.handle_datagram(self.now, &mut self.rng, source, sealed.datagram);
        assert!(matches!(result, Ok(Received::Packet { .. })), "{result:?}");
        Ok(())
    }

    /// The initiation that a device has to send, if it has one.
    fn initiation(&mut self, of: usize) -> Option<[u8; INITIATION_LEN]> {
        let mut buf = [0; INITIATION_LEN];
        let mut clock = Increasing::new(|| Some(core::time::Duration::from_secs(1)), None);
        let device = &mut self.devices[of];
        loop {
            let transmit = device.poll_transmit(self.now, &mut clock, &mut self.rng, &mut buf)?;
            if transmit.datagram.len() == INITIATION_LEN {
                return Some(buf);
            }
        }
    }

    fn set_counter(&mut self, of: usize, counter: u64) {
        let peer = self.devices[of].peers.get_mut(0).unwrap();
        peer.keypairs.current_mut().unwrap().1.set_counter(counter);
    }
}

#[test]
fn a_session_is_replaced_when_its_counter_passes_2_to_the_60_in_either_role() {
    for role in [0, 1] {
        let mut session = Session::new();
        session.set_counter(role, REKEY_AFTER_MESSAGES - 1);
        session.send(role).unwrap();
        assert!(session.initiation(role).is_none(), "2^60 messages were sent, and no more");
        session.send(role).unwrap();
        assert!(session.initiation(role).is_some());
    }
}

#[test]
fn the_last_counter_is_sent_and_received_and_the_next_asks_for_a_session() {
    let mut session = Session::new();
    session.set_counter(0, REJECT_AFTER_MESSAGES - 1);
    session.send(0).unwrap();
    assert!(matches!(session.send(0), Err(SendError::NoSession(_))));
    assert!(session.initiation(0).is_some());
}

/// 4,000 public keys with the same first 28 bytes.
#[cfg(feature = "alloc")]
fn alike() -> impl Iterator<Item = PublicKey> {
    (0..4_000_u32).map(|number| {
        let mut bytes = [7; 32];
        bytes[28..].copy_from_slice(&number.to_be_bytes());
        PublicKey::from_bytes(bytes)
    })
}

#[cfg(feature = "alloc")]
fn probes_of<T>(work: impl FnOnce() -> T) -> (T, u32) {
    let before = crate::index::PROBES.get();
    let done = work();
    (done, crate::index::PROBES.get() - before)
}

#[cfg(feature = "alloc")]
#[test]
fn public_keys_that_share_their_first_bytes_are_found_in_a_few_probes() {
    let mut device = Device::growing();
    let key = |byte| PrivateKey::from_bytes([byte; 32]);
    device.set_private_key(Instant::ZERO, key(1).as_ref());
    let ((), probes) = probes_of(|| alike().for_each(|key| assert!(device.add_peer(&key).is_ok())));
    assert!(probes < 20 * 4_000, "{probes} probes to add them, and to grow");
    // A new private key moves them all; without one, they stay where they are.
    for private in [key(1), key(2), None, key(3)] {
        let ((), moved) = probes_of(|| device.set_private_key(Instant::ZERO, private.as_ref()));
        assert!(moved < 4 * 4_000, "{moved} probes to move them");
        let (found, probes) =
            probes_of(|| alike().filter_map(|key| device.find_peer(&key)).count());
        assert_eq!(found, 4_000);
        assert!(probes < 4 * 4_000, "{probes} probes to find them");
    }
    let ((), probes) = probes_of(|| device.retain_peers([]));
    assert_eq!(device.peers().count(), 0);
    assert!(probes < 20 * 4_000, "{probes} probes to remove them");
}

#[test]
fn where_a_public_key_stands_in_the_table_follows_from_the_private_key() {
    let place = |byte| {
        let mut identity = Box::new(Identity::NONE);
        assert!(identity.set(PrivateKey::from_bytes([byte; 32]).as_ref()));
        let before = configure::hash_of(&identity, &PublicKey::from_bytes([7; 32]));
        identity.set(None);
        assert_eq!(configure::hash_of(&identity, &PublicKey::from_bytes([7; 32])), before);
        before
    };
    assert_eq!(place(1), place(1));
    assert_ne!(place(1), place(2));
}
