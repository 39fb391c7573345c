//! What all requests share: the configuration in force with what was built from it, and what outlives it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::evidence::MAX_KEEPING;
use super::flights::Flights;
use super::web::{Refused, Web, WebError};
use crate::config::{Config, ConfigError, ConfigHandle, ModuleName, ProbeLimits};
use crate::fetch::{FetchBuildError, Fetcher};
use crate::history::History;
use crate::policy::{Defaults, Policy, RefusalReason};
use crate::probe::Gate;
use crate::self_metrics::{SelfMetrics, SelfMetricsError};
use crate::snapshots::{Store, Trigger};
use crate::target::Target;
use crate::tracker::{Tracker, TrackerLimits};

/// What the command line says about serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Whether `POST /-/reload` works, snapshots may be taken and deleted, and profiles be downloaded.
    pub enable_lifecycle: bool,
    /// Whether any target may be probed, where the configuration has no `allow`.
    pub allow_any_target: bool,
    /// Whether every address the exporter listens on is loopback.
    pub listens_on_loopback: bool,
    /// Requests that probe, at once, at most.
    pub max_requests: usize,
    /// What to leave of the scraper's patience for the way back.
    pub timeout_offset: Duration,
    /// Recent probes to keep.
    pub history_limit: usize,
    /// The path under which users reach the exporter, with a slash at its end; empty when they reach it directly.
    pub base: String,
}

/// The exporter, apart from its sockets.
#[derive(Debug)]
pub struct App {
    pub(super) options: ServeOptions,
    pub(super) web: Arc<Web>,
    pub(super) metrics: Arc<SelfMetrics>,
    pub(super) history: History,
    pub(super) tracker: Tracker,
    pub(super) requests: Arc<Semaphore>,
    pub(super) flights: Flights,
    /// Places to keep profiles.
    pub(super) keeping: Arc<Semaphore>,
    /// When it was last looked for snapshots that have become too old.
    pub(super) tidied: Mutex<Option<Instant>>,
    handle: ConfigHandle,
    live: ArcSwap<Live>,
    /// Held while a configuration is put in force: one at a time.
    reloading: Mutex<()>,
}

/// A configuration and everything built from it. A request takes one and keeps it to its end.
#[derive(Debug)]
pub(super) struct Live {
    /// Counts configurations put in force.
    pub(super) generation: u64,
    pub(super) config: Arc<Config>,
    pub(super) policy: Policy,
    pub(super) gate: Arc<Gate>,
    /// Where snapshots are kept, where they are.
    pub(super) store: Option<Arc<Store>>,
    fetchers: BTreeMap<ModuleName, Fetcher>,
}

/// Why a configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The file cannot be read or is wrong.
    #[error(transparent)]
    Config(#[from] Box<ConfigError>),
    /// What a module says about HTTP cannot be used, such as a missing certificate.
    #[error("modules.{module}.http: {error}")]
    Module {
        /// The module.
        module: ModuleName,
        /// What is wrong.
        error: FetchBuildError,
    },
    /// A fault of the program's own.
    #[error(transparent)]
    Metrics(#[from] SelfMetricsError),
    /// The web configuration cannot be used.
    #[error(transparent)]
    Web(#[from] WebError),
}

impl App {
    /// The exporter with the configuration in `handle` in force, for whoever asks.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(
        handle: ConfigHandle,
        options: ServeOptions,
        now: SystemTime,
    ) -> Result<Arc<Self>, StartError> {
        Self::guarded(handle, options, Web::open(None)?, now)
    }

    /// The same, for whom `web` lets in.
    ///
    /// # Errors
    /// As [`App::new`].
    pub fn guarded(
        handle: ConfigHandle,
        options: ServeOptions,
        web: Arc<Web>,
        now: SystemTime,
    ) -> Result<Arc<Self>, StartError> {
        let config = handle.current();
        let metrics = SelfMetrics::new()?;
        let live = Live::build(config, &options, None)?;
        metrics.expect_refusals(RefusalReason::ALL.iter().map(|reason| reason.as_str()));
        metrics.expect_modules(live.config.modules().keys().map(ModuleName::as_str));
        metrics.expect_triggers(Trigger::ALL);
        metrics.expect_web_refusals(Refused::ALL.iter().map(|refused| refused.as_str()));
        metrics.reload_succeeded(now);
        Ok(Arc::new(Self {
            history: History::new(options.history_limit),
            tracker: Tracker::new(tracker_limits(&live.config)),
            requests: Arc::new(Semaphore::new(
                options.max_requests.clamp(1, Semaphore::MAX_PERMITS),
            )),
            flights: Flights::default(),
            keeping: Arc::new(Semaphore::new(MAX_KEEPING)),
            tidied: Mutex::new(None),
            metrics: Arc::new(metrics),
            live: ArcSwap::from_pointee(live),
            handle,
            options,
            web,
            reloading: Mutex::new(()),
        }))
    }

    /// Reads the configuration and that of the web again and puts them in force, or keeps the old one and says why.
    /// Reads files, so it blocks for that long.
    ///
    /// # Errors
    /// When one of them cannot be used; the other is in force then.
    pub fn reload(&self) -> Result<(), StartError> {
        let _one_at_a_time = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let reloaded = self
            .handle
            .reload()
            .map_err(|error| StartError::Config(Box::new(error)));
        let web = self.web.reload().map_err(WebError::from);
        self.put_in_force(reloaded.map(Some))?;
        Ok(web?)
    }

    /// Whether whoever gets an answer has shown who he is.
    pub(super) fn is_authenticated(&self) -> bool {
        self.web.is_authenticated()
    }

    /// The same when the file has changed since it was last read, and nothing otherwise.
    ///
    /// # Errors
    /// As [`App::reload`], once for each change.
    pub fn reload_if_changed(&self) -> Result<(), StartError> {
        let _one_at_a_time = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let reloaded = self
            .handle
            .reload_if_changed()
            .map_err(|error| StartError::Config(Box::new(error)));
        self.put_in_force(reloaded)
    }

    /// The configuration in force.
    pub(super) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    fn put_in_force(
        &self,
        reloaded: Result<Option<Arc<Config>>, StartError>,
    ) -> Result<(), StartError> {
        let built = match reloaded {
            Ok(None) => return Ok(()),
            Ok(Some(config)) => Live::build(config, &self.options, Some(&self.live())),
            Err(error) => Err(error),
        };
        match built {
            Ok(live) => {
                self.metrics
                    .expect_modules(live.config.modules().keys().map(ModuleName::as_str));
                self.tracker
                    .set_limits(tracker_limits(&live.config), Instant::now());
                if let Some(store) = &live.store {
                    store.set_bounds(live.config.storage().bounds);
                }
                self.live.store(Arc::new(live));
                self.metrics.reload_succeeded(SystemTime::now());
                info!("configuration reloaded");
                Ok(())
            }
            Err(error) => {
                self.metrics.reload_failed();
                warn!(%error, "configuration not reloaded, the old one stays in force");
                Err(error)
            }
        }
    }
}

impl Live {
    /// Builds everything a configuration needs. The places of probes that are running are kept from `before`
    /// when their number stays the same.
    fn build(
        config: Arc<Config>,
        options: &ServeOptions,
        before: Option<&Self>,
    ) -> Result<Self, StartError> {
        let targets: Vec<Target> = config
            .targets()
            .iter()
            .map(|target| target.target.clone())
            .collect();
        let defaults = Defaults {
            targets: &targets,
            listens_on_loopback: options.listens_on_loopback && config.allow().is_none(),
            any_target: options.allow_any_target && config.allow().is_none(),
        };
        let policy = Policy::new(config.allow().unwrap_or_default().to_vec(), &defaults);
        let mut fetchers = BTreeMap::new();
        for (name, module) in config.modules() {
            let fetcher = Fetcher::new(&module.fetch).map_err(|error| StartError::Module {
                module: name.clone(),
                error,
            })?;
            fetchers.insert(name.clone(), fetcher);
        }
        let probes = config.probes();
        let kept = before.filter(|live| {
            let old = live.config.probes();
            (old.total, old.per_target) == (probes.total, probes.per_target)
        });
        let gate = kept.map_or_else(
            || Arc::new(Gate::new(probes.total, probes.per_target)),
            |live| Arc::clone(&live.gate),
        );
        // Last, since it reads a folder: nothing fails from here on.
        let storage = config.storage();
        let kept = before.and_then(|live| live.store.as_ref());
        let kept = kept.filter(|store| store.path() == storage.path);
        let store = storage
            .is_on()
            .then(|| kept.map_or_else(|| Arc::new(Store::open(storage)), Arc::clone));
        Ok(Self {
            store,
            generation: before.map_or(0, |live| live.generation.saturating_add(1)),
            config,
            policy,
            gate,
            fetchers,
        })
    }

    /// How requests of a module are made; every module of the configuration has one.
    pub(super) fn fetcher(&self, module: &ModuleName) -> Option<&Fetcher> {
        self.fetchers.get(module)
    }
}

/// A target is not forgotten before it may be asked again for what costs it: a scraper that comes less often than
/// `forget_after` must not find it due each time.
fn tracker_limits(config: &Config) -> TrackerLimits {
    let modules = config.modules().values();
    let intervals =
        modules.flat_map(|module| [module.detail.min_interval, module.leak.min_interval]);
    let ProbeLimits {
        tracked_targets,
        forget_after,
        ..
    } = config.probes();
    TrackerLimits {
        targets: tracked_targets,
        forget_after: intervals.fold(forget_after, Duration::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_remembered_for_an_interval_at_least() {
        let check = |yaml: &str, minutes: u64| {
            let limits = tracker_limits(&Config::from_yaml(yaml).unwrap());
            assert_eq!(limits.forget_after, Duration::from_mins(minutes), "{yaml}");
        };
        check("", 60);
        check("probes: { forget_after: 1m }", 10);
        check("modules: { a: { detail: { min_interval: 2h } } }", 120);
        check("modules: { a: { leak: { min_interval: 3h } } }", 180);
    }
}
