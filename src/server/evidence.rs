//! Keeps the profiles of probes that show something new. A probe never waits for it, and never fails by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::spawn_blocking;
use tracing::{debug, info};

use super::run::Asked;
use super::state::App;
use crate::probe::{ProbeOutcome, ProbeReport};
use crate::profile::Encoding;
use crate::snapshots::{NewSnapshot, Store, StoreError, Trigger};
use crate::tracker::{BASELINE_INTERVAL, Decision, Look, TargetState};

/// Profiles being kept at once, at most: what waits for a slow disk holds them in memory.
pub(super) const MAX_KEEPING: usize = 8;

/// How far apart two baselines may be on the wall's clock and the second is one too many: an hour, and the time a probe
/// may be early.
const TOO_SOON: Duration = BASELINE_INTERVAL.saturating_sub(Duration::from_mins(5));

/// For how long leaks that were proven are not news, whatever the exporter itself remembers of them.
const PROVEN: Duration = Duration::from_hours(24);

/// From one look for what has become too old to the next.
const TIDY_INTERVAL: Duration = Duration::from_mins(10);

/// The profile of a probe as a snapshot; `None` when it was not read whole, or as a text, which `go tool pprof` does not
/// open.
pub(super) fn snapshot(
    outcome: &ProbeOutcome,
    report: &ProbeReport,
    trigger: Trigger,
) -> Option<NewSnapshot> {
    let body = report.body.clone()?;
    let opens = report.is_whole() && report.tally.summary.encoding == Encoding::Protobuf;
    opens.then(|| NewSnapshot {
        target: outcome.target.clone(),
        module: outcome.module.clone(),
        taken: outcome.started,
        trigger,
        goroutines: report.tally.total,
        body,
    })
}

/// Decides whether a probe shows something new, and has its profile kept if so.
pub(super) fn consider(asked: &Asked, outcome: &ProbeOutcome, state: &Arc<Mutex<TargetState>>) {
    let (Some(store), Ok(report)) = (&asked.live.store, &outcome.result) else {
        return;
    };
    // What the trigger will be is not known before it is decided.
    let Some(mut new) = snapshot(outcome, report, Trigger::Baseline) else {
        return;
    };
    let look = Look {
        tally: &report.tally,
        at: Instant::now(),
        // Who takes a snapshot by hand has one.
        baseline: !asked.by_hand,
    };
    let Some(decision) = lock(state).evidence.look(look) else {
        return;
    };
    let keeping = Arc::clone(&asked.app.keeping).try_acquire_owned();
    let Some(keeping) = keeping.ok().filter(|_| !store.is_resting()) else {
        lock(state).evidence.undo(decision);
        return;
    };
    new.trigger = decision.trigger;
    let (app, store, state) = (Arc::clone(&asked.app), Arc::clone(store), Arc::clone(state));
    drop(spawn_blocking(move || {
        keep(&app, &store, &new, decision, &state);
        drop(keeping);
    }));
}

fn keep(
    app: &App,
    store: &Store,
    new: &NewSnapshot,
    decision: Decision,
    state: &Mutex<TargetState>,
) {
    // The exporter may have been restarted since the last one.
    let recently = match new.trigger {
        Trigger::Baseline => Some(TOO_SOON),
        Trigger::Leak => Some(PROVEN),
        _ => None,
    };
    let since = recently.and_then(|recently| SystemTime::now().checked_sub(recently));
    if since.is_some_and(|since| store.has_since(new, since)) {
        return;
    }
    let NewSnapshot {
        target,
        module,
        trigger,
        goroutines,
        ..
    } = new;
    match store.keep(new) {
        Ok(id) => {
            app.metrics.snapshot_kept(*trigger);
            if *trigger == Trigger::Baseline {
                debug!(%target, %module, %trigger, goroutines, snapshot = %id, "snapshot kept");
            } else {
                info!(%target, %module, %trigger, goroutines, snapshot = %id, "snapshot kept");
            }
        }
        Err(StoreError::NoRoom) => debug!(%target, %trigger, "no room for the snapshot"),
        Err(error) => {
            app.metrics.snapshot_failed();
            debug!(%target, %trigger, %error, "snapshot not kept");
            if matches!(error, StoreError::Io(_)) {
                lock(state).evidence.undo(decision);
            }
        }
    }
}

/// Drops what has become too old, from time to time.
pub(super) fn tidy(app: &Arc<App>) {
    let Some(store) = app.live().store.clone() else {
        return;
    };
    let now = Instant::now();
    {
        let mut tidied = lock(&app.tidied);
        let due = tidied.is_none_or(|last| now.saturating_duration_since(last) >= TIDY_INTERVAL);
        if !due {
            return;
        }
        *tidied = Some(now);
    }
    if let Ok(keeping) = Arc::clone(&app.keeping).try_acquire_owned() {
        drop(spawn_blocking(move || {
            store.tidy();
            drop(keeping);
        }));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these guard has no half-done state that a panic could leave.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
