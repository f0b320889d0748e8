//! What is wrong with a configuration, and where.

use core::fmt;

use super::section::Section;
use crate::keys::ParseKeyError;

/// The first thing that is wrong with a configuration.
///
/// It holds no part of the text, so it can be logged: a key that stands in the wrong place is
/// not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ParseError {
    /// The line, from 1.
    pub line: u32,
    /// The column where the wrong part begins, in characters from 1.
    pub column: u32,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.kind)
    }
}

impl core::error::Error for ParseError {}

/// What is wrong with a configuration or with one value of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A line begins with `[` and does not end with `]`.
    HeaderEnd,
    /// A section has another name than the two.
    UnknownSection,
    /// A line is not a section and has no `=`.
    NoEqualsSign,
    /// A key stands before the first section.
    NoSection,
    /// A key has a name that no key of its section has.
    UnknownKey(Section),
    /// A key of the other section stands in this one.
    OtherSection(Section),
    /// A key of AmneziaWG, whose messages WireGuard does not understand.
    AmneziaWg,
    /// A `Reserved`, which some servers want in three bytes that WireGuard leaves zero.
    Reserved,
    /// Nothing stands after the `=`.
    NoValue,
    /// There is no `[Interface]`.
    NoInterface,
    /// The `[Peer]` has no `PublicKey`.
    NoPublicKey,
    /// A character that nobody sees, such as a no-break space.
    Hidden(char),
    /// A value is in quotes.
    Quotes,
    /// The text is UTF-16.
    Utf16,
    /// The text is neither UTF-8 nor UTF-16.
    NotUtf8,
    /// A key is not 32 bytes in base64.
    Key(ParseKeyError),
    /// A `ListenPort` is not a port.
    ListenPort,
    /// A `FwMark` is not a 32-bit number.
    FwMark,
    /// An `MTU` is not the size of an IP packet.
    Mtu,
    /// A `DNS` server is not an address.
    Dns,
    /// An address is not an IP address.
    Address,
    /// A prefix length is not from 0 to this.
    PrefixLength(u8),
    /// An address begins with `+` or `-`.
    SignedAddress,
    /// An endpoint is a URL.
    EndpointUrl,
    /// An endpoint's `[` has no `]`.
    EndpointBracket,
    /// What stands in an endpoint's brackets is not an IPv6 address.
    EndpointIpv6,
    /// An endpoint is an IPv6 address without brackets.
    EndpointNoBrackets,
    /// An endpoint's host is not an IPv4 address, and no name either.
    EndpointHost,
    /// An endpoint has no port.
    EndpointNoPort,
    /// An endpoint's port is not a port that can be sent to.
    EndpointPort,
    /// A `PersistentKeepalive` is not a time.
    PersistentKeepalive,
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderEnd => "the section has no end, expected ] after its name",
            Self::UnknownSection => "the section is unknown, expected [Interface] or [Peer]",
            Self::NoEqualsSign => {
                "the line is not understood, expected [Section], Key = value or # comment"
            }
            Self::NoSection => "the key is in no section, expected [Interface] or [Peer] before it",
            Self::UnknownKey(Section::Interface) => {
                "the key is unknown, expected PrivateKey, ListenPort, FwMark, Address, DNS, MTU, \
                 Table, SaveConfig, PreUp, PostUp, PreDown or PostDown in [Interface]"
            }
            Self::UnknownKey(Section::Peer) => {
                "the key is unknown, expected PublicKey, PresharedKey, AllowedIPs, Endpoint or \
                 PersistentKeepalive in [Peer]"
            }
            Self::OtherSection(Section::Interface) => {
                "the key is in [Interface], expected it in [Peer]"
            }
            Self::OtherSection(Section::Peer) => "the key is in [Peer], expected it in [Interface]",
            Self::AmneziaWg => {
                "this file needs AmneziaWG, which is another protocol: ask the provider for a \
                 file for WireGuard"
            }
            Self::Reserved => {
                "Reserved is not part of WireGuard: remove the line, or use another server if \
                 this one insists on it"
            }
            Self::NoValue => "the key has no value, expected one after =",
            Self::NoInterface => "there is no [Interface], expected one",
            Self::NoPublicKey => "the [Peer] has no PublicKey, expected one",
            Self::Hidden(found) => {
                let (name, code) = (name_of(*found), u32::from(*found));
                return write!(f, "here is {name} (U+{code:04X}), which cannot be seen: remove it");
            }
            Self::Quotes => "the value is in quotes: remove them",
            Self::Utf16 => "the text is UTF-16: save it as UTF-8",
            Self::NotUtf8 => "the text is not UTF-8: save it as UTF-8",
            Self::Key(error) => return error.fmt(f),
            Self::ListenPort => "the port is wrong, expected a number from 0 to 65535",
            Self::FwMark => "the mark is wrong, expected off or a number of 32 bits, decimal or 0x",
            Self::Mtu => "the MTU is wrong, expected a number from 68 to 65535",
            Self::Dns => "the DNS server is wrong, expected an IP address or a search domain",
            Self::Address => "the address is wrong, expected an IPv4 or IPv6 address",
            Self::PrefixLength(max) => {
                return write!(f, "the prefix length is wrong, expected a number from 0 to {max}");
            }
            Self::SignedAddress => "the address has a sign, expected the whole list without + or -",
            Self::EndpointUrl => "the endpoint is a URL, expected host:port without https://",
            Self::EndpointBracket => "the endpoint has no ], expected [IPv6 address]:port",
            Self::EndpointIpv6 => "the endpoint is wrong, expected an IPv6 address in the brackets",
            Self::EndpointNoBrackets => {
                "the endpoint has no brackets, expected [IPv6 address]:port"
            }
            Self::EndpointHost => "the host is wrong, expected an IP address or a name",
            Self::EndpointNoPort => "the endpoint has no port, expected host:port",
            Self::EndpointPort => "the port is wrong, expected a number from 1 to 65535",
            Self::PersistentKeepalive => {
                "the keepalive is wrong, expected off or seconds from 0 to 65535"
            }
        })
    }
}

impl core::error::Error for ParseErrorKind {}

/// What is wrong with a part of the text. The part itself says where it is.
#[derive(Clone, Copy)]
pub(super) struct Fault<'t> {
    part: &'t str,
    pub(super) kind: ParseErrorKind,
}

impl<'t> Fault<'t> {
    pub(super) const fn new(part: &'t str, kind: ParseErrorKind) -> Self {
        Self { part, kind }
    }

    /// Finds the line and column in the `text` of which the part is a slice.
    pub(super) fn locate(self, text: &str) -> ParseError {
        let offset = self.part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        let before = text.get(..offset).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        ParseError {
            line: one_more(before.matches('\n').count()),
            column: one_more(line.chars().count()),
            kind: self.kind,
        }
    }
}

fn one_more(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1)
}

/// What a character that nobody sees is called.
const fn name_of(hidden: char) -> &'static str {
    match hidden {
        '\u{a0}' | '\u{2007}' | '\u{202f}' => "a no-break space",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' | '\u{200d}' | '\u{2060}' => "a zero-width joiner",
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "a mark of direction"
        }
        '\u{ad}' => "a soft hyphen",
        '\u{feff}' => "a byte order mark",
        _ => "an unusual space",
    }
}
