//! The inner packet's own header: as much of IPv4 and IPv6 as a tunnel has to know.
//!
//! Lengths and addresses for cryptokey routing (whitepaper section 2), and the congestion
//! marks that cross the tunnel (RFC 6040).

mod allowed_ip;
mod prefix;

pub use allowed_ip::{AllowedIp, ParseAllowedIpError};
pub(crate) use prefix::Prefix;

/// What the header of an inner packet says, but for its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    v6: bool,
    pub(crate) ecn: Ecn,
    /// Of header and payload together, at most what there is; what follows it is padding.
    pub(crate) length: u32,
}

/// Not an IP packet, or shorter than its header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// The outer header reports congestion to a sender that did not ask to hear of it, so that
/// only the loss of the packet can tell (RFC 6040 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Congested;

const V4_HEADER: u32 = 20;
const V6_HEADER: u32 = 40;

/// Reads the header of an inner packet, which padding may follow.
#[cfg_attr(target_os = "none", inline(never))] // for flash
pub(crate) fn parse(packet: &[u8]) -> Result<Header, Malformed> {
    let [first, class, a, b, c, d, ..] = *packet else { return Err(Malformed) };
    let (header, least) = match first >> 4 {
        4 => {
            let length = u16::from_be_bytes([a, b]).into();
            (Header { v6: false, ecn: Ecn::from_traffic_class(class), length }, V4_HEADER)
        }
        6 => {
            // Wider than 16 bits, which 40 + 65,535 does not fit.
            let length = V6_HEADER.saturating_add(u16::from_be_bytes([c, d]).into());
            (Header { v6: true, ecn: Ecn::from_traffic_class(class >> 4), length }, V6_HEADER)
        }
        _ => return Err(Malformed),
    };
    if header.length < least || header.length as usize > packet.len() {
        return Err(Malformed);
    }
    Ok(header)
}

impl Header {
    /// The address that a packet with this header comes from.
    pub(crate) fn source(self, packet: &[u8]) -> Prefix {
        self.address(packet, if self.v6 { 8 } else { 12 })
    }

    /// The address that a packet with this header goes to.
    pub(crate) fn destination(self, packet: &[u8]) -> Prefix {
        self.address(packet, if self.v6 { 24 } else { 16 })
    }

    fn address(self, packet: &[u8], at: usize) -> Prefix {
        // What was parsed is long enough.
        let rest = packet.get(at..).unwrap_or_default();
        if self.v6 {
            rest.first_chunk().map_or(Prefix::ZERO, Prefix::v6)
        } else {
            rest.first_chunk().map_or(Prefix::ZERO, |octets| Prefix::v4(*octets))
        }
    }
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
