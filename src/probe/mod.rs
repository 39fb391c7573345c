//! One probe from its start to its end, and the only place that knows the order: a place among all probes, the target's
//! turn, the goroutine profile with the counting behind it, the cheap profiles beside it, at most one of those that
//! cost the target something, the choice of groups.
//!
//! Whatever goes wrong is part of the [`ProbeOutcome`], which always exists; what goes wrong with any other profile
//! leaves the goroutine profile's result alone. Dropping the future drops the connection to the target; only a body
//! that is being counted already is counted to its end, holding its place until then.
//!
//! Memory, whatever targets answer: for each probe at once `limits.body_bytes`; for each processor
//! `limits.inflated_bytes` and tables of at most ten times that, 200 MiB at the most; for each of four expensive
//! requests at once a collector of some MiB, 70 where a target does its worst, and `limits.body_bytes` where the answer is
//! compressed; or four times `trace.max_bytes`, 64 MiB at the most, and what counting that takes, which is told at
//! [`crate::trace`].

mod costly;
mod count;
mod further;
mod gate;
mod outcome;
mod read;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
mod traced;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use count::count_here;
pub use count::{Counted, choose, count};
pub use gate::{Bench, Costly, Gate, Place, Turn};
pub use outcome::{Contended, Phases, ProbeError, ProbeOutcome, ProbeReport, Waited};
#[cfg(test)]
pub(crate) use sample::{test_outcome, test_report};

use crate::budget::Skip;
use crate::config::{Module, Profile};
use crate::decode::DecodeError;
use crate::failure::{FailureReason, TraceFailure};
use crate::fetch::Fetcher;
use crate::policy::Policy;
use crate::reading::Reading;
use crate::tally::Tally;
use crate::target::Target;
use crate::tracker::{LastLook, Sighting, TargetState, TrackKey, Tracker};
use read::{Ask, Running, in_time, supported};

/// What is kept of a probe's time for the way from the last profile to the answer: this share of it, and at most so much.
const RESERVE_SHARE: u32 = 10;
const MAX_RESERVE: Duration = Duration::from_millis(100);

/// Everything one probe needs.
#[derive(Debug)]
pub struct ProbeJob<'a> {
    /// What to probe.
    pub target: &'a Target,
    /// The modules, joined by a comma.
    pub label: &'a str,
    /// What they amount to.
    pub module: &'a Arc<Module>,
    /// How its requests are made; every configured module has this.
    pub fetcher: Option<&'a Fetcher>,
    /// Where they may go.
    pub policy: &'a Policy,
    /// How many probes may run.
    pub gate: &'a Gate,
    /// The place among them; without one the probe waits for it.
    pub place: Option<Place>,
    /// What is remembered of targets.
    pub tracker: &'a Tracker,
    /// When the probe began, by the clock that never jumps.
    pub begun: Instant,
    /// How long it may take.
    pub budget: Duration,
    /// When it began, by the clock on the wall.
    pub started: SystemTime,
    /// Whether the goroutine profile is wanted as it came, beside what was counted in it.
    pub keep_body: bool,
}

impl ProbeJob<'_> {
    /// Now, by the clock on the wall as the probe began by it.
    fn wall_clock(&self) -> SystemTime {
        self.started + self.begun.elapsed()
    }
}

/// What is known of a probe as it goes on.
#[derive(Debug, Default)]
struct Progress {
    phases: Phases,
    goroutine: Reading,
    others: Vec<(Profile, Reading)>,
    detail_skipped: Option<Skip>,
    trace_skipped: Option<Skip>,
    trace_failure: Option<TraceFailure>,
    again_bytes: u64,
    restarted: Option<SystemTime>,
}

/// Probes a target.
///
/// Cost: a connection, the body in memory up to the module's limit, and one pass over it, on a thread of its own unless it
/// is small; what counting takes is told at [`count()`].
pub async fn probe(mut job: ProbeJob<'_>) -> ProbeOutcome {
    let mut progress = Progress::default();
    let place = job.place.take();
    let result = run(&job, place, &mut progress).await;
    if let Err(error) = &result {
        progress.goroutine.supported = supported(error);
        progress.goroutine.fail(error.reason(), &error);
        progress.goroutine.read_at = None;
        progress.others = unasked(job.module, error.reason());
    }
    ProbeOutcome {
        target: job.target.to_string(),
        module: job.label.to_owned(),
        started: job.started,
        duration: job.begun.elapsed(),
        phases: progress.phases,
        goroutine: progress.goroutine,
        others: progress.others,
        detail_skipped: progress.detail_skipped,
        trace_skipped: progress.trace_skipped,
        trace_failure: progress.trace_failure,
        again_bytes: progress.again_bytes,
        restarted: progress.restarted,
        result,
    }
}

async fn run(
    job: &ProbeJob<'_>,
    place: Option<Place>,
    progress: &mut Progress,
) -> Result<ProbeReport, ProbeError> {
    let deadline = tokio::time::Instant::from_std(job.begun) + job.budget;
    let place = match place {
        Some(place) => place,
        None => in_time(deadline, job.gate.wait(), Waited::Place).await?,
    };
    let turn = in_time(
        deadline,
        job.gate.turn(&job.target.to_string()),
        Waited::Turn,
    )
    .await?;
    let mut running = Running {
        job,
        deadline,
        held: Some((place, turn)),
    };
    let Goroutines {
        mut tally,
        sighting,
        body,
    } = running.goroutines(progress).await?;
    let key = TrackKey {
        target: job.target.to_string(),
        path: job.module.path.clone(),
    };
    let state = job.tracker.state(key, job.begun);
    if tally.is_whole() {
        recognise(sighting, &state, job.wall_clock());
    }
    // What does not fit is left out, and the answer is in time all the same.
    let last = deadline
        .checked_sub(reserve(job.budget))
        .unwrap_or(deadline);
    let mut readings = Vec::new();
    let further = running.further(last, &state, &mut readings).await;
    let learnt = running.costly(&tally, last, &state).await;
    progress.detail_skipped = learnt.skipped;
    progress.trace_skipped = learnt.trace_skipped;
    progress.again_bytes = learnt.again_bytes;
    let (traced, trace_failure) = costly::retold(job.module, &state, job.begun);
    progress.trace_failure = trace_failure;
    progress.others = costly::repeated(job.module, &state, job.begun);
    progress.others.append(&mut readings);

    let begun = Instant::now();
    let selection = choose(&mut tally, job.module, job.label, &state, job.begun);
    let last_look = last_look(&tally, job, &state);
    tally.highest_id = learnt.highest_id;
    let threads = further.threads;
    let (block, mutex) = further::contended(further, job.module, job.label, &state);
    let classify = progress.phases.classify.get_or_insert_default();
    *classify = classify.saturating_add(begun.elapsed());
    progress.restarted = count::lock(&state).identity.noticed();
    Ok(ProbeReport {
        tally,
        selection,
        last_look,
        body: body.filter(|_| job.keep_body),
        block,
        mutex,
        threads,
        traced,
    })
}

/// The goroutine profile, counted.
struct Goroutines {
    tally: Tally,
    sighting: Sighting,
    /// As it came; `None` when a part is missing.
    body: Option<Bytes>,
}

impl Running<'_> {
    /// Fetches and counts the goroutine profile.
    async fn goroutines(&mut self, progress: &mut Progress) -> Result<Goroutines, ProbeError> {
        let ask = Ask {
            profile: Profile::Goroutine,
            query: "",
            body_limit: self.job.module.body_bytes,
            deadline: self.deadline,
        };
        let asked = Instant::now();
        let reading = &mut progress.goroutine;
        let body = self.fetch(&ask, &mut progress.phases, reading).await?;
        let module = Arc::clone(self.job.module);
        let bytes = Bytes::from(body.bytes);
        let counting = bytes.clone();
        let Counted {
            tally,
            decode,
            classify,
        } = if let Some(counted) = count_here(&bytes, &module)? {
            counted
        } else {
            let work = move || count(&counting, &module);
            self.compute(self.deadline, work).await?
        };
        progress.phases.decode = Some(decode);
        progress.phases.classify = classify;
        let whole = body.cut.is_none();
        let mut tally = match (tally, body.cut) {
            (Ok(mut tally), Some(_)) => {
                tally.summary.truncated = true;
                tally
            }
            // What arrived could not be read; that it was cut is the better reason.
            (Err(_), Some(cut)) => return Err(cut.into()),
            (tally, None) => tally?,
        };
        if tally.summary.leaked_only {
            // Somebody on the way answers with another profile: of all the other goroutines it says nothing.
            return Err(ProbeError::from(DecodeError::NotPprof {
                found: "a profile of leaked goroutines",
            }));
        }
        let reading = &mut progress.goroutine;
        reading.supported = Some(true);
        reading.truncated = Some(tally.summary.truncated);
        reading.damage = Some(tally.summary.damage);
        if !tally.is_whole() {
            reading.fail(ProbeError::Incomplete.reason(), &ProbeError::Incomplete);
        }
        // Ids of a text that answers in place of the protobuf are no part of the contract.
        tally.highest_id = None;
        let sighting = Sighting::of(&tally, body.new_connection, asked);
        Ok(Goroutines {
            tally,
            sighting,
            // A part is no evidence: whoever opens it later cannot tell that it is one.
            body: whole.then_some(bytes),
        })
    }
}

/// What is kept of this time for the way to the answer.
fn reserve(budget: Duration) -> Duration {
    (budget / RESERVE_SHARE).min(MAX_RESERVE)
}

/// What a probe comes to whose time is over before another that is just the same has ended.
#[must_use]
pub fn late(job: &ProbeJob<'_>) -> ProbeOutcome {
    let error = ProbeError::Late {
        waited: Waited::Same,
    };
    let mut goroutine = Reading::default();
    goroutine.fail(error.reason(), &error);
    ProbeOutcome {
        target: job.target.to_string(),
        module: job.label.to_owned(),
        started: job.started,
        duration: job.begun.elapsed(),
        phases: Phases::default(),
        goroutine,
        others: unasked(job.module, error.reason()),
        detail_skipped: None,
        trace_skipped: None,
        trace_failure: None,
        again_bytes: 0,
        restarted: None,
        result: Err(error),
    }
}

/// Forgets what was learnt of a target when another process answers in its place.
fn recognise(sighting: Sighting, state: &Mutex<TargetState>, at: SystemTime) {
    let mut state = count::lock(state);
    if state.identity.sees(sighting, Instant::now()) {
        state.restarted(at);
    }
}

/// What was counted at the last look, in whose place comes this one, unless it is a part.
fn last_look(tally: &Tally, job: &ProbeJob<'_>, state: &Mutex<TargetState>) -> Option<LastLook> {
    let mut state = count::lock(state);
    let known = &mut state.view(job.label).last_look;
    if tally.is_whole() {
        known.replace(LastLook::new(tally, job.started))
    } else {
        known.clone()
    }
}

/// The other profiles of a module when there is no goroutine profile to judge them by.
fn unasked(module: &Module, reason: FailureReason) -> Vec<(Profile, Reading)> {
    let cheap = [Profile::Block, Profile::Mutex, Profile::Threads];
    let wanted = cheap
        .iter()
        .filter(|profile| module.profiles.contains(profile));
    let unread = wanted.map(|profile| {
        let mut reading = Reading::default();
        let problem = "not asked for, since the goroutine profile could not be read";
        reading.fail(reason, &problem);
        (*profile, reading)
    });
    unread.collect()
}
