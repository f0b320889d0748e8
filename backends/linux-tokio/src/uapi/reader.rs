//! Requests, from bytes that come in any pieces.

use nix::errno::Errno;
use zeroize::Zeroize;

use super::{Parser, Request};

/// Bytes in a line; the longest one that means something has less than half of it.
const LONGEST_LINE: usize = 256;
/// Bytes in a request: three times what 10,000 peers with 100,000 allowed IPs take.
pub(super) const LONGEST_REQUEST: usize = 32 << 20;

/// Reads the requests of one client, one after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The begun line. Its memory does not move, so that no part of a key stays behind.
    line: Vec<u8>,
    parser: Parser,
    /// Bytes of the begun request.
    length: usize,
}

impl Reader {
    /// Takes bytes up to the end of a request, and gives that request and the bytes after it;
    /// `None` when they do not contain an end.
    ///
    /// # Errors
    /// The request is too long, or has a line that is: where it ends is not looked for.
    #[expect(clippy::type_complexity, reason = "a name for it would only hide it")]
    pub(super) fn read<'b>(
        &mut self,
        mut bytes: &'b [u8],
    ) -> Result<Option<(Result<Request, Errno>, &'b [u8])>, Errno> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (part, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            self.length = self.length.saturating_add(1);
            self.keep(part)?;
            let request = match str::from_utf8(&self.line) {
                Ok(line) => self.parser.line(line),
                // As wrong as anything that is no key and value.
                Err(_) => self.parser.line("\u{fffd}"),
            };
            self.line.zeroize();
            if self.parser.is_between_requests() {
                self.length = 0;
            }
            if let Some(request) = request {
                return Ok(Some((request, bytes)));
            }
        }
        self.keep(bytes)?;
        Ok(None)
    }

    /// Bytes that the begun request has so far.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), Errno> {
        self.length = self.length.saturating_add(part.len());
        if self.line.len() + part.len() > LONGEST_LINE {
            return Err(Errno::EINVAL);
        }
        if self.length > LONGEST_REQUEST {
            return Err(Errno::ENOMEM);
        }
        self.line.reserve_exact(LONGEST_LINE - self.line.len());
        self.line.extend_from_slice(part);
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.line.zeroize();
    }
}
