//! The size of TCP segments that fits the tunnel.

use crate::checksum::{transport, updated};

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const SYN: u8 = 2;
/// Kinds of TCP options.
const END: u8 = 0;
const NOTHING: u8 = 1;
const MSS: u8 = 2;

/// Lowers the segment size that a TCP connection asks for, where such segments would make
/// packets longer than `mtu`. Says whether it did.
///
/// To be called for packets in both directions. Only the first packets of a connection name a
/// size (RFC 9293); everything else is left as it is. A connection that names none uses 536 bytes
/// over IPv4 and 1220 over IPv6, which fit everywhere.
pub fn clamp_mss(packet: &mut [u8], mtu: u16) -> bool {
    try_clamp(packet, mtu).is_some()
}

fn try_clamp(packet: &mut [u8], mtu: u16) -> Option<()> {
    let (TCP, at) = transport(packet)? else { return None };
    // Without options of IP and TCP, for which whoever uses them makes room (RFC 6691).
    let headers = if packet.first()? >> 4 == 4 { 40 } else { 60 };
    let fits = mtu.checked_sub(headers)?;
    let segment = packet.get_mut(at..)?;
    let header: &[u8; TCP_HEADER] = segment.first_chunk()?;
    if header[13] & SYN == 0 {
        return None;
    }
    let end = usize::from(header[12] >> 4).checked_mul(4)?;
    let mut option = TCP_HEADER;
    while option < end {
        let len = match *segment.get(option)? {
            END => return None,
            NOTHING => 1,
            kind => {
                let len = usize::from(*segment.get(option.checked_add(1)?)?);
                if kind == MSS && len == 4 && option.checked_add(4)? <= end {
                    return lower(segment, option.checked_add(2)?, fits);
                }
                // Shorter than its own length, it would be read for ever.
                if len < 2 {
                    return None;
                }
                len
            }
        };
        option = option.checked_add(len)?;
    }
    None
}

/// Lowers the two bytes at `at`, and the checksum with them.
fn lower(segment: &mut [u8], at: usize, fits: u16) -> Option<()> {
    let place = segment.get_mut(at..)?.first_chunk_mut::<2>()?;
    let asked = u16::from_be_bytes(*place);
    if asked <= fits {
        return None;
    }
    *place = fits.to_be_bytes();
    let checksum = segment.get_mut(16..18)?.first_chunk_mut::<2>()?;
    // At an odd place it is the low byte of one word and the high byte of the next.
    let is_even = at.is_multiple_of(2);
    let word = |value: u16| if is_even { value } else { value.swap_bytes() };
    *checksum = updated(*checksum, word(asked), word(fits));
    Some(())
}

#[cfg(test)]
#[path = "mss/tests.rs"]
mod tests;
