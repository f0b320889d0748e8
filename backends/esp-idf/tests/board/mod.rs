//! The board's end over this machine's sockets: packets by hand in place of lwIP's.
#![allow(dead_code)] // Each test crate uses a part.

use core::fmt::Display;
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use wg_esp_idf::wg_nal::Timestamps;
use wg_esp_idf::{Error, Inside, Outbound, Settings, Tunnel, random, sntp_clock};

pub(crate) const SUBNETS: &[&str] = &["10.9.0.0/24", "fd09::/64"];

/// A host inside that keeps what it gets.
pub(crate) struct Mailbox(pub(crate) Sender<Vec<u8>>);

impl Inside for Mailbox {
    fn deliver(&mut self, packet: &[u8]) -> bool {
        self.0.send(packet.to_vec()).is_ok()
    }
}

/// The host's end: where it puts packets, and where it finds them.
pub(crate) struct Board {
    pub(crate) tunnel: Tunnel,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) packets: Receiver<Vec<u8>>,
}

pub(crate) fn start(settings: Settings) -> Result<Board, Error> {
    start_with(settings, sntp_clock())
}

pub(crate) fn start_with(
    settings: Settings,
    clock: impl Timestamps<Error: Display> + Send + 'static,
) -> Result<Board, Error> {
    Board::new(|mailbox, handed| {
        Tunnel::start_with(settings, clock, random()?, move |_, outbound| {
            handed.send(outbound).unwrap();
            Ok(mailbox)
        })
    })
}

impl Board {
    /// A board around the tunnel that `begin` begins with these two.
    pub(crate) fn new(
        begin: impl FnOnce(Mailbox, Sender<Arc<Outbound>>) -> Result<Tunnel, Error>,
    ) -> Result<Self, Error> {
        let (mailbox, packets) = channel();
        let (handed, handed_over) = channel();
        let tunnel = begin(Mailbox(mailbox), handed)?;
        Ok(Self { tunnel, outbound: handed_over.recv().unwrap(), packets })
    }

    pub(crate) fn offer(&self, packet: &[u8]) {
        assert!(self.outbound.offer(packet.len(), |room| room.copy_from_slice(packet)));
    }

    pub(crate) fn ping(&self) {
        self.offer(&echo_request());
    }

    pub(crate) fn expect_pong(&self) {
        let pong = self.packets.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!((pong[9], pong[20], pong[28]), (1, 0, b'p'), "{pong:?}");
    }
}

/// ICMP from 10.9.0.2 to 10.9.0.1, which the gateway's stack answers.
fn echo_request() -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 32, 0, 0, 0, 0, 64, 1, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1, 8, 0, 0, 0, 0, 1, 0, 1,
        b'p', b'i', b'n', b'g',
    ];
    let header = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&header.to_be_bytes());
    let message = checksum(&packet[20..]);
    packet[22..24].copy_from_slice(&message.to_be_bytes());
    packet
}

pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
