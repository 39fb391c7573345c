//! What is published is what `examples/prometheus/metrics.schema.json` says, and all of it: the contract with whoever
//! builds upon the series.

mod contract;
mod documents;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use goroutine_exporter::budget::Skip;
use goroutine_exporter::classify::{Origin, WaitReason, names::NAME_BYTES};
use goroutine_exporter::config::Profile;
use goroutine_exporter::discovery::{Mechanism, Reason};
use goroutine_exporter::expose::godebug;
use goroutine_exporter::expose::metrics::{self as of_targets, Kind, Metric};
use goroutine_exporter::failure::{FailureReason, TraceFailure};
use goroutine_exporter::policy::RefusalReason;
use goroutine_exporter::probe::Phases;
use goroutine_exporter::self_metrics;
use goroutine_exporter::snapshots::Trigger;
use goroutine_exporter::tally::WAITED_MINUTES;
use goroutine_exporter::trace::{Blame, Cause};
use goroutine_exporter::traced::QUANTILES;
use serde_json::json;

use crate::go::{GoProgram, NEW, OLD};
use crate::http::{Metrics, Sample, ask};
use crate::programs::{Exporter, repository, until};
use crate::servers::{Server, nobody, ok, unknown_profile};
use crate::traces;
use contract::{Contract, Exposition};

/// Everything that can be asked for, with few groups; a watch and a label.
const MODULE: &str = "{ timeout: 1m, profiles: [goroutine, goroutineleak, block, mutex, threadcreate], \
    detail: { max_frames: 1000000 }, trace: { mode: auto }, limits: { groups: 5, min_goroutines: 1 }, \
    classify: { watch: { channels: '^main\\..*[cC]han' }, labels: [tenant] } }";

/// The sizes that bounds depend on, with [`MODULE`] beside a default module with as few groups.
const SIZES: [(&str, u64); 6] = [
    ("fixed", 1),
    ("limits.groups", 5),
    ("classify.watch", 1),
    ("classify.labels", 1),
    ("modules", 2),
    ("godebug", 1),
];

/// Expects an exposition to be as it says, and tells the names in it.
fn holds(contract: &Contract, text: &str, profiles: &[&str]) -> BTreeSet<String> {
    assert_eq!(
        contract.faults(text, &SIZES, profiles),
        Vec::<String>::new(),
        "{text}"
    );
    Exposition::parse(text).head.into_keys().collect()
}

/// A recorded Go 1.27 program with all its profiles; another one, which cannot be traced, once it is replaced.
fn recorded(replaced: &Arc<AtomicBool>) -> Server {
    let replaced = Arc::clone(replaced);
    Server::by_path(move |path| {
        let file = match path.strip_prefix("/debug/pprof/") {
            Some("goroutine") if replaced.load(Ordering::SeqCst) => {
                "go1.24.11/goroutine.debug0.pb.gz"
            }
            Some("goroutine") => "go1.27.3-2min/goroutine.debug0.pb.gz",
            Some("goroutine?debug=2") => "go1.27.3-2min/goroutine.debug2.txt",
            Some(trace) if trace.starts_with("trace?") && !replaced.load(Ordering::SeqCst) => {
                return ok(&traces::recorded("go1.27.3-traced/trace-25ms.out.gz"));
            }
            Some("goroutineleak") => "go1.27.3/goroutineleak.debug0.pb.gz",
            Some("block") => "go1.27.3-contention/block.pb.gz",
            Some("mutex") => "go1.27.3-contention/mutex.pb.gz",
            Some("threadcreate") => "go1.27.3-contention/threadcreate.pb.gz",
            _ => return unknown_profile(),
        };
        ok(&fs::read(repository("tests/data").join(file)).unwrap())
    })
}

fn all_profiles() -> [&'static str; 7] {
    Profile::ALL.map(Profile::as_str)
}

fn config(more: &str) -> String {
    format!("modules: {{ default: {{ limits: {{ groups: 5 }} }}, all: {MODULE} }}\n{more}")
}

#[test]
fn the_contract_has_what_the_code_declares() {
    let check = |part: &'static str, declared: &[Metric], beside: &str| {
        let contract = Contract::of(part);
        let own: Vec<_> = contract
            .families()
            .iter()
            .filter(|(name, _)| beside.is_empty() || !name.starts_with(beside))
            .collect();
        let names: BTreeSet<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
        let expected: BTreeSet<&str> = declared.iter().map(|metric| metric.name).collect();
        assert_eq!(names, expected);
        for metric in declared {
            let family = &contract.families()[metric.name];
            let kind = match metric.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
                Kind::Histogram => "histogram",
            };
            assert_eq!(family["x-metric"]["type"], kind, "{}", metric.name);
            assert_eq!(family["description"], metric.help);
            let labels = &family["items"]["properties"]["labels"];
            if metric.labels.is_empty() {
                assert_eq!(labels["maxProperties"], 0, "{}", metric.name);
                continue;
            }
            assert_eq!(labels["required"], json!(metric.labels), "{}", metric.name);
            assert_eq!(labels["additionalProperties"], false);
            let told: BTreeSet<&str> = labels["properties"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(told, metric.labels.iter().copied().collect());
        }
    };
    check("probe", of_targets::ALL, "");
    let of_exporter = [self_metrics::ALL, godebug::ALL].concat();
    check("metrics", &of_exporter, "process_");
}

#[test]
fn sets_of_label_values_are_those_of_the_code() {
    let contract = Contract::of("probe");
    let check = |name: &str, expected: &[&str]| assert_eq!(contract.set(name), expected, "{name}");
    let failures = FailureReason::ALL.map(FailureReason::as_str);
    check("wait_reason", &WaitReason::ALL.map(WaitReason::as_str));
    check("failure", &failures);
    check("phase", &Phases::default().named().map(|(phase, _)| phase));
    check("profile", &all_profiles());
    let origins = [Origin::App, Origin::Dependency, Origin::Stdlib];
    check("origin", &origins.map(Origin::as_str));
    let seconds = WAITED_MINUTES.map(|minutes| (minutes * 60).to_string());
    let seconds: Vec<&str> = seconds.iter().map(String::as_str).collect();
    check("at_least_seconds", &seconds);
    check(
        "result",
        &[&["success", "canceled", "busy"], &failures[..]].concat(),
    );
    let of_traces = [
        TraceFailure::Busy,
        TraceFailure::UnsupportedVersion,
        TraceFailure::Truncated,
        TraceFailure::Damaged,
    ];
    check(
        "trace_failure",
        &[&of_traces.map(TraceFailure::as_str), &failures[..]].concat(),
    );
    check("percentile", &QUANTILES.map(|(_, percentile)| percentile));
    let words = |words: &[&str]| words.iter().map(|word| word.replace(' ', "_")).collect();
    let causes: Vec<String> = words(&Cause::ALL.map(Cause::as_str));
    let blames: Vec<String> = words(&Blame::ALL.map(Blame::as_str));
    assert_eq!(contract.set("delay_cause"), causes);
    assert_eq!(contract.set("blame"), blames);
    check("refusal", &RefusalReason::ALL.map(RefusalReason::as_str));
    check("skip", &Skip::ALL.map(Skip::as_str));
    check("mechanism", &Mechanism::ALL.map(Mechanism::as_str));
    check("trigger", &Trigger::ALL.map(Trigger::as_str));
    let finding = Mechanism::ALL.into_iter().skip(1);
    let reasons: BTreeSet<&str> = finding
        .flat_map(|mechanism| Reason::all(mechanism).iter().map(|reason| reason.as_str()))
        .collect();
    let told: BTreeSet<&str> = contract.set("discovery_failure").into_iter().collect();
    assert_eq!(told, reasons);
    // What is no set has a cap, and where it is not a pattern it is that of names.
    for (name, label) in contract.whole["$defs"].as_object().unwrap() {
        if ["probe", "metrics"].contains(&name.as_str()) || label.get("enum").is_some() {
            continue;
        }
        assert_eq!(label["type"], "string", "{name}");
        let capped = label["maxLength"] == NAME_BYTES || label.get("pattern").is_some();
        assert!(capped, "{name} has no cap");
    }
}

/// Every metric of the contract is in an exposition of these, and all of them are as it says.
#[test]
fn recorded_programs_are_published_as_the_contract_says() {
    let replaced = Arc::new(AtomicBool::new(false));
    let server = recorded(&replaced);
    let folder = tempfile::tempdir().unwrap();
    let found = folder.path().join("found.yml");
    fs::write(&found, format!("- targets: ['{}']\n", server.target())).unwrap();
    let said = folder.path().join("said");
    fs::write(&said, "").unwrap();
    let exporter = Exporter::start(&config(&format!(
        "targets: [{{ url: '{}', module: all, labels: {{ env: prod }} }}]\n\
         file_sd_configs: [{{ files: ['{}'] }}]\n\
         godebug: [{{ name: shop, path: '{}' }}]\n",
        nobody(),
        found.display(),
        said.display()
    )));
    until("the file", || {
        (exporter.metrics().value("goroutine_godebug_up", &[])? == 1.0).then_some(())
    });
    let lines = repository("tests/data/go1.27.3-gctrace/stderr.txt");
    fs::copy(lines, &said).unwrap();
    let contract = Contract::of("probe");
    let mut seen = BTreeSet::new();
    let mut probe = |target: &str, module: &str, profiles: &[&str]| {
        seen.extend(holds(
            &contract,
            &exporter.probe(target, module).text,
            profiles,
        ));
    };
    for _ in 0..3 {
        probe(&server.target(), "all", &all_profiles());
    }
    probe(
        &server.target(),
        "default",
        &["goroutine", "goroutine_detail"],
    );
    replaced.store(true, Ordering::SeqCst);
    probe(&server.target(), "all", &all_profiles());
    probe(&nobody().to_string(), "all", &all_profiles());
    // One costly profile in a probe.
    let untraced = recorded(&Arc::new(AtomicBool::new(true)));
    for _ in 0..3 {
        probe(&untraced.target(), "all", &all_profiles());
    }
    let expected: BTreeSet<String> = contract.families().keys().cloned().collect();
    assert_eq!(seen, expected);

    // Both targets at once: labels of their own come before, and the rest is as for one.
    let text = until("both targets", || {
        let text = exporter.get("/targets/metrics").text();
        let both = Metrics::parse(&text)
            .all("goroutine_probe_success", &[])
            .count()
            == 2;
        both.then_some(text)
    });
    let of_each = Metrics::parse(&text);
    let targets: BTreeSet<&str> = of_each
        .samples
        .iter()
        .map(|sample| sample.label("target"))
        .collect();
    assert_eq!(targets.len(), 2);
    for target in targets {
        let own = format!("{{target=\"{target}\"");
        let lines = text
            .lines()
            .filter(|line| line.starts_with('#') || line.contains(&own));
        let text = without_heads(lines.map(|line| {
            line.replace(&own, "{")
                .replacen("{,", "{", 1)
                .replace("env=\"prod\",", "")
                .replace("env=\"prod\"", "")
                .replace("{}", "")
        }));
        let names = holds(&contract, &text, &all_profiles());
        assert!(names.contains("goroutine_probe_success"));
    }

    let contract = Contract::of("metrics");
    let text = until("both kinds of lines", || {
        let metrics = exporter.metrics();
        let last = "goroutine_godebug_last_line_timestamp_seconds";
        (metrics.all(last, &[]).count() == 2).then_some(metrics.text)
    });
    let mut seen = holds(&contract, &text, &[]);
    let known = |name: &String| contract.families().contains_key(name);
    assert!(seen.iter().all(known));
    if cfg!(not(target_os = "linux")) {
        let processes = contract
            .families()
            .keys()
            .filter(|name| name.starts_with("process_"));
        seen.extend(processes.cloned());
    }
    let expected: BTreeSet<String> = contract.families().keys().cloned().collect();
    assert_eq!(seen, expected);
    // Sets are visible whole from the start, zeros included; where there is a series for each pair, in pairs.
    let visible = Metrics::parse(&text);
    for (name, family) in contract.families() {
        let labels = family["items"]["properties"]["labels"]["properties"].as_object();
        for (label, reference) in labels.into_iter().flatten() {
            let reference = reference["$ref"].as_str().unwrap();
            let set = &reference["#/$defs/".len()..];
            if contract.whole["$defs"][set].get("enum").is_none()
                || name.ends_with("discovery_last_success_timestamp_seconds")
            {
                continue;
            }
            let values: BTreeSet<&str> = visible
                .all(name, &[])
                .map(|sample| sample.label(label))
                .collect();
            assert_eq!(values, contract.set(set).into_iter().collect(), "{name}");
        }
    }
}

/// Lines of which heads without samples are left out.
fn without_heads(lines: impl Iterator<Item = String>) -> String {
    let (mut text, mut head) = (String::new(), String::new());
    for line in lines {
        if line.starts_with("# HELP") {
            head.clear();
        }
        if line.starts_with('#') {
            head += &(line + "\n");
        } else {
            text += &std::mem::take(&mut head);
            text += &(line + "\n");
        }
    }
    text
}

#[test]
fn live_programs_are_published_as_the_contract_says() {
    let contract = Contract::of("probe");
    for version in [OLD, NEW] {
        let Some(leaky) = GoProgram::start(version, "leaky", &[]) else {
            return;
        };
        let exporter = Exporter::start(&config(""));
        ask(leaky.address(), "POST", "/leak?n=5", &[]).is(200, "");
        // The first has the detail, the second the leaks besides.
        for proof in [false, version == NEW] {
            let text = exporter.probe(&leaky.target, "all").text;
            let names = holds(&contract, &text, &all_profiles());
            let proven = names.contains("goroutine_leaked_goroutines");
            assert_eq!(proven, proof, "Go {version}");
        }
        holds(&Contract::of("metrics"), &exporter.metrics().text, &[]);
    }
}

/// A contract that takes anything would hold nothing.
#[test]
fn what_breaks_the_contract_is_seen() {
    let server = recorded(&Arc::new(AtomicBool::new(false)));
    let exporter = Exporter::start(&config(""));
    exporter.probe(&server.target(), "all");
    let text = exporter.probe(&server.target(), "all").text;
    let contract = Contract::of("probe");
    holds(&contract, &text, &all_profiles());
    let check = |from: &str, to: &str| {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text, "{from}");
        let faults = contract.faults(&broken, &SIZES, &all_profiles());
        assert!(!faults.is_empty(), "{from} -> {to}");
    };
    check(
        "# HELP goroutine_goroutines All",
        "# HELP goroutine_goroutines all",
    );
    check(
        "# TYPE goroutine_groups gauge",
        "# TYPE goroutine_groups counter",
    );
    check("goroutine_probe_success 1", "goroutine_probe_success 2");
    check("goroutine_groups_folded ", "goroutine_groups_folded 0.5");
    check("goroutine_threads ", "goroutine_threads{os=\"linux\"} ");
    check("{wait_reason=\"sleep\"}", "{wait_reason=\"nap\"}");
    check("{phase=\"decode\"}", "");
    check("{phase=\"decode\"}", "{phase=\"decode\",step=\"1\"}");
    check("origin=\"app\"", "origin=\"\"");
    check(
        "watch=\"channels\"",
        &format!("watch=\"{}\"", "é".repeat(101)),
    );
    let head = "# HELP goroutine_new New.\n# TYPE goroutine_new gauge\ngoroutine_new 1\n";
    check(
        "# HELP goroutine_probe_success",
        &format!("{head}# HELP goroutine_probe_success"),
    );
    let few = SIZES.map(|(name, size)| (name, if name == "limits.groups" { 1 } else { size }));
    assert!(!contract.faults(&text, &few, &all_profiles()).is_empty());
    let cheap = ["goroutine", "goroutine_detail"];
    assert!(!contract.faults(&text, &SIZES, &cheap).is_empty());
}

/// The samples beside the contract: of a run, and made anew by `UPDATE_EXAMPLES=1`.
#[test]
fn samples_are_of_a_run() {
    let server = recorded(&Arc::new(AtomicBool::new(false)));
    let exporter = Exporter::start(&config(""));
    // The first has the detail, the second the leaks besides, the third the trace.
    exporter.probe(&server.target(), "all");
    exporter.probe(&server.target(), "all");
    let probe = exporter.probe(&server.target(), "all").text;
    for (part, file, text) in [
        ("probe", "sample.probe.txt", probe),
        ("metrics", "sample.metrics.txt", exporter.metrics().text),
    ] {
        let contract = Contract::of(part);
        let file = repository("examples/prometheus").join(file);
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let sample = fs::read_to_string(&file).unwrap();
        holds(&contract, &sample, &all_profiles());
        // Times, sizes, and what depends on the machine, are others in each run.
        let lasting = |text: &str| -> Vec<String> {
            let known = |family: &str| contract.families()[family]["x-metric"]["unit"].clone();
            let samples = Exposition::parse(text).samples.into_iter();
            let line = |(family, sample): (String, Sample)| {
                let unit = known(&family);
                let changes = ["seconds", "time", "bytes", "tasks"]
                    .contains(&unit.as_str().unwrap())
                    || family.starts_with("process_");
                let value = if changes {
                    String::new()
                } else {
                    sample.value.to_string()
                };
                let mut labels = sample.labels;
                labels.remove("version");
                format!("{}{labels:?} {value}", sample.name)
            };
            let platform = |(family, _): &(String, Sample)| {
                cfg!(target_os = "linux") || !family.starts_with("process_")
            };
            samples.filter(platform).map(line).collect()
        };
        assert_eq!(
            lasting(&sample),
            lasting(&text),
            "{}: UPDATE_EXAMPLES=1",
            file.display()
        );
    }
}
