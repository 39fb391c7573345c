//! The files of the web configuration: read within bounds, and watched for change without reading them again.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

/// A larger file of certificates is refused: bundles are about 200 KiB.
pub(super) const MAX_PEM_BYTES: u64 = 1 << 20;

/// A file that was written more recently than this may be written again without its time telling: file systems count time
/// in steps, of up to two seconds.
const SETTLES: Duration = Duration::from_secs(3);

/// What a look at a file shows, without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Gone,
    There {
        place: (u64, u64),
        length: u64,
        modified: (i64, i64),
        changed: (i64, i64),
    },
}

/// Reads files, and takes note of which and what was in them.
#[derive(Debug, Default)]
pub(super) struct Reader {
    stamps: Vec<(PathBuf, Stamp)>,
    content: Sha256,
    unsettled: bool,
}

/// What was read. Holds no content, only a digest of all of it.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    stamps: Vec<(PathBuf, Stamp)>,
    digest: [u8; 32],
    unsettled: bool,
}

impl Reader {
    /// The whole of a plain file. Pipes and devices are refused: they could block for ever, and cannot be read twice.
    ///
    /// # Errors
    /// In the words of the operating system.
    pub(super) fn read(&mut self, path: &Path, limit: u64) -> Result<Vec<u8>, String> {
        let metadata = std::fs::metadata(path);
        self.stamps.push((path.to_owned(), stamp(&metadata)));
        if let Ok(metadata) = &metadata {
            self.unsettled |= is_young(metadata, SystemTime::now());
        }
        let read = metadata
            .map_err(|error| error.to_string())
            .and_then(|metadata| read_plain(path, &metadata, limit));
        let content = match &read {
            Ok(bytes) => bytes.as_slice(),
            Err(problem) => problem.as_bytes(),
        };
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.content.update([u8::from(read.is_ok())]);
        self.content.update(length.to_be_bytes());
        self.content.update(content);
        read
    }

    /// What was read so far.
    pub(super) fn finish(self) -> Trace {
        Trace {
            stamps: self.stamps,
            digest: self.content.finalize().into(),
            unsettled: self.unsettled,
        }
    }
}

impl Trace {
    /// Whether reading the files again might find something else. Cost: one look at each.
    pub(super) fn is_stale(&self) -> bool {
        self.unsettled
            || self
                .stamps
                .iter()
                .any(|(path, before)| stamp(&std::fs::metadata(path)) != *before)
    }

    /// Whether the same files held the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let paths = |trace: &Self| -> Vec<PathBuf> {
            trace.stamps.iter().map(|(path, _)| path.clone()).collect()
        };
        self.digest == other.digest && paths(self) == paths(other)
    }
}

fn read_plain(path: &Path, metadata: &Metadata, limit: u64) -> Result<Vec<u8>, String> {
    if !metadata.is_file() {
        return Err("not a plain file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(format!("longer than {limit} bytes"));
    }
    Ok(bytes)
}

fn stamp(metadata: &io::Result<Metadata>) -> Stamp {
    metadata.as_ref().map_or(Stamp::Gone, |found| Stamp::There {
        place: (found.dev(), found.ino()),
        length: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

fn is_young(metadata: &Metadata, now: SystemTime) -> bool {
    let Ok(modified) = metadata.modified() else {
        return true;
    };
    // A time to come tells nothing about what comes after it.
    now.duration_since(modified)
        .map_or(true, |age| age < SETTLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_is_seen_by_place_length_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let old = SystemTime::now() - Duration::from_hours(1);
        let write = |text: &str| {
            std::fs::write(&file, text).unwrap();
            File::options()
                .write(true)
                .open(&file)
                .unwrap()
                .set_modified(old)
                .unwrap();
        };
        let trace = || {
            let mut reader = Reader::default();
            let read = reader.read(&file, 10);
            (reader.finish(), read)
        };
        write("one");
        let (first, read) = trace();
        assert_eq!(read.unwrap(), b"one");
        assert!(!first.is_stale());
        // Same length, same time of writing: the system notes when anything about the file changed.
        write("two");
        assert!(first.is_stale());
        let (second, _) = trace();
        assert!(!second.is_same(&first));
        // Another file of the same content in its place.
        let other = folder.path().join("b");
        std::fs::copy(&file, &other).unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert!(second.is_stale());
        assert!(trace().0.is_same(&second));
        std::fs::remove_file(&file).unwrap();
        let (gone, read) = trace();
        assert!(read.is_err() && !gone.is_same(&second) && !gone.is_stale());
        write("x");
        assert!(gone.is_stale());
    }

    #[test]
    fn a_young_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "x").unwrap();
        let mut reader = Reader::default();
        reader.read(&file, 10).unwrap();
        let trace = reader.finish();
        assert!(trace.is_stale());
    }

    #[test]
    fn only_plain_files_of_bounded_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "12345").unwrap();
        let mut reader = Reader::default();
        assert_eq!(reader.read(&file, 5).unwrap(), b"12345");
        assert_eq!(reader.read(&file, 4).unwrap_err(), "longer than 4 bytes");
        for other in [folder.path(), Path::new("/dev/zero")] {
            assert_eq!(reader.read(other, 4).unwrap_err(), "not a plain file");
        }
    }
}
