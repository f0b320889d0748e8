//! boringtun's side.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

/// Where every peer is.
pub(crate) const REMOTE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

/// A tunnel to the peer with this public key. It never thinks that it is under load.
pub(crate) fn new(key: [u8; 32], theirs: [u8; 32]) -> Tunn {
    let key = StaticSecret::from(key);
    let limiter = Arc::new(RateLimiter::new(&PublicKey::from(&key), u64::MAX));
    Tunn::new(key, theirs.into(), None, None, 7, Some(limiter))
}

/// A datagram in; the datagram to answer with, empty for none.
pub(crate) fn receive<'b>(tunn: &mut Tunn, datagram: &[u8], dst: &'b mut [u8]) -> &'b mut [u8] {
    match tunn.decapsulate(REMOTE, datagram, dst) {
        TunnResult::WriteToNetwork(answer) => answer,
        TunnResult::Done => &mut [],
        other => panic!("boringtun: {other:?}"),
    }
}

/// The initiation of a new handshake.
pub(crate) fn initiate<'b>(tunn: &mut Tunn, dst: &'b mut [u8]) -> &'b mut [u8] {
    match tunn.format_handshake_initiation(dst, true) {
        TunnResult::WriteToNetwork(initiation) => initiation,
        other => panic!("boringtun: {other:?}"),
    }
}

/// An inner packet out.
pub(crate) fn seal<'b>(tunn: &mut Tunn, packet: &[u8], dst: &'b mut [u8]) -> &'b mut [u8] {
    match tunn.encapsulate(packet, dst) {
        TunnResult::WriteToNetwork(datagram) => datagram,
        other => panic!("boringtun: {other:?}"),
    }
}

/// A datagram in, whose inner packet comes out.
pub(crate) fn open<'b>(tunn: &mut Tunn, datagram: &[u8], dst: &'b mut [u8]) -> &'b mut [u8] {
    match tunn.decapsulate(REMOTE, datagram, dst) {
        TunnResult::WriteToTunnelV4(packet, _) => packet,
        other => panic!("boringtun: {other:?}"),
    }
}
