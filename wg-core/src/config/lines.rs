//! The lines of a configuration: what each one is, not yet what its value means.

use super::error::{Fault, ParseErrorKind};

/// The two kinds of sections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// This side: `[Interface]`, exactly once.
    Interface,
    /// One other side: `[Peer]`, any number of times.
    Peer,
}

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
    /// Whether the key may stand in one section more than once.
    pub(super) const fn repeats(self) -> bool {
        matches!(self, Self::Address | Self::Dns | Self::AllowedIps) || self.is_command()
    }

    /// Whether the value is a command for the host's shell.
    const fn is_command(self) -> bool {
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
    /// The key as it is written here.
    pub(super) name: &'t str,
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
            .ok_or_else(|| Fault::new(line, ParseErrorKind::HeaderEnd))?
            .trim_ascii();
        let section = if name.eq_ignore_ascii_case("Interface") {
            Section::Interface
        } else if name.eq_ignore_ascii_case("Peer") {
            Section::Peer
        } else {
            return Err(Fault::new(name, ParseErrorKind::UnknownSection));
        };
        self.section = Some(section);
        Ok(Line::Header(section, line))
    }

    fn pair(&self, line: &'t str) -> Result<Line<'t>, Fault<'t>> {
        let (name, value) =
            line.split_once('=').ok_or_else(|| Fault::new(line, ParseErrorKind::NoEqualsSign))?;
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        let section = self.section.ok_or_else(|| Fault::new(name, ParseErrorKind::NoSection))?;
        let &(keyword, belongs, spelling) = KEYWORDS
            .iter()
            .find(|(.., spelling)| name.eq_ignore_ascii_case(spelling))
            .ok_or_else(|| Fault::new(name, ParseErrorKind::UnknownKey(section)))?;
        if belongs != section {
            return Err(Fault::new(name, ParseErrorKind::OtherSection(section)));
        }
        // A peer may well be given no addresses, and then the empty list says so.
        if value.is_empty() && keyword != Keyword::AllowedIps {
            return Err(Fault::new(value, ParseErrorKind::NoValue));
        }
        Ok(Line::Pair(Pair { keyword, spelling, name, value }))
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = Result<Line<'t>, Fault<'t>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
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
