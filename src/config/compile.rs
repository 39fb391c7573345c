//! From what is written to what is meant: names, numbers, durations and cross references are checked here.
//!
//! Errors carry the key path; the caller looks up line and column.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigError, Fault, KeyPath};
use super::raw::{
    RawClassify, RawConfig, RawDetail, RawLeak, RawLimits, RawModule, RawProbes, RawStorage,
    RawTrace, UniqueMap,
};
use super::{
    Config, Module, ModuleName, ProbeLimits, Profile, discovery, godebug, hint, http, places,
};
use crate::budget::{DetailMode, DetailSource, MAX_TRACE_BYTES, SHORTEST_WINDOW, TraceMode};
use crate::classify::{ClassifyError, ClassifySpec, MAX_ENTRIES, Rules};
use crate::snapshots::StorageSpec;
use crate::units::{DurationText, SizeText, parse_duration, parse_size};

/// Modules, at most: each holds a connection pool and compiled expressions.
const MAX_MODULES: usize = 500;

/// Bytes of a label value of the configuration, at most: what frames get, too.
pub(super) const MAX_LABEL_BYTES: usize = 200;

/// Bytes of `path`, at most.
const MAX_PATH_BYTES: usize = 1024;

/// The least and the most time from one expensive request to the next.
const INTERVALS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(24));

/// The shortest and the longest window of a trace. A second and more has several generations, and the target pays for each.
const WINDOWS: (Duration, Duration) = (SHORTEST_WINDOW, Duration::from_secs(5));

/// Frames and goroutines of a budget, at most: more than Go programs have.
const MAX_BUDGET: u64 = 100_000_000;

/// Bytes of the path of a folder, at most: what Linux takes.
const MAX_FOLDER_BYTES: usize = 4096;

/// Bytes of all snapshots, at most.
const MAX_STORED_BYTES: u64 = 1 << 40;

/// How young and how old snapshots may get. Less than an hour would drop what a baseline is taken for.
const AGES: (Duration, Duration) = (Duration::from_hours(1), Duration::from_hours(3650 * 24));

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
            ConfigError::new(key.clone(), Fault::invalid(expected, name))
        })?;
        let module = module(&key, name.clone(), raw.unwrap_or_default(), directory)?;
        config.modules.insert(name, Arc::new(module));
    }
    config.targets = places::targets(
        &root.key("targets"),
        raw.targets.unwrap_or_default(),
        &config.modules,
    )?;
    config.file_sd = discovery::files(
        &root.key("file_sd_configs"),
        raw.file_sd_configs.unwrap_or_default(),
        &config.modules,
        directory,
    )?;
    config.dns_sd = discovery::names(
        &root.key("dns_sd_configs"),
        raw.dns_sd_configs.unwrap_or_default(),
        &config.modules,
    )?;
    config.godebug = godebug::sources(
        &root.key("godebug"),
        raw.godebug.unwrap_or_default(),
        directory,
    )?;
    config.allow = raw
        .allow
        .map(|entries| places::allow(&root.key("allow"), entries))
        .transpose()?;
    config.probes = probes(&root.key("probes"), raw.probes.unwrap_or_default())?;
    if let Some(raw) = raw.storage {
        storage(&root.key("storage"), &raw, directory, &mut config.storage)?;
    }
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
        let bounds = (Duration::from_millis(1), Duration::from_mins(5));
        module.timeout = duration(&key.key("timeout"), &text, bounds)?;
    }
    if let Some(names) = raw.profiles {
        module.profiles = profiles(&key.key("profiles"), &names)?;
    }
    if let Some(raw) = raw.http {
        module.fetch = http::fetch_spec(&key.key("http"), raw, directory)?;
    }
    if let Some(raw) = raw.detail {
        detail(&key.key("detail"), &raw, &mut module)?;
    }
    if let Some(raw) = raw.leak {
        leak(&key.key("leak"), &raw, &mut module)?;
    }
    if let Some(raw) = raw.trace {
        trace(&key.key("trace"), &raw, &mut module)?;
    }
    if let Some(raw) = raw.classify {
        let key = key.key("classify");
        module.classify = classify(&key, raw)?;
        module.rules = Rules::new(&module.classify).map_err(|error| classify_error(&key, error))?;
    }
    if let Some(raw) = raw.limits {
        limits(&key.key("limits"), &raw, &mut module)?;
    }
    if let Some(entries) = raw.allow {
        module.allow = Some(places::allow(&key.key("allow"), entries)?);
    }
    Ok(module)
}

/// The path of the profiles: percent-encoded as RFC 3986 has it, since it goes into URLs as it is.
fn profile_path(key: &KeyPath, path: &str) -> Result<String, ConfigError> {
    let refuse = |expected| {
        Err(ConfigError::new(
            key.clone(),
            Fault::invalid(expected, path.to_owned()),
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
        let mut known = Profile::CONFIGURABLE.iter().copied();
        let Some(profile) = known.find(|profile| profile.as_str() == name) else {
            let known = Profile::CONFIGURABLE.iter().copied().map(Profile::as_str);
            let hint = hint::did_you_mean(name, known);
            let fault = Fault::invalid("the name of a profile", name.clone());
            return Err(ConfigError {
                hint,
                ..ConfigError::new(key, fault)
            });
        };
        if let Some(first) = profiles.iter().position(|known| *known == profile) {
            let first = list.index(first);
            return Err(ConfigError::new(
                key,
                Fault::Repeated {
                    what: name.clone(),
                    first,
                },
            ));
        }
        profiles.push(profile);
    }
    if profiles.is_empty() {
        return Err(ConfigError::new(
            key.clone(),
            Fault::Needs { other: "goroutine" },
        ));
    }
    // Everything else is judged by what the goroutine profile says.
    let wanted = |profile: &Profile| *profile == Profile::Goroutine || profiles.contains(profile);
    Ok(Profile::CONFIGURABLE.into_iter().filter(wanted).collect())
}

fn detail(key: &KeyPath, raw: &RawDetail, module: &mut Module) -> Result<(), ConfigError> {
    let detail = &mut module.detail;
    if let Some(text) = &raw.mode {
        let modes = [DetailMode::Auto, DetailMode::Off, DetailMode::Always];
        let known = modes.map(|mode| (mode.as_str(), mode));
        detail.mode = word(&key.key("mode"), text, "auto, off or always", &known)?;
    }
    if let Some(text) = &raw.source {
        let sources = [DetailSource::Debug2, DetailSource::Debug3];
        let known = sources.map(|source| (source.as_str(), source));
        detail.source = word(&key.key("source"), text, "debug2 or debug3", &known)?;
    }
    if let Some(frames) = raw.max_frames {
        detail.max_frames = number(&key.key("max_frames"), frames, 1, MAX_BUDGET)?;
    }
    if let Some(text) = &raw.min_interval {
        detail.min_interval = duration(&key.key("min_interval"), text, INTERVALS)?;
    }
    Ok(())
}

fn leak(key: &KeyPath, raw: &RawLeak, module: &mut Module) -> Result<(), ConfigError> {
    if let Some(goroutines) = raw.max_goroutines {
        let key = key.key("max_goroutines");
        module.leak.max_goroutines = number(&key, goroutines, 1, MAX_BUDGET)?;
    }
    if let Some(text) = &raw.min_interval {
        module.leak.min_interval = duration(&key.key("min_interval"), text, INTERVALS)?;
    }
    Ok(())
}

fn trace(key: &KeyPath, raw: &RawTrace, module: &mut Module) -> Result<(), ConfigError> {
    let trace = &mut module.trace;
    if let Some(text) = &raw.mode {
        let known = [TraceMode::Off, TraceMode::Auto].map(|mode| (mode.as_str(), mode));
        trace.mode = word(&key.key("mode"), text, "off or auto", &known)?;
    }
    if let Some(text) = &raw.min_interval {
        trace.min_interval = duration(&key.key("min_interval"), text, INTERVALS)?;
    }
    if let Some(text) = &raw.window {
        trace.window = duration(&key.key("window"), text, WINDOWS)?;
    }
    if let Some(text) = &raw.max_bytes {
        trace.max_bytes = size(&key.key("max_bytes"), text, MAX_TRACE_BYTES)?;
    }
    if let Some(goroutines) = raw.max_goroutines {
        let key = key.key("max_goroutines");
        trace.max_goroutines = number(&key, goroutines, 1, MAX_BUDGET)?;
    }
    Ok(())
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    key: &KeyPath,
    text: &str,
    expected: &'static str,
    known: &[(&'static str, T)],
) -> Result<T, ConfigError> {
    if let Some((_, meant)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*meant);
    }
    let hint = hint::did_you_mean(text, known.iter().map(|(name, _)| *name));
    Err(ConfigError {
        hint,
        ..ConfigError::new(key.clone(), Fault::invalid(expected, text.to_owned()))
    })
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
        at_most(&list_key, list.len(), MAX_ENTRIES)?;
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
            Fault::invalid(expected, value.to_owned()),
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
        ClassifyError::Package { what, entry } => ConfigError::new(
            key.key(what),
            Fault::invalid("path/of/package, or path/... for all below it", entry),
        ),
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
    if let Some(text) = &raw.detail_body_bytes {
        module.detail_body_bytes = size(&key.key("detail_body_bytes"), text, 1 << 30)?;
    }
    if let Some(text) = &raw.inflated_bytes {
        module.decode.inflated_bytes = size(&key.key("inflated_bytes"), text, 1 << 30)?;
    }
    Ok(())
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
        let bounds = (Duration::from_mins(1), Duration::from_hours(30 * 24));
        probes.forget_after = duration(&key.key("forget_after"), &text, bounds)?;
    }
    Ok(probes)
}

fn storage(
    key: &KeyPath,
    raw: &RawStorage,
    directory: &Path,
    storage: &mut StorageSpec,
) -> Result<(), ConfigError> {
    if let Some(path) = &raw.path {
        if path.len() > MAX_FOLDER_BYTES || path.contains('\0') {
            let expected = "the path of a folder, of at most 4096 bytes";
            let fault = Fault::invalid(expected, path.clone());
            return Err(ConfigError::new(key.key("path"), fault));
        }
        // An empty path means none, and not the folder of the configuration.
        if !path.is_empty() {
            storage.path = directory.join(path);
        }
    }
    if let Some(text) = &raw.max_bytes {
        storage.bounds.max_bytes = size(&key.key("max_bytes"), text, MAX_STORED_BYTES)?;
    }
    if let Some(per_target) = raw.per_target {
        storage.bounds.per_target = count(&key.key("per_target"), per_target, 1, 10_000)?;
    }
    if let Some(text) = &raw.max_age {
        storage.bounds.max_age = duration(&key.key("max_age"), text, AGES)?;
    }
    Ok(())
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

pub(super) fn number(key: &KeyPath, found: u64, min: u64, max: u64) -> Result<u64, ConfigError> {
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

pub(super) fn duration(
    key: &KeyPath,
    text: &str,
    (min, max): (Duration, Duration),
) -> Result<Duration, ConfigError> {
    let Some(found) = parse_duration(text) else {
        let hint = text
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| format!("write {text}s for seconds"));
        let fault = Fault::invalid("a duration such as 10s, 1m30s or 500ms", text.to_owned());
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
        let fault = Fault::invalid("a size such as 16MiB, 64KiB or 4096", text.to_owned());
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
