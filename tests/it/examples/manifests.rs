//! `examples/kubernetes`: rendered by kustomize as kubectl has it, each object held to the schema of its kind and to what
//! it refers to.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use goroutine_exporter::server::listen::DRAIN;
use serde_json::{Value, json};

use super::kinds::{Schemas, documents};
use super::{FOLDER_OF_KUBERNETES as FOLDER, each, files, text, yaml};
use crate::certificates::Authority;
use crate::programs::{repository, run, skip};

/// The kustomizations that stand for themselves.
fn kustomizations() -> Vec<PathBuf> {
    let is = |path: &PathBuf| {
        path.ends_with("kustomization.yaml") && yaml(path)["kind"] == "Kustomization"
    };
    let found = files(FOLDER).into_iter().filter(is);
    let found = found.chain([repository("dashboards/kustomization.yaml")]);
    found
        .map(|path| path.parent().unwrap().to_owned())
        .collect()
}

/// What kubectl makes of a kustomization; nothing where there is no kubectl.
pub(super) fn rendered(folder: &PathBuf) -> Option<Vec<Value>> {
    let cache = std::env::var_os("GOROUTINE_EXPORTER_CACHE")
        .map_or_else(|| repository(".cache"), PathBuf::from);
    let installed = cache.join("bin/kubectl");
    // Where install.sh put one, the other is too old.
    let programs = [installed, PathBuf::from("kubectl")];
    let output = programs.iter().find_map(|program| {
        let mut command = Command::new(program);
        command.arg("kustomize").arg(folder).output().ok()
    });
    let Some(output) = output else {
        skip("no kubectl; run tests/tools/install.sh");
        return None;
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", folder.display());
    // What is deprecated is said there.
    assert_eq!(error, "", "{}", folder.display());
    Some(documents(&String::from_utf8(output.stdout).unwrap()))
}

/// The template of an object's pods.
fn pod(object: &Value) -> Option<&Value> {
    let template = &object["spec"]["template"];
    template["spec"].is_object().then_some(template)
}

/// The containers of a pod, sidecars included.
fn containers(pod: &Value) -> Vec<&Value> {
    let spec = &pod["spec"];
    each(&spec["initContainers"])
        .chain(each(&spec["containers"]))
        .collect()
}

/// The containers that are the exporter.
fn exporters(objects: &[Value]) -> Vec<(&Value, &Value)> {
    let pods = objects.iter().filter_map(pod);
    pods.flat_map(|pod| containers(pod).into_iter().map(move |one| (pod, one)))
        .filter(|(_, one)| one["name"] == "goroutine-exporter")
        .collect()
}

fn named<'o>(objects: &'o [Value], kind: &str, name: &str, namespace: &Value) -> Option<&'o Value> {
    objects.iter().find(|object| {
        let metadata = &object["metadata"];
        object["kind"] == kind && metadata["name"] == name && metadata["namespace"] == *namespace
    })
}

/// Whether labels are among others; no labels are among any, which is never meant here.
fn among(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value)
    })
}

/// What an object refers to is there, and selectors hit pods of ours.
fn refers_well(objects: &[Value], object: &Value) {
    let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
    let (spec, namespace) = (&object["spec"], &object["metadata"]["namespace"]);
    let hits = |selector: &Value| {
        let pods = objects
            .iter()
            .filter(|other| other["metadata"]["namespace"] == *namespace);
        let mut pods = pods.filter_map(pod);
        assert!(
            pods.any(|pod| among(selector, &pod["metadata"]["labels"])),
            "{what} selects no pod"
        );
    };
    match text(&object["kind"]) {
        "Service" => hits(&spec["selector"]),
        "PodDisruptionBudget" => hits(&spec["selector"]["matchLabels"]),
        "NetworkPolicy" => hits(&spec["podSelector"]["matchLabels"]),
        "HorizontalPodAutoscaler" => {
            let target = &spec["scaleTargetRef"];
            let scaled = named(
                objects,
                text(&target["kind"]),
                text(&target["name"]),
                namespace,
            );
            assert!(
                scaled.unwrap()["spec"]["replicas"].is_null(),
                "{what} and its target both count"
            );
        }
        "StatefulSet" => {
            let service = named(objects, "Service", text(&spec["serviceName"]), namespace);
            assert_eq!(service.unwrap()["spec"]["clusterIP"], "None", "{what}");
        }
        _ => {}
    }
    let Some(pod) = pod(object) else { return };
    let labels = &pod["metadata"]["labels"];
    assert!(
        among(&spec["selector"]["matchLabels"], labels),
        "{what}: {labels}"
    );
    let account = text(&pod["spec"]["serviceAccountName"]);
    if !account.is_empty() {
        assert!(
            named(objects, "ServiceAccount", account, namespace).is_some(),
            "{what}: {account}"
        );
    }
    let claims = each(&spec["volumeClaimTemplates"]).map(|claim| &claim["metadata"]["name"]);
    let volumes: Vec<_> = each(&pod["spec"]["volumes"])
        .map(|volume| &volume["name"])
        .chain(claims)
        .collect();
    for container in containers(pod) {
        for mount in each(&container["volumeMounts"]) {
            assert!(volumes.contains(&&mount["name"]), "{what}: {mount}");
        }
        let ports: Vec<_> = each(&container["ports"])
            .map(|port| &port["name"])
            .collect();
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let port = &container[probe]["httpGet"]["port"];
            assert!(
                port.is_null() || ports.contains(&port),
                "{what}: {probe} at {port}"
            );
        }
    }
}

/// Services of ours lead to a port that a container has, and so does what monitors look for.
fn ports_exist(objects: &[Value]) {
    let pods: Vec<_> = objects.iter().filter_map(pod).collect();
    let has = |name: &Value| {
        let mut ports = pods
            .iter()
            .flat_map(|pod| containers(pod))
            .flat_map(|one| each(&one["ports"]));
        ports.any(|port| port["name"] == *name)
    };
    for object in objects {
        let ports: Vec<&Value> = match text(&object["kind"]) {
            "Service" => each(&object["spec"]["ports"])
                .map(|port| &port["targetPort"])
                .collect(),
            "NetworkPolicy" => each(&object["spec"]["ingress"])
                .flat_map(|rule| each(&rule["ports"]))
                .map(|port| &port["port"])
                .collect(),
            _ => continue,
        };
        assert!(!ports.is_empty());
        assert!(ports.iter().all(|port| has(port)), "{object}");
    }
}

/// What monitors select is there, where the kustomization has such objects, and so is the exporter that they ask.
fn monitors_fit(objects: &[Value]) {
    let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let (services, pods): (Vec<_>, Vec<_>) = (
        of("Service").collect(),
        objects.iter().filter_map(pod).collect(),
    );
    for monitor in of("PodMonitor").chain(of("ServiceMonitor")) {
        let what = &monitor["metadata"]["name"];
        let spec = &monitor["spec"];
        let selector = &spec["selector"]["matchLabels"];
        let endpoints: Vec<_> = each(&spec["podMetricsEndpoints"])
            .chain(each(&spec["endpoints"]))
            .collect();
        // Those that select everything look for pods of others.
        if monitor["kind"] == "ServiceMonitor" && !services.is_empty() {
            let service = services
                .iter()
                .find(|one| among(selector, &one["metadata"]["labels"]));
            let service = service.unwrap_or_else(|| panic!("{what} selects no Service"));
            let mut ports = each(&service["spec"]["ports"]);
            assert!(
                ports.any(|port| port["name"] == endpoints[0]["port"]),
                "{what}"
            );
        } else if selector.is_object() && !pods.is_empty() {
            let pod = pods
                .iter()
                .find(|one| among(selector, &one["metadata"]["labels"]));
            let pod = pod.unwrap_or_else(|| panic!("{what} selects no pod"));
            let mut ports = containers(pod)
                .into_iter()
                .flat_map(|one| each(&one["ports"]));
            assert!(
                ports.any(|port| port["name"] == endpoints[0]["port"]),
                "{what}"
            );
        }
        for rule in endpoints.iter().flat_map(|one| each(&one["relabelings"])) {
            let Some(asked) = rule["replacement"]
                .as_str()
                .filter(|_| rule["targetLabel"] == "__address__")
            else {
                continue;
            };
            let Some(service) = services.first() else {
                continue;
            };
            let (name, namespace) = (
                text(&service["metadata"]["name"]),
                text(&service["metadata"]["namespace"]),
            );
            let port = &service["spec"]["ports"][0]["port"];
            let host = format!("{name}.{namespace}.svc:{port}");
            match of("StatefulSet").next() {
                None => assert_eq!(asked, host, "{what}"),
                Some(set) => {
                    assert_eq!(
                        asked,
                        format!("{}-$1.{host}", text(&set["metadata"]["name"])),
                        "{what}"
                    );
                    let mut rules = endpoints.iter().flat_map(|one| each(&one["relabelings"]));
                    let hash = rules.find(|rule| rule["action"] == "HashMod").unwrap();
                    assert_eq!(hash["modulus"], set["spec"]["replicas"], "{what}");
                }
            }
        }
    }
}

/// The exporter runs with no more rights than the strictest of Kubernetes' own standards for pods leaves.
fn is_restricted(pod: &Value, container: &Value) {
    let own = &container["securityContext"];
    let context = |key: &str| match &own[key] {
        Value::Null => &pod["spec"]["securityContext"][key],
        own => own,
    };
    assert_eq!(context("runAsNonRoot"), true, "{container}");
    assert!(
        context("runAsUser").as_u64().is_some_and(|user| user > 0),
        "{container}"
    );
    assert_eq!(
        context("seccompProfile")["type"],
        "RuntimeDefault",
        "{container}"
    );
    assert_eq!(own["allowPrivilegeEscalation"], false, "{container}");
    assert_eq!(own["readOnlyRootFilesystem"], true, "{container}");
    assert_eq!(
        own["capabilities"],
        json!({ "drop": ["ALL"] }),
        "{container}"
    );
    let resources = &container["resources"];
    for what in [
        &resources["requests"]["cpu"],
        &resources["requests"]["memory"],
        &resources["limits"]["memory"],
    ] {
        assert!(what.is_string(), "{resources}");
    }
}

/// Its flags exist and go together: without the files that the flags name, it checks them and ends.
fn flags_are_good(container: &Value) {
    let mut flags: Vec<&str> = each(&container["args"]).map(text).collect();
    flags
        .retain(|flag| !flag.starts_with("--config.file=") && !flag.starts_with("--storage.path="));
    flags.push("--config.check");
    let output = run(&flags, b"");
    assert!(output.status.success(), "{flags:?}: {output:?}");
}

/// It ends by itself before it is killed.
fn ends_in_time(pod: &Value, container: &Value) {
    let source = fs::read_to_string(repository("src/commands/serve.rs")).unwrap();
    let (_, finish) = source
        .split_once("const FINISH: Duration = Duration::from_secs(")
        .unwrap();
    let finish: u64 = finish.split(')').next().unwrap().parse().unwrap();
    // Snapshots in the making get their time after requests, and threads theirs after that.
    let longest = DRAIN.as_secs() + 2 * finish + 1;
    let before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_u64()
        .unwrap_or(0);
    let given = pod["spec"]["terminationGracePeriodSeconds"]
        .as_u64()
        .unwrap();
    assert!(
        given > before + longest,
        "{given} s for {before} + {longest} s"
    );
}

#[test]
fn kustomizations_render_to_good_objects() {
    let schemas = Schemas::read();
    let mut kinds = BTreeMap::new();
    let mut seen = 0;
    for folder in kustomizations() {
        let Some(objects) = rendered(&folder) else {
            return;
        };
        for object in &objects {
            *kinds.entry(text(&object["kind"]).to_owned()).or_insert(0) += 1;
            assert_eq!(
                schemas.faults(object),
                Vec::<String>::new(),
                "{}",
                folder.display()
            );
            refers_well(&objects, object);
        }
        ports_exist(&objects);
        monitors_fit(&objects);
        for (pod, container) in exporters(&objects) {
            is_restricted(pod, container);
            flags_are_good(container);
            ends_in_time(pod, container);
            assert!(
                text(&container["image"]).contains(":0.1.0"),
                "{}",
                container["image"]
            );
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} exporters found");
    for kind in schemas.kinds() {
        assert!(
            kinds.contains_key(kind),
            "{kind} has a schema, and nobody needs it"
        );
    }
}

/// `check` takes each configuration, `NetworkPolicies` let through what it allows, and what targets can make it use at the
/// most (README.md, "What costs the target, and its budget") is less than its container has.
#[test]
fn exporters_in_the_cluster_fit_their_containers() {
    const MIB: f64 = 1024.0 * 1024.0;
    let bytes = |value: &Value| -> f64 {
        let number: f64 = text(value).trim_end_matches("MiB").parse().unwrap();
        number * MIB
    };
    let mut seen = 0;
    for folder in kustomizations() {
        let file = folder.join("exporter.yml");
        if !file.exists() {
            continue;
        }
        let config = yaml(&file);
        let output = run(&["check", "--config.file", file.to_str().unwrap()], b"");
        let said = String::from_utf8_lossy(&output.stderr);
        // The files with the token and the authority are in the cluster only.
        let elsewhere = said.contains("/var/run/secrets/pprof/");
        assert!(
            output.status.success() || elsewhere,
            "{}: {said}",
            file.display()
        );
        if elsewhere {
            let text = fs::read_to_string(&file).unwrap();
            let own = tempfile::tempdir().unwrap();
            let here = own.path().to_str().unwrap();
            Authority::new("authority").write(own.path(), "pprof.internal");
            fs::rename(own.path().join("ca.pem"), own.path().join("ca.crt")).unwrap();
            fs::write(own.path().join("token"), "t").unwrap();
            let copy = own.path().join("exporter.yml");
            fs::write(&copy, text.replace("/var/run/secrets/pprof", here)).unwrap();
            let output = run(&["check", "--config.file", copy.to_str().unwrap()], b"");
            assert!(output.status.success(), "{output:?}");
        }
        let Some(objects) = rendered(&folder) else {
            return;
        };
        let policy = objects
            .iter()
            .find(|object| object["kind"] == "NetworkPolicy")
            .unwrap();
        let open: Vec<_> = each(&policy["spec"]["egress"][0]["ports"])
            .map(|port| &port["port"])
            .collect();
        for port in each(&config["allow"]).flat_map(|entry| each(&entry["ports"])) {
            assert!(
                open.contains(&port),
                "{}: {port} is allowed and filtered",
                file.display()
            );
        }
        let probes = &config["probes"];
        for module in config["modules"].as_object().unwrap().values() {
            let limits = &module["limits"];
            let (body, inflated) = (
                bytes(&limits["body_bytes"]),
                bytes(&limits["inflated_bytes"]),
            );
            // One processor: the limit of the container.
            let reading = (11.0 * inflated).min(200.0 * MIB + inflated);
            let most = 32.0 * MIB
                + probes["total"].as_f64().unwrap() * (body + 0.5 * MIB)
                + reading
                + 4.0 * (body + 96.0 * MIB)
                + probes["tracked_targets"].as_f64().unwrap() * 590_000.0
                + 16.0 * body;
            let (_, container) = exporters(&objects)[0];
            assert_eq!(
                container["resources"]["limits"],
                json!({ "cpu": "1", "memory": "1536Mi" })
            );
            assert!(
                most < 1536.0 * MIB,
                "{}: {} MiB",
                file.display(),
                most / MIB
            );
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} modules found");
}

/// Pods of the `StatefulSet` are those of the Deployment, and keep evidence besides.
#[test]
fn both_templates_of_the_exporter_are_alike() {
    let read = |file: &str| yaml(&repository(FOLDER).join(file))["spec"]["template"].clone();
    let mut sharded = read("overlays/sharded/statefulset.yaml");
    let pod = sharded["spec"].as_object_mut().unwrap();
    assert!(pod.remove("topologySpreadConstraints").is_some());
    let context = pod["securityContext"].as_object_mut().unwrap();
    assert_eq!(context.remove("fsGroup"), Some(json!(65532)));
    assert!(context.remove("fsGroupChangePolicy").is_some());
    let container = pod["containers"][0].as_object_mut().unwrap();
    assert_eq!(
        container["args"].as_array_mut().unwrap().pop(),
        Some(json!("--storage.path=/var/lib/goroutine_exporter"))
    );
    assert_eq!(
        container["volumeMounts"]
            .as_array_mut()
            .unwrap()
            .pop()
            .unwrap()["name"],
        "evidence"
    );
    assert_eq!(sharded, read("base/deployment.yaml"));
}
