//! The limits of the scrape configurations admit the most that a probe can yield with the exporter's default limits.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::each;
use super::recipes::{recipes, with_targets};
use crate::docs::WAITS;
use crate::http::Metrics;
use crate::programs::{Exporter, repository};
use crate::prometheus::Prometheus;
use crate::servers::{Server, ok};

/// Labels that scraping may add: `__name__`, `job`, `instance`, `module`, and those of pods and their owners' choice.
const OF_THE_SCRAPE: usize = 16;

/// A dump with every wait reason, more groups than can have series, and names longer than any that is shown whole.
fn crowded() -> String {
    let long = "w".repeat(400);
    let mut text = String::new();
    let mut id = 0;
    for number in 0..51 {
        let reason = WAITS[number % WAITS.len()];
        for copy in 0..60 {
            id += 1;
            let state = if copy % 2 == 0 {
                "1500 minutes"
            } else {
                "1 minutes"
            };
            write!(
                text,
                "goroutine {id} [{reason}, {state}]:\nexample.com/{long}.b{number}()\n\t/a/{long}/b.go:{number} +0x1\nmain.f{number}{long}()\n\t/a/{long}/main.go:{number} +0x1\ncreated by main.c{number}{long} in goroutine 1\n\t/a/{long}/main.go:1 +0x1\n\n"
            )
            .unwrap();
        }
    }
    text
}

/// What one scrape brought, in the units of the limits.
fn sizes(body: &str) -> BTreeMap<&'static str, u64> {
    let samples = Metrics::parse(body).samples;
    let labels = samples.iter().flat_map(|sample| &sample.labels);
    let names = labels.clone().map(|(name, _)| name.len()).max().unwrap();
    let values = labels.map(|(_, value)| value.len());
    let values = values
        .chain(samples.iter().map(|sample| sample.name.len()))
        .max()
        .unwrap();
    let own = samples
        .iter()
        .map(|sample| sample.labels.len())
        .max()
        .unwrap();
    let (count, labels) = (samples.len(), own + OF_THE_SCRAPE);
    let sizes = [
        ("sample_limit", count),
        ("label_limit", labels),
        ("label_name_length_limit", names),
        ("label_value_length_limit", values),
        ("body_size_limit", body.len()),
    ];
    sizes
        .map(|(limit, size)| (limit, size.try_into().unwrap()))
        .into()
}

/// A limit's number: `2MB` is 2,000,000 bytes at least, in whichever way it is read.
fn number(value: &Value) -> u64 {
    let Some(text) = value.as_str() else {
        return value.as_u64().unwrap();
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "B" => 1,
        "MB" => 1_000_000,
        unit => panic!("{unit} is no unit that this test knows"),
    };
    digits.parse::<u64>().unwrap() * unit
}

#[test]
fn limits_admit_the_most_a_probe_yields() {
    let server = Server::answering(ok(crowded().as_bytes()));
    let exporter = Exporter::start("");
    // Groups that come later in one probe have had theirs in the one before.
    exporter.probe(&server.target(), "default");
    let body = exporter.probe(&server.target(), "default").text;
    let sizes = sizes(&body);
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    assert!(readme.contains("214 by default"));
    let bound = 214;
    let samples = sizes["sample_limit"];
    assert!(
        samples > bound / 2 && samples <= bound,
        "{samples} of {bound}:\n{body}"
    );
    assert!(sizes["label_value_length_limit"] > 150, "{sizes:?}");
    let table = std::fs::read_to_string(repository("examples/prometheus/README.md")).unwrap();
    for (row, size) in [
        ("| `sample_limit` | 500 | {} series", bound),
        (
            "| `label_limit` | 40 | {} labels",
            sizes["label_limit"] - OF_THE_SCRAPE as u64,
        ),
        (
            "| `label_name_length_limit` | 128 | {} bytes",
            sizes["label_name_length_limit"],
        ),
        (
            "| `label_value_length_limit` | 512 | {} bytes",
            sizes["label_value_length_limit"],
        ),
        (
            "| `body_size_limit` | 2MB | less than {} kB",
            sizes["body_size_limit"].div_ceil(100_000) * 100,
        ),
    ] {
        let row = row.replace("{}", &size.to_string());
        assert!(table.contains(&row), "no {row:?}");
    }
    for recipe in recipes() {
        for (limit, size) in &sizes {
            let least = if *limit == "sample_limit" {
                bound
            } else {
                *size
            };
            let given = number(&recipe.job[*limit]);
            assert!(
                given >= least,
                "{}: {limit} {given} for {least}",
                recipe.file
            );
            // Ten times as much would be no limit.
            assert!(
                given < least * 100,
                "{}: {limit} {given} for {least}",
                recipe.file
            );
        }
    }
    // Prometheus counts as this test does.
    let probing = |name: &str, limit: Option<(&str, u64)>| {
        let main = recipes()
            .into_iter()
            .find(|recipe| recipe.file == "prometheus/prometheus.yml");
        let mut job = with_targets(
            &main.unwrap().job,
            &json!([{ "targets": [server.target()] }]),
        );
        let text = job
            .to_string()
            .replace("127.0.0.1:16060", &exporter.address.to_string());
        job = serde_json::from_str(&text).unwrap();
        job["job_name"] = json!(name);
        if let Some((key, value)) = limit {
            job[key] = json!(value);
        }
        job
    };
    let mut jobs = vec![probing("fits", None)];
    for limit in [
        "sample_limit",
        "label_name_length_limit",
        "label_value_length_limit",
    ] {
        jobs.push(probing(limit, Some((limit, sizes[limit] - 1))));
    }
    let jobs = Value::Array(jobs).to_string();
    let config: Value = serde_json::from_str(&jobs).unwrap();
    let lines: String = each(&config).map(|job| format!("- {job}\n")).collect();
    let Some(prometheus) = Prometheus::start(&lines) else {
        return;
    };
    prometheus.becomes("up{job=\"fits\"}", 1.0);
    prometheus.becomes("count(up == 0)", 3.0);
    prometheus.becomes("goroutine_probe_success{job=\"fits\"}", 1.0);
}
