//! The engine by its public interface: two devices that shake hands, exchange packets, and
//! refuse what a stranger sends.

use core::convert::Infallible;
use core::hint::black_box;
use core::net::SocketAddr;

use wg_core::rand_core::{TryCryptoRng, TryRng};
use wg_core::{
    COOKIE_REPLY_LEN, ClockUnavailable, Device, INITIATION_LEN, Instant, PeerId, PrivateKey,
    RESPONSE_LEN, Received, Refusal, Source, Storage, Tai64n, Tai64nClock,
};

use crate::{Bench, Machine, WrongAnswer};

/// What the cases work in: two devices of one peer each, and a buffer for packets.
pub struct Memory {
    a: Storage<1, 2>,
    b: Storage<1, 2>,
    pub(crate) packet: Aligned,
}

/// Words, as the AEAD likes them.
#[repr(align(16))]
pub(crate) struct Aligned(pub(crate) [u8; 1600]);

impl Memory {
    /// Empty memory, for a static.
    pub const fn new() -> Self {
        Self { a: Storage::new(), b: Storage::new(), packet: Aligned([0; 1600]) }
    }
}

/// The first datagram of all, the cookie that answers it under load, and what follows.
const NOW: Instant = Instant::from_secs(3);
const ADDRESS_A: ([u8; 4], u16) = ([192, 0, 2, 1], 1);
const ADDRESS_B: ([u8; 4], u16) = ([192, 0, 2, 2], 2);
const HEAD: usize = 16;
const EMPTY_LEN: usize = 32;

/// A generator that is repeatable and by no means secure (xorshift).
pub(crate) struct Seeded(u32);

impl Seeded {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed)
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        Ok(self.0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let (Ok(high), Ok(low)) = (self.try_next_u32(), self.try_next_u32());
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for word in bytes.chunks_mut(4) {
            let Ok(random) = self.try_next_u32();
            word.copy_from_slice(&random.to_le_bytes()[..word.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

struct Clock;

impl Tai64nClock for Clock {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        Ok(Tai64n::from_unix(1_700_000_000, 0))
    }
}

struct Side<'a> {
    device: Device<'a>,
    peer: PeerId,
    source: Source,
}

pub(crate) fn run<M: Machine>(
    bench: &mut Bench<'_, M>,
    memory: &mut Memory,
) -> Result<(), WrongAnswer> {
    let Memory { a, b, packet: Aligned(packet) } = memory;
    let (mut a, mut b) = sides(a, b).ok_or(WrongAnswer("the settings of a device"))?;
    let mut rng = Seeded::new(0x1234_5678);
    handshake(bench, &mut a, &mut b, &mut rng, packet)
        .ok_or(WrongAnswer("a handshake of the engine"))?;
    packets(bench, &mut a, &mut b, &mut rng, packet).ok_or(WrongAnswer("a packet of the engine"))
}

fn sides<'m>(a: &'m mut Storage<1, 2>, b: &'m mut Storage<1, 2>) -> Option<(Side<'m>, Side<'m>)> {
    let (key_a, key_b) = (PrivateKey::from_bytes([1; 32])?, PrivateKey::from_bytes([2; 32])?);
    let (at_a, at_b): (SocketAddr, SocketAddr) = (ADDRESS_A.into(), ADDRESS_B.into());
    let (mut a, mut b) = (Device::new(a), Device::new(b));
    a.set_private_key(NOW, Some(&key_a));
    b.set_private_key(NOW, Some(&key_b));
    let (ab, ba) = (a.add_peer(&key_b.public_key()).ok()?, b.add_peer(&key_a.public_key()).ok()?);
    let everything = "0.0.0.0/0".parse().ok()?;
    a.add_allowed_ip(ab, everything).ok()?;
    b.add_allowed_ip(ba, everything).ok()?;
    a.set_endpoint(NOW, ab, at_b);
    Some((
        Side { device: a, peer: ab, source: at_a.into() },
        Side { device: b, peer: ba, source: at_b.into() },
    ))
}

/// An IPv4 packet of this length behind the head room.
fn inner_packet(buf: &mut [u8; 1600], len: usize) -> &[u8] {
    let packet = &mut buf[HEAD..][..len];
    packet.fill(0x55);
    packet[..20].fill(0);
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
    packet[16..20].copy_from_slice(&[10, 0, 0, 2]);
    packet
}

/// The four functions of a handshake; before it, an initiation that is refused and the cookie
/// that a device under load answers with.
fn handshake<M: Machine>(
    bench: &mut Bench<'_, M>,
    a: &mut Side<'_>,
    b: &mut Side<'_>,
    rng: &mut Seeded,
    packet: &mut [u8; 1600],
) -> Option<()> {
    // A packet without a session asks for one.
    inner_packet(packet, 64);
    a.device.seal(NOW, packet, 64).is_err().then_some(())?;
    let mut buf = [0; INITIATION_LEN];
    let initiation = bench.case("handshake_initiate", 0, || {
        a.device.poll_transmit(NOW, &mut Clock, rng, &mut buf).map(|t| t.datagram.len())
    });
    (initiation? == INITIATION_LEN).then_some(())?;

    let mut forged = buf;
    forged[120] ^= 1;
    let refused = bench
        .case("refuse_mac1", 0, || b.device.handle_datagram(NOW, rng, a.source, &mut forged).err());
    (refused == Some(Refusal::Mac1Mismatch)).then_some(())?;
    b.device.set_under_load(NOW);
    let mut early = buf;
    let reply = bench.case("cookie_reply", 0, || {
        match b.device.handle_datagram(NOW, rng, a.source, &mut early) {
            Ok(Received::Reply(reply)) => Some(reply.datagram.len()),
            _ => None,
        }
    });
    (reply? == COOKIE_REPLY_LEN).then_some(())?;

    // When the load is over. The initiation is the same, so it is accepted now.
    let later = Instant::from_secs(5);
    let reply = bench.case("handshake_respond", 0, || {
        match b.device.handle_datagram(later, rng, a.source, &mut buf) {
            Ok(Received::Reply(reply)) => Some(reply.datagram.len()),
            _ => None,
        }
    });
    (reply? == RESPONSE_LEN).then_some(())?;
    let done = bench.case("handshake_complete", 0, || {
        a.device.handle_datagram(later, rng, b.source, &mut buf[..RESPONSE_LEN])
            == Ok(Received::Handshake(a.peer))
    });
    done.then_some(())?;
    let empty = a.device.poll_transmit(later, &mut Clock, rng, &mut buf).map(|t| t.datagram.len());
    (empty? == EMPTY_LEN).then_some(())?;
    let confirmed = bench.case("handshake_confirm", 0, || {
        b.device.handle_datagram(later, rng, a.source, &mut buf[..EMPTY_LEN])
            == Ok(Received::Keepalive(b.peer))
    });
    confirmed.then_some(())
}

const PACKETS: [(usize, &str, &str); 3] = [
    (64, "packet_out_64", "packet_in_64"),
    (512, "packet_out_512", "packet_in_512"),
    (1420, "packet_out_1420", "packet_in_1420"),
];

fn packets<M: Machine>(
    bench: &mut Bench<'_, M>,
    a: &mut Side<'_>,
    b: &mut Side<'_>,
    rng: &mut Seeded,
    packet: &mut [u8; 1600],
) -> Option<()> {
    let later = Instant::from_secs(5);
    let mut last = [0; 64 + 32];
    // The first packet arms timers that the others find armed.
    inner_packet(packet, 64);
    let len = a.device.seal(later, packet, 64).ok()?.datagram.len();
    last.copy_from_slice(&packet[..len]);
    b.device.handle_datagram(later, rng, a.source, &mut packet[..len]).ok()?;

    for (len, out, into) in PACKETS {
        inner_packet(packet, len);
        let sealed = bench
            .case(out, len, || a.device.seal(later, packet, len).map(|t| t.datagram.len()).ok())?;
        let received = bench.case(into, len, || {
            match b.device.handle_datagram(later, rng, a.source, &mut packet[..sealed]) {
                Ok(Received::Packet { packet, .. }) => packet.len(),
                _ => 0,
            }
        });
        let mut sent = [0; 1600];
        let sent = inner_packet(&mut sent, len);
        (received == len && packet[HEAD..][..len] == *sent).then_some(())?;
    }

    bench.case("poll", 0, || {
        black_box(a.device.poll_event());
        let mut buf = [0; INITIATION_LEN];
        black_box(a.device.poll_transmit(later, &mut Clock, rng, &mut buf).is_some());
        a.device.poll_timeout()
    })?;
    let mut replayed = last;
    let refused = bench.case("refuse_replay", 0, || {
        b.device.handle_datagram(later, rng, a.source, &mut replayed).err()
    });
    (refused == Some(Refusal::Replayed)).then_some(())?;
    last[4] ^= 0x80;
    let refused = bench.case("refuse_index", 0, || {
        b.device.handle_datagram(later, rng, a.source, &mut last).err()
    });
    (refused == Some(Refusal::UnknownIndex)).then_some(())
}
