//! The places a configuration names: its static targets, and the entries of `allow`.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::compile::{MAX_LABEL_BYTES, at_most, number};
use super::error::{ConfigError, Fault, KeyPath};
use super::raw::{RawAllow, RawTarget, UniqueMap};
use super::{Config, DEFAULT_MODULE, Module, ModuleName, StaticTarget, hint};
use crate::policy::{AllowEntry, EntryError, Place, Refusal};
use crate::target::Target;

/// Targets of the configuration or of a file, at most: all of them are fetched for one scrape of `/targets/metrics`.
pub const MAX_TARGETS: usize = 10_000;

/// Entries of `allow`, at most: each probe is held against all of them.
const MAX_ALLOW: usize = 1_000;

/// Ports of an entry of `allow`, at most.
const MAX_PORTS: usize = 100;

/// Labels of a static target, at most; they stand on each of its series.
pub(super) const MAX_LABELS: usize = 30;

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

impl Config {
    /// The same with further static targets, probed by the module `default`. One that the configuration has
    /// already stays as it is there.
    ///
    /// # Errors
    /// When the module may not be used for one of them.
    pub fn with_targets(mut self, targets: &[Target]) -> Result<Self, ConfigError> {
        let module = self.module(DEFAULT_MODULE).cloned().unwrap_or_default();
        for target in targets {
            if self.targets.iter().all(|known| known.target != *target) {
                if let Some(refusal) = module.rules_for(targets).refuses(target) {
                    let problem = format!("--target {target}: {refusal}");
                    return Err(ConfigError::new(
                        KeyPath::root(),
                        Fault::Refused { problem },
                    ));
                }
                self.targets.push(StaticTarget {
                    target: target.clone(),
                    module: ModuleName::default(),
                    labels: BTreeMap::new(),
                });
            }
        }
        Ok(self)
    }

    /// The static targets that name a module.
    #[must_use]
    pub fn targets_of(&self, module: &ModuleName) -> Vec<Target> {
        let own = self.targets.iter().filter(|known| known.module == *module);
        own.map(|known| known.target.clone()).collect()
    }
}

/// Compiles `targets`; the modules they name must exist, and may be used for them.
pub(super) fn targets(
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
        let (name, module) = module_of(&key.key("module"), raw.module.as_deref(), modules)?;
        if let Some(refusal) = refusal_of(module, &target) {
            let problem = refusal.to_string();
            return Err(ConfigError::new(url_key, Fault::Refused { problem }));
        }
        let labels = target_labels(
            &key.key("labels"),
            raw.labels.map_or_else(Vec::new, |UniqueMap(labels)| labels),
        )?;
        targets.push(StaticTarget {
            target,
            module: name,
            labels,
        });
    }
    Ok(targets)
}

/// The module of a name, which stands at `key`; the default one without.
pub(super) fn module_of<'m>(
    key: &KeyPath,
    name: Option<&str>,
    modules: &'m BTreeMap<ModuleName, Arc<Module>>,
) -> Result<(ModuleName, &'m Module), ConfigError> {
    let name = name.unwrap_or(DEFAULT_MODULE);
    if let Some((name, module)) = modules.get_key_value(name) {
        return Ok((name.clone(), module));
    }
    let hint = hint::did_you_mean(name, modules.keys().map(ModuleName::as_str));
    let fault = Fault::UnknownModule {
        name: name.to_owned(),
    };
    Err(ConfigError {
        hint,
        ..ConfigError::new(key.clone(), fault)
    })
}

/// Why the module would not go to a target that the operator wrote down for it.
pub(super) fn refusal_of(module: &Module, target: &Target) -> Option<Refusal> {
    let own = std::slice::from_ref(target);
    module.rules_for(own).refuses(target)
}

/// Compiles the labels of a target.
pub(super) fn target_labels(
    key: &KeyPath,
    raw: Vec<(String, String)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    at_most(key, raw.len(), MAX_LABELS)?;
    for (name, value) in &raw {
        let key = key.key(name);
        let refuse = |expected, found: &str| {
            Err(ConfigError::new(
                key.clone(),
                Fault::invalid(expected, found.to_owned()),
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

/// Compiles `allow`.
pub(super) fn allow(key: &KeyPath, raw: Vec<RawAllow>) -> Result<Vec<AllowEntry>, ConfigError> {
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
        let fault = Fault::invalid("a network such as 10.0.0.0/8 or fd00::/8", text.to_owned());
        return Err(ConfigError {
            hint,
            ..ConfigError::new(key.clone(), fault)
        });
    };
    if net != net.trunc() {
        let fault = Fault::invalid("a network without host bits", text.to_owned());
        let hint = format!("write {} or {}", net.trunc(), IpNet::from(net.addr()));
        return Err(ConfigError::new(key.clone(), fault).hint(hint));
    }
    Ok(net)
}
