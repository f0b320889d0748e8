//! The one reading of the whole text, after which every getter can rely on it.

use super::error::{Fault, ParseErrorKind};
use super::lines::{Keyword, Line, Lines};
use super::section::Section;
use super::value;

/// Reads the text to its end, and gives the lines from the first `[Interface]` to the end of the
/// last one.
pub(super) fn check(text: &str) -> Result<Lines<'_>, Fault<'_>> {
    let mut lines = Lines::new(text);
    let mut interface = InterfaceSpan::default();
    let mut section: Option<OpenSection<'_>> = None;
    loop {
        let before = lines.clone();
        let Some(line) = lines.next() else { break };
        match line? {
            Line::Header(kind, header) => {
                if let Some(closed) = section {
                    closed.close()?;
                    if closed.kind == Section::Interface {
                        interface.end = Some(before);
                    }
                }
                if kind == Section::Interface {
                    interface.begin.get_or_insert_with(|| lines.clone());
                }
                section = Some(OpenSection { kind, header, has_public_key: false });
            }
            Line::Pair(pair) => {
                value::check(&pair)?;
                if let Some(section) = &mut section {
                    section.has_public_key |= pair.keyword == Keyword::PublicKey;
                }
            }
        }
    }
    if let Some(last) = section {
        last.close()?;
        if last.kind == Section::Interface {
            interface.end = Some(lines);
        }
    }
    interface.lines().ok_or_else(|| Fault::new(text, ParseErrorKind::NoInterface))
}

/// From the first `[Interface]` to the end of the last one.
#[derive(Default)]
struct InterfaceSpan<'t> {
    begin: Option<Lines<'t>>,
    end: Option<Lines<'t>>,
}

impl<'t> InterfaceSpan<'t> {
    fn lines(self) -> Option<Lines<'t>> {
        self.begin.zip(self.end).map(|(begin, end)| begin.up_to(&end))
    }
}

/// The section that is being checked.
#[derive(Clone, Copy)]
struct OpenSection<'t> {
    kind: Section,
    header: &'t str,
    has_public_key: bool,
}

impl<'t> OpenSection<'t> {
    fn close(&self) -> Result<(), Fault<'t>> {
        match self.kind {
            Section::Peer if !self.has_public_key => {
                Err(Fault::new(self.header, ParseErrorKind::NoPublicKey))
            }
            _ => Ok(()),
        }
    }
}
