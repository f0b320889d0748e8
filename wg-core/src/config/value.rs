//! What the values of the keys mean.

use core::net::IpAddr;
use core::str::FromStr;

use super::address::{decimal, endpoint};
use super::error::{Fault, ParseErrorKind};
use super::hidden::hidden;
use super::lines::{Keyword, Pair};
use crate::ip::{AllowedIp, ParseAllowedIpError};
use crate::keys::{ParseKeyError, PresharedKey, PrivateKey, PublicKey};

/// The parts of a list, separated by commas, as `wg` reads it.
pub(super) fn list(value: &str) -> impl Iterator<Item = &str> + Clone {
    // An empty list has no parts; an empty part in a longer list is a mistake.
    value.split(',').map(str::trim_ascii).filter(move |_| !value.is_empty())
}

/// The words of a list, separated by commas and blanks in any number, as wg-quick reads it.
pub(super) fn words(value: &str) -> impl Iterator<Item = &str> + Clone {
    value.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

/// What a value may be put in: straight, and as word processors turn them.
const QUOTES: [char; 8] = ['"', '\'', '`', '“', '”', '„', '‘', '’'];

/// Whether the value of `pair` means something.
pub(super) fn check<'t>(pair: &Pair<'t>) -> Result<(), Fault<'t>> {
    let value = pair.value;
    if !pair.keyword.is_for_host() {
        if let Some(fault) = hidden(value) {
            return Err(fault);
        }
        if value.starts_with(QUOTES) {
            return Err(Fault::new(value, ParseErrorKind::Quotes));
        }
    }
    match pair.keyword {
        Keyword::PrivateKey => private_key(value).map(drop),
        Keyword::PublicKey => key::<PublicKey>(value).map(drop),
        Keyword::PresharedKey => key::<PresharedKey>(value).map(drop),
        Keyword::ListenPort => listen_port(value).map(drop),
        Keyword::FwMark => fw_mark(value).map(drop),
        Keyword::Mtu => mtu(value).map(drop),
        Keyword::Endpoint => endpoint(value).map(drop),
        Keyword::PersistentKeepalive => persistent_keepalive(value).map(drop),
        Keyword::Address => words(value).try_for_each(|part| allowed_ip(part).map(drop)),
        Keyword::AllowedIps => list(value).try_for_each(|part| allowed_ip(part).map(drop)),
        Keyword::Dns => words(value).try_for_each(|part| dns(part).map(drop)),
        Keyword::Table | Keyword::SaveConfig => Ok(()),
        Keyword::PreUp | Keyword::PostUp | Keyword::PreDown | Keyword::PostDown => Ok(()),
    }
}

pub(super) fn key<K: FromStr<Err = ParseKeyError>>(text: &str) -> Result<K, Fault<'_>> {
    text.parse().map_err(|error| Fault::new(text, ParseErrorKind::Key(error)))
}

/// A private key, or `None` for the all-zero key, which is no identity.
pub(super) fn private_key(text: &str) -> Result<Option<PrivateKey>, Fault<'_>> {
    match text.parse() {
        Ok(key) => Ok(Some(key)),
        Err(ParseKeyError::Zero) => Ok(None),
        Err(error) => Err(Fault::new(text, ParseErrorKind::Key(error))),
    }
}

pub(super) fn listen_port(text: &str) -> Result<u16, Fault<'_>> {
    decimal(text).ok_or_else(|| Fault::new(text, ParseErrorKind::ListenPort))
}

/// An MTU; an empty one leaves the choice to who asks.
pub(super) fn mtu(text: &str) -> Result<Option<u16>, Fault<'_>> {
    if text.is_empty() {
        return Ok(None);
    }
    // Every link must carry 68 bytes (RFC 791, section 3.2).
    match decimal(text) {
        Some(mtu @ 68..) => Ok(Some(mtu)),
        _ => Err(Fault::new(text, ParseErrorKind::Mtu)),
    }
}

pub(super) fn persistent_keepalive(text: &str) -> Result<u16, Fault<'_>> {
    off_or(text, decimal).ok_or_else(|| Fault::new(text, ParseErrorKind::PersistentKeepalive))
}

pub(super) fn fw_mark(text: &str) -> Result<u32, Fault<'_>> {
    let number = |text: &str| match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u32::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None => decimal(text),
    };
    off_or(text, number).ok_or_else(|| Fault::new(text, ParseErrorKind::FwMark))
}

/// A name server.
pub(super) enum Dns<'t> {
    Server(IpAddr),
    /// A domain to look up short names in.
    Search(&'t str),
}

pub(super) fn dns(text: &str) -> Result<Dns<'_>, Fault<'_>> {
    // As wg-quick tells them apart.
    let is_server = text.contains(':') || text.bytes().all(|byte| b"0123456789.".contains(&byte));
    match text.parse() {
        Ok(server) => Ok(Dns::Server(server)),
        Err(_) if is_server => Err(Fault::new(text, ParseErrorKind::Dns)),
        Err(_) => Ok(Dns::Search(text)),
    }
}

pub(super) fn allowed_ip(text: &str) -> Result<AllowedIp, Fault<'_>> {
    if text.starts_with(['+', '-']) {
        return Err(Fault::new(text, ParseErrorKind::SignedAddress));
    }
    text.parse().map_err(|error| match error {
        ParseAllowedIpError::Address => Fault::new(text, ParseErrorKind::Address),
        ParseAllowedIpError::PrefixLength { max } => {
            let length = text.split_once('/').map_or(text, |(_, length)| length);
            Fault::new(length, ParseErrorKind::PrefixLength(max))
        }
    })
}

fn off_or<N: From<u8>>(text: &str, number: impl FnOnce(&str) -> Option<N>) -> Option<N> {
    if text.eq_ignore_ascii_case("off") { Some(N::from(0)) } else { number(text) }
}
