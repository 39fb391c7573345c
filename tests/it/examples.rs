//! Every file under `examples`: somebody looks at each kind of them, and who does is written down here.

mod alloy;
mod kinds;
mod limits;
mod manifests;
mod recipes;
mod relabelling;
mod replicas;
mod shards;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::programs::repository;

/// Manifests and kustomizations.
const FOLDER_OF_KUBERNETES: &str = "examples/kubernetes";

/// Where files are, how their names end, and the test that holds what is in them: a file of the repository, and a function
/// there. The first line that fits counts. A new kind of file needs a line, and each line a file.
const HELD_BY: &[(&str, &str, &str, &str)] = &[
    (
        "",
        "README.md",
        "tests/it/examples.rs",
        "links_lead_to_what_is_there",
    ),
    (
        "alertmanager/",
        "",
        "tests/it/routing.rs",
        "alertmanager_routes_by_severity",
    ),
    (
        "alloy/",
        ".alloy",
        "tests/it/examples/alloy.rs",
        "alloy_knows_every_word",
    ),
    (
        "ci/leak-gate.yml",
        "",
        "tests/it/gate.rs",
        "the_workflow_runs_what_is_there",
    ),
    (
        "ci/gate.sh",
        "",
        "tests/it/gate.rs",
        "the_gate_fails_on_the_leak_and_passes_on_its_cure",
    ),
    ("ci/mapkeys/", "", "tests/it/gate.rs", "mapkeys_with"),
    (
        "ci/service/",
        "",
        "tests/it/gate.rs",
        "the_gate_fails_on_the_leak_and_passes_on_its_cure",
    ),
    (
        "config/",
        ".yml",
        "src/config/tests.rs",
        "every_example_can_be_used",
    ),
    (
        "discovery/exporter.yml",
        "",
        "tests/it/docs.rs",
        "commands_of_readme_are_tested",
    ),
    (
        "discovery/targets/",
        "",
        "tests/it/docs.rs",
        "commands_of_readme_are_tested",
    ),
    (
        "docker/",
        "ockerfile",
        "tests/it/packaging.rs",
        "dockerfiles_pass_the_linter",
    ),
    (
        "docker/Dockerfile.dockerignore",
        "",
        "tests/it/packaging.rs",
        "images_hold_one_program_of_nobody",
    ),
    (
        "docker/compose.yml",
        "",
        "tests/it/packaging.rs",
        "the_stack_is_what_compose_reads",
    ),
    (
        "docker/exporter.yml",
        "",
        "tests/it/packaging.rs",
        "configurations_of_the_stack_can_be_used",
    ),
    (
        "docker/prometheus.yml",
        "",
        "tests/it/packaging.rs",
        "configurations_of_the_stack_can_be_used",
    ),
    (
        "go/leaks/",
        ".go",
        "tests/it/leaks.rs",
        "the_table_of_the_leaks_is_what_is_found",
    ),
    (
        "go/incident/exporter.yml",
        "",
        "tests/it/incident.rs",
        "the_surge_is_counted_as_the_service_counts_it",
    ),
    (
        "go/incident/run",
        "",
        "tests/it/incident.rs",
        "one_command_tells_the_incident",
    ),
    (
        "go/structmap/",
        ".go",
        "tests/it/structmap.rs",
        "structs_become_the_same_maps_with_an_old_go",
    ),
    (
        "go/structmap/",
        ".svg",
        "tests/it/structmap.rs",
        "figures_of_a_run_are_in_the_readme",
    ),
    ("go/", ".go", "tests/it/go.rs", "start"),
    ("go/go.mod", "", "tests/it/go.rs", "start"),
    (
        "grafana/provisioning/dashboards/",
        ".yml",
        "tests/it/dashboards.rs",
        "grafana_is_given_the_folder_that_the_documentation_mounts",
    ),
    (
        "grafana/provisioning/datasources/",
        ".yml",
        "tests/it/examples/recipes.rs",
        "grafana_asks_the_prometheus_it_is_told_of",
    ),
    (
        "kubernetes/",
        "exporter.yml",
        "tests/it/examples/manifests.rs",
        "exporters_in_the_cluster_fit_their_containers",
    ),
    (
        "kubernetes/",
        "kustomization.yaml",
        "tests/it/examples/manifests.rs",
        "kustomizations_render_to_good_objects",
    ),
    (
        "kubernetes/",
        ".yaml",
        "tests/it/examples/kinds.rs",
        "objects_are_good_as_they_stand",
    ),
    (
        "opentelemetry/",
        ".yaml",
        "tests/it/examples/recipes.rs",
        "the_collector_has_what_its_pipelines_name",
    ),
    (
        "prometheus/rules/tests/",
        "_test.yml",
        "tests/it/rules.rs",
        "every_file_of_rule_tests_is_run",
    ),
    (
        "prometheus/rules/",
        ".rules.yml",
        "tests/it/rules.rs",
        "promtool_accepts_rules_and_configuration",
    ),
    (
        "prometheus/metrics.schema.json",
        "",
        "tests/it/published.rs",
        "the_contract_has_what_the_code_declares",
    ),
    (
        "prometheus/sample.",
        ".txt",
        "tests/it/published.rs",
        "samples_are_of_a_run",
    ),
    (
        "prometheus/targets/",
        ".yml",
        "tests/it/examples/recipes.rs",
        "promtool_takes_every_configuration",
    ),
    (
        "prometheus/",
        ".yml",
        "tests/it/examples/recipes.rs",
        "promtool_takes_every_configuration",
    ),
    (
        "systemd/",
        "",
        "tests/it/systemd.rs",
        "the_units_of_the_examples_are_good",
    ),
    (
        "web/",
        ".yml",
        "tests/it/docs.rs",
        "commands_of_readme_are_tested",
    ),
];

/// Every file below a folder of the repository, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as it is written in the repository.
fn within(path: &Path, folder: &str) -> String {
    let path = path.strip_prefix(repository(folder)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A YAML file as data.
fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The elements of a list; none of what is no list.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The text of a value that is one.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn every_example_is_held_by_a_test() {
    let mut used = BTreeSet::new();
    let mut nobody = Vec::new();
    for file in files("examples") {
        let path = within(&file, "examples");
        let line = HELD_BY
            .iter()
            .find(|(begin, end, _, _)| path.starts_with(begin) && path.ends_with(end));
        match line {
            Some(line) => drop(used.insert(line)),
            None => nobody.push(path),
        }
    }
    assert!(nobody.is_empty(), "no test takes {nobody:#?}");
    let idle: Vec<_> = HELD_BY.iter().filter(|line| !used.contains(line)).collect();
    assert!(idle.is_empty(), "no file for {idle:#?}");
    for (_, _, file, function) in HELD_BY {
        let source = fs::read_to_string(repository(file)).unwrap();
        assert!(
            source.contains(&format!("fn {function}")),
            "no {function} in {file}"
        );
    }
}

/// Links of the READMEs, and paths in backticks whose first folder is one beside the README or of the repository.
#[test]
fn links_lead_to_what_is_there() {
    let root = repository(".");
    let mut seen = 0;
    for file in files("examples") {
        if !file.ends_with("README.md") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let folder = file.parent().unwrap();
        let links = text.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
        let quoted = text.split('`').skip(1).step_by(2);
        let quoted = quoted.filter_map(|word| {
            let (first, _) = word.split_once('/')?;
            let begins = |folder: &&Path| !first.is_empty() && folder.join(first).is_dir();
            let within = [folder, &root].into_iter().find(begins)?;
            (!word.contains(['*', ' '])).then(|| within.join(word))
        });
        for path in links.map(|link| folder.join(link)).chain(quoted) {
            assert!(path.exists(), "{}: {}", file.display(), path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} links found");
}
