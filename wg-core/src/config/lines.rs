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
pub(super) enum Key {
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
const KEYS: [(Key, Section, &str); 17] = [
    (Key::PrivateKey, Section::Interface, "PrivateKey"),
    (Key::ListenPort, Section::Interface, "ListenPort"),
    (Key::FwMark, Section::Interface, "FwMark"),
    (Key::Address, Section::Interface, "Address"),
    (Key::Dns, Section::Interface, "DNS"),
    (Key::Mtu, Section::Interface, "MTU"),
    (Key::Table, Section::Interface, "Table"),
    (Key::SaveConfig, Section::Interface, "SaveConfig"),
    (Key::PreUp, Section::Interface, "PreUp"),
    (Key::PostUp, Section::Interface, "PostUp"),
    (Key::PreDown, Section::Interface, "PreDown"),
    (Key::PostDown, Section::Interface, "PostDown"),
    (Key::PublicKey, Section::Peer, "PublicKey"),
    (Key::PresharedKey, Section::Peer, "PresharedKey"),
    (Key::AllowedIps, Section::Peer, "AllowedIPs"),
    (Key::Endpoint, Section::Peer, "Endpoint"),
    (Key::PersistentKeepalive, Section::Peer, "PersistentKeepalive"),
];

impl Key {
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
    pub(super) key: Key,
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

    /// The values of `key` up to the next header.
    pub(super) fn values(&self, key: Key) -> impl Iterator<Item = &'t str> + Clone + use<'t> {
        self.pairs().filter(move |pair| pair.key == key).map(|pair| pair.value)
    }

    fn header(&mut self, line: &'t str) -> Result<Line<'t>, Fault<'t>> {
        let name = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
            .ok_or(Fault::new(line, ParseErrorKind::HeaderEnd))?
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
            line.split_once('=').ok_or(Fault::new(line, ParseErrorKind::NoEqualsSign))?;
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        let section = self.section.ok_or(Fault::new(name, ParseErrorKind::NoSection))?;
        let &(key, belongs, spelling) = KEYS
            .iter()
            .find(|(.., spelling)| name.eq_ignore_ascii_case(spelling))
            .ok_or(Fault::new(name, ParseErrorKind::UnknownKey(section)))?;
        if belongs != section {
            return Err(Fault::new(name, ParseErrorKind::OtherSection(section)));
        }
        // A peer may well be given no addresses, and then the empty list says so.
        if value.is_empty() && key != Key::AllowedIps {
            return Err(Fault::new(value, ParseErrorKind::NoValue));
        }
        Ok(Line::Pair(Pair { key, spelling, name, value }))
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
