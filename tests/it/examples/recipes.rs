//! The scrape configurations of all examples in one form, Prometheus' own, and what Prometheus says of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::{alloy, each, files, kinds, text, within, yaml};
use crate::programs::repository;
use crate::prometheus::have;

/// A job that probes, by the name of its file.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) file: String,
    pub(super) job: Value,
}

/// How Prometheus can be told where to look.
const DISCOVERY: [&str; 5] = [
    "static_configs",
    "file_sd_configs",
    "http_sd_configs",
    "kubernetes_sd_configs",
    "consul_sd_configs",
];

/// Those that Debian's Prometheus is built without.
const NOT_IN_DEBIAN: [&str; 2] = ["kubernetes_sd_configs", "consul_sd_configs"];

/// The configurations of Prometheus, without lists of targets.
pub(super) fn configurations() -> Vec<(String, Value)> {
    let found = files("examples/prometheus").into_iter();
    let found = found.map(|path| (within(&path, "examples"), path));
    found
        .filter(|(name, _)| name.matches('/').count() == 1 && name.ends_with(".yml"))
        .map(|(name, path)| (name, yaml(&path)))
        .collect()
}

/// `sampleLimit` as `sample_limit`.
fn snake(key: &str) -> String {
    let mut made = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            made.push('_');
        }
        made.push(c.to_ascii_lowercase());
    }
    made
}

/// The same for each key of an object; actions are in small letters.
fn snake_keys(object: &Value) -> Map<String, Value> {
    let pair = |(key, value): (&String, &Value)| {
        let value = if key == "action" {
            json!(text(value).to_ascii_lowercase())
        } else {
            value.clone()
        };
        (snake(key), value)
    };
    object.as_object().unwrap().iter().map(pair).collect()
}

/// The limits that the operator passes on as they are.
fn limits(spec: &Value) -> impl Iterator<Item = (String, Value)> {
    let limits = spec
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| key.ends_with("Limit"));
    limits.map(|(key, value)| (snake(key), value.clone()))
}

/// What the operator makes of a `ScrapeConfig`.
fn of_scrape_config(object: &Value) -> Value {
    let spec = &object["spec"];
    let rules = each(&spec["relabelings"])
        .map(snake_keys)
        .map(Value::Object);
    let mut job: Map<String, Value> = limits(spec).collect();
    for key in ["jobName", "metricsPath", "params", "scrapeInterval"] {
        job.insert(snake(key), spec[key].clone());
    }
    job.insert("relabel_configs".to_owned(), rules.collect());
    job.insert(
        "kubernetes_sd_configs".to_owned(),
        json!([{ "role": "pod" }]),
    );
    Value::Object(job)
}

/// What the operator makes of a `PodMonitor` or `ServiceMonitor`: rules of its own, then those of the endpoint. Source:
/// `generatePodMonitorConfig` and `generateServiceMonitorConfig` in `pkg/prometheus/promcfg.go` of v0.93.0.
pub(super) fn of_monitor(object: &Value) -> Value {
    let spec = &object["spec"];
    let pods = object["kind"] == "PodMonitor";
    let endpoint = &spec[if pods {
        "podMetricsEndpoints"
    } else {
        "endpoints"
    }][0];
    let (of, port) = if pods {
        ("pod", "pod_container_port_name")
    } else {
        ("service", "endpoint_port_name")
    };
    let label = |key: &str| {
        let key: String = key
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        format!("__meta_kubernetes_{of}_label_{key}")
    };
    let from = |source: &str, target: &str| json!({ "source_labels": [format!("__meta_kubernetes_{source}")], "target_label": target });
    let mut rules = vec![
        json!({ "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)", "action": "drop" }),
    ];
    for (key, value) in spec["selector"]["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        rules.push(json!({ "source_labels": [label(key)], "regex": value, "action": "keep" }));
    }
    rules.push(json!({
        "source_labels": [format!("__meta_kubernetes_{port}")], "regex": endpoint["port"], "action": "keep",
    }));
    rules.extend([
        from("namespace", "namespace"),
        from("pod_container_name", "container"),
        from("pod_name", "pod"),
    ]);
    if pods {
        let name = format!("{}/{}", "monitoring", text(&object["metadata"]["name"]));
        rules.push(json!({ "target_label": "job", "replacement": name }));
    } else {
        rules.extend([from("service_name", "service"), from("service_name", "job")]);
    }
    if let Some(key) = spec["jobLabel"].as_str() {
        rules
            .push(json!({ "source_labels": [label(key)], "regex": "(.+)", "target_label": "job" }));
    }
    rules.push(json!({ "target_label": "endpoint", "replacement": endpoint["port"] }));
    rules.extend(
        each(&endpoint["relabelings"])
            .map(snake_keys)
            .map(Value::Object),
    );
    let mut job: Map<String, Value> = limits(spec).collect();
    job.insert("job_name".to_owned(), json!("monitor"));
    job.insert("metrics_path".to_owned(), endpoint["path"].clone());
    job.insert("scrape_interval".to_owned(), endpoint["interval"].clone());
    if let Some(params) = endpoint.get("params") {
        job.insert("params".to_owned(), params.clone());
    }
    job.insert("relabel_configs".to_owned(), Value::Array(rules));
    job.insert(
        "kubernetes_sd_configs".to_owned(),
        json!([{ "role": "pod" }]),
    );
    Value::Object(job)
}

/// What the collector's receiver hands to Prometheus' code: the configuration with `$$` read as `$`.
fn of_collector(config: &Value) -> Value {
    let written = config["receivers"]["prometheus"]["config"].to_string();
    let read = written.replace("$$", "\u{0}");
    assert!(
        !read.contains('$'),
        "the collector takes a single $ for a variable of its own"
    );
    serde_json::from_str(&read.replace('\u{0}', "$"))
        .unwrap_or_else(|error| panic!("{error}: {read}"))
}

fn collector() -> Value {
    yaml(&repository("examples/opentelemetry/collector.yaml"))
}

/// Whether a job asks for a probe.
fn probes(job: &Value) -> bool {
    job["metrics_path"] == "/probe"
}

/// Every job of every example that probes.
pub(super) fn recipes() -> Vec<Recipe> {
    let mut found = Vec::new();
    let mut add = |file: &str, job: Value| {
        found.push(Recipe {
            file: file.to_owned(),
            job,
        });
    };
    for (file, config) in configurations() {
        each(&config["scrape_configs"])
            .filter(|job| probes(job))
            .for_each(|job| add(&file, job.clone()));
    }
    for path in files("examples/kubernetes") {
        let file = within(&path, "examples");
        // Of several documents none is a monitor.
        let Ok(object) = serde_yaml::from_str::<Value>(&fs::read_to_string(&path).unwrap()) else {
            continue;
        };
        let job = match text(&object["kind"]) {
            "PodMonitor" | "ServiceMonitor" => of_monitor(&object),
            "ScrapeConfig" => of_scrape_config(&object),
            _ => continue,
        };
        if probes(&job) {
            add(&file, job);
        }
    }
    for job in each(&of_collector(&collector())["scrape_configs"]).filter(|job| probes(job)) {
        add("opentelemetry/collector.yaml", job.clone());
    }
    add("alloy/config.alloy", alloy::job());
    assert!(found.len() >= 13, "{found:#?}");
    found
}

/// The job with targets written down in place of those it would find.
pub(super) fn with_targets(job: &Value, targets: &Value) -> Value {
    let mut job = job.as_object().unwrap().clone();
    let before = job.len();
    job.retain(|key, _| !DISCOVERY.contains(&key.as_str()));
    assert_eq!(job.len() + 1, before, "{job:?}");
    job.insert("static_configs".to_owned(), targets.clone());
    Value::Object(job)
}

/// Whether promtool takes a configuration, and what it says.
fn promtool(file: &Path, folder: &Path) -> (bool, String) {
    let output = Command::new("promtool")
        .args(["check", "config"])
        .arg(file)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Where this promtool knows no Kubernetes and no Consul, their sections are held to the operator's schema of them.
fn loads(name: &str, config: &Value, file: &Path, folder: &Path) {
    let (well, said) = promtool(file, folder);
    if well {
        return;
    }
    let unknown = NOT_IN_DEBIAN
        .iter()
        .any(|key| said.contains(&format!("field {key} not found")));
    assert!(unknown, "{name}: {said}");
    let mut config = config.clone();
    for job in config["scrape_configs"].as_array_mut().unwrap() {
        for key in NOT_IN_DEBIAN {
            if let Some(configs) = job.get(key) {
                assert_eq!(
                    kinds::faults_of_discovery(key, configs),
                    Vec::<String>::new(),
                    "{name}"
                );
                *job = with_targets(job, &json!([]));
            }
        }
    }
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("prometheus.yml");
    for rules in config["rule_files"].as_array_mut().into_iter().flatten() {
        *rules = json!(folder.join(text(rules)));
    }
    fs::write(&file, config.to_string()).unwrap();
    let (well, said) = promtool(&file, folder);
    assert!(well, "{name}: {said}");
}

#[test]
fn promtool_takes_every_configuration() {
    if !have("promtool") {
        return;
    }
    let folder = repository("examples/prometheus");
    for (name, config) in configurations() {
        loads(&name, &config, &repository("examples").join(&name), &folder);
    }
    // The others, in Prometheus' form.
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("prometheus.yml");
    for recipe in recipes() {
        let config = json!({ "scrape_configs": [recipe.job] });
        fs::write(&file, config.to_string()).unwrap();
        loads(&recipe.file, &config, &file, &folder);
    }
    let whole = of_collector(&collector());
    fs::write(&file, whole.to_string()).unwrap();
    loads("opentelemetry/collector.yaml", &whole, &file, &folder);
}

/// The lists of targets that files name are there.
#[test]
fn files_of_targets_are_lists_of_groups() {
    let mut seen = 0;
    for path in files("examples/prometheus/targets") {
        for group in each(&yaml(&path)) {
            let group = group.as_object().unwrap();
            assert!(
                group
                    .keys()
                    .all(|key| ["targets", "labels"].contains(&key.as_str()))
            );
            assert!(
                each(&group["targets"]).count() > 0
                    && each(&group["targets"]).all(Value::is_string)
            );
            seen += 1;
        }
    }
    assert!(seen > 1);
}

/// Pipelines are made of what is configured, and everything configured is in one.
#[test]
fn the_collector_has_what_its_pipelines_name() {
    let config = collector();
    let pipelines = config["service"]["pipelines"].as_object().unwrap();
    for section in ["receivers", "processors", "exporters"] {
        let mut named: Vec<&str> = pipelines
            .values()
            .flat_map(|pipeline| each(&pipeline[section]))
            .map(text)
            .collect();
        named.sort_unstable();
        let there: Vec<&String> = config[section].as_object().unwrap().keys().collect();
        assert_eq!(named, there, "{section}");
    }
    let known = ["receivers", "processors", "exporters", "service"];
    assert!(
        config
            .as_object()
            .unwrap()
            .keys()
            .all(|key| known.contains(&key.as_str()))
    );
    assert_eq!(
        config["exporters"]["otlp"]["endpoint"],
        "${env:OTLP_ENDPOINT}"
    );
}

#[test]
fn grafana_asks_the_prometheus_it_is_told_of() {
    let file = repository("examples/grafana/provisioning/datasources/prometheus.yml");
    let source = yaml(&file)["datasources"][0].clone();
    assert_eq!(source["type"], "prometheus");
    let variable = text(&source["url"]).strip_prefix('$').unwrap();
    let readme = fs::read_to_string(repository("dashboards/README.md")).unwrap();
    assert!(readme.contains(&format!("-e {variable}=")), "no {variable}");
    let main = yaml(&repository("examples/prometheus/prometheus.yml"));
    assert_eq!(
        source["jsonData"]["timeInterval"],
        main["global"]["scrape_interval"]
    );
}
