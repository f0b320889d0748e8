//! Our side as a backend holds it: a device with its clocks, and the law of driving.

use core::hint::black_box;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::SystemTime;

use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{
    Device, INITIATION_LEN, Increasing, Instant, PrivateKey, PublicKey, Received, Refusal,
    SendError,
};

type WallClock = Increasing<fn() -> Option<Duration>>;

/// A device with one peer. Its memory is on the heap, as a host's is.
pub(crate) struct Engine {
    device: Device<'static>,
    now: Instant,
    rng: UnwrapErr<SysRng>,
    clock: WallClock,
    /// The last datagram that the device sent of its own accord, and its length.
    outbox: [u8; INITIATION_LEN],
    outbox_len: usize,
}

/// Where every peer is.
pub(crate) fn remote() -> SocketAddr {
    ([192, 0, 2, 1], 51820).into()
}

impl Engine {
    pub(crate) fn new(key: [u8; 32], theirs: [u8; 32], inner: [u8; 4]) -> Self {
        let mut device = Device::growing();
        let key = PrivateKey::from_bytes(key).expect("a private key");
        device.set_private_key(Instant::ZERO, Some(&key));
        // Thousands of handshakes a second are the work here, not an attack.
        device.set_handshake_budget(u16::MAX);
        let peer = device.add_peer(&PublicKey::from_bytes(theirs)).expect("room");
        device.add_allowed_ip(peer, core::net::IpAddr::from(inner).into()).expect("room");
        device.set_endpoint(Instant::ZERO, peer, remote());
        let unix_time = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
        Self {
            device,
            now: Instant::ZERO,
            rng: UnwrapErr(SysRng),
            clock: WallClock::new(unix_time, None),
            outbox: [0; INITIATION_LEN],
            outbox_len: 0,
        }
    }

    /// A packet out: route, begin, seal, commit, timers, statistics, and the law of driving.
    ///
    /// A microsecond passes, so that the timers have to move.
    pub(crate) fn seal<'b>(
        &mut self,
        buf: &'b mut [u8],
        len: usize,
    ) -> Result<&'b mut [u8], SendError> {
        self.now = self.now.saturating_add(Duration::from_micros(1));
        let transmit = self.device.seal(self.now, buf, len)?;
        self.drain();
        black_box(transmit.to);
        Ok(transmit.datagram)
    }

    /// A datagram in, and the law of driving. A microsecond passes.
    ///
    /// Inlined, as it stands in a backend's loop: returning a `Received` once more costs as
    /// much as some of what is measured.
    #[inline(always)]
    pub(crate) fn receive<'b>(&mut self, buf: &'b mut [u8]) -> Result<Received<'b>, Refusal> {
        self.now = self.now.saturating_add(Duration::from_micros(1));
        let received = self.handle(buf)?;
        self.drain();
        Ok(received)
    }

    /// A datagram in, and nothing else: all there is to do for one that is refused.
    #[inline(always)]
    pub(crate) fn handle<'b>(&mut self, buf: &'b mut [u8]) -> Result<Received<'b>, Refusal> {
        self.device.handle_datagram(self.now, &mut self.rng, remote().into(), buf)
    }

    /// Asks for a session and gives the initiation.
    pub(crate) fn initiate(&mut self, packet: &[u8]) -> [u8; INITIATION_LEN] {
        let asked = self.device.begin_seal(self.now, packet);
        assert!(matches!(asked, Err(SendError::NoSession(_))), "{asked:?}");
        self.drain();
        assert_eq!(self.outbox_len, INITIATION_LEN);
        self.outbox
    }

    /// The last datagram that the device sent of its own accord.
    pub(crate) fn sent(&mut self) -> &mut [u8] {
        &mut self.outbox[..self.outbox_len]
    }

    /// Lets time pass, and serves every deadline in it.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        while self.device.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.device.handle_timeout(self.now);
            self.drain();
        }
    }

    /// The law of driving.
    fn drain(&mut self) {
        while let Some(event) = self.device.poll_event() {
            black_box(event);
        }
        let Self { device, now, rng, clock, outbox, outbox_len } = self;
        while let Some(transmit) = device.poll_transmit(*now, clock, rng, outbox) {
            *outbox_len = transmit.datagram.len();
        }
        black_box(device.poll_timeout());
    }
}
