//! A real Prometheus relabels what discovery would have found, by each recipe, and tells what it would ask for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use url::Url;

use super::manifests::rendered;
use super::recipes::{Recipe, of_monitor, recipes, with_targets};
use super::{each, text, yaml};
use crate::programs::{repository, until};
use crate::prometheus::{Prometheus, have};

/// A target as Prometheus would scrape it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    exporter: String,
    target: String,
    module: String,
    job: String,
}

/// Starts a Prometheus with these jobs, whose names are those of their files, and returns what it would ask for.
fn asked(jobs: &[(String, Value)]) -> Option<BTreeMap<String, Vec<Asked>>> {
    let named = jobs.iter().map(|(name, job)| {
        let mut job = job.clone();
        job["job_name"] = json!(name);
        // Nobody is there to answer.
        job["scrape_interval"] = json!("1h");
        job
    });
    let config = json!({ "scrape_configs": named.collect::<Vec<_>>() });
    let folder = tempfile::tempdir().unwrap();
    if !have("prometheus") {
        return None;
    }
    let prometheus = Prometheus::with(folder.path(), &config.to_string())
        .unwrap_or_else(|| panic!("Prometheus does not take {config}"));
    let found = until("targets of every job", || {
        let answer = prometheus.get("/api/v1/targets?state=active").json();
        let mut found = BTreeMap::new();
        for target in each(&answer["data"]["activeTargets"]) {
            let pool = found
                .entry(text(&target["scrapePool"]).to_owned())
                .or_insert_with(Vec::new);
            pool.push(read(target));
        }
        (found.len() == jobs.len()).then_some(found)
    });
    Some(found)
}

/// What is asked for, and that the labels tell the same.
fn read(target: &Value) -> Asked {
    let url = Url::parse(text(&target["scrapeUrl"])).unwrap();
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let labels = &target["labels"];
    assert_eq!(url.path(), "/probe");
    assert_eq!(labels["instance"], query["target"], "{target}");
    assert_eq!(labels["module"], query["module"], "{target}");
    Asked {
        exporter: format!("{}:{}", url.host_str().unwrap(), url.port().unwrap()),
        target: query["target"].clone(),
        module: query["module"].clone(),
        job: text(&labels["job"]).to_owned(),
    }
}

/// A pod as Kubernetes discovery describes it, with further labels.
fn pod(name: &str, ip: &str, more: &[(&str, &str)]) -> Value {
    let address = if ip.contains(':') {
        format!("[{ip}]:6060")
    } else {
        format!("{ip}:6060")
    };
    let own = [
        ("namespace", "shop"),
        ("pod_name", name),
        ("pod_ip", ip),
        ("pod_phase", "Running"),
        ("pod_container_name", "app"),
        ("pod_container_port_name", "pprof"),
        ("pod_label_app_kubernetes_io_name", "checkout"),
        ("pod_annotation_goroutine_exporter_port", "6060"),
        ("pod_annotationpresent_goroutine_exporter_port", "true"),
        ("endpoint_port_name", "pprof"),
        ("service_name", "checkout"),
        ("service_label_goroutine_exporter_probe", "true"),
    ];
    let labels = own
        .iter()
        .chain(more)
        .map(|(key, value)| (format!("__meta_kubernetes_{key}"), json!(value)));
    let mut labels: Map<String, Value> = labels.collect();
    labels.retain(|_, value| value != "");
    json!({ "targets": [address], "labels": labels })
}

fn pods() -> Value {
    let failed = [("pod_phase", "Failed")];
    let silent = [
        ("pod_annotationpresent_goroutine_exporter_port", ""),
        ("pod_annotation_goroutine_exporter_port", ""),
        ("pod_container_port_name", "http"),
        ("endpoint_port_name", "http"),
    ];
    let large = [
        ("pod_annotation_goroutine_exporter_module", "large"),
        ("service_annotation_goroutine_exporter_module", "large"),
    ];
    let mut twice = pod(
        "checkout-1",
        "10.0.0.7",
        &[
            ("pod_container_port_name", "web"),
            ("endpoint_port_name", "web"),
        ],
    );
    twice["targets"] = json!(["10.0.0.7:8080"]);
    json!([
        pod("checkout-1", "10.0.0.7", &[]),
        twice,
        pod("checkout-2", "fd00::7", &large),
        pod("checkout-3", "10.0.0.9", &failed),
        pod("checkout-4", "10.0.0.10", &silent),
    ])
}

fn of(file: &str) -> Recipe {
    let mut all = recipes().into_iter();
    all.find(|recipe| recipe.file == file)
        .unwrap_or_else(|| panic!("no {file}"))
}

fn with_pods(file: &str) -> (String, Value) {
    (file.to_owned(), with_targets(&of(file).job, &pods()))
}

#[test]
fn pods_become_targets_of_probes() {
    let one = "goroutine-exporter.monitoring.svc:16060";
    let files = [
        "prometheus/kubernetes_sd.yml",
        "kubernetes/monitoring/annotations/scrapeconfig.yaml",
        "kubernetes/monitoring/pods/podmonitor.yaml",
        "kubernetes/monitoring/services/servicemonitor.yaml",
        "opentelemetry/collector.yaml",
        "alloy/config.alloy",
    ];
    let Some(found) = asked(&files.map(with_pods)) else {
        return;
    };
    for file in files {
        let mut found = found[file].clone();
        found.sort();
        let expected =
            [("10.0.0.7:6060", "default"), ("[fd00::7]:6060", "large")].map(|(target, module)| {
                Asked {
                    exporter: one.to_owned(),
                    target: target.to_owned(),
                    module: module.to_owned(),
                    job: "checkout".to_owned(),
                }
            });
        assert_eq!(found, expected, "{file}");
    }
}

/// Behind the proxy a target says https, and its module has the token.
#[test]
fn pods_behind_the_proxy_are_asked_over_tls() {
    let folder = repository("examples/kubernetes/overlays/kube-rbac-proxy");
    let Some(objects) = rendered(&folder) else {
        return;
    };
    let is = |object: &&Value| object["kind"] == "PodMonitor";
    let monitor = of_monitor(objects.iter().find(is).unwrap());
    // What the pods of the overlay say of themselves.
    let secured = objects.iter().find_map(|object| {
        let template = &object["spec"]["template"]["metadata"]["annotations"];
        template["goroutine-exporter/scheme"]
            .is_string()
            .then_some(template)
    });
    let said = |key: &str| text(&secured.unwrap()[format!("goroutine-exporter/{key}")]).to_owned();
    let (scheme, module) = (said("scheme"), said("module"));
    let annotations = [
        ("pod_annotation_goroutine_exporter_scheme", scheme.as_str()),
        ("pod_annotation_goroutine_exporter_module", module.as_str()),
    ];
    let pods = json!([
        pod("a", "10.0.0.7", &[]),
        pod("b", "10.0.0.8", &annotations)
    ]);
    let Some(found) = asked(&[("proxy".to_owned(), with_targets(&monitor, &pods))]) else {
        return;
    };
    let mut found: Vec<_> = found["proxy"]
        .iter()
        .map(|one| (one.target.as_str(), one.module.as_str()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("10.0.0.7:6060", "default"),
            ("https://10.0.0.8:6060", "secured")
        ]
    );
    let config = yaml(&folder.join("exporter.yml"));
    assert!(config["modules"][module]["http"]["authorization"].is_object());
}

#[test]
fn services_of_consul_become_targets_of_probes() {
    let service = |more: &[(&str, &str)]| {
        let own = [
            ("service", "search"),
            ("address", "10.0.0.1"),
            ("service_port", "8080"),
        ];
        let labels = own
            .iter()
            .chain(more)
            .map(|(key, value)| (format!("__meta_consul_{key}"), json!(value)));
        json!({ "targets": ["10.9.9.9:1"], "labels": labels.collect::<Map<_, _>>() })
    };
    let groups = json!([
        service(&[]),
        service(&[("service_address", "10.0.0.2")]),
        service(&[
            ("service_address", "10.0.0.3"),
            ("service_metadata_pprof_port", "6060"),
            ("service_metadata_goroutine_module", "large")
        ]),
    ]);
    let file = "prometheus/consul_sd.yml";
    let Some(found) = asked(&[(file.to_owned(), with_targets(&of(file).job, &groups))]) else {
        return;
    };
    let mut found: Vec<_> = found[file]
        .iter()
        .map(|one| (one.target.as_str(), one.module.as_str(), one.job.as_str()))
        .collect();
    found.sort_unstable();
    let expected = [
        ("10.0.0.1:8080", "default", "search"),
        ("10.0.0.2:8080", "default", "search"),
        ("10.0.0.3:6060", "large", "search"),
    ];
    assert_eq!(found, expected);
}

/// Half and half, whoever hashes: two exporters each get their own, and two Prometheus servers theirs.
#[test]
fn hashes_spread_targets() {
    const MANY: usize = 60;
    let addresses: Vec<String> = (0..MANY)
        .map(|n| format!("10.1.{}.{}:6060", n % 7, n))
        .collect();
    let plain = json!([{ "targets": addresses }]);
    let group = |address: &String| {
        let mut pod = pod("a", address.split(':').next().unwrap(), &[]);
        pod["labels"]
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !key.contains("service"));
        pod
    };
    let pods = Value::Array(addresses.iter().map(group).collect());
    let shards = of("prometheus/shards.yml").job;
    // What README.md says to change for the other server.
    let text = shards.to_string();
    assert_eq!(text.matches(r#""regex":"0""#).count(), 1);
    let other: Value =
        serde_json::from_str(&text.replace(r#""regex":"0""#, r#""regex":"1""#)).unwrap();
    // The operator spreads by __tmp_hash, where that is set, and by the address otherwise.
    let mut shard = with_targets(&of("kubernetes/monitoring/pods/podmonitor.yaml").job, &pods);
    shard["relabel_configs"].as_array_mut().unwrap().extend([
        json!({ "source_labels": ["__address__", "__tmp_hash"], "target_label": "__tmp_hash", "regex": "(.+);", "replacement": "$1" }),
        json!({ "source_labels": ["__tmp_hash"], "target_label": "__tmp_hash", "modulus": 2, "action": "hashmod" }),
        json!({ "source_labels": ["__tmp_hash"], "regex": "0", "action": "keep" }),
    ]);
    let replicas = of("prometheus/replicas.yml").job;
    let jobs = [
        ("replicas", with_targets(&replicas, &plain)),
        (
            "pods",
            with_targets(
                &of("kubernetes/overlays/sharded/podmonitor.yaml").job,
                &pods,
            ),
        ),
        ("first", with_targets(&shards, &plain)),
        ("second", with_targets(&other, &plain)),
        ("operator", shard),
    ];
    let Some(found) = asked(&jobs.map(|(name, job)| (name.to_owned(), job))) else {
        return;
    };
    let targets = |name: &str, exporter: &str| -> BTreeSet<&str> {
        let there = found[name]
            .iter()
            .filter(|one| one.exporter.starts_with(exporter));
        there.map(|one| one.target.as_str()).collect()
    };
    let fair = |part: &BTreeSet<&str>| {
        assert!((MANY / 4..=MANY * 3 / 4).contains(&part.len()), "{part:?}");
    };
    let (zero, one) = (
        targets("replicas", "exporter-0.example"),
        targets("replicas", "exporter-1.example"),
    );
    fair(&zero);
    fair(&one);
    assert!(zero.is_disjoint(&one) && zero.len() + one.len() == MANY);
    let of_pod = |number: usize| {
        format!("goroutine-exporter-{number}.goroutine-exporter.monitoring.svc:16060")
    };
    assert_eq!(targets("pods", &of_pod(0)), zero);
    assert_eq!(targets("pods", &of_pod(1)), one);
    assert_eq!(targets("first", "127.0.0.1"), zero);
    assert_eq!(targets("second", "127.0.0.1"), one);
    fair(&targets("operator", "goroutine-exporter"));
}
