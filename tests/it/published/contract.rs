//! The contract, and expositions as it reads them.

use std::collections::BTreeMap;
use std::fs;

use goroutine_exporter::classify::names::NAME_BYTES;
use serde_json::{Map, Value, json};

use crate::http::{Metrics, Sample};
use crate::programs::repository;

const CONTRACT: &str = "examples/prometheus/metrics.schema.json";

/// The contract, as one part of it reads an exposition.
pub(super) struct Contract {
    pub(super) whole: Value,
    part: &'static str,
}

impl Contract {
    pub(super) fn of(part: &'static str) -> Self {
        let text = fs::read_to_string(repository(CONTRACT)).unwrap();
        let whole = serde_json::from_str(&text).unwrap();
        Self { whole, part }
    }

    /// Its metrics by name.
    pub(super) fn families(&self) -> &Map<String, Value> {
        let part = &self.whole["$defs"][self.part];
        part["properties"].as_object().unwrap()
    }

    /// The values that a name of `$defs` admits, where they are a set.
    pub(super) fn set(&self, name: &str) -> Vec<&str> {
        let set = self.whole["$defs"][name]["enum"].as_array().unwrap();
        set.iter().map(|value| value.as_str().unwrap()).collect()
    }

    /// Everything in an exposition that is not as it says. Of `profiles` the exposition may tell, and no other.
    pub(super) fn faults(
        &self,
        text: &str,
        sizes: &[(&str, u64)],
        profiles: &[&str],
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let exposition = Exposition::parse(text);
        let (head, samples) = (&exposition.head, &exposition.samples);
        let mut lists: Map<String, Value> = Map::new();
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (family, sample) in samples {
            *counts.entry(family).or_default() += 1;
            let mut labels = sample.labels.clone();
            if labels.remove("le").is_some() && !sample.name.ends_with("_bucket") {
                faults.push(format!("{}: le", sample.name));
            }
            let entry = if labels.is_empty() {
                json!({})
            } else {
                json!({ "labels": labels })
            };
            let list = lists.entry(family.clone()).or_insert_with(|| json!([]));
            let list = list.as_array_mut().unwrap();
            if !list.contains(&entry) {
                list.push(entry);
            }
        }
        let mut schema = json!({ "$ref": format!("#/$defs/{}", self.part) });
        schema["$defs"] = self.whole["$defs"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let lists = Value::Object(lists);
        let errors = validator.iter_errors(&lists);
        faults.extend(errors.map(|error| format!("{}: {error}", error.instance_path())));
        for (name, (kind, help)) in head {
            // The schema has told already that it does not know this one.
            let Some(family) = self.families().get(name) else {
                continue;
            };
            let told = &family["x-metric"];
            if family["description"] != help.as_str() || told["type"] != kind.as_str() {
                faults.push(format!("{name}: HELP {help:?}, TYPE {kind}"));
            }
            let (count, most) = (
                counts.get(&**name).copied().unwrap_or(0),
                bound(told, sizes),
            );
            if count == 0 || count > most {
                faults.push(format!("{name}: {count} series of at most {most}"));
            }
            let from = told["from"].as_array().into_iter().flatten();
            let mut from = from.filter_map(Value::as_str).peekable();
            if from.peek().is_some() && !from.any(|profile| profiles.contains(&profile)) {
                faults.push(format!("{name}: nobody asked for what it is read from"));
            }
        }
        for (family, sample) in samples {
            let Some(told) = self.families().get(family) else {
                continue;
            };
            if !is_of_unit(&told["x-metric"]["unit"], sample.value) {
                faults.push(format!("{}: {}", sample.name, sample.value));
            }
            for (label, value) in &sample.labels {
                if value.len() > NAME_BYTES {
                    faults.push(format!(
                        "{}: {label} has {} bytes",
                        sample.name,
                        value.len()
                    ));
                }
            }
        }
        faults
    }
}

/// An exposition: of each family its type and help, of each sample its family.
pub(super) struct Exposition {
    pub(super) head: BTreeMap<String, (String, String)>,
    pub(super) samples: Vec<(String, Sample)>,
}

impl Exposition {
    /// Reads it; each family is told of before its samples, and once.
    pub(super) fn parse(text: &str) -> Self {
        let (mut help, mut head) = (BTreeMap::new(), BTreeMap::new());
        let mut families = Vec::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').unwrap();
                help.insert(name.to_owned(), words.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                name.clone_into(&mut current);
                let words = help.remove(name).unwrap_or_default();
                let before = head.insert(current.clone(), (kind.to_owned(), words));
                assert!(before.is_none(), "{name} twice");
            } else {
                assert!(line.starts_with(&current), "{line} under {current}");
                families.push(current.clone());
            }
        }
        let samples = Metrics::parse(text).samples;
        for (family, sample) in families.iter().zip(&samples) {
            let rest = sample.name.strip_prefix(family.as_str()).unwrap();
            let histogram = head[family].0 == "histogram";
            let known = if histogram {
                &["_bucket", "_sum", "_count"][..]
            } else {
                &[""]
            };
            assert!(known.contains(&rest), "{} under {family}", sample.name);
        }
        Self {
            head,
            samples: families.into_iter().zip(samples).collect(),
        }
    }
}

/// How many series there may be with these sizes.
pub(super) fn bound(told: &Value, sizes: &[(&str, u64)]) -> u64 {
    let series = told["series"].as_object().unwrap().iter();
    let of_size = |(name, factor): (&String, &Value)| {
        let (_, size) = sizes.iter().find(|(known, _)| known == name).unwrap();
        factor.as_u64().unwrap() * size
    };
    series.map(of_size).sum()
}

fn is_of_unit(unit: &Value, value: f64) -> bool {
    match unit.as_str().unwrap() {
        "boolean" => value == 0.0 || value == 1.0,
        "one" => value == 1.0,
        "ratio" => (0.0..=1.0).contains(&value),
        "seconds" => value >= 0.0,
        // 0 is never.
        "time" => value == 0.0 || value > 1_500_000_000.0,
        _ => value >= 0.0 && value.fract() == 0.0,
    }
}
