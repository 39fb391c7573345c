//! A file that grows, is cut, or is put in the place of another.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::stop::Stop;
use super::stream::Stream;
use super::{Begin, LOOK, PIECE, identity};

/// Looks that a file which is no longer in its place is read on for while it grows: who writes to it may be about to open
/// the new one, or may never do so.
const MAX_LOOKS_BEHIND: u32 = 20;

/// Follows it, until another is in its place, it is gone, or it is told to stop.
pub(super) fn follow(path: &Path, from: Begin, stream: &Stream, stop: &Stop) -> io::Result<()> {
    let mut file = File::open(path)?;
    let opened = file.metadata()?;
    let mut position = 0;
    // The byte in front of the end tells whether the end is one of a line.
    if from == Begin::End && opened.len() > 0 {
        position = file.seek(SeekFrom::Start(opened.len() - 1))?;
        stream.opened(true);
    } else {
        stream.opened(false);
    }
    let mut buffer = vec![0; PIECE];
    let (mut grew, mut behind) = (false, 0);
    while !stop.is_asked() {
        let read = file.read(&mut buffer)?;
        if let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) {
            stream.feed(bytes, SystemTime::now());
            position = position.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            grew = true;
            continue;
        }
        let held = file.metadata()?;
        if held.len() < position {
            position = file.seek(SeekFrom::Start(0))?;
            stream.switched();
            continue;
        }
        let replaced = match fs::metadata(path) {
            Ok(there) => identity(&there) != identity(&opened),
            // Renamed, it may still be written to; removed, it is nobody's but of those who hold it.
            Err(error) => error.kind() == io::ErrorKind::NotFound && held.nlink() == 0,
        };
        if replaced {
            behind += 1;
            // What was written before the new one came has a look's time to be read.
            if (behind > 1 && !grew) || behind > MAX_LOOKS_BEHIND {
                stream.switched();
                return Ok(());
            }
        } else {
            behind = 0;
        }
        grew = false;
        stop.wait(LOOK);
    }
    Ok(())
}
