//! The three kinds of long-lived keys, and their two spellings: base64 and hex.

use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::crypto;
use crate::secret::Secret;

/// Bytes in a key.
pub(crate) const KEY_LEN: usize = 32;
/// Characters of a key in base64, with the `=` at the end.
const BASE64_LEN: usize = 44;
/// Characters of a key in hex.
const HEX_LEN: usize = 64;

/// A Curve25519 private key, always clamped and never all zero.
///
/// An all-zero key means "no identity" to the protocol, and here that is `None`:
/// [`Self::from_bytes`] answers `None` for it and parsing refuses it, so that whoever holds a
/// `PrivateKey` holds an identity.
///
/// Wiped on drop, compared in constant time. `Debug` prints no part of it; the methods that
/// begin with `expose` are the only doors out.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Secret<KEY_LEN>);

impl PrivateKey {
    /// Takes 32 bytes and clamps them; `None` when all of them are zero.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Option<Self> {
        let key = Secret::new(bytes);
        if key.is_zero() { None } else { Some(Self::clamped(key)) }
    }

    /// Draws a new key from `rng`, which must be seeded.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut key = Secret::ZERO;
        rng.fill_bytes(key.as_mut());
        Self::clamped(key)
    }

    /// Reads 64 hex digits of either case, in constant time.
    ///
    /// # Errors
    /// [`ParseKeyError`] says what was expected; [`ParseKeyError::Zero`] for a key of zeros.
    pub fn from_hex(text: &str) -> Result<Self, ParseKeyError> {
        Self::parsed(parse_hex(text)?)
    }

    /// The public key that belongs to this private key. Costs one X25519.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(crypto::public_key(self.0.as_bytes()))
    }

    /// The secret bytes, clamped. Wiping copies of them is the caller's part.
    pub const fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.as_bytes()
    }

    /// The secret in base64, as text that wipes itself.
    pub fn expose_base64(&self) -> KeyText {
        KeyText::base64(&self.0)
    }

    /// The secret in lower-case hex, as text that wipes itself.
    pub fn expose_hex(&self) -> KeyText {
        KeyText::hex(&self.0)
    }

    fn parsed(key: Secret<KEY_LEN>) -> Result<Self, ParseKeyError> {
        if key.is_zero() { Err(ParseKeyError::Zero) } else { Ok(Self::clamped(key)) }
    }

    fn clamped(mut key: Secret<KEY_LEN>) -> Self {
        let bytes = key.as_mut();
        bytes[0] &= 0b1111_1000;
        bytes[31] = (bytes[31] & 0b0111_1111) | 0b0100_0000;
        Self(key)
    }
}

/// Reads base64 of 44 characters, in constant time.
impl FromStr for PrivateKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        Self::parsed(parse_base64(text)?)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// A secret that two peers share besides their keys, mixed into every handshake between them.
///
/// All zero is the protocol's "no preshared key": [`Self::NONE`].
///
/// Wiped on drop, compared in constant time. `Debug` prints no part of it; the methods that
/// begin with `expose` are the only doors out.
#[derive(Clone, PartialEq, Eq)]
pub struct PresharedKey(Secret<KEY_LEN>);

impl PresharedKey {
    /// No preshared key: all zero.
    pub const NONE: Self = Self(Secret::ZERO);

    /// Takes any 32 bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Draws a new key from `rng`, which must be seeded.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut key = Self::NONE;
        rng.fill_bytes(key.0.as_mut());
        key
    }

    /// Reads 64 hex digits of either case, in constant time.
    ///
    /// # Errors
    /// [`ParseKeyError`] says what was expected.
    pub fn from_hex(text: &str) -> Result<Self, ParseKeyError> {
        parse_hex(text).map(Self)
    }

    /// Whether this is [`Self::NONE`], in constant time.
    pub fn is_none(&self) -> bool {
        self.0.is_zero()
    }

    /// The secret bytes. Wiping copies of them is the caller's part.
    pub const fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.as_bytes()
    }

    /// The secret in base64, as text that wipes itself.
    pub fn expose_base64(&self) -> KeyText {
        KeyText::base64(&self.0)
    }

    /// The secret in lower-case hex, as text that wipes itself.
    pub fn expose_hex(&self) -> KeyText {
        KeyText::hex(&self.0)
    }
}

/// Reads base64 of 44 characters, in constant time.
impl FromStr for PresharedKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        parse_base64(text).map(Self)
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(redacted)")
    }
}

/// A Curve25519 public key: the name of a peer.
///
/// `Display` and `Debug` print base64, `{:x}` prints hex.
// Aligned, so that 32-bit processors copy it by words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(align(4))]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// Takes any 32 bytes. Points of low order are refused in the handshake, not here.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hex digits of either case.
    ///
    /// # Errors
    /// [`ParseKeyError`] says what was expected.
    pub fn from_hex(text: &str) -> Result<Self, ParseKeyError> {
        parse_hex(text).map(|key| Self(*key.as_bytes()))
    }

    /// The 32 bytes as they are on the wire.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// Reads base64 of 44 characters.
impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        parse_base64(text).map(|key| Self(*key.as_bytes()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(KeyText::base64(&Secret::new(self.0)).as_str())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for PublicKey {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", KeyText::base64(&Secret::new(self.0)).as_str());
    }
}

impl fmt::LowerHex for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(KeyText::hex(&Secret::new(self.0)).as_str())
    }
}

/// A key in base64 or hex, wiped on drop. It is as secret as the key itself.
pub struct KeyText {
    text: [u8; HEX_LEN],
    len: usize,
}

impl KeyText {
    /// The text, to hand to whoever may see the key.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever written, and `len` is one of two constants.
        let text = self.text.get(..self.len).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }

    fn base64(key: &Secret<KEY_LEN>) -> Self {
        let mut text = [0; HEX_LEN];
        // The only error is a short buffer, and 64 bytes hold 44.
        let len = Base64::encode(key.as_bytes(), &mut text).map_or(0, str::len);
        Self { text, len }
    }

    fn hex(key: &Secret<KEY_LEN>) -> Self {
        let mut text = [0; HEX_LEN];
        let (pairs, _) = text.as_chunks_mut::<2>();
        for (pair, &byte) in pairs.iter_mut().zip(key.as_bytes()) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 0x0f)];
        }
        Self { text, len: HEX_LEN }
    }
}

impl Drop for KeyText {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(redacted)")
    }
}

/// Why a text is not a key. Holds no part of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ParseKeyError {
    /// The text has another length than keys of this spelling have.
    Length {
        /// Characters that a key has: 44 in base64, 64 in hex.
        expected: usize,
        /// Characters that the text has.
        found: usize,
    },
    /// The text has the right length but is not base64 of 32 bytes.
    Base64,
    /// The text has the right length but holds something else than hex digits.
    Hex,
    /// The private key is all zero, which stands for "no identity".
    Zero,
}

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected: BASE64_LEN, found } => {
                write!(f, "the key has the length {found}, expected 44 characters of base64")
            }
            Self::Length { expected, found } => {
                write!(f, "the key has the length {found}, expected {expected} characters of hex")
            }
            Self::Base64 => f.write_str(
                "the key is not base64 of 32 bytes, expected 43 of A-Z a-z 0-9 + / and one =",
            ),
            Self::Hex => f.write_str("the key is not hex, expected 64 of 0-9 a-f A-F"),
            Self::Zero => {
                f.write_str("the private key is all zero, expected a key with an identity")
            }
        }
    }
}

impl core::error::Error for ParseKeyError {}

fn parse_base64(text: &str) -> Result<Secret<KEY_LEN>, ParseKeyError> {
    let text: &[u8; BASE64_LEN] = exact(text)?;
    let mut key = Secret::ZERO;
    match Base64::decode(text, key.as_mut()) {
        Ok(decoded) if decoded.len() == KEY_LEN => Ok(key),
        _ => Err(ParseKeyError::Base64),
    }
}

fn parse_hex(text: &str) -> Result<Secret<KEY_LEN>, ParseKeyError> {
    let text: &[u8; HEX_LEN] = exact(text)?;
    let mut key = Secret::ZERO;
    let mut invalid = 0;
    let (pairs, _) = text.as_chunks::<2>();
    for (byte, &[high, low]) in key.as_mut().iter_mut().zip(pairs) {
        let (high, low) = (hex_value(high), hex_value(low));
        invalid |= high | low;
        *byte = (high << 4) | (low & 0x0f);
    }
    if invalid & 0xf0 == 0 { Ok(key) } else { Err(ParseKeyError::Hex) }
}

fn exact<const LEN: usize>(text: &str) -> Result<&[u8; LEN], ParseKeyError> {
    text.as_bytes()
        .try_into()
        .map_err(|_| ParseKeyError::Length { expected: LEN, found: text.chars().count() })
}

/// The digit of a value below 16, without a branch or a table that would tell which.
const fn hex_digit(nibble: u8) -> u8 {
    // 9 - nibble borrows from 10 on, and that takes the step from '9' to 'a'.
    let letter = 9_u8.wrapping_sub(nibble) >> 7;
    b'0'.wrapping_add(nibble).wrapping_add(letter.wrapping_mul(b'a' - b'9' - 1))
}

/// The value of a hex digit, or 0xff for anything else, without a branch or a table.
const fn hex_value(digit: u8) -> u8 {
    let decimal = digit.wrapping_sub(b'0');
    let letter = (digit | 0x20).wrapping_sub(b'a');
    (decimal | !below(decimal, 10)) & (letter.wrapping_add(10) | !below(letter, 6))
}

/// 0xff when `value < limit`, else 0, without a branch.
const fn below(value: u8, limit: u8) -> u8 {
    let difference = (value as u16).wrapping_sub(limit as u16);
    (difference >> 8) as u8
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::{String, ToString};

    use super::*;

    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=";
    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e5f";

    struct Fixed(u8);

    impl rand_core::TryRng for Fixed {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(u32::from(self.0))
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(u64::from(self.0))
        }
        fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
            dst.fill(self.0);
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Fixed {}

    fn reason<T>(result: Result<T, ParseKeyError>) -> ParseKeyError {
        result.map(|_| ()).unwrap_err()
    }

    #[test]
    fn both_spellings_name_the_same_key() {
        let key: PublicKey = BASE64.parse().unwrap();
        assert_eq!(PublicKey::from_hex(HEX).unwrap(), key);
        assert_eq!(PublicKey::from_hex(&HEX.to_uppercase()).unwrap(), key);
        assert_eq!(key.to_string(), BASE64);
        assert_eq!(format!("{key:x}"), HEX);
        assert_eq!(format!("{key:?}"), format!("PublicKey({BASE64})"));

        let secret: PrivateKey = BASE64.parse().unwrap();
        assert_eq!(secret.expose_base64().as_str(), BASE64);
        assert_eq!(secret.expose_hex().as_str(), HEX);
        assert!(secret == PrivateKey::from_hex(HEX).unwrap());
        assert!(secret == PrivateKey::from_bytes(*key.as_bytes()).unwrap());

        let shared: PresharedKey = BASE64.parse().unwrap();
        assert_eq!(shared.expose_base64().as_str(), BASE64);
        assert_eq!(shared.expose_hex().as_str(), HEX);
    }

    #[test]
    fn every_byte_value_survives_both_spellings() {
        for start in (0..=255).step_by(32) {
            let bytes = core::array::from_fn(|i| (start + i) as u8);
            let key = PresharedKey::from_bytes(bytes);
            assert_eq!(
                key.expose_base64().as_str().parse::<PresharedKey>().unwrap().expose(),
                &bytes
            );
            let hex = key.expose_hex();
            assert_eq!(PresharedKey::from_hex(hex.as_str()).unwrap().expose(), &bytes);
        }
    }

    #[test]
    fn private_keys_are_clamped_however_they_come() {
        let hex = "f".repeat(64);
        let clamped = |key: PrivateKey| {
            assert_eq!(key.expose()[0], 0xf8);
            assert_eq!(key.expose()[31], 0x7f);
            assert!(key.expose()[1..31].iter().all(|&byte| byte == 0xff));
        };
        clamped(PrivateKey::from_bytes([0xff; 32]).unwrap());
        clamped(PrivateKey::from_hex(&hex).unwrap());
        clamped("//////////////////////////////////////////8=".parse().unwrap());
        clamped(PrivateKey::generate(&mut Fixed(0xff)));
        assert_eq!(PrivateKey::generate(&mut Fixed(0)).expose()[31], 0x40);
    }

    #[test]
    fn an_all_zero_private_key_is_no_identity() {
        assert!(PrivateKey::from_bytes([0; 32]).is_none());
        let base64 = format!("{}=", "A".repeat(43));
        assert_eq!(reason(base64.parse::<PrivateKey>()), ParseKeyError::Zero);
        assert_eq!(reason(PrivateKey::from_hex(&"0".repeat(64))), ParseKeyError::Zero);
        assert!(base64.parse::<PresharedKey>().unwrap().is_none());
        assert!(!PresharedKey::generate(&mut Fixed(1)).is_none());
    }

    #[test]
    fn public_keys_of_rfc_7748_follow_from_their_private_keys() {
        for (private, public) in [
            (
                "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            ),
            (
                "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            ),
        ] {
            let private = PrivateKey::from_hex(private).unwrap();
            assert_eq!(format!("{:x}", private.public_key()), public);
        }
    }

    #[test]
    fn text_that_is_almost_a_key_is_refused_with_the_reason() {
        let length = |expected, found| ParseKeyError::Length { expected, found };
        for (text, expected) in [
            (String::new(), length(44, 0)),
            (BASE64[..43].to_string(), length(44, 43)),
            (format!("{BASE64}="), length(44, 45)),
            (format!(" {BASE64}"), length(44, 45)),
            (HEX.to_string(), length(44, 64)),
            // 44 bytes, but the last character is not all of the `=` and the `8`.
            (format!("{}é", &BASE64[..42]), ParseKeyError::Base64),
            (format!("{}\n", &BASE64[..43]), ParseKeyError::Base64),
            (format!("{}-{}", &BASE64[..20], &BASE64[21..]), ParseKeyError::Base64),
            (format!("{}==", &BASE64[..42]), ParseKeyError::Base64),
            // 33 bytes without padding.
            (format!("{}A", &BASE64[..43]), ParseKeyError::Base64),
            // Bits beyond the 32nd byte.
            (format!("{}9=", &BASE64[..42]), ParseKeyError::Base64),
        ] {
            assert_eq!(reason(text.parse::<PublicKey>()), expected, "{text}");
            assert_eq!(reason(text.parse::<PrivateKey>()), expected, "{text}");
            assert_eq!(reason(text.parse::<PresharedKey>()), expected, "{text}");
        }
        assert_eq!(reason(PublicKey::from_hex(BASE64)), length(64, 44));
        assert_eq!(reason(PublicKey::from_hex(&format!("{HEX}00"))), length(64, 66));
    }

    #[test]
    fn exactly_the_hex_digits_are_hex_digits() {
        for byte in 0..=255_u8 {
            let expected = char::from(byte).to_digit(16).map_or(0xff, |digit| digit as u8);
            let expected = if byte.is_ascii() { expected } else { 0xff };
            assert_eq!(hex_value(byte), expected, "{byte:#x}");
        }
        for nibble in 0..16 {
            assert_eq!(hex_digit(nibble), b"0123456789abcdef"[usize::from(nibble)]);
        }
    }
}
