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
/// directory is synced. A file is the record and a checksum, so that no damaged one is used;
/// records that stand without a checksum, from before there was one, are read as they are and
/// get it when they are saved next. On Unix only the owner may read it. The calls block for as long as the
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
        let is_checked = match found.checked_sub(value.len() as u64) {
            Some(0) => false,
            Some(CHECKSUM) => true,
            _ => return Err(FileError::Length { path, found }),
        };
        file.read_exact(value).map_err(of)?;
        if is_checked {
            let mut sum = [0; CHECKSUM as usize];
            file.read_exact(&mut sum).map_err(of)?;
            if sum != checksum(record, value) {
                value.fill(0);
                return Err(FileError::Damaged { path });
            }
        }
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
        file.write_all(value)
            .and_then(|()| file.write_all(&checksum(record, value)))
            .and_then(|()| file.sync_all())
            .map_err(of(&beside))?;
        fs::rename(&beside, &path).map_err(of(&path))?;
        // Without this a power cut may undo the rename. Elsewhere a directory cannot be opened.
        #[cfg(unix)]
        File::open(&self.directory).and_then(|it| it.sync_all()).map_err(of(&self.directory))?;
        Ok(())
    }
}

/// Bytes of the checksum.
const CHECKSUM: u64 = 4;

/// CRC-32 (ISO-HDLC) of the record's number and bytes: it notices every change of up to 32 bits in
/// a row, and any three bits that are wrong.
fn checksum(record: Record, value: &[u8]) -> [u8; CHECKSUM as usize] {
    let mut crc = u32::MAX;
    for byte in core::iter::once(&(record as u8)).chain(value) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 };
        }
    }
    (!crc).to_le_bytes()
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
    /// The record is not what was saved.
    Damaged {
        /// The file.
        path: PathBuf,
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
            Self::Damaged { path } => f.write_str(&format!(
                "the checksum in {} is wrong, so it is damaged: move it away",
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

    #[test]
    fn every_flipped_bit_is_noticed() {
        let scratch = Scratch::new("flipped");
        let mut store = FileStore::new(&scratch.0);
        for (record, name, len) in [
            (Record::Timestamp, "timestamp", 12),
            (Record::PrivateKey, "private-key", 32),
            (Record::PublicKey, "public-key", 32),
        ] {
            let saved: std::vec::Vec<u8> = (0..len).map(|byte| byte * 7).collect();
            block_on(store.save(record, &saved)).unwrap();
            let path = scratch.0.join(name);
            let file = fs::read(&path).unwrap();
            for bit in 0..file.len() * 8 {
                let mut flipped = file.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &flipped).unwrap();
                let mut value = std::vec![1; saved.len()];
                let error = block_on(store.load(record, &mut value)).unwrap_err();
                let said = error.to_string();
                assert!(said.contains(name) && said.ends_with("damaged: move it away"), "{said}");
                assert!(value.iter().all(|byte| *byte == 0));
            }
            // Nor is it another record.
            fs::write(&path, &file).unwrap();
            assert!(block_on(store.load(record, &mut std::vec![0; saved.len()])).unwrap());
        }
        fs::rename(scratch.0.join("public-key"), scratch.0.join("private-key")).unwrap();
        let exchanged = block_on(store.load(Record::PrivateKey, &mut [0; 32]));
        assert!(matches!(exchanged, Err(FileError::Damaged { .. })));
    }

    #[test]
    fn a_record_from_before_there_were_checksums_is_read_and_gets_one() {
        let scratch = Scratch::new("before");
        fs::create_dir_all(&scratch.0).unwrap();
        fs::write(scratch.0.join("timestamp"), [5; 12]).unwrap();
        let mut store = FileStore::new(&scratch.0);
        let mut value = [0; 12];
        assert!(block_on(store.load(Record::Timestamp, &mut value)).unwrap());
        assert_eq!(value, [5; 12]);
        block_on(store.save(Record::Timestamp, &value)).unwrap();
        assert_eq!(fs::read(scratch.0.join("timestamp")).unwrap().len(), 16);
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
