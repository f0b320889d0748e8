//! Every result that C can see: a number, a name and a sentence.

use core::ffi::c_int;

use wg_core::{AddPeerError, ParseKeyError, Refusal, RoutesFull};

/// A number of `enum wg_result`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Code(pub(crate) c_int);

/// What a function of the engine answers: `WG_OK`, or another code.
pub(crate) type Outcome = Result<(), Code>;

macro_rules! codes {
    ($($constant:ident = $number:literal, $name:literal, $sentence:literal;)+) => {
        impl Code {
            $(pub(crate) const $constant: Self = Self($number);)+

            /// Everything but refusals, for tests of the header.
            #[cfg(test)]
            pub(crate) const ALL: &[(c_int, &str)] = &[$(($number, $name)),+];

            fn own(self) -> Option<(&'static [u8], &'static [u8])> {
                Some(match self.0 {
                    $($number => (
                        concat!($name, "\0").as_bytes(),
                        concat!($sentence, "\0").as_bytes(),
                    ),)+
                    _ => return None,
                })
            }
        }
    };
}

codes! {
    OK = 0, "WG_OK", "no error";
    NONE = 1, "WG_NONE", "there is nothing, or no more";
    IDLE = 2, "WG_IDLE", "there is no session, and nothing asked for one";
    HANDSHAKING = 3, "WG_HANDSHAKING", "the first handshake message is on its way";
    NULL = -1, "WG_ERR_NULL", "a pointer is NULL that must not be";
    NOT_INITIALIZED = -2, "WG_ERR_NOT_INITIALIZED",
        "the engine was wiped or never initialised: call wg_init first";
    BUSY = -3, "WG_ERR_BUSY",
        "the engine is in another call: do not call it from its callbacks or from two threads at once";
    ARGUMENT = -4, "WG_ERR_ARGUMENT", "a number is out of its range";
    STORAGE_SIZE = -5, "WG_ERR_STORAGE_SIZE",
        "the memory is too small: give as many bytes as wg_storage_size says";
    STORAGE_ALIGN = -6, "WG_ERR_STORAGE_ALIGN",
        "the memory's address is no multiple of 8: define it by WG_STORAGE";
    RANDOM = -7, "WG_ERR_RANDOM",
        "the random source failed or repeats itself, and without randomness there is no handshake: \
         check that it is switched on";
    KEY_LENGTH = -8, "WG_ERR_KEY_LENGTH", "the key has not 44 characters of base64";
    KEY_BASE64 = -9, "WG_ERR_KEY_BASE64",
        "the key is not base64 of 32 bytes, expected 43 of A-Z a-z 0-9 + / and one =";
    KEY_ZERO = -10, "WG_ERR_KEY_ZERO", "the private key is all zero";
    ADDRESS = -11, "WG_ERR_ADDRESS",
        "this is no IPv4 or IPv6 address, like 10.0.0.0/8 or fd00::/64";
    ENDPOINT = -12, "WG_ERR_ENDPOINT", "the endpoint has no address or no port";
    PEERS_FULL = -13, "WG_ERR_PEERS_FULL",
        "there is no room for another peer: give wg_init memory for more";
    ROUTES_FULL = -14, "WG_ERR_ROUTES_FULL",
        "there is no room for another allowed IP: give wg_init memory for more";
    OWN_KEY = -15, "WG_ERR_OWN_KEY",
        "the peer's public key is our own: enter the other side's";
    NO_PEER = -16, "WG_ERR_NO_PEER", "there is no such peer, or it was removed";
    NO_SESSION = -17, "WG_ERR_NO_SESSION", "there is no session yet; a handshake is asked for";
    BUFFER = -18, "WG_ERR_BUFFER", "the buffer is too small";
    ROUTING_LOOP = -19, "WG_ERR_ROUTING_LOOP",
        "the tunnel's own datagram was routed into the tunnel: the endpoint needs a route of its own";
    TEXT = -20, "WG_ERR_TEXT", "the text is not UTF-8";
    CONFIG = -21, "WG_ERR_CONFIG", "the wg-quick text has a mistake";
    NO_PRIVATE_KEY = -22, "WG_ERR_NO_PRIVATE_KEY",
        "[Interface] has no PrivateKey: enter one, or give the engine its key before";
    RECORD = -23, "WG_ERR_RECORD",
        "the lasting memory cannot be read or written, and without it timestamps may not rise";
}

/// The text with a zero at its end. `N` is one more than its length.
const fn terminated<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut rest = text.as_bytes();
    let mut at = 0;
    while let [first, others @ ..] = rest
        && at < N
    {
        bytes[at] = *first;
        at += 1;
        rest = others;
    }
    bytes
}

macro_rules! refusals {
    ($($refusal:ident = $name:literal,)+) => {
        fn refused(refusal: Refusal) -> (&'static [u8], &'static [u8]) {
            match refusal {
                $(Refusal::$refusal => (concat!($name, "\0").as_bytes(), {
                    const TEXT: &str = Refusal::$refusal.sentence();
                    const BYTES: [u8; TEXT.len() + 1] = terminated(TEXT);
                    &BYTES
                }),)+
                // The tests ask for the name of each.
                _ => (b"WG_REFUSED\0", b"the packet was refused\0"),
            }
        }
    };
}

refusals! {
    Malformed = "WG_REFUSED_MALFORMED",
    Down = "WG_REFUSED_DOWN",
    NoPrivateKey = "WG_REFUSED_NO_PRIVATE_KEY",
    ClockNotSet = "WG_REFUSED_CLOCK_NOT_SET",
    ClockReserve = "WG_REFUSED_CLOCK_RESERVE",
    NoEndpoint = "WG_REFUSED_NO_ENDPOINT",
    Unanswered = "WG_REFUSED_UNANSWERED",
    NoRoute = "WG_REFUSED_NO_ROUTE",
    Mac1Mismatch = "WG_REFUSED_MAC1_MISMATCH",
    SourceLimit = "WG_REFUSED_SOURCE_LIMIT",
    ZeroSharedSecret = "WG_REFUSED_ZERO_SHARED_SECRET",
    StaticUndecryptable = "WG_REFUSED_STATIC_UNDECRYPTABLE",
    UnknownPeer = "WG_REFUSED_UNKNOWN_PEER",
    TimestampUndecryptable = "WG_REFUSED_TIMESTAMP_UNDECRYPTABLE",
    StaleTimestamp = "WG_REFUSED_STALE_TIMESTAMP",
    InitiationFlood = "WG_REFUSED_INITIATION_FLOOD",
    UnknownIndex = "WG_REFUSED_UNKNOWN_INDEX",
    ResponseUndecryptable = "WG_REFUSED_RESPONSE_UNDECRYPTABLE",
    UnexpectedCookie = "WG_REFUSED_UNEXPECTED_COOKIE",
    CookieUndecryptable = "WG_REFUSED_COOKIE_UNDECRYPTABLE",
    SessionExpired = "WG_REFUSED_SESSION_EXPIRED",
    CounterExhausted = "WG_REFUSED_COUNTER_EXHAUSTED",
    Replayed = "WG_REFUSED_REPLAYED",
    TooOld = "WG_REFUSED_TOO_OLD",
    Forged = "WG_REFUSED_FORGED",
    SessionGone = "WG_REFUSED_SESSION_GONE",
    MalformedInner = "WG_REFUSED_MALFORMED_INNER",
    NotAllowedSource = "WG_REFUSED_NOT_ALLOWED_SOURCE",
    CongestionLost = "WG_REFUSED_CONGESTION_LOST",
}

/// The number of the first refusal; the others follow below it.
const FIRST_REFUSAL: c_int = -100;

impl From<Refusal> for Code {
    fn from(refusal: Refusal) -> Self {
        // Refusals are numbered from 1.
        let position = c_int::from(refusal as u8).saturating_sub(1);
        Self(FIRST_REFUSAL.saturating_sub(position))
    }
}

impl From<ParseKeyError> for Code {
    fn from(error: ParseKeyError) -> Self {
        match error {
            ParseKeyError::Length { .. } => Self::KEY_LENGTH,
            ParseKeyError::Zero => Self::KEY_ZERO,
            ParseKeyError::Base64 | ParseKeyError::Hex => Self::KEY_BASE64,
        }
    }
}

impl From<AddPeerError> for Code {
    fn from(error: AddPeerError) -> Self {
        match error {
            AddPeerError::Full => Self::PEERS_FULL,
            AddPeerError::OwnKey => Self::OWN_KEY,
        }
    }
}

impl From<RoutesFull> for Code {
    fn from(_: RoutesFull) -> Self {
        Self::ROUTES_FULL
    }
}

impl Code {
    pub(crate) fn refusal(self) -> Option<Refusal> {
        let position = FIRST_REFUSAL.checked_sub(self.0)?;
        Refusal::ALL.get(usize::try_from(position).ok()?).copied()
    }

    /// The name and the sentence, each with a zero at its end.
    pub(crate) fn texts(self) -> (&'static [u8], &'static [u8]) {
        match self.refusal() {
            Some(refusal) => refused(refusal),
            None => self.own().unwrap_or((b"?\0", b"there is no such code\0")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The entries of `enum wg_result` as the header has them.
    fn header() -> BTreeMap<String, c_int> {
        let text = include_str!("../include/wg.h");
        let (_, text) = text.split_once("enum wg_result {").unwrap();
        let (text, _) = text.split_once("};").unwrap();
        let entries = text.lines().filter_map(|line| line.trim().split_once(" = "));
        let number = |text: &str| text.split([',', ' ', '/']).next().unwrap().parse().unwrap();
        entries.map(|(name, value)| (name.to_owned(), number(value))).collect()
    }

    fn text(bytes: &[u8]) -> &str {
        core::ffi::CStr::from_bytes_with_nul(bytes).unwrap().to_str().unwrap()
    }

    #[test]
    fn the_header_has_every_code_with_its_number_and_no_other() {
        let mut header = header();
        for (number, name) in Code::ALL {
            assert_eq!(header.remove(*name), Some(*number), "{name}");
            assert_eq!(text(Code(*number).texts().0), *name);
        }
        for &refusal in Refusal::ALL {
            let code = Code::from(refusal);
            let (name, sentence) = code.texts();
            let spelled = refusal.name().bytes().fold(String::new(), |mut name, byte| {
                if byte.is_ascii_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(byte.to_ascii_uppercase().into());
                name
            });
            assert_eq!(text(name), format!("WG_REFUSED_{spelled}"));
            assert_eq!(text(sentence), refusal.to_string());
            assert_eq!(header.remove(text(name)), Some(code.0), "{refusal:?}");
            assert_eq!(code.refusal(), Some(refusal));
        }
        assert!(header.is_empty(), "only in the header: {header:?}");
    }

    #[test]
    fn a_number_that_is_no_code_has_a_text_too() {
        for number in [c_int::MIN, -1000, -99, -24, 4, c_int::MAX] {
            assert_eq!(text(Code(number).texts().0), "?", "{number}");
        }
    }
}
