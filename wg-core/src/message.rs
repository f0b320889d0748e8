//! The four messages on the wire (whitepaper section 5.4.2 to 5.4.7).
//!
//! Views without alignment, so any buffer will do. The three handshake messages have exact
//! lengths; what the MACs cover is a struct of its own, so that no length can be got wrong.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::refusal::Refusal;

/// Bytes of a handshake initiation.
pub const INITIATION_LEN: usize = size_of::<Initiation>();
/// Bytes of a handshake response.
pub const RESPONSE_LEN: usize = size_of::<Response>();
/// Bytes of the two MACs at the end of an initiation and of a response.
pub(crate) const MACS_LEN: usize = size_of::<Macs>();
/// Bytes of a cookie reply.
pub const COOKIE_REPLY_LEN: usize = size_of::<CookieReply>();
/// Bytes before the ciphertext of a data message: the head room that [`Device::seal`] needs.
///
/// [`Device::seal`]: crate::Device::seal
pub const DATA_HEADER_LEN: usize = size_of::<DataHeader>();
/// Bytes of an authentication tag: the tail room that [`Device::seal`] needs after padding.
///
/// [`Device::seal`]: crate::Device::seal
pub const TAG_LEN: usize = 16;
/// Bytes that a data message adds to the padded inner packet.
pub const DATA_OVERHEAD: usize = DATA_HEADER_LEN + TAG_LEN;

/// The first four bytes, read as one little-endian number: the type and three reserved zeros.
pub(crate) mod kind {
    pub(crate) const INITIATION: u32 = 1;
    pub(crate) const RESPONSE: u32 = 2;
    pub(crate) const COOKIE_REPLY: u32 = 3;
    pub(crate) const DATA: u32 = 4;
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Macs {
    pub(crate) mac1: [u8; 16],
    pub(crate) mac2: [u8; 16],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct InitiationBody {
    pub(crate) kind: U32,
    pub(crate) sender: U32,
    pub(crate) ephemeral: [u8; 32],
    pub(crate) encrypted_static: Sealed<32>,
    pub(crate) encrypted_timestamp: Sealed<12>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Initiation {
    pub(crate) body: InitiationBody,
    pub(crate) macs: Macs,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ResponseBody {
    pub(crate) kind: U32,
    pub(crate) sender: U32,
    pub(crate) receiver: U32,
    pub(crate) ephemeral: [u8; 32],
    pub(crate) encrypted_nothing: Sealed<0>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Response {
    pub(crate) body: ResponseBody,
    pub(crate) macs: Macs,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct CookieReply {
    pub(crate) kind: U32,
    pub(crate) receiver: U32,
    pub(crate) nonce: [u8; 24],
    pub(crate) encrypted_cookie: Sealed<16>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct DataHeader {
    pub(crate) kind: U32,
    pub(crate) receiver: U32,
    pub(crate) counter: U64,
}

/// A ciphertext of `N` bytes and its tag.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Sealed<const N: usize> {
    pub(crate) text: [u8; N],
    pub(crate) tag: [u8; TAG_LEN],
}

// The wire format. A layout change would break interoperability and nothing else would say so.
const _: () = {
    assert!(INITIATION_LEN == 148 && RESPONSE_LEN == 92);
    assert!(COOKIE_REPLY_LEN == 64 && DATA_HEADER_LEN == 16);
    assert!(size_of::<InitiationBody>() == 116 && size_of::<ResponseBody>() == 60);
    // Replies overwrite the request in the caller's buffer.
    assert!(RESPONSE_LEN <= INITIATION_LEN && COOKIE_REPLY_LEN <= RESPONSE_LEN);
};

/// A datagram told apart by its type and length.
pub(crate) enum Message<'b> {
    /// Of 148 bytes.
    Initiation,
    /// Of 92 bytes.
    Response,
    /// Of 64 bytes.
    CookieReply,
    Data(&'b DataHeader),
}

impl<'b> Message<'b> {
    /// Refuses unknown types, set reserved bits and wrong lengths.
    pub(crate) fn parse(datagram: &'b [u8]) -> Result<Self, Refusal> {
        let (&kind, _) = U32::ref_from_prefix(datagram).map_err(|_| Refusal::Malformed)?;
        let message = match kind.get() {
            kind::INITIATION if datagram.len() == INITIATION_LEN => Some(Self::Initiation),
            kind::RESPONSE if datagram.len() == RESPONSE_LEN => Some(Self::Response),
            kind::COOKIE_REPLY if datagram.len() == COOKIE_REPLY_LEN => Some(Self::CookieReply),
            kind::DATA if datagram.len() >= DATA_OVERHEAD => {
                DataHeader::ref_from_prefix(datagram).ok().map(|(header, _)| Self::Data(header))
            }
            _ => None,
        };
        message.ok_or(Refusal::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(kind: u32, len: usize) -> bool {
        let mut datagram = [0; 2048];
        datagram[..4].copy_from_slice(&kind.to_le_bytes());
        Message::parse(&datagram[..len]).is_ok()
    }

    #[test]
    fn handshake_messages_have_exact_lengths_and_data_a_least_one() {
        for len in 4..300 {
            assert_eq!(parses(kind::INITIATION, len), len == 148);
            assert_eq!(parses(kind::RESPONSE, len), len == 92);
            assert_eq!(parses(kind::COOKIE_REPLY, len), len == 64);
            assert_eq!(parses(kind::DATA, len), len >= 32);
        }
        for len in 0..4 {
            assert!(Message::parse(&[1, 0, 0, 0][..len]).is_err());
        }
    }

    #[test]
    fn a_reserved_byte_that_is_not_zero_is_refused() {
        for (kind, len) in [(1, 148), (2, 92), (3, 64), (4, 32)] {
            assert!(parses(kind, len));
            for byte in 1..4 {
                assert!(!parses(kind | 1 << (8 * byte), len));
            }
        }
    }

    #[test]
    fn an_unknown_type_is_refused_at_every_length() {
        for kind in [0, 5, 6, 255] {
            assert!((4..300).all(|len| !parses(kind, len)));
        }
    }
}
