//! What is secret is wiped in place when it ends.
#![cfg(target_os = "linux")]

mod oracle;
mod pair;

use std::time::Duration;

use oracle::{Lone, sender_of};
use pair::{B_OUTER, Node, Room, node, private_key};
use wg_core::{Device, Instant, PrivateKey};

const SECOND: Duration = Duration::from_secs(1);

/// This process's own memory, read through the file that shows it: no unsafe code is needed,
/// and the bytes are what is really there.
struct Memory {
    file: std::fs::File,
    at: u64,
    len: usize,
}

impl Memory {
    fn of(room: &Room) -> Self {
        let file = std::fs::File::open("/proc/self/mem").unwrap();
        let at = std::ptr::from_ref(room).addr() as u64;
        Self { file, at, len: size_of_val(room) }
    }

    fn holds(&self, secret: &[u8]) -> bool {
        use std::os::unix::fs::FileExt;
        let mut bytes = vec![0; self.len];
        self.file.read_exact_at(&mut bytes, self.at).unwrap();
        bytes.windows(8).any(|window| secret.windows(8).any(|part| part == window))
    }
}

/// A pair of engine and oracle whose memory can be read.
fn watched() -> (Lone, Memory) {
    let room = Box::leak(Box::new(Room::new()));
    let memory = Memory::of(room);
    let mut device = Device::new(room);
    device.set_private_key(Instant::ZERO, Some(&private(SECRET)));
    (Lone::with(Node { device, ..node(2, B_OUTER) }), memory)
}

const SECRET: [u8; 32] = [
    0xb8, 0xe7, 0x09, 0x95, 0x1d, 0xf3, 0xc2, 0x8a, 0x6f, 0xd4, 0x03, 0x9e, 0x57, 0xab, 0x10, 0xec,
    0x84, 0x3b, 0xf9, 0x62, 0xd1, 0x0e, 0xa6, 0x7c, 0x91, 0x28, 0xce, 0xb3, 0x15, 0xff, 0x46, 0x5a,
];
const PRESHARED: [u8; 32] = [
    0xf0, 0x1b, 0x8d, 0xa2, 0x36, 0xc9, 0x7e, 0x05, 0xdb, 0x93, 0x4c, 0xe8, 0x21, 0xb7, 0x6a, 0x9d,
    0x00, 0xfc, 0x53, 0xae, 0x18, 0xc5, 0x8f, 0x72, 0xe1, 0x0b, 0xd6, 0x3f, 0x99, 0xa4, 0x67, 0xba,
];

fn private(bytes: [u8; 32]) -> PrivateKey {
    PrivateKey::from_bytes(bytes).unwrap()
}

#[test]
fn nothing_secret_stays_in_the_storage_of_a_device_that_was_dropped() {
    let (mut lone, memory) = watched();
    lone.set_preshared(PRESHARED);
    let first = lone.called();
    lone.wait(Duration::from_secs(180));
    let initiation = lone.initiation();
    let next = lone.responded();
    let cookie = [
        0x0d, 0x33, 0x9b, 0xe4, 0x52, 0xfa, 0x6c, 0x01, 0xc7, 0x88, 0x2e, 0xb5, 0x40, 0xd9, 0x13,
        0x7f,
    ];
    let response = lone.initiate();
    let response = {
        lone.wait(SECOND);
        lone.hear(&response.bytes).unwrap().reply()
    };
    let reply = oracle::cookie_reply(&lone.us.public, &response, cookie);
    lone.hear(&reply).unwrap();
    let static_static = oracle::dh(&lone.us.private, &lone.them);
    let ephemeral = *lone.node.device.public_key().unwrap().as_bytes();
    assert!(memory.holds(&ephemeral), "the watch sees what is there");
    let secrets = [
        ("private key", &SECRET[..]),
        ("pre-shared key", &PRESHARED),
        ("static-static secret", &static_static),
        ("sending key", &first.receive),
        ("receiving key", &first.send),
        ("cookie", &cookie),
    ];
    for (name, secret) in &secrets {
        assert!(memory.holds(secret), "{name} is in use");
    }
    assert!(!memory.holds(&next.send), "replaced by another next");
    drop(lone);
    for (name, secret) in &secrets {
        assert!(!memory.holds(secret), "{name}");
    }
    assert!(!memory.holds(&initiation[116..132]), "not even what we sent last");
}

#[test]
fn a_private_key_that_was_replaced_or_removed_is_gone() {
    for replacement in [None, Some(private_key(9))] {
        let (mut lone, memory) = watched();
        let static_static = oracle::dh(&lone.us.private, &lone.them);
        assert!(memory.holds(&SECRET) && memory.holds(&static_static));
        lone.node.device.set_private_key(lone.now, replacement.as_ref());
        assert!(!memory.holds(&SECRET) && !memory.holds(&static_static));
    }
}

#[test]
fn session_keys_go_when_the_session_is_replaced_or_wiped_or_down_or_its_peer_removed() {
    type End = fn(&mut Lone);
    let ends: [(&str, End); 4] = [
        ("two sessions later", |lone| {
            for _ in 0..2 {
                lone.wait(SECOND);
                lone.called();
            }
        }),
        ("after 540 s", |lone| {
            lone.wait(Duration::from_secs(540));
            while lone.node.device.poll_timeout().is_some_and(|(at, _)| at <= lone.now) {
                lone.node.device.handle_timeout(lone.now);
            }
        }),
        ("down", |lone| lone.node.device.down()),
        ("removed", |lone| lone.node.device.remove_peer(lone.peer)),
    ];
    for (name, end) in ends {
        let (mut lone, memory) = watched();
        let session = lone.called();
        assert!(memory.holds(&session.send) && memory.holds(&session.receive));
        end(&mut lone);
        assert!(!memory.holds(&session.send) && !memory.holds(&session.receive), "{name}");
    }
}

#[test]
fn an_ephemeral_key_lives_as_long_as_its_handshake() {
    let (mut lone, memory) = watched();
    let packet = lone.outgoing(1);
    assert!(lone.node.seal(lone.now, &packet).is_err());
    let mut buf = [0; wg_core::INITIATION_LEN];
    let mut rng = oracle::Stuck(0xb3);
    let sent = lone.node.device.poll_transmit(lone.now, &mut lone.node.clock, &mut rng, &mut buf);
    let initiation = sent.unwrap().datagram.to_vec();
    assert_eq!(initiation[8..40], oracle::public(&[0xb3; 32]));
    assert!(memory.holds(&[0xb3; 32]));
    lone.answer(&initiation);
    assert!(!memory.holds(&[0xb3; 32]));
    assert_eq!(sender_of(&initiation), u32::from_le_bytes([0xb3; 4]));
}
