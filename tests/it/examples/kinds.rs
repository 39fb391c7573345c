//! Kinds of Kubernetes and of the Prometheus operator, as their schemas in `tests/data/schemas` have them.

use std::fs;
use std::io::{BufReader, Read as _};

use flate2::bufread::MultiGzDecoder;
use serde_json::{Value, json};

use super::{FOLDER_OF_KUBERNETES as FOLDER, files, text, within, yaml};
use crate::programs::repository;

const RULE: &str = "monitoring/exporter/prometheusrule.yaml";

/// Files that change others, and are no objects by themselves.
const PATCHES: [&str; 2] = [
    "components/sidecar/sidecar.yaml",
    "overlays/kube-rbac-proxy/token.yaml",
];

/// Schemas by `apiVersion kind`, strict about keys they do not know.
pub(super) struct Schemas(Value);

impl Schemas {
    pub(super) fn read() -> Self {
        let file = fs::File::open(repository("tests/data/schemas/kinds.json.gz")).unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(BufReader::new(file))
            .read_to_string(&mut text)
            .unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    /// The kinds that have a schema.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &str> {
        let names = self.0["kinds"].as_object().unwrap().keys();
        names.map(|name| name.split(' ').nth(1).unwrap())
    }

    /// What is wrong with an object.
    pub(super) fn faults(&self, object: &Value) -> Vec<String> {
        let name = format!("{} {}", text(&object["apiVersion"]), text(&object["kind"]));
        let Some(schema) = self.0["kinds"][&name].as_object() else {
            return vec![format!("{name} has no schema in tests/data/schemas")];
        };
        let mut schema = schema.clone();
        schema.insert("$defs".to_owned(), self.0["$defs"].clone());
        let validator = jsonschema::draft202012::new(&Value::Object(schema)).unwrap();
        let named = text(&object["metadata"]["name"]);
        validator
            .iter_errors(object)
            .map(|error| format!("{name} {named} at {}: {error}", error.instance_path()))
            .collect()
    }
}

/// What is wrong with the discovery of a scrape configuration of Prometheus, by the schema of the operator's `ScrapeConfig`.
pub(super) fn faults_of_discovery(name: &str, configs: &Value) -> Vec<String> {
    let name = match name {
        "kubernetes_sd_configs" => "kubernetesSDConfigs",
        "consul_sd_configs" => "consulSDConfigs",
        other => panic!("{other} has no schema"),
    };
    let metadata = json!({ "name": "any" });
    // The operator writes the first letter of a role large, and Prometheus small.
    let mut configs = configs.clone();
    for config in configs.as_array_mut().unwrap() {
        if let Some(role) = config.get_mut("role") {
            *role = json!(text(role).replacen('p', "P", 1));
        }
    }
    Schemas::read().faults(&json!({
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "ScrapeConfig",
        "metadata": metadata,
        "spec": { name: configs },
    }))
}

/// Several YAML documents.
pub(super) fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect()
}

/// Without kubectl, too: what is no patch is good as it stands, and each file is in the kustomization beside it.
#[test]
fn objects_are_good_as_they_stand() {
    let schemas = Schemas::read();
    let mut seen = 0;
    for file in files(FOLDER) {
        let name = within(&file, FOLDER);
        let is_one = name.ends_with(".yaml") && !name.ends_with("kustomization.yaml");
        if !is_one {
            continue;
        }
        let beside = fs::read_to_string(file.with_file_name("kustomization.yaml")).unwrap();
        let own = file.file_name().unwrap().to_str().unwrap();
        assert!(beside.contains(own), "nobody uses {name}");
        if PATCHES.contains(&name.as_str()) {
            continue;
        }
        for object in documents(&fs::read_to_string(&file).unwrap()) {
            assert_eq!(schemas.faults(&object), Vec::<String>::new(), "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 18, "only {seen} objects found");
    assert!(
        PATCHES
            .iter()
            .all(|name| yaml(&repository(FOLDER).join(name)).is_object())
    );
}

/// A schema that takes anything would hold nothing.
#[test]
fn schemas_are_strict() {
    let schemas = Schemas::read();
    let check = |file: &str, path: &[&str], value: Value| {
        let mut object =
            documents(&fs::read_to_string(repository(FOLDER).join(file)).unwrap()).remove(0);
        assert_eq!(schemas.faults(&object), Vec::<String>::new());
        let (last, way) = path.split_last().unwrap();
        let mut place = &mut object;
        for key in way {
            place = match key.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[*key],
            };
        }
        place[*last] = value;
        assert_ne!(
            schemas.faults(&object),
            Vec::<String>::new(),
            "{file} {path:?}"
        );
    };
    let container = ["spec", "template", "spec", "containers", "0"];
    let with = |more: &[&'static str]| [&container[..], more].concat();
    check("base/deployment.yaml", &with(&["image_"]), json!("x"));
    check(
        "base/deployment.yaml",
        &with(&["securityContext", "readOnly"]),
        json!(true),
    );
    check(
        "base/deployment.yaml",
        &with(&["ports"]),
        json!([{ "containerPort": "http" }]),
    );
    check("base/deployment.yaml", &["spec", "replicas"], json!("one"));
    check("base/deployment.yaml", &["metadata", "label"], json!({}));
    check("base/networkpolicy.yaml", &["spec", "egres"], json!([]));
    let endpoint = ["spec", "podMetricsEndpoints", "0"];
    let monitor = "monitoring/pods/podmonitor.yaml";
    check(
        monitor,
        &[&endpoint[..], &["relabeling"]].concat(),
        json!([]),
    );
    check(
        monitor,
        &[&endpoint[..], &["relabelings", "0", "action"]].concat(),
        json!("hash"),
    );
    check(monitor, &["spec", "sampleLimit"], json!("500"));
    let config = "monitoring/annotations/scrapeconfig.yaml";
    check(
        config,
        &["spec", "kubernetesSDConfigs", "0", "role"],
        json!("Pods"),
    );
    check(
        RULE,
        &["spec", "groups", "0", "rules", "0", "expression"],
        json!("1"),
    );
}

/// Makes the operator's rules of Prometheus' own, line by line: comments and all.
#[test]
fn the_rules_of_the_operator_are_the_rules() {
    let rules = fs::read_to_string(repository(
        "examples/prometheus/rules/goroutine_exporter.rules.yml",
    ))
    .unwrap();
    let file = repository(FOLDER).join(RULE);
    let there = fs::read_to_string(&file).unwrap();
    let (head, _) = there.split_once("\nspec:\n").unwrap();
    let (_, groups) = rules.split_once("\ngroups:\n").unwrap();
    let mut made = format!("{head}\nspec:\n  groups:\n");
    for line in groups.lines() {
        made += &if line.is_empty() {
            "\n".to_owned()
        } else {
            format!("  {line}\n")
        };
    }
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        fs::write(&file, &made).unwrap();
        return;
    }
    assert!(
        made == there,
        "{} is not what is made of the rules: UPDATE_EXAMPLES=1",
        within(&file, ".")
    );
    let parsed = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
    assert_eq!(parsed(&there)["spec"]["groups"], parsed(&rules)["groups"]);
}
