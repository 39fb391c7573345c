//! Runs one probe and takes note of it: in the exporter's own metrics, in the history, in the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{debug, info, warn};

use super::request::ModuleSet;
use super::state::{App, Live};
use crate::probe::{Place, ProbeJob, ProbeOutcome, probe};
use crate::target::Target;
use crate::tracker::{TargetState, TrackKey};

/// Probes `target` within `budget`. Without a `place` it waits for one inside the budget.
///
/// A target the policy refuses leaves no trace but a count: asking for it is not a probe.
pub(super) async fn run(
    app: &App,
    live: &Live,
    target: &Target,
    modules: &ModuleSet,
    budget: Duration,
    place: Option<Place>,
) -> ProbeOutcome {
    let module = &modules.module;
    let running = app.metrics.probe_started(module.name.as_str());
    let outcome = probe(ProbeJob {
        target,
        label: &modules.label,
        module,
        fetcher: live.fetcher(&module.name),
        policy: &live.policy,
        gate: &live.gate,
        place,
        tracker: &app.tracker,
        begun: Instant::now(),
        budget,
        started: SystemTime::now(),
    })
    .await;
    if let Some(refusal) = outcome.refusal() {
        app.metrics.target_refused(refusal.reason().as_str());
    }
    if outcome.refused().is_some() {
        debug!(target = %outcome.target, "target not allowed");
        running.refuse();
        return outcome;
    }
    running.finish(&outcome);
    app.history.add(&outcome);
    let key = TrackKey {
        target: outcome.target.clone(),
        module: outcome.module.clone(),
    };
    log(&outcome, &app.tracker.state(key, Instant::now()));
    outcome
}

/// A target that starts to fail, fails otherwise or works again is worth a line; that it still fails is not, as
/// a fleet that is down would fill the log with it.
fn log(outcome: &ProbeOutcome, state: &Mutex<TargetState>) {
    let failure = outcome.failure();
    let before = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut state.failure, failure)
    };
    let ProbeOutcome {
        target,
        module,
        duration,
        result,
        ..
    } = outcome;
    let duration_seconds = duration.as_secs_f64();
    let Some(reason) = failure else {
        if before.is_some() {
            info!(%target, %module, duration_seconds, "probe succeeds again");
        } else {
            debug!(%target, %module, duration_seconds, "probe succeeded");
        }
        return;
    };
    let problem = match result {
        Ok(_) => "the profile was cut short or damaged".to_owned(),
        Err(error) => error.to_string(),
    };
    if before == failure {
        debug!(%target, %module, %reason, %problem, duration_seconds, "probe still fails");
    } else {
        warn!(%target, %module, %reason, %problem, duration_seconds, "probe failed");
    }
}
