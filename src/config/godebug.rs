//! Where lines of `GODEBUG` are followed: files and named pipes that programs write their standard error to.
//!
//! Here is what is written about it; [`crate::follow`] follows, and [`crate::godebug`] reads.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::compile::at_most;
use super::discovery::written_labels;
use super::error::{ConfigError, Fault, KeyPath};
use super::places::target_labels;
use super::raw::UniqueMap;
use super::{Config, ModuleName};

/// Sources, at most: each is followed by a thread of its own, and has some 40 series.
pub const MAX_SOURCES: usize = 100;

/// Bytes of a path, at most: what Linux takes.
const MAX_PATH_BYTES: usize = 4096;

/// Labels that the series of sources have of their own, beside those no label of the configuration may be.
const OWN_LABELS: [&str; 5] = ["source", "kind", "class", "state", "queue"];

/// `godebug[N]` as it is written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with name and path, and where wanted labels"
)]
pub(super) struct RawSource {
    name: Option<String>,
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<UniqueMap<String>>,
}

/// `godebug[N]`: what one program writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GodebugSource {
    /// The value of the label `source`; no two have the same.
    pub name: String,
    /// The file or named pipe; no two have the same.
    pub path: PathBuf,
    /// Further labels of its series.
    pub labels: BTreeMap<String, String>,
}

impl Config {
    /// Where lines of `GODEBUG` are followed.
    #[must_use]
    pub fn godebug(&self) -> &[GodebugSource] {
        &self.godebug
    }
}

/// Compiles `godebug`.
pub(super) fn sources(
    key: &KeyPath,
    raw: Vec<RawSource>,
    directory: &Path,
) -> Result<Vec<GodebugSource>, ConfigError> {
    at_most(key, raw.len(), MAX_SOURCES)?;
    let (mut names, mut paths) = (HashMap::new(), HashMap::new());
    let mut sources = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let list = key;
        let key = list.index(index);
        let required = |name: &str, value: Option<String>| {
            value.ok_or_else(|| ConfigError::new(key.key(name), Fault::Missing))
        };
        let name = required("name", raw.name)?;
        let path = required("path", raw.path)?;
        let invalid = |name: &str, expected, found: &str| {
            ConfigError::new(key.key(name), Fault::invalid(expected, found.to_owned()))
        };
        if ModuleName::new(&name).is_none() {
            let expected = "a name of at most 64 letters, digits, _, . and -, a letter or _ first";
            return Err(invalid("name", expected, &name));
        }
        if path.is_empty() || path.len() > MAX_PATH_BYTES || path.contains('\0') {
            let expected = "the path of a file or named pipe, of at most 4096 bytes";
            return Err(invalid("path", expected, &path));
        }
        let path = directory.join(path);
        let repeated = |name: &str, what: String, first: usize| {
            let first = list.index(first);
            ConfigError::new(key.key(name), Fault::Repeated { what, first })
        };
        if let Some(first) = names.insert(name.clone(), index) {
            return Err(repeated("name", name, first));
        }
        if let Some(first) = paths.insert(path.clone(), index) {
            return Err(repeated("path", path.display().to_string(), first));
        }
        let label_key = key.key("labels");
        let written = raw.labels.map_or_else(Vec::new, |UniqueMap(labels)| labels);
        let labels = target_labels(&label_key, written)?;
        if let Some(own) = OWN_LABELS.into_iter().find(|own| labels.contains_key(*own)) {
            let expected = "another label name than those the exporter sets";
            let fault = Fault::invalid(expected, own.to_owned());
            return Err(ConfigError::new(label_key.key(own), fault));
        }
        sources.push(GodebugSource { name, path, labels });
    }
    Ok(sources)
}

/// Writes `godebug` out.
pub(super) fn render(sources: &[GodebugSource]) -> Vec<RawSource> {
    let write = |source: &GodebugSource| RawSource {
        name: Some(source.name.clone()),
        path: Some(source.path.display().to_string()),
        labels: Some(written_labels(&source.labels)),
    };
    sources.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_name_and_a_path() {
        let yaml = "godebug: [{name: shop, path: shop.log}, {name: b, path: /b, labels: {env: x}}]";
        let config = Config::from_yaml_in(yaml, Path::new("/etc/ge")).unwrap();
        let [first, second] = config.godebug() else {
            panic!("{config:?}");
        };
        assert_eq!((first.name.as_str(), first.labels.len()), ("shop", 0));
        assert_eq!(first.path, Path::new("/etc/ge/shop.log"));
        assert_eq!(second.path, Path::new("/b"));
        assert_eq!(second.labels["env"], "x");
        assert_eq!(Config::from_yaml(&config.render()), Ok(config));
        assert_eq!(Config::default().godebug(), []);
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let check = |yaml: &str, expected: &str| {
            let error = Config::from_yaml(yaml).unwrap_err().to_string();
            assert_eq!(error, expected, "{yaml}");
        };
        check(
            "godebug: [{path: a}]",
            "line 1, column 11: godebug[0].name: required, but missing",
        );
        check(
            "godebug: [{name: a}]",
            "line 1, column 11: godebug[0].path: required, but missing",
        );
        check(
            "godebug: [{name: a, file: b}]",
            "line 1, column 21: godebug[0].file: unknown key",
        );
        check(
            "godebug: [{name: 'a b', path: a}]",
            "line 1, column 18: godebug[0].name: expected a name of at most 64 letters, digits, _, . and -, a letter or _ first, found \"a b\"",
        );
        check(
            "godebug: [{name: a, path: ''}]",
            "line 1, column 27: godebug[0].path: expected the path of a file or named pipe, of at most 4096 bytes, found \"\"",
        );
        check(
            "godebug:\n- {name: a, path: a}\n- {name: a, path: b}",
            "line 3, column 10: godebug[1].name: a is given twice, first in godebug[0]",
        );
        check(
            "godebug: [{name: a, path: a}, {name: b, path: a}]",
            "line 1, column 47: godebug[1].path: a is given twice, first in godebug[0]",
        );
        check(
            "godebug: [{name: a, path: a, labels: {source: x}}]",
            "line 1, column 47: godebug[0].labels.source: expected another label name than those the exporter sets, found \"source\"",
        );
        let many: String = (0..=MAX_SOURCES)
            .map(|n| format!("- {{name: a{n}, path: p{n}}}\n"))
            .collect();
        check(
            &format!("godebug:\n{many}"),
            "line 1, column 1: godebug: 101 entries, at most 100 are allowed",
        );
    }
}
