//! The Internet checksum, and where in an IP packet the transport header is.

/// The checksum (RFC 1071) over parts of even length, but for the last one.
pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0_u64;
    for part in parts {
        let (words, odd) = part.as_chunks::<2>();
        for word in words {
            sum = sum.wrapping_add(u16::from_be_bytes(*word).into());
        }
        if let Some(byte) = odd.first() {
            sum = sum.wrapping_add(u64::from(*byte) << 8);
        }
    }
    (!fold(sum)).to_be_bytes()
}

/// The checksum after one word of what it covers changed (RFC 1624, equation 3).
pub(crate) fn updated(checksum: [u8; 2], old: u16, new: u16) -> [u8; 2] {
    let old_sum = u64::from(!u16::from_be_bytes(checksum));
    let sum = old_sum.wrapping_add(u64::from(!old)).wrapping_add(new.into());
    (!fold(sum)).to_be_bytes()
}

/// Four folds carry what 64 bits hold.
fn fold(mut sum: u64) -> u16 {
    for _ in 0..4 {
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    (sum & 0xffff) as u16
}

/// So many extension headers are looked through. RFC 8200 knows of six that can stand there.
const EXTENSIONS: usize = 8;

/// The protocol in an IP packet and where its header begins; `None` for a later fragment, and
/// for what is no IP packet.
pub(crate) fn transport(packet: &[u8]) -> Option<(u8, usize)> {
    match packet.first()? >> 4 {
        4 => {
            let header: &[u8; 20] = packet.first_chunk()?;
            let len = usize::from(header[0] & 0x0f).checked_mul(4)?;
            let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
            (len >= 20 && fragment == 0).then_some((header[9], len))
        }
        6 => {
            let header: &[u8; 40] = packet.first_chunk()?;
            let (mut protocol, mut at) = (header[6], 40_usize);
            for _ in 0..EXTENSIONS {
                let [next, len, high, low] = match protocol {
                    // Hop by hop, routing, fragment, for the destination.
                    0 | 43 | 44 | 60 => *packet.get(at..)?.first_chunk()?,
                    _ => return Some((protocol, at)),
                };
                let len = if protocol != 44 {
                    usize::from(len).checked_add(1)?.checked_mul(8)?
                } else if u16::from_be_bytes([high, low]) & !7 == 0 {
                    8
                } else {
                    return None;
                };
                (protocol, at) = (next, at.checked_add(len)?);
            }
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_the_rfc() {
        // RFC 1071, section 3: the sum of these is ddf2.
        assert_eq!(
            checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]),
            [!0xdd, !0xf2]
        );
        assert_eq!(checksum(&[&[0x12]]), [!0x12, 0xff]);
    }

    #[test]
    fn an_updated_checksum_is_that_of_the_changed_bytes() {
        for old in [0_u16, 1, 0x7fff, 0xfffe, 0xffff] {
            for new in [0_u16, 1, 0x8000, 0xfffe, 0xffff] {
                let rest = [0x45, 0xc0];
                let before = checksum(&[&rest, &old.to_be_bytes()]);
                let after = checksum(&[&rest, &new.to_be_bytes()]);
                assert_eq!(updated(before, old, new), after, "{old} to {new}");
            }
        }
    }

    #[test]
    fn a_transport_header_is_found_behind_options_and_extensions() {
        let mut v4 = [0; 40];
        (v4[0], v4[9]) = (0x46, 6);
        assert_eq!(transport(&v4), Some((6, 24)));
        v4[7] = 1;
        assert_eq!(transport(&v4), None, "a later fragment has none");

        let mut v6 = [0; 100];
        (v6[0], v6[6]) = (0x60, 0);
        (v6[40], v6[41]) = (43, 1); // hop by hop, 16 bytes
        v6[56] = 44; // routing, 8 bytes
        v6[64] = 6; // fragment, the first one
        assert_eq!(transport(&v6), Some((6, 72)));
        v6[67] = 8;
        assert_eq!(transport(&v6), None, "a later fragment has none");
        let mut endless = [0; 200];
        endless[0] = 0x60;
        assert_eq!(transport(&endless), None, "extensions without an end");
        assert_eq!(transport(&[]), None);
        assert_eq!(transport(&[0x50; 60]), None);
    }
}
