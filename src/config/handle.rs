//! The configuration in force: loaded once, reloaded on demand, never replaced by a bad one.
//!
//! All triggers of a reload share one function. Requests take one `Arc` and keep it from start to end, so a
//! reload never changes a probe that runs. Functions here read files and block for that long.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::Config;
use super::error::{ConfigError, Fault, KeyPath, Position};
use super::scan::MAX_BYTES;
use crate::target::Target;

/// The configuration in force, and where it comes from.
#[derive(Debug)]
pub struct ConfigHandle {
    file: Option<PathBuf>,
    overrides: Overrides,
    current: ArcSwap<Config>,
    /// Held for as long as a reload takes: one at a time.
    last: Mutex<Last>,
}

/// What the command line adds to a configuration, at each load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Further static targets: those of `--target`.
    pub targets: Vec<Target>,
    /// Where snapshots are kept, whatever the file says: `--storage.path`.
    pub storage_path: Option<PathBuf>,
}

impl From<Vec<Target>> for Overrides {
    fn from(targets: Vec<Target>) -> Self {
        Self {
            targets,
            storage_path: None,
        }
    }
}

impl Overrides {
    fn apply(&self, config: Config) -> Result<Config, ConfigError> {
        let config = config.with_storage_path(self.storage_path.as_deref());
        config.with_targets(&self.targets)
    }
}

/// How the last reload went, for the exporter's own metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadState {
    /// Whether the last attempt succeeded; the first load counts.
    pub successful: bool,
    /// When the configuration in force was loaded, since the Unix epoch.
    pub succeeded_at: Duration,
}

#[derive(Debug)]
struct Last {
    state: ReloadState,
    /// What the file held when it was last read, used or not.
    seen: Seen,
}

/// A trace of the file's content that holds no secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Digest([u8; 32]),
    Unreadable,
}

impl ConfigHandle {
    /// Loads the file, or the defaults where there is none, and applies what the command line says now and at each
    /// reload.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn load(
        file: Option<PathBuf>,
        overrides: impl Into<Overrides>,
    ) -> Result<Self, ConfigError> {
        let overrides = overrides.into();
        let (seen, config) = attempt(file.as_deref(), &overrides);
        let state = ReloadState {
            successful: true,
            succeeded_at: now(),
        };
        Ok(Self {
            current: ArcSwap::from_pointee(config?),
            last: Mutex::new(Last { state, seen }),
            file,
            overrides,
        })
    }

    /// The configuration in force. Costs no lock.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// The file it comes from.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Loads the file again and puts it in force, even when it has not changed: the files it names may have.
    /// Answers what is in force from now on.
    ///
    /// # Errors
    /// When the file cannot be read or used; the old configuration stays in force.
    pub fn reload(&self) -> Result<Arc<Config>, ConfigError> {
        let mut last = self.lock();
        let (seen, config) = attempt(self.file.as_deref(), &self.overrides);
        self.finish(&mut last, seen, config)
    }

    /// The same if the file's content is another than when it was last read. A bad file is so reported once,
    /// not again with each look at it. `None` when there was nothing to do.
    ///
    /// # Errors
    /// As [`ConfigHandle::reload`].
    pub fn reload_if_changed(&self) -> Result<Option<Arc<Config>>, ConfigError> {
        let mut last = self.lock();
        let (seen, config) = attempt(self.file.as_deref(), &self.overrides);
        if seen == last.seen {
            return Ok(None);
        }
        self.finish(&mut last, seen, config).map(Some)
    }

    /// How the last reload went.
    #[must_use]
    pub fn reload_state(&self) -> ReloadState {
        self.lock().state
    }

    fn finish(
        &self,
        last: &mut Last,
        seen: Seen,
        config: Result<Config, ConfigError>,
    ) -> Result<Arc<Config>, ConfigError> {
        last.seen = seen;
        last.state.successful = config.is_ok();
        let config = Arc::new(config?);
        self.current.store(Arc::clone(&config));
        last.state.succeeded_at = now();
        Ok(config)
    }

    /// What the lock guards is written whole, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Config {
    /// Reads a configuration file; relative file names in it start from its directory.
    ///
    /// # Errors
    /// When it cannot be read or used. The error names the file.
    pub fn from_file(file: &Path) -> Result<Self, ConfigError> {
        attempt(Some(file), &Overrides::default()).1
    }
}

fn attempt(file: Option<&Path>, overrides: &Overrides) -> (Seen, Result<Config, ConfigError>) {
    let Some(file) = file else {
        return (Seen::Digest([0; 32]), overrides.apply(Config::default()));
    };
    let named = |error| ConfigError {
        file: Some(file.to_owned()),
        ..error
    };
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(fault) => {
            return (
                Seen::Unreadable,
                Err(named(ConfigError::new(KeyPath::root(), fault))),
            );
        }
    };
    let config = text(&bytes).and_then(|text| {
        let directory = file.parent().unwrap_or(Path::new(""));
        Config::from_yaml_in(text, directory)
    });
    let seen = Seen::Digest(Sha256::digest(&bytes).into());
    (
        seen,
        config
            .and_then(|config| overrides.apply(config))
            .map_err(named),
    )
}

/// Reads one byte more than may be, at most: enough to be refused as too long.
fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|problem| Fault::Unreadable {
            problem: problem.to_string(),
        })?;
    Ok(bytes)
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, ConfigError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes
            .split_at_checked(error.valid_up_to())
            .unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ConfigError::new(KeyPath::root(), Fault::NotUtf8).at(Some(Position { line, column }))
    })
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, text: impl AsRef<[u8]>) -> PathBuf {
        let file = directory.join("exporter.yml");
        std::fs::write(&file, text).unwrap();
        file
    }

    fn groups(config: &Config) -> usize {
        config.module("default").unwrap().series.groups
    }

    #[test]
    fn without_a_file_everything_is_default() {
        let handle = ConfigHandle::load(None, Vec::new()).unwrap();
        assert_eq!(*handle.current(), Config::default());
        assert_eq!(handle.reload_if_changed().unwrap(), None);
        assert_eq!(*handle.reload().unwrap(), Config::default());
        assert_eq!(handle.file(), None);
    }

    #[test]
    fn a_bad_file_never_replaces_a_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = write(
            directory.path(),
            "modules: { default: { limits: { groups: 7 } } }",
        );
        let handle = ConfigHandle::load(Some(file.clone()), Vec::new()).unwrap();
        let first = handle.reload_state();
        assert!(first.successful && first.succeeded_at > Duration::ZERO);

        write(
            directory.path(),
            "modules: { default: { limits: { groups: 0 } } }",
        );
        let error = handle.reload().unwrap_err();
        let expected = format!(
            "{}:1:41: modules.default.limits.groups: 0 is not between 1 and 100",
            file.display()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(groups(&handle.current()), 7);
        assert_eq!(
            handle.reload_state(),
            ReloadState {
                successful: false,
                ..first
            }
        );

        write(
            directory.path(),
            "modules: { default: { limits: { groups: 8 } } }",
        );
        let before = handle.current();
        let reloaded = handle.reload().unwrap();
        assert!(Arc::ptr_eq(&reloaded, &handle.current()));
        assert_eq!((groups(&before), groups(&reloaded)), (7, 8));
        let last = handle.reload_state();
        assert!(last.successful && last.succeeded_at >= first.succeeded_at);
    }

    #[test]
    fn a_change_is_taken_once_whether_good_or_bad() {
        let directory = tempfile::tempdir().unwrap();
        let file = write(
            directory.path(),
            "modules: { default: { limits: { groups: 7 } } }",
        );
        let handle = ConfigHandle::load(Some(file.clone()), Vec::new()).unwrap();
        assert_eq!(handle.reload_if_changed().unwrap(), None);

        write(directory.path(), "modules: [");
        handle.reload_if_changed().unwrap_err();
        assert_eq!(handle.reload_if_changed().unwrap(), None);
        assert!(!handle.reload_state().successful);

        std::fs::remove_file(&file).unwrap();
        handle.reload_if_changed().unwrap_err();
        assert_eq!(handle.reload_if_changed().unwrap(), None);
        assert_eq!(groups(&handle.current()), 7);

        write(
            directory.path(),
            "modules: { default: { limits: { groups: 9 } } }",
        );
        assert_eq!(groups(&handle.reload_if_changed().unwrap().unwrap()), 9);
        assert_eq!(handle.reload_if_changed().unwrap(), None);
        assert!(handle.reload_state().successful);
    }

    #[test]
    fn targets_of_the_command_line_join_at_each_load() {
        let directory = tempfile::tempdir().unwrap();
        let file = write(
            directory.path(),
            "targets: [{ url: \"http://a:1\", labels: { env: prod } }]",
        );
        let flags = ["a:1", "b:2", "http://b:2/"].map(|text| text.parse::<Target>().unwrap());
        let handle = ConfigHandle::load(Some(file), flags.to_vec()).unwrap();
        let shown = |config: &Config| -> Vec<(String, usize)> {
            config
                .targets()
                .iter()
                .map(|found| (found.target.to_string(), found.labels.len()))
                .collect()
        };
        assert_eq!(
            shown(&handle.current()),
            [("http://a:1".to_owned(), 1), ("http://b:2".to_owned(), 0)]
        );
        write(directory.path(), "");
        assert_eq!(
            shown(&handle.reload().unwrap()),
            [("http://a:1".to_owned(), 0), ("http://b:2".to_owned(), 0)]
        );
    }

    #[test]
    fn the_folder_of_the_command_line_wins_at_each_load() {
        let directory = tempfile::tempdir().unwrap();
        let file = write(directory.path(), "storage: { path: kept, per_target: 5 }");
        let load = |storage_path: Option<&str>| {
            let overrides = Overrides {
                storage_path: storage_path.map(PathBuf::from),
                ..Overrides::default()
            };
            ConfigHandle::load(Some(file.clone()), overrides).unwrap()
        };
        let kept = directory.path().join("kept");
        assert_eq!(load(None).current().storage().path, kept);
        let handle = load(Some("flag"));
        let check = |config: &Config, per_target| {
            assert_eq!(config.storage().path, Path::new("flag"));
            assert_eq!(config.storage().bounds.per_target, per_target);
        };
        check(&handle.current(), 5);
        write(
            directory.path(),
            "storage: { path: elsewhere, per_target: 6 }",
        );
        check(&handle.reload().unwrap(), 6);
        assert!(!load(Some("")).current().storage().is_on());
    }

    #[test]
    fn files_are_read_whole_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let check = |content: &[u8], expected: &str| {
            let file = write(directory.path(), content);
            let error = Config::from_file(&file).unwrap_err().to_string();
            assert_eq!(
                error.strip_prefix(&file.display().to_string()),
                Some(expected)
            );
        };
        check(&vec![b'#'; 1_048_577], ": longer than 1048576 bytes");
        check(b"# ok\n# \xc3\xa4 \xff", ":2:5: not UTF-8 text");
        let file = write(directory.path(), vec![b'#'; 1_048_576]);
        assert_eq!(Config::from_file(&file), Ok(Config::default()));
        let missing = directory.path().join("missing.yml");
        let error = Config::from_file(&missing).unwrap_err();
        assert_eq!(error.file, Some(missing));
        assert!(matches!(*error.fault, Fault::Unreadable { .. }), "{error}");
    }

    #[test]
    fn file_names_start_from_the_directory_of_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let text = "modules: { default: { http: { tls_config: { ca_file: tls/ca.pem } } } }";
        let config = Config::from_file(&write(directory.path(), text)).unwrap();
        let expected = crate::fetch::Pem::File(directory.path().join("tls/ca.pem"));
        assert_eq!(
            config.module("default").unwrap().fetch.tls.ca,
            Some(expected)
        );
    }

    #[test]
    fn a_target_of_the_command_line_that_would_be_refused_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let load = |module: &str, target: &str| {
            let file = write(
                directory.path(),
                format!("modules: {{ default: {{ {module} }} }}"),
            );
            let loaded = ConfigHandle::load(Some(file), vec![target.parse::<Target>().unwrap()]);
            loaded.map(|_| ()).map_err(|error| error.fault.to_string())
        };
        let secret = "http: { basic_auth: { username: u, password: hunter2 } }";
        let error = load(secret, "127.0.0.1:6060").unwrap_err();
        assert_eq!(
            error,
            "--target http://127.0.0.1:6060: module default sends credentials, and target 127.0.0.1:6060 would get them \
             over plain HTTP; write https://, or configure modules.default.http.credentials_over_http: true"
        );
        load(secret, "https://127.0.0.1:6060").unwrap();
        load(secret, "unix:///run/a.sock").unwrap();
        let error = load("allow: [{host: a}]", "b:1").unwrap_err();
        assert!(
            error.starts_with("--target http://b:1: target b:1 is not allowed for module default"),
            "{error}"
        );
    }
}
