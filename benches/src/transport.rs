//! Packets out and in: each side seals, and the other opens these very bytes.

use core::hint::black_box;

use boringtun::noise::Tunn;
use wg_core::Received;

use crate::engine::Engine;
use crate::handshake::{mixed_pair, we_initiate};
use crate::{A, B, Timed, aead, packet, timed, tunn};

/// Our device and boringtun with a session between them, and a batch of packets.
///
/// Our side encrypts and decrypts in place. boringtun copies from one buffer to another, as
/// its interface is; both are warm.
pub struct Transport {
    ours: Engine,
    theirs: Tunn,
    bare: aead::engine::Key,
    counter: u64,
    len: usize,
    batch: Vec<Buffers>,
}

struct Buffers {
    /// Head room, packet, tail room: the in-place buffer of our side.
    datagram: Vec<u8>,
    /// How much of `datagram` is sealed.
    sealed: usize,
    /// A packet for boringtun to seal, or what it opened.
    packet: Vec<u8>,
}

/// The bytes that a batch may take, so that all of it stays in the first-level cache.
const BATCH_BYTES: usize = 12 * 1024;

impl Transport {
    /// Packets of `len` bytes. Sends some in each direction and compares what comes out.
    pub fn new(len: usize) -> Self {
        let (mut ours, mut theirs) = mixed_pair();
        we_initiate(&mut ours, &mut theirs);
        let buffers = || Buffers {
            datagram: vec![0; len + 16 + 15 + 16],
            sealed: 0,
            packet: vec![0; len + 32],
        };
        let batch = (0..(BATCH_BYTES / (len + 32)).clamp(8, 128)).map(|_| buffers()).collect();
        let bare = aead::engine::Key::new(&[3; 32]);
        let mut transport = Self { ours, theirs, bare, counter: 0, len, batch };

        transport.seal_ours();
        transport.open_boringtun();
        assert!(transport.batch.iter().all(|b| b.packet[..len] == packet(A, B, len)));
        transport.seal_boringtun();
        transport.open_ours();
        assert!(transport.batch.iter().all(|b| b.datagram[16..16 + len] == packet(B, A, len)));
        transport
    }

    /// Writes packets, as reading them from an interface would, and seals them with our
    /// device.
    pub fn seal_ours(&mut self) -> Timed {
        let packet = packet(A, B, self.len);
        for buffers in &mut self.batch {
            buffers.datagram[16..16 + self.len].copy_from_slice(&packet);
        }
        timed(self.batch.len(), || {
            for Buffers { datagram, sealed, .. } in &mut self.batch {
                *sealed = self.ours.seal(datagram, self.len).expect("a session").len();
            }
        })
    }

    /// Opens with boringtun what our device has just sealed.
    pub fn open_boringtun(&mut self) -> Timed {
        timed(self.batch.len(), || {
            for Buffers { datagram, sealed, packet } in &mut self.batch {
                let packet = tunn::open(&mut self.theirs, &datagram[..*sealed], packet);
                assert_eq!(packet.len(), self.len);
            }
        })
    }

    /// Writes packets, and seals them with boringtun.
    pub fn seal_boringtun(&mut self) -> Timed {
        let packet = packet(B, A, self.len);
        for buffers in &mut self.batch {
            buffers.packet[..self.len].copy_from_slice(&packet);
        }
        timed(self.batch.len(), || {
            for Buffers { datagram, sealed, packet } in &mut self.batch {
                *sealed = tunn::seal(&mut self.theirs, &packet[..self.len], datagram).len();
            }
        })
    }

    /// Opens with our device what boringtun has just sealed.
    pub fn open_ours(&mut self) -> Timed {
        timed(self.batch.len(), || {
            for Buffers { datagram, sealed, .. } in &mut self.batch {
                match self.ours.receive(&mut datagram[..*sealed]) {
                    Ok(Received::Packet { packet, .. }) => assert_eq!(packet.len(), self.len),
                    other => panic!("not a packet: {other:?}"),
                }
            }
        })
    }

    /// Encrypts the same buffers by the bare cipher of our device.
    pub fn seal_bare(&mut self) -> Timed {
        timed(self.batch.len(), || {
            for Buffers { datagram, .. } in &mut self.batch {
                self.counter += 1;
                let tag = self.bare.seal(self.counter, &mut datagram[16..16 + self.len]);
                datagram[16 + self.len..][..16].copy_from_slice(&black_box(tag));
            }
        })
    }
}
