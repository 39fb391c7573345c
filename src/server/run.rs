//! Runs one probe and takes note of it: in the exporter's own metrics, in the history, in the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{debug, info, warn};

use super::request::ModuleSet;
use super::state::{App, Live};
use crate::probe::{Place, ProbeJob, ProbeOutcome, probe};
use crate::target::Target;
use crate::tracker::{TargetState, TrackKey};

/// Probes `target` within `budget`. Without a `place` it waits for one inside the budget.
///
/// A target the policy refuses is counted as that and leaves no other trace: asking for it is not a probe.
pub(super) async fn run(
    app: &App,
    live: &Live,
    target: &Target,
    modules: &ModuleSet,
    budget: Duration,
    place: Option<Place>,
    started: SystemTime,
) -> ProbeOutcome {
    let begun = Instant::now();
    let module = &modules.module;
    let running = app.metrics.probe_started(module.name.as_str());
    let key = TrackKey { target: target.to_string(), module: modules.label.clone() };
    let outcome = probe(ProbeJob {
        target,
        label: &modules.label,
        module,
        fetcher: live.fetcher(&module.name),
        gate: &live.gate,
        place,
        tracker: &app.tracker,
        key: key.clone(),
        begun,
        deadline: begun + budget,
        started,
    })
    .await;
    if let Some(refusal) = outcome.refusal() {
        debug!(target = %outcome.target, reason = refusal.reason().as_str(), "target refused");
        app.metrics.target_refused(refusal.reason().as_str());
        running.refused();
        return outcome;
    }
    running.finish(&outcome);
    app.history.add(&outcome);
    log(&outcome, &app.tracker.state(key, Instant::now()));
    outcome
}
