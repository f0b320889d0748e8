//! Deadlines of many peers.

use core::hint::black_box;
use core::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{
    ClockUnavailable, Device, INITIATION_LEN, Instant, PrivateKey, PublicKey, Tai64n, Tai64nClock,
};

use crate::{Timed, engine, timed, tunn};

/// A device of which each peer waits for a retransmission.
pub struct Ours {
    device: Device<'static>,
    now: Instant,
}

/// A clock that nobody has set. With it the device does all that it does at a deadline but
/// the X25519 of an initiation, which would hide the rest.
struct Unset;

impl Tai64nClock for Unset {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        Err(ClockUnavailable::NotSet)
    }
}

impl Ours {
    /// So many peers, whose deadlines are spread over five seconds.
    pub fn new(peers: u32) -> Self {
        let mut device = Device::growing();
        let key = PrivateKey::from_bytes([1; 32]).expect("a private key");
        device.set_private_key(Instant::ZERO, Some(&key));
        let mut ours = Self { device, now: Instant::ZERO };
        for number in 0..peers {
            let mut public = [1; 32];
            public[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_le_bytes());
            let peer = ours.device.add_peer(&PublicKey::from_bytes(public)).expect("room");
            ours.device.set_endpoint(ours.now, peer, engine::remote());
            // Without a session this asks for a handshake.
            ours.device.set_persistent_keepalive(ours.now, peer, 25);
            ours.drain();
            ours.now = ours.now.saturating_add(Duration::from_secs(5) / peers);
        }
        ours
    }

    /// Asks when something is due, and finds that it is not yet.
    pub fn wait(&mut self) -> Timed {
        const BATCH: usize = 256;
        timed(BATCH, || {
            for _ in 0..BATCH {
                let deadline = self.device.poll_timeout();
                assert!(deadline.is_some_and(|(at, _)| black_box(self.now) < at));
                self.device.handle_timeout(self.now);
            }
        })
    }

    /// Serves the deadlines of 64 peers, one after the other; each arms its timer anew.
    pub fn serve(&mut self) -> Timed {
        const BATCH: usize = 64;
        let timed = timed(BATCH, || {
            for _ in 0..BATCH {
                let (at, _) = self.device.poll_timeout().expect("all peers wait");
                self.now = self.now.max(at);
                self.device.handle_timeout(self.now);
                self.drain();
            }
        });
        // What is due at the same time, so that nothing is, for `wait`.
        while self.device.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.device.handle_timeout(self.now);
            self.drain();
        }
        timed
    }

    fn drain(&mut self) {
        let mut buf = [0; INITIATION_LEN];
        while let Some(event) = self.device.poll_event() {
            black_box(event);
        }
        let mut rng = UnwrapErr(SysRng);
        let sent = self.device.poll_transmit(self.now, &mut Unset, &mut rng, &mut buf);
        assert!(sent.is_none(), "the clock is not set");
    }
}

/// Tunnels of boringtun's, each of which has to be asked every 250 ms.
pub struct Boringtun {
    tunnels: Vec<Tunn>,
    dst: [u8; 256],
}

impl Boringtun {
    /// So many tunnels without a session.
    pub fn new(peers: u32) -> Self {
        let tunnel = |number: u32| {
            let mut public = [1; 32];
            public[..4].copy_from_slice(&number.to_le_bytes());
            tunn::new([1; 32], public)
        };
        Self { tunnels: (0..peers).map(tunnel).collect(), dst: [0; 256] }
    }

    /// Asks every tunnel once, none of which has anything to do.
    pub fn tick(&mut self) -> Timed {
        timed(1, || {
            for tunnel in &mut self.tunnels {
                let due = tunnel.update_timers(&mut self.dst);
                assert!(matches!(due, TunnResult::Done));
            }
        })
    }
}
