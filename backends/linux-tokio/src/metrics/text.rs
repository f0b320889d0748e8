//! Prometheus' text format.

use core::fmt::Write;

use crate::handle::Status;

/// All numbers of a tunnel.
pub(super) fn of(interface: &str, status: &Status) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, interface, status);
    text
}

fn write(text: &mut String, interface: &str, status: &Status) -> core::fmt::Result {
    let device = format!("interface=\"{interface}\"");
    for (name, kind, help, value) in [
        ("peers", "gauge", "Peers that are set.", status.peers.len() as u64),
        ("handshakes_total", "counter", "Sessions that came up.", status.handshakes),
        ("packets_waiting", "gauge", "Packets that wait for a session.", status.packets_waiting),
        (
            "packets_waited_in_vain_total",
            "counter",
            "Packets dropped while they waited for a session.",
            status.waited_in_vain,
        ),
        (
            "calls_waiting",
            "gauge",
            "Handshake messages that wait to be answered.",
            status.calls_waiting,
        ),
        (
            "calls_dropped_total",
            "counter",
            "Handshake messages that came when too many waited.",
            status.calls_dropped,
        ),
    ] {
        describe(text, name, kind, help)?;
        writeln!(text, "wireguard_{name}{{{device}}} {value}")?;
    }
    describe(text, "refused_total", "counter", "Datagrams and packets refused, by reason.")?;
    for (refusal, count) in status.refusals.iter() {
        let reason = refusal.name();
        writeln!(text, "wireguard_refused_total{{{device},reason=\"{reason}\"}} {count}")?;
    }
    describe(text, "received_bytes_total", "counter", "Bytes of accepted datagrams, by peer.")?;
    for peer in &status.peers {
        let (key, bytes) = (&peer.public_key, peer.received_bytes);
        writeln!(text, "wireguard_received_bytes_total{{{device},public_key=\"{key}\"}} {bytes}")?;
    }
    describe(text, "sent_bytes_total", "counter", "Bytes of sent datagrams, by peer.")?;
    for peer in &status.peers {
        let (key, bytes) = (&peer.public_key, peer.sent_bytes);
        writeln!(text, "wireguard_sent_bytes_total{{{device},public_key=\"{key}\"}} {bytes}")?;
    }
    let help = "Seconds since the last handshake, of peers that had one.";
    describe(text, "handshake_age_seconds", "gauge", help)?;
    for peer in &status.peers {
        if let Some(at) = peer.last_handshake {
            let (key, age) = (&peer.public_key, status.at.saturating_since(at).as_secs_f64());
            writeln!(
                text,
                "wireguard_handshake_age_seconds{{{device},public_key=\"{key}\"}} {age}"
            )?;
        }
    }
    Ok(())
}

fn describe(text: &mut String, name: &str, kind: &str, help: &str) -> core::fmt::Result {
    writeln!(text, "# HELP wireguard_{name} {help}\n# TYPE wireguard_{name} {kind}")
}
