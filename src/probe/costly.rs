//! What costs the target something: the two profiles that stop its world, and the execution trace. Asked for only where
//! the ledger allows it, one in a probe, never two at once at one target, and few at once in all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::count::lock;
use super::read::{Ask, Running, supported_beside};
use super::{Phases, ProbeError};
use crate::budget::{Cost, DetailMode, Expensive, Moment, Skip, TraceMode};
use crate::config::{Module, Profile};
use crate::decode::{DecodeError, Decoder, decode};
use crate::failure::TraceFailure;
use crate::fetch::{self, FetchError};
use crate::reading::Reading;
use crate::tally::{Collector, Leaks, Tally, Waits};
use crate::traced::Traced;
use crate::tracker::{Attempt, Cumulative, Kept, TargetState};

/// What a probe learnt besides what it remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learnt {
    /// The highest goroutine id, when the detailed profile was read.
    pub(super) highest_id: Option<u64>,
    /// Why it was not asked for.
    pub(super) skipped: Option<Skip>,
    /// Why no trace was, where the module wants them.
    pub(super) trace_skipped: Option<Skip>,
    /// Bytes of the goroutine profile that was read once more, behind a trace.
    pub(super) again_bytes: u64,
}

/// Which request to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    what: Option<Expensive>,
    /// How long to trace, if that is it.
    window: Duration,
    /// Why the detailed profile is not asked for.
    skipped: Option<Skip>,
    /// The same of the trace.
    trace_skipped: Option<Skip>,
}

/// An expensive request that is under way; over when it is dropped.
struct Claim<'s>(&'s Mutex<TargetState>);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        lock(self.0).ledger.release();
    }
}

impl Running<'_> {
    /// Asks for the detailed profile or for proof of leaks, where one of them is due and affordable.
    pub(super) async fn costly(
        &mut self,
        tally: &Tally,
        deadline: tokio::time::Instant,
        state: &Arc<Mutex<TargetState>>,
    ) -> Learnt {
        let mut learnt = Learnt::default();
        let (due, what, permit) = {
            let mut state = lock(state);
            let due = self.due(tally, deadline, &state);
            learnt.skipped = due.skipped;
            learnt.trace_skipped = due.trace_skipped;
            let Some(what) = due.what else { return learnt };
            let free = self.held.is_some();
            let Some(permit) = free.then(|| self.job.gate.costly()).flatten() else {
                let other = |skipped: Option<Skip>| Some(skipped.unwrap_or(Skip::Budget));
                learnt.skipped = other(due.skipped);
                if self.job.module.trace.mode != TraceMode::Off {
                    learnt.trace_skipped = other(due.trace_skipped);
                }
                return learnt;
            };
            state.ledger.claim(what, self.job.begun);
            (due, what, permit)
        };
        let claim = Claim(state);
        let mut reading = Reading {
            fresh: true,
            ..Reading::default()
        };
        let size = size(what, tally);
        let asked = Instant::now();
        let read = match what {
            Expensive::Detail => self.detail(deadline, &mut reading).await,
            Expensive::Leak => self.leaks(deadline, &mut reading).await,
            Expensive::Trace => {
                let window = due.window;
                self.trace(window, tally, deadline, state, &mut learnt, permit)
                    .await;
                return learnt;
            }
        };
        match read {
            Ok(read) => {
                reading.supported = Some(true);
                reading.truncated = Some(read.summary.truncated);
                reading.damage = Some(read.summary.damage);
                if !read.is_whole() {
                    reading.fail(ProbeError::Incomplete.reason(), &ProbeError::Incomplete);
                }
                let cost = Cost {
                    size,
                    duration: reading.duration.unwrap_or_default(),
                    bytes: reading.body_bytes.unwrap_or_default(),
                };
                if let Some(id) = read.highest_id.filter(|_| what == Expensive::Detail) {
                    self.observe(state, Cumulative::HighestId, id, asked);
                    learnt.highest_id = Some(id);
                }
                lock(state).ledger.settle(what, cost);
                let read_at = reading.read_at.unwrap_or(self.job.started);
                self.keep(what, &read, read_at, state);
            }
            Err(error) => {
                reading.supported = supported_beside(&error);
                if what == Expensive::Leak && reading.supported == Some(false) {
                    lock(state).ledger.missing(self.job.begun);
                } else {
                    reading.fail(error.reason(), &error);
                }
            }
        }
        drop(claim);
        let attempt = Attempt {
            asked: self.job.begun,
            reading,
        };
        let mut state = lock(state);
        let lore = state.lore(&self.job.module.classify);
        match what {
            Expensive::Detail => lore.detail_attempt = Some(attempt),
            Expensive::Leak => lore.leak_attempt = Some(attempt),
            // It has returned above, and says itself how it went.
            Expensive::Trace => {}
        }
        learnt
    }

    /// Which request to make, if any.
    fn due(&self, tally: &Tally, deadline: tokio::time::Instant, state: &TargetState) -> Due {
        let module = self.job.module;
        let moment = |what, body_limit| Moment {
            size: tally.is_whole().then(|| size(what, tally)),
            at_locks: tally.at_locks(),
            now: self.job.begun,
            left: deadline.saturating_duration_since(tokio::time::Instant::now()),
            body_limit,
        };
        let of_detail = moment(Expensive::Detail, module.detail_body_bytes);
        let detail = state.ledger.detail(&module.detail, &of_detail);
        let of_leaks = moment(Expensive::Leak, module.body_bytes);
        let leaks = module.profiles.contains(&Profile::Leak)
            && state.ledger.leak(&module.leak, &of_leaks).is_ok();
        let of_trace = moment(Expensive::Trace, module.trace.body_limit());
        let trace = state.ledger.trace(&module.trace, &of_trace);
        let allowed = [
            (Expensive::Detail, detail.is_ok()),
            (Expensive::Leak, leaks),
            (Expensive::Trace, trace.is_ok()),
        ];
        let allowed: Vec<Expensive> = allowed
            .into_iter()
            .filter_map(|(what, allowed)| allowed.then_some(what))
            .collect();
        let what = state.ledger.first(&allowed);
        // What is allowed and is not the first has its turn in one of the next probes.
        let behind = |this: Expensive, skip: Option<Skip>| {
            let waits = what != Some(this);
            skip.or(waits.then_some(Skip::Budget))
        };
        Due {
            what,
            window: trace.unwrap_or_default(),
            skipped: behind(Expensive::Detail, detail.err()),
            trace_skipped: behind(Expensive::Trace, trace.err()).filter(|skip| *skip != Skip::Off),
        }
    }

    /// Reads the detailed profile as it comes.
    async fn detail(
        &mut self,
        deadline: tokio::time::Instant,
        reading: &mut Reading,
    ) -> Result<Tally, ProbeError> {
        let module = Arc::clone(self.job.module);
        let ask = Ask {
            profile: Profile::Detail,
            query: module.detail.source.query(),
            body_limit: module.detail_body_bytes,
            deadline,
        };
        let sent = Instant::now();
        let mut answer = self.open(&ask, &mut fetch::Phases::default()).await?;
        let mut counting = Counting::new(&module);
        let end = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    if let Err(error) = counting.push(&chunk, module.body_bytes) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(false),
                Err(FetchError::Cut { .. }) => break Ok(true),
                Err(error) => break Err(error.into()),
            }
        };
        self.note(&answer, sent, reading);
        // The connection is free again before the rest is counted.
        drop(answer);
        let cut = end?;
        let mut tally = self.compute(deadline, move || counting.finish()).await??;
        tally.summary.truncated |= cut;
        if tally.highest_id.is_none() {
            // Somebody on the way drops the query, and the cheap form came again.
            return Err(ProbeError::from(DecodeError::NotPprof {
                found: "counts in place of one entry for each goroutine",
            }));
        }
        Ok(tally)
    }

    /// Reads the profile of proven leaks.
    async fn leaks(
        &mut self,
        deadline: tokio::time::Instant,
        reading: &mut Reading,
    ) -> Result<Tally, ProbeError> {
        let module = Arc::clone(self.job.module);
        let ask = Ask {
            profile: Profile::Leak,
            query: "",
            body_limit: module.body_bytes,
            deadline,
        };
        let body = self.fetch(&ask, &mut Phases::default(), reading).await?;
        if let Some(cut) = body.cut {
            return Err(cut.into());
        }
        let bytes = body.bytes;
        let counted = self.compute(deadline, move || {
            let mut collector = Collector::new(&module.rules);
            let summary = decode(&bytes, &module.decode, &mut collector)?;
            if !summary.leaked_only {
                // A mux that answers every path with the goroutine profile proves nothing.
                return Err(DecodeError::NotPprof {
                    found: "a profile of all goroutines",
                });
            }
            Ok(collector.finish(summary))
        });
        Ok(counted.await??)
    }

    /// Remembers what was told, unless a part is missing of which nobody knows how large it was.
    fn keep(&self, what: Expensive, read: &Tally, read_at: SystemTime, state: &Mutex<TargetState>) {
        if read.summary.truncated {
            return;
        }
        let asked = self.job.begun;
        let kept_leaks = |what| Kept {
            what,
            asked,
            read_at,
        };
        let mut state = lock(state);
        let lore = state.lore(&self.job.module.classify);
        match what {
            Expensive::Detail => {
                lore.origins.learn(read);
                lore.waits = Some(Kept {
                    what: Waits::of(read),
                    asked,
                    read_at,
                });
                lore.marks = Leaks::of(read).map(kept_leaks);
            }
            Expensive::Leak => lore.leaks = Leaks::of(read).map(kept_leaks),
            Expensive::Trace => {}
        }
    }
}

/// How the expensive profiles were last read, as far as that is still current: what a probe says of those it did not ask
/// for.
pub(super) fn repeated(
    module: &Module,
    state: &Mutex<TargetState>,
    now: Instant,
) -> Vec<(Profile, Reading)> {
    let mut state = lock(state);
    let of_detail = state
        .ledger
        .interval(Expensive::Detail, module.detail.min_interval);
    let of_leaks = state
        .ledger
        .interval(Expensive::Leak, module.leak.min_interval);
    let of_traces = state
        .ledger
        .interval(Expensive::Trace, module.trace.min_interval);
    let missing = state.ledger.is_missing();
    let no_traces = state.ledger.lacks_traces();
    let lore = state.lore(&module.classify);
    let mut readings = Vec::new();
    let current = lore.detail_attempt.as_ref();
    let current = current.and_then(|attempt| attempt.current(now, of_detail));
    if let Some(attempt) = current.filter(|_| module.detail.mode != DetailMode::Off) {
        let kept = lore.waits.as_ref();
        let kept = kept.and_then(|kept| kept.current(now, of_detail));
        let read_at = kept.map(|kept| kept.read_at);
        readings.push((Profile::Detail, said(attempt, read_at, now)));
    }
    if module.profiles.contains(&Profile::Leak) {
        let attempt = lore.leak_attempt.as_ref();
        let kept = lore.leaks.as_ref();
        let kept = kept.and_then(|kept| kept.current(now, of_leaks));
        let read_at = kept.map(|kept| kept.read_at);
        match attempt.and_then(|attempt| attempt.current(now, of_leaks)) {
            Some(attempt) => readings.push((Profile::Leak, said(attempt, read_at, now))),
            // Whichever module found it out, and however long ago.
            None if missing => readings.push((
                Profile::Leak,
                Reading {
                    supported: Some(false),
                    ..Reading::default()
                },
            )),
            None => {}
        }
    }
    if module.trace.mode != TraceMode::Off {
        let attempt = lore.trace_attempt.as_ref().map(|known| &known.attempt);
        // That it has none stays true for as long as it is not asked again.
        let attempt = attempt.filter(|known| no_traces || known.current(now, of_traces).is_some());
        let kept = lore.traced.as_ref();
        let kept = kept.and_then(|kept| kept.current(now, of_traces));
        let read_at = kept.map(|kept| kept.read_at);
        match attempt {
            Some(attempt) => readings.push((Profile::Trace, said(attempt, read_at, now))),
            None if no_traces => readings.push((
                Profile::Trace,
                Reading {
                    supported: Some(false),
                    ..Reading::default()
                },
            )),
            None => {}
        }
    }
    readings
}

/// What the last trace told, and why the last attempt told nothing, as far as that is still current.
pub(super) fn retold(
    module: &Module,
    state: &Mutex<TargetState>,
    now: Instant,
) -> (Option<Traced>, Option<TraceFailure>) {
    if module.trace.mode == TraceMode::Off {
        return (None, None);
    }
    let mut state = lock(state);
    let interval = state
        .ledger
        .interval(Expensive::Trace, module.trace.min_interval);
    let no_traces = state.ledger.lacks_traces();
    let lore = state.lore(&module.classify);
    let kept = lore.traced.as_ref();
    let kept = kept.and_then(|kept| kept.current(now, interval));
    let failure = lore
        .trace_attempt
        .as_ref()
        .filter(|known| no_traces || known.attempt.current(now, interval).is_some())
        .and_then(|known| known.failure);
    (
        kept.map(|kept| kept.what.first(module.series.groups)),
        failure,
    )
}

/// An attempt as it is told now: the time is that of the data, which an attempt that failed did not renew.
fn said(attempt: &Attempt, read_at: Option<SystemTime>, now: Instant) -> Reading {
    Reading {
        read_at,
        fresh: attempt.reading.fresh && attempt.asked == now,
        ..attempt.reading.clone()
    }
}

/// What there is to walk, by the cheap profile of the same probe.
fn size(what: Expensive, tally: &Tally) -> u64 {
    match what {
        Expensive::Detail => tally.frames,
        Expensive::Leak | Expensive::Trace => tally.total,
    }
}

/// A detailed profile that is counted as it comes, a few kilobytes at a time.
struct Counting {
    decoder: Decoder,
    collector: Collector,
}

impl Counting {
    fn new(module: &Module) -> Self {
        Self {
            decoder: Decoder::new(&module.decode),
            collector: Collector::new(&module.rules),
        }
    }

    /// Takes the next piece. What must be held whole is bounded as other profiles are, not as a text that streams.
    fn push(&mut self, piece: &[u8], held_limit: u64) -> Result<(), ProbeError> {
        let Self { decoder, collector } = self;
        let pushed = catch_unwind(AssertUnwindSafe(|| decoder.push(piece, collector)));
        pushed.map_err(|_| ProbeError::Panicked)??;
        if self.decoder.held() > held_limit {
            return Err(FetchError::TooLarge { limit: held_limit }.into());
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Tally, DecodeError> {
        let summary = self.decoder.finish(&mut self.collector)?;
        Ok(self.collector.finish(summary))
    }
}
