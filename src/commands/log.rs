//! Sets up logging: to standard error, one line for each event, of this program's own events and its panics.
//!
//! A thread of its own writes the lines, so that whoever reads standard error and stops, such as a journal with a full disk,
//! stops nothing but the log. `tracing-appender` would do the same, but at its end it may write to standard output, which can
//! block just as well.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tracing::error;
use tracing::field::display;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::cli::{LogArgs, LogFormat, LogLevel};
use crate::self_metrics::LogLines;

/// Bytes of lines that wait to be written, at most: thousands of lines.
const MAX_WAITING: usize = 1 << 20;

/// The name of the thread that writes.
const THREAD: &str = "log";

/// How long the end of the program waits for lines to be written.
const FINISH: Duration = Duration::from_secs(1);

/// Starts logging for the rest of the process, and counts in `dropped` the lines that it has to leave out. A second call
/// changes nothing.
///
/// # Errors
/// When there is no thread to be had.
pub fn start(arguments: LogArgs, dropped: LogLines) -> io::Result<Log> {
    let level = match arguments.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Libraries below may log what they send; only their warnings are wanted.
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_PKG_NAME"), level);
    let lines = Lines::written_to(io::stderr(), dropped)?;
    let (log, of_panics) = (Log(lines.clone()), lines.clone());
    // The module path goes: `target` is the word for what is probed.
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match arguments.format {
        LogFormat::Logfmt => Box::new(
            tracing_logfmt::builder()
                .with_target(false)
                .layer()
                .with_writer(lines),
        ),
        LogFormat::Json => Box::new(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_writer(lines),
        ),
    };
    let started = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
    if started.is_ok() {
        panic::set_hook(Box::new(move |panicked| {
            // Told with RUST_BACKTRACE, as without this hook.
            let backtrace = Backtrace::capture();
            let captured = backtrace.status() == BacktraceStatus::Captured;
            let backtrace = captured.then(|| display(&backtrace));
            error!(%panicked, backtrace, "a fault of the program's own");
            // Some faults end the program at once.
            if thread::current().name() != Some(THREAD) {
                of_panics.wait();
            }
        }));
    }
    Ok(log)
}

/// The log of the process. Dropping it waits until the lines so far are written, for a second at the longest.
#[derive(Debug)]
#[must_use]
pub struct Log(Lines);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// Where lines are left to be written.
#[derive(Clone, Debug)]
struct Lines {
    queue: Sender<Entry>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    dropped: LogLines,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Told once every line before is written.
    Mark(Sender<()>),
}

impl Lines {
    /// Lines that a new thread writes to `out`.
    fn written_to(out: impl Write + Send + 'static, dropped: LogLines) -> io::Result<Self> {
        let (queue, entries) = channel();
        let lines = Self {
            queue,
            waiting: Arc::default(),
            dropped,
        };
        let (waiting, dropped) = (Arc::clone(&lines.waiting), lines.dropped.clone());
        thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || write(&entries, &waiting, &dropped, out))?;
        Ok(lines)
    }

    /// Waits until the lines so far are written, but not for ever.
    fn wait(&self) {
        let (written, all) = channel();
        // Both fail when nobody writes any more.
        if self.queue.send(Entry::Mark(written)).is_ok() {
            all.recv_timeout(FINISH).ok();
        }
    }
}

/// Writes lines for as long as somebody may have some.
fn write(
    entries: &Receiver<Entry>,
    waiting: &AtomicUsize,
    dropped: &LogLines,
    mut out: impl Write,
) {
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                if out.write_all(&line).is_err() {
                    dropped.add();
                }
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
            // Whoever asked may be gone.
            Entry::Mark(written) => drop(written.send(())),
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Each call leaves a line, as the layers above make one call for each event. It never fails and never waits.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let fits = before.saturating_add(line.len()) <= MAX_WAITING;
        if !fits || self.queue.send(Entry::Line(line.to_vec())).is_err() {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.dropped.add();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Writes nothing before it is let, and tells that it was asked to.
    struct Stuck {
        asked: Sender<()>,
        go_on: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked.send(()).ok();
            // Nobody is left to let it.
            self.go_on.recv().map_err(io::Error::other)?;
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_who_does_not_read() {
        let (asked, was_asked) = channel();
        let (let_it, go_on) = sync_channel(MAX_WAITING);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let stuck = Stuck {
            asked,
            go_on,
            written: Arc::clone(&written),
        };
        let dropped = LogLines::new().unwrap();
        let lines = Lines::written_to(stuck, dropped.clone()).unwrap();
        let log = Log(lines.clone());
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let fit = MAX_WAITING / line.len();
        for _ in 0..fit + 3 {
            assert_eq!((&lines).write(&line).unwrap(), line.len());
        }
        was_asked.recv_timeout(SOON).unwrap();
        assert!(written.lock().unwrap().is_empty());
        assert_eq!(dropped.count(), 3);
        for _ in 0..fit {
            let_it.send(()).unwrap();
        }
        drop(log);
        assert_eq!(written.lock().unwrap().len(), fit * line.len());
        assert_eq!(lines.waiting.load(Ordering::Relaxed), 0);
        // There is room again; and what cannot be written is counted, too.
        (&lines).write_all(&line).unwrap();
        assert_eq!(dropped.count(), 3);
        drop(let_it);
        drop(Log(lines));
        assert_eq!(dropped.count(), 4);
    }
}
