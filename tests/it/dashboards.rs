//! The dashboards against the exporter's own lists, and against what makes a dashboard usable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::programs::{repository, skip};
use crate::promql;

/// What Grafana and its user put in for variables. Names that begin others come after them.
const DEFAULTS: [(&str, &str); 13] = [
    ("__rate_interval", "1m"),
    ("__range", "1h"),
    ("datasource", "prometheus"),
    ("exporter", "http://localhost:16060"),
    ("wait_reason", ".+"),
    ("instance", ".+"),
    ("growing", ".+"),
    ("largest", ".+"),
    ("suspect", "0123456789abcdef"),
    ("window", "30m"),
    ("group", ".+"),
    ("top", ".+"),
    ("job", ".+"),
];

/// A query of a dashboard, ready for Prometheus.
#[derive(Debug)]
pub(crate) struct Query {
    /// The uid of the dashboard.
    pub(crate) dashboard: String,
    /// The title of the panel; for others, what they are and their name.
    pub(crate) place: String,
    /// The expression, variables put in.
    pub(crate) expression: String,
    /// The labels that its legend shows.
    shown: Vec<String>,
}

/// The dashboards, with the names of their files.
fn dashboards() -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(repository("dashboards"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        (name, serde_json::from_str(&text).unwrap())
    };
    files.into_iter().map(read).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The panels that show data, those in collapsed rows included.
fn panels(dashboard: &Value) -> Vec<&Value> {
    each(&dashboard["panels"])
        .flat_map(|panel| std::iter::once(panel).chain(each(&panel["panels"])))
        .filter(|panel| panel["type"] != "row")
        .collect()
}

/// Puts values in for variables: these, and for the others what all of them or their default stands for.
fn interpolate(text: &str, values: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (name, default) in DEFAULTS {
        let given = values.iter().find(|(given, _)| *given == name);
        let value = given.map_or(default, |(_, value)| value);
        text = text.replace(&format!("${name}"), value);
    }
    text
}

/// The labels between double braces.
fn shown(legend: &str) -> Vec<String> {
    let label = |part: &str| part.split("}}").next().unwrap().trim().to_owned();
    legend.split("{{").skip(1).map(label).collect()
}

/// Every query of every dashboard, those of variables and annotations included, with these values for variables.
/// `suspect` is the one that needs a `group_id` to return data.
pub(crate) fn queries(values: &[(&str, &str)]) -> Vec<Query> {
    let mut found = Vec::new();
    for (_, dashboard) in dashboards() {
        let mut add = |place: &str, expression: &str, shown: Vec<String>| {
            found.push(Query {
                dashboard: text(&dashboard["uid"]).to_owned(),
                place: place.to_owned(),
                expression: interpolate(expression, values),
                shown,
            });
        };
        for panel in panels(&dashboard) {
            for target in each(&panel["targets"]) {
                let legend = text(&target["legendFormat"]);
                add(text(&panel["title"]), text(&target["expr"]), shown(legend));
            }
        }
        for annotation in each(&dashboard["annotations"]["list"]) {
            if annotation["builtIn"] == 1 {
                continue;
            }
            let place = format!("annotation {}", text(&annotation["name"]));
            add(&place, text(&annotation["expr"]), Vec::new());
        }
        for variable in each(&dashboard["templating"]["list"]) {
            if variable["type"] != "query" {
                continue;
            }
            let place = format!("variable {}", text(&variable["name"]));
            let query = text(&variable["query"]["query"]);
            let (call, rest) = query.split_once('(').unwrap();
            let inner = rest.strip_suffix(')').unwrap();
            match call {
                "query_result" => add(&place, inner, Vec::new()),
                "label_values" => {
                    let (selector, label) = inner.rsplit_once(',').unwrap();
                    add(&place, selector, vec![label.trim().to_owned()]);
                }
                other => panic!("{place}: {other}"),
            }
        }
    }
    found
}

#[test]
fn every_metric_and_label_exists() {
    let queries = queries(&[]);
    assert!(queries.len() > 100, "only {} queries found", queries.len());
    let mut problems = BTreeSet::new();
    for query in &queries {
        for problem in promql::problems(&query.expression, &query.shown, &[]) {
            problems.insert(format!("{problem}: {}, {}", query.dashboard, query.place));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Each goroutine counts at every shorter time too, so that a query must choose one.
#[test]
fn nothing_is_summed_over_at_least_seconds() {
    let mut seen = 0;
    for query in queries(&[]) {
        for selector in promql::read(&query.expression).unwrap().selectors {
            if selector.metric == "goroutine_waiting_goroutines" {
                let mut matchers = selector.matchers.iter();
                let chosen = matchers.any(|m| m.label == "at_least_seconds" && m.operator == "=");
                assert!(chosen, "{query:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "no query about long waits found");
}

#[test]
fn every_query_parses() {
    let rules: Vec<Value> = queries(&[])
        .iter()
        .map(|query| {
            let place = format!("{}, {}", query.dashboard, query.place);
            json!({"record": "checked", "expr": query.expression, "labels": {"place": place}})
        })
        .collect();
    let count = rules.len();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    // JSON is YAML.
    let text = json!({"groups": [{"name": "dashboards", "rules": rules}]}).to_string();
    std::fs::write(&file, text).unwrap();
    let Ok(output) = Command::new("promtool")
        .args(["check", "rules", "--lint=none"])
        .arg(&file)
        .output()
    else {
        return skip("no promtool; run tests/tools/install.sh");
    };
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{count} rules found")), "{said}");
}

#[test]
fn dashboards_have_what_a_dashboard_needs() {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        let uid = text(&dashboard["uid"]);
        assert_eq!(file, format!("{uid}.json"));
        assert!(uids.insert(uid.to_owned()), "{uid} twice");
        assert_eq!(dashboard["editable"], false, "{uid}");
        assert!(
            dashboard["id"].is_null() && dashboard["version"].is_u64(),
            "{uid}"
        );
        assert!(
            each(&dashboard["tags"]).any(|tag| tag == "goroutine"),
            "{uid}"
        );
        let variables: Vec<&str> = each(&dashboard["templating"]["list"])
            .map(|variable| text(&variable["name"]))
            .collect();
        assert!(
            variables.starts_with(&["datasource", "job", "instance"]),
            "{uid}: {variables:?}"
        );
        let annotations = each(&dashboard["annotations"]["list"]);
        assert_eq!(
            annotations.filter(|a| a["builtIn"] != 1).count(),
            2,
            "{uid}"
        );
        let mut ids = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = format!("{uid}, {}", panel["title"]);
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{title}: id twice"
            );
            assert!(!text(&panel["title"]).is_empty(), "{title}");
            assert!(
                text(&panel["description"]).ends_with('.'),
                "{title}: description"
            );
            let defaults = &panel["fieldConfig"]["defaults"];
            let unit = [&defaults["unit"], &panel["options"]["yAxis"]["unit"]]
                .iter()
                .any(|unit| !text(unit).is_empty());
            assert!(unit || defaults["mappings"].is_array(), "{title}: unit");
            let mut letters = BTreeSet::new();
            for target in each(&panel["targets"]) {
                assert!(
                    !text(&target["expr"]).trim().is_empty(),
                    "{title}: an empty query"
                );
                assert!(
                    letters.insert(text(&target["refId"])),
                    "{title}: refId twice"
                );
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
                let named =
                    target["format"] == "table" || !text(&target["legendFormat"]).is_empty();
                assert!(named, "{title}: no legend");
            }
            assert!(!letters.is_empty(), "{title}: no query");
        }
    }
    assert_eq!(uids.len(), 3, "{uids:?}");
}

/// All texts anywhere in a value.
fn texts(value: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => found.push(text.as_str()),
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.values()),
            _ => {}
        }
    }
    found
}

/// What stands between a prefix and the first character that cannot be part of a name.
fn after<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    let name = |rest: &'t str| {
        rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
            .next()
            .unwrap()
    };
    text.split(prefix).skip(1).map(name).collect()
}

#[test]
fn links_lead_to_dashboards_and_variables_that_exist() {
    let all = dashboards();
    let variables: BTreeMap<&str, BTreeSet<&str>> = all
        .iter()
        .map(|(_, dashboard)| {
            let list = each(&dashboard["templating"]["list"]);
            let names = list.map(|variable| text(&variable["name"])).collect();
            (text(&dashboard["uid"]), names)
        })
        .collect();
    let mut links = 0;
    for (_, dashboard) in &all {
        let here = &variables[text(&dashboard["uid"])];
        for written in texts(dashboard) {
            let mut uids = after(written, "/d/");
            let there = uids.pop().map(|uid| {
                links += 1;
                variables
                    .get(uid)
                    .unwrap_or_else(|| panic!("no dashboard {uid}: {written}"))
            });
            for name in after(written, "var-") {
                let exists = there.is_some_and(|there| there.contains(name));
                assert!(exists, "no variable {name} there: {written}");
            }
            for part in written.split("${").skip(1) {
                let name = part.split(['}', ':', '.']).next().unwrap();
                let exists = name.starts_with("__") || here.contains(name);
                assert!(exists, "no variable {name} here: {written}");
                let carried = part.starts_with(&format!("{name}:queryparam"));
                let taken = there.is_none_or(|there| there.contains(name));
                assert!(
                    !carried || name.starts_with("__") || taken,
                    "{name} is not taken: {written}"
                );
            }
        }
    }
    assert!(links > 10, "only {links} links found");
}

/// A column that is renamed or linked to comes from a query, and one that no query has would be empty.
#[test]
fn columns_of_tables_come_from_queries() {
    let mut tables = 0;
    for (_, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let Some(organize) = each(&panel["transformations"]).find(|t| t["id"] == "organize")
            else {
                continue;
            };
            tables += 1;
            let title = &panel["title"];
            let mut fields = BTreeSet::new();
            for target in each(&panel["targets"]) {
                fields.insert(format!("Value #{}", text(&target["refId"])));
                let names = promql::read(&interpolate(text(&target["expr"]), &[])).unwrap();
                fields.extend(names.labels.into_iter().chain(names.made));
            }
            let renamed = organize["options"]["renameByName"].as_object().unwrap();
            for field in renamed.keys() {
                assert!(fields.contains(field), "{title}: no column {field}");
            }
            let columns: BTreeSet<&str> = renamed.values().map(text).collect();
            for linked in texts(&panel["fieldConfig"])
                .iter()
                .flat_map(|t| after(t, "__data.fields."))
            {
                assert!(
                    columns.contains(linked),
                    "{title}: no column {linked} to link to"
                );
            }
            for over in each(&panel["fieldConfig"]["overrides"]) {
                let name = text(&over["matcher"]["options"]);
                assert!(columns.contains(name), "{title}: no column {name} to dress");
            }
            for sort in each(&panel["options"]["sortBy"]) {
                assert!(
                    columns.contains(text(&sort["displayName"])),
                    "{title}: {sort}"
                );
            }
        }
    }
    assert!(tables > 4, "only {tables} tables found");
}

#[test]
fn grafana_is_given_the_folder_that_the_documentation_mounts() {
    let provider = repository("examples/grafana/provisioning/dashboards/goroutine.yml");
    let provider = std::fs::read_to_string(provider).unwrap();
    let (_, path) = provider.split_once("    path: ").unwrap();
    let readme = std::fs::read_to_string(repository("dashboards/README.md")).unwrap();
    let mount = format!("$PWD/dashboards:{}:ro", path.trim());
    assert!(readme.contains(&mount), "no {mount}");
    for (_, dashboard) in dashboards() {
        let uid = format!("`{}`", text(&dashboard["uid"]));
        assert!(readme.contains(&uid), "no {uid}");
        for variable in each(&dashboard["templating"]["list"]).filter(|v| v["hide"] == 0) {
            let name = format!("`{}`", text(&variable["name"]));
            assert!(readme.contains(&name), "no {name}");
        }
    }
}
