//! Characters that nobody sees, and text that is no UTF-8: what word processors, web pages and
//! editors put into a file.

use super::error::{Fault, ParseError, ParseErrorKind};

/// Reads the bytes of a file as text: UTF-8, or a reason why not.
///
/// # Errors
/// [`ParseErrorKind::Utf16`] or [`ParseErrorKind::NotUtf8`], with line and column.
pub fn text_of(bytes: &[u8]) -> Result<&str, ParseError> {
    let at_start = |kind| ParseError { line: 1, column: 1, kind };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(at_start(ParseErrorKind::Utf16));
    }
    core::str::from_utf8(bytes).map_err(|error| {
        let (valid, _) = bytes.split_at_checked(error.valid_up_to()).unwrap_or_default();
        let text = core::str::from_utf8(valid).unwrap_or_default();
        let (_, end) = text.split_at_checked(text.len()).unwrap_or_default();
        let kind = if valid.contains(&0) { ParseErrorKind::Utf16 } else { ParseErrorKind::NotUtf8 };
        Fault::new(end, kind).locate(text)
    })
}

/// This fault, unless the part has a character that nobody sees: then that is what is wrong.
pub(super) fn hidden_or(part: &str, kind: ParseErrorKind) -> Fault<'_> {
    hidden(part).unwrap_or_else(|| Fault::new(part, kind))
}

/// The first character in the part that nobody sees and that is no white space of the format.
pub(super) fn hidden(part: &str) -> Option<Fault<'_>> {
    if part.is_ascii() && !part.contains('\0') {
        return None;
    }
    let (at, found) = part.char_indices().find(|(_, c)| is_hidden(*c))?;
    let kind = if found == '\0' { ParseErrorKind::Utf16 } else { ParseErrorKind::Hidden(found) };
    Some(Fault::new(part.get(at..)?, kind))
}

fn is_hidden(c: char) -> bool {
    // White space beyond ASCII, such as a no-break space; soft hyphen; spaces without a width and
    // marks of direction; joiners and the byte order mark.
    c == '\0'
        || (!c.is_ascii() && c.is_whitespace())
        || matches!(
            c,
            '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}
