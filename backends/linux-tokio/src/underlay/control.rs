//! What goes with a datagram to the kernel: control messages, in place.
//!
//! nix would put them on the heap, for every call anew.

/// Control messages, one after the other, as the kernel reads them: the length with the header, two
/// integers, the data, and a gap to where the next one is aligned.
#[derive(Debug)]
pub(super) struct Control {
    bytes: [u8; Self::ROOM],
    len: usize,
}

impl Control {
    /// A traffic class, an address of ours and a segment's length.
    const ROOM: usize = 3 * (Self::HEADER + 24);
    const HEADER: usize = size_of::<usize>() + 8;

    pub(super) const fn new() -> Self {
        Self { bytes: [0; Self::ROOM], len: 0 }
    }

    /// Adds a message of up to 24 bytes.
    pub(super) fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let end = self.len + Self::HEADER + data.len();
        let Some(message) = self.bytes.get_mut(self.len..end) else { return };
        let length = message.len().to_ne_bytes();
        let parts: [&[u8]; 4] = [&length, &level.to_ne_bytes(), &kind.to_ne_bytes(), data];
        let mut rest = message;
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        self.len = end.next_multiple_of(size_of::<usize>());
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use nix::cmsg_space;
    use nix::libc;

    use super::*;

    #[test]
    fn they_lie_as_the_c_library_has_them() {
        let mut control = Control::new();
        control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &7i32.to_ne_bytes());
        let first = cmsg_space!(i32).capacity();
        assert_eq!(control.bytes().len(), first);
        control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &[1; 20]);
        assert_eq!(control.bytes().len(), first + cmsg_space!(libc::in6_pktinfo).capacity());
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &1452u16.to_ne_bytes());
        assert_eq!(control.bytes().len(), cmsg_space!(i32, libc::in6_pktinfo, u16).capacity());
    }
}
