//! Finds the tunnel's own datagrams among the packets that are to go through the tunnel.

use core::net::{IpAddr, SocketAddr};

use wg_core::Device;

const UDP: u8 = 17;

/// The endpoint that a packet is a datagram of the tunnel to: the route there leads into the tunnel,
/// so that sending it would only make the next one.
///
/// `packet` is one for the tunnel of `device`. What others in the tunnel send to an endpoint is no
/// loop, tunnels of their own included: see [`Device::is_own`]. For those who drive [`Device`]
/// themselves; everything in this crate asks it.
pub fn routing_loop(packet: &[u8], device: &Device<'_>) -> Option<SocketAddr> {
    let (destination, datagram) = udp_datagram(packet)?;
    let mut endpoints = device.peers().filter_map(|peer| device.endpoint(peer));
    let endpoint = endpoints.find(|endpoint| same_place(*endpoint, destination))?;
    device.is_own(datagram).then_some(endpoint)
}

/// The destination and the payload of a packet that is a UDP datagram, or the first fragment of one
/// over IPv4.
///
/// Nothing looks behind extension headers of IPv6: the tunnel's datagrams have none.
fn udp_datagram(packet: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (destination, datagram): (IpAddr, _) = match packet.first()? >> 4 {
        4 => {
            let (header, _) = packet.split_first_chunk::<20>()?;
            let [first, _, _, _, _, _, flags, fragment, _, protocol, _, _, addresses @ ..] =
                *header;
            let [_, _, _, _, a, b, c, d] = addresses;
            let whole_or_first = flags & 0x1f == 0 && fragment == 0;
            let header_len = usize::from(first & 0xf).saturating_mul(4);
            let datagram = packet.get(header_len..)?;
            ([a, b, c, d].into(), (protocol == UDP && whole_or_first).then_some(datagram)?)
        }
        6 => {
            let (fixed, rest) = packet.split_first_chunk::<8>()?;
            let (_source, rest) = rest.split_first_chunk::<16>()?;
            let (destination, datagram) = rest.split_first_chunk::<16>()?;
            let [_, _, _, _, _, _, next_header, _] = *fixed;
            ((*destination).into(), (next_header == UDP).then_some(datagram)?)
        }
        _ => return None,
    };
    let ([_, _, high, low, _, _, _, _], payload) = datagram.split_first_chunk::<8>()?;
    Some((SocketAddr::new(destination, u16::from_be_bytes([*high, *low])), payload))
}

/// Whether both are the same place, an IPv4 address written as an IPv6 one included.
fn same_place(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [u8; 28] =
        *b"\x45\0\0\x1c\0\0\0\0\x40\x11\0\0\x0a\0\0\x01\xc0\0\x02\x01\xca\x6c\0\x35\0\x08\0\0";

    fn v6() -> [u8; 48] {
        let mut packet = [0; 48];
        packet[0] = 0x60;
        packet[5] = 8;
        packet[6] = UDP;
        packet[24..40].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        packet[40..44].copy_from_slice(&[0xca, 0x6c, 0, 0x35]);
        packet
    }

    #[test]
    fn destination_and_payload_of_a_datagram_are_found() {
        let v4 = "192.0.2.1:53".parse().unwrap();
        let with_payload = [&V4[..], b"payload"].concat();
        assert_eq!(udp_datagram(&with_payload), Some((v4, &b"payload"[..])));
        let with_payload = [&v6()[..], b"payload"].concat();
        let v6 = "[2001:db8::7]:53".parse().unwrap();
        assert_eq!(udp_datagram(&with_payload), Some((v6, &b"payload"[..])));

        let mut with_options = [&V4[..20], &[1, 1, 1, 0], &V4[20..], &[7]].concat();
        with_options[0] = 0x46;
        assert_eq!(udp_datagram(&with_options), Some((v4, &[7][..])));
    }

    #[test]
    fn what_is_no_udp_header_is_not_taken_for_one() {
        for (at, value) in [(0, 0x55), (0, 0x4f), (6, 1), (7, 1), (9, 6)] {
            let mut packet = V4;
            packet[at] = value;
            assert_eq!(udp_datagram(&packet), None, "byte {at} is {value}");
        }
        let mut tcp = v6();
        tcp[6] = 6;
        assert_eq!(udp_datagram(&tcp), None);
    }

    #[test]
    fn a_packet_cut_anywhere_is_looked_at_without_harm() {
        for packet in [&V4[..], &v6()] {
            for len in 0..packet.len() {
                assert_eq!(udp_datagram(&packet[..len]), None, "{len} bytes");
            }
        }
    }

    #[test]
    fn a_mapped_address_is_the_same_place() {
        let v4 = "192.0.2.1:53".parse().unwrap();
        assert!(same_place(v4, "[::ffff:192.0.2.1]:53".parse().unwrap()));
        assert!(!same_place(v4, "192.0.2.1:54".parse().unwrap()));
        assert!(!same_place(v4, "192.0.2.2:53".parse().unwrap()));
    }
}
