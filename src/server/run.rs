//! Runs one probe, or joins one that is just the same, and takes note of it: in the exporter's own metrics, in the
//! history, in the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;
use tracing::{debug, info, warn};

use super::evidence;
use super::flights::{FlightKey, Patience};
use super::live::Live;
use super::quiet::Quiet;
use super::request::ModuleSet;
use super::state::App;
use crate::probe::{Place, ProbeJob, ProbeOutcome, late, probe};
use crate::target::Target;
use crate::tracker::{TargetState, TrackKey};

/// One probe, as somebody asks for it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) app: Arc<App>,
    pub(super) live: Arc<Live>,
    pub(super) target: Target,
    pub(super) modules: ModuleSet,
    pub(super) budget: Duration,
    /// Whether the profile itself is wanted, too.
    pub(super) keep_body: bool,
    /// Whether somebody takes a snapshot of it.
    pub(super) by_hand: bool,
}

/// What a probe of its own needs to begin.
#[derive(Debug)]
pub(super) enum Admission {
    /// A place among requests and probes, held already.
    Held(OwnedSemaphorePermit, Place),
    /// The request it is part of holds a place, and it waits for one among probes.
    Waits,
}

/// Probes the target, or waits for a probe under way that is just the same. Without admission, which is asked for only
/// when it needs one, there is no outcome.
///
/// A target the policy refuses leaves no trace but a count: asking for it is not a probe.
pub(super) async fn run(
    asked: &Asked,
    admit: impl FnOnce() -> Option<Admission>,
) -> Option<Arc<ProbeOutcome>> {
    let (begun, started) = (Instant::now(), SystemTime::now());
    let Asked {
        app, live, budget, ..
    } = asked;
    let key = FlightKey {
        target: asked.target.to_string(),
        modules: asked.modules.label.clone(),
        generation: live.generation,
        keep_body: asked.keep_body,
    };
    let patience = Patience {
        until: begun + *budget,
        budget: *budget,
    };
    if let Some(flight) = app.flights.join(&key, patience) {
        app.metrics.probe_coalesced();
        let until = tokio::time::Instant::from_std(patience.until);
        let outcome = timeout_at(until, flight).await;
        return Some(outcome.unwrap_or_else(|_| Arc::new(late(&asked.job(begun, started, None)))));
    }
    let admission = admit()?;
    let asked = asked.clone();
    let flight = app.flights.start(key, patience, async move {
        Arc::new(asked.probe(admission, begun, started).await)
    });
    // It ends in time by itself.
    Some(flight.await)
}

impl Asked {
    fn job(&self, begun: Instant, started: SystemTime, place: Option<Place>) -> ProbeJob<'_> {
        ProbeJob {
            target: &self.target,
            label: &self.modules.label,
            module: &self.modules.module,
            fetcher: self.live.fetcher(&self.modules.module.name),
            policy: self.live.policy(&self.modules.module.name),
            gate: &self.live.gate,
            place,
            tracker: &self.app.tracker,
            begun,
            budget: self.budget,
            started,
            keep_body: self.keep_body || self.live.store.is_some(),
        }
    }

    async fn probe(
        &self,
        admission: Admission,
        begun: Instant,
        started: SystemTime,
    ) -> ProbeOutcome {
        let app = &self.app;
        let (_request, place) = match admission {
            Admission::Held(request, place) => (Some(request), Some(place)),
            Admission::Waits => (None, None),
        };
        let module = &self.modules.module;
        let running = app.metrics.probe_started(module.name.as_str());
        let mut outcome = probe(self.job(begun, started, place)).await;
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
            path: module.path.clone(),
        };
        let state = app.tracker.state(key, Instant::now());
        log(&outcome, &state, &app.quiet);
        evidence::consider(self, &outcome, &state);
        if let Ok(report) = &mut outcome.result
            && !self.keep_body
        {
            // Askers hold outcomes for longer than probes have places, and their number is not that of the places.
            report.body = None;
        }
        outcome
    }
}

/// A target that starts to fail, fails otherwise or works again is worth a line; that it still fails is not, as
/// a fleet that is down would fill the log with it. Nor are more lines than [`Quiet`] gives, as strangers may name targets.
fn log(outcome: &ProbeOutcome, state: &Mutex<TargetState>, quiet: &Quiet) {
    let failure = outcome.failure();
    let before = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let view = state.view(&outcome.module);
        std::mem::replace(&mut view.failure, failure)
    };
    let ProbeOutcome {
        target,
        module,
        duration,
        result,
        ..
    } = outcome;
    let duration_seconds = duration.as_secs_f64();
    let line = || {
        let left_out = quiet.line(Instant::now())?;
        if left_out > 0 {
            warn!(lines = left_out, "lines about targets were left out");
        }
        Some(())
    };
    let Some(reason) = failure else {
        if before.is_some() && line().is_some() {
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
    if before == failure || line().is_none() {
        debug!(%target, %module, %reason, %problem, duration_seconds, "probe fails");
    } else {
        warn!(%target, %module, %reason, %problem, duration_seconds, "probe failed");
    }
}
