//! The rules that come with the exporter, and their runbook: they load, do what their own tests say, name nothing that
//! does not exist, and link to what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use goroutine_exporter::classify::WaitReason;
use goroutine_exporter::expose;
use goroutine_exporter::self_metrics;
use regex::Regex;
use serde_yaml::Value;

use crate::programs::repository;
use crate::prometheus::have;
use crate::promql;

const RULES: &str = "examples/prometheus/rules/goroutine_exporter.rules.yml";
const RUNBOOK: &str = "examples/prometheus/rules/README.md";

/// Names are a promise: people route, silence and inhibit by them.
pub(crate) const ALERTS: [&str; 13] = [
    "GoroutineConcentration",
    "GoroutineExporterConfigReloadFailed",
    "GoroutineExporterDown",
    "GoroutineGCPause",
    "GoroutineGroupsFolded",
    "GoroutineLeakConfirmed",
    "GoroutineLeakRunaway",
    "GoroutineLeakSuspected",
    "GoroutineLockContention",
    "GoroutineProbeFailing",
    "GoroutineProfileTruncated",
    "GoroutineSchedulerStarvation",
    "GoroutineStuck",
];

/// Labels that a series of ours gets from Prometheus' configuration or from `/targets/metrics`.
const OF_THE_SCRAPE: [&str; 4] = ["job", "instance", "target", "module"];

/// Labels that the rules themselves make.
const OF_THE_RULES: [&str; 2] = ["held_by", "scope"];

/// Metrics of Prometheus itself, with their labels.
const OF_PROMETHEUS: [(&str, &[&str]); 2] = [("up", &[]), ("ALERTS", &["alertname", "alertstate"])];

/// One entry of a rule file.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Of an alert or of a recording.
    pub(crate) name: String,
    pub(crate) alert: bool,
    expression: String,
    pub(crate) labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let Some(mapping) = value.as_mapping() else {
        return BTreeMap::new();
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    mapping.iter().map(|(k, v)| (text(k), text(v))).collect()
}

pub(crate) fn rules() -> Vec<Rule> {
    let file = yaml(RULES);
    let groups = file["groups"].as_sequence().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_sequence().unwrap());
    let found: Vec<Rule> = rules
        .map(|rule| {
            let alert = rule["alert"].as_str();
            Rule {
                name: alert.or(rule["record"].as_str()).unwrap().to_owned(),
                alert: alert.is_some(),
                expression: rule["expr"].as_str().unwrap().to_owned(),
                labels: texts(&rule["labels"]),
                annotations: texts(&rule["annotations"]),
            }
        })
        .collect();
    assert!(found.len() > 20, "only {} rules found", found.len());
    found
}

/// Every metric with its own labels: those of targets, of the exporter, and of Prometheus.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let ours = expose::metrics::ALL.iter().chain(self_metrics::ALL);
    let ours = ours.chain(expose::godebug::ALL);
    ours.map(|metric| (metric.name, metric.labels))
        .chain(OF_PROMETHEUS)
        .map(|(name, labels)| {
            let labels = labels.iter().chain(&OF_THE_SCRAPE);
            (name.into(), labels.map(|&label| label.into()).collect())
        })
        .collect()
}

/// The same, and what the rules record: with any label there is, since they pass them through.
pub(crate) fn known_and_recorded() -> BTreeMap<String, BTreeSet<String>> {
    let mut known = known();
    let mut all: BTreeSet<String> = known.values().flatten().cloned().collect();
    all.extend(OF_THE_RULES.map(str::to_owned));
    known.get_mut("ALERTS").unwrap().extend(all.iter().cloned());
    for rule in rules().into_iter().filter(|rule| !rule.alert) {
        let labels = rule.labels.into_keys().chain(all.iter().cloned()).collect();
        known.insert(rule.name, labels);
    }
    known
}

/// Runs a program in the folder of the rules or beside it; what it said must be nothing bad.
pub(crate) fn succeeds(program: &str, folder: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(repository(folder))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

/// The anchors that GitHub makes of the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        code ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !code) {
            let new = found.insert(anchor(heading.trim_start_matches('#').trim()));
            assert!(new, "two headings come to one anchor: {line}");
        }
    }
    found
}

fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn promtool_accepts_rules_and_configuration() {
    if !have("promtool") {
        return;
    }
    let said = succeeds(
        "promtool",
        "examples/prometheus",
        &["check", "config", "prometheus.yml"],
    );
    let expected = format!("{} rules found", rules().len());
    assert!(
        said.contains(&expected) && !said.contains("lint"),
        "{expected} in {said}"
    );
}

/// Each file of rule tests, as a test of its own, so that they run side by side.
macro_rules! rule_tests {
    ($($name:ident)*) => {
        const RULE_TESTS: &[&str] = &[$(concat!(stringify!($name), ".yml")),*];

        $(
            #[test]
            fn $name() {
                if have("promtool") {
                    let file = concat!("tests/", stringify!($name), ".yml");
                    let said = succeeds("promtool", "examples/prometheus/rules", &["test", "rules", file]);
                    assert!(said.contains("SUCCESS"), "{said}");
                }
            }
        )*
    };
}

rule_tests! {
    annotations_test
    days_test
    evidence_test
    held_up_test
    incident_test
    leaks_test
    quiet_test
    watching_test
}

#[test]
fn every_file_of_rule_tests_is_run() {
    let folder = fs::read_dir(repository("examples/prometheus/rules/tests")).unwrap();
    let files: BTreeSet<String> = folder
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        files,
        RULE_TESTS.iter().map(|&file| file.to_owned()).collect()
    );
}

#[test]
fn alerts_have_the_promised_names_and_say_what_to_do() {
    let alerts: Vec<Rule> = rules().into_iter().filter(|rule| rule.alert).collect();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(ALERTS));
    let severities = ["critical", "warning", "info"];
    for alert in alerts {
        for annotation in ["summary", "description", "runbook_url"] {
            assert!(
                alert.annotations.contains_key(annotation),
                "{}: {annotation}",
                alert.name
            );
        }
        assert!(
            severities.contains(&&*alert.labels["severity"]),
            "{alert:?}"
        );
    }
}

#[test]
fn rules_name_what_exists() {
    let known = known_and_recorded();
    let labels: BTreeSet<&String> = known.values().flatten().collect();
    let reasons = WaitReason::ALL.map(WaitReason::as_str);
    let mut wrong = BTreeSet::new();
    for rule in rules() {
        let names = promql::read(&rule.expression).unwrap();
        for selector in &names.selectors {
            let metric = &selector.metric;
            let Some(own) = known.get(metric) else {
                wrong.insert(format!("metric {metric}"));
                continue;
            };
            for matcher in &selector.matchers {
                let (label, value) = (&matcher.label, &matcher.value);
                if !own.contains(label) {
                    wrong.insert(format!("label {label} of {metric}"));
                }
                let mut values = value.split('|');
                if label == "wait_reason" && !values.all(|value| reasons.contains(&value)) {
                    wrong.insert(format!("wait reason in {value}"));
                }
                assert!(
                    label != "alertname" || ALERTS.contains(&value.as_str()),
                    "{value}"
                );
            }
        }
        let named = names.labels.iter().chain(&names.made);
        let unknown = named.filter(|label| !label.is_empty() && !labels.contains(label));
        wrong.extend(unknown.map(|label| format!("label {label}")));
    }
    assert!(wrong.is_empty(), "no such thing: {wrong:#?}");
}

#[test]
fn annotations_and_the_runbook_name_what_exists() {
    let known = known_and_recorded();
    let labels: BTreeSet<&String> = known.values().flatten().collect();
    let metric = Regex::new(r"\bgoroutine[_:][a-z0-9_:]+").unwrap();
    let label = Regex::new(r#"(?:\$labels\.|\.Labels\.|\blabel ")([a-z_]+)"#).unwrap();
    let excepted = Regex::new(r#"\$k ((?:"[a-z_]+" ?)+)"#).unwrap();
    let mut texts: Vec<String> = rules()
        .into_iter()
        .flat_map(|rule| rule.annotations.into_values())
        .collect();
    texts.push(read(RUNBOOK));
    let mut wrong = BTreeSet::new();
    for text in texts {
        for name in metric.find_iter(&text).map(|found| found.as_str()) {
            // The program, and a profile: the two other things so named.
            let other = ["goroutine_exporter", "goroutine_detail"].contains(&name);
            if !known.contains_key(name) && !other {
                wrong.insert(format!("metric {name}"));
            }
        }
        let named = label.captures_iter(&text).map(|found| found[1].to_owned());
        let excepted = excepted
            .captures_iter(&text)
            .flat_map(|found| {
                let words = found[1].split('"').map(str::to_owned);
                words
                    .filter(|word| !word.trim().is_empty())
                    .collect::<Vec<_>>()
            })
            .filter(|label| label != "__name__");
        for name in named.chain(excepted) {
            if !labels.contains(&name) {
                wrong.insert(format!("label {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "no such thing: {wrong:#?}");
}

/// A rule test of series that no exporter makes would prove nothing.
#[test]
fn rule_tests_use_what_exists() {
    let known = known();
    let mut wrong = BTreeSet::new();
    for file in RULE_TESTS {
        let text = read(&format!("examples/prometheus/rules/tests/{file}"));
        let series: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- series: "))
            .collect();
        assert!(!series.is_empty(), "{file}");
        for line in series {
            let names = promql::read(line).unwrap();
            let [selector] = names.selectors.as_slice() else {
                panic!("{file}: {line}");
            };
            let metric = &selector.metric;
            let Some(labels) = known.get(metric) else {
                wrong.insert(format!("{file}: metric {metric}"));
                continue;
            };
            let given: BTreeSet<&str> = selector
                .matchers
                .iter()
                .map(|matcher| matcher.label.as_str())
                .collect();
            for label in labels.iter().map(String::as_str) {
                let optional = label == "app_frame" || OF_THE_SCRAPE.contains(&label);
                if !given.contains(label) && !optional {
                    wrong.insert(format!("{file}: {metric} without {label}"));
                }
            }
            for label in given {
                if !labels.contains(label) && !["team", "namespace"].contains(&label) {
                    wrong.insert(format!("{file}: {metric} with {label}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "no such thing: {wrong:#?}");
}

/// File and line move with every deploy: in a label they would make it another alert.
#[test]
fn no_expression_brings_file_or_line_into_labels() {
    for rule in rules() {
        let names = promql::read(&rule.expression).unwrap();
        let mut metrics = names.selectors.iter().map(|selector| &selector.metric);
        assert!(
            metrics.all(|metric| metric != "goroutine_group_info"),
            "{}",
            rule.name
        );
        for label in rule.labels.values() {
            assert!(!label.contains("{{"), "{}: {label}", rule.name);
        }
    }
}

#[test]
fn links_lead_to_sections_of_the_runbook() {
    let text = read(RUNBOOK);
    let anchors = anchors(&text);
    for rule in rules().into_iter().filter(|rule| rule.alert) {
        let url = &rule.annotations["runbook_url"];
        let (_, to) = url.rsplit_once('#').unwrap();
        assert_eq!(to, rule.name.to_lowercase(), "{}", rule.name);
        assert!(anchors.contains(to), "no section {to}");
    }
    // What the template of wait_reason_url makes of the label.
    for reason in WaitReason::ALL {
        let strange = |c: &char| c.is_ascii_alphanumeric() || *c == ' ';
        let to: String = reason
            .as_str()
            .to_lowercase()
            .chars()
            .filter(strange)
            .collect();
        assert!(
            anchors.contains(&to.replace(' ', "-")),
            "no section for {reason}"
        );
    }
    let links = Regex::new(r"\]\(#([^)]*)\)").unwrap();
    for link in links.captures_iter(&text) {
        assert!(anchors.contains(&link[1]), "{}", &link[0]);
    }
}

#[test]
fn thresholds_stand_in_three_places_alike() {
    let rules = read(RULES);
    let collect = |expression: &str, text: &str| -> BTreeMap<String, String> {
        let found: Vec<(String, String)> = Regex::new(expression)
            .unwrap()
            .captures_iter(text)
            .map(|found| (found["name"].to_owned(), found["value"].to_owned()))
            .collect();
        let once: BTreeMap<_, _> = found.iter().cloned().collect();
        assert_eq!(once.len(), found.len(), "one stands twice: {found:?}");
        once
    };
    let used = collect(
        r"(?m)^ +(?:[<>]=?|\*) (?P<value>[\d.]+) # threshold: (?P<name>\w+)$",
        &rules,
    );
    assert_eq!(
        used.len() + 1,
        rules.matches("# threshold: ").count(),
        "a line of another form"
    );
    let listed = collect(
        r"(?m)^#   (?P<name>[a-z_]+) +(?P<value>[\d.]+)  +\S",
        &rules,
    );
    let told = collect(
        r"(?m)^\| `(?P<name>\w+)` \| (?P<value>[\d.]+) \|",
        &read(RUNBOOK),
    );
    assert!(!used.is_empty());
    assert_eq!(listed, used);
    assert_eq!(told, used);
}
