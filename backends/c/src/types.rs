//! The structures of wg.h, field by field. The tests compare their layout with the header's.

use core::ffi::c_int;
use core::net::{IpAddr, SocketAddr};

use wg_core::{Event, PeerId, Transmit};

use crate::code::Code;

/// `WG_NO_PEER`.
pub(crate) const NO_PEER: u64 = u64::MAX;
/// `WG_NEVER`.
pub(crate) const NEVER: u64 = u64::MAX;
/// `WG_CONFIG_ADDRESSES`.
pub(crate) const CONFIG_ADDRESSES: usize = 4;

/// `struct wg_address`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawAddress {
    pub(crate) bytes: [u8; 16],
    pub(crate) family: u8,
}

impl RawAddress {
    pub(crate) const NONE: Self = Self { bytes: [0; 16], family: 0 };

    /// `None` for a family that is neither.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        let [a, b, c, d, ..] = self.bytes;
        match self.family {
            4 => Some([a, b, c, d].into()),
            // An IPv4 address written as an IPv6 one is the IPv4 address.
            6 => Some(IpAddr::from(self.bytes).to_canonical()),
            _ => None,
        }
    }
}

impl From<IpAddr> for RawAddress {
    fn from(ip: IpAddr) -> Self {
        let mut bytes = [0; 16];
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d, ..] = &mut bytes;
                [*a, *b, *c, *d] = ip.octets();
                Self { bytes, family: 4 }
            }
            IpAddr::V6(ip) => Self { bytes: ip.octets(), family: 6 },
        }
    }
}

/// `struct wg_endpoint`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawEndpoint {
    pub(crate) address: RawAddress,
    pub(crate) port: u16,
}

impl RawEndpoint {
    pub(crate) const NONE: Self = Self { address: RawAddress::NONE, port: 0 };

    pub(crate) fn socket(&self) -> Result<SocketAddr, Code> {
        let ip = self.address.ip().filter(|ip| !ip.is_unspecified() && self.port != 0);
        ip.map(|ip| SocketAddr::new(ip, self.port)).ok_or(Code::ENDPOINT)
    }
}

impl From<SocketAddr> for RawEndpoint {
    fn from(socket: SocketAddr) -> Self {
        Self { address: socket.ip().into(), port: socket.port() }
    }
}

/// `struct wg_transmit`.
#[repr(C)]
pub struct RawTransmit {
    pub(crate) peer: u64,
    pub(crate) datagram: *mut u8,
    pub(crate) length: usize,
    pub(crate) to: RawEndpoint,
    pub(crate) from: RawAddress,
    pub(crate) traffic_class: u8,
}

impl RawTransmit {
    pub(crate) const NONE: Self = Self {
        peer: 0,
        datagram: core::ptr::null_mut(),
        length: 0,
        to: RawEndpoint::NONE,
        from: RawAddress::NONE,
        traffic_class: 0,
    };
}

impl From<Transmit<'_>> for RawTransmit {
    fn from(transmit: Transmit<'_>) -> Self {
        Self {
            peer: transmit.peer.map_or(NO_PEER, PeerId::to_bits),
            datagram: transmit.datagram.as_mut_ptr(),
            length: transmit.datagram.len(),
            to: transmit.to.remote.into(),
            from: transmit.to.local.map_or(RawAddress::NONE, RawAddress::from),
            traffic_class: transmit.traffic_class,
        }
    }
}

/// `struct wg_received`.
#[repr(C)]
pub struct RawReceived {
    pub(crate) kind: u8,
    pub(crate) peer: u64,
    pub(crate) packet: *mut u8,
    pub(crate) length: usize,
    pub(crate) reply: RawTransmit,
}

impl RawReceived {
    /// `enum wg_received_kind`.
    pub(crate) const PACKET: u8 = 0;
    pub(crate) const KEEPALIVE: u8 = 1;
    pub(crate) const REPLY: u8 = 2;
    pub(crate) const HANDSHAKE: u8 = 3;
    pub(crate) const COOKIE: u8 = 4;
}

/// `struct wg_event`.
#[repr(C)]
pub struct RawEvent {
    pub(crate) peer: u64,
    pub(crate) kind: u8,
}

impl From<Event> for RawEvent {
    fn from(event: Event) -> Self {
        let (peer, kind) = match event {
            Event::EndpointMoved(peer) => (peer, 0),
            Event::SessionExpired(peer) => (peer, 1),
            Event::HandshakeGivenUp(peer) => (peer, 2),
            Event::SessionUp(peer) => (peer, 3),
            // None yet; the header has no name for it.
            _ => return Self { peer: NO_PEER, kind: u8::MAX },
        };
        Self { peer: peer.to_bits(), kind }
    }
}

/// `struct wg_status`.
#[repr(C)]
pub struct RawStatus {
    pub(crate) public_key: [u8; 32],
    pub(crate) connection: c_int,
    pub(crate) endpoint: RawEndpoint,
    pub(crate) last_handshake: u64,
    pub(crate) session_birth: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) keepalive: u16,
}

/// `struct wg_config`.
#[repr(C)]
pub struct RawConfig {
    pub(crate) addresses: [RawAddress; CONFIG_ADDRESSES],
    pub(crate) prefix_lens: [u8; CONFIG_ADDRESSES],
    pub(crate) dns_servers: [RawAddress; CONFIG_ADDRESSES],
    pub(crate) listen_port: u16,
    pub(crate) mtu: u16,
    pub(crate) fw_mark: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) sentence: [u8; 192],
}

impl RawConfig {
    pub(crate) const NONE: Self = Self {
        addresses: [RawAddress::NONE; CONFIG_ADDRESSES],
        prefix_lens: [0; CONFIG_ADDRESSES],
        dns_servers: [RawAddress::NONE; CONFIG_ADDRESSES],
        listen_port: 0,
        mtu: 0,
        fw_mark: 0,
        line: 0,
        column: 0,
        sentence: [0; 192],
    };
}

#[cfg(test)]
mod tests {
    use core::fmt::Write;
    use core::mem::offset_of;
    use std::process::Command;

    use wg_core::Reason;

    use super::*;
    use crate::ffi::{RawPort, STORAGE};

    #[test]
    fn structures_and_numbers_are_the_same_in_c() {
        let mut source = String::from("#include \"wg.h\"\n");
        let mut same = |c: &str, rust: usize| {
            writeln!(source, "_Static_assert({c} == {rust}, \"{c}\");").unwrap();
        };
        macro_rules! structure {
            ($name:literal, $type:ty, $($field:ident),+) => {
                same(&format!("sizeof(struct {})", $name), size_of::<$type>());
                $(same(
                    &format!("offsetof(struct {}, {})", $name, stringify!($field)),
                    offset_of!($type, $field),
                );)+
            };
        }
        structure!("wg_address", RawAddress, bytes, family);
        structure!("wg_endpoint", RawEndpoint, address, port);
        structure!("wg_transmit", RawTransmit, peer, datagram, length, to, from, traffic_class);
        structure!("wg_received", RawReceived, kind, peer, packet, length, reply);
        structure!("wg_event", RawEvent, peer, kind);
        structure!(
            "wg_status",
            RawStatus,
            public_key,
            connection,
            endpoint,
            last_handshake,
            session_birth,
            received_bytes,
            sent_bytes,
            keepalive
        );
        structure!(
            "wg_config",
            RawConfig,
            addresses,
            prefix_lens,
            dns_servers,
            listen_port,
            mtu,
            fw_mark,
            line,
            column,
            sentence
        );
        structure!("wg_port", RawPort, context, random, unix_time, load, save);

        for (name, number) in [
            ("WG_RECEIVED_PACKET", RawReceived::PACKET),
            ("WG_RECEIVED_KEEPALIVE", RawReceived::KEEPALIVE),
            ("WG_RECEIVED_REPLY", RawReceived::REPLY),
            ("WG_RECEIVED_HANDSHAKE", RawReceived::HANDSHAKE),
            ("WG_RECEIVED_COOKIE", RawReceived::COOKIE),
            ("WG_REASON_RETRANSMIT", Reason::Retransmit as u8),
            ("WG_REASON_PASSIVE_KEEPALIVE", Reason::PassiveKeepalive as u8),
            ("WG_REASON_NEW_HANDSHAKE", Reason::NewHandshake as u8),
            ("WG_REASON_PERSISTENT_KEEPALIVE", Reason::PersistentKeepalive as u8),
            ("WG_REASON_SESSION_EXPIRY", Reason::SessionExpiry as u8),
            ("WG_REASON_WIPE_KEYS", Reason::WipeKeys as u8),
        ] {
            same(name, number.into());
        }
        let [base, peer, route] = STORAGE;
        same("WG_STORAGE_BASE", base);
        same("WG_STORAGE_PER_PEER", peer);
        same("WG_STORAGE_PER_ROUTE", route);
        same("WG_HEADROOM", wg_core::DATA_HEADER_LEN);
        same("WG_TAILROOM", wg_core::TAG_LEN + wg_core::constants::PADDING_MULTIPLE - 1);
        same("WG_TRANSMIT_LEN", wg_core::INITIATION_LEN);
        same("WG_RECORD_LEN", crate::clock::RECORD_LEN);
        same("WG_CONFIG_ADDRESSES", CONFIG_ADDRESSES);

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("same.c");
        std::fs::write(&file, source).unwrap();
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=c11", "-fsyntax-only", "-I"]);
        gcc.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/include")).arg(&file);
        let output = gcc.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
