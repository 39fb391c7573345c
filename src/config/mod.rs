//! The configuration: validated, compiled, with every default filled in.
//!
//! The way of a file: `scan` guards the parser, `raw` mirrors the YAML (`explain` and `locate` say what is wrong
//! with it, and where), `compile`, `http`, `places`, `discovery` and `godebug` give it meaning, `render` writes it back, `handle` reloads it; `web` is the
//! other file, of who may ask. What is here has been checked as a whole: whoever holds a
//! [`Config`] need not check again. Nothing here touches the network, and files other than the configuration
//! itself are named, not read: secrets are read when they are used.

mod compile;
mod discovery;
mod error;
mod explain;
mod godebug;
mod handle;
mod hint;
mod http;
mod locate;
mod places;
mod raw;
mod render;
mod scan;
mod web;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use discovery::{
    DEFAULT_DNS_REFRESH, DEFAULT_FILE_REFRESH, DnsSd, FilePattern, FileSd, MAX_GROUPS, RecordType,
    read_groups,
};
pub use error::{ConfigError, Fault, KeyPath, Position, Segment};
pub use godebug::{GodebugSource, MAX_SOURCES};
pub use handle::{ConfigHandle, Overrides, ReloadState};
pub use places::MAX_TARGETS;
pub use scan::{MAX_BYTES, MAX_DEPTH};
pub use web::{
    ClientAuth, ClientPolicy, Curve, PasswordHash, RateLimit, ServerTls, User, WebConfig,
};

use crate::budget::{DetailMode, DetailSource, DetailSpec, LeakSpec, TraceMode, TraceSpec};
use crate::classify::{ClassifySpec, Rules};
use crate::decode;
use crate::fetch::FetchSpec;
use crate::policy::{AllowEntry, ModuleRules};
use crate::snapshots::{Bounds, StorageSpec};
use crate::tally::SeriesLimits;
use crate::target::Target;

/// The module of requests and targets that name none. It exists even when no file mentions it.
pub const DEFAULT_MODULE: &str = "default";

/// `modules.NAME.path`: where `import _ "net/http/pprof"` puts the profiles.
pub const DEFAULT_PATH: &str = "/debug/pprof";

/// `modules.NAME.timeout`: the default scrape timeout of Prometheus.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// `modules.NAME.detail.max_frames`: a dump of that size stopped the world for some 10 ms where it was measured.
pub const DEFAULT_DETAIL_MAX_FRAMES: u64 = 10_000;

/// `modules.NAME.detail.min_interval`.
pub const DEFAULT_DETAIL_MIN_INTERVAL: Duration = Duration::from_mins(10);

/// `modules.NAME.leak.max_goroutines`: the pause was 40 ms there, and grows faster than the number.
pub const DEFAULT_LEAK_MAX_GOROUTINES: u64 = 20_000;

/// `modules.NAME.leak.min_interval`.
pub const DEFAULT_LEAK_MIN_INTERVAL: Duration = Duration::from_mins(10);

/// `modules.NAME.trace.min_interval`.
pub const DEFAULT_TRACE_MIN_INTERVAL: Duration = Duration::from_mins(5);

/// `modules.NAME.trace.window`: the target is slowed down for so long.
pub const DEFAULT_TRACE_WINDOW: Duration = Duration::from_millis(500);

/// `modules.NAME.trace.max_bytes`: of the busiest program that was measured a third of a second.
pub const DEFAULT_TRACE_MAX_BYTES: u64 = 16 << 20;

/// `modules.NAME.trace.max_goroutines`: a trace tells the state of each, in some 17 bytes.
pub const DEFAULT_TRACE_MAX_GOROUTINES: u64 = 100_000;

/// `modules.NAME.limits.groups`.
pub const DEFAULT_GROUPS: usize = 20;

/// `modules.NAME.limits.min_goroutines`.
pub const DEFAULT_MIN_GOROUTINES: u64 = 5;

/// `modules.NAME.limits.min_ratio`.
pub const DEFAULT_MIN_RATIO: f64 = 0.0;

/// `modules.NAME.limits.body_bytes`: as sent. A profile of 100,000 goroutines in 10,000 stacks takes less.
pub const DEFAULT_BODY_BYTES: u64 = 16 << 20;

/// `modules.NAME.limits.detail_body_bytes`: as sent. Go cuts the dump there (runtime/pprof, `writeGoroutineStacks`).
pub const DEFAULT_DETAIL_BODY_BYTES: u64 = 64 << 20;

/// `modules.NAME.limits.inflated_bytes`.
pub const DEFAULT_INFLATED_BYTES: u64 = 128 << 20;

/// `probes.per_target`: fetches of one target at once.
pub const DEFAULT_PROBES_PER_TARGET: usize = 1;

/// `probes.total`: fetches at once.
pub const DEFAULT_PROBES_TOTAL: usize = 64;

/// `probes.tracked_targets`: targets whose state is kept.
pub const DEFAULT_TRACKED_TARGETS: usize = 10_000;

/// `probes.forget_after`: how long the state of a target outlives its last probe.
pub const DEFAULT_FORGET_AFTER: Duration = Duration::from_hours(1);

/// `storage.max_bytes`: thousands of profiles of ordinary services.
pub const DEFAULT_STORAGE_MAX_BYTES: u64 = 256 << 20;

/// `storage.per_target`.
pub const DEFAULT_STORAGE_PER_TARGET: usize = 20;

/// `storage.max_age`.
pub const DEFAULT_STORAGE_MAX_AGE: Duration = Duration::from_hours(30 * 24);

/// A validated configuration. It has a module `default`, and every module a target names exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    modules: BTreeMap<ModuleName, Arc<Module>>,
    targets: Vec<StaticTarget>,
    file_sd: Vec<FileSd>,
    dns_sd: Vec<DnsSd>,
    godebug: Vec<GodebugSource>,
    allow: Option<Vec<AllowEntry>>,
    probes: ProbeLimits,
    storage: StorageSpec,
}

/// The name of a module: a letter or `_`, then letters, digits, `_`, `.` and `-`; at most 64 bytes. It is a
/// label value, so it comes from the configuration only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleName(Arc<str>);

/// How targets of one kind are probed.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name.
    pub name: ModuleName,
    /// Where the profiles are under a target: empty or a path with a slash in front and none behind.
    pub path: String,
    /// The longest a probe may take, the scraper's patience aside.
    pub timeout: Duration,
    /// What is fetched, in this order; the goroutine profile is always among it.
    pub profiles: Vec<Profile>,
    /// How requests are made.
    pub fetch: FetchSpec,
    /// When the detailed profile is asked for.
    pub detail: DetailSpec,
    /// When proof of leaks is, where `profiles` has it.
    pub leak: LeakSpec,
    /// When an execution trace is.
    pub trace: TraceSpec,
    /// What decides on blocking frame and application frame, as written.
    pub classify: ClassifySpec,
    /// The same, compiled.
    pub rules: Rules,
    /// What bounds the number of series.
    pub series: SeriesLimits,
    /// What bounds the decoder.
    pub decode: decode::Limits,
    /// Bytes of a profile as sent, at most.
    pub body_bytes: u64,
    /// The same of the detailed profile, which is read as it comes.
    pub detail_body_bytes: u64,
    /// What alone it may be used for, within the `allow` of the configuration; `None` without that key.
    pub allow: Option<Vec<AllowEntry>>,
}

/// A profile the exporter can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// Every goroutine's stack, counted: `/debug/pprof/goroutine`. The cheap one, always read.
    Goroutine,
    /// The same with one entry for each goroutine, and how long it has waited. Not listed under `profiles:`, but
    /// governed by `detail:`.
    Detail,
    /// Goroutines that the runtime proved leaked. Runs a garbage collection; governed by `leak:`, too.
    Leak,
    /// What goroutines did in a short window. Not listed under `profiles:`, but governed by `trace:`.
    Trace,
    /// Where goroutines were blocked, since the program set a rate for it.
    Block,
    /// Where mutexes were contended, since the program set a fraction for it.
    Mutex,
    /// Operating system threads.
    Threads,
}

/// A target of the configuration, of `--target`, or of discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticTarget {
    /// Where it is.
    pub target: Target,
    /// How it is probed; the module exists.
    pub module: ModuleName,
    /// Labels its series carry, by name.
    pub labels: BTreeMap<String, String>,
}

/// What bounds all probes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeLimits {
    /// Fetches of one target at once, at most; not above `total`.
    pub per_target: usize,
    /// Fetches at once, at most.
    pub total: usize,
    /// Targets whose state is kept, at most.
    pub tracked_targets: usize,
    /// How long the state of a target outlives its last probe.
    pub forget_after: Duration,
}

impl Config {
    /// Reads a configuration. Relative file names in it stay relative to the working directory.
    ///
    /// # Errors
    /// When anything in it is not as it should be; the first such thing, with its place.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        Self::from_yaml_in(text, Path::new(""))
    }

    /// Reads a configuration whose relative file names start from `directory`.
    ///
    /// # Errors
    /// As [`Config::from_yaml`].
    pub fn from_yaml_in(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        let raw = raw::parse(text)?;
        compile::compile(raw, directory).map_err(|error| {
            let position = raw::locate(text, &error.key);
            error.at(position)
        })
    }

    /// The effective configuration as YAML: every default written out, secrets hidden, the comments gone.
    ///
    /// Reads back as the same configuration, where it holds no secrets.
    #[must_use]
    pub fn render(&self) -> String {
        // Maps, lists and scalars can always be written; the library's type knows of values that cannot.
        raw::print(&render::render(self))
            .unwrap_or_else(|problem| format!("# cannot be shown: {problem}\n"))
    }

    /// All modules by name, `default` among them.
    #[must_use]
    pub fn modules(&self) -> &BTreeMap<ModuleName, Arc<Module>> {
        &self.modules
    }

    /// The module of that name.
    #[must_use]
    pub fn module(&self, name: &str) -> Option<&Arc<Module>> {
        self.modules.get(name)
    }

    /// The static targets, those of `--target` last. No target is twice in it.
    #[must_use]
    pub fn targets(&self) -> &[StaticTarget] {
        &self.targets
    }

    /// Files with further targets.
    #[must_use]
    pub fn file_sd(&self) -> &[FileSd] {
        &self.file_sd
    }

    /// Names of DNS with further targets.
    #[must_use]
    pub fn dns_sd(&self) -> &[DnsSd] {
        &self.dns_sd
    }

    /// The entries of `allow`; `None` without that key, which is not the same as none.
    #[must_use]
    pub fn allow(&self) -> Option<&[AllowEntry]> {
        self.allow.as_deref()
    }

    /// What bounds all probes together.
    #[must_use]
    pub fn probes(&self) -> ProbeLimits {
        self.probes
    }

    /// Where snapshots are kept, and how many.
    #[must_use]
    pub fn storage(&self) -> &StorageSpec {
        &self.storage
    }

    /// The same with snapshots kept in this folder, whatever the configuration says.
    #[must_use]
    pub fn with_storage_path(mut self, path: Option<&Path>) -> Self {
        if let Some(path) = path {
            path.clone_into(&mut self.storage.path);
        }
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        let module = Module::default();
        Self {
            modules: BTreeMap::from([(module.name.clone(), Arc::new(module))]),
            targets: Vec::new(),
            file_sd: Vec::new(),
            dns_sd: Vec::new(),
            godebug: Vec::new(),
            allow: None,
            probes: ProbeLimits::default(),
            storage: StorageSpec {
                path: PathBuf::new(),
                bounds: Bounds {
                    max_bytes: DEFAULT_STORAGE_MAX_BYTES,
                    per_target: DEFAULT_STORAGE_PER_TARGET,
                    max_age: DEFAULT_STORAGE_MAX_AGE,
                },
            },
        }
    }
}

impl ModuleName {
    /// The name, when it is one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let (first, rest) = name.as_bytes().split_first()?;
        let valid = name.len() <= 64
            && (first.is_ascii_alphabetic() || *first == b'_')
            && rest
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte));
        valid.then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ModuleName {
    fn default() -> Self {
        Self(DEFAULT_MODULE.into())
    }
}

impl Borrow<str> for ModuleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Module {
    /// What it says about where it may be used, with the static targets that name it.
    #[must_use]
    pub fn rules_for<'a>(&'a self, targets: &'a [Target]) -> ModuleRules<'a> {
        ModuleRules {
            name: self.name.as_str(),
            allow: self.allow.as_deref(),
            targets,
            found: &[],
            credentials: self.fetch.sends_credentials(),
            over_http: self.fetch.credentials_over_http,
        }
    }

    /// The module alone, as [`Config::render`] writes it, less what it says of the network: where it may go, and through
    /// which proxy. Who asks about a probe is told no more addresses than he gave.
    #[must_use]
    pub fn render(&self) -> String {
        raw::print(&render::module_for_askers(self))
            .unwrap_or_else(|problem| format!("# cannot be shown: {problem}\n"))
    }
}

impl Default for Module {
    fn default() -> Self {
        Self {
            name: ModuleName::default(),
            path: DEFAULT_PATH.to_owned(),
            timeout: DEFAULT_TIMEOUT,
            profiles: vec![Profile::Goroutine],
            fetch: FetchSpec {
                http2: true,
                ..FetchSpec::default()
            },
            detail: DetailSpec {
                mode: DetailMode::Auto,
                source: DetailSource::Debug2,
                max_frames: DEFAULT_DETAIL_MAX_FRAMES,
                min_interval: DEFAULT_DETAIL_MIN_INTERVAL,
            },
            leak: LeakSpec {
                max_goroutines: DEFAULT_LEAK_MAX_GOROUTINES,
                min_interval: DEFAULT_LEAK_MIN_INTERVAL,
            },
            trace: TraceSpec {
                mode: TraceMode::Off,
                min_interval: DEFAULT_TRACE_MIN_INTERVAL,
                window: DEFAULT_TRACE_WINDOW,
                max_bytes: DEFAULT_TRACE_MAX_BYTES,
                max_goroutines: DEFAULT_TRACE_MAX_GOROUTINES,
            },
            classify: ClassifySpec::default(),
            rules: Rules::default(),
            series: SeriesLimits {
                groups: DEFAULT_GROUPS,
                min_goroutines: DEFAULT_MIN_GOROUTINES,
                min_ratio: DEFAULT_MIN_RATIO,
            },
            decode: decode::Limits {
                inflated_bytes: DEFAULT_INFLATED_BYTES,
            },
            body_bytes: DEFAULT_BODY_BYTES,
            detail_body_bytes: DEFAULT_DETAIL_BODY_BYTES,
            allow: None,
        }
    }
}

/// Rules are compiled from `classify`, so that comparing those is enough.
impl PartialEq for Module {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            name,
            path,
            timeout,
            profiles,
            fetch,
            detail,
            leak,
            trace,
            classify,
            rules: _,
            series,
            decode,
            body_bytes,
            detail_body_bytes,
            allow,
        } = self;
        *name == other.name
            && *path == other.path
            && *timeout == other.timeout
            && *profiles == other.profiles
            && *fetch == other.fetch
            && *detail == other.detail
            && *leak == other.leak
            && *trace == other.trace
            && *classify == other.classify
            && *series == other.series
            && *decode == other.decode
            && *body_bytes == other.body_bytes
            && *detail_body_bytes == other.detail_body_bytes
            && *allow == other.allow
    }
}

impl Profile {
    /// Every profile that is read, in the order of a probe's report.
    pub const ALL: [Self; 7] = [
        Self::Goroutine,
        Self::Detail,
        Self::Leak,
        Self::Trace,
        Self::Block,
        Self::Mutex,
        Self::Threads,
    ];

    /// What may stand under `profiles:`.
    pub const CONFIGURABLE: [Self; 5] = [
        Self::Goroutine,
        Self::Leak,
        Self::Block,
        Self::Mutex,
        Self::Threads,
    ];

    /// Its name, in the configuration and as the value of the label `profile`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Goroutine => "goroutine",
            Self::Detail => "goroutine_detail",
            Self::Leak => "goroutineleak",
            Self::Trace => "trace",
            Self::Block => "block",
            Self::Mutex => "mutex",
            Self::Threads => "threadcreate",
        }
    }

    /// Its name in URLs, behind the module's `path`.
    #[must_use]
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Detail => Self::Goroutine.as_str(),
            other => other.as_str(),
        }
    }
}

impl Default for ProbeLimits {
    fn default() -> Self {
        Self {
            per_target: DEFAULT_PROBES_PER_TARGET,
            total: DEFAULT_PROBES_TOTAL,
            tracked_targets: DEFAULT_TRACKED_TARGETS,
            forget_after: DEFAULT_FORGET_AFTER,
        }
    }
}

#[cfg(test)]
mod tests;
