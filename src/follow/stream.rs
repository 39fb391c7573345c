//! What comes of one stream of bytes, for whoever asks while it is read.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::godebug::{Reader, Totals};

/// A stream that one thread reads and others ask about.
#[derive(Debug, Default)]
pub struct Stream {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reader: Reader,
    /// Everything but what the reader knows.
    shown: Snapshot,
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
        let mut state = self.lock();
        let before = state.reader.totals();
        let (cycles, samples) = (before.cycles, before.samples);
        state.reader.feed(bytes);
        let after = state.reader.totals();
        let (cycled, sampled) = (after.cycles > cycles, after.samples > samples);
        let State { shown, .. } = &mut *state;
        shown.cycle_at = cycled.then_some(now).or(shown.cycle_at);
        shown.sample_at = sampled.then_some(now).or(shown.sample_at);
    }

    /// It is open from now on; with `in_line` in the middle of a line, maybe.
    pub fn opened(&self, in_line: bool) {
        let mut state = self.lock();
        state.shown.open = true;
        if in_line {
            state.reader.skip_line();
        }
    }

    /// It ends here, or goes on elsewhere.
    pub fn closed(&self) {
        let mut state = self.lock();
        state.shown.open = false;
        state.reader.cut();
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            totals: state.reader.totals().clone(),
            ..state.shown.clone()
        }
    }

    /// What comes next is from the start of a file.
    pub(super) fn switched(&self) {
        let mut state = self.lock();
        state.shown.switches = state.shown.switches.saturating_add(1);
        state.reader.cut();
    }

    pub(super) fn failed(&self) {
        let mut state = self.lock();
        state.shown.failures = state.shown.failures.saturating_add(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A reader is as good as what it was fed with.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
