//! One probe from its start to its end, and the only place that knows the order: a place among all probes, the
//! target's turn, the fetch, the decoder with the counting behind it, the choice of groups.
//!
//! Whatever goes wrong is part of the [`ProbeOutcome`], which always exists. Dropping the future drops the
//! connection to the target; only a body that is being counted already is counted to its end, holding its
//! place until then.

mod count;
mod gate;
mod outcome;
#[cfg(test)]
mod sample;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout_at;

pub use count::{Counted, count};
pub use gate::{Bench, Gate, Place, Turn};
pub use outcome::{Phases, ProbeError, ProbeOutcome, ProbeReport, ProfileFetch, Waited};
#[cfg(test)]
pub(crate) use sample::test_report;

use crate::config::{Module, Profile};
use crate::fetch::{self, Answer, FetchError, Fetcher, Request};
use crate::policy::Policy;
use crate::target::Target;
use crate::tracker::{TrackKey, Tracker};

/// Bytes set aside for a body before it comes: most profiles of healthy services fit.
const BODY_START: usize = 16 * 1024;

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
}

/// What is known of a probe as it goes on.
#[derive(Debug, Default)]
struct Progress {
    phases: Phases,
    goroutine: ProfileFetch,
}

/// Probes a target.
///
/// Cost: a connection, the body in memory up to the module's limit, and one pass over it on a thread of its own;
/// what counting takes is told at [`count()`].
pub async fn probe(mut job: ProbeJob<'_>) -> ProbeOutcome {
    let mut progress = Progress::default();
    let result = run(&mut job, &mut progress).await;
    progress.goroutine.supported = match &result {
        Ok(_) => Some(true),
        Err(ProbeError::Fetch(error)) if error.is_missing_profile() => Some(false),
        Err(_) => None,
    };
    ProbeOutcome {
        target: job.target.to_string(),
        module: job.label.to_owned(),
        started: job.started,
        duration: job.begun.elapsed(),
        phases: progress.phases,
        goroutine: progress.goroutine,
        result,
    }
}

async fn run(job: &mut ProbeJob<'_>, progress: &mut Progress) -> Result<ProbeReport, ProbeError> {
    let deadline = tokio::time::Instant::from_std(job.begun) + job.budget;
    let place = match job.place.take() {
        Some(place) => place,
        None => in_time(deadline, job.gate.wait(), Waited::Place).await?,
    };
    let target = job.target.to_string();
    let turn = in_time(deadline, job.gate.turn(&target), Waited::Turn).await?;
    let (body, cut) = fetch(job, deadline, progress).await?;
    let bench = in_time(deadline, job.gate.bench(), Waited::Bench).await?;
    let key = TrackKey {
        target,
        module: job.label.to_owned(),
    };
    let memory = job.tracker.state(key, Instant::now());
    let module = Arc::clone(job.module);
    let counting = compute((place, turn, bench), move || count(&body, &module, &memory));
    let Counted {
        report,
        decode,
        classify,
    } = timeout_at(deadline, counting)
        .await
        .unwrap_or(Err(ProbeError::Late {
            waited: Waited::Counts,
        }))?;
    progress.phases.decode = Some(decode);
    progress.phases.classify = classify;
    match (report, cut) {
        (Ok(mut report), Some(_)) => {
            report.tally.summary.truncated = true;
            Ok(report)
        }
        // What arrived could not be read; that it was cut is the better reason.
        (Err(_), Some(cut)) => Err(cut.into()),
        (report, None) => Ok(report?),
    }
}

/// Fetches the goroutine profile. A body that was cut comes with the error that cut it.
async fn fetch(
    job: &ProbeJob<'_>,
    deadline: tokio::time::Instant,
    progress: &mut Progress,
) -> Result<(Vec<u8>, Option<FetchError>), ProbeError> {
    let path = format!("{}/{}", job.module.path, Profile::Goroutine.as_str());
    let request = Request {
        target: job.target,
        path: &path,
        query: "",
        policy: job.policy,
        body_limit: job.module.body_bytes,
        deadline,
    };
    let sent = Instant::now();
    let fetcher = job.fetcher.ok_or(FetchError::Internal {
        what: "a module without a client",
    })?;
    let mut phases = fetch::Phases::default();
    let opened = fetcher.open_timed(&request, &mut phases).await;
    progress.phases = phases.into();
    let mut answer = opened?;
    let mut body = Vec::with_capacity(BODY_START);
    let end = read(&mut answer, &mut body).await;
    let known = answer.fetched();
    progress.phases = known.phases.into();
    progress.goroutine = ProfileFetch {
        supported: None,
        cut: matches!(end, Err(FetchError::Cut { .. })),
        content_type: known.content_type.clone(),
        body_bytes: Some(known.body_bytes),
        duration: Some(sent.elapsed()),
        read_at: Some(job.started + job.begun.elapsed()),
    };
    match end {
        Ok(()) => Ok((body, None)),
        Err(cut @ FetchError::Cut { .. }) if !body.is_empty() => Ok((body, Some(cut))),
        Err(error) => Err(error.into()),
    }
}

/// Reads the body, which the answer bounds, to its end.
async fn read(answer: &mut Answer, body: &mut Vec<u8>) -> Result<(), FetchError> {
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(())
}

/// Runs `work` on a thread of its own, where it holds what it occupies until it is done, whether or not anybody
/// still waits for it. A panic in it is an error like others.
async fn compute<H, T>(held: H, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ProbeError>
where
    H: Send + 'static,
    T: Send + 'static,
{
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(held);
        done
    });
    // Blocking work is never aborted here, so the only way it can fail is a panic.
    working.await.map_err(|_| ProbeError::Panicked)
}

/// What `waiting` comes to, unless the deadline comes first.
async fn in_time<T>(
    deadline: tokio::time::Instant,
    waiting: impl Future<Output = Option<T>>,
    waited: Waited,
) -> Result<T, ProbeError> {
    let late = ProbeError::Late { waited };
    timeout_at(deadline, waiting)
        .await
        .ok()
        .flatten()
        .ok_or(late)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_panic_costs_one_probe_and_frees_its_place() {
        let gate = Gate::new(1, 1);
        let place = gate.enter();
        assert!(gate.enter().is_none());
        let counted = compute(place, || panic!("a fault in the decoder")).await;
        let error: ProbeError = counted.unwrap_err();
        assert_eq!(error.reason(), crate::failure::FailureReason::Internal);
        assert!(gate.enter().is_some());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_place_until_it_is_done() {
        let gate = Gate::new(1, 1);
        let (started, starts) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let mut work = Box::pin(compute(gate.enter(), move || {
            started.send(()).unwrap();
            ends.recv().unwrap_err();
        }));
        assert!((&mut work).now_or_never().is_none());
        tokio::task::spawn_blocking(move || starts.recv_timeout(SOON).unwrap())
            .await
            .unwrap();
        drop(work);
        assert!(gate.enter().is_none());
        drop(end);
        let freed = tokio::time::timeout(SOON, gate.wait()).await.unwrap();
        assert!(freed.is_some());
    }

    #[tokio::test]
    async fn waiting_ends_with_the_deadline() {
        let now = tokio::time::Instant::now();
        let error = in_time(now, std::future::pending::<Option<()>>(), Waited::Place)
            .await
            .unwrap_err();
        assert_eq!(error.reason(), crate::failure::FailureReason::Timeout);
        assert!(
            error
                .to_string()
                .ends_with("a place among all probes, which probes.total bounds"),
            "{error}"
        );
    }
}
