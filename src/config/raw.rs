//! The configuration as it is written: structs one to one with the YAML, no defaults, no judgement.
//!
//! The only file that names `serde_yaml`. It refuses unknown and duplicate keys and values of the wrong kind;
//! what a value means is for `compile`. Durations, sizes and names are still text here.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::discovery::{RawDnsSd, RawFileSd};
use super::error::{ConfigError, Fault, KeyPath, Position, Segment};
use super::explain::{DUPLICATE_KEY, explain};
use super::godebug::RawSource;
use super::locate::{Aim, NESTED, Walk};
use super::scan::{self, scan};
use crate::secret::HIDDEN;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with modules, targets, file_sd_configs, dns_sd_configs, godebug, allow, probes or storage"
)]
pub(super) struct RawConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modules: Option<UniqueMap<Option<RawModule>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) targets: Option<Vec<RawTarget>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_sd_configs: Option<Vec<RawFileSd>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dns_sd_configs: Option<Vec<RawDnsSd>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) godebug: Option<Vec<RawSource>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "never_null")]
    pub(super) allow: Option<Vec<RawAllow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probes: Option<RawProbes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) storage: Option<RawStorage>,
}

/// `modules.NAME`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map of a module's settings"
)]
pub(super) struct RawModule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profiles: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http: Option<RawHttp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<RawDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) leak: Option<RawLeak>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<RawTrace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) classify: Option<RawClassify>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limits: Option<RawLimits>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "never_null"
    )]
    pub(super) allow: Option<Vec<RawAllow>>,
}

/// `modules.NAME.http`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of HTTP settings")]
pub(super) struct RawHttp {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) basic_auth: Option<RawBasicAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authorization: Option<RawAuthorization>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls_config: Option<RawTls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxy_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) follow_redirects: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_headers: Option<UniqueMap<RawHeader>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enable_http2: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credentials_over_http: Option<bool>,
}

/// `modules.NAME.http.basic_auth`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with username and password"
)]
pub(super) struct RawBasicAuth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<RawSecret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password_file: Option<String>,
}

/// `modules.NAME.http.authorization`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with credentials or credentials_file"
)]
pub(super) struct RawAuthorization {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<RawSecret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credentials_file: Option<String>,
}

/// `modules.NAME.http.tls_config`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of TLS settings")]
pub(super) struct RawTls {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cert_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<RawSecret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) insecure_skip_verify: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_version: Option<String>,
}

/// `modules.NAME.http.http_headers.NAME`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with values, secrets or files"
)]
pub(super) struct RawHeader {
    /// Told from secrets by Prometheus; here they are hidden alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<RawSecret>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) secrets: Vec<RawSecret>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<String>,
}

/// `modules.NAME.detail`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map of settings of the detailed profile"
)]
pub(super) struct RawDetail {
    pub(super) mode: Option<String>,
    pub(super) source: Option<String>,
    pub(super) max_frames: Option<u64>,
    pub(super) min_interval: Option<String>,
}

/// `modules.NAME.leak`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map of settings of the leak profile"
)]
pub(super) struct RawLeak {
    pub(super) max_goroutines: Option<u64>,
    pub(super) min_interval: Option<String>,
}

/// `modules.NAME.trace`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map of settings of execution traces"
)]
pub(super) struct RawTrace {
    pub(super) mode: Option<String>,
    pub(super) min_interval: Option<String>,
    pub(super) window: Option<String>,
    pub(super) max_bytes: Option<String>,
    pub(super) max_goroutines: Option<u64>,
}

/// `modules.NAME.classify`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map of classification settings"
)]
pub(super) struct RawClassify {
    pub(super) plumbing: Option<Vec<String>>,
    pub(super) app_packages: Option<Vec<String>>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) watch: Option<UniqueMap<String>>,
}

/// `modules.NAME.limits`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of limits")]
pub(super) struct RawLimits {
    pub(super) groups: Option<u64>,
    pub(super) min_goroutines: Option<u64>,
    pub(super) min_ratio: Option<f64>,
    pub(super) body_bytes: Option<String>,
    pub(super) detail_body_bytes: Option<String>,
    pub(super) inflated_bytes: Option<String>,
}

/// `targets[N]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with url, and where wanted module and labels"
)]
pub(super) struct RawTarget {
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<UniqueMap<String>>,
}

/// `allow[N]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with cidr, host or path, and where wanted ports"
)]
pub(super) struct RawAllow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cidr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "never_null"
    )]
    pub(super) ports: Option<Vec<u64>>,
}

/// `probes`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of bounds on probes")]
pub(super) struct RawProbes {
    pub(super) per_target: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) tracked_targets: Option<u64>,
    pub(super) forget_after: Option<String>,
}

/// `storage`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map of where snapshots are kept, and how many"
)]
pub(super) struct RawStorage {
    pub(super) path: Option<String>,
    pub(super) max_bytes: Option<String>,
    pub(super) per_target: Option<u64>,
    pub(super) max_age: Option<String>,
}

/// Text that is never printed: neither in logs nor in YAML.
#[derive(Clone, PartialEq, Deserialize)]
pub(super) struct RawSecret(pub(super) String);

impl fmt::Debug for RawSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for RawSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// A map with keys of the user's choice, in the order of the file. A key given twice is refused, where serde's
/// own maps keep the last.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UniqueMap<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(std::marker::PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = UniqueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut seen = HashSet::new();
                let mut entries = Vec::new();
                while let Some(key) = map.next_key_seed(NewKey(&mut seen))? {
                    entries.push((key, map.next_value()?));
                }
                Ok(UniqueMap(entries))
            }
        }

        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

impl<V: Serialize> Serialize for UniqueMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Reads a key, and fails on it when it was met before: there the error gets the line of the second.
struct NewKey<'s>(&'s mut HashSet<String>);

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.0.insert(key.to_owned()) {
            Ok(key.to_owned())
        } else {
            Err(E::custom(DUPLICATE_KEY))
        }
    }
}

/// Reads a list whose absence means something else than its emptiness: `allow:` with nothing behind it is an
/// empty list.
fn never_null<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Vec::deserialize(deserializer).map(Some)
}

/// Reads a configuration.
///
/// # Errors
/// When the text is no YAML, has keys that are unknown or given twice, or values of the wrong kind.
pub(super) fn parse(text: &str) -> Result<RawConfig, ConfigError> {
    read(FileKind::Exporter, text)
}

/// Which of the files a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// That of `--config.file`.
    Exporter,
    /// That of `--web.config.file`.
    Web,
    /// One with targets.
    Targets,
}

/// Reads a text of either kind.
///
/// # Errors
/// As [`parse`].
pub(super) fn read<T: DeserializeOwned>(kind: FileKind, text: &str) -> Result<T, ConfigError> {
    scan(text)?;
    serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(
        |error: serde_path_to_error::Error<serde_yaml::Error>| {
            let path = error.path().iter().filter_map(segment).collect();
            let found = explain(
                kind,
                text,
                &error.inner().to_string(),
                path,
                position(error.inner()),
            );
            let at = match *found.fault {
                Fault::DuplicateKey => walk(text, &found.key, Aim::SecondKey),
                _ => None,
            };
            let at = at.or(found.position).or_else(|| locate(text, &found.key));
            found.at(at)
        },
    )
}

/// Reads the text of a file in JSON. Its parser is one of its own, as what is JSON need not be YAML: tabs are not.
///
/// # Errors
/// As [`parse`].
pub(super) fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    scan::length(text)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path: KeyPath = error.path().iter().filter_map(segment).collect();
        json_error(text, path, error.inner())
    })?;
    let end = deserializer.end();
    end.map_err(|error| json_error(text, KeyPath::root(), &error))?;
    Ok(read)
}

fn json_error(text: &str, path: KeyPath, error: &serde_json::Error) -> ConfigError {
    let at = Position {
        line: error.line(),
        column: error.column(),
    };
    let message = error.to_string();
    let place = format!(" at line {} column {}", at.line, at.column);
    let message = message.strip_suffix(&place).unwrap_or(&message);
    if error.is_data() {
        return explain(FileKind::Targets, text, message, path, Some(at));
    }
    let problem = message.to_owned();
    ConfigError::new(KeyPath::root(), Fault::NotJson { problem }).at(Some(at))
}

/// Writes a configuration; its secrets as [`HIDDEN`].
///
/// # Errors
/// In the words of the YAML library.
pub(super) fn print<T: Serialize>(config: &T) -> Result<String, String> {
    serde_yaml::to_string(config).map_err(|problem| problem.to_string())
}

/// Where the value of a key stands; the key itself where the value is a map or a list. Where there is no such
/// key, the map that should have it.
pub(super) fn locate(text: &str, key: &KeyPath) -> Option<Position> {
    let deserializer = serde_yaml::Deserializer::from_str(text);
    let path = key.segments();
    let found = Walk {
        path,
        aim: Aim::Value,
    }
    .deserialize(deserializer)
    .err()?;
    match path.last() {
        Some(Segment::Key(_)) if found.to_string().contains(NESTED) => walk(text, key, Aim::Key),
        _ => position(&found),
    }
}

fn walk(text: &str, key: &KeyPath, aim: Aim) -> Option<Position> {
    let deserializer = serde_yaml::Deserializer::from_str(text);
    let found = Walk {
        path: key.segments(),
        aim,
    }
    .deserialize(deserializer)
    .err()?;
    position(&found)
}

fn position(error: &serde_yaml::Error) -> Option<Position> {
    error.location().map(|at| Position {
        line: at.line(),
        column: at.column(),
    })
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<Segment> {
    match segment {
        serde_path_to_error::Segment::Map { key } => Some(Segment::Key(key.clone())),
        serde_path_to_error::Segment::Seq { index } => Some(Segment::Index(*index)),
        serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => None,
    }
}
