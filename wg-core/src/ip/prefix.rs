//! The leading bits of an address, in machine words.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::AllowedIp;

/// An address range as the trie compares it, 20 bytes. The bits after the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// Most significant first; IPv4 has the first word only.
    words: [u32; 4],
    length: u8,
    v6: bool,
}

impl Prefix {
    pub(crate) const ZERO: Self = Self { words: [0; 4], length: 0, v6: false };

    /// The range of one address.
    pub(crate) fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => Self::v4(addr.octets()),
            IpAddr::V6(addr) => Self::v6(&addr.octets()),
        }
    }

    /// The range of one IPv4 address.
    pub(crate) const fn v4(octets: [u8; 4]) -> Self {
        Self { words: [u32::from_be_bytes(octets), 0, 0, 0], length: 32, v6: false }
    }

    /// The range of one IPv6 address.
    pub(crate) fn v6(octets: &[u8; 16]) -> Self {
        let words: &[[u8; 4]; 4] = zerocopy::transmute_ref!(octets);
        Self { words: words.map(u32::from_be_bytes), length: 128, v6: true }
    }

    pub(crate) const fn is_v6(&self) -> bool {
        self.v6
    }

    /// Whether `other`, of the same family, begins with this prefix.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        if self.length > other.length {
            return false;
        }
        let mut left = u32::from(self.length);
        for (ours, theirs) in self.words.iter().zip(&other.words) {
            // All but the bits after the prefix have to agree.
            let ignored = u32::MAX.checked_shr(left).unwrap_or(0);
            if (ours ^ theirs) & !ignored != 0 {
                return false;
            }
            left = left.saturating_sub(32);
            if left == 0 {
                break;
            }
        }
        true
    }

    /// The longest prefix that contains both, where neither contains the other.
    pub(crate) fn shared_with(&self, other: &Self) -> Self {
        let length = self.shared_bits(other);
        let mut words = self.words;
        let mut left = u32::from(length);
        for word in &mut words {
            *word &= !u32::MAX.checked_shr(left).unwrap_or(0);
            left = left.saturating_sub(32);
        }
        Self { words, length, v6: self.v6 }
    }

    /// The first bit after `outer`, which contains this prefix; 0 when both are the same.
    pub(crate) fn branch_after(&self, outer: &Self) -> usize {
        let word = self.words.get(usize::from(outer.length / 32)).copied().unwrap_or(0);
        (word >> (31 - outer.length % 32) & 1) as usize
    }

    pub(crate) fn to_allowed_ip(self) -> Option<AllowedIp> {
        let [a, b, c, d] = self.words;
        let addr = if self.v6 {
            let high = u64::from(a) << 32 | u64::from(b);
            let low = u64::from(c) << 32 | u64::from(d);
            IpAddr::from(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
        } else {
            IpAddr::from(Ipv4Addr::from_bits(a))
        };
        AllowedIp::new(addr, self.length)
    }

    /// How many leading bits of the two are the same, zeros after the prefixes included.
    fn shared_bits(&self, other: &Self) -> u8 {
        let mut shared = 0_u8;
        for (ours, theirs) in self.words.iter().zip(&other.words) {
            let same = (ours ^ theirs).leading_zeros();
            shared = shared.saturating_add(same as u8);
            if same < 32 {
                break;
            }
        }
        shared
    }
}

impl From<AllowedIp> for Prefix {
    fn from(net: AllowedIp) -> Self {
        Self { length: net.cidr(), ..Self::of(net.addr()) }
    }
}
