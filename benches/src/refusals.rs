//! Datagrams that go no further: what a stranger's packet costs.

use core::hint::black_box;

use boringtun::noise::Tunn;
use boringtun::noise::TunnResult;
use boringtun::noise::errors::WireGuardError;
use wg_core::Refusal;

use crate::engine::Engine;
use crate::handshake::{mixed_pair, we_initiate};
use crate::{A, B, Timed, packet, timed, tunn};

/// What is wrong with a datagram.
#[derive(Clone, Copy, Debug)]
pub enum Wrong {
    /// An initiation whose mac1 is for another public key.
    Mac1,
    /// A data packet that was accepted before.
    Replay,
    /// A data packet for a session that is not there.
    Index,
}

impl Wrong {
    /// The kinds by name.
    pub const ALL: [(&str, Self); 3] =
        [("mac1", Self::Mac1), ("replay", Self::Replay), ("index", Self::Index)];
}

/// The same wrong datagram again and again, to each side.
pub struct Refusals {
    ours: Engine,
    theirs: Tunn,
    to_us: Vec<u8>,
    to_boringtun: Vec<u8>,
    expected: Refusal,
    dst: Vec<u8>,
}

const BATCH: usize = 256;

impl Refusals {
    /// Two sides with a session, and a datagram for each that is refused as expected.
    pub fn new(wrong: Wrong) -> Self {
        let (mut ours, mut theirs) = mixed_pair();
        we_initiate(&mut ours, &mut theirs);
        let mut dst = vec![0; 256];
        let (mut to_us, mut to_boringtun, expected);
        match wrong {
            Wrong::Mac1 => {
                to_us = tunn::initiate(&mut theirs, &mut dst).to_vec();
                to_boringtun = to_us.clone();
                for initiation in [&mut to_us, &mut to_boringtun] {
                    initiation[130] ^= 1;
                }
                expected = Refusal::Mac1Mismatch;
            }
            Wrong::Replay | Wrong::Index => {
                to_us = tunn::seal(&mut theirs, &packet(B, A, 64), &mut dst).to_vec();
                assert!(ours.receive(&mut to_us.clone()).is_ok(), "accepted once");
                let mut buf = [0; 128];
                buf[16..80].copy_from_slice(&packet(A, B, 64));
                to_boringtun = ours.seal(&mut buf, 64).expect("a session").to_vec();
                tunn::open(&mut theirs, &to_boringtun, &mut dst);
                expected = Refusal::Replayed;
            }
        }
        let expected = if let Wrong::Index = wrong {
            // Another of boringtun's eight places for sessions, which is vacant.
            for datagram in [&mut to_us, &mut to_boringtun] {
                datagram[4] ^= 4;
            }
            Refusal::UnknownIndex
        } else {
            expected
        };
        let mut refusals = Self { ours, theirs, to_us, to_boringtun, expected, dst };
        let before = refusals.to_us.clone();
        refusals.ours();
        assert_eq!(before, refusals.to_us, "a refused datagram is not touched");
        match refusals.theirs.decapsulate(tunn::REMOTE, &refusals.to_boringtun, &mut refusals.dst) {
            TunnResult::Err(
                WireGuardError::InvalidMac
                | WireGuardError::DuplicateCounter
                | WireGuardError::NoCurrentSession,
            ) => refusals,
            other => panic!("boringtun: {other:?}"),
        }
    }

    /// To our device.
    pub fn ours(&mut self) -> Timed {
        timed(BATCH, || {
            for _ in 0..BATCH {
                let refused = self.ours.handle(black_box(&mut self.to_us));
                assert_eq!(refused.err(), Some(self.expected));
            }
        })
    }

    /// To boringtun's tunnel; finding the tunnel of an index is not in it.
    pub fn boringtun(&mut self) -> Timed {
        timed(BATCH, || {
            for _ in 0..BATCH {
                let datagram = black_box(&self.to_boringtun);
                let refused = self.theirs.decapsulate(tunn::REMOTE, datagram, &mut self.dst);
                assert!(matches!(refused, TunnResult::Err(_)));
            }
        })
    }
}
