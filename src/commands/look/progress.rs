//! How far a long read is, for a person who waits: on standard error, only on a terminal, only after a second.

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::profile::{Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId};

/// How long nothing is shown: most reads are over by then.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(200);
/// Goroutines counted between two tellings.
const BATCH: u64 = 64;

/// Says how many goroutines were counted, or bytes read. Ends when dropped, and leaves nothing behind.
#[derive(Debug)]
pub(in crate::commands) struct Progress {
    bar: ProgressBar,
    waiting: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Shows nothing, ever.
    pub(in crate::commands) fn silent() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            waiting: None,
        }
    }

    /// Shows that `what` is being read. Where standard error is no terminal, nothing is drawn.
    pub(in crate::commands) fn of(what: &str) -> Self {
        Self::shown_as(what, "{pos} goroutines")
    }

    /// The same for what is counted in bytes, by [`bytes`](Self::bytes).
    pub(in crate::commands) fn in_bytes(what: &str) -> Self {
        Self::shown_as(what, "{bytes}")
    }

    fn shown_as(what: &str, counted: &str) -> Self {
        let bar = ProgressBar::hidden();
        let template =
            format!("{{spinner}} reading {{msg}}: {counted}, {{elapsed}} (Ctrl-C gives up)");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        let (done, ended) = channel::<()>();
        let shown = bar.clone();
        let waiting = thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(REDRAW);
            }
        });
        Self {
            bar,
            waiting: Some((done, waiting)),
        }
    }

    /// So many bytes more were read.
    pub(in crate::commands) fn bytes(&self, count: usize) {
        self.bar.inc(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// A sink that tells how many goroutines it has passed on.
    pub(super) fn counting<S>(&self, inner: S) -> Counting<'_, S> {
        Counting {
            inner,
            bar: &self.bar,
            untold: 0,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((done, waiting)) = self.waiting.take() {
            drop(done);
            drop(waiting.join());
        }
        self.bar.finish_and_clear();
    }
}

/// Passes everything on, and counts.
#[derive(Debug)]
pub(super) struct Counting<'p, S> {
    inner: S,
    bar: &'p ProgressBar,
    untold: u64,
}

impl<S> Counting<'_, S> {
    pub(super) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Sink> Sink for Counting<'_, S> {
    fn wants_labels(&self) -> bool {
        self.inner.wants_labels()
    }

    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        self.inner.frame(frame)
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        self.inner.stack(stack)
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        self.untold = self.untold.saturating_add(facts.count);
        if self.untold >= BATCH {
            self.bar.inc(std::mem::take(&mut self.untold));
        }
        self.inner.count(stack, facts);
    }

    fn reveal(&mut self, id: HiddenId, functions: &[&str]) {
        self.inner.reveal(id, functions);
    }
}
