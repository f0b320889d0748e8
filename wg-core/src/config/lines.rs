//! The lines of a configuration: what each one is, not yet what its value means.

use super::error::{Fault, ParseErrorKind};
use super::hidden::hidden_or;
use super::section::Section;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    PrivateKey,
    ListenPort,
    FwMark,
    Address,
    Dns,
    Mtu,
    Table,
    SaveConfig,
    PreUp,
    PostUp,
    PreDown,
    PostDown,
    PublicKey,
    PresharedKey,
    AllowedIps,
    Endpoint,
    PersistentKeepalive,
}

/// Where each key belongs, and how it is printed.
const KEYWORDS: [(Keyword, Section, &str); 17] = [
    (Keyword::PrivateKey, Section::Interface, "PrivateKey"),
    (Keyword::ListenPort, Section::Interface, "ListenPort"),
    (Keyword::FwMark, Section::Interface, "FwMark"),
    (Keyword::Address, Section::Interface, "Address"),
    (Keyword::Dns, Section::Interface, "DNS"),
    (Keyword::Mtu, Section::Interface, "MTU"),
    (Keyword::Table, Section::Interface, "Table"),
    (Keyword::SaveConfig, Section::Interface, "SaveConfig"),
    (Keyword::PreUp, Section::Interface, "PreUp"),
    (Keyword::PostUp, Section::Interface, "PostUp"),
    (Keyword::PreDown, Section::Interface, "PreDown"),
    (Keyword::PostDown, Section::Interface, "PostDown"),
    (Keyword::PublicKey, Section::Peer, "PublicKey"),
    (Keyword::PresharedKey, Section::Peer, "PresharedKey"),
    (Keyword::AllowedIps, Section::Peer, "AllowedIPs"),
    (Keyword::Endpoint, Section::Peer, "Endpoint"),
    (Keyword::PersistentKeepalive, Section::Peer, "PersistentKeepalive"),
];

impl Keyword {
    /// Whether nothing after the `=` says that there is none of it. A peer may well be given no
    /// addresses, and wg-quick takes the others so.
    const fn may_be_empty(self) -> bool {
        matches!(self, Self::AllowedIps | Self::Address | Self::Dns | Self::Mtu | Self::Table)
            || self.is_command()
    }

    /// Whether the value is a command for the host's shell.
    pub(super) const fn is_command(self) -> bool {
        matches!(self, Self::PreUp | Self::PostUp | Self::PreDown | Self::PostDown)
    }

    /// Whether the value is for the host alone, and no business of a tunnel.
    pub(super) const fn is_for_host(self) -> bool {
        matches!(self, Self::Table | Self::SaveConfig) || self.is_command()
    }
}

pub(super) enum Line<'t> {
    /// A section begins; with its text, brackets included.
    Header(Section, &'t str),
    Pair(Pair<'t>),
}

/// `Key = value`, without space around either.
pub(super) struct Pair<'t> {
    pub(super) keyword: Keyword,
    /// The key as it is usually spelled.
    pub(super) spelling: &'static str,
    pub(super) value: &'t str,
}

/// Reads a text line by line; blank lines and comments are left out.
#[derive(Clone)]
pub(super) struct Lines<'t> {
    rest: &'t str,
    section: Option<Section>,
}

impl<'t> Lines<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { rest: text, section: None }
    }

    /// The lines up to where `end`, a later reader of the same text, stands.
    pub(super) fn up_to(&self, end: &Self) -> Self {
        let length = self.rest.len().saturating_sub(end.rest.len());
        Self { rest: self.rest.get(..length).unwrap_or(self.rest), section: self.section }
    }

    /// The pairs up to the next header, each of them valid.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Pair<'t>> + Clone + use<'t> {
        self.clone().map_while(|line| match line {
            Ok(Line::Pair(pair)) => Some(pair),
            _ => None,
        })
    }

    /// The values of one key up to the next header.
    pub(super) fn values(
        &self,
        keyword: Keyword,
    ) -> impl Iterator<Item = &'t str> + Clone + use<'t> {
        self.pairs().filter(move |pair| pair.keyword == keyword).map(|pair| pair.value)
    }

    fn header(&mut self, line: &'t str) -> Result<Line<'t>, Fault<'t>> {
        let name = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
            .ok_or_else(|| hidden_or(line, ParseErrorKind::HeaderEnd))?
            .trim_ascii();
        let section = if name.eq_ignore_ascii_case("Interface") {
            Section::Interface
        } else if name.eq_ignore_ascii_case("Peer") {
            Section::Peer
        } else {
            return Err(hidden_or(name, ParseErrorKind::UnknownSection));
        };
        self.section = Some(section);
        Ok(Line::Header(section, line))
    }

    fn pair(&self, line: &'t str) -> Result<Line<'t>, Fault<'t>> {
        let (name, value) =
            line.split_once('=').ok_or_else(|| hidden_or(line, ParseErrorKind::NoEqualsSign))?;
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        let section = self.section.ok_or_else(|| Fault::new(name, ParseErrorKind::NoSection))?;
        let &(keyword, belongs, spelling) = KEYWORDS
            .iter()
            .find(|(.., spelling)| name.eq_ignore_ascii_case(spelling))
            .ok_or_else(|| hidden_or(name, unknown_key(name, section)))?;
        if belongs != section {
            return Err(Fault::new(name, ParseErrorKind::OtherSection(section)));
        }
        if value.is_empty() && !keyword.may_be_empty() {
            return Err(Fault::new(value, ParseErrorKind::NoValue));
        }
        Ok(Line::Pair(Pair { keyword, spelling, value }))
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = Result<Line<'t>, Fault<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            #[cfg(test)]
            READ.with(|read| read.set(read.get().saturating_add(1)));
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            let line = line.split_once('#').map_or(line, |(before, _)| before).trim_ascii();
            if line.starts_with('[') {
                return Some(self.header(line));
            }
            if !line.is_empty() {
                return Some(self.pair(line));
            }
        }
        None
    }
}

/// Keys of AmneziaWG in `[Interface]` and `[Peer]`.
const AMNEZIA_WG: [&str; 21] = [
    "Jc",
    "Jmin",
    "Jmax",
    "S1",
    "S2",
    "S3",
    "S4",
    "H1",
    "H2",
    "H3",
    "H4",
    "I1",
    "I2",
    "I3",
    "I4",
    "I5",
    "J1",
    "J2",
    "J3",
    "Itime",
    "AdvancedSecurity",
];

/// What a key is that `wg` does not know, either.
fn unknown_key(name: &str, section: Section) -> ParseErrorKind {
    if AMNEZIA_WG.iter().any(|key| name.eq_ignore_ascii_case(key)) {
        ParseErrorKind::AmneziaWg
    } else if name.eq_ignore_ascii_case("Reserved") {
        ParseErrorKind::Reserved
    } else {
        ParseErrorKind::UnknownKey(section)
    }
}

#[cfg(test)]
extern crate std;

#[cfg(test)]
std::thread_local! {
    /// The lines that this thread has read, of any text.
    static READ: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// What `work` gives, and how many lines it reads.
#[cfg(test)]
pub(super) fn counted<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = READ.get();
    let done = work();
    (done, READ.get().wrapping_sub(before))
}
