//! The files in a folder of snapshots: their names, what they are, and how they are written and read.

use std::fs::{DirBuilder, DirEntry, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::entry::{Entry, SnapshotId};
use super::file::head;

/// What names of snapshots end in.
const SUFFIX: &str = ".pb.gz";
/// What names of files under way begin and end with.
const UNDER_WAY: (&str, &str) = (".", ".tmp");
/// The file whose lock says that the folder is in use.
pub(super) const LOCK: &str = ".goroutine_exporter.lock";

/// What a file in the folder is.
pub(super) enum Found {
    Snapshot(Entry),
    /// Left by a crash in the middle of writing.
    UnderWay,
    /// Not written by us, or not as it is now.
    Foreign,
    /// Ours, or no file.
    Nothing,
}

/// Looks at a file: its name, and its head where it may be a snapshot.
pub(super) fn inspect(file: &DirEntry) -> io::Result<Found> {
    let name = file.file_name();
    let Some(name) = name.to_str() else {
        return Ok(Found::Foreign);
    };
    let kind = file.file_type()?;
    if name == LOCK || kind.is_dir() {
        return Ok(Found::Nothing);
    }
    if !kind.is_file() {
        return Ok(Found::Foreign);
    }
    let (before, behind) = UNDER_WAY;
    let inner = name
        .strip_prefix(before)
        .and_then(|name| name.strip_suffix(behind));
    if inner.and_then(SnapshotId::parse).is_some() {
        return Ok(Found::UnderWay);
    }
    let Some(id) = name.strip_suffix(SUFFIX).and_then(SnapshotId::parse) else {
        return Ok(Found::Foreign);
    };
    // A file that cannot be read, or is gone by now, is as good as foreign.
    let read = || head(File::open(file.path())?, file.metadata()?.len());
    let entry = read().ok().flatten().map(|head| head.entry);
    Ok(entry
        .filter(|entry| entry.id == id)
        .map_or(Found::Foreign, Found::Snapshot))
}

/// Makes a folder and those above it, and makes their names durable.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|path| {
        // The last ancestor of a relative path is empty, and is where we are.
        !path.as_os_str().is_empty() && !path.exists()
    });
    let missing: Vec<&Path> = missing.collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)?;
    for made in missing {
        match made.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all()?,
            _ => File::open(".")?.sync_all()?,
        }
    }
    Ok(())
}

/// The name of a snapshot's file while it is written.
pub(super) fn under_way(id: &SnapshotId) -> String {
    let (before, behind) = UNDER_WAY;
    format!("{before}{id}{behind}")
}

/// Writes a new file, for its owner only, and makes it durable.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads one byte more than there should be, at most: enough to see that it is too long.
pub(super) fn read_file(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = bytes.saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut content)?;
    Ok(content)
}

/// The name of a snapshot's file.
pub(super) fn name(id: &SnapshotId) -> String {
    format!("{id}{SUFFIX}")
}

/// The file to lock in a folder.
pub(super) fn open_lock(folder: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(folder.join(LOCK))
}
