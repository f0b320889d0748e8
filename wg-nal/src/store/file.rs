//! Records in files.

extern crate std;

use core::fmt;
use std::format;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Record, Store};

/// A [`Store`] in a directory, a file for each record.
///
/// A record is written to a file beside, synced, and renamed over the old one; then the
/// directory is synced. On Unix only the owner may read it. The calls block for as long as the
/// disk takes.
#[derive(Clone, Debug)]
pub struct FileStore {
    directory: PathBuf,
}

impl FileStore {
    /// A store in `directory`, which is made when the first record is saved.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    fn path(&self, record: Record) -> PathBuf {
        self.directory.join(match record {
            Record::Timestamp => "timestamp",
            Record::PrivateKey => "private-key",
            Record::PublicKey => "public-key",
        })
    }

    fn read(&self, record: Record, value: &mut [u8]) -> Result<bool, FileError> {
        let path = self.path(record);
        let of = |error| FileError::Io { path: path.clone(), error };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(of(error)),
        };
        let found = file.metadata().map_err(of)?.len();
        if u64::try_from(value.len()) != Ok(found) {
            return Err(FileError::Length { path, found });
        }
        file.read_exact(value).map_err(of)?;
        Ok(true)
    }

    fn write(&self, record: Record, value: &[u8]) -> Result<(), FileError> {
        let path = self.path(record);
        let beside = path.with_extension("new");
        let of = |path: &Path| {
            let path = path.to_path_buf();
            move |error| FileError::Io { path, error }
        };
        fs::create_dir_all(&self.directory).map_err(of(&self.directory))?;
        // What an interrupted save left may have another owner's rights.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(of(&beside)(error))?,
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside).map_err(of(&beside))?;
        file.write_all(value).and_then(|()| file.sync_all()).map_err(of(&beside))?;
        fs::rename(&beside, &path).map_err(of(&path))?;
        // Without this a power cut may undo the rename. Elsewhere a directory cannot be opened.
        #[cfg(unix)]
        File::open(&self.directory).and_then(|it| it.sync_all()).map_err(of(&self.directory))?;
        Ok(())
    }
}

impl Store for FileStore {
    type Error = FileError;

    async fn load(&mut self, record: Record, value: &mut [u8]) -> Result<bool, FileError> {
        self.read(record, value)
    }

    async fn save(&mut self, record: Record, value: &[u8]) -> Result<(), FileError> {
        self.write(record, value)
    }
}

/// Why a record's file could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system said so.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        error: io::Error,
    },
    /// The file is not a record of that kind.
    Length {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Length { path, found } => f.write_str(&format!(
                "{} has {found} bytes, so it is damaged or another program's: move it away",
                path.display()
            )),
        }
    }
}

impl core::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use embassy_futures::block_on;
    use std::string::ToString;

    use super::*;

    /// A directory of this test's own, gone afterwards.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("wg-nal-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn records_are_there_for_the_next_program() {
        let scratch = Scratch::new("records");
        let mut value = [0; 12];
        let store = || FileStore::new(scratch.0.join("made/on/demand"));
        assert!(!block_on(store().load(Record::Timestamp, &mut value)).unwrap());
        for round in 1..4 {
            block_on(store().save(Record::Timestamp, &[round; 12])).unwrap();
            assert!(block_on(store().load(Record::Timestamp, &mut value)).unwrap());
            assert_eq!(value, [round; 12]);
        }
        assert!(!block_on(store().load(Record::PrivateKey, &mut [0; 32])).unwrap());
    }

    #[test]
    fn what_an_interrupted_save_left_is_never_read_and_does_not_stand_in_the_way() {
        let scratch = Scratch::new("interrupted");
        let mut store = FileStore::new(&scratch.0);
        block_on(store.save(Record::Timestamp, &[1; 12])).unwrap();
        fs::write(scratch.0.join("timestamp.new"), [2; 5]).unwrap();
        let mut value = [0; 12];
        assert!(block_on(store.load(Record::Timestamp, &mut value)).unwrap());
        assert_eq!(value, [1; 12]);
        block_on(store.save(Record::Timestamp, &[3; 12])).unwrap();
        block_on(store.load(Record::Timestamp, &mut value)).unwrap();
        assert_eq!(value, [3; 12]);
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_another_length_and_a_directory_in_the_way_are_errors_that_name_it() {
        let scratch = Scratch::new("errors");
        fs::create_dir_all(scratch.0.join("private-key")).unwrap();
        fs::write(scratch.0.join("timestamp"), "12 bytes?").unwrap();
        let mut store = FileStore::new(&scratch.0);
        let error = block_on(store.load(Record::Timestamp, &mut [0; 12])).unwrap_err();
        assert!(error.to_string().ends_with(
            "timestamp has 9 bytes, so it is damaged or another program's: move it away"
        ));
        let error = block_on(store.save(Record::PrivateKey, &[0; 32])).unwrap_err();
        assert!(error.to_string().contains("private-key"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_a_record() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("mode");
        block_on(FileStore::new(&scratch.0).save(Record::PrivateKey, &[7; 32])).unwrap();
        let mode = fs::metadata(scratch.0.join("private-key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
