//! Real Go programs: what the exporter counts is what they say they started, however they are reached.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::certificates::{Authority, connect};
use crate::http::{Answer, Metrics, exchange, get};
use crate::programs::{Exporter, Program, probe_path, repository, run, skip, until};

/// The oldest and the newest Go that are read, and one between.
const OLD: &str = "1.21.13";
const MIDDLE: &str = "1.24.11";
pub(crate) const NEW: &str = "1.27.3";

/// Every group has its series, however small, once it has been there twice.
const ALL_GROUPS: &str = "limits: { groups: 100, min_goroutines: 1 }";

/// The most goroutines that may serve the probe, and the connections a test had before.
const OF_CONNECTIONS: u64 = 6;

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
fn build(version: &str, name: &str) -> Option<PathBuf> {
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
        .args(["./waits", "./leaky"])
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
type Key = (String, String, String);

/// Goroutines and creator by group, as the program knows them.
fn truth(answer: &Answer) -> BTreeMap<Key, (u64, String)> {
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

fn without_connections<T>(mut groups: BTreeMap<Key, T>) -> BTreeMap<Key, T> {
    groups.retain(|key, _| !is_of_a_connection(key));
    groups
}

fn counts<T>(groups: &BTreeMap<Key, (u64, T)>) -> BTreeMap<Key, u64> {
    groups
        .iter()
        .map(|(key, (count, _))| (key.clone(), *count))
        .collect()
}

/// Probes until every group has its series, and compares them with the truth, wait reasons and total too.
fn agrees(metrics: impl Fn() -> Metrics, truth: &BTreeMap<Key, (u64, String)>) -> Metrics {
    // A group that is small has its series from the second probe on.
    metrics();
    let metrics = metrics();
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
    assert_eq!(
        counts(&without_connections(shown.clone())),
        counts(truth),
        "{}",
        metrics.text
    );
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
    let ids = without_connections(shown(&metrics));

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
        assert_eq!(without_connections(inspected(report)), ids, "{source}");
    }
    let mut creators = 0;
    for report in reports
        .iter()
        .filter(|report| report["encoding"] == "debug2")
    {
        for group in report["groups"].as_array().unwrap() {
            let Some((_, creator)) = truth.get(&key(group)) else {
                continue;
            };
            let found = group["created_by"].as_str().unwrap_or_default();
            assert_eq!(found, creator, "{group}");
            creators += 1;
        }
    }
    assert_eq!(creators, 2 * truth.len());
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
        crate::http::ask(leaky.address(), "POST", "/leak?n=300", &[]).is(200, "");
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

/// A connection to a target of any kind, for `/truth`.
fn ask(target: &GoProgram, authority: &Authority) -> Answer {
    let connection: Box<dyn ReadWrite> = match target.target.split_once("://").unwrap() {
        ("unix", path) => Box::new(UnixStream::connect(path).unwrap()),
        ("https", _) => Box::new(connect(target.address(), authority)),
        _ => Box::new(TcpStream::connect(target.address()).unwrap()),
    };
    exchange(connection, "GET", "/truth", &[]).unwrap()
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Starts `waits` with `flags`, and holds what a probe with module `m` counts to what it says. `FOLDER` in flags and
/// configuration stands for a folder with certificates and secrets.
fn check_reached(
    flags: &[&str],
    module: &str,
    secrets: &[&str],
    also: impl Fn(&Exporter, &GoProgram),
) {
    let folder = tempfile::tempdir().unwrap();
    let place = |text: &str| text.replace("FOLDER", folder.path().to_str().unwrap());
    let authority = Authority::new("authority");
    authority.write(folder.path(), "127.0.0.1");
    std::fs::write(folder.path().join("password"), "hunter2-of-the-file\n").unwrap();
    std::fs::write(folder.path().join("wrong"), "hunter3-of-the-file\n").unwrap();
    let flags: Vec<String> = flags.iter().map(|flag| place(flag)).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let Some(waits) = GoProgram::start(NEW, "waits", &flags) else {
        return;
    };
    let module = place(module);
    let exporter = Exporter::start(&format!(
        "modules:\n  m: {{ {ALL_GROUPS}, {module} }}\n  plain: {{}}\n  wrong: {{ http: {{ basic_auth: {{ username: scraper, password_file: {} }} }} }}\ntargets: [{{ url: \"{}\", module: m }}]\n",
        place("FOLDER/wrong"),
        waits.target,
    ));
    let truth = truth(&ask(&waits, &authority));
    agrees(|| exporter.probe(&waits.target, "m"), &truth);
    also(&exporter, &waits);
    let mut everything = exporter.shows();
    for module in ["m", "plain", "wrong"] {
        let more = [("module", module), ("debug", "true")];
        everything += &exporter.get(&probe_path(&waits.target, &more)).text();
    }
    for secret in secrets {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}

fn fails_with(exporter: &Exporter, waits: &GoProgram, module: &str, reason: &str) {
    let metrics = exporter.probe(&waits.target, module);
    metrics.is("goroutine_probe_success", &[], 0.0);
    metrics.is("goroutine_probe_failure", &[("reason", reason)], 1.0);
}

#[test]
fn profiles_under_another_prefix() {
    let flags = ["-prefix", "/ops/internal/pprof"];
    check_reached(
        &flags,
        "path: /ops/internal/pprof",
        &[],
        |exporter, waits| {
            fails_with(exporter, waits, "plain", "http_status");
        },
    );
}

#[test]
fn profiles_behind_tls_of_a_private_authority() {
    let flags = [
        "-tls-cert",
        "FOLDER/server.pem",
        "-tls-key",
        "FOLDER/server.key",
    ];
    let module = "http: { tls_config: { ca_file: FOLDER/ca.pem } }";
    check_reached(&flags, module, &["PRIVATE KEY"], |exporter, waits| {
        let metrics = exporter.probe(&waits.target, "m");
        metrics.is("goroutine_probe_success", &[], 1.0);
        // Nobody else trusts that authority, and who asks without TLS is told so by a status.
        fails_with(exporter, waits, "plain", "tls");
        let metrics = exporter.probe(&waits.address().to_string(), "plain");
        metrics.is("goroutine_probe_failure", &[("reason", "http_status")], 1.0);
    });
}

#[test]
fn profiles_behind_basic_authentication() {
    let flags = ["-user", "scraper", "-password", "hunter2-of-the-file"];
    let module = "http: { basic_auth: { username: scraper, password_file: FOLDER/password } }";
    let secrets = [
        "hunter2-of-the-file",
        "hunter3-of-the-file",
        "c2NyYXBlcjpodW50ZXI",
    ];
    check_reached(&flags, module, &secrets, |exporter, waits| {
        fails_with(exporter, waits, "wrong", "http_status");
        fails_with(exporter, waits, "plain", "http_status");
    });
}

#[test]
fn profiles_behind_a_token() {
    let flags = ["-token", "token-in-the-configuration"];
    let module = "http: { authorization: { credentials: token-in-the-configuration } }";
    let secrets = ["token-in-the-configuration", "hunter3-of-the-file"];
    check_reached(&flags, module, &secrets, |exporter, waits| {
        fails_with(exporter, waits, "wrong", "http_status");
        fails_with(exporter, waits, "plain", "http_status");
    });
}

#[test]
fn profiles_on_a_unix_socket() {
    check_reached(
        &["-unix", "FOLDER/waits.sock"],
        "timeout: 9s",
        &[],
        |exporter, waits| {
            let metrics = Metrics::parse(&exporter.get("/targets/metrics").text());
            metrics.is("goroutine_probe_success", &[("target", &waits.target)], 1.0);
        },
    );
}
