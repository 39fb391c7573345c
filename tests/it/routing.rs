//! The configuration of Alertmanager that comes with the rules: who is told what, how often, and how it reads.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;

use crate::prometheus::have;
use crate::rules::{ALERTS, known_and_recorded, read, rules, succeeds};

const FOLDER: &str = "examples/alertmanager";

#[test]
fn alertmanager_routes_by_severity() {
    if !have("amtool") {
        return;
    }
    let file = "--config.file=alertmanager.yml";
    let said = succeeds("amtool", FOLDER, &["check-config", "alertmanager.yml"]);
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
        succeeds("amtool", FOLDER, &arguments);
    }
}

#[test]
fn alertmanager_names_alerts_and_labels_that_exist() {
    let text = read(&format!("{FOLDER}/alertmanager.yml"));
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
            FOLDER,
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
