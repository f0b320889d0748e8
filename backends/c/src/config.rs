//! A whole wg-quick text.

use core::fmt::{self, Write};
use core::net::SocketAddr;

use wg_core::config::{Config, ParseError};
use wg_core::{AllowedIp, Instant};

use crate::code::{Code, Outcome};
use crate::engine::Engine;
use crate::types::RawConfig;

/// Gives the engine what `text` says, or changes nothing. What is told beside it goes to `told`,
/// which is true of the text after `Ok` and after [`Code::CONFIG`].
pub(crate) fn configure(
    engine: &mut Engine,
    now: Instant,
    text: &[u8],
    told: &mut RawConfig,
) -> Outcome {
    let config = parse(text).map_err(|error| error.tell(told))?;
    let device = &mut engine.device;

    // Look before anything changes.
    let key = config.private_key();
    let own = match &key {
        Some(key) => key.public_key(),
        None => device.public_key().ok_or(Code::NO_PRIVATE_KEY)?,
    };
    let peers = config.peers().count();
    let routes: usize = config.peers().map(|peer| peer.allowed_ips().count()).sum();
    if config.peers().any(|peer| peer.public_key() == own) {
        return Err(Code::OWN_KEY);
    }
    // All peers that are there make room, or are in the text.
    if peers > device.free_peers().saturating_add(device.peers().count()) {
        return Err(Code::PEERS_FULL);
    }
    let taken: usize = device.peers().map(|peer| device.allowed_ips(peer).count()).sum();
    if routes > device.free_routes().saturating_add(taken) {
        return Err(Code::ROUTES_FULL);
    }

    let is_kept = |key| config.peers().any(|peer| peer.public_key() == key);
    loop {
        let is_strange = |peer| device.peer(now, peer).is_some_and(|it| !is_kept(it.public_key));
        let stranger = device.peers().find(|peer| is_strange(*peer));
        let Some(stranger) = stranger else { break };
        device.remove_peer(stranger);
    }
    if let Some(key) = &key {
        device.set_private_key(now, Some(key));
    }
    if let Some(mtu) = config.mtu() {
        device.set_mtu(mtu);
    }
    for peer in config.peers() {
        let id = device.add_peer(&peer.public_key())?;
        device.set_preshared_key(id, &peer.preshared_key());
        device.remove_allowed_ips(id);
    }
    for peer in config.peers() {
        let id = device.add_peer(&peer.public_key())?;
        for prefix in peer.allowed_ips() {
            device.add_allowed_ip(id, prefix)?;
        }
        let endpoint = peer.endpoint();
        let address =
            endpoint.and_then(|at| Some(SocketAddr::new(at.host().parse().ok()?, at.port())));
        if let Some(address) = address {
            device.set_endpoint(now, id, address);
        }
        device.set_persistent_keepalive(now, id, peer.persistent_keepalive());
    }
    tell(&config, told);
    Ok(())
}

fn tell(config: &Config<'_>, told: &mut RawConfig) {
    *told = RawConfig::NONE;
    let places = told.addresses.iter_mut().zip(&mut told.prefix_lens);
    for ((address, prefix_len), own) in places.zip(config.addresses()) {
        (*address, *prefix_len) = (own.addr().into(), own.cidr());
    }
    for (place, server) in told.dns_servers.iter_mut().zip(config.dns_servers()) {
        *place = server.into();
    }
    told.listen_port = config.listen_port();
    told.mtu = config.mtu().unwrap_or(0);
    told.fw_mark = config.fw_mark();
}

/// Says what `text` has, as [`configure`] does, without an engine.
pub(crate) fn read(text: &[u8], told: &mut RawConfig) -> Outcome {
    let config = parse(text).map_err(|error| error.tell(told))?;
    tell(&config, told);
    Ok(())
}

/// The public key, host and port of the peer of this number.
pub(crate) fn endpoint(text: &[u8], number: usize) -> Result<([u8; 32], &str, u16), Code> {
    let config = parse(text).map_err(|error| error.code())?;
    let peer = config.peers().nth(number).ok_or(Code::NONE)?;
    let (host, port) = peer.endpoint().map_or(("", 0), |at| (at.host(), at.port()));
    Ok((*peer.public_key().as_bytes(), host, port))
}

enum Mistake {
    NotUtf8,
    At(ParseError),
}

impl Mistake {
    const fn code(&self) -> Code {
        match self {
            Self::NotUtf8 => Code::TEXT,
            Self::At(_) => Code::CONFIG,
        }
    }

    fn tell(self, told: &mut RawConfig) -> Code {
        *told = RawConfig::NONE;
        // What does not fit is left out.
        let _ = match &self {
            Self::At(ParseError { line, column, kind, .. }) => {
                (told.line, told.column) = (*line, *column);
                write!(Sentence { left: &mut told.sentence }, "{kind}")
            }
            Self::NotUtf8 => {
                Sentence { left: &mut told.sentence }.write_str("the text is not UTF-8")
            }
        };
        self.code()
    }
}

fn parse(text: &[u8]) -> Result<Config<'_>, Mistake> {
    let text = core::str::from_utf8(text).map_err(|_| Mistake::NotUtf8)?;
    Config::parse(text).map_err(Mistake::At)
}

/// A text for C that has its last zero already.
struct Sentence<'a> {
    left: &'a mut [u8],
}

impl Write for Sentence<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let Some((place, left)) = core::mem::take(&mut self.left).split_first_mut() else {
                return Err(fmt::Error);
            };
            if left.is_empty() {
                return Err(fmt::Error);
            }
            *place = byte;
            self.left = left;
        }
        Ok(())
    }
}

/// Reads one allowed IP as wg.h spells it.
pub(crate) fn allowed_ip(text: &str) -> Result<AllowedIp, Code> {
    text.parse().map_err(|_| Code::ADDRESS)
}
