//! "Host unreachable", told to the host about a packet that has no way (RFC 792, RFC 4443).

use std::net::{Ipv4Addr, Ipv6Addr};

/// As much of the packet as an answer repeats: it must not exceed the least MTU of its family.
const V4_QUOTE: usize = 576 - 20 - 8;
const V6_QUOTE: usize = 1280 - 40 - 8;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// Destination unreachable, host unreachable.
const V4_HOST_UNREACHABLE: [u8; 2] = [3, 1];
/// Destination unreachable, address unreachable.
const V6_ADDRESS_UNREACHABLE: [u8; 2] = [1, 3];

/// The answer to a packet that cannot be delivered, or `None` where there must be none: to
/// errors, to later fragments, to and from groups, and to what is no IP packet.
///
/// It comes from the address that was not reached. An address of our own would be taken for
/// spoofed.
pub(crate) fn host_unreachable(packet: &[u8]) -> Option<Vec<u8>> {
    match packet.first()? >> 4 {
        4 => v4(packet),
        6 => v6(packet),
        _ => None,
    }
}

fn v4(packet: &[u8]) -> Option<Vec<u8>> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let [_, _, _, _, _, _, fragment_high, fragment_low, _, protocol, _, _, addresses @ ..] =
        *header;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    let source = Ipv4Addr::new(s0, s1, s2, s3);
    let destination = Ipv4Addr::new(d0, d1, d2, d3);
    let first_fragment = fragment_high & 0x1f == 0 && fragment_low == 0;
    if !first_fragment
        || source.is_unspecified()
        || source.is_multicast()
        || source.is_broadcast()
        || destination.is_multicast()
        || destination.is_broadcast()
    {
        return None;
    }
    if protocol == ICMP {
        // Only answers to questions: an error about an error would go back and forth.
        let header_len = usize::from(packet.first()? & 0x0f) * 4;
        if !matches!(packet.get(header_len)?, 0 | 8 | 13 | 14) {
            return None;
        }
    }

    let quote = packet.get(..V4_QUOTE).unwrap_or(packet);
    let length = u16::try_from(20 + 8 + quote.len()).ok()?.to_be_bytes();
    let mut answer = vec![0x45, 0xc0, length[0], length[1], 0, 0, 0, 0, 64, ICMP, 0, 0];
    answer.extend(destination.octets());
    answer.extend(source.octets());
    let sum = checksum(&[&answer]);
    answer.get_mut(10..12)?.copy_from_slice(&sum);

    let mut message = unreachable(V4_HOST_UNREACHABLE, quote);
    let sum = checksum(&[&message]);
    message.get_mut(2..4)?.copy_from_slice(&sum);
    answer.extend(message);
    Some(answer)
}

fn v6(packet: &[u8]) -> Option<Vec<u8>> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let next_header = header[6];
    let source = Ipv6Addr::from(*packet.get(8..24)?.first_chunk::<16>()?);
    let destination = Ipv6Addr::from(*packet.get(24..40)?.first_chunk::<16>()?);
    if source.is_unspecified() || source.is_multicast() || destination.is_multicast() {
        return None;
    }
    // The types of errors are those below 128.
    if next_header == ICMPV6 && *packet.get(40)? < 128 {
        return None;
    }

    let quote = packet.get(..V6_QUOTE).unwrap_or(packet);
    let mut message = unreachable(V6_ADDRESS_UNREACHABLE, quote);
    let length = u16::try_from(message.len()).ok()?;
    let (from, to) = (destination.octets(), source.octets());
    let pseudo = [0, 0, length.to_be_bytes()[0], length.to_be_bytes()[1], 0, 0, 0, ICMPV6];
    let sum = checksum(&[&from, &to, &pseudo, &message]);
    message.get_mut(2..4)?.copy_from_slice(&sum);

    let [high, low] = length.to_be_bytes();
    let mut answer = vec![0x60, 0, 0, 0, high, low, ICMPV6, 64];
    answer.extend(from);
    answer.extend(to);
    answer.extend(message);
    Some(answer)
}

/// Type and code, a checksum of zero, four unused bytes, and the packet that it is about.
fn unreachable([kind, code]: [u8; 2], quote: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend(quote);
    message
}

/// The Internet checksum (RFC 1071) over parts of even length, but for the last one.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum: u32 = 0;
    for part in parts {
        let (words, odd) = part.as_chunks::<2>();
        sum += words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum::<u32>();
        sum += odd.first().map_or(0, |byte| u32::from(*byte) << 8);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4_packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        packet.extend([10, 0, 0, 1, 192, 0, 2, 1]);
        packet.extend(payload);
        packet
    }

    fn v6_packet(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8, next_header, 64];
        packet.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(payload);
        packet
    }

    #[test]
    fn an_answer_goes_back_from_the_address_that_was_not_reached() {
        let packet = v4_packet(17, &[7; 9]);
        let answer = host_unreachable(&packet).unwrap();
        assert_eq!(answer[12..20], [192, 0, 2, 1, 10, 0, 0, 1]);
        assert_eq!(answer[20..22], [3, 1]);
        assert_eq!(answer[28..], packet);
        assert_eq!(usize::from(u16::from_be_bytes([answer[2], answer[3]])), answer.len());
        assert_eq!(checksum(&[&answer[..20]]), [0, 0]);
        assert_eq!(checksum(&[&answer[20..]]), [0, 0]);

        let packet = v6_packet(17, &[7; 9]);
        let answer = host_unreachable(&packet).unwrap();
        assert_eq!(answer[8..24], packet[24..40]);
        assert_eq!(answer[24..40], packet[8..24]);
        assert_eq!(answer[40..42], [1, 3]);
        assert_eq!(answer[48..], packet);
        let pseudo = [0, 0, 0, (answer.len() - 40) as u8, 0, 0, 0, 58];
        assert_eq!(checksum(&[&answer[8..40], &pseudo, &answer[40..]]), [0, 0]);
    }

    #[test]
    fn a_long_packet_is_quoted_in_part() {
        assert_eq!(host_unreachable(&v4_packet(6, &[1; 1400])).unwrap().len(), 576);
        assert_eq!(host_unreachable(&v6_packet(6, &[1; 1400])).unwrap().len(), 1280);
    }

    #[test]
    fn errors_fragments_groups_and_garbage_get_no_answer() {
        assert!(host_unreachable(&v4_packet(1, &[8, 0])).is_some(), "a ping gets one");
        assert!(host_unreachable(&v4_packet(1, &[3, 1])).is_none());
        assert!(host_unreachable(&v4_packet(1, &[])).is_none());
        assert!(host_unreachable(&v6_packet(58, &[128, 0])).is_some(), "a ping gets one");
        assert!(host_unreachable(&v6_packet(58, &[1, 3])).is_none());

        let mut later_fragment = v4_packet(17, &[1; 9]);
        later_fragment[7] = 1;
        assert!(host_unreachable(&later_fragment).is_none());
        let mut to_group = v4_packet(17, &[1; 9]);
        to_group[16] = 224;
        assert!(host_unreachable(&to_group).is_none());
        let mut to_group = v6_packet(17, &[1; 9]);
        to_group[24] = 0xff;
        assert!(host_unreachable(&to_group).is_none());
        let mut from_nobody = v4_packet(17, &[1; 9]);
        from_nobody[12..16].fill(0);
        assert!(host_unreachable(&from_nobody).is_none());

        let whole = v6_packet(17, &[1; 9]);
        assert!((0..40).all(|len| host_unreachable(&whole[..len]).is_none()));
        assert!(host_unreachable(&[0; 60]).is_none());
    }
}
