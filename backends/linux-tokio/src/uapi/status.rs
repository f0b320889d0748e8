//! The answer to `get`.

use core::fmt::Write;
use core::time::Duration;
use std::collections::HashMap;

use wg_core::{Device, Instant, PeerId, PresharedKey};
use zeroize::Zeroizing;

/// What of an interface is not the engine's to tell.
pub(crate) struct Known<'k> {
    /// When each peer's last handshake was, since 1970.
    pub(crate) handshakes: &'k HashMap<PeerId, (Instant, Duration)>,
    pub(crate) listen_port: u16,
    pub(crate) fw_mark: u32,
}

/// The answer: a device and its peers, and that all is well.
pub(crate) fn describe(device: &Device<'_>, now: Instant, known: &Known<'_>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    // Writing to a string does not fail.
    let _ = write(&mut text, device, now, known);
    text
}

fn write(
    text: &mut String,
    device: &Device<'_>,
    now: Instant,
    known: &Known<'_>,
) -> core::fmt::Result {
    // Keys that move with a growing text would leave copies of themselves behind.
    let prefixes: usize = device.peers().map(|id| device.allowed_ips(id).count()).sum();
    text.reserve(256 + device.peers().count() * 512 + prefixes * 64);
    if let Some(key) = device.private_key() {
        writeln!(text, "private_key={}", key.expose_hex().as_str())?;
    }
    if known.listen_port != 0 {
        writeln!(text, "listen_port={}", known.listen_port)?;
    }
    if known.fw_mark != 0 {
        writeln!(text, "fwmark={}", known.fw_mark)?;
    }
    for id in device.peers() {
        let Some(peer) = device.peer(now, id) else { continue };
        writeln!(text, "public_key={:x}", peer.public_key)?;
        let preshared = device.preshared_key(id).unwrap_or(PresharedKey::NONE).expose_hex();
        writeln!(text, "preshared_key={}", preshared.as_str())?;
        writeln!(text, "protocol_version=1")?;
        if let Some(endpoint) = peer.endpoint {
            writeln!(text, "endpoint={endpoint}")?;
        }
        let handshake = known.handshakes.get(&id).map_or(Duration::ZERO, |(_, time)| *time);
        writeln!(text, "last_handshake_time_sec={}", handshake.as_secs())?;
        writeln!(text, "last_handshake_time_nsec={}", handshake.subsec_nanos())?;
        writeln!(text, "tx_bytes={}", peer.sent_bytes)?;
        writeln!(text, "rx_bytes={}", peer.received_bytes)?;
        writeln!(text, "persistent_keepalive_interval={}", peer.persistent_keepalive)?;
        for prefix in device.allowed_ips(id) {
            writeln!(text, "allowed_ip={prefix}")?;
        }
    }
    writeln!(text, "errno=0\n")
}
