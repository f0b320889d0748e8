//! Finding the peer of an inner packet, in tables of many routes.
//!
//! Our table is private to the device, so a lookup is measured with what surrounds it there:
//! `begin_seal` reads the packet's header, looks up its destination, finds that the peer has
//! no endpoint and counts the refusal. Beside it stand the two calls that boringtun's device
//! makes for a packet: `Tunn::dst_address` and a lookup in its `AllowedIps`.

use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

use boringtun::device::allowed_ips::AllowedIps;
use boringtun::noise::Tunn;
use wg_core::{Device, Instant, PublicKey, Refusal, SendError};

use crate::{A, Timed, packet, timed};

/// The same routes in both tables.
pub struct Routes {
    ours: Device<'static>,
    theirs: AllowedIps<u32>,
    /// Packets to addresses all over the table.
    packets: Vec<Vec<u8>>,
}

/// How many lookups before the same address comes again.
const LOOKUPS: usize = 1024;

impl Routes {
    /// Tables of so many routes to hosts, scattered over 10.0.0.0/8.
    pub fn new(routes: u32) -> Self {
        let mut ours = Device::growing();
        let peer = ours.add_peer(&PublicKey::from_bytes([9; 32])).expect("room");
        let mut theirs = AllowedIps::new();
        for host in (0..routes).map(host) {
            ours.add_allowed_ip(peer, IpAddr::from(host).into()).expect("room");
            theirs.insert(host.into(), 32, 1);
        }
        let host = |n: usize| host((n as u32).wrapping_mul(0x9e37_79b1) % routes).octets();
        let packets = (0..LOOKUPS).map(|n| packet(A, host(n), 64)).collect();
        Self { ours, theirs, packets }
    }

    /// Looks up all addresses in our table.
    pub fn ours(&mut self) -> Timed {
        timed(LOOKUPS, || {
            for packet in &self.packets {
                let refused = self.ours.begin_seal(Instant::ZERO, black_box(packet)).err();
                assert_eq!(refused, Some(SendError::Refused(Refusal::NoEndpoint)));
            }
        })
    }

    /// Looks up all addresses in boringtun's.
    pub fn boringtun(&mut self) -> Timed {
        timed(LOOKUPS, || {
            for packet in &self.packets {
                let destination = Tunn::dst_address(black_box(packet));
                let found = destination.and_then(|address| self.theirs.find(address));
                assert_eq!(found, Some(&1));
            }
        })
    }
}

/// A different host for each number below 2^24.
fn host(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(10 << 24 | number.wrapping_mul(0x0065_43b5) & 0x00ff_ffff)
}
