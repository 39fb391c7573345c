//! What the contract says in words and numbers is what documents say.

use std::collections::BTreeSet;
use std::fs;

use goroutine_exporter::classify::MAX_ENTRIES;
use goroutine_exporter::config::{MAX_SOURCES, Profile};
use goroutine_exporter::expose::godebug;

use super::contract::{Contract, bound};
use crate::programs::repository;

/// Buckets, with that of infinity, sum and count.
const SERIES_OF_A_HISTOGRAM: u64 = 15;

/// What they can be at most.
const LARGEST: [(&str, u64); 6] = [
    ("fixed", 1),
    ("limits.groups", 100),
    ("classify.watch", MAX_ENTRIES as u64),
    ("classify.labels", MAX_ENTRIES as u64),
    // Beside those that are written down there is always the default.
    ("modules", 501),
    ("godebug", MAX_SOURCES as u64),
];

/// The bound of README.md for a probe that has everything, and of each list.
#[test]
fn numbers_of_series_are_those_of_readme() {
    for part in ["probe", "metrics"] {
        let contract = Contract::of(part);
        for (name, family) in contract.families() {
            let told = &family["x-metric"];
            let entries = family["maxItems"].as_u64().unwrap();
            let each = if told["type"] == "histogram" {
                SERIES_OF_A_HISTOGRAM
            } else {
                1
            };
            assert_eq!(entries * each, bound(told, &LARGEST), "{name}");
        }
    }
    let contract = Contract::of("probe");
    let total = |n, watches, labels| -> u64 {
        let sizes = [
            ("fixed", 1),
            ("limits.groups", n),
            ("classify.watch", watches),
            ("classify.labels", labels),
        ];
        let families = contract.families().values();
        families
            .map(|family| bound(&family["x-metric"], &sizes))
            .sum()
    };
    // The rows of README.md, which `docs` holds against a probe.
    for n in [1, 20, 100] {
        let rows = (40 + 2 * n) + (94 + 2 * n) + 7 + 2 * (19 + 2 * n) + 8 + (98 + 9 * n);
        assert_eq!(total(n, 0, 0), rows);
        assert_eq!(total(n, 1, 2), rows + 1 + 2 * 21);
    }
}

/// Units are in the names, and every word is explained.
#[test]
fn words_of_the_contract_are_explained() {
    let mut units = BTreeSet::new();
    for part in ["probe", "metrics"] {
        let contract = Contract::of(part);
        let words = &contract.whole["x-words"];
        for (name, family) in contract.families() {
            let told = &family["x-metric"];
            let unit = told["unit"].as_str().unwrap();
            units.insert(unit.to_owned());
            let ends = |end: &str| name.trim_end_matches("_total").ends_with(end);
            let time = ends("_timestamp_seconds") || ends("start_time_seconds");
            assert_eq!(time, unit == "time", "{name}");
            assert_eq!(ends("_seconds") && !time, unit == "seconds", "{name}");
            assert_eq!(ends("_bytes"), unit == "bytes", "{name}");
            assert_eq!(ends("_ratio"), unit == "ratio", "{name}");
            let freshness = told["freshness"].as_str().unwrap();
            assert!(words["freshness"].get(freshness).is_some(), "{name}");
            for size in told["series"].as_object().unwrap().keys() {
                assert!(words["series"].get(size).is_some(), "{name}: {size}");
            }
            assert_eq!(told.get("from").is_some(), part == "probe", "{name}");
        }
    }
    let contract = Contract::of("probe");
    let explained = contract.whole["x-words"]["unit"].as_object().unwrap();
    for unit in explained.keys().filter(|unit| *unit != "other") {
        assert!(units.contains(unit), "nothing has the unit {unit}");
    }
}

/// Rows of a table in README.md that name metrics: their labels are those of the contract, and nothing is named that is
/// not in it, wherever people read.
#[test]
fn documents_name_what_the_contract_has() {
    let probe = Contract::of("probe");
    let own = Contract::of("metrics");
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let ticked = |text: &str| -> Vec<String> {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let mut rows = 0;
    let mut earlier: BTreeSet<String> = BTreeSet::new();
    for row in readme
        .lines()
        .filter(|row| row.starts_with("| `goroutine_"))
    {
        let cells: Vec<&str> = row.split('|').collect();
        let names = ticked(cells[1]);
        let mut told: BTreeSet<String> = ticked(cells[2]).into_iter().collect();
        let labels = |name: &String| {
            let family = probe
                .families()
                .get(name)
                .unwrap_or_else(|| &own.families()[name]);
            let labels = &family["items"]["properties"]["labels"]["required"];
            labels.as_array().cloned().unwrap_or_default()
        };
        let expected: BTreeSet<String> = names
            .iter()
            .flat_map(labels)
            .map(|label| label.as_str().unwrap().to_owned())
            .collect();
        if cells[2].contains("as above") {
            told.extend(expected.intersection(&earlier).cloned());
        }
        assert_eq!(told, expected, "{row}");
        earlier.extend(expected);
        rows += names.len();
    }
    assert_eq!(rows, probe.families().len() + godebug::ALL.len());
    let reasons = readme
        .lines()
        .find(|row| row.starts_with("| `goroutine_probe_failure`"))
        .unwrap();
    for reason in probe.set("failure") {
        assert!(reasons.contains(reason), "{reason}: {reasons}");
    }
    assert!(readme.contains(&format!(
        "a closed set of {}",
        probe.set("wait_reason").len()
    )));
    let known = |word: &str| {
        let ends = ["", "_bucket", "_sum", "_count"];
        let name = |end: &&str| {
            word.strip_suffix(*end).is_some_and(|name| {
                probe.families().contains_key(name) || own.families().contains_key(name)
            })
        };
        ends.iter().any(name)
    };
    let others = ["goroutine_exporter", Profile::Detail.as_str()];
    let mut seen = 0;
    for file in [
        "README.md",
        "dashboards/README.md",
        "examples/prometheus/README.md",
        "examples/prometheus/rules/README.md",
    ] {
        let text = fs::read_to_string(repository(file)).unwrap();
        for word in ticked(&text) {
            let word = word.split('{').next().unwrap();
            let is_name = word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if is_name && word.starts_with("goroutine_") && !others.contains(&word) {
                assert!(known(word), "{file}: {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "only {seen} names found");
}
