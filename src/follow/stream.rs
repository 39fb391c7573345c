//! What comes of one stream of bytes, for whoever asks while it is read.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::godebug::{Reader, Totals};

/// A stream that one thread reads and others ask about. Nobody who asks waits for lines to be read.
#[derive(Debug, Default)]
pub struct Stream {
    /// The reading thread's own, for as long as a piece takes it; locked before what is shown.
    reader: Mutex<Reader>,
    /// What is known after the last piece.
    shown: Mutex<Snapshot>,
}

/// What is known of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What its lines say.
    pub totals: Totals,
    /// Whether it is open.
    pub open: bool,
    /// Times that it went on in another file, or in the same one from its start.
    pub switches: u64,
    /// Attempts to read it that failed.
    pub failures: u64,
    /// When a line of `gctrace` last came.
    pub cycle_at: Option<SystemTime>,
    /// When a line of `schedtrace` last came.
    pub sample_at: Option<SystemTime>,
}

impl Stream {
    /// Takes bytes that came at `now`.
    pub fn feed(&self, bytes: &[u8], now: SystemTime) {
        let mut reader = lock(&self.reader);
        reader.feed(bytes);
        let mut shown = lock(&self.shown);
        let (before, after) = (&shown.totals, reader.totals());
        let (cycled, sampled) = (after.cycles > before.cycles, after.samples > before.samples);
        shown.cycle_at = cycled.then_some(now).or(shown.cycle_at);
        shown.sample_at = sampled.then_some(now).or(shown.sample_at);
        shown.totals.clone_from(after);
    }

    /// It is open from now on; with `in_line` in the middle of a line, maybe.
    pub fn opened(&self, in_line: bool) {
        if in_line {
            lock(&self.reader).skip_line();
        }
        lock(&self.shown).open = true;
    }

    /// It ends here, or goes on elsewhere.
    pub fn closed(&self) {
        self.cut(|shown| shown.open = false);
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.shown).clone()
    }

    /// It may go on where it was, in the middle of a line, too.
    pub(super) fn interrupted(&self) {
        lock(&self.shown).open = false;
    }

    /// What comes next is from the start of a file.
    pub(super) fn switched(&self) {
        self.cut(|shown| shown.switches = shown.switches.saturating_add(1));
    }

    pub(super) fn failed(&self) {
        let mut shown = lock(&self.shown);
        shown.failures = shown.failures.saturating_add(1);
    }

    /// What is begun does not go on, and this is so from then on.
    fn cut(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut reader = lock(&self.reader);
        reader.cut();
        let mut shown = lock(&self.shown);
        shown.totals.clone_from(reader.totals());
        change(&mut shown);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A reader is as good as what it was fed with.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_asks_does_not_wait_for_who_reads() {
        let stream = Stream::default();
        stream.opened(false);
        stream.feed(b"a line\nanother", SystemTime::UNIX_EPOCH);
        thread::scope(|scope| {
            let reading = lock(&stream.reader);
            let (answer, answered) = channel();
            let stream = &stream;
            scope.spawn(move || answer.send(stream.snapshot()).unwrap());
            let seen = answered.recv_timeout(Duration::from_secs(30));
            // Before what may fail, as the scope waits for its thread.
            drop(reading);
            let seen = seen.unwrap();
            assert!(seen.open);
            assert_eq!(seen.totals.lines, 1);
        });
        stream.closed();
        assert_eq!(stream.snapshot().totals.lines, 2);
    }
}
