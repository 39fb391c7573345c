//! What all requests share: the configuration in force with what was built from it, and what outlives it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::crowd::MAX_ANSWERS;
use super::evidence::MAX_KEEPING;
use super::flights::Flights;
use super::quiet::Quiet;
use super::reloads::{Reloaded, Reloads};
use super::targets::MAX_SWEPT;
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
    /// The path every route is under, with a slash at its start and none at its end; empty for none.
    pub prefix: String,
    /// The origin of the URL by which users reach the exporter, such as `https://monitoring.example`, where it is known: a
    /// proxy may not pass on the name they use.
    pub origin: Option<String>,
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
    /// Places of answers.
    pub(super) answers: Arc<Semaphore>,
    /// Places of static targets in answers.
    pub(super) swept: Semaphore,
    /// Lines about targets.
    pub(super) quiet: Quiet,
    /// Places to keep profiles.
    pub(super) keeping: Arc<Semaphore>,
    /// When it was last looked for snapshots that have become too old.
    pub(super) tidied: Mutex<Option<Instant>>,
    handle: ConfigHandle,
    live: ArcSwap<Live>,
    /// Held while a configuration is put in force: one at a time.
    reloading: Mutex<()>,
    reloads: Reloads,
    on_reload: OnceLock<fn(ReloadStep)>,
    stopping: AtomicBool,
}

/// How a reload goes on, for whoever must tell others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadStep {
    /// It begins; the configuration in force is the old one.
    Begins,
    /// It has ended, well or not.
    Ended(Facts),
}

/// What the configuration in force amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Static targets.
    pub targets: usize,
    /// Modules.
    pub modules: usize,
    /// Whether the last attempt to put one in force succeeded.
    pub current: bool,
}

/// A configuration and everything built from it. A request takes one and keeps it to its end.
#[derive(Debug)]
pub(super) struct Live {
    /// Counts configurations put in force.
    pub(super) generation: u64,
    pub(super) config: Arc<Config>,
    /// Where requests of each module may go; of no module, nowhere.
    policies: BTreeMap<ModuleName, Policy>,
    nowhere: Policy,
    pub(super) gate: Arc<Gate>,
    /// Where snapshots are kept, where they are.
    pub(super) store: Option<Arc<Store>>,
    fetchers: BTreeMap<ModuleName, Arc<Fetcher>>,
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
            answers: Arc::new(Semaphore::new(MAX_ANSWERS)),
            swept: Semaphore::new(MAX_SWEPT),
            quiet: Quiet::new(Instant::now()),
            keeping: Arc::new(Semaphore::new(MAX_KEEPING)),
            tidied: Mutex::new(None),
            metrics: Arc::new(metrics),
            live: ArcSwap::from_pointee(live),
            handle,
            options,
            web,
            reloading: Mutex::new(()),
            reloads: Reloads::default(),
            on_reload: OnceLock::new(),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Has `told` called as reloads go on, in the thread that reloads. The first who asks for it is told.
    pub fn on_reload(&self, told: fn(ReloadStep)) {
        self.on_reload.get_or_init(|| told);
    }

    /// What the configuration in force amounts to, after an attempt that succeeded or did not.
    #[must_use]
    pub fn facts(&self, current: bool) -> Facts {
        let live = self.live();
        Facts {
            targets: live.config.targets().len(),
            modules: live.config.modules().len(),
            current,
        }
    }

    /// From now on `/-/ready` says that the exporter stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits until every snapshot that is to be kept is written.
    pub async fn settle(&self) {
        let all = u32::try_from(MAX_KEEPING).unwrap_or(u32::MAX);
        // Fails only when the places are closed, which nobody does.
        drop(self.keeping.acquire_many(all).await);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// [`App::reload`] on a thread of its own, in turn with others: of many who ask while one runs, one reload serves all.
    pub async fn ask_reload(self: &Arc<Self>) -> Reloaded {
        let app = Arc::clone(self);
        self.reloads.ask(move || app.reload()).await
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
        self.tell(ReloadStep::Begins);
        let reloaded = self
            .handle
            .reload()
            .map_err(|error| StartError::Config(Box::new(error)));
        let web = self.web.reload().map_err(WebError::from);
        let put = self.put_in_force(reloaded);
        self.ended(put.and(web.map_err(StartError::from)))
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
        let Some(reloaded) = reloaded.transpose() else {
            return Ok(());
        };
        self.tell(ReloadStep::Begins);
        let put = self.put_in_force(reloaded);
        self.ended(put)
    }

    /// Whether whoever gets an answer has shown who he is.
    pub(super) fn is_authenticated(&self) -> bool {
        self.web.is_authenticated()
    }

    fn ended(&self, reloaded: Result<(), StartError>) -> Result<(), StartError> {
        self.tell(ReloadStep::Ended(self.facts(reloaded.is_ok())));
        reloaded
    }

    fn tell(&self, step: ReloadStep) {
        if let Some(told) = self.on_reload.get() {
            told(step);
        }
    }

    /// The configuration in force.
    pub(super) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    fn put_in_force(&self, reloaded: Result<Arc<Config>, StartError>) -> Result<(), StartError> {
        let built =
            reloaded.and_then(|config| Live::build(config, &self.options, Some(&self.live())));
        match built {
            Ok(live) => {
                self.metrics
                    .expect_modules(live.config.modules().keys().map(ModuleName::as_str));
                self.tracker
                    .set_limits(tracker_limits(&live.config), Instant::now());
                if let Some(store) = &live.store {
                    store.set_bounds(live.config.storage().bounds);
                }
                let before = self.live();
                let gone = before.config.modules().keys();
                let gone = gone.filter(|name| live.config.module(name.as_str()).is_none());
                self.metrics.forget_modules(gone.map(ModuleName::as_str));
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
    /// Builds everything a configuration needs. Kept from `before` are the places of probes that are running, when their
    /// number stays the same, and the connections to targets of every module whose `http` does, and the rules it goes by.
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
        let mut policies = BTreeMap::new();
        let mut fetchers = BTreeMap::new();
        for (name, module) in config.modules() {
            let own = config.targets_of(name);
            let policy = policy.for_module(&module.rules_for(&own));
            // An open connection may lead where other rules permitted, and would get a request before that shows.
            let old = before
                .filter(|live| live.policies.get(name) == Some(&policy))
                .and_then(|live| live.fetchers.get(name));
            let fetcher = match old {
                Some(old) => old.renewed(&module.fetch),
                None => Fetcher::new(&module.fetch).map(Arc::new),
            };
            let fetcher = fetcher.map_err(|error| StartError::Module {
                module: name.clone(),
                error,
            })?;
            fetchers.insert(name.clone(), fetcher);
            policies.insert(name.clone(), policy);
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
            policies,
            nowhere: Policy::default(),
            gate,
            fetchers,
        })
    }

    /// Where requests of a module may go.
    pub(super) fn policy(&self, module: &ModuleName) -> &Policy {
        self.policies.get(module).unwrap_or(&self.nowhere)
    }

    /// How requests of a module are made; every module of the configuration has one.
    pub(super) fn fetcher(&self, module: &ModuleName) -> Option<&Fetcher> {
        self.fetchers.get(module).map(Arc::as_ref)
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

    fn options() -> ServeOptions {
        ServeOptions {
            enable_lifecycle: false,
            allow_any_target: false,
            listens_on_loopback: true,
            max_requests: 1,
            timeout_offset: Duration::ZERO,
            history_limit: 1,
            base: String::new(),
            prefix: String::new(),
            origin: None,
        }
    }

    #[test]
    fn a_reload_has_failed_when_either_file_could_not_be_used() {
        static TOLD: Mutex<Vec<ReloadStep>> = Mutex::new(Vec::new());
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (file, web) = (write("exporter.yml", ""), write("web.yml", ""));
        let handle = ConfigHandle::load(Some(file), Vec::new()).unwrap();
        let web = Web::open(Some(&web)).unwrap();
        let app = App::guarded(handle, options(), web, SystemTime::now()).unwrap();
        app.on_reload(|step| TOLD.lock().unwrap().push(step));
        let check = |exporter: &str, web: &str, current: bool| {
            write("exporter.yml", exporter);
            write("web.yml", web);
            assert_eq!(app.reload().is_ok(), current, "{exporter}, {web}");
            let told = std::mem::take(&mut *TOLD.lock().unwrap());
            let ended = ReloadStep::Ended(app.facts(current));
            assert_eq!(told, [ReloadStep::Begins, ended], "{exporter}, {web}");
        };
        check("", "", true);
        check("modules: { a: {} }", "nonsense: {}", false);
        // What could be used is.
        assert_eq!(app.facts(true).modules, 2);
        check("nonsense: {}", "", false);
        check("", "", true);
    }

    #[test]
    fn connections_outlive_a_reload_only_where_the_same_rules_hold() {
        let options = options();
        let build = |yaml: &str, before: Option<&Live>| {
            let config = Arc::new(Config::from_yaml(yaml).unwrap());
            Live::build(config, &options, before).unwrap()
        };
        let before = build("modules: { a: {} }\nallow: [{ host: a.example }]", None);
        let check = |yaml: &str, same: bool| {
            let after = build(yaml, Some(&before));
            let name = before.config.modules().keys().next().unwrap();
            let kept = Arc::ptr_eq(&before.fetchers[name], &after.fetchers[name]);
            assert_eq!(kept, same, "{yaml}");
        };
        let allow = "allow: [{ host: a.example }]";
        check(
            &format!("modules: {{ a: {{ timeout: 3s }} }}\n{allow}"),
            true,
        );
        check(
            &format!("modules: {{ a: {{}}, b: {{}} }}\nprobes: {{ total: 3 }}\n{allow}"),
            true,
        );
        check("modules: { a: {} }\nallow: [{ host: b.example }]", false);
        check(
            &format!("modules: {{ a: {{ allow: [{{ host: a.example }}] }} }}\n{allow}"),
            false,
        );
        check(
            &format!("modules: {{ a: {{ http: {{ enable_http2: false }} }} }}\n{allow}"),
            false,
        );
        check(
            &format!("modules: {{ a: {{}} }}\ntargets: [{{ url: \"c:1\", module: a }}]\n{allow}"),
            false,
        );
    }
}
