//! A file that grows, is cut, or is put in the place of another.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use super::stop::Stop;
use super::stream::Stream;
use super::{Begin, LOOK, PIECE, Place, identity};

/// Looks that a file which is no longer in its place is read on for while it grows: who writes to it may be about to open
/// the new one, or may never do so.
const MAX_LOOKS_BEHIND: u32 = 20;

/// Follows it, until another is in its place, it is gone, or it is told to stop. Leaves in `from` where it is, so that it
/// can go on there when it could not be read for a while.
pub(super) fn follow(
    path: &Path,
    from: &mut Begin,
    stream: &Stream,
    stop: &Stop,
) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // What is there by now may be a named pipe, and nobody may write to it.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut file = options.open(path)?;
    let opened = file.metadata()?;
    if !opened.is_file() {
        return Err(io::Error::other("no longer a file"));
    }
    // The byte in front of the end tells whether the end is one of a line.
    let end = (opened.len().saturating_sub(1), opened.len() > 0);
    let (mut position, in_line) = match *from {
        Begin::Start => (0, false),
        Begin::End => end,
        Begin::At(place) if place.identity == identity(&opened) => (place.position, false),
        // Nobody saw how this one came: what is in it may be old.
        Begin::At(_) => {
            stream.switched();
            end
        }
    };
    file.seek(SeekFrom::Start(position))?;
    stream.opened(in_line);
    let mut buffer = vec![0; PIECE];
    let (mut grew, mut behind) = (false, 0);
    while !stop.is_asked() {
        *from = Begin::At(Place {
            identity: identity(&opened),
            position,
        });
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
