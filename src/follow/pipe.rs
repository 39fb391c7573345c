//! A named pipe.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::runtime::Handle;

use super::stop::Stop;
use super::stream::Stream;
use super::{PIECE, identity};

/// How often it is looked whether the pipe is still the one in its place.
const LOOK: Duration = Duration::from_secs(2);

/// Follows it, until its last writer is gone where the system lets nobody but writers hold a pipe open, something else is
/// in its place, or it is told to stop. Nobody's waiting blocks a thread of the runtime.
pub(super) fn follow(
    path: &Path,
    stream: &Stream,
    stop: &Stop,
    runtime: &Handle,
) -> io::Result<()> {
    let _inside = runtime.enter();
    let mut options = OpenOptions::new();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    options.read_write(true);
    let opened = identity(&fs::metadata(path)?);
    let mut pipe = options.open_receiver(path)?;
    stream.opened(false);
    let mut buffer = vec![0; PIECE];
    loop {
        let read = runtime.block_on(async {
            tokio::select! {
                // First, as a runtime that ends has no time any more.
                biased;
                () = stop.asked() => None,
                read = next(&mut pipe, &mut buffer) => Some(read),
            }
        });
        match read {
            None => return Ok(()),
            Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                if identity(&fs::metadata(path)?) != opened {
                    stream.switched();
                    return Ok(());
                }
            }
            Some(read) => match buffer.get(..read?) {
                None | Some([]) => return Err(io::ErrorKind::NotFound.into()),
                Some(bytes) => stream.feed(bytes, SystemTime::now()),
            },
        }
    }
}

/// Reads what comes, or tells that nothing does.
async fn next(pipe: &mut Receiver, buffer: &mut [u8]) -> io::Result<usize> {
    match tokio::time::timeout(LOOK, pipe.read(buffer)).await {
        Ok(read) => read,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
