//! Configurations in the format of `wg-quick` and `wg`, read without allocation.
//!
//! A [`Config`] is a text that was checked once, to the end; its getters read it again where
//! it stands, so it costs no memory beside the text. Nothing here knows the engine: whoever
//! sets up a device takes the values and hands them over.
//!
//! ```
//! use wg_core::config::Config;
//!
//! let config = Config::parse(
//!     "[Interface]
//!     PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
//!     Address = 10.0.0.2/24
//!
//!     [Peer]
//!     PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
//!     AllowedIPs = 0.0.0.0/0, ::/0
//!     Endpoint = vpn.example.org:51820",
//! )?;
//! for peer in config.peers() {
//!     assert_eq!(peer.endpoint().unwrap().host(), "vpn.example.org");
//!     assert_eq!(peer.allowed_ips().count(), 2);
//! }
//! # Ok::<(), wg_core::config::ParseError>(())
//! ```
//!
//! # The format
//!
//! Lines are `[Section]`, `Key = value` or empty; `#` begins a comment anywhere. Names of
//! sections and keys are read in any case. There is one `[Interface]`, with a `PrivateKey`, and
//! any number of `[Peer]`s, each with a `PublicKey` of its own. `Address`, `DNS` and
//! `AllowedIPs` are lists with commas, may stand several times, and then add up. Lines may end
//! in CR LF, and the text may begin with a byte order mark.
//!
//! Where `wg` takes the last of several values or guesses, this refuses: a key repeated, a peer
//! repeated, an unknown key, an IPv6 endpoint without brackets.

mod address;
mod error;
mod lines;
mod print;
mod value;

use core::fmt;
use core::net::IpAddr;

pub use address::{HostPort, InterfaceAddress};
pub use error::{ParseError, ParseErrorKind};
pub use lines::Section;

use crate::ip::AllowedIp;
use crate::keys::{PresharedKey, PrivateKey, PublicKey};
use error::Fault;
use lines::{Keyword, Line, Lines, Pair};
use value::{Dns, list};

/// A valid configuration, still in its text.
///
/// Each getter reads the text from the beginning of its section. `Debug` shows none of it.
#[derive(Clone)]
pub struct Config<'t> {
    /// All lines.
    lines: Lines<'t>,
    /// The lines after `[Interface]`.
    interface: Lines<'t>,
}

impl<'t> Config<'t> {
    /// Checks the whole text and says what is wrong first.
    ///
    /// The work grows with the length of the text times the number of peers, since every key is
    /// compared with those before it.
    ///
    /// # Errors
    /// The first mistake, with its line and column.
    pub fn parse(text: &'t str) -> Result<Self, ParseError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match check(text) {
            Ok(interface) => Ok(Self { lines: Lines::new(text), interface }),
            Err(fault) => Err(fault.locate(text)),
        }
    }

    /// Our private key, or `None` when it is given as all zero: no identity.
    pub fn private_key(&self) -> Option<PrivateKey> {
        self.interface_value(Keyword::PrivateKey, value::private_key).flatten()
    }

    /// The UDP port to listen on; 0, also when it is not given, for any free one.
    pub fn listen_port(&self) -> u16 {
        self.interface_value(Keyword::ListenPort, value::listen_port).unwrap_or(0)
    }

    /// The mark for our own datagrams; 0 for none.
    pub fn fw_mark(&self) -> u32 {
        self.interface_value(Keyword::FwMark, value::fw_mark).unwrap_or(0)
    }

    /// The largest IP packet inside the tunnel, in bytes, when it is given.
    pub fn mtu(&self) -> Option<u16> {
        self.interface_value(Keyword::Mtu, value::mtu)
    }

    /// Our addresses inside the tunnel, in order.
    pub fn addresses(&self) -> impl Iterator<Item = InterfaceAddress> + Clone + use<'t> {
        self.interface.values(Keyword::Address).flat_map(list).filter_map(|part| part.parse().ok())
    }

    /// The name servers to use while the tunnel is up, in order.
    pub fn dns_servers(&self) -> impl Iterator<Item = IpAddr> + Clone + use<'t> {
        let parts = self.interface.values(Keyword::Dns).flat_map(list);
        parts.filter_map(|part| match value::dns(part) {
            Ok(Dns::Server(addr)) => Some(addr),
            _ => None,
        })
    }

    /// The domains in which short names are looked up, in order; they stand among the `DNS`.
    pub fn dns_search(&self) -> impl Iterator<Item = &'t str> + Clone + use<'t> {
        let parts = self.interface.values(Keyword::Dns).flat_map(list);
        parts.filter_map(|part| match value::dns(part) {
            Ok(Dns::Search(domain)) => Some(domain),
            _ => None,
        })
    }

    /// What is meant for the host alone, in order: `Table`, `SaveConfig` and the commands
    /// `PreUp`, `PostUp`, `PreDown` and `PostDown`. Names are spelled as here, values are not
    /// looked at.
    pub fn host_settings(&self) -> impl Iterator<Item = (&'static str, &'t str)> + Clone + use<'t> {
        self.interface
            .pairs()
            .filter(|pair| pair.keyword.is_for_host())
            .map(|pair| (pair.spelling, pair.value))
    }

    /// The peers, in order.
    pub fn peers(&self) -> Peers<'t> {
        Peers { lines: self.lines.clone() }
    }

    fn interface_value<T>(
        &self,
        keyword: Keyword,
        read: impl FnOnce(&'t str) -> Result<T, Fault<'t>>,
    ) -> Option<T> {
        self.interface.values(keyword).next().and_then(|text| read(text).ok())
    }
}

impl fmt::Debug for Config<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("peers", &self.peers().count()).finish_non_exhaustive()
    }
}

/// The peers of a [`Config`], in order.
#[derive(Clone)]
pub struct Peers<'t> {
    lines: Lines<'t>,
}

impl<'t> Iterator for Peers<'t> {
    type Item = Peer<'t>;

    fn next(&mut self) -> Option<Peer<'t>> {
        loop {
            if let Ok(Line::Header(Section::Peer, _)) = self.lines.next()? {
                let lines = self.lines.clone();
                let public_key = lines.values(Keyword::PublicKey).next()?.parse().ok()?;
                return Some(Peer { public_key, lines });
            }
        }
    }
}

/// One peer of a [`Config`], still in its text.
#[derive(Clone)]
pub struct Peer<'t> {
    public_key: PublicKey,
    /// The lines after `[Peer]`.
    lines: Lines<'t>,
}

impl<'t> Peer<'t> {
    /// The peer's public key.
    pub const fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The key shared with the peer, or [`PresharedKey::NONE`].
    pub fn preshared_key(&self) -> PresharedKey {
        self.value(Keyword::PresharedKey, value::key).unwrap_or(PresharedKey::NONE)
    }

    /// Where the peer is reached, unless it is to come to us.
    pub fn endpoint(&self) -> Option<HostPort<'t>> {
        self.value(Keyword::Endpoint, value::endpoint)
    }

    /// Seconds after which an idle path is kept open with a packet; 0 for never.
    pub fn persistent_keepalive(&self) -> u16 {
        self.value(Keyword::PersistentKeepalive, value::persistent_keepalive).unwrap_or(0)
    }

    /// The addresses behind the peer, in order, host bits masked.
    pub fn allowed_ips(&self) -> impl Iterator<Item = AllowedIp> + Clone + use<'t> {
        let parts = self.lines.values(Keyword::AllowedIps).flat_map(list);
        parts.filter_map(|part| value::allowed_ip(part).ok())
    }

    fn value<T>(
        &self,
        keyword: Keyword,
        read: impl FnOnce(&'t str) -> Result<T, Fault<'t>>,
    ) -> Option<T> {
        self.lines.values(keyword).next().and_then(|text| read(text).ok())
    }
}

impl fmt::Debug for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

/// Reads the text to its end and gives the lines after `[Interface]`.
fn check(text: &str) -> Result<Lines<'_>, Fault<'_>> {
    let mut lines = Lines::new(text);
    let mut interface = None;
    let mut earlier_peers = 0;
    let mut section: Option<OpenSection<'_>> = None;
    while let Some(line) = lines.next() {
        match line? {
            Line::Header(kind, header) => {
                if let Some(closed) = section {
                    closed.close()?;
                    if closed.kind == Section::Peer {
                        earlier_peers = usize::saturating_add(earlier_peers, 1);
                    }
                }
                if kind == Section::Interface && interface.replace(lines.clone()).is_some() {
                    return Err(Fault::new(header, ParseErrorKind::SecondInterface));
                }
                section = Some(OpenSection { kind, header, seen: 0 });
            }
            Line::Pair(pair) => {
                if let Some(section) = &mut section {
                    section.note(&pair)?;
                }
                value::check(&pair)?;
                if pair.keyword == Keyword::PublicKey {
                    let public_key: PublicKey = value::key(pair.value)?;
                    let mut earlier = Peers { lines: Lines::new(text) }.take(earlier_peers);
                    if earlier.any(|peer| peer.public_key == public_key) {
                        return Err(Fault::new(pair.value, ParseErrorKind::RepeatedPeer));
                    }
                }
            }
        }
    }
    if let Some(last) = section {
        last.close()?;
    }
    interface.ok_or_else(|| Fault::new(text, ParseErrorKind::NoInterface))
}

/// The section that is being checked.
#[derive(Clone, Copy)]
struct OpenSection<'t> {
    kind: Section,
    header: &'t str,
    /// One bit for each key.
    seen: u32,
}

impl<'t> OpenSection<'t> {
    fn note(&mut self, pair: &Pair<'t>) -> Result<(), Fault<'t>> {
        if self.has(pair.keyword) && !pair.keyword.repeats() {
            return Err(Fault::new(pair.name, ParseErrorKind::RepeatedKey));
        }
        self.seen |= bit(pair.keyword);
        Ok(())
    }

    fn close(&self) -> Result<(), Fault<'t>> {
        let (required, missing) = match self.kind {
            Section::Interface => (Keyword::PrivateKey, ParseErrorKind::NoPrivateKey),
            Section::Peer => (Keyword::PublicKey, ParseErrorKind::NoPublicKey),
        };
        if self.has(required) { Ok(()) } else { Err(Fault::new(self.header, missing)) }
    }

    const fn has(&self, keyword: Keyword) -> bool {
        self.seen & bit(keyword) != 0
    }
}

const fn bit(keyword: Keyword) -> u32 {
    1_u32.unbounded_shl(keyword as u32)
}
