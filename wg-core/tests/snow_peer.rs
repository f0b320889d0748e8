//! The `snow` crate as the other side: another implementation of Noise IKpsk2, given nothing
//! but the pattern's name and WireGuard's prologue.

mod oracle;
mod pair;

use oracle::{Heard, Lone, counter_of, receiver_of, sender_of, sign};
use snow::{Builder, HandshakeState, StatelessTransportState};
use wg_core::{Event, Tai64n};

const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

fn builder<'k>(lone: &'k Lone) -> Builder<'k> {
    Builder::new(PATTERN.parse().unwrap())
        .prologue(PROLOGUE)
        .unwrap()
        .local_private_key(&lone.us.private)
        .unwrap()
        .psk(2, &lone.preshared)
        .unwrap()
}

fn initiator(lone: &Lone) -> HandshakeState {
    builder(lone).remote_public_key(&lone.them).unwrap().build_initiator().unwrap()
}

fn responder(lone: &Lone) -> HandshakeState {
    builder(lone).build_responder().unwrap()
}

/// A Noise message between a WireGuard head and two MACs.
fn frame(head: &[u32], noise: &[u8], receiver: &[u8; 32]) -> Vec<u8> {
    let head: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut message = [&head, noise, &[0; 32]].concat();
    sign(&mut message, receiver, None);
    message
}

fn initiation(lone: &Lone, noise: &mut HandshakeState, stamp: u64) -> Vec<u8> {
    let mut payload = [0; 108];
    let timestamp = Tai64n::from_unix(1_700_000_000 + stamp, 0);
    assert_eq!(noise.write_message(timestamp.as_bytes(), &mut payload).unwrap(), 108);
    frame(&[1, 0x1234_5678], &payload, &lone.them)
}

/// Data in both directions, sealed and opened by snow with the counters of the messages.
fn exchange(lone: &mut Lone, noise: &StatelessTransportState, remote: u32, local: u32) {
    for (counter, len) in [(0u64, 0), (1, 1), (2, 1300), (1000, 16), (999, 2)] {
        let packet = lone.incoming(len);
        let mut sealed = vec![0; packet.len() + 16];
        assert_eq!(noise.write_message(counter, &packet, &mut sealed).unwrap(), sealed.len());
        let head = [&4u32.to_le_bytes(), &remote.to_le_bytes(), &counter.to_le_bytes()[..]];
        let datagram = [&head.concat()[..], &sealed].concat();
        assert_eq!(lone.hear(&datagram), Ok(Heard::Packet(lone.peer, packet)));
    }
    for (len, padded) in [(0, 32), (12, 32), (13, 48), (1400, 1420)] {
        let packet = lone.outgoing(len);
        let sealed = lone.node.seal(lone.now, &packet).unwrap().bytes;
        assert_eq!((receiver_of(&sealed), sealed.len()), (local, padded + 32));
        let mut opened = vec![0; padded];
        noise.read_message(counter_of(&sealed), &sealed[16..], &mut opened).unwrap();
        assert_eq!(opened[..packet.len()], packet);
        assert!(opened[packet.len()..].iter().all(|byte| *byte == 0));
    }
}

fn snow_calls(mut lone: Lone) {
    let mut noise = initiator(&lone);
    let initiation = initiation(&lone, &mut noise, 1);
    let response = lone.hear(&initiation).unwrap().reply();
    assert_eq!(
        (response.len(), &response[..4], receiver_of(&response)),
        (92, &[2, 0, 0, 0][..], 0x1234_5678)
    );
    assert_eq!(noise.read_message(&response[12..60], &mut []).unwrap(), 0);
    let noise = noise.into_stateless_transport_mode().unwrap();
    exchange(&mut lone, &noise, sender_of(&response), 0x1234_5678);
}

fn the_engine_calls(mut lone: Lone) {
    let initiation = lone.initiation();
    let mut noise = responder(&lone);
    let mut timestamp = [0; 12];
    assert_eq!(noise.read_message(&initiation[8..116], &mut timestamp).unwrap(), 12);
    assert_eq!(&timestamp, Tai64n::from_unix(1_700_000_000, 0).as_bytes());
    assert_eq!(noise.get_remote_static(), Some(&lone.them[..]));

    let mut payload = [0; 48];
    assert_eq!(noise.write_message(&[], &mut payload).unwrap(), 48);
    let head = [2, 0x8765_4321, sender_of(&initiation)];
    let response = frame(&head, &payload, &lone.them);
    assert_eq!(lone.hear(&response), Ok(Heard::Handshake(lone.peer)));
    assert_eq!(lone.node.news(), [Event::SessionUp(lone.peer)]);

    let noise = noise.into_stateless_transport_mode().unwrap();
    let confirmation = lone.speak().remove(0).bytes;
    assert_eq!(noise.read_message(0, &confirmation[16..], &mut []).unwrap(), 0);
    exchange(&mut lone, &noise, sender_of(&initiation), 0x8765_4321);
}

fn with_preshared_key() -> Lone {
    let mut lone = Lone::new();
    lone.set_preshared([0x77; 32]);
    lone
}

#[test]
fn snow_initiates_and_traffic_flows() {
    snow_calls(Lone::new());
}

#[test]
fn snow_initiates_with_a_preshared_key() {
    snow_calls(with_preshared_key());
}

#[test]
fn snow_responds_and_traffic_flows() {
    the_engine_calls(Lone::new());
}

#[test]
fn snow_responds_with_a_preshared_key() {
    the_engine_calls(with_preshared_key());
}

#[test]
fn a_handshake_with_another_preshared_key_fails_on_either_side() {
    let mut lone = with_preshared_key();
    let mut noise = initiator(&lone);
    lone.set_preshared([0x78; 32]);
    let initiation = initiation(&lone, &mut noise, 1);
    let response = lone.hear(&initiation).unwrap().reply();
    assert!(noise.read_message(&response[12..60], &mut []).is_err());
}
