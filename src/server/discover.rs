//! Keeps looking for targets while the exporter runs, and puts in force what was found.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::stream::{self, StreamExt as _};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::live::{Dropped, Live};
use super::state::App;
use crate::config::Config;
use crate::discovery::{Discovery, Failure, Look, Mechanism, Question, Resolver};
use crate::self_metrics::SelfMetrics;

/// From one look at files to the next: soon enough for who has just written one, and a call of the system for each.
const LOOK: Duration = Duration::from_secs(2);

/// From one look at which names are due to the next: the shortest `refresh_interval`.
const TICK: Duration = Duration::from_secs(1);

/// Names asked for at once.
const LOOKUPS: usize = 16;

/// Looks at files and asks name servers as the configuration in force wants it, for as long as it is waited for.
pub async fn discover(app: Arc<App>) -> Infallible {
    let files = watch_files(Arc::clone(&app));
    let names = ask_names(app);
    tokio::select! {
        never = files => never,
        never = names => never,
    }
}

async fn watch_files(app: Arc<App>) -> Infallible {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let watching = Arc::clone(&app);
        let looked = spawn_blocking(move || watching.look_at_files()).await;
        if let Err(problem) = looked {
            warn!(%problem, "looking at files of targets broke off inside the exporter");
        }
    }
}

async fn ask_names(app: Arc<App>) -> Infallible {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let due = app.discovery().due(Instant::now());
        if due.is_empty() {
            continue;
        }
        let resolver = Resolver::system().await;
        let asking = stream::iter(due).for_each_concurrent(LOOKUPS, |question| {
            let (app, resolver) = (&app, &resolver);
            async move { app.ask(resolver, &question).await }
        });
        asking.await;
        let putting = Arc::clone(&app);
        // It may wait for a reload that reads files.
        let put = spawn_blocking(move || putting.look_at_files()).await;
        if let Err(problem) = put {
            warn!(%problem, "taking what name servers answered broke off inside the exporter");
        }
    }
}

impl App {
    /// What is known from discovery. Never held over a wait, nor while files are read.
    pub(super) fn discovery(&self) -> std::sync::MutexGuard<'_, Discovery> {
        // Each source is replaced whole.
        self.discovery
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the files and puts in force what is known now, from name servers too. Blocks.
    fn look_at_files(&self) {
        let _one_at_a_time = self.lock_reloading();
        let live = self.live();
        let mut files = self.discovery().take_files();
        let look = files.look(&live.config, Instant::now());
        self.discovery().put_files(files, &look);
        looked(&self.metrics, &live.config, &look);
        self.put_found();
    }

    async fn ask(&self, resolver: &Resolver, question: &Question) {
        let (name, record) = (&question.name, question.spec.record);
        let answer = resolver.look_up(name, record).await;
        let mut discovery = self.discovery();
        let failure = discovery.answered(question, answer);
        if discovery.all_answered() {
            let now = SystemTime::now();
            self.metrics.discovery_succeeded(Mechanism::Dns, now);
        }
        drop(discovery);
        failed(&self.metrics, failure.as_slice());
    }

    /// Puts in force what is known, when that is something else than before. Only one may do so at a time.
    fn put_found(&self) {
        let live = self.live();
        let found = {
            let mut discovery = self.discovery();
            if !discovery.take_changed() {
                return;
            }
            discovery.found()
        };
        // A file that was read again may say the same as before.
        if found == live.found {
            return;
        }
        match Live::build(Arc::clone(&live.config), &self.options, Some(&live), found) {
            Ok(live) => {
                info!(targets = live.targets.len(), "other targets were found");
                self.put(live);
            }
            Err(error) => warn!(%error, "other targets were found, and are not taken"),
        }
    }

    /// Tells the exporter's own metrics of the targets in force.
    pub(super) fn count_targets(&self) {
        let live = self.live();
        let (invalid, left_out) = {
            let discovery = self.discovery();
            (discovery.invalid(), discovery.left_out())
        };
        for mechanism in Mechanism::ALL {
            let known = live.known.get(&mechanism).copied().unwrap_or(0);
            self.metrics.set_discovered(mechanism, known);
            if mechanism == Mechanism::Static {
                continue;
            }
            for why in Dropped::ALL {
                let dropped = live.dropped.get(&(mechanism, why)).copied().unwrap_or(0);
                let more = match (mechanism, why) {
                    (Mechanism::Dns, Dropped::Invalid) => invalid,
                    (Mechanism::Dns, Dropped::Limit) => left_out,
                    _ => 0,
                };
                self.metrics
                    .set_dropped(mechanism, why.as_str(), dropped.saturating_add(more));
            }
        }
    }
}

/// Tells log and metrics of a look at the files of a configuration.
pub(super) fn looked(metrics: &SelfMetrics, config: &Config, look: &Look) {
    if look.all_good && !config.file_sd().is_empty() {
        metrics.discovery_succeeded(Mechanism::File, SystemTime::now());
    }
    for file in &look.open_files {
        warn!(
            file,
            "everybody may write to this file of targets, so that only what allow permits is taken from it"
        );
    }
    failed(metrics, &look.failures);
}

fn failed(metrics: &SelfMetrics, failures: &[Failure]) {
    for Failure {
        mechanism,
        reason,
        problem,
    } in failures
    {
        metrics.discovery_failed(*mechanism, *reason);
        warn!(mechanism = mechanism.as_str(), reason = reason.as_str(), %problem, "discovery failed, what was found before stays");
    }
}
