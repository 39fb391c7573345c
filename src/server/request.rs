//! Reads what a request for a probe asks for, and says in one sentence what is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;

use crate::config::{Config, DEFAULT_MODULE, Module, Profile};
use crate::target::{Target, TargetError};

/// The header in which Prometheus says how long it will wait, in seconds.
pub(super) const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// Characters of a requested name that are repeated in an answer, at most.
const ECHO_CHARS: usize = 80;

/// Modules of one request, at most: more than there are profiles to unite.
const MAX_MODULES: usize = 16;

/// A probe, as asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ProbeRequest {
    /// What to probe.
    pub(super) target: Target,
    /// How.
    pub(super) modules: ModuleSet,
    /// Whether to tell the probe's story in place of its metrics.
    pub(super) debug: bool,
}

/// One module, or several that differ in nothing but their profiles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModuleSet {
    /// The names, sorted and joined by a comma.
    pub(super) label: String,
    /// What they amount to; the name is the first one's, the profiles are united.
    pub(super) module: Arc<Module>,
}

/// What is wrong with a request. Prints as a sentence for the person who made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the parameter target is missing: write /probe?target=host:port")]
    NoTarget,
    #[error("the parameter target may be given once only")]
    TwoTargets,
    #[error("{0}")]
    Target(#[from] TargetError),
    #[error("there is no module {name:?} in the configuration")]
    UnknownModule { name: String },
    #[error(
        "the modules {one} and {other} cannot be probed together, since they differ in more than their profiles"
    )]
    Disagree { one: String, other: String },
    #[error("at most {MAX_MODULES} modules can be probed together")]
    TooManyModules,
    #[error("the header X-Prometheus-Scrape-Timeout-Seconds must hold a number of seconds above 0")]
    Timeout,
    #[error("a request for a probe must not have a body")]
    Body,
    #[error("no target {name:?} is configured, nor was one found")]
    UnknownTarget { name: String },
}

impl ProbeRequest {
    /// Reads the query of `/probe`. Parameters it does not know are ignored, as Prometheus' exporters do.
    pub(super) fn parse(query: &str, config: &Config) -> Result<Self, RequestError> {
        let mut targets = Vec::new();
        let mut names = Vec::new();
        let mut debug = false;
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "target" => targets.push(value),
                "module" => names.extend(value.split(',').map(|name| name.trim().to_owned())),
                "debug" => debug = matches!(&*value, "true" | "1"),
                _ => {}
            }
        }
        let target = match targets.as_slice() {
            [] => return Err(RequestError::NoTarget),
            [target] => target.parse()?,
            _ => return Err(RequestError::TwoTargets),
        };
        Ok(Self {
            target,
            modules: ModuleSet::find(&names, config)?,
            debug,
        })
    }
}

impl ModuleSet {
    /// The modules of these names; empty names count as none, and none means `default`.
    pub(super) fn find(names: &[String], config: &Config) -> Result<Self, RequestError> {
        let mut modules = BTreeMap::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            let Some(module) = config.module(name) else {
                return Err(RequestError::UnknownModule { name: echo(name) });
            };
            modules.insert(name.as_str(), module);
            if modules.len() > MAX_MODULES {
                return Err(RequestError::TooManyModules);
            }
        }
        if modules.is_empty() {
            let module = config.module(DEFAULT_MODULE);
            let module = module.ok_or_else(|| RequestError::UnknownModule {
                name: DEFAULT_MODULE.to_owned(),
            })?;
            modules.insert(DEFAULT_MODULE, module);
        }
        let label = modules.keys().copied().collect::<Vec<_>>().join(",");
        let mut modules = modules.into_values();
        // There is one at least; without it there would be nothing to probe with.
        let Some(first) = modules.next() else {
            return Err(RequestError::UnknownModule {
                name: String::new(),
            });
        };
        let mut united = Arc::clone(first);
        for other in modules {
            united = unite(&united, other)?;
        }
        Ok(Self {
            label,
            module: united,
        })
    }
}

/// How long a probe may take: the module's timeout, or what the scraper's patience leaves of it.
///
/// The offset is left for the way back. A patience that is no longer than the offset is split in half, so that a
/// probe always gets some of it.
pub(super) fn budget(
    headers: &HeaderMap,
    offset: Duration,
    module: Duration,
) -> Result<Duration, RequestError> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else {
        return Ok(module);
    };
    let seconds: f64 = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)
        .ok_or(RequestError::Timeout)?;
    // More seconds than a duration can hold are no bound at all.
    let patience = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let left = if patience > offset {
        patience.saturating_sub(offset)
    } else {
        patience / 2
    };
    Ok(left.min(module))
}

/// What a request said, short and without control characters, to be repeated in an answer.
pub(super) fn echo(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(ECHO_CHARS)
        .collect()
}

fn unite(one: &Arc<Module>, other: &Arc<Module>) -> Result<Arc<Module>, RequestError> {
    let profiles: Vec<Profile> = Profile::CONFIGURABLE
        .into_iter()
        .filter(|p| one.profiles.contains(p) || other.profiles.contains(p))
        .collect();
    let as_one = |module: &Module| Module {
        name: one.name.clone(),
        profiles: profiles.clone(),
        ..module.clone()
    };
    let united = as_one(one);
    if as_one(other) == united {
        Ok(Arc::new(united))
    } else {
        Err(RequestError::Disagree {
            one: one.name.to_string(),
            other: other.name.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::from_yaml(
            "modules:\n  a: { timeout: 5s }\n  b: { timeout: 5s }\n  c: { timeout: 6s }\n  d: { timeout: 5s, limits: { groups: 3 } }\n",
        )
        .unwrap()
    }

    #[test]
    fn what_a_query_asks_for() {
        let config = config();
        let check = |query: &str, label: &str, debug: bool| {
            let request = ProbeRequest::parse(query, &config).unwrap();
            assert_eq!(request.target.to_string(), "http://h:1", "{query}");
            assert_eq!(
                (request.modules.label.as_str(), request.debug),
                (label, debug),
                "{query}"
            );
        };
        check("target=h:1", "default", false);
        check("target=h%3A1", "default", false);
        check("target=h:1&module=a", "a", false);
        check("target=h:1&module=", "default", false);
        check("module=b&target=h:1&module=a", "a,b", false);
        check("target=h:1&module=b,a,b,", "a,b", false);
        check("target=h:1&debug=true", "default", true);
        check("target=h:1&debug=1", "default", true);
        check("target=h:1&debug=false", "default", false);
        check("target=h:1&unknown=x&debug", "default", false);
    }

    #[test]
    fn what_is_wrong_with_a_query() {
        let config = config();
        let check = |query: &str, sentence: &str| {
            let error = ProbeRequest::parse(query, &config).unwrap_err();
            assert!(error.to_string().contains(sentence), "{query}: {error}");
        };
        check("", "target is missing");
        check("target=h:1&target=h:1", "once only");
        check("target=h:1&target=", "once only");
        check("target=", "empty");
        check("target=ftp://h:1", "scheme");
        check("target=h:1&module=nope", r#"no module "nope""#);
        check("target=h:1&module=a,nope", r#"no module "nope""#);
        check("target=h:1&module=a,c", "a and c cannot");
        check("target=h:1&module=d,b", "b and d cannot");
        let names = |count| (0..count).map(|n| format!("m{n}")).collect::<Vec<_>>();
        let many: String = names(17)
            .iter()
            .map(|name| format!("  {name}: {{}}\n"))
            .collect();
        let many = Config::from_yaml(&format!("modules:\n{many}")).unwrap();
        let ask = |count| {
            let query = format!("target=h:1&module={}", names(count).join(","));
            ProbeRequest::parse(&query, &many)
        };
        ask(16).unwrap();
        assert_eq!(ask(17).unwrap_err(), RequestError::TooManyModules);
        let long = format!("target=h:1&module={}%0a", "x".repeat(500));
        let error = ProbeRequest::parse(&long, &config).unwrap_err().to_string();
        assert!(error.len() < 200 && !error.contains('\n'), "{error}");
    }

    #[test]
    fn the_module_and_the_scraper_bound_a_probe() {
        let check = |header: Option<&str>, offset: f64, expected: Option<f64>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert(TIMEOUT_HEADER, value.parse().unwrap());
            }
            let got = budget(
                &headers,
                Duration::from_secs_f64(offset),
                Duration::from_secs(10),
            );
            assert_eq!(
                got.ok(),
                expected.map(Duration::from_secs_f64),
                "{header:?} - {offset}"
            );
        };
        check(None, 0.5, Some(10.0));
        check(Some("15"), 0.5, Some(10.0));
        check(Some("10"), 0.5, Some(9.5));
        check(Some("2.5"), 0.5, Some(2.0));
        check(Some(" 3 "), 0.5, Some(2.5));
        check(Some("0.5"), 0.5, Some(0.25));
        check(Some("0.2"), 0.5, Some(0.1));
        check(Some("1e300"), 0.5, Some(10.0));
        check(Some("0"), 0.5, None);
        check(Some("-1"), 0.5, None);
        check(Some("inf"), 0.5, None);
        check(Some("NaN"), 0.5, None);
        check(Some("10s"), 0.5, None);
        check(Some(""), 0.5, None);
    }
}
