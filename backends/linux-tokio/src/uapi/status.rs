//! The answer to `get`.

use core::fmt::Write;
use std::collections::HashMap;
use std::time::SystemTime;

use wg_core::{Device, Instant, PresharedKey, PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// What of an interface is not the engine's to tell.
pub(crate) struct Known<'k> {
    pub(crate) private_key: Option<&'k PrivateKey>,
    pub(crate) preshared_keys: &'k HashMap<PublicKey, PresharedKey>,
    pub(crate) listen_port: u16,
    pub(crate) fw_mark: u32,
}

/// A device and its peers, without the last lines, which say that all is well.
pub(crate) fn describe(
    device: &Device<'_>,
    now: Instant,
    wall: SystemTime,
    known: &Known<'_>,
) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    // Writing to a string does not fail.
    let _ = write(&mut text, device, now, wall, known);
    text
}

fn write(
    text: &mut String,
    device: &Device<'_>,
    now: Instant,
    wall: SystemTime,
    known: &Known<'_>,
) -> core::fmt::Result {
    // Keys that move with a growing text would leave copies of themselves behind.
    text.reserve(256 + device.peers().count() * 512);
    if let Some(key) = known.private_key {
        writeln!(text, "private_key={}", key.expose_hex().as_str())?;
    }
    writeln!(text, "listen_port={}", known.listen_port)?;
    if known.fw_mark != 0 {
        writeln!(text, "fwmark={}", known.fw_mark)?;
    }
    for id in device.peers() {
        let Some(peer) = device.peer(now, id) else { continue };
        writeln!(text, "public_key={:x}", peer.public_key)?;
        let preshared = known.preshared_keys.get(&peer.public_key);
        let preshared = preshared.unwrap_or(&PresharedKey::NONE).expose_hex();
        writeln!(text, "preshared_key={}", preshared.as_str())?;
        writeln!(text, "protocol_version=1")?;
        if let Some(endpoint) = peer.endpoint {
            writeln!(text, "endpoint={endpoint}")?;
        }
        let handshake = peer.last_handshake.and_then(|at| {
            let wall = wall.checked_sub(now.saturating_since(at))?;
            wall.duration_since(SystemTime::UNIX_EPOCH).ok()
        });
        let handshake = handshake.unwrap_or_default();
        writeln!(text, "last_handshake_time_sec={}", handshake.as_secs())?;
        writeln!(text, "last_handshake_time_nsec={}", handshake.subsec_nanos())?;
        writeln!(text, "tx_bytes={}", peer.sent_bytes)?;
        writeln!(text, "rx_bytes={}", peer.received_bytes)?;
        writeln!(text, "persistent_keepalive_interval={}", peer.persistent_keepalive)?;
        for prefix in device.allowed_ips(id) {
            writeln!(text, "allowed_ip={prefix}")?;
        }
    }
    Ok(())
}
