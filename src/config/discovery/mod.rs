//! Where further targets are found while the exporter runs: files, and names of DNS. Names and meaning of the keys are
//! those of `file_sd_configs` and `dns_sd_configs` in Prometheus; with `module`, `scheme` and `labels` besides, since
//! there is no relabelling here that would set them.
//!
//! Here is what is written about it; `groups` reads the files themselves, and [`crate::discovery`] looks.

mod groups;
mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use groups::{MAX_GROUPS, read_groups};
pub(super) use raw::{RawDnsSd, RawFileSd, written_labels};

use super::compile::{at_most, duration, number, word};
use super::error::{ConfigError, Fault, KeyPath};
use super::places::{module_of, target_labels};
use super::raw::UniqueMap;
use super::{Module, ModuleName};
use crate::units::DurationText;

/// `file_sd_configs[].refresh_interval`: files are read again after it whether or not they seem to have changed.
pub const DEFAULT_FILE_REFRESH: Duration = Duration::from_mins(5);

/// `dns_sd_configs[].refresh_interval`.
pub const DEFAULT_DNS_REFRESH: Duration = Duration::from_secs(30);

/// Entries of `file_sd_configs` and of `dns_sd_configs`, at most.
const MAX_CONFIGS: usize = 100;

/// Files of an entry, or names, at most.
const MAX_SOURCES: usize = 100;

/// Bytes of a name or a file's path, at most.
const MAX_PATH_BYTES: usize = 4096;

/// How often one may look.
const REFRESH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));

/// What a path of a file of targets ends in, after a dot.
const ENDINGS: [&str; 6] = ["json", "yml", "yaml", "JSON", "YML", "YAML"];

/// `file_sd_configs[N]`: targets in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSd {
    /// The files.
    pub files: Vec<FilePattern>,
    /// After that they are read again, changed or not.
    pub refresh_interval: Duration,
    /// The module of targets whose group names none; it exists.
    pub module: ModuleName,
}

/// The path of a file that ends in `.json`, `.yml` or `.yaml`; `*` in the last element stands for any characters of a
/// name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePattern(PathBuf);

/// `dns_sd_configs[N]`: targets in records of DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSd {
    /// The names, as written: one with a dot at its end is looked up as it is.
    pub names: Vec<String>,
    /// The records.
    pub record: RecordType,
    /// The port of addresses; 0 for SRV, whose records have their own.
    pub port: u16,
    /// From one lookup to the next. How long records say that they hold is not looked at, as in Prometheus.
    pub refresh_interval: Duration,
    /// Whether targets are asked over TLS.
    pub tls: bool,
    /// Their module; it exists.
    pub module: ModuleName,
    /// Labels of each.
    pub labels: BTreeMap<String, String>,
}

/// A kind of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordType {
    /// Names with ports (RFC 2782).
    #[default]
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl RecordType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Srv, Self::A, Self::Aaaa];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }
}

impl FilePattern {
    /// The folder it looks into, and the name that it looks for there. `None` for a path without a name.
    #[must_use]
    pub fn parts(&self) -> Option<(&Path, &str)> {
        let folder = self.0.parent()?;
        // Read of nothing means the working directory, which the system calls by a dot.
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        Some((folder, self.0.file_name()?.to_str()?))
    }

    /// Whether it can stand for more than one file.
    #[must_use]
    pub fn is_glob(&self) -> bool {
        self.parts().is_some_and(|(_, name)| name.contains('*'))
    }

    /// Whether it stands for a file of this name in its folder. As in a shell, a name with a dot in front is meant only
    /// by a pattern with one. Cost: the product of both lengths, at most.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((_, pattern)) = self.parts() else {
            return false;
        };
        if name.starts_with('.') && !pattern.starts_with('.') {
            return false;
        }
        let mut pieces = pattern.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        // What is found earliest leaves most for those behind it.
        for piece in pieces {
            let Some((_, behind)) = rest.split_once(piece) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Compiles `file_sd_configs`.
pub(super) fn files(
    key: &KeyPath,
    raw: Vec<RawFileSd>,
    modules: &BTreeMap<ModuleName, Arc<Module>>,
    directory: &Path,
) -> Result<Vec<FileSd>, ConfigError> {
    at_most(key, raw.len(), MAX_CONFIGS)?;
    let compile = |(index, raw): (usize, RawFileSd)| {
        let key = key.index(index);
        let paths = sources(&key.key("files"), raw.files)?;
        let files = paths.iter().enumerate().map(|(index, path)| {
            let key = key.key("files").index(index);
            pattern(&key, path, directory)
        });
        Ok(FileSd {
            files: files.collect::<Result<_, ConfigError>>()?,
            refresh_interval: interval(&key, raw.refresh_interval, DEFAULT_FILE_REFRESH)?,
            module: module_of(&key.key("module"), raw.module.as_deref(), modules)?.0,
        })
    };
    raw.into_iter().enumerate().map(compile).collect()
}

/// Compiles `dns_sd_configs`.
pub(super) fn names(
    key: &KeyPath,
    raw: Vec<RawDnsSd>,
    modules: &BTreeMap<ModuleName, Arc<Module>>,
) -> Result<Vec<DnsSd>, ConfigError> {
    at_most(key, raw.len(), MAX_CONFIGS)?;
    let compile = |(index, raw): (usize, RawDnsSd)| {
        let key = key.index(index);
        let names = sources(&key.key("names"), raw.names)?;
        for (index, name) in names.iter().enumerate() {
            check_name(&key.key("names").index(index), name)?;
        }
        let known = RecordType::ALL.map(|record| (record.as_str(), record));
        let record = match &raw.record {
            Some(text) => word(&key.key("type"), text, "SRV, A or AAAA", &known)?,
            None => RecordType::default(),
        };
        let tls = match &raw.scheme {
            Some(text) => word(
                &key.key("scheme"),
                text,
                "http or https",
                &[("http", false), ("https", true)],
            )?,
            None => false,
        };
        let (module, _) = module_of(&key.key("module"), raw.module.as_deref(), modules)?;
        let labels = raw.labels.map_or_else(Vec::new, |UniqueMap(labels)| labels);
        Ok(DnsSd {
            names,
            record,
            port: port(&key, record, raw.port)?,
            refresh_interval: interval(&key, raw.refresh_interval, DEFAULT_DNS_REFRESH)?,
            tls,
            module,
            labels: target_labels(&key.key("labels"), labels)?,
        })
    };
    raw.into_iter().enumerate().map(compile).collect()
}

/// A list that must hold something.
fn sources(key: &KeyPath, raw: Option<Vec<String>>) -> Result<Vec<String>, ConfigError> {
    let found = raw.unwrap_or_default();
    if found.is_empty() {
        return Err(ConfigError::new(key.clone(), Fault::Missing));
    }
    at_most(key, found.len(), MAX_SOURCES)?;
    Ok(found)
}

fn interval(
    key: &KeyPath,
    raw: Option<String>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    raw.map_or(Ok(default), |text| {
        duration(&key.key("refresh_interval"), &text, REFRESH)
    })
}

fn port(key: &KeyPath, record: RecordType, raw: Option<u64>) -> Result<u16, ConfigError> {
    let key = key.key("port");
    match (record, raw) {
        (RecordType::Srv, None) => Ok(0),
        (RecordType::Srv, Some(_)) => Err(ConfigError::new(
            key,
            Fault::Conflict {
                other: "type: SRV, whose records hold the port",
            },
        )),
        (_, None) => Err(ConfigError::new(key, Fault::Missing)),
        (_, Some(found)) => {
            let port = number(&key, found, 1, u64::from(u16::MAX))?;
            // Fits, being at most a u16.
            Ok(u16::try_from(port).unwrap_or(u16::MAX))
        }
    }
}

fn pattern(key: &KeyPath, path: &str, directory: &Path) -> Result<FilePattern, ConfigError> {
    let refuse = |expected| {
        Err(ConfigError::new(
            key.clone(),
            Fault::invalid(expected, path.to_owned()),
        ))
    };
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if path.len() > MAX_PATH_BYTES || path.contains('\0') {
        return refuse("the path of a file, of at most 4096 bytes");
    }
    if folder.contains('*') {
        return refuse("a path with * in its last element only");
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    if !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
        return refuse("a path that ends in .json, .yml or .yaml");
    }
    Ok(FilePattern(directory.join(path)))
}

/// A name as DNS has them, in ASCII; `_` in front of labels, as SRV records want it.
fn check_name(key: &KeyPath, name: &str) -> Result<(), ConfigError> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len()) && label.bytes().all(allowed)
    };
    if bare.len() > 253 || !bare.split('.').all(label) {
        let expected = "a name such as _pprof._tcp.shop.example";
        let fault = Fault::invalid(expected, name.to_owned());
        return Err(ConfigError::new(key.clone(), fault));
    }
    Ok(())
}

/// Writes `file_sd_configs` out.
pub(super) fn render_files(configs: &[FileSd]) -> Vec<RawFileSd> {
    let write = |config: &FileSd| RawFileSd {
        files: Some(config.files.iter().map(ToString::to_string).collect()),
        refresh_interval: Some(DurationText(config.refresh_interval).to_string()),
        module: Some(config.module.to_string()),
    };
    configs.iter().map(write).collect()
}

/// Writes `dns_sd_configs` out.
pub(super) fn render_names(configs: &[DnsSd]) -> Vec<RawDnsSd> {
    let write = |config: &DnsSd| RawDnsSd {
        names: Some(config.names.clone()),
        record: Some(config.record.as_str().to_owned()),
        port: (config.record != RecordType::Srv).then_some(config.port.into()),
        refresh_interval: Some(DurationText(config.refresh_interval).to_string()),
        scheme: Some(if config.tls { "https" } else { "http" }.to_owned()),
        module: Some(config.module.to_string()),
        labels: Some(written_labels(&config.labels)),
    };
    configs.iter().map(write).collect()
}

#[cfg(test)]
mod tests;
