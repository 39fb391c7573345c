//! From what is written to what is meant: names, numbers, durations and cross references are checked here.
//!
//! Errors carry the key path; the caller looks up line and column.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::error::{ConfigError, Fault, KeyPath};
use super::raw::{
    RawAllow, RawClassify, RawConfig, RawLimits, RawModule, RawProbes, RawTarget, UniqueMap,
};
use super::{Config, Module, ModuleName, ProbeLimits, Profile, StaticTarget, hint, http};
use crate::classify::{ClassifyError, ClassifySpec, Rules};
use crate::policy::{AllowEntry, EntryError, Place};
use crate::target::Target;
use crate::units::{DurationText, SizeText, parse_duration, parse_size};

/// Modules, at most: each holds a connection pool and compiled expressions.
const MAX_MODULES: usize = 500;

/// Static targets, at most: all of them are fetched for one scrape of `/targets/metrics`.
const MAX_TARGETS: usize = 10_000;

/// Entries of `allow`, at most: each probe is held against all of them.
const MAX_ALLOW: usize = 1_000;

/// Ports of an entry of `allow`, at most.
const MAX_PORTS: usize = 100;

/// Labels of a static target, at most; they stand on each of its series.
const MAX_LABELS: usize = 30;

/// Bytes of a label value of the configuration, at most: what frames get, too.
const MAX_LABEL_BYTES: usize = 200;

/// Bytes of `path`, at most.
const MAX_PATH_BYTES: usize = 1024;

/// Labels the exporter sets itself on `/targets/metrics`, which a target's own would overwrite.
const OWN_LABELS: [&str; 17] = [
    "target",
    "group_id",
    "wait_reason",
    "blocking_frame",
    "app_frame",
    "file",
    "line",
    "entry",
    "created_by",
    "origin",
    "profile",
    "phase",
    "reason",
    "at_least_seconds",
    "watch",
    "key",
    "value",
];

/// Profiles of the Go runtime that later versions read.
const LATER_PROFILES: [&str; 4] = ["goroutineleak", "block", "mutex", "threadcreate"];

/// Gives a configuration its meaning; relative file names in it start from `directory`.
pub(super) fn compile(raw: RawConfig, directory: &Path) -> Result<Config, ConfigError> {
    let root = KeyPath::root();
    let mut config = Config::default();
    let modules = raw
        .modules
        .map_or_else(Vec::new, |UniqueMap(modules)| modules);
    at_most(&root.key("modules"), modules.len(), MAX_MODULES)?;
    for (name, raw) in modules {
        let key = root.key("modules").key(&name);
        let name = ModuleName::new(&name).ok_or_else(|| {
            let expected = "a name of at most 64 letters, digits, _, . and -, a letter or _ first";
            ConfigError::new(
                key.clone(),
                Fault::Invalid {
                    expected,
                    found: name,
                },
            )
        })?;
        let module = module(&key, name.clone(), raw.unwrap_or_default(), directory)?;
        config.modules.insert(name, Arc::new(module));
    }
    config.targets = targets(
        &root.key("targets"),
        raw.targets.unwrap_or_default(),
        &config.modules,
    )?;
    config.allow = raw
        .allow
        .map(|entries| allow(&root.key("allow"), entries))
        .transpose()?;
    config.probes = probes(&root.key("probes"), raw.probes.unwrap_or_default())?;
    Ok(config)
}

fn module(
    key: &KeyPath,
    name: ModuleName,
    raw: RawModule,
    directory: &Path,
) -> Result<Module, ConfigError> {
    let mut module = Module {
        name,
        ..Module::default()
    };
    if let Some(path) = raw.path {
        module.path = profile_path(&key.key("path"), &path)?;
    }
    if let Some(text) = raw.timeout {
        let bounds = (Duration::from_millis(1), Duration::from_secs(300));
        module.timeout = duration(&key.key("timeout"), &text, bounds)?;
    }
    if let Some(names) = raw.profiles {
        module.profiles = profiles(&key.key("profiles"), &names)?;
    }
    if let Some(raw) = raw.http {
        module.fetch = http::fetch_spec(&key.key("http"), raw, directory)?;
    }
    if let Some(raw) = raw.classify {
        let key = key.key("classify");
        module.classify = classify(&key, raw)?;
        module.rules = Rules::new(&module.classify).map_err(|error| classify_error(&key, error))?;
    }
    if let Some(raw) = raw.limits {
        limits(&key.key("limits"), &raw, &mut module)?;
    }
    Ok(module)
}

/// The path of the profiles: percent-encoded as RFC 3986 has it, since it goes into URLs as it is.
fn profile_path(key: &KeyPath, path: &str) -> Result<String, ConfigError> {
    let refuse = |expected| {
        Err(ConfigError::new(
            key.clone(),
            Fault::Invalid {
                expected,
                found: path.to_owned(),
            },
        ))
    };
    if !path.starts_with('/') {
        return refuse("a path that begins with /");
    }
    if path.len() > MAX_PATH_BYTES {
        return refuse("a path of at most 1024 bytes");
    }
    if path.contains(['?', '#']) {
        return refuse("a path without query and fragment");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    if !path.bytes().all(allowed) {
        return refuse("a path of URL characters, others written as %XX");
    }
    let trimmed = path.trim_end_matches('/');
    let mut segments = trimmed.split('/').skip(1);
    let dots = |segment: &str| {
        let decoded = segment
            .to_ascii_lowercase()
            .replace("%2e", ".")
            .replace("%2f", "/");
        decoded.split('/').any(|part| matches!(part, "." | ".."))
    };
    if segments.clone().any(dots) {
        return refuse("a path without . and .. in it");
    }
    if segments.any(str::is_empty) {
        return refuse("a path without // in it");
    }
    Ok(trimmed.to_owned())
}

fn profiles(key: &KeyPath, names: &[String]) -> Result<Vec<Profile>, ConfigError> {
    let mut profiles = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let list = key;
        let key = list.index(index);
        let known = || Profile::ALL.iter().map(|profile| profile.as_str());
        let Some(profile) = Profile::ALL.iter().find(|profile| profile.as_str() == name) else {
            if LATER_PROFILES.contains(&name.as_str()) {
                return Err(ConfigError::new(
                    key,
                    Fault::LaterProfile {
                        profile: name.clone(),
                    },
                )
                .hint("this version reads goroutine"));
            }
            let hint = hint::did_you_mean(name, known().chain(LATER_PROFILES));
            let fault = Fault::Invalid {
                expected: "the name of a profile",
                found: name.clone(),
            };
            return Err(ConfigError {
                hint,
                ..ConfigError::new(key, fault)
            });
        };
        if let Some(first) = profiles.iter().position(|known| known == profile) {
            let first = list.index(first);
            return Err(ConfigError::new(
                key,
                Fault::Repeated {
                    what: name.clone(),
                    first,
                },
            ));
        }
        profiles.push(*profile);
    }
    if profiles.is_empty() {
        return Err(ConfigError::new(
            key.clone(),
            Fault::Needs { other: "goroutine" },
        ));
    }
    Ok(profiles)
}

fn classify(key: &KeyPath, raw: RawClassify) -> Result<ClassifySpec, ConfigError> {
    let spec = ClassifySpec {
        plumbing: raw.plumbing.unwrap_or_default(),
        app_packages: raw.app_packages.unwrap_or_default(),
        labels: raw.labels.unwrap_or_default(),
        watch: raw.watch.map_or_else(Vec::new, |UniqueMap(watch)| watch),
    };
    for (list, name) in [
        (&spec.plumbing, "plumbing"),
        (&spec.app_packages, "app_packages"),
        (&spec.labels, "labels"),
    ] {
        let list_key = key.key(name);
        for (index, entry) in list.iter().enumerate() {
            let key = list_key.index(index);
            label_value(&key, entry)?;
            if let Some(first) = list.iter().take(index).position(|earlier| earlier == entry) {
                let first = list_key.index(first);
                return Err(ConfigError::new(
                    key,
                    Fault::Repeated {
                        what: entry.clone(),
                        first,
                    },
                ));
            }
        }
    }
    for (name, _) in &spec.watch {
        label_value(&key.key("watch").key(name), name)?;
    }
    Ok(spec)
}

/// Names of watches and keys of labels become label values.
fn label_value(key: &KeyPath, value: &str) -> Result<(), ConfigError> {
    if value.is_empty() || value.len() > MAX_LABEL_BYTES {
        let expected = "a text of 1 to 200 bytes";
        return Err(ConfigError::new(
            key.clone(),
            Fault::Invalid {
                expected,
                found: value.to_owned(),
            },
        ));
    }
    Ok(())
}

/// Says what the classifier refuses, at the key it means.
fn classify_error(key: &KeyPath, error: ClassifyError) -> ConfigError {
    match error {
        ClassifyError::Watch { name, problem } => {
            // The regex crate draws the expression over several lines and says what is wrong in the last.
            let problem = problem
                .rsplit("error: ")
                .next()
                .unwrap_or_default()
                .trim()
                .replace('\n', " ");
            ConfigError::new(key.key("watch").key(name), Fault::Refused { problem })
        }
        ClassifyError::TooMany { what, count, limit } => {
            let what = what.strip_prefix("classify.").unwrap_or(what);
            ConfigError::new(key.key(what), Fault::TooMany { count, limit })
        }
    }
}

fn limits(key: &KeyPath, raw: &RawLimits, module: &mut Module) -> Result<(), ConfigError> {
    if let Some(groups) = raw.groups {
        module.series.groups = count(&key.key("groups"), groups, 1, 100)?;
    }
    if let Some(min_goroutines) = raw.min_goroutines {
        module.series.min_goroutines =
            number(&key.key("min_goroutines"), min_goroutines, 0, 1_000_000)?;
    }
    if let Some(min_ratio) = raw.min_ratio {
        if !(0.0..=1.0).contains(&min_ratio) {
            let fault = Fault::OutOfRange {
                found: min_ratio.to_string(),
                min: "0".into(),
                max: "1".into(),
            };
            return Err(ConfigError::new(key.key("min_ratio"), fault));
        }
        module.series.min_ratio = min_ratio;
    }
    // A protobuf is held in memory, as sent and inflated, for each probe at once.
    if let Some(text) = &raw.body_bytes {
        module.body_bytes = size(&key.key("body_bytes"), text, 256 << 20)?;
    }
    if let Some(text) = &raw.inflated_bytes {
        module.decode.inflated_bytes = size(&key.key("inflated_bytes"), text, 1 << 30)?;
    }
    Ok(())
}

fn targets(
    key: &KeyPath,
    raw: Vec<RawTarget>,
    modules: &BTreeMap<ModuleName, Arc<Module>>,
) -> Result<Vec<StaticTarget>, ConfigError> {
    at_most(key, raw.len(), MAX_TARGETS)?;
    let mut seen: HashMap<Target, usize> = HashMap::new();
    let mut targets = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let list = key;
        let key = list.index(index);
        let url_key = key.key("url");
        let url = raw
            .url
            .ok_or_else(|| ConfigError::new(url_key.clone(), Fault::Missing))?;
        // The problem never repeats the URL, which may hold a password that does not belong there.
        let target: Target = url.parse().map_err(|problem| {
            ConfigError::new(
                url_key.clone(),
                Fault::Refused {
                    problem: format!("{problem}"),
                },
            )
        })?;
        if let Some(first) = seen.insert(target.clone(), index) {
            let first = list.index(first);
            return Err(ConfigError::new(
                url_key,
                Fault::Repeated {
                    what: target.to_string(),
                    first,
                },
            ));
        }
        let name = raw.module.as_deref().unwrap_or(super::DEFAULT_MODULE);
        let Some((module, _)) = modules.get_key_value(name) else {
            let hint = hint::did_you_mean(name, modules.keys().map(ModuleName::as_str));
            let fault = Fault::UnknownModule {
                name: name.to_owned(),
            };
            return Err(ConfigError {
                hint,
                ..ConfigError::new(key.key("module"), fault)
            });
        };
        let labels = target_labels(
            &key.key("labels"),
            raw.labels.map_or_else(Vec::new, |UniqueMap(labels)| labels),
        )?;
        targets.push(StaticTarget {
            target,
            module: module.clone(),
            labels,
        });
    }
    Ok(targets)
}

fn target_labels(
    key: &KeyPath,
    raw: Vec<(String, String)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    at_most(key, raw.len(), MAX_LABELS)?;
    for (name, value) in &raw {
        let key = key.key(name);
        let refuse = |expected, found: &str| {
            Err(ConfigError::new(
                key.clone(),
                Fault::Invalid {
                    expected,
                    found: found.to_owned(),
                },
            ))
        };
        let mut bytes = name.bytes();
        let first = bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !first
            || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            || name.len() > MAX_LABEL_BYTES
        {
            return refuse(
                "a label name of letters, digits and _, no digit first",
                name,
            );
        }
        if name.starts_with("__") {
            return refuse(
                "a label name without __ in front, which Prometheus keeps to itself",
                name,
            );
        }
        if OWN_LABELS.contains(&name.as_str()) {
            return refuse("another label name than those the exporter sets", name);
        }
        if value.len() > MAX_LABEL_BYTES {
            return refuse("a label value of at most 200 bytes", value);
        }
    }
    Ok(raw.into_iter().collect())
}

fn allow(key: &KeyPath, raw: Vec<RawAllow>) -> Result<Vec<AllowEntry>, ConfigError> {
    at_most(key, raw.len(), MAX_ALLOW)?;
    raw.into_iter()
        .enumerate()
        .map(|(index, raw)| allow_entry(&key.index(index), raw))
        .collect()
}

fn allow_entry(key: &KeyPath, raw: RawAllow) -> Result<AllowEntry, ConfigError> {
    let refused = |name: &str, problem: EntryError| {
        ConfigError::new(
            key.key(name),
            Fault::Refused {
                problem: problem.to_string(),
            },
        )
    };
    let place = match (raw.cidr, raw.host, raw.path) {
        (Some(text), None, None) => Place::Cidr(network(&key.key("cidr"), &text)?),
        (None, Some(text), None) => {
            Place::Host(text.parse().map_err(|problem| refused("host", problem))?)
        }
        (None, None, Some(text)) => {
            Place::Socket(text.parse().map_err(|problem| refused("path", problem))?)
        }
        (None, None, None) => {
            return Err(ConfigError::new(
                key.clone(),
                Fault::Needs {
                    other: "cidr, host or path",
                },
            ));
        }
        (Some(_), Some(_), _) => {
            return Err(ConfigError::new(
                key.key("host"),
                Fault::Conflict { other: "cidr" },
            ));
        }
        (Some(_), None, Some(_)) => {
            return Err(ConfigError::new(
                key.key("path"),
                Fault::Conflict { other: "cidr" },
            ));
        }
        (None, Some(_), Some(_)) => {
            return Err(ConfigError::new(
                key.key("path"),
                Fault::Conflict { other: "host" },
            ));
        }
    };
    let Some(raw) = raw.ports else {
        return Ok(AllowEntry {
            place,
            ports: Vec::new(),
        });
    };
    let key = key.key("ports");
    if matches!(place, Place::Socket(_)) {
        return Err(ConfigError::new(key, Fault::Conflict { other: "path" }));
    }
    if raw.is_empty() {
        // An empty list would permit every port, which is not what an empty list says.
        let error = ConfigError::new(key, Fault::Needs { other: "a port" });
        return Err(error.hint("leave ports out to permit every port"));
    }
    at_most(&key, raw.len(), MAX_PORTS)?;
    let port = |(index, found)| {
        let port = number(&key.index(index), found, 1, u64::from(u16::MAX))?;
        // Fits, being at most a u16.
        Ok(u16::try_from(port).unwrap_or(u16::MAX))
    };
    Ok(AllowEntry {
        place,
        ports: raw
            .into_iter()
            .enumerate()
            .map(port)
            .collect::<Result<_, ConfigError>>()?,
    })
}

/// A network such as `10.0.0.0/8`. Host bits are refused: `10.1.2.3/8` may be meant as one address.
fn network(key: &KeyPath, text: &str) -> Result<IpNet, ConfigError> {
    let Ok(net) = text.parse::<IpNet>() else {
        let hint = text
            .parse::<IpAddr>()
            .ok()
            .map(|address| format!("write {}", IpNet::from(address)));
        let fault = Fault::Invalid {
            expected: "a network such as 10.0.0.0/8 or fd00::/8",
            found: text.to_owned(),
        };
        return Err(ConfigError {
            hint,
            ..ConfigError::new(key.clone(), fault)
        });
    };
    if net != net.trunc() {
        let fault = Fault::Invalid {
            expected: "a network without host bits",
            found: text.to_owned(),
        };
        let hint = format!("write {} or {}", net.trunc(), IpNet::from(net.addr()));
        return Err(ConfigError::new(key.clone(), fault).hint(hint));
    }
    Ok(net)
}

fn probes(key: &KeyPath, raw: RawProbes) -> Result<ProbeLimits, ConfigError> {
    let mut probes = ProbeLimits::default();
    if let Some(per_target) = raw.per_target {
        probes.per_target = count(&key.key("per_target"), per_target, 1, 100)?;
    }
    if let Some(total) = raw.total {
        probes.total = count(&key.key("total"), total, 1, 10_000)?;
    }
    if probes.per_target > probes.total {
        // The default is 1, so it was written down.
        let found = probes.per_target.to_string();
        let fault = Fault::OutOfRange {
            found,
            min: "1".into(),
            max: probes.total.to_string(),
        };
        return Err(ConfigError::new(key.key("per_target"), fault)
            .hint("per_target is at most probes.total"));
    }
    if let Some(tracked) = raw.tracked_targets {
        probes.tracked_targets = count(&key.key("tracked_targets"), tracked, 1, 1_000_000)?;
    }
    if let Some(text) = raw.forget_after {
        let bounds = (Duration::from_secs(60), Duration::from_secs(30 * 86_400));
        probes.forget_after = duration(&key.key("forget_after"), &text, bounds)?;
    }
    Ok(probes)
}

/// Refuses lists that are too long.
pub(super) fn at_most(key: &KeyPath, count: usize, limit: usize) -> Result<(), ConfigError> {
    if count > limit {
        return Err(ConfigError::new(
            key.clone(),
            Fault::TooMany { count, limit },
        ));
    }
    Ok(())
}

fn number(key: &KeyPath, found: u64, min: u64, max: u64) -> Result<u64, ConfigError> {
    if !(min..=max).contains(&found) {
        let fault = Fault::OutOfRange {
            found: found.to_string(),
            min: min.to_string(),
            max: max.to_string(),
        };
        return Err(ConfigError::new(key.clone(), fault));
    }
    Ok(found)
}

fn count(key: &KeyPath, found: u64, min: u64, max: u32) -> Result<usize, ConfigError> {
    let number = number(key, found, min, u64::from(max))?;
    // Fits, being at most a u32.
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

fn duration(
    key: &KeyPath,
    text: &str,
    (min, max): (Duration, Duration),
) -> Result<Duration, ConfigError> {
    let Some(found) = parse_duration(text) else {
        let hint = text
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| format!("write {text}s for seconds"));
        let fault = Fault::Invalid {
            expected: "a duration such as 10s, 1m30s or 500ms",
            found: text.to_owned(),
        };
        return Err(ConfigError {
            hint,
            ..ConfigError::new(key.clone(), fault)
        });
    };
    if !(min..=max).contains(&found) {
        let [min, max] = [min, max].map(|bound| DurationText(bound).to_string());
        let fault = Fault::OutOfRange {
            found: text.to_owned(),
            min,
            max,
        };
        return Err(ConfigError::new(key.clone(), fault));
    }
    Ok(found)
}

fn size(key: &KeyPath, text: &str, max: u64) -> Result<u64, ConfigError> {
    let Some(found) = parse_size(text) else {
        let fault = Fault::Invalid {
            expected: "a size such as 16MiB, 64KiB or 4096",
            found: text.to_owned(),
        };
        return Err(ConfigError::new(key.clone(), fault));
    };
    // Less holds no profile at all.
    let min = 1024;
    if !(min..=max).contains(&found) {
        let [min, max] = [min, max].map(|bound| SizeText(bound).to_string());
        return Err(ConfigError::new(
            key.clone(),
            Fault::OutOfRange {
                found: text.to_owned(),
                min,
                max,
            },
        ));
    }
    Ok(found)
}
