//! How fast a client must be: deadlines of one connection, which a watcher beside it holds it to.
//!
//! A connection may be idle for long, since scrapers come again; what has begun must go on. So a request must be whole soon
//! after its first byte, an answer must be taken as fast as it is given, and a connection that has brought no request yet,
//! or none that was let in, is kept no longer than it may take to send one. How long all of it takes together is not
//! bounded: a probe may be long.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Bytes that must have been taken to count as getting on: more than what keeps a connection alive takes.
const STEP_BYTES: usize = 1024;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the next request on a connection whose last one was answered.
    pub idle: Duration,
    /// For the head of a request from its first byte on, and for the first request of a connection.
    pub head: Duration,
    /// For the body of a request.
    pub body: Duration,
    /// For a client to take some of its answer.
    pub stall: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
}

/// What a connection is kept waiting with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slow {
    /// The next request did not come.
    Idle,
    /// The request was not whole in time.
    Head,
    /// The answer was not taken.
    Stalled,
}

/// The pace of one connection, shared by its socket, its requests and its watcher.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    state: Arc<Mutex<State>>,
    patience: Patience,
    /// Whether several requests are on their way at once, as in HTTP/2, so that bytes that come in need not begin one.
    multiplexed: bool,
}

#[derive(Debug)]
struct State {
    /// Requests that came in and whose answer is not made whole yet.
    open: usize,
    /// Those of them whose answer is being sent.
    answering: usize,
    /// Since when nothing is open.
    idle_since: Instant,
    /// For how long that may be.
    idle: Duration,
    /// When the request that is coming in began.
    begun: Option<Instant>,
    /// Whether bytes came in while a request was open: the beginning of the next one.
    early: bool,
    /// When some of an answer was last taken.
    progress: Instant,
    /// Bytes taken since then.
    taken: usize,
}

/// A request that is open; it no longer is when this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    pace: Pace,
    answering: bool,
}

impl Pace {
    pub(super) fn new(patience: Patience, multiplexed: bool) -> Self {
        let now = Instant::now();
        let state = State {
            open: 0,
            answering: 0,
            idle_since: now,
            idle: patience.head,
            begun: None,
            early: false,
            progress: now,
            taken: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            patience,
            multiplexed,
        }
    }

    /// A request whose head has come in.
    pub(super) fn open(&self) -> Open {
        let mut state = self.lock();
        state.open += 1;
        state.begun = None;
        state.early = false;
        Open {
            pace: self.clone(),
            answering: false,
        }
    }

    /// Ends when the client has been too slow, and says with what.
    pub(super) async fn overdue(&self) -> Slow {
        // What begins now may be due earlier than what is being waited for.
        let least = self.patience.head.min(self.patience.stall) / 4;
        let tick = least.clamp(Duration::from_millis(5), Duration::from_secs(1));
        loop {
            let now = Instant::now();
            let due = self.lock().due(self.patience);
            let next = match due {
                Some((due, slow)) if due <= now => return slow,
                Some((due, _)) => due.min(now + tick),
                None => now + tick,
            };
            sleep_until(next).await;
        }
    }

    fn read(&self, bytes: usize) {
        if bytes == 0 || self.multiplexed {
            return;
        }
        let mut state = self.lock();
        if state.open > 0 {
            state.early = true;
        } else if state.begun.is_none() {
            state.begun = Some(Instant::now());
        }
    }

    fn wrote(&self, bytes: usize) {
        let mut state = self.lock();
        state.taken = state.taken.saturating_add(bytes);
        if state.taken >= STEP_BYTES {
            state.got_on();
            state.idle_since = state.progress;
        }
    }

    /// What the lock guards is written whole, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn got_on(&mut self) {
        self.progress = Instant::now();
        self.taken = 0;
    }

    /// The earliest deadline, and for what it is.
    fn due(&self, patience: Patience) -> Option<(Instant, Slow)> {
        let waits = match (self.open, self.begun) {
            (0, Some(begun)) => Some((begun + patience.head, Slow::Head)),
            (0, None) => Some((self.idle_since + self.idle, Slow::Idle)),
            _ => None,
        };
        let stalls = (self.answering > 0).then(|| (self.progress + patience.stall, Slow::Stalled));
        waits.or(stalls)
    }
}

impl Open {
    /// Its body has come in.
    pub(super) fn read(&self) {
        self.pace.lock().early = false;
    }

    /// Its answer is being sent. After a refusal the connection is kept no longer than a new one.
    pub(super) fn answer(&mut self, refused: bool) {
        let patience = self.pace.patience;
        let mut state = self.pace.lock();
        state.idle = if refused {
            patience.head
        } else {
            patience.idle
        };
        if !self.answering {
            self.answering = true;
            state.answering += 1;
        }
        state.got_on();
    }

    /// Some of its answer has been taken.
    pub(super) fn taken(&self) {
        self.pace.lock().got_on();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.pace.lock();
        state.open = state.open.saturating_sub(1);
        if self.answering {
            state.answering = state.answering.saturating_sub(1);
        }
        if state.open == 0 {
            let now = Instant::now();
            state.idle_since = now;
            state.begun = state.early.then_some(now);
            state.early = false;
        }
    }
}

/// A stream whose pace is noted.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    pace: Pace,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.pace.read(buffer.filled().len().saturating_sub(before));
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(bytes)) = wrote {
            self.pace.wrote(bytes);
        }
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        if let Poll::Ready(Ok(bytes)) = wrote {
            self.pace.wrote(bytes);
        }
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
