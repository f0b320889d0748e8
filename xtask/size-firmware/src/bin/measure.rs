//! Two devices that shake hands and exchange packets in the emulator, each step measured.
//!
//! A line for each: `stack NAME BYTES` or `instructions NAME COUNT`.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the entry's name is unmangled")]

use core::fmt::Write;
use core::hint::black_box;
use core::net::SocketAddr;

use size_firmware::board::{Console, Seeded, Taken, instructions, stack_of};
use size_firmware::primitives;
use wg_core::{
    ClockUnavailable, Device, Event, Instant, PeerId, PrivateKey, Received, Source, Storage,
    Tai64n, Tai64nClock,
};

size_firmware::entry!(run);

const NOW: Instant = Instant::from_secs(1);
const PAYLOAD: usize = 1420;

static A: Taken<Storage<1, 2>> = Taken::new(Storage::new());
static B: Taken<Storage<1, 2>> = Taken::new(Storage::new());

struct Clock;

impl Tai64nClock for Clock {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        Ok(Tai64n::from_unix(1_700_000_000, 0))
    }
}

fn measured<R>(name: &str, run: impl FnOnce() -> R) -> R {
    let before = instructions();
    let (result, bytes) = stack_of(run);
    let painting = instructions().wrapping_sub(before);
    black_box(painting);
    let _ = writeln!(Console, "stack {name} {bytes}");
    result
}

fn counted<R>(name: &str, run: impl FnOnce() -> R) -> R {
    let before = instructions();
    let result = run();
    let count = instructions().wrapping_sub(before);
    let _ = writeln!(Console, "instructions {name} {count}");
    result
}

fn inner_packet(buf: &mut [u8; 1600], len: usize, source: u8, destination: u8) {
    let packet = &mut buf[16..][..len];
    packet.fill(0x55);
    packet[..20].fill(0);
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet[12..16].copy_from_slice(&[10, 0, 0, source]);
    packet[16..20].copy_from_slice(&[10, 0, 0, destination]);
}

fn drain(device: &mut Device<'_>, what: Event) {
    let mut seen = false;
    while let Some(event) = device.poll_event() {
        seen |= event == what;
    }
    assert!(seen);
}

struct Side {
    device: Device<'static>,
    peer: PeerId,
    address: SocketAddr,
}

fn sides() -> (Side, Side) {
    let (key_a, key_b) =
        (PrivateKey::from_bytes([1; 32]).unwrap(), PrivateKey::from_bytes([2; 32]).unwrap());
    let mut a = Device::new(A.take());
    let mut b = Device::new(B.take());
    let (at_a, at_b): (SocketAddr, SocketAddr) =
        (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into());
    measured("set_private_key", || a.set_private_key(NOW, Some(&key_a)));
    b.set_private_key(NOW, Some(&key_b));
    let ab = measured("add_peer", || a.add_peer(&key_b.public_key())).unwrap();
    let ba = b.add_peer(&key_a.public_key()).unwrap();
    let everything = "0.0.0.0/0".parse().unwrap();
    a.add_allowed_ip(ab, everything).unwrap();
    b.add_allowed_ip(ba, everything).unwrap();
    a.set_endpoint(NOW, ab, at_b);
    (Side { device: a, peer: ab, address: at_a }, Side { device: b, peer: ba, address: at_b })
}

fn run() {
    let (mut a, mut b) = sides();
    let (mut rng, mut clock) = (Seeded(0x1234_5678), Clock);
    let (from_a, from_b) = (Source::from(a.address), Source::from(b.address));

    // The handshake.
    let mut packet = [0; 1600];
    inner_packet(&mut packet, PAYLOAD, 1, 2);
    measured("seal without a session", || a.device.seal(NOW, &mut packet, PAYLOAD).is_ok());
    let mut buf = [0; 148];
    let initiation = measured("initiate", || {
        a.device.poll_transmit(NOW, &mut clock, &mut rng, &mut buf).map(|t| t.datagram.len())
    });
    assert_eq!(initiation, Some(148));
    // A cookie reply, as under load, and what it does to the other side.
    b.device.set_under_load(NOW);
    let mut refused = buf;
    let cookie = measured("reply with a cookie", || {
        match b.device.handle_datagram(NOW, &mut rng, from_a, &mut refused) {
            Ok(Received::Reply(reply)) => reply.datagram.len(),
            _ => 0,
        }
    });
    assert_eq!(cookie, 64);
    let consumed = measured("consume a cookie", || {
        a.device.handle_datagram(NOW, &mut rng, from_b, &mut refused[..64])
            == Ok(Received::Cookie(a.peer))
    });
    assert!(consumed);
    let later = Instant::from_secs(3);
    let response =
        measured("respond", || match b.device.handle_datagram(later, &mut rng, from_a, &mut buf) {
            Ok(Received::Reply(reply)) => reply.datagram.len(),
            _ => 0,
        });
    assert_eq!(response, 92);
    let complete = measured("complete", || {
        a.device.handle_datagram(later, &mut rng, from_b, &mut buf[..92])
            == Ok(Received::Handshake(a.peer))
    });
    assert!(complete);
    drain(&mut a.device, Event::SessionUp(a.peer));
    let mut buf = [0; 148];
    let keepalive =
        a.device.poll_transmit(later, &mut clock, &mut rng, &mut buf).map(|t| t.datagram.len());
    assert_eq!(keepalive, Some(32));
    let confirmed = measured("confirm", || {
        b.device.handle_datagram(later, &mut rng, from_a, &mut buf[..32])
            == Ok(Received::Keepalive(b.peer))
    });
    assert!(confirmed);
    drain(&mut b.device, Event::SessionUp(b.peer));

    // Data. The first packet of each kind, by its stack; then by its instructions.
    for counting in [false, true] {
        inner_packet(&mut packet, PAYLOAD, 1, 2);
        let seal = || a.device.seal(later, &mut packet, PAYLOAD).map(|t| t.datagram.len()).ok();
        let len = if counting { counted("seal", seal) } else { measured("seal", seal) };
        assert_eq!(len, Some(PAYLOAD + 32));
        let open = || {
            matches!(
                b.device.handle_datagram(later, &mut rng, from_a, &mut packet[..PAYLOAD + 32]),
                Ok(Received::Packet { .. })
            )
        };
        let opened = if counting { counted("open", open) } else { measured("open", open) };
        assert!(opened);
    }
    counted("poll", || {
        while a.device.poll_event().is_some() {}
        let mut buf = [0; 148];
        while a.device.poll_transmit(later, &mut clock, &mut rng, &mut buf).is_some() {}
        a.device.poll_timeout()
    });
    measured("timeout", || a.device.handle_timeout(Instant::from_secs(60)));

    // The same work without the engine.
    let key = black_box([3; 32]);
    let data = &mut packet[16..][..PAYLOAD];
    let tag = counted("bare seal", || primitives::seal(&key, data));
    assert!(counted("bare open", || primitives::open(&key, data, &tag)));
    measured("bare seal", || primitives::seal(&key, data));
    counted("nothing", || ());
    let _ = writeln!(Console, "done");
}
