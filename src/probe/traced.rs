//! The execution trace: asked for as the other expensive requests are, between two goroutine profiles that prove together
//! with it who did not move.
//!
//! It is read as fast as it comes, since a target buffers without limit what nobody reads, and counted afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::costly::Learnt;
use super::count::{Counted, count, count_here, lock};
use super::read::{Ask, Running, supported_beside};
use super::{Costly, Phases, ProbeError, Waited};
use crate::budget::Weight;
use crate::config::{Module, Profile};
use crate::failure::{FailureReason, TraceFailure};
use crate::fetch::{self, FetchError};
use crate::reading::Reading;
use crate::tally::{GroupId, ParkedGroups, Tally};
use crate::trace::{Decoder, Limits, Refusal, Window};
use crate::traced::{Traced, still};
use crate::tracker::{Attempt, Kept, TargetState, TraceAttempt};

/// What a body is held in, a piece of so many bytes at a time: each is given back as soon as it was counted.
const PIECE_BYTES: usize = 256 << 10;

/// A body as it came.
#[derive(Debug, Default)]
struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    /// Takes bytes; a target that sends one at a time makes it no larger.
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.0.last().map_or(0, |last| PIECE_BYTES - last.len());
            if room == 0 {
                self.0.push(Vec::with_capacity(PIECE_BYTES));
                continue;
            }
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            if let Some(last) = self.0.last_mut() {
                last.extend_from_slice(now);
            }
            bytes = later;
        }
    }
}

/// What was counted in a trace.
struct Counts {
    traced: Traced,
    /// Who did not move, where that is proven.
    still: Option<BTreeMap<GroupId, u64>>,
    /// What was lost of it.
    lost: Option<TraceFailure>,
}

/// Why there is none.
struct Fault {
    why: TraceFailure,
    /// In words.
    problem: String,
    supported: Option<bool>,
}

impl Running<'_> {
    /// Asks for a trace of that window, and for the goroutine profile once more behind it.
    pub(super) async fn trace(
        &mut self,
        window: Duration,
        before: &Tally,
        deadline: tokio::time::Instant,
        state: &Arc<Mutex<TargetState>>,
        learnt: &mut Learnt,
        permit: Costly,
    ) {
        let mut reading = Reading {
            fresh: true,
            ..Reading::default()
        };
        let read = self
            .whole_trace(window, deadline, state, &mut reading, learnt, permit)
            .await;
        let asked = self.job.begun;
        let read_at = reading.read_at.unwrap_or(self.job.started);
        let failure = match read {
            Ok((counts, after)) => {
                reading.supported = Some(true);
                reading.truncated = Some(counts.lost == Some(TraceFailure::Truncated));
                reading.damage = Some(counts.traced.damage);
                if let Some(lost) = counts.lost {
                    reading.fail(lost.reason(), &ProbeError::Incomplete);
                }
                let parked = match (&counts.still, &after) {
                    (Some(still), Some(after)) => Some(ParkedGroups::of(before, still, after)),
                    _ => None,
                };
                let mut state = lock(state);
                state.ledger.has_traces(&self.job.module.trace);
                let lore = state.lore(&self.job.module.classify);
                lore.traced = Some(Kept {
                    what: counts.traced,
                    asked,
                    read_at,
                });
                // Of the same window or of none.
                lore.parked = parked.map(|what| Kept {
                    what,
                    asked,
                    read_at,
                });
                counts.lost
            }
            Err(fault) => {
                reading.supported = fault.supported;
                let mut state = lock(state);
                match fault.why {
                    TraceFailure::Busy => state.ledger.trace_busy(),
                    _ if fault.supported == Some(false) => state.ledger.no_traces(asked),
                    _ => {}
                }
                // What a target does not have is no failure of any profile.
                if fault.supported != Some(false) {
                    reading.fail(fault.why.reason(), &fault.problem);
                }
                Some(fault.why)
            }
        };
        let attempt = Attempt { asked, reading };
        let mut state = lock(state);
        state.lore(&self.job.module.classify).trace_attempt =
            Some(TraceAttempt { attempt, failure });
    }

    /// Reads the trace and the profile behind it, and counts both.
    async fn whole_trace(
        &mut self,
        window: Duration,
        deadline: tokio::time::Instant,
        state: &Mutex<TargetState>,
        reading: &mut Reading,
        learnt: &mut Learnt,
        permit: Costly,
    ) -> Result<(Counts, Option<Tally>), Fault> {
        let sent = Instant::now();
        let (pieces, end) = self.trace_body(window, deadline, reading).await;
        // Where reading was given up, the window was no longer than that took.
        let watched = match &end {
            Ok(()) => window,
            Err(_) => window.min(sent.elapsed()),
        };
        let weight = Weight {
            window: watched,
            bytes: reading.body_bytes.unwrap_or_default(),
        };
        if weight.bytes > 0 {
            lock(state).ledger.weigh(weight);
        }
        end?;
        // As near to the end of the window as can be: counting can wait.
        let after = self.goroutines_again(deadline, learnt).await;
        let module = Arc::clone(self.job.module);
        let counts = self.compute(deadline, move || {
            let counts = counted(pieces, &module, deadline);
            // What it holds is held until here, whoever still waits.
            drop(permit);
            counts
        });
        let counts = counts.await.map_err(Fault::from)??;
        let after = match after {
            Some(bytes) => self.counted_again(bytes, deadline).await,
            None => None,
        };
        Ok((counts, after))
    }

    /// The body of a trace, and whether that was all of it.
    async fn trace_body(
        &self,
        window: Duration,
        deadline: tokio::time::Instant,
        reading: &mut Reading,
    ) -> (Pieces, Result<(), Fault>) {
        let query = format!("seconds={}", window.as_secs_f64());
        let ask = Ask {
            profile: Profile::Trace,
            query: &query,
            body_limit: self.job.module.trace.body_limit(),
            deadline,
        };
        let sent = Instant::now();
        let mut pieces = Pieces::default();
        let mut answer = match self.open(&ask, &mut fetch::Phases::default()).await {
            Ok(answer) => answer,
            Err(error) => return (pieces, Err(error.into())),
        };
        let end = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => pieces.push(&chunk),
                Ok(None) => break Ok(()),
                Err(error) => break Err(ProbeError::from(error).into()),
            }
        };
        self.note(&answer, sent, reading);
        (pieces, end)
    }

    /// The goroutine profile behind the trace; nothing where it could not be read, which is no fault of the trace.
    async fn goroutines_again(
        &self,
        deadline: tokio::time::Instant,
        learnt: &mut Learnt,
    ) -> Option<Vec<u8>> {
        let ask = Ask {
            profile: Profile::Goroutine,
            query: "",
            body_limit: self.job.module.body_bytes,
            deadline,
        };
        let mut reading = Reading::default();
        let body = self.fetch(&ask, &mut Phases::default(), &mut reading).await;
        learnt.again_bytes = reading.body_bytes.unwrap_or_default();
        body.ok()
            .filter(|body| body.cut.is_none())
            .map(|body| body.bytes)
    }

    async fn counted_again(
        &mut self,
        bytes: Vec<u8>,
        deadline: tokio::time::Instant,
    ) -> Option<Tally> {
        let module = Arc::clone(self.job.module);
        let Counted { tally, .. } = if let Ok(Some(counted)) = count_here(&bytes, &module) {
            counted
        } else {
            let work = move || count(&bytes, &module);
            self.compute(deadline, work).await.ok()?
        };
        let tally = tally.ok()?;
        (tally.is_whole() && !tally.summary.leaked_only).then_some(tally)
    }
}

/// Counts a trace, and gives back its pieces one by one. Blocking, and no longer than until the deadline, but for the
/// generation at hand.
fn counted(
    pieces: Pieces,
    module: &Module,
    deadline: tokio::time::Instant,
) -> Result<Counts, Fault> {
    let defaults = Limits::default();
    let most = usize::try_from(module.trace.max_goroutines).unwrap_or(usize::MAX);
    let limits = Limits {
        generation_bytes: usize::try_from(module.trace.body_limit()).unwrap_or(usize::MAX),
        // There may be more by now than were counted a moment ago.
        goroutines: most.saturating_mul(2).clamp(1 << 12, defaults.goroutines),
        // Groups are compared, not goroutines.
        parked: 0,
        ..defaults
    };
    let mut decoder = Decoder::new(&limits, &module.rules);
    for piece in pieces.0 {
        if tokio::time::Instant::now() >= deadline {
            let waited = Waited::Counts;
            return Err(ProbeError::Late { waited }.into());
        }
        decoder.push(&piece)?;
    }
    let window = decoder.finish()?;
    Ok(Counts {
        traced: Traced::of(&window),
        still: still(&window),
        lost: lost(&window),
    })
}

/// What was lost of a window, by what says it best.
fn lost(window: &Window) -> Option<TraceFailure> {
    if window.damage.is_none() {
        None
    } else if window.damage.generations > 0 {
        Some(TraceFailure::Truncated)
    } else {
        Some(TraceFailure::Damaged)
    }
}

impl From<ProbeError> for Fault {
    fn from(error: ProbeError) -> Self {
        let why = match &error {
            ProbeError::Fetch(fetch) if fetch.is_tracing() => TraceFailure::Busy,
            ProbeError::Fetch(FetchError::Cut { reset: false, .. }) => TraceFailure::Truncated,
            other => TraceFailure::Any(other.reason()),
        };
        Self {
            why,
            problem: error.to_string(),
            supported: supported_beside(&error),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (why, supported) = match refusal {
            Refusal::TooOld { .. } | Refusal::UnknownFormat { .. } => {
                (TraceFailure::UnsupportedVersion, Some(false))
            }
            Refusal::NotATrace => (TraceFailure::Any(FailureReason::NotPprof), None),
            Refusal::Truncated { .. } => (TraceFailure::Truncated, Some(true)),
            Refusal::TooLarge { .. } => (TraceFailure::Any(FailureReason::TooLarge), Some(true)),
            Refusal::Damaged => (TraceFailure::Damaged, Some(true)),
        };
        Self {
            why,
            problem: refusal.to_string(),
            supported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_the_bytes_and_little_else() {
        let body: Vec<u8> = (0..=255).cycle().take(3 * PIECE_BYTES + 7).collect();
        for size in [1, 1_000, PIECE_BYTES, 2 * PIECE_BYTES + 1] {
            let mut pieces = Pieces::default();
            for part in body.chunks(size) {
                pieces.push(part);
            }
            assert_eq!(pieces.0.concat(), body);
            assert_eq!(pieces.0.len(), 4, "{size}");
            let held: usize = pieces.0.iter().map(Vec::capacity).sum();
            assert_eq!(held, 4 * PIECE_BYTES, "{size}");
        }
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let check = |refusal: Refusal, reason: &str, supported: Option<bool>| {
            let fault = Fault::from(refusal);
            assert_eq!((fault.why.as_str(), fault.supported), (reason, supported));
        };
        check(Refusal::NotATrace, "not_pprof", None);
        check(
            Refusal::TooOld { minor: 21 },
            "unsupported_version",
            Some(false),
        );
        check(
            Refusal::UnknownFormat { minor: 28 },
            "unsupported_version",
            Some(false),
        );
        check(Refusal::Truncated { bytes: 1 }, "truncated", Some(true));
        check(Refusal::TooLarge { limit: 1 }, "too_large", Some(true));
        check(Refusal::Damaged, "damaged", Some(true));
    }
}
