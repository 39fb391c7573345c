//! The rules that come with the exporter, and their runbook: they load, do what their own tests say, name nothing that
//! does not exist, and link to what is there. Alertmanager's routing and message, too.

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
use crate::promql::Names;

const RULES: &str = "examples/prometheus/rules/goroutine_exporter.rules.yml";
const RUNBOOK: &str = "examples/prometheus/rules/README.md";
const ALERTMANAGER: &str = "examples/alertmanager/alertmanager.yml";

/// Names are a promise: people route, silence and inhibit by them.
const ALERTS: [&str; 10] = [
    "GoroutineConcentration",
    "GoroutineExporterConfigReloadFailed",
    "GoroutineExporterDown",
    "GoroutineGroupsFolded",
    "GoroutineLeakConfirmed",
    "GoroutineLeakRunaway",
    "GoroutineLeakSuspected",
    "GoroutineProbeFailing",
    "GoroutineProfileTruncated",
    "GoroutineStuck",
];

/// Labels that a series of ours gets from Prometheus' configuration or from `/targets/metrics`.
const OF_THE_SCRAPE: [&str; 4] = ["job", "instance", "target", "module"];

/// Labels that the rules themselves make.
const OF_THE_RULES: [&str; 1] = ["scope"];

/// Metrics of Prometheus itself, with their labels.
const OF_PROMETHEUS: [(&str, &[&str]); 2] = [("up", &[]), ("ALERTS", &["alertname", "alertstate"])];

/// One entry of a rule file.
#[derive(Clone, Debug)]
struct Rule {
    /// Of an alert or of a recording.
    name: String,
    alert: bool,
    expression: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn read(path: &str) -> String {
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

fn rules() -> Vec<Rule> {
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
    ours.map(|metric| (metric.name, metric.labels))
        .chain(OF_PROMETHEUS)
        .map(|(name, labels)| {
            let labels = labels.iter().chain(&OF_THE_SCRAPE);
            (name.into(), labels.map(|&label| label.into()).collect())
        })
        .collect()
}

/// The same, and what the rules record: with any label there is, since they pass them through.
fn known_and_recorded() -> BTreeMap<String, BTreeSet<String>> {
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
fn succeeds(program: &str, folder: &str, arguments: &[&str]) -> String {
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
        let names = Names::of(&rule.expression);
        for metric in &names.metrics {
            if !known.contains_key(metric) {
                wrong.insert(format!("metric {metric}"));
            }
        }
        for (metric, label, value) in &names.selectors {
            if !known
                .get(metric)
                .is_none_or(|labels| labels.contains(label))
            {
                wrong.insert(format!("label {label} of {metric}"));
            }
            if label == "wait_reason" && !value.split('|').all(|value| reasons.contains(&value)) {
                wrong.insert(format!("wait reason in {value}"));
            }
        }
        let listed = names.lists.iter().filter(|label| !labels.contains(label));
        wrong.extend(listed.map(|label| format!("label {label}")));
        for alert in names
            .selectors
            .iter()
            .filter(|(_, label, _)| label == "alertname")
        {
            assert!(ALERTS.contains(&&*alert.2), "{alert:?}");
        }
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
        for names in series.into_iter().map(Names::of) {
            for metric in &names.metrics {
                let Some(labels) = known.get(metric) else {
                    wrong.insert(format!("{file}: metric {metric}"));
                    continue;
                };
                let own: Vec<&String> = labels
                    .iter()
                    .filter(|label| !OF_THE_SCRAPE.contains(&label.as_str()))
                    .collect();
                for label in own {
                    let optional = ["app_frame"].contains(&label.as_str());
                    let there = names.selectors.iter().any(|(_, name, _)| name == label);
                    if !there && !optional {
                        wrong.insert(format!("{file}: {metric} without {label}"));
                    }
                }
                for (_, label, _) in &names.selectors {
                    let of_the_user = ["team", "namespace"].contains(&label.as_str());
                    if !labels.contains(label) && !of_the_user {
                        wrong.insert(format!("{file}: {metric} with {label}"));
                    }
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
        let metrics = Names::of(&rule.expression).metrics;
        assert!(!metrics.contains("goroutine_group_info"), "{}", rule.name);
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

#[test]
fn alertmanager_routes_by_severity() {
    if !have("amtool") {
        return;
    }
    let folder = "examples/alertmanager";
    let file = "--config.file=alertmanager.yml";
    let said = succeeds("amtool", folder, &["check-config", "alertmanager.yml"]);
    assert!(said.contains("1 templates"), "{said}");
    for rule in rules().into_iter().filter(|rule| rule.alert) {
        let severity = &rule.labels["severity"];
        let receiver = match severity.as_str() {
            "critical" => "pager",
            "warning" => "tickets",
            _ => "digest",
        };
        let receiver = format!("--verify.receivers={receiver}");
        let labels = [
            format!("alertname={}", rule.name),
            format!("severity={severity}"),
        ];
        let arguments = [
            "config", "routes", "test", file, &receiver, &labels[0], &labels[1],
        ];
        succeeds("amtool", folder, &arguments);
    }
}

#[test]
fn alertmanager_names_alerts_and_labels_that_exist() {
    let text = read(ALERTMANAGER);
    let known = known_and_recorded();
    let labels: BTreeSet<&String> = known.values().flatten().collect();
    // Of the user, and of the alerts themselves.
    let more = ["cluster", "namespace", "severity", "alertname"];
    let lists = Regex::new(r"(?:equal|group_by): \[([^\]]*)\]").unwrap();
    for list in lists.captures_iter(&text) {
        for label in list[1].split(", ") {
            assert!(
                labels.contains(&label.to_owned()) || more.contains(&label),
                "{label}"
            );
        }
        assert!(
            !list[0].starts_with("group_by") || !list[1].contains("instance"),
            "replicas would be notifications of their own: {}",
            &list[0]
        );
    }
    let names = Regex::new(r"Goroutine\w+").unwrap();
    let mut seen = BTreeSet::new();
    for name in names.find_iter(&text).map(|found| found.as_str()) {
        let prefix = ALERTS.iter().any(|alert| alert.starts_with(name));
        assert!(prefix, "{name}");
        seen.insert(name);
    }
    assert!(seen.len() > 4, "{seen:?}");
}

#[test]
fn the_message_shows_the_line_of_each_target() {
    if !have("amtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let alert = |status: &str, instance: &str, line: u32| {
        format!(
            r#"{{"status":"{status}","labels":{{"instance":"{instance}"}},"annotations":{{
                "summary":"orders ({instance}): 900 goroutines","location":"converter.go:{line}","description":"Half an hour ago: {line}",
                "target_url":"http://e/{instance}","dashboard_url":"http://g/{instance}","runbook_url":"http://r/{instance}"}}}}"#
        )
    };
    let data = format!(
        r#"{{"status":"firing","groupLabels":{{"alertname":"GoroutineLeakSuspected","job":"orders","blocking_frame":"main.convert","wait_reason":"sleep"}},
            "alerts":[{},{},{}]}}"#,
        alert("firing", "a", 16),
        alert("firing", "b", 19),
        alert("resolved", "c", 23),
    );
    let file = folder.path().join("data.json");
    fs::write(&file, data).unwrap();
    let render = |name: &str| {
        succeeds(
            "amtool",
            "examples/alertmanager",
            &[
                "template",
                "render",
                "--template.glob=goroutine_exporter.tmpl",
                &format!("--template.text={{{{ template \"goroutine.{name}\" . }}}}"),
                &format!("--template.data={}", file.display()),
            ],
        )
    };
    assert_eq!(
        render("title").trim(),
        "[GoroutineLeakSuspected] orders: main.convert (sleep), 2 targets"
    );
    assert_eq!(render("link").trim(), "http://e/a");
    let text = render("text");
    for expected in [
        "orders (a): 900 goroutines, converter.go:16\nHalf an hour ago: 16\nGoroutines: http://e/a\nDashboard: http://g/a\nRunbook: http://r/a\n",
        "orders (b): 900 goroutines, converter.go:19\n",
        "Resolved: orders (c): 900 goroutines, converter.go:23\n",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}
