//! What a sender is told of a packet that went no further (RFC 792, RFC 4443).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::{checksum, transport};

/// The longest answer: neither exceeds the least MTU of its family, 576 and 1280.
pub const LONGEST_ICMP: usize = 1280;

const V4_LONGEST: usize = 576;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Why a packet went no further.
///
/// ```
/// use wg_nal::{IcmpError, LONGEST_ICMP};
/// # let mut packet = vec![0; 1500];
/// # packet[..10].copy_from_slice(&[0x45, 0, 5, 220, 0, 0, 0x40, 0, 64, 17]);
/// # packet[12..20].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
/// let mut answer = [0; LONGEST_ICMP];
/// let answer = IcmpError::TooBig { mtu: 1420 }.answer(&packet, None, &mut answer);
/// assert_eq!(answer.map(|answer| answer[20..22].to_vec()), Some(vec![3, 4]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IcmpError {
    /// It is longer than the next link carries: "fragmentation needed", "packet too big".
    TooBig {
        /// What the next link carries.
        mtu: u16,
    },
    /// There is no way to its destination: "host unreachable", "address unreachable".
    Unreachable,
    /// It went over too many hops.
    HopLimit,
}

impl IcmpError {
    /// Writes the answer to `packet` into `buf`, of [`LONGEST_ICMP`] bytes.
    ///
    /// `None` where there must be no answer: to errors, to later fragments, to and from groups,
    /// and to what is no IP packet. And where `buf` is too short.
    ///
    /// It comes from `from`, an address of ours in the packet's family; without one, from the
    /// address that was not reached, which no filter takes for spoofed.
    pub fn answer<'b>(
        self,
        packet: &[u8],
        from: Option<IpAddr>,
        buf: &'b mut [u8],
    ) -> Option<&'b [u8]> {
        let (protocol, header_len) = transport(packet)?;
        let kind = packet.get(header_len);
        match packet.first()? >> 4 {
            // Only answers to questions: an error about an error would go back and forth.
            4 if protocol == ICMP && !matches!(kind?, 0 | 8 | 13 | 14) => None,
            // The types of errors are those below 128.
            6 if protocol == ICMPV6 && *kind? < 128 => None,
            4 => self.v4(packet, from, buf),
            _ => self.v6(packet, from, buf),
        }
    }

    fn v4<'b>(self, packet: &[u8], from: Option<IpAddr>, buf: &'b mut [u8]) -> Option<&'b [u8]> {
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *packet.first_chunk::<V4_HEADER>()?;
        let source = Ipv4Addr::new(s0, s1, s2, s3);
        let destination = Ipv4Addr::new(d0, d1, d2, d3);
        if source.is_unspecified()
            || source.is_multicast()
            || source.is_broadcast()
            || destination.is_multicast()
            || destination.is_broadcast()
        {
            return None;
        }
        let from = match from {
            Some(IpAddr::V4(from)) => from,
            _ => destination,
        };
        let (kind, code, rest) = match self {
            Self::TooBig { mtu } => (3, 4, u32::from(mtu)),
            Self::Unreachable => (3, 1, 0),
            Self::HopLimit => (11, 0, 0),
        };
        let quote = packet.get(..V4_LONGEST - V4_HEADER - ICMP_HEADER).unwrap_or(packet);
        let len = quote.len().checked_add(V4_HEADER + ICMP_HEADER)?;
        let whole = buf.get_mut(..len)?;
        let (header, message) = whole.split_first_chunk_mut::<V4_HEADER>()?;
        let [high, low] = u16::try_from(len).ok()?.to_be_bytes();
        header[..12].copy_from_slice(&[0x45, 0xc0, high, low, 0, 0, 0, 0, 64, ICMP, 0, 0]);
        header[12..16].copy_from_slice(&from.octets());
        header[16..].copy_from_slice(&source.octets());
        let sum = checksum(&[header]);
        header[10..12].copy_from_slice(&sum);
        write_message([kind, code], rest, quote, &[], message)?;
        Some(whole)
    }

    fn v6<'b>(self, packet: &[u8], from: Option<IpAddr>, buf: &'b mut [u8]) -> Option<&'b [u8]> {
        let header: &[u8; V6_HEADER] = packet.first_chunk()?;
        let source = Ipv6Addr::from(*header.get(8..24)?.first_chunk::<16>()?);
        let destination = Ipv6Addr::from(*header.get(24..40)?.first_chunk::<16>()?);
        if source.is_unspecified() || source.is_multicast() || destination.is_multicast() {
            return None;
        }
        let from = match from {
            Some(IpAddr::V6(from)) => from,
            _ => destination,
        };
        let (kind, code, rest) = match self {
            Self::TooBig { mtu } => (2, 0, u32::from(mtu)),
            Self::Unreachable => (1, 3, 0),
            Self::HopLimit => (3, 0, 0),
        };
        let quote = packet.get(..LONGEST_ICMP - V6_HEADER - ICMP_HEADER).unwrap_or(packet);
        let message_len = quote.len().checked_add(ICMP_HEADER)?;
        let whole = buf.get_mut(..message_len.checked_add(V6_HEADER)?)?;
        let (header, message) = whole.split_first_chunk_mut::<V6_HEADER>()?;
        let [high, low] = u16::try_from(message_len).ok()?.to_be_bytes();
        header[..8].copy_from_slice(&[0x60, 0, 0, 0, high, low, ICMPV6, 64]);
        header[8..24].copy_from_slice(&from.octets());
        header[24..].copy_from_slice(&source.octets());
        let pseudo = [0, 0, high, low, 0, 0, 0, ICMPV6];
        write_message([kind, code], rest, quote, &[&header[8..], &pseudo], message)?;
        Some(whole)
    }
}

/// Type and code, the checksum, four bytes more, and the packet that it is about. The checksum
/// covers `beside`, too.
fn write_message(
    [kind, code]: [u8; 2],
    rest: u32,
    quote: &[u8],
    beside: &[&[u8]],
    message: &mut [u8],
) -> Option<()> {
    let (header, body) = message.split_first_chunk_mut::<ICMP_HEADER>()?;
    let [r0, r1, r2, r3] = rest.to_be_bytes();
    *header = [kind, code, 0, 0, r0, r1, r2, r3];
    body.get_mut(..quote.len())?.copy_from_slice(quote);
    let [addresses, pseudo] = match *beside {
        [addresses, pseudo] => [addresses, pseudo],
        _ => [&[][..]; 2],
    };
    let sum = checksum(&[addresses, pseudo, header, body]);
    header[2..4].copy_from_slice(&sum);
    Some(())
}

#[cfg(test)]
#[path = "icmp/tests.rs"]
mod tests;
