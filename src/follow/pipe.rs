//! A named pipe.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::stop::Stop;
use super::stream::Stream;
use super::{PIECE, identity};

/// How often it is looked whether the pipe is still the one in its place, whatever comes of it.
const LOOK: Duration = Duration::from_secs(2);

/// Follows it, until its last writer is gone where the system or its permissions let nobody but writers hold a pipe open,
/// something else is in its place, or it is told to stop. Nobody's waiting blocks a thread of the runtime.
pub(super) fn follow(
    path: &Path,
    stream: &Stream,
    stop: &Stop,
    runtime: &Handle,
) -> io::Result<()> {
    let _inside = runtime.enter();
    let opened = identity(&fs::metadata(path)?);
    let mut pipe = open(path)?;
    stream.opened(false);
    let mut buffer = vec![0; PIECE];
    let mut look_at = Instant::now() + LOOK;
    loop {
        let read = runtime.block_on(async {
            tokio::select! {
                // First, as a runtime that ends has no time any more.
                biased;
                () = stop.asked() => None,
                read = timeout_at(look_at, pipe.read(&mut buffer)) => Some(read),
            }
        });
        let silent = match read {
            None => return Ok(()),
            Some(Err(_)) => true,
            Some(Ok(read)) => match buffer.get(..read?) {
                None | Some([]) => return Err(io::ErrorKind::NotFound.into()),
                Some(bytes) => {
                    stream.feed(bytes, SystemTime::now());
                    false
                }
            },
        };
        let late = Instant::now().saturating_duration_since(look_at);
        if !silent && late.is_zero() {
            continue;
        }
        match fs::metadata(path) {
            // What was written before the new one came has another look's time to be read.
            Ok(there) if identity(&there) != opened => {
                if silent || late >= LOOK {
                    stream.switched();
                    return Ok(());
                }
            }
            Err(problem) if silent => return Err(problem),
            // Removed while it is written to, it is still the only one.
            Ok(_) | Err(_) => look_at = Instant::now() + LOOK,
        }
    }
}

/// For writing too, unless nobody but others may write to it.
fn open(path: &Path) -> io::Result<Receiver> {
    let mut options = OpenOptions::new();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    options.read_write(true);
    match options.open_receiver(path) {
        Err(problem) if problem.kind() == io::ErrorKind::PermissionDenied => {
            OpenOptions::new().open_receiver(path)
        }
        opened => opened,
    }
}
