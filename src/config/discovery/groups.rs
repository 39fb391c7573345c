//! Reads a file of targets: a list of groups, in JSON or YAML, in the shape that Prometheus' `file_sd_configs` reads.
//!
//! Shape: `[{"targets": ["10.0.0.7:6060"], "labels": {"env": "prod"}}]`. Labels that begin with `__` do what they do in
//! Prometheus: `__param_module` chooses the module, `__scheme__` what is put before a target without one, and the others
//! are for relabelling, and dropped. Whatever is wrong makes the whole file wrong: nobody has half of his targets.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::super::compile::at_most;
use super::super::error::{ConfigError, Fault, KeyPath};
use super::super::handle::text;
use super::super::places::{MAX_LABELS, MAX_TARGETS, module_of, refusal_of, target_labels};
use super::super::raw::{self, FileKind, UniqueMap};
use super::super::{Module, ModuleName, StaticTarget};
use super::raw::RawGroup;
use crate::target::Target;

/// Groups of a file, at most.
pub const MAX_GROUPS: usize = 10_000;

/// The label that chooses the module.
const MODULE_LABEL: &str = "__param_module";

/// The label that says how targets without a scheme are asked.
const SCHEME_LABEL: &str = "__scheme__";

/// The targets in a file of that name; `module` is that of groups which name none. At most
/// [`MAX_BYTES`](super::super::MAX_BYTES) of it are read, in time that grows with their number.
///
/// # Errors
/// When anything in it is not as it should be; the first such thing, with its place. The error names the file.
pub fn read_groups(
    file: &Path,
    bytes: &[u8],
    module: &ModuleName,
    modules: &BTreeMap<ModuleName, Arc<Module>>,
) -> Result<Vec<StaticTarget>, ConfigError> {
    let json = file
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let found = text(bytes).and_then(|text| {
        let raw = if json {
            raw::read_json(text)?
        } else {
            // A file with nothing in it is an empty list.
            raw::read::<Option<Vec<RawGroup>>>(FileKind::Targets, text)?.unwrap_or_default()
        };
        compile(raw, module, modules).map_err(|error| {
            let position = raw::locate(text, &error.key);
            error.at(position)
        })
    });
    found.map_err(|error| ConfigError {
        file: Some(file.to_owned()),
        ..error
    })
}

fn compile(
    raw: Vec<RawGroup>,
    module: &ModuleName,
    modules: &BTreeMap<ModuleName, Arc<Module>>,
) -> Result<Vec<StaticTarget>, ConfigError> {
    let root = KeyPath::root();
    at_most(&root, raw.len(), MAX_GROUPS)?;
    let all = raw.iter().map(|group| group.targets.len()).sum();
    at_most(&root, all, MAX_TARGETS)?;
    let mut seen: HashMap<Target, KeyPath> = HashMap::new();
    let mut targets = Vec::with_capacity(all);
    for (index, group) in raw.into_iter().enumerate() {
        let key = root.index(index);
        let labels_key = key.key("labels");
        let labels = group
            .labels
            .map_or_else(Vec::new, |UniqueMap(labels)| labels);
        let special = |name: &str| {
            let found = labels.iter().find(|(label, _)| label == name);
            found.map(|(_, value)| value.as_str())
        };
        let chosen = special(MODULE_LABEL).unwrap_or(module.as_str());
        let (module, rules) = module_of(&labels_key.key(MODULE_LABEL), Some(chosen), modules)?;
        let scheme = special(SCHEME_LABEL).unwrap_or("http");
        if !matches!(scheme, "http" | "https") {
            let fault = Fault::invalid("http or https", scheme);
            return Err(ConfigError::new(labels_key.key(SCHEME_LABEL), fault));
        }
        at_most(&labels_key, labels.len(), 2 * MAX_LABELS)?;
        let scheme = scheme.to_owned();
        let shown = labels
            .into_iter()
            .filter(|(name, _)| !name.starts_with("__"));
        let labels = target_labels(&labels_key, shown.collect())?;
        for (index, written) in group.targets.into_iter().enumerate() {
            let key = key.key("targets").index(index);
            let refuse = |problem: String| {
                let fault = Fault::Refused { problem };
                ConfigError::new(key.clone(), fault)
            };
            let whole = if written.contains("://") || scheme == "http" {
                written
            } else {
                format!("{scheme}://{written}")
            };
            // The problem never repeats the target, which may hold a password that does not belong there.
            let target: Target = whole
                .parse()
                .map_err(|problem| refuse(format!("{problem}")))?;
            if let Some(refusal) = refusal_of(rules, &target) {
                return Err(refuse(refusal.to_string()));
            }
            if let Some(first) = seen.insert(target.clone(), key.clone()) {
                let what = target.to_string();
                return Err(ConfigError::new(key, Fault::Repeated { what, first }));
            }
            targets.push(StaticTarget {
                target,
                module: module.clone(),
                labels: labels.clone(),
            });
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests;
