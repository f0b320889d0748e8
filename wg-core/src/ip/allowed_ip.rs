//! Prefixes for cryptokey routing.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A range of inner addresses: those that share the first `cidr` bits of `addr` (whitepaper
/// section 2).
///
/// The bits after the prefix are always zero, so that equal ranges are equal values. Reads
/// and prints `10.0.0.0/8` or `fd00::/64`; a bare address is read as the range of itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AllowedIp {
    addr: IpAddr,
    cidr: u8,
}

impl AllowedIp {
    /// All addresses of both families: `0.0.0.0/0` and `::/0`.
    pub const EVERYTHING: [Self; 2] = [
        Self { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), cidr: 0 },
        Self { addr: IpAddr::V6(Ipv6Addr::UNSPECIFIED), cidr: 0 },
    ];

    /// The range of `addr`'s first `cidr` bits, at most 32 of an IPv4 and 128 of an IPv6
    /// address. What follows them is cleared.
    pub fn new(addr: IpAddr, cidr: u8) -> Option<Self> {
        let addr = match addr {
            IpAddr::V4(_) if cidr > 32 => return None,
            IpAddr::V6(_) if cidr > 128 => return None,
            IpAddr::V4(addr) => {
                let mut octets = addr.octets();
                mask(&mut octets, cidr);
                octets.into()
            }
            IpAddr::V6(addr) => {
                let mut octets = addr.octets();
                mask(&mut octets, cidr);
                octets.into()
            }
        };
        Some(Self { addr, cidr })
    }

    /// The first address of the range.
    pub const fn addr(self) -> IpAddr {
        self.addr
    }

    /// How many leading bits the addresses of the range share.
    pub const fn cidr(self) -> u8 {
        self.cidr
    }
}

/// Leaves the first `cidr` bits. By bytes: 128-bit shifts are large where they are not built in.
fn mask(octets: &mut [u8], cidr: u8) {
    let mut left = u32::from(cidr);
    for octet in octets {
        *octet &= !u8::MAX.checked_shr(left).unwrap_or(0);
        left = left.saturating_sub(8);
    }
}

impl From<IpAddr> for AllowedIp {
    /// The range of this one address.
    fn from(addr: IpAddr) -> Self {
        Self { addr, cidr: if addr.is_ipv4() { 32 } else { 128 } }
    }
}

impl fmt::Display for AllowedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.cidr)
    }
}

/// Why a text is not an [`AllowedIp`]. `Display` says what was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseAllowedIpError {
    /// The part before the slash, or all without one, is no address.
    Address,
    /// The part after the slash is no number from 0 to `max`.
    PrefixLength {
        /// 32 for IPv4 and 128 for IPv6.
        max: u8,
    },
}

impl fmt::Display for ParseAllowedIpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => {
                f.write_str("expected an IPv4 or IPv6 address, like 10.0.0.0/8 or fd00::/64")
            }
            Self::PrefixLength { max } => {
                write!(f, "expected a number from 0 to {max} after the slash")
            }
        }
    }
}

impl core::error::Error for ParseAllowedIpError {}

impl FromStr for AllowedIp {
    type Err = ParseAllowedIpError;

    fn from_str(text: &str) -> Result<Self, ParseAllowedIpError> {
        let (addr, cidr) = match text.split_once('/') {
            Some((addr, cidr)) => (addr, Some(cidr)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| ParseAllowedIpError::Address)?;
        let whole = Self::from(addr);
        let Some(cidr) = cidr else { return Ok(whole) };
        // The number parser of the standard library would take a sign.
        let digits = cidr.bytes().all(|byte| byte.is_ascii_digit());
        cidr.parse()
            .ok()
            .filter(|_| digits)
            .and_then(|cidr| Self::new(addr, cidr))
            .ok_or(ParseAllowedIpError::PrefixLength { max: whole.cidr })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn text_is_read_and_printed_with_the_host_bits_cleared() {
        for (text, printed) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/31", "10.1.2.2/31"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("255.255.255.255/0", "0.0.0.0/0"),
            ("fd00:1:2:3:4:5:6:7/64", "fd00:1:2:3::/64"),
            ("fd00::1", "fd00::1/128"),
            ("::ffff/127", "::fffe/127"),
            ("ffff::/0", "::/0"),
        ] {
            let net: AllowedIp = text.parse().unwrap();
            assert_eq!(net.to_string(), printed);
            assert_eq!(net.to_string().parse(), Ok(net));
        }
    }

    #[test]
    fn an_error_says_what_was_expected() {
        for (text, expected) in [
            ("", "expected an IPv4 or IPv6 address, like 10.0.0.0/8 or fd00::/64"),
            ("10.0.0/8", "expected an IPv4 or IPv6 address, like 10.0.0.0/8 or fd00::/64"),
            ("vpn.example", "expected an IPv4 or IPv6 address, like 10.0.0.0/8 or fd00::/64"),
            (" 10.0.0.0/8", "expected an IPv4 or IPv6 address, like 10.0.0.0/8 or fd00::/64"),
            ("10.0.0.0/33", "expected a number from 0 to 32 after the slash"),
            ("10.0.0.0/", "expected a number from 0 to 32 after the slash"),
            ("10.0.0.0/+8", "expected a number from 0 to 32 after the slash"),
            ("10.0.0.0/8/8", "expected a number from 0 to 32 after the slash"),
            ("10.0.0.0/256", "expected a number from 0 to 32 after the slash"),
            ("fd00::/129", "expected a number from 0 to 128 after the slash"),
            ("fd00::/-1", "expected a number from 0 to 128 after the slash"),
        ] {
            assert_eq!(text.parse::<AllowedIp>().unwrap_err().to_string(), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn parsing_never_panics_and_printing_reads_back(text in "[0-9a-f:./+ ]{0,24}") {
            if let Ok(net) = text.parse::<AllowedIp>() {
                prop_assert_eq!(net.to_string().parse(), Ok(net));
            }
        }

        #[test]
        fn the_prefix_is_kept_and_the_rest_cleared(bits: u128, cidr in 0..=128_u8) {
            let net = AllowedIp::new(Ipv6Addr::from_bits(bits).into(), cidr).unwrap();
            let IpAddr::V6(addr) = net.addr() else { panic!() };
            for bit in 0..128 {
                let expected = bit < cidr && bits >> (127 - bit) & 1 == 1;
                prop_assert_eq!(addr.to_bits() >> (127 - bit) & 1 == 1, expected);
            }
            let v4 = Ipv4Addr::from_bits((bits >> 96) as u32);
            let net = AllowedIp::new(v4.into(), cidr);
            prop_assert_eq!(net.is_some(), cidr <= 32);
            if let Some(IpAddr::V4(addr)) = net.map(AllowedIp::addr) {
                prop_assert_eq!(addr.to_bits(), v4.to_bits() & (u64::MAX << (32 - cidr)) as u32);
            }
        }
    }
}
