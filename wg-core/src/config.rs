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
//! sections and keys are read in any case. There is an `[Interface]`, and any number of `[Peer]`s,
//! each with a `PublicKey`; several `[Interface]`s are read as one. Lines may end in CR LF, and the
//! text may begin with a byte order mark.
//!
//! Files that `wg-quick` and `wg` take are taken here and mean the same, but for the last column.
//! Of a key that is given twice, the last value counts; lists add up.
//!
//! | key | `wg-quick` and `wg` take | refused here |
//! | --- | --- | --- |
//! | `PrivateKey` | 32 bytes in base64, or none | blanks inside |
//! | `ListenPort` | a number, of which 16 bits count, or a service's name | a name, and what is over 65535 |
//! | `FwMark` | `off`, decimal or `0x` | |
//! | `Address` | words between commas and blanks in any number, or nothing | a word that is no address, which `ip` refuses later |
//! | `DNS` | the same: with `:`, or of digits and dots, servers; any other word is a search domain | a server that is no address |
//! | `MTU` | anything, which `ip` may refuse later; nothing: chosen by `wg-quick` | what is not 68 to 65535 |
//! | `Table` | anything, nothing | |
//! | `SaveConfig` | `true`, `false` | nothing |
//! | `PreUp`, `PostUp`, `PreDown`, `PostDown` | anything, nothing | |
//! | `PublicKey` | 32 bytes in base64 | blanks inside |
//! | `PresharedKey` | 32 bytes in base64 | blanks inside |
//! | `AllowedIPs` | addresses between single commas | a sign before an address |
//! | `Endpoint` | host and port | a service's name, port 0; IPv6 without brackets |
//! | `PersistentKeepalive` | `off`, 0 to 65535 | |
//!
//! Two `[Peer]`s with one `PublicKey` come one after the other, and who sets up both has what the
//! later one says. (`wg` keeps a `PresharedKey` and a `PersistentKeepalive` that only the earlier
//! one has.)
//!
//! Taken here alone: a byte order mark, blanks in the brackets of a section, an empty
//! `AllowedIPs`, any `SaveConfig` but an empty one. Refused here alone: a text without an
//! `[Interface]`, and quotes and spaces that nobody sees in an `Address` or `DNS`.
//!
//! What others write into such files is refused with the remedy: keys of AmneziaWG, `Reserved`,
//! no-break and zero-width spaces, quotes, an endpoint that is a URL, and UTF-16.

mod address;
mod check;
mod error;
mod hidden;
mod lines;
mod print;
mod section;
mod value;

use core::fmt;
use core::net::IpAddr;

pub use address::{HostPort, InterfaceAddress};
pub use error::{ParseError, ParseErrorKind};
pub use hidden::text_of;
pub use section::Section;

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
    /// The lines from the first `[Interface]` to the end of the last one.
    interface: Lines<'t>,
}

impl<'t> Config<'t> {
    /// Checks the whole text and says what is wrong first.
    ///
    /// Reads each line once.
    ///
    /// # Errors
    /// The first mistake, with its line and column.
    pub fn parse(text: &'t str) -> Result<Self, ParseError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match check::check(text) {
            Ok(interface) => Ok(Self { lines: Lines::new(text), interface }),
            Err(fault) => Err(fault.locate(text)),
        }
    }

    /// Our private key; `None` when none is given, or one that is all zero.
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
        self.interface_value(Keyword::Mtu, value::mtu).flatten()
    }

    /// Our addresses inside the tunnel, in order.
    pub fn addresses(&self) -> impl Iterator<Item = InterfaceAddress> + Clone + use<'t> {
        let parts = self.interface_values(Keyword::Address).flat_map(value::words);
        parts.filter_map(|part| part.parse().ok())
    }

    /// The name servers to use while the tunnel is up, in order.
    pub fn dns_servers(&self) -> impl Iterator<Item = IpAddr> + Clone + use<'t> {
        let parts = self.interface_values(Keyword::Dns).flat_map(value::words);
        parts.filter_map(|part| match value::dns(part) {
            Ok(Dns::Server(addr)) => Some(addr),
            _ => None,
        })
    }

    /// The domains in which short names are looked up, in order; they stand among the `DNS`.
    pub fn dns_search(&self) -> impl Iterator<Item = &'t str> + Clone + use<'t> {
        let parts = self.interface_values(Keyword::Dns).flat_map(value::words);
        parts.filter_map(|part| match value::dns(part) {
            Ok(Dns::Search(domain)) => Some(domain),
            _ => None,
        })
    }

    /// What is meant for the host alone, in order: `Table` and `SaveConfig`, each once at most,
    /// and the commands `PreUp`, `PostUp`, `PreDown` and `PostDown`. Names are spelled as here,
    /// values are not looked at; empty ones are left out.
    pub fn host_settings(&self) -> impl Iterator<Item = (&'static str, &'t str)> + Clone + use<'t> {
        let table = self.interface_values(Keyword::Table).last();
        let save_config = self.interface_values(Keyword::SaveConfig).last();
        let counts = move |pair: &Pair<'t>| match pair.keyword {
            Keyword::Table => table.is_some_and(|last| core::ptr::eq(last, pair.value)),
            Keyword::SaveConfig => save_config.is_some_and(|last| core::ptr::eq(last, pair.value)),
            keyword => keyword.is_command(),
        };
        self.interface_pairs()
            .filter(move |pair| !pair.value.is_empty() && counts(pair))
            .map(|pair| (pair.spelling, pair.value))
    }

    /// The peers, in order: one for each `[Peer]`, also where two have one key.
    pub fn peers(&self) -> Peers<'t> {
        Peers { lines: self.lines.clone() }
    }

    /// The pairs of all `[Interface]`s. No key belongs in both kinds of sections, so who asks
    /// for a key of this one gets no other.
    fn interface_pairs(&self) -> impl Iterator<Item = Pair<'t>> + Clone + use<'t> {
        self.interface.clone().filter_map(|line| match line {
            Ok(Line::Pair(pair)) => Some(pair),
            _ => None,
        })
    }

    fn interface_values(
        &self,
        keyword: Keyword,
    ) -> impl Iterator<Item = &'t str> + Clone + use<'t> {
        self.interface_pairs().filter(move |pair| pair.keyword == keyword).map(|pair| pair.value)
    }

    /// Of a key that was given twice, the last value counts.
    fn interface_value<T>(
        &self,
        keyword: Keyword,
        read: impl FnOnce(&'t str) -> Result<T, Fault<'t>>,
    ) -> Option<T> {
        self.interface_values(keyword).last().and_then(|text| read(text).ok())
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
                let public_key = lines.values(Keyword::PublicKey).last()?.parse().ok()?;
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
        self.value(Keyword::Endpoint, address::endpoint)
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
        self.lines.values(keyword).last().and_then(|text| read(text).ok())
    }
}

impl fmt::Debug for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;

    use super::*;

    /// A text with so many peers, and how many lines it has.
    fn text(peers: u32) -> (String, usize) {
        let mut text = String::from("[Interface]\nAddress = 10.0.0.1/8\nMTU = 1420\n");
        for peer in 0..peers {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&peer.to_be_bytes());
            let key = PublicKey::from_bytes(key);
            text += &std::format!("[Peer]\nPublicKey = {key}\nAllowedIPs = ::{peer:x}\n");
        }
        let lines = text.lines().count();
        (text, lines)
    }

    #[test]
    fn every_line_is_read_once_whatever_the_number_of_peers() {
        for peers in [0, 1, 100, 400] {
            let (text, lines) = text(peers);
            let (_, read) = lines::counted(|| Config::parse(&text).unwrap());
            assert_eq!(read, lines, "{peers} peers");
        }
    }

    #[test]
    fn what_is_read_of_all_peers_grows_with_their_number_and_no_faster() {
        let read_of = |peers| {
            let (text, _) = text(peers);
            // The worst place for the end of the interface.
            let text = text + "[Interface]\nListenPort = 1\n";
            let config = Config::parse(&text).unwrap();
            let ((), read) = lines::counted(|| {
                write_nowhere(&config);
                let addresses: usize = config.peers().map(|peer| peer.allowed_ips().count()).sum();
                assert_eq!(addresses, peers as usize);
            });
            read
        };
        let (some, more) = (read_of(200), read_of(400));
        assert!(more <= 2 * some, "{some} lines of 200 peers, {more} of 400");
    }

    fn write_nowhere(config: &Config<'_>) {
        let mut text = String::new();
        config.write_with_secrets(&mut text).unwrap();
        assert!(text.contains("ListenPort = 1"));
    }
}
