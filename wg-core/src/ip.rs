//! The inner packet's own header: as much of IPv4 and IPv6 as a tunnel has to know.
//!
//! Lengths and addresses for cryptokey routing (whitepaper section 2), and the congestion
//! marks that cross the tunnel (RFC 6040).

mod allowed_ip;

use core::net::IpAddr;

pub use allowed_ip::{AllowedIp, ParseAllowedIpError};

/// What the header of an inner packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Of header and payload together, at most what there is; what follows it is padding.
    pub(crate) length: usize,
    pub(crate) ecn: Ecn,
}

/// Not an IP packet, or shorter than its header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// The outer header reports congestion to a sender that did not ask to hear of it, so that
/// only the loss of the packet can tell (RFC 6040 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Congested;

/// Reads the header of an inner packet, which padding may follow.
pub(crate) fn parse(packet: &[u8]) -> Result<Header, Malformed> {
    let (header, least) = match packet.first().map(|byte| byte >> 4) {
        Some(4) => (parse_v4(packet)?, V4_HEADER),
        Some(6) => (parse_v6(packet)?, V6_HEADER),
        _ => return Err(Malformed),
    };
    if header.length < least || header.length > packet.len() {
        return Err(Malformed);
    }
    Ok(header)
}

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

fn parse_v4(packet: &[u8]) -> Result<Header, Malformed> {
    let header: &[u8; V4_HEADER] = packet.first_chunk().ok_or(Malformed)?;
    let [_, tos, a, b, _, _, _, _, _, _, _, _, addresses @ ..] = *header;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    Ok(Header {
        source: [s0, s1, s2, s3].into(),
        destination: [d0, d1, d2, d3].into(),
        length: u16::from_be_bytes([a, b]).into(),
        ecn: Ecn::from_traffic_class(tos),
    })
}

fn parse_v6(packet: &[u8]) -> Result<Header, Malformed> {
    let (fixed, rest) = packet.split_first_chunk::<8>().ok_or(Malformed)?;
    let (source, rest) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
    let (destination, _) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
    let [_, class, _, _, a, b, _, _] = *fixed;
    Ok(Header {
        source: (*source).into(),
        destination: (*destination).into(),
        // Wider than 16 bits, which 40 + 65,535 does not fit.
        length: V6_HEADER.saturating_add(u16::from_be_bytes([a, b]).into()),
        ecn: Ecn::from_traffic_class(class >> 4),
    })
}

/// The congestion mark of an IP header (RFC 3168): the low two bits of its traffic class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ecn {
    /// Not ECT: the sender does not understand marks.
    NotCapable,
    /// ECT(1).
    Capable1,
    /// ECT(0).
    Capable0,
    /// CE.
    CongestionExperienced,
}

impl Ecn {
    /// The mark in an IPv4 TOS or IPv6 traffic class.
    pub const fn from_traffic_class(class: u8) -> Self {
        match class & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable0,
            _ => Self::CongestionExperienced,
        }
    }

    /// The traffic class with this mark and DSCP 0.
    pub const fn traffic_class(self) -> u8 {
        match self {
            Self::NotCapable => 0,
            Self::Capable1 => 1,
            Self::Capable0 => 2,
            Self::CongestionExperienced => 3,
        }
    }

    /// The outer mark of a packet with this inner one.
    ///
    /// As the Linux kernel does it: congestion before the tunnel is not reported as
    /// congestion inside of it.
    pub(crate) const fn encapsulated(self) -> Self {
        match self {
            Self::CongestionExperienced => Self::Capable0,
            _ => self,
        }
    }

    /// The mark with which a packet of this inner mark leaves the tunnel, by the table of
    /// RFC 6040 section 4.2.
    const fn decapsulated(self, outer: Self) -> Result<Self, Congested> {
        match (self, outer) {
            (Self::NotCapable, Self::CongestionExperienced) => Err(Congested),
            (Self::NotCapable, _) => Ok(self),
            (_, Self::CongestionExperienced) => Ok(outer),
            (Self::Capable0, Self::Capable1) => Ok(outer),
            _ => Ok(self),
        }
    }
}

/// Carries the outer mark over to the inner header of a packet that leaves the tunnel.
pub(crate) fn decapsulate_ecn(packet: &mut [u8], outer: Ecn) -> Result<(), Congested> {
    match packet {
        [first, class, rest @ ..] if *first >> 4 == 4 => {
            let marked = mark(*class, 0, outer)?;
            if marked == *class {
                return Ok(());
            }
            if let [_, _, _, _, _, _, _, _, high, low, ..] = rest {
                [*high, *low] = update_checksum([*high, *low], [*first, *class], [*first, marked]);
            }
            *class = marked;
        }
        [first, class, ..] if *first >> 4 == 6 => *class = mark(*class, 4, outer)?,
        _ => {}
    }
    Ok(())
}

/// The byte of the header that holds the inner mark at bit `shift`, after decapsulation.
fn mark(byte: u8, shift: u32, outer: Ecn) -> Result<u8, Congested> {
    let inner = Ecn::from_traffic_class(byte >> shift);
    let mark = inner.decapsulated(outer)?.traffic_class();
    Ok((byte & !(3 << shift)) | (mark << shift))
}

/// The IPv4 header checksum after one of its 16-bit words changed (RFC 1624, equation 3).
fn update_checksum(sum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    let ones = |word: [u8; 2]| u32::from(u16::from_be_bytes(word));
    let mut total = (ones(sum) ^ 0xffff) + (ones(old) ^ 0xffff) + ones(new);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    (!(total as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests;
