//! Real Go programs: what the exporter counts is what they say they started.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use goroutine_exporter::classify::Rules;
use goroutine_exporter::decode::decode;
use goroutine_exporter::tally::Collector;

use crate::captures::LIMITS;
use crate::http::{Answer, Metrics, ask, get};
use crate::programs::{Exporter, Program, repository, run, skip, until};

/// The oldest and the newest Go that are read, and one between.
pub(crate) const OLD: &str = "1.21.13";
pub(crate) const MIDDLE: &str = "1.24.11";
pub(crate) const NEW: &str = "1.27.3";

/// Every group has its series, however small, once it has been there twice.
pub(crate) const ALL_GROUPS: &str = "limits: { groups: 100, min_goroutines: 1 }";

/// The most goroutines that may serve the probe, and the connections a test had before.
const OF_CONNECTIONS: u64 = 6;
/// How often a target is looked at until it rests.
const MOST_LOOKS: usize = 50;

/// A program of `examples/go`, running.
#[derive(Debug)]
pub(crate) struct GoProgram {
    _program: Program,
    /// Where it says it is: the form that the exporter takes as a target.
    pub(crate) target: String,
}

impl GoProgram {
    /// Builds it with that version of Go and starts it; nothing when this machine has no such Go.
    pub(crate) fn start(version: &str, name: &str, flags: &[&str]) -> Option<Self> {
        let program = Program::start(Command::new(build(version, name)?).args(flags));
        let target = program.line("target", |line| {
            Some(line.strip_prefix("ready ")?.to_owned())
        });
        Some(Self {
            _program: program,
            target,
        })
    }

    /// Its address, if it listens on TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        let (_, address) = self.target.split_once("://").unwrap();
        address.parse().unwrap()
    }
}

/// The program built from source, once for each version; nothing when this machine has no such Go.
pub(crate) fn build(version: &str, name: &str) -> Option<PathBuf> {
    // One after the other: two builds at once would compile the same standard library twice.
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("go{version}"));
    if built.contains(version) {
        return Some(folder.join(name));
    }
    std::fs::create_dir_all(&folder).unwrap();
    let output = Command::new(repository("tests/tools/go.sh"))
        .args([version, "build", "-C", "examples/go", "-o"])
        .arg(&folder)
        .args([
            "./waits",
            "./leaky",
            "./contention",
            "./fleet",
            "./incident",
            "./leaks",
        ])
        .current_dir(repository("."))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    // What go.sh exits with when it has no such toolchain.
    if output.status.code() == Some(127) {
        skip(error.trim());
        return None;
    }
    assert!(output.status.success(), "Go {version}: {error}");
    built.insert(version.to_owned());
    Some(folder.join(name))
}

/// What a group is.
pub(crate) type Key = (String, String, String);

/// Goroutines and creator by group, as the program knows them.
pub(crate) fn truth(answer: &Answer) -> BTreeMap<Key, (u64, String)> {
    let mut groups = BTreeMap::new();
    for entry in answer.json()["goroutines"].as_array().unwrap() {
        let known = groups
            .entry(key(entry))
            .or_insert((0, entry["created_by"].as_str().unwrap().to_owned()));
        known.0 += entry["goroutines"].as_u64().unwrap();
    }
    assert!(groups.len() >= 17, "{groups:?}");
    groups
}

fn key(group: &serde_json::Value) -> Key {
    let text = |key: &str| group[key].as_str().unwrap().to_owned();
    (
        text("wait_reason"),
        text("blocking_frame"),
        text("app_frame"),
    )
}

/// Whether a group is of connections being served, such as the one that asks for the profile.
fn is_of_a_connection((_, blocking, app): &Key) -> bool {
    let served = [
        "runtime/pprof.",
        "net/http.(*conn).",
        "net/http.(*connReader).",
        "net/http.checkConnErrorWriter.",
        "net/http.(*response).",
        "net/http/internal/http2.",
        "(not started)",
    ];
    served.iter().any(|name| blocking.starts_with(name))
        || app.starts_with("main.(*serving).handler")
}

/// Goroutines by group as `/probe` shows them, and the group ids.
fn shown(metrics: &Metrics) -> BTreeMap<Key, (u64, String)> {
    metrics
        .all("goroutine_group_goroutines", &[])
        .map(|sample| {
            let label = |name: &str| sample.label(name).to_owned();
            let key = (
                label("wait_reason"),
                label("blocking_frame"),
                label("app_frame"),
            );
            (key, (whole(sample.value), label("group_id")))
        })
        .collect()
}

/// The same as `inspect --format json` tells it.
fn inspected(report: &serde_json::Value) -> BTreeMap<Key, (u64, String)> {
    let groups = report["groups"].as_array().unwrap();
    let pair = |group: &serde_json::Value| {
        let id = group["group_id"].as_str().unwrap().to_owned();
        (key(group), (group["goroutines"].as_u64().unwrap(), id))
    };
    groups.iter().map(pair).collect()
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of goroutines are whole and small; anything else fails the comparison"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// The groups that are the same at every look: those of connections are not, and neither is the goroutine that accepts
/// them, which runs for a moment after each.
fn steady<T: Clone>(groups: &BTreeMap<Key, T>) -> BTreeMap<Key, T> {
    let mut steady = groups.clone();
    steady.retain(|key, _| !is_of_a_connection(key) && !accepts(key));
    steady
}

fn accepts((_, blocking, app): &Key) -> bool {
    blocking == "net/http.(*Server).Serve" && app == "main.serve"
}

fn counts<T>(groups: &BTreeMap<Key, (u64, T)>) -> BTreeMap<Key, u64> {
    groups
        .iter()
        .map(|(key, (count, _))| (key.clone(), *count))
        .collect()
}

/// Probes until every group has its series, and compares them with the truth, wait reasons and total too.
pub(crate) fn agrees(
    metrics: impl Fn() -> Metrics,
    truth: &BTreeMap<Key, (u64, String)>,
) -> Metrics {
    // A group that is small has its series from the second probe on.
    metrics();
    let accepting = |groups: &BTreeMap<Key, (u64, String)>| -> u64 {
        let of = groups.iter().filter(|(key, _)| accepts(key));
        of.map(|(_, (count, _))| count).sum()
    };
    // The goroutine that accepts may be running when it is looked at: then it is in a group that has no series yet.
    let mut looks = std::iter::repeat_with(metrics).take(MOST_LOOKS);
    let waits = |metrics: &Metrics| accepting(&shown(metrics)) == accepting(truth);
    let metrics = looks
        .find(waits)
        .expect("the goroutine that accepts waits again");
    metrics.is("goroutine_probe_success", &[], 1.0);
    metrics.is(
        "goroutine_profile_truncated",
        &[("profile", "goroutine")],
        0.0,
    );
    metrics.is(
        "goroutine_profile_damaged_records",
        &[("profile", "goroutine")],
        0.0,
    );
    let shown = shown(&metrics);
    let (seen, known) = (counts(&steady(&shown)), counts(&steady(truth)));
    assert_eq!(seen, known, "{}", metrics.text);
    let total = metrics.value("goroutine_goroutines", &[]).unwrap();
    let other = metrics.value("goroutine_other_goroutines", &[]).unwrap();
    let of_groups: u64 = shown.values().map(|(count, _)| count).sum();
    assert_eq!(of_groups + whole(other), whole(total));
    let known: u64 = truth.values().map(|(count, _)| count).sum();
    let of_connections = whole(total) - known;
    assert!(
        (1..=OF_CONNECTIONS).contains(&of_connections),
        "{of_connections}"
    );
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for ((reason, ..), (count, _)) in &shown {
        *reasons.entry(reason).or_default() += count;
    }
    for sample in metrics.all("goroutine_wait_reason_goroutines", &[]) {
        let reason = sample.label("wait_reason");
        let folded = whole(sample.value) - reasons.get(reason).copied().unwrap_or(0);
        assert!(folded <= whole(other), "{reason}: {folded} not in a group");
    }
    metrics
}

/// The goroutines of `waits` in every way of looking at them, with one version of Go.
fn check_version(version: &str) {
    let Some(waits) = GoProgram::start(version, "waits", &[]) else {
        return;
    };
    let exporter = Exporter::start(&format!("modules: {{ all: {{ {ALL_GROUPS} }} }}\n"));
    let said = get(waits.address(), "/truth");
    assert_eq!(said.json()["go"], format!("go{version}"));
    let truth = truth(&said);
    let metrics = agrees(|| exporter.probe(&waits.target, "all"), &truth);
    let ids = steady(&shown(&metrics));

    let json = |source: &str| -> serde_json::Value {
        let output = run(&["inspect", "--format", "json", source], b"");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{source}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/debug/pprof/goroutine", waits.target);
    let mut reports = vec![json(&waits.target)];
    for (debug, encoding) in [(0, "protobuf"), (1, "debug1"), (2, "debug2")] {
        let body = get(
            waits.address(),
            &format!("/debug/pprof/goroutine?debug={debug}"),
        )
        .body;
        let file = folder.path().join(encoding);
        std::fs::write(&file, body).unwrap();
        for source in [file.to_str().unwrap(), &format!("{url}?debug={debug}")] {
            let report = json(source);
            assert_eq!(report["encoding"], encoding, "{source}");
            reports.push(report);
        }
    }
    for report in &reports {
        let source = &report["source"];
        assert_eq!(report["damage"], 0, "{source}");
        assert_eq!(steady(&inspected(report)), ids, "{source}");
    }
    let known = steady(&truth);
    let mut creators = 0;
    for report in reports
        .iter()
        .filter(|report| report["encoding"] == "debug2")
    {
        for group in report["groups"].as_array().unwrap() {
            let Some((_, creator)) = known.get(&key(group)) else {
                continue;
            };
            let found = group["created_by"].as_str().unwrap_or_default();
            assert_eq!(found, creator, "{group}");
            creators += 1;
        }
    }
    assert_eq!(creators, 2 * known.len());
}

#[test]
fn an_old_program_is_counted_as_it_counts_itself() {
    check_version(OLD);
}

#[test]
fn a_program_is_counted_as_it_counts_itself() {
    check_version(MIDDLE);
}

#[test]
fn a_new_program_is_counted_as_it_counts_itself() {
    check_version(NEW);
}

#[test]
fn goroutines_that_never_wait_are_running() {
    let Some(waits) = GoProgram::start(NEW, "waits", &["-busy", "2"]) else {
        return;
    };
    let exporter = Exporter::start(&format!("modules: {{ all: {{ {ALL_GROUPS} }} }}\n"));
    let truth = truth(&get(waits.address(), "/truth"));
    let busy = ["running", "main.waitBusy", "main.waitBusy"].map(str::to_owned);
    let [reason, blocking, app] = busy;
    assert_eq!(truth[&(reason, blocking, app)].0, 2);
    agrees(|| exporter.probe(&waits.target, "all"), &truth);
}

#[test]
fn a_growing_leak_is_seen_with_its_line() {
    let Some(leaky) = GoProgram::start(NEW, "leaky", &[]) else {
        return;
    };
    let exporter = Exporter::start("");
    let group = [
        ("wait_reason", "chan send"),
        ("blocking_frame", "main.(*Service).render"),
        ("app_frame", "main.(*Service).render"),
    ];
    let probe = || exporter.probe(&leaky.target, "default");
    assert_eq!(probe().value("goroutine_group_goroutines", &group), None);
    for total in [300.0, 600.0] {
        ask(leaky.address(), "POST", "/leak?n=300", &[]).is(200, "");
        // The service counts a worker just before it blocks.
        let metrics = until("the leak", || {
            Some(probe()).filter(|metrics| {
                metrics.value("goroutine_group_goroutines", &group) == Some(total)
            })
        });
        let sample = metrics.all("goroutine_group_goroutines", &group).next();
        let id = sample.unwrap().label("group_id");
        let labels = [("group_id", id)];
        let info = metrics.all("goroutine_group_info", &labels).next().unwrap();
        assert!(info.label("file").ends_with("main.go"), "{info:?}");
        let line: usize = info.label("line").parse().unwrap();
        let source = std::fs::read_to_string(repository("examples/go/leaky/main.go")).unwrap();
        let line = source.lines().nth(line - 1).unwrap();
        assert!(line.contains("<-"), "line {line:?} does not send");
        let ratio = metrics.value("goroutine_largest_group_ratio", &[]).unwrap();
        assert!(ratio > 0.9, "{ratio}");
    }
}

/// The process that wrote the profile, as the decoder tells it.
fn process(program: &GoProgram) -> u64 {
    let body = get(program.address(), "/debug/pprof/goroutine").body;
    let mut collector = Collector::new(&Rules::default());
    let summary = decode(&body, &LIMITS, &mut collector).unwrap();
    summary.process.expect("a protobuf has its mappings")
}

#[test]
fn a_restart_is_another_process() {
    for version in [OLD, NEW] {
        let mut seen = BTreeSet::new();
        for start in 1..=3 {
            let Some(leaky) = GoProgram::start(version, "leaky", &[]) else {
                return;
            };
            let first = process(&leaky);
            // What the program does in between makes no difference.
            ask(leaky.address(), "POST", "/leak?n=50", &[]).is(200, "");
            assert_eq!(process(&leaky), first);
            seen.insert(first);
            assert_eq!(
                seen.len(),
                start,
                "Go {version}: one number for two processes"
            );
        }
    }
}
