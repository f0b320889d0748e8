//! The cross-platform configuration protocol of WireGuard implementations in user space: what
//! `wg` asks and sets over a socket, a `key=value` a line, with an empty line at the end.

mod reader;
mod server;
mod status;

use core::str::FromStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::errno::Errno;
use wg_core::{AllowedIp, PresharedKey, PrivateKey, PublicKey};

pub use server::Uapi;
pub(crate) use status::{Known, describe};

/// What a client asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Get,
    Set(Box<Transaction>),
}

/// All that one `set` changes, in one go or not at all. What is `None` stays as it is.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Transaction {
    /// `Some(None)` takes the identity away.
    pub(crate) private_key: Option<Option<PrivateKey>>,
    pub(crate) listen_port: Option<u16>,
    pub(crate) fw_mark: Option<u32>,
    /// All peers go before those here come.
    pub(crate) replace_peers: bool,
    pub(crate) peers: Vec<PeerChange>,
}

/// What changes of one peer.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct PeerChange {
    pub(crate) public_key: PublicKey,
    pub(crate) remove: bool,
    /// Nothing happens when there is no such peer.
    pub(crate) update_only: bool,
    pub(crate) preshared_key: Option<PresharedKey>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) persistent_keepalive: Option<u16>,
    pub(crate) replace_allowed_ips: bool,
    /// In their order; false takes one away.
    pub(crate) allowed_ips: Vec<(AllowedIp, bool)>,
}

impl PeerChange {
    fn of(public_key: PublicKey) -> Self {
        Self {
            public_key,
            remove: false,
            update_only: false,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            replace_allowed_ips: false,
            allowed_ips: Vec::new(),
        }
    }
}

/// Reads requests, a line at a time.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Before the first line of a request.
    #[default]
    Start,
    Get,
    Set(Box<Transaction>),
    /// Something is wrong; what follows up to the empty line is part of it.
    Failed(Errno),
}

impl Parser {
    /// Whether nothing of a request has come yet.
    pub(crate) fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Start)
    }

    /// Takes the next line, without its end; the empty line completes a request.
    pub(crate) fn line(&mut self, line: &str) -> Option<Result<Request, Errno>> {
        if line.is_empty() {
            return match core::mem::take(&mut self.state) {
                // Blank lines between requests are nobody's.
                State::Start => None,
                State::Get => Some(Ok(Request::Get)),
                State::Set(transaction) => Some(Ok(Request::Set(transaction))),
                State::Failed(errno) => Some(Err(errno)),
            };
        }
        let taken = match (&mut self.state, line) {
            (State::Start, "get=1") => {
                self.state = State::Get;
                Ok(())
            }
            (State::Start, "set=1") => {
                self.state = State::Set(Box::default());
                Ok(())
            }
            (State::Start, _) => Err(Errno::EPROTO),
            (State::Get, _) => Err(Errno::EINVAL),
            (State::Set(_), line) if !line.contains('=') => Err(Errno::EPROTO),
            (State::Set(transaction), line) => transaction.take(line).ok_or(Errno::EINVAL),
            (State::Failed(_), _) => Ok(()),
        };
        if let Err(errno) = taken {
            self.state = State::Failed(errno);
        }
        None
    }
}

impl Transaction {
    /// Takes a line; `None` when it is wrong.
    fn take(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once('=')?;
        if key == "public_key" {
            self.peers.push(PeerChange::of(PublicKey::from_hex(value).ok()?));
            return Some(());
        }
        match self.peers.last_mut() {
            Some(peer) => peer.take(key, value),
            None => self.take_of_device(key, value),
        }
    }

    fn take_of_device(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "private_key" => self.private_key = Some(private_key(value)?),
            "listen_port" => self.listen_port = Some(number(value)?),
            // Empty is none.
            "fwmark" if value.is_empty() => self.fw_mark = Some(0),
            "fwmark" => self.fw_mark = Some(number(value)?),
            "replace_peers" => self.replace_peers = is_true(value)?,
            _ => return None,
        }
        Some(())
    }
}

impl PeerChange {
    fn take(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "remove" => self.remove = is_true(value)?,
            "update_only" => self.update_only = is_true(value)?,
            "preshared_key" => self.preshared_key = Some(PresharedKey::from_hex(value).ok()?),
            "endpoint" => self.endpoint = Some(endpoint(value)?),
            "persistent_keepalive_interval" => self.persistent_keepalive = Some(number(value)?),
            "replace_allowed_ips" => {
                self.replace_allowed_ips = is_true(value)?;
                // Those before this line are replaced as well.
                self.allowed_ips.clear();
            }
            "allowed_ip" => {
                let (text, adds) = match value.strip_prefix('-') {
                    Some(text) => (text, false),
                    None => (value, true),
                };
                self.allowed_ips.push((text.parse().ok()?, adds));
            }
            "protocol_version" if value == "1" => {}
            _ => return None,
        }
        Some(())
    }
}

/// All zero is no key.
fn private_key(hex: &str) -> Option<Option<PrivateKey>> {
    if hex.len() == 64 && hex.bytes().all(|digit| digit == b'0') {
        return Some(None);
    }
    PrivateKey::from_hex(hex).ok().map(Some)
}

/// Digits and nothing else.
fn number<N: FromStr>(value: &str) -> Option<N> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

/// There is no way to say that it is not so.
fn is_true(value: &str) -> Option<bool> {
    (value == "true").then_some(true)
}

/// An address and a port, which is not 0. A link-local address may have the name of its link.
fn endpoint(value: &str) -> Option<SocketAddr> {
    let endpoint: SocketAddr = value.parse().ok().or_else(|| {
        let (host, port) = value.strip_prefix('[')?.rsplit_once("]:")?;
        let (ip, link) = host.split_once('%')?;
        let scope = nix::net::if_::if_nametoindex(link).ok()?;
        let ip: Ipv6Addr = ip.parse().ok()?;
        Some(SocketAddrV6::new(ip, number(port)?, 0, scope).into())
    })?;
    let is_place = |ip: IpAddr| !ip.is_unspecified();
    (endpoint.port() != 0 && is_place(endpoint.ip())).then_some(endpoint)
}

#[cfg(test)]
mod tests;
