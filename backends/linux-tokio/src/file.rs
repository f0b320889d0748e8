//! A wg-quick file on the disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use wg_core::config::{Config, text_of};
use zeroize::Zeroizing;

use crate::Failure;

/// What the file holds, and its name for what is said about it.
pub(crate) struct FileText<'p> {
    path: &'p Path,
    bytes: Zeroizing<Vec<u8>>,
}

impl<'p> FileText<'p> {
    pub(crate) fn read(path: &'p Path) -> Result<Self, Failure> {
        let read = std::fs::read(path).map(Zeroizing::new);
        let failed = |error| Failure::Usage(format!("cannot read {}: {error}", path.display()));
        Ok(Self { path, bytes: read.map_err(failed)? })
    }

    pub(crate) fn parse(&self) -> Result<Config<'_>, Failure> {
        text_of(&self.bytes).and_then(Config::parse).map_err(|error| {
            let (path, line, column) = (self.path.display(), error.line, error.column);
            Failure::Usage(format!("{path}:{line}:{column}: {}", error.kind))
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.path
    }

    /// Whether others than its owner and its group can read the keys in it.
    pub(crate) fn is_for_everybody(&self) -> bool {
        let file = std::fs::metadata(self.path);
        file.is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
    }
}
