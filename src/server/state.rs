//! What all requests share: the configuration in force with what was built from it, and what outlives it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::crowd::MAX_ANSWERS;
use super::discover;
use super::evidence::MAX_KEEPING;
use super::flights::Flights;
use super::live::Live;
use super::quiet::Quiet;
use super::reloads::{Reloaded, Reloads};
use super::targets::MAX_SWEPT;
use super::web::{Refused, Web, WebError};
use crate::config::{Config, ConfigError, ConfigHandle, ModuleName, ProbeLimits};
use crate::discovery::{Discovery, Found};
use crate::fetch::FetchBuildError;
use crate::follow::Followers;
use crate::history::History;
use crate::policy::RefusalReason;
use crate::self_metrics::{LogLines, SelfMetrics, SelfMetricsError};
use crate::snapshots::Trigger;
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
    pub(super) swept: Arc<Semaphore>,
    /// Lines about targets.
    pub(super) quiet: Quiet,
    /// Places to keep profiles.
    pub(super) keeping: Arc<Semaphore>,
    /// When it was last looked for snapshots that have become too old.
    pub(super) tidied: Mutex<Option<Instant>>,
    /// What was found, of which [`Live`] is built.
    pub(super) discovery: Mutex<Discovery>,
    /// Where lines of `GODEBUG` are followed.
    pub(super) followers: Followers,
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
    /// Targets, static and found.
    pub targets: usize,
    /// Modules.
    pub modules: usize,
    /// Whether the last attempt to put one in force succeeded.
    pub current: bool,
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
    /// The exporter with the configuration in `handle` in force, for whom `web` lets in. It shows `log_lines` with its metrics.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(
        handle: ConfigHandle,
        options: ServeOptions,
        web: Arc<Web>,
        log_lines: LogLines,
        now: SystemTime,
    ) -> Result<Arc<Self>, StartError> {
        let config = handle.current();
        let metrics = SelfMetrics::new(log_lines)?;
        let (discovery, found) = rediscover(Discovery::default(), &config, &metrics);
        let live = Live::build(config, &options, None, found)?;
        metrics.expect_refusals(RefusalReason::ALL.iter().map(|reason| reason.as_str()));
        metrics.expect_modules(live.config.modules().keys().map(ModuleName::as_str));
        metrics.expect_triggers(Trigger::ALL);
        metrics.expect_web_refusals(Refused::ALL.iter().map(|refused| refused.as_str()));
        metrics.reload_succeeded(now);
        let followers = Followers::default();
        followers.adopt(live.config.godebug());
        Ok(Arc::new(Self {
            history: History::new(options.history_limit),
            tracker: Tracker::new(tracker_limits(&live.config)),
            requests: Arc::new(Semaphore::new(
                options.max_requests.clamp(1, Semaphore::MAX_PERMITS),
            )),
            flights: Flights::default(),
            answers: Arc::new(Semaphore::new(MAX_ANSWERS)),
            swept: Arc::new(Semaphore::new(MAX_SWEPT)),
            quiet: Quiet::new(Instant::now()),
            keeping: Arc::new(Semaphore::new(MAX_KEEPING)),
            tidied: Mutex::new(None),
            metrics: Arc::new(metrics),
            discovery: Mutex::new(discovery),
            followers,
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
            targets: live.targets.len(),
            modules: live.config.modules().len(),
            current,
        }
    }

    /// From now on `/-/ready` says that the exporter stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Follows nothing any more, and waits until every snapshot that is to be kept is written.
    pub async fn settle(&self) {
        self.followers.adopt(&[]);
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
        let _one_at_a_time = self.lock_reloading();
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
        let _one_at_a_time = self.lock_reloading();
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

    /// Waits until nothing else is put in force.
    pub(super) fn lock_reloading(&self) -> MutexGuard<'_, ()> {
        self.reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever is in force is this from now on.
    pub(super) fn put(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    fn put_in_force(&self, reloaded: Result<Arc<Config>, StartError>) -> Result<(), StartError> {
        let built = reloaded.and_then(|config| {
            let known = self.discovery().clone();
            let (discovery, found) = rediscover(known, &config, &self.metrics);
            let live = Live::build(config, &self.options, Some(&self.live()), found)?;
            Ok((live, discovery))
        });
        match built {
            Ok((live, discovery)) => {
                *self.discovery() = discovery;
                self.followers.adopt(live.config.godebug());
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
                self.put(live);
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

/// What is known from discovery under another configuration: nobody waits for a name server here, and what its files say
/// holds from the first request on. Blocks.
fn rediscover(
    mut discovery: Discovery,
    config: &Config,
    metrics: &SelfMetrics,
) -> (Discovery, Vec<Found>) {
    discovery.adopt(config);
    let mut files = discovery.take_files();
    let look = files.look(config, Instant::now());
    discovery.put_files(files, &look);
    discover::looked(metrics, config, &look);
    metrics.expect_discovery(!config.file_sd().is_empty(), !config.dns_sd().is_empty());
    let found = discovery.found();
    (discovery, found)
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
impl ServeOptions {
    /// Those of a server that nothing was said about.
    pub(super) fn plain() -> Self {
        Self {
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
        let (options, log_lines) = (ServeOptions::plain(), LogLines::new().unwrap());
        let app = App::new(handle, options, web, log_lines, SystemTime::now()).unwrap();
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
}
