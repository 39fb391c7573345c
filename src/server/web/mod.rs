//! Who may ask: the web configuration in force, with everything built from it, and read again when its files change.
//!
//! Connections and requests look whether a file has changed, at most once a second, and take what is in force then: the
//! certificate of the connection, the users of the request. A file that has become bad leaves in force what was, and so
//! does one that would open the door: half a file is a file, too, while it is being written.

mod certificate;
mod clients;
mod files;
mod guard;
mod rate;
mod tls;
mod users;

use std::fmt;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::http::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use rustls::crypto::{GetRandomFailed, ring};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

pub(super) use guard::{Refused, guard};

use self::files::{Reader, Trace};
use self::rate::Bucket;
use self::tls::Tls;
use self::users::{Doorkeeper, Users};
use crate::config::{ConfigError, Fault, KeyPath, MAX_BYTES, ServerTls, WebConfig};

/// From one look at the files to the next. Each costs a few system calls.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a connection or request waits for a look: a file system that hangs must not take the exporter along.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);

/// The web configuration, as it is in force.
pub struct Web {
    file: Option<PathBuf>,
    current: ArcSwap<InForce>,
    /// What was read last. Held while files are looked at: one at a time.
    last: Mutex<Trace>,
    state: Mutex<WebState>,
    /// When the next look is due, in milliseconds from `started` on.
    due: AtomicU64,
    started: Instant,
    bucket: Bucket,
    doorkeeper: Doorkeeper,
}

/// How the last reading of the web configuration went, for the exporter's own metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebState {
    /// Whether it could be used; without a file it could.
    pub successful: bool,
    /// When what is in force was read.
    pub succeeded_at: SystemTime,
}

/// A web configuration and everything built from it.
struct InForce {
    config: WebConfig,
    tls: Option<Tls>,
    users: Users,
    /// Headers of answers; without a value the header is taken away.
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
}

/// What a web configuration comes to once its files are read: for who checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebFacts {
    /// The configuration.
    pub config: WebConfig,
    /// The exporter's own certificate, where it has one.
    pub certificate: Option<CertificateFacts>,
    /// How many certificates of authorities clients are held against.
    pub authorities: usize,
}

/// What the exporter's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The names and addresses it is for.
    pub names: Vec<String>,
    /// When it begins, in seconds since 1970.
    pub not_before: i64,
    /// When it ends.
    pub not_after: i64,
}

/// Why a web configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The file or one that it names cannot be used.
    #[error(transparent)]
    Config(#[from] Box<ConfigError>),
    /// The operating system has no random bytes.
    #[error("no random bytes can be had")]
    Random,
}

impl From<ConfigError> for WebError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl Web {
    /// Reads the file and those that it names. Without one everybody may ask. Blocks.
    ///
    /// # Errors
    /// When something cannot be used.
    pub fn open(file: Option<&Path>) -> Result<Arc<Self>, WebError> {
        let (trace, read) = attempt(file);
        let current = read?;
        current.warn_of_age();
        let mut key = [0; 32];
        ring::default_provider()
            .secure_random
            .fill(&mut key)
            .map_err(|GetRandomFailed| WebError::Random)?;
        let state = WebState {
            successful: true,
            succeeded_at: SystemTime::now(),
        };
        // Half of the processors: the other half is for probes.
        let turns = std::thread::available_parallelism().map_or(1, NonZero::get) / 2;
        Ok(Arc::new(Self {
            file: file.map(Path::to_owned),
            current: ArcSwap::from_pointee(current),
            last: Mutex::new(trace),
            state: Mutex::new(state),
            due: AtomicU64::new(0),
            started: Instant::now(),
            bucket: Bucket::default(),
            doorkeeper: Doorkeeper::new(key, turns),
        }))
    }

    /// Reads everything again and puts it in force, changed or not. Blocks.
    ///
    /// # Errors
    /// When something cannot be used, or would let in whoever was not let in before; what was stays in force.
    pub fn reload(&self) -> Result<(), ConfigError> {
        if self.file.is_none() {
            return Ok(());
        }
        // What the lock guards is written whole, so a panic elsewhere leaves nothing half done.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (trace, read) = attempt(self.file.as_deref());
        self.finish(&mut last, trace, read)
    }

    /// How the last reading went.
    #[must_use]
    pub fn state(&self) -> WebState {
        *self.lock_state()
    }

    /// Whether whoever asks has shown who he is.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.current.load().config.is_authenticated()
    }

    /// Whether the listeners speak TLS. It stays so from the start to the end of the process.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.current.load().tls.is_some()
    }

    /// TLS for a connection that comes in now.
    pub(super) async fn tls(self: &Arc<Self>) -> Option<Arc<ServerConfig>> {
        let tls = self.fresh().await.tls.clone();
        tls.map(|tls| tls.config)
    }

    /// What is in force, after a look at the files when one is due.
    async fn fresh(self: &Arc<Self>) -> Arc<InForce> {
        if self.file.is_some() && self.is_due() {
            let web = Arc::clone(self);
            // What went wrong has been logged, and what is in force stays.
            drop(timeout(LOOK_PATIENCE, spawn_blocking(move || web.look())).await);
        }
        self.current.load_full()
    }

    /// Whether a look is due, for one who asks; to others it is not, until the next is.
    fn is_due(&self) -> bool {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (now, due) = (
            millis(self.started.elapsed()),
            self.due.load(Ordering::Relaxed),
        );
        let next = now.saturating_add(millis(LOOK_INTERVAL));
        now >= due
            && self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Reads the files again if they may have changed, and puts in force what they hold if they have.
    fn look(&self) {
        // Whoever holds it is looking.
        let Ok(mut last) = self.last.try_lock() else {
            return;
        };
        if !last.is_stale() {
            return;
        }
        let (trace, read) = attempt(self.file.as_deref());
        if trace.is_same(&last) {
            *last = trace;
            return;
        }
        // Logged and counted there.
        drop(self.finish(&mut last, trace, read));
    }

    fn finish(
        &self,
        last: &mut Trace,
        trace: Trace,
        read: Result<InForce, ConfigError>,
    ) -> Result<(), ConfigError> {
        *last = trace;
        let read = read.and_then(
            |new| match opens(&self.current.load().config, &new.config) {
                None => Ok(new),
                Some((key, problem)) => Err(ConfigError {
                    file: self.file.clone(),
                    ..ConfigError::new(
                        KeyPath::root().key(key),
                        Fault::Refused {
                            problem: problem.to_owned(),
                        },
                    )
                }),
            },
        );
        self.lock_state().successful = read.is_ok();
        match read {
            Ok(new) => {
                new.warn_of_age();
                self.lock_state().succeeded_at = SystemTime::now();
                self.current.store(Arc::new(new));
                info!("web configuration reloaded");
                Ok(())
            }
            Err(error) => {
                warn!(%error, "web configuration not reloaded, the old one stays in force");
                Err(error)
            }
        }
    }

    /// Held for no longer than it takes to copy, whatever the files do.
    fn lock_state(&self) -> MutexGuard<'_, WebState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InForce {
    /// Says so when the certificate has expired. It is shown all the same, as Go does: not every client looks.
    fn warn_of_age(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        if let Some(tls) = &self.tls
            && tls.certificate.not_after < now
        {
            warn!("the certificate of the web configuration has expired");
        }
    }
}

/// Keys and certificates are never printed.
impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Reads the file and those that it names, and tells what they come to.
///
/// # Errors
/// When something cannot be used.
pub fn facts(file: &Path) -> Result<WebFacts, ConfigError> {
    let read = attempt(Some(file)).1?;
    let certificate = read.tls.as_ref().map(|tls| {
        let own = &tls.certificate;
        let addresses = own.addresses.iter().map(ToString::to_string);
        CertificateFacts {
            names: own.names.iter().cloned().chain(addresses).collect(),
            not_before: own.not_before,
            not_after: own.not_after,
        }
    });
    Ok(WebFacts {
        certificate,
        authorities: read.tls.as_ref().map_or(0, |tls| tls.authorities),
        config: read.config,
    })
}

/// What a file that was changed must not do while the exporter runs, and the key it would do it with. A file that is cut
/// short by an editor or a full disk would otherwise let everybody in.
fn opens(old: &WebConfig, new: &WebConfig) -> Option<(&'static str, &'static str)> {
    let verifies =
        |config: &WebConfig| config.tls.as_ref().is_some_and(ServerTls::verifies_clients);
    if old.tls.is_some() != new.tls.is_some() {
        let problem = "TLS is not switched on or off while the exporter runs; restart it";
        return Some(("tls_server_config", problem));
    }
    if verifies(old) && !verifies(new) {
        let problem = "client certificates stay required while the exporter runs; restart it";
        return Some(("tls_server_config", problem));
    }
    if !old.users.is_empty() && new.users.is_empty() {
        let problem = "passwords stay required while the exporter runs; restart it";
        return Some(("basic_auth_users", problem));
    }
    None
}

fn attempt(file: Option<&Path>) -> (Trace, Result<InForce, ConfigError>) {
    let mut reader = Reader::default();
    let read = match file {
        Some(file) => read(file, &mut reader),
        None => Ok(InForce {
            config: WebConfig::default(),
            tls: None,
            users: Users::default(),
            headers: Vec::new(),
        }),
    };
    (reader.finish(), read)
}

fn read(file: &Path, reader: &mut Reader) -> Result<InForce, ConfigError> {
    let bytes = reader
        .read(file, MAX_BYTES)
        .map_err(|problem| ConfigError {
            file: Some(file.to_owned()),
            ..ConfigError::new(KeyPath::root(), Fault::Unreadable { problem })
        })?;
    let config = WebConfig::from_bytes(&bytes, file)?;
    let refused = |(key, problem)| WebConfig::refused(&bytes, file, &key, problem);
    let tls = config.tls.as_ref();
    let tls = tls
        .map(|spec| tls::load(spec, config.http2, reader))
        .transpose()
        .map_err(refused)?;
    let users = Users::new(&config.users).map_err(|name| {
        let key = KeyPath::root().key("basic_auth_users").key(name);
        refused((key, "is not a hash that bcrypt can read".to_owned()))
    })?;
    let mut headers = Vec::new();
    for (name, value) in &config.headers {
        // Both have been checked, so that neither is left out.
        let (Ok(name), Ok(header)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) else {
            continue;
        };
        headers.push((name, (!value.is_empty()).then_some(header)));
    }
    Ok(InForce {
        config,
        tls,
        users,
        headers,
    })
}

#[cfg(test)]
mod tests;
