use std::sync::mpsc;

use futures_util::FutureExt;

use super::*;
use crate::policy::Defaults;
use crate::tracker::TrackerLimits;

const SOON: Duration = Duration::from_secs(20);

/// What a probe needs; nothing is fetched here.
struct Bed {
    target: Target,
    module: Arc<Module>,
    policy: Policy,
    gate: Gate,
    tracker: Tracker,
}

impl Bed {
    fn new() -> Self {
        let nothing = Defaults {
            targets: &[],
            listens_on_loopback: false,
            any_target: false,
        };
        Self {
            target: "127.0.0.1:1".parse().unwrap(),
            module: Arc::new(Module::default()),
            policy: Policy::new(Vec::new(), &nothing),
            gate: Gate::new(1, 1),
            tracker: Tracker::new(TrackerLimits {
                targets: 9,
                forget_after: SOON,
            }),
        }
    }

    fn job(&self) -> ProbeJob<'_> {
        ProbeJob {
            target: &self.target,
            label: "default",
            module: &self.module,
            fetcher: None,
            policy: &self.policy,
            gate: &self.gate,
            place: None,
            tracker: &self.tracker,
            begun: Instant::now(),
            budget: SOON,
            started: SystemTime::now(),
            keep_body: false,
        }
    }

    async fn running<'a>(&'a self, job: &'a ProbeJob<'a>) -> Running<'a> {
        let place = self.gate.enter().unwrap();
        let turn = self.gate.turn("a").await.unwrap();
        Running {
            job,
            deadline: tokio::time::Instant::now() + SOON,
            held: Some((place, turn)),
        }
    }
}

#[tokio::test]
async fn a_panic_costs_one_probe_and_frees_its_place() {
    let bed = Bed::new();
    let job = bed.job();
    let mut running = bed.running(&job).await;
    assert!(bed.gate.enter().is_none());
    let deadline = running.deadline;
    let counted = running.compute(deadline, || panic!("a fault in the decoder"));
    let error: ProbeError = counted.await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::Internal);
    assert!(running.held.is_none());
    assert!(bed.gate.enter().is_some());
}

#[tokio::test]
async fn what_a_probe_occupies_comes_back_with_the_counts() {
    let bed = Bed::new();
    let job = bed.job();
    let mut running = bed.running(&job).await;
    let deadline = running.deadline;
    assert_eq!(running.compute(deadline, || 7).await.unwrap(), 7);
    assert!(running.held.is_some() && bed.gate.enter().is_none());
    drop(running);
    assert!(bed.gate.enter().is_some());
}

#[tokio::test]
async fn work_that_nobody_waits_for_keeps_its_place_until_it_is_done() {
    let bed = Bed::new();
    let job = bed.job();
    let mut running = bed.running(&job).await;
    let (started, starts) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let deadline = running.deadline;
    let mut work = Box::pin(running.compute(deadline, move || {
        started.send(()).unwrap();
        ends.recv().unwrap_err();
    }));
    assert!((&mut work).now_or_never().is_none());
    tokio::task::spawn_blocking(move || starts.recv_timeout(SOON).unwrap())
        .await
        .unwrap();
    drop(work);
    drop(running);
    assert!(bed.gate.enter().is_none());
    drop(end);
    let freed = tokio::time::timeout(SOON, bed.gate.wait()).await.unwrap();
    assert!(freed.is_some());
}

#[tokio::test]
async fn counting_that_takes_too_long_leaves_nothing_to_ask_with() {
    let bed = Bed::new();
    let job = bed.job();
    let mut running = bed.running(&job).await;
    let (end, ends) = mpsc::channel::<()>();
    let now = tokio::time::Instant::now();
    let error = running
        .compute(now, move || ends.recv().unwrap_err())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), FailureReason::Timeout);
    assert!(running.held.is_none());
    drop(end);
}

#[tokio::test]
async fn waiting_ends_with_the_deadline() {
    let now = tokio::time::Instant::now();
    let error = in_time(now, std::future::pending::<Option<()>>(), Waited::Place)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), FailureReason::Timeout);
    assert!(
        error
            .to_string()
            .ends_with("a place among all probes, which probes.total bounds"),
        "{error}"
    );
}

#[tokio::test]
async fn without_the_goroutine_profile_the_others_say_that_they_were_not_asked_for() {
    let mut bed = Bed::new();
    bed.module = Arc::new(Module {
        profiles: Profile::CONFIGURABLE.into(),
        ..Module::default()
    });
    let outcome = probe(bed.job()).await;
    assert_eq!(outcome.failure(), Some(FailureReason::Internal));
    let said: Vec<_> = outcome
        .readings()
        .map(|(profile, reading)| (profile, reading.failure))
        .collect();
    let failed = Some(FailureReason::Internal);
    let unread = [
        Profile::Goroutine,
        Profile::Block,
        Profile::Mutex,
        Profile::Threads,
    ];
    assert_eq!(said, unread.map(|profile| (profile, failed)));
}

#[test]
fn some_time_is_kept_for_the_way_to_the_answer() {
    for (budget, kept) in [(300_000, 100), (1_000, 100), (999, 99), (10, 1)] {
        let kept_of = reserve(Duration::from_millis(budget));
        assert_eq!(kept_of.as_millis(), kept, "{budget}");
    }
}
