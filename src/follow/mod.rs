//! Follows files and named pipes that Go programs write to under `GODEBUG`, and keeps what [`crate::godebug`] makes of it.
//!
//! Each source has a thread of its own, so that a disk that does not answer holds up nobody else. A file is read from its
//! end on when it is there at first, and from its start when it comes later, is put in the place of another (renamed and
//! made anew), or is cut (`copytruncate`). One that is missing is waited for. One that cannot be read for a while goes on
//! where it was, and another that is there by then from its end: what is counted is counted once. Of a file that is cut and has grown past
//! where it was read between two looks, what it held first is not seen: the numbers of cycles tell that some are lost.
//!
//! A named pipe is held open for writing too, where the system and its permissions allow it, so that it has no end when
//! its writer starts anew. Who writes to a pipe that nobody reads waits, or is ended: a file is the safer choice.

mod file;
mod pipe;
mod stop;
mod stream;

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::config::{GodebugSource, MAX_SOURCES};
use stop::Stop;
pub use stream::{Snapshot, Stream};

/// From one look at a file to the next, and from one attempt to open it to the next.
const LOOK: Duration = Duration::from_millis(250);

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// Threads at once, at most. Only those that a disk does not answer outlive their source.
const MAX_THREADS: usize = 2 * MAX_SOURCES;

/// Every source that is followed.
#[derive(Debug, Default)]
pub struct Followers {
    following: Mutex<Vec<Following>>,
    /// Each thread holds one.
    alive: Arc<()>,
}

/// A source, and what came of it so far. Dropping it ends the following.
#[derive(Debug)]
struct Following {
    source: GodebugSource,
    stream: Arc<Stream>,
    stop: Arc<Stop>,
    /// `None` when it could not be started.
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Whether anybody still follows.
    fn lives(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.ask();
    }
}

impl Followers {
    /// Follows these from now on and no others. One that stays goes on where it is, with other labels, too, unless its
    /// thread is not there: then it begins anew. Named pipes need a runtime around the call.
    pub fn adopt(&self, sources: &[GodebugSource]) {
        let mut following = self.lock();
        let mut old = std::mem::take(&mut *following);
        for source in sources {
            let same = |known: &Following| {
                (&known.source.name, &known.source.path) == (&source.name, &source.path)
                    && known.lives()
            };
            let kept = old.iter().position(same).map(|at| old.swap_remove(at));
            let mut next = kept.unwrap_or_else(|| self.start(source.clone()));
            next.source.labels.clone_from(&source.labels);
            following.push(next);
        }
    }

    /// What came of each so far, in the order of the configuration.
    #[must_use]
    pub fn snapshots(&self) -> Vec<(GodebugSource, Snapshot)> {
        let following = self.lock();
        let shown = |known: &Following| (known.source.clone(), known.stream.snapshot());
        following.iter().map(shown).collect()
    }

    fn start(&self, source: GodebugSource) -> Following {
        let (stream, stop) = (Arc::new(Stream::default()), Arc::new(Stop::default()));
        let job = Job {
            name: source.name.clone(),
            path: source.path.clone(),
            stream: Arc::clone(&stream),
            stop: Arc::clone(&stop),
            runtime: Handle::try_current().ok(),
        };
        let alive = Arc::clone(&self.alive);
        // Its own and this one aside.
        let started = if Arc::strong_count(&alive) > MAX_THREADS + 1 {
            Err(io::Error::other("too many threads wait for files"))
        } else {
            let thread = thread::Builder::new().name("godebug".to_owned());
            let run = move || {
                job.run();
                drop(alive);
            };
            thread.spawn(run)
        };
        if let Err(problem) = &started {
            stream.failed();
            warn!(source = source.name, %problem, "lines of GODEBUG are not followed");
        }
        Following {
            source,
            stream,
            stop,
            thread: started.ok(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Following>> {
        // It is replaced whole.
        self.following
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a thread does.
#[derive(Debug)]
struct Job {
    name: String,
    path: PathBuf,
    stream: Arc<Stream>,
    stop: Arc<Stop>,
    runtime: Option<Handle>,
}

/// From where on a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Start,
    End,
    /// Where it was when it could no longer be read.
    At(Place),
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    identity: (u64, u64),
    /// In bytes from its start.
    position: u64,
}

impl Job {
    fn run(&self) {
        // What is there at first was written before anybody wanted to know.
        let mut from = Begin::End;
        let mut told = None;
        while !self.stop.is_asked() {
            let problem = match self.follow(&mut from) {
                // Another is there in its place.
                Ok(()) => {
                    self.stream.closed();
                    from = Begin::Start;
                    continue;
                }
                Err(problem) => problem,
            };
            // What comes where nothing is was written since. Of what is there and cannot be read nobody knows that.
            if is_absence(problem.kind()) {
                from = Begin::Start;
            }
            if matches!(from, Begin::At(_)) {
                self.stream.interrupted();
            } else {
                self.stream.closed();
            }
            let problem = (problem.kind() != io::ErrorKind::NotFound).then(|| problem.to_string());
            if let Some(problem) = &problem {
                self.stream.failed();
                if told.as_ref() != Some(problem) {
                    let path = self.path.display();
                    warn!(source = self.name, %path, %problem, "lines of GODEBUG cannot be followed");
                }
            } else if told.is_some() {
                info!(source = self.name, "lines of GODEBUG are waited for");
            }
            told = problem;
            self.stop.wait(LOOK);
        }
    }

    /// Follows what is there, until something else is in its place or it is told to stop.
    fn follow(&self, from: &mut Begin) -> io::Result<()> {
        let found = fs::metadata(&self.path)?.file_type();
        if found.is_file() {
            return file::follow(&self.path, from, &self.stream, &self.stop);
        }
        // A file that is there later is a new one.
        if matches!(from, Begin::At(_)) {
            self.stream.switched();
        }
        *from = Begin::Start;
        if !found.is_fifo() {
            return Err(io::Error::other("neither a file nor a named pipe"));
        }
        let runtime = self.runtime.as_ref();
        let runtime = runtime.ok_or_else(|| io::Error::other("no runtime for a pipe"))?;
        pipe::follow(&self.path, &self.stream, &self.stop, runtime)
    }
}

/// Whether nothing is there: it does not exist, or what should be its folder is none.
fn is_absence(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What tells a file from another.
fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests;
