//! One engine: the device with its clock and its generator. All of it is safe.

use core::ffi::c_int;
use core::net::IpAddr;
use core::time::Duration;

use rand_core::{TryCryptoRng, TryRng};
use wg_core::{
    Connection, Device, Ecn, INITIATION_LEN, Instant, PeerId, PeerStatus, PresharedKey, PrivateKey,
    PublicKey, Reason, Received, Refusal, SendError, Source,
};
use wg_nal::{Drbg, Standing};

use crate::clock::{Stamps, UnixTime};
use crate::code::{Code, Outcome};
use crate::ffi::Callbacks;
use crate::types::{NEVER, NO_PEER, RawEndpoint, RawEvent, RawReceived, RawStatus, RawTransmit};

/// How long after a failure the random source is asked again.
const RANDOM_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Engine {
    pub(crate) device: Device<'static>,
    clock: Stamps,
    callbacks: Callbacks,
    /// `None` until the random source worked. There is no session before that.
    drbg: Option<Drbg>,
    ask_again: Instant,
    routing_loops: u32,
}

impl Engine {
    pub(crate) fn new(device: Device<'static>, unix_time: UnixTime, callbacks: Callbacks) -> Self {
        Self {
            device,
            clock: Stamps::new(unix_time, callbacks),
            callbacks,
            drbg: Drbg::try_new(&mut RandomSource(callbacks)).ok(),
            ask_again: Instant::ZERO,
            routing_loops: 0,
        }
    }

    /// A peer that exists.
    pub(crate) fn peer(&self, bits: u64) -> Result<PeerId, Code> {
        let peer = PeerId::from_bits(bits);
        self.device.peer(Instant::ZERO, peer).map(|_| peer).ok_or(Code::NO_PEER)
    }

    pub(crate) fn next_peer(&self, after: u64) -> Result<PeerId, Code> {
        let after = (after != NO_PEER).then_some(PeerId::from_bits(after));
        let mut peers = self.device.peers();
        peers.find(|peer| after.is_none_or(|after| *peer > after)).ok_or(Code::NONE)
    }

    // ---- randomness ----------------------------------------------------------------------------

    /// The generator, once the random source has worked; it is asked again where that is due.
    fn generator(&mut self, now: Instant) -> Result<&mut Drbg, Code> {
        if self.drbg.is_none() && now >= self.ask_again {
            self.ask_again = now.saturating_add(RANDOM_PAUSE);
            return self.generator_now();
        }
        self.drbg.as_mut().ok_or(Code::RANDOM)
    }

    /// The generator for a caller who waits for the answer.
    fn generator_now(&mut self) -> Result<&mut Drbg, Code> {
        if self.drbg.is_none() {
            self.drbg = Drbg::try_new(&mut RandomSource(self.callbacks)).ok();
        }
        self.drbg.as_mut().ok_or(Code::RANDOM)
    }

    pub(crate) fn reseed(&mut self) -> Outcome {
        let mut source = RandomSource(self.callbacks);
        match &mut self.drbg {
            Some(drbg) => drbg.try_reseed(&mut source).map_err(|_| Code::RANDOM),
            None => self.generator_now().map(drop),
        }
    }

    pub(crate) fn generate_private_key(&mut self) -> Result<PrivateKey, Code> {
        self.generator_now().map(PrivateKey::generate)
    }

    pub(crate) fn generate_preshared_key(&mut self) -> Result<PresharedKey, Code> {
        self.generator_now().map(PresharedKey::generate)
    }

    // ---- driving -------------------------------------------------------------------------------

    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        from: &RawEndpoint,
        to: Option<IpAddr>,
        datagram: &mut [u8],
    ) -> Result<RawReceived, Code> {
        let from = Source { remote: from.socket()?, local: to, ecn: Ecn::NotCapable };
        // Before there is a generator there is no session, so nothing is lost here that could be
        // opened.
        self.generator(now)?;
        let drbg = self.drbg.as_mut().ok_or(Code::RANDOM)?;
        let received = self.device.handle_datagram(now, drbg, from, datagram)?;
        let about = |kind, peer: PeerId| RawReceived {
            kind,
            peer: peer.to_bits(),
            packet: core::ptr::null_mut(),
            length: 0,
            reply: RawTransmit::NONE,
        };
        Ok(match received {
            Received::Packet { peer, packet } => RawReceived {
                packet: packet.as_mut_ptr(),
                length: packet.len(),
                ..about(RawReceived::PACKET, peer)
            },
            Received::Keepalive(peer) => about(RawReceived::KEEPALIVE, peer),
            Received::Handshake(peer) => about(RawReceived::HANDSHAKE, peer),
            Received::Cookie(peer) => about(RawReceived::COOKIE, peer),
            Received::Reply(reply) => {
                let reply = RawTransmit::from(reply);
                RawReceived {
                    peer: reply.peer,
                    reply,
                    ..about(RawReceived::REPLY, PeerId::from_bits(NO_PEER))
                }
            }
            _ => return Err(Code::NONE),
        })
    }

    pub(crate) fn seal(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        length: usize,
    ) -> Result<RawTransmit, Code> {
        let packet = buffer.get(wg_core::DATA_HEADER_LEN..).and_then(|rest| rest.get(..length));
        let packet = packet.ok_or(Code::BUFFER)?;
        if wg_nal::routing_loop(packet, &self.device).is_some() {
            self.routing_loops = self.routing_loops.saturating_add(1);
            return Err(Code::ROUTING_LOOP);
        }
        match self.device.seal(now, buffer, length) {
            Ok(transmit) => Ok(transmit.into()),
            Err(SendError::NoSession(_)) => Err(Code::NO_SESSION),
            Err(SendError::BufferTooSmall { .. }) => Err(Code::BUFFER),
            Err(SendError::Refused(refusal)) => Err(refusal.into()),
            Err(_) => Err(Code::NO_SESSION),
        }
    }

    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        buffer: &mut [u8; INITIATION_LEN],
    ) -> Result<RawTransmit, Code> {
        self.generator(now)?;
        let drbg = self.drbg.as_mut().ok_or(Code::RANDOM)?;
        let transmit = self.device.poll_transmit(now, &mut self.clock, drbg, buffer);
        transmit.map(RawTransmit::from).ok_or(Code::NONE)
    }

    /// The time in microseconds, and a number of `enum wg_reason`.
    pub(crate) fn poll_timeout(&mut self) -> Result<(u64, c_int), Code> {
        let next = self.device.poll_timeout().map(|(at, reason)| (at.as_micros(), number(reason)));
        let again = self.drbg.is_none().then_some((self.ask_again.as_micros(), REASON_RANDOM));
        match (next, again) {
            (Some(next), Some(again)) => Ok(next.min(again)),
            (next, again) => next.or(again).ok_or(Code::NONE),
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<RawEvent> {
        self.device.poll_event().map(RawEvent::from)
    }

    // ---- status --------------------------------------------------------------------------------

    pub(crate) fn status(&self, now: Instant, peer: u64) -> Result<RawStatus, Code> {
        let status = self.device.peer(now, PeerId::from_bits(peer)).ok_or(Code::NO_PEER)?;
        let micros = |at: Option<Instant>| at.map_or(NEVER, Instant::as_micros);
        Ok(RawStatus {
            public_key: *status.public_key.as_bytes(),
            connection: self.connection(&status).0,
            endpoint: status.endpoint.map_or(RawEndpoint::NONE, RawEndpoint::from),
            last_handshake: micros(status.last_handshake),
            session_birth: micros(status.session_birth),
            received_bytes: status.received_bytes,
            sent_bytes: status.sent_bytes,
            keepalive: status.persistent_keepalive,
        })
    }

    /// What is true of a peer, or what stands in the way first.
    fn connection(&self, status: &PeerStatus) -> Code {
        match status.connection {
            Connection::Up => Code::OK,
            Connection::Blocked(Refusal::Down) => Refusal::Down.into(),
            _ if self.drbg.is_none() => Code::RANDOM,
            Connection::Blocked(Refusal::ClockNotSet | Refusal::ClockReserve)
                if self.clock.has_failed() =>
            {
                Code::RECORD
            }
            Connection::Blocked(refusal) => refusal.into(),
            Connection::Handshaking => Code::HANDSHAKING,
            _ => Code::IDLE,
        }
    }

    pub(crate) fn count(&self, peer: u64, what: Code) -> u32 {
        if what == Code::ROUTING_LOOP && peer == NO_PEER {
            return self.routing_loops;
        }
        let Some(refusal) = what.refusal() else { return 0 };
        if peer == NO_PEER {
            return self.device.refusals().count(refusal);
        }
        let status = self.device.peer(Instant::ZERO, PeerId::from_bits(peer));
        status.map_or(0, |status| status.refusals.count(refusal))
    }

    /// A number of `enum wg_clock`.
    pub(crate) fn standing(&self) -> Code {
        Code(match self.clock.standing() {
            Standing::Unanchored => 1,
            Standing::Stored => 2,
            Standing::Steady => 3,
            Standing::Ahead(_) => 4,
            Standing::LeapRefused(_) => 5,
            // `NotLoaded`.
            _ => 0,
        })
    }

    // ---- settings ------------------------------------------------------------------------------

    pub(crate) fn add_peer(&mut self, key: &PublicKey) -> Result<u64, Code> {
        Ok(self.device.add_peer(key)?.to_bits())
    }
}

/// `WG_REASON_RANDOM`.
const REASON_RANDOM: c_int = 6;

fn number(reason: Reason) -> c_int {
    // Numbered as in the header, which the tests compare.
    c_int::from(reason as u8)
}

/// The board's random source.
struct RandomSource(Callbacks);

#[derive(Debug)]
struct NoRandomness;

impl core::fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the random source failed")
    }
}

impl core::error::Error for NoRandomness {}

impl TryRng for RandomSource {
    type Error = NoRandomness;

    fn try_next_u32(&mut self) -> Result<u32, NoRandomness> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NoRandomness> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.0.random(bytes).then_some(()).ok_or(NoRandomness)
    }
}

// What wg.h asks of the callback: randomness fit for keys, or an error.
impl TryCryptoRng for RandomSource {}
