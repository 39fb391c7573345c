//! Execution traces: when they are asked for, what is made of every way they can go wrong, and what they prove of real
//! programs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::budgets::{Clockwork, profile};
use crate::go::{MIDDLE, NEW, OLD};
use crate::http::{Metrics, get};
use crate::programs::{Exporter, Program, probe_path, repository, skip, until};
use crate::servers::{Server, answer, ok, send, unknown_profile, until_closed};
use crate::traces::recorded;

const GOROUTINE: &str = "/debug/pprof/goroutine";
const FIRST: &str = "/debug/pprof/trace?seconds=0.05";
const TRACE: [(&str, &str); 1] = [("profile", "trace")];
const TIMESTAMP: &str = "goroutine_profile_timestamp_seconds";

/// Traces and nothing else that costs the target.
const ON: &str = "modules: { default: { detail: { mode: off }, trace: { mode: auto } } }";

/// A target that remembers what it was asked for.
struct Target {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Target {
    /// One of 30 goroutines that answers for a trace as `trace` does.
    fn new(trace: impl Fn(&TcpStream) + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let server = Server::asked_for(move |path, stream| {
            log.lock().unwrap().push(path.to_owned());
            match path {
                GOROUTINE => send(stream, &ok(&profile("goroutine", 30))),
                "/debug/pprof/goroutine?debug=2" => send(stream, &ok(DUMP.as_bytes())),
                "/debug/pprof/goroutineleak" => send(stream, &ok(&profile("goroutineleak", 4))),
                _ if path.starts_with("/debug/pprof/trace?seconds=") => trace(stream),
                _ => send(stream, &unknown_profile()),
            }
        });
        Self { server, asked }
    }

    /// One that answers with these bytes.
    fn answering(bytes: Vec<u8>) -> Self {
        Self::new(move |stream| send(stream, &bytes))
    }

    /// What it was asked for since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

const DUMP: &str = "goroutine 7 [chan receive, 3 minutes]:\nmain.worker()\n\t/src/app/main.go:19 +0x1\ncreated by main.serve in goroutine 1\n\t/src/app/main.go:30 +0x1\n\n";

/// A trace that a real program of Go 1.27 wrote.
fn trace() -> Vec<u8> {
    recorded("go1.27.3-trace/trace-1s.out.gz")
}

#[track_caller]
fn failed(metrics: &Metrics, reason: &str) {
    metrics.is("goroutine_probe_success", &[], 1.0);
    metrics.is("goroutine_trace_failure", &[("reason", reason)], 1.0);
    assert_eq!(metrics.all("goroutine_trace_failure", &[]).count(), 1);
    assert_eq!(metrics.value("goroutine_trace_window_seconds", &[]), None);
}

#[tokio::test]
async fn nobody_is_traced_who_was_not_asked_to_be() {
    let target = Target::answering(ok(&trace()));
    let exporter = Clockwork::new(
        "modules: { default: { profiles: [goroutineleak] } }",
        &target.server,
    );
    for minute in 0..30 {
        let metrics = exporter.probe(minute * 60).await;
        assert!(
            !metrics.text.contains("goroutine_trace"),
            "{}",
            metrics.text
        );
        assert!(!metrics.text.contains("parked"), "{}", metrics.text);
    }
    let asked = target.asked();
    assert!(asked.len() > 30 && !asked.iter().any(|path| path.contains("trace")));
}

#[tokio::test]
async fn a_trace_is_sized_repeated_and_forgotten() {
    let body = trace();
    let target = Target::answering(ok(&body));
    let small =
        "modules: { default: { detail: { mode: off }, trace: { mode: auto, max_bytes: 64KiB } } }";
    let exporter = Clockwork::new(small, &target.server);
    let metrics = exporter.probe(0).await;
    assert_eq!(target.asked(), [GOROUTINE, FIRST, GOROUTINE]);
    metrics.is("goroutine_profile_success", &TRACE, 1.0);
    metrics.is("goroutine_profile_supported", &TRACE, 1.0);
    metrics.is("goroutine_profile_body_bytes", &TRACE, body.len() as f64);
    metrics.is("goroutine_trace_damaged_events", &[], 0.0);
    assert_eq!(metrics.value(TIMESTAMP, &TRACE).map(f64::floor), Some(0.0));
    assert_eq!(metrics.all("goroutine_trace_failure", &[]).count(), 0);
    // A trace that lasts a second, of a program that parks its goroutines: what it tells is told by tests/it/traces.rs.
    let window = metrics
        .value("goroutine_trace_window_seconds", &[])
        .unwrap();
    assert!((0.9..1.2).contains(&window), "{window}");
    let parked: f64 = metrics
        .all("goroutine_trace_parked_goroutines", &[])
        .map(|sample| sample.value)
        .sum();
    assert!(parked > 100.0, "{parked}");
    for second in [15, 299] {
        let again = exporter.probe(second).await;
        assert_eq!(target.asked(), [GOROUTINE], "{second}");
        assert_eq!(
            again.value(TIMESTAMP, &TRACE),
            metrics.value(TIMESTAMP, &TRACE)
        );
        assert_eq!(
            again.value("goroutine_trace_window_seconds", &[]),
            Some(window)
        );
    }
    // Each next window is as much shorter as the last was too heavy: 0.05 s × 65,536 / 124,670, and so on, until it would be
    // shorter than 10 ms.
    assert_eq!(body.len(), 124_670);
    for (second, seconds) in [(300, "0.026"), (600, "0.013")] {
        exporter.probe(second).await;
        let sized = format!("/debug/pprof/trace?seconds={seconds}");
        assert_eq!(target.asked(), [GOROUTINE, &sized, GOROUTINE]);
    }
    // What it told is told for two intervals.
    for (second, told) in [(900, true), (1_200, true), (1_201, false)] {
        let metrics = exporter.probe(second).await;
        assert_eq!(target.asked(), [GOROUTINE], "{second}");
        let window = metrics.value("goroutine_trace_window_seconds", &[]);
        assert_eq!(window.is_some(), told, "{second}");
        let read = metrics.value(TIMESTAMP, &TRACE).map(f64::floor);
        assert_eq!(read, told.then_some(600.0));
        let parked = metrics.all("goroutine_group_parked_ratio", &[]).count();
        assert_eq!(parked > 0, told);
    }
}

#[tokio::test]
async fn who_is_traced_by_somebody_else_is_busy_and_at_no_fault() {
    for sentence in [
        "Could not enable tracing: execution tracer already enabled\n",
        "Could not enable tracing: tracing is already enabled\n",
    ] {
        let target = Target::answering(answer(
            "500 Internal Server Error",
            "X-Go-Pprof: 1\r\n",
            sentence.as_bytes(),
        ));
        let exporter = Clockwork::new(ON, &target.server);
        for second in [0, 300, 600] {
            failed(&exporter.probe(second).await, "busy");
            assert_eq!(target.asked(), [GOROUTINE, FIRST], "{second}");
        }
    }
    // Not in these words, or not by Go.
    for (headers, sentence) in [
        ("X-Go-Pprof: 1\r\n", "something else"),
        ("", "execution tracer already enabled"),
    ] {
        let refused = answer("500 Internal Server Error", headers, sentence.as_bytes());
        let target = Target::answering(refused);
        let exporter = Clockwork::new(ON, &target.server);
        failed(&exporter.probe(0).await, "http_status");
        target.asked();
        exporter.probe(300).await;
        assert_eq!(
            target.asked(),
            [GOROUTINE],
            "a failure doubles the interval"
        );
    }
}

#[tokio::test]
async fn who_cannot_be_traced_is_asked_once_an_hour() {
    let old = ok(b"go 1.21 trace\0\0\0 and what follows");
    let unknown = ok(b"go 1.99 trace\0\0\0 and what follows");
    let missing = answer("404 Not Found", "", b"404 page not found");
    for (bytes, reason) in [
        (old, "unsupported_version"),
        (unknown, "unsupported_version"),
        (missing, "http_status"),
    ] {
        let target = Target::answering(bytes);
        let exporter = Clockwork::new(ON, &target.server);
        for (second, asks) in [(0, true), (300, false), (3_599, false), (3_600, true)] {
            let metrics = exporter.probe(second).await;
            failed(&metrics, reason);
            metrics.is("goroutine_profile_supported", &TRACE, 0.0);
            assert_eq!(metrics.value("goroutine_profile_success", &TRACE), None);
            let asked = target.asked();
            let asked = asked.iter().any(|path| path.contains("trace?"));
            assert_eq!(asked, asks, "{second}");
        }
    }
}

#[tokio::test]
async fn what_is_no_trace_or_a_part_of_one_says_so() {
    let whole = trace();
    let part = whole[..whole.len() / 2].to_vec();
    let mut cut = ok(&whole);
    cut.truncate(cut.len() - 1);
    let mut damaged = whole.clone();
    damaged[16] = 0xff;
    for (bytes, reason) in [
        (ok(b"<html>not here</html>"), "not_pprof"),
        (ok(b""), "truncated"),
        (ok(&part), "truncated"),
        (cut, "truncated"),
        (ok(&damaged), "damaged"),
    ] {
        let target = Target::answering(bytes);
        let metrics = Clockwork::new(ON, &target.server).probe(0).await;
        metrics.is("goroutine_probe_success", &[], 1.0);
        metrics.is("goroutine_profile_success", &TRACE, 0.0);
        failed(&metrics, reason);
        metrics.is("goroutine_goroutines", &[], 30.0);
    }
}

#[tokio::test]
async fn an_endless_trace_is_given_up() {
    let target = Target::new(|mut stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n";
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = stream.write_all(&[7; 4096]);
        }
    });
    let small =
        "modules: { default: { detail: { mode: off }, trace: { mode: auto, max_bytes: 64KiB } } }";
    let exporter = Clockwork::new(small, &target.server);
    let metrics = exporter.probe(0).await;
    failed(&metrics, "too_large");
    let bytes = metrics.value("goroutine_profile_body_bytes", &TRACE);
    let bytes = bytes.unwrap();
    // What came with the piece that was too much is in it.
    assert!((262_144.0..2_000_000.0).contains(&bytes), "{bytes}");
    assert_eq!(target.asked(), [GOROUTINE, FIRST], "no profile behind it");
}

#[tokio::test]
async fn a_trace_that_never_comes_makes_no_probe_late() {
    let target = Target::new(until_closed);
    let exporter = Clockwork::new(ON, &target.server);
    let budget = Duration::from_secs(2);
    let begun = std::time::Instant::now();
    let metrics = exporter.within(budget, 0).await;
    assert!(begun.elapsed() < budget * 3 / 2, "{:?}", begun.elapsed());
    failed(&metrics, "timeout");
    // What does not fit is not even asked for: the window, its reading, and the way to the answer.
    let target = Target::answering(ok(&trace()));
    let exporter = Clockwork::new(ON, &target.server);
    exporter.within(Duration::from_secs(1), 0).await;
    assert_eq!(target.asked(), [GOROUTINE]);
    exporter.within(Duration::from_secs(2), 15).await;
    assert!(target.asked().contains(&FIRST.to_owned()));
}

#[tokio::test]
async fn never_two_that_cost_in_one_probe_and_each_has_its_turn() {
    let target = Target::answering(ok(&trace()));
    let all = "modules: { default: { profiles: [goroutineleak], detail: { mode: always }, trace: { mode: auto } } }";
    let exporter = Clockwork::new(all, &target.server);
    let mut turns = [0; 3];
    for quarter in 0..120 {
        exporter.probe(quarter * 15).await;
        let asked = target.asked();
        let costly = ["debug=2", "goroutineleak", "trace?"]
            .map(|kind| asked.iter().filter(|path| path.contains(kind)).count());
        assert!(costly.iter().sum::<usize>() <= 1, "{asked:?}");
        for (turns, asked) in turns.iter_mut().zip(costly) {
            *turns += asked;
        }
    }
    // Half an hour: the leaks at most every ten minutes, the trace every five, and the detail in all other probes.
    assert_eq!(turns[1], 3, "{turns:?}");
    assert_eq!(turns[2], 6, "{turns:?}");
    assert_eq!(turns.iter().sum::<usize>(), 120, "{turns:?}");
}

/// `tests/bench/service`, running.
struct Service {
    _program: Program,
    target: String,
}

impl Service {
    fn start(version: &str, flags: &[&str]) -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("service{version}"));
        std::fs::create_dir_all(&folder).unwrap();
        // Tests that run at once must not write the same file.
        let file = tempfile::Builder::new()
            .prefix("service")
            .tempfile_in(&folder)
            .unwrap();
        let path = file.into_temp_path();
        let output = Command::new(repository("tests/tools/go.sh"))
            .args([version, "build", "-C", "tests/bench/service", "-o"])
            .arg(&*path)
            .arg(".")
            .current_dir(repository("."))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(127) {
            skip(error.trim());
            return None;
        }
        assert!(output.status.success(), "Go {version}: {error}");
        let program = Program::start(Command::new(&*path).args(flags));
        let target = program.line("target", |line| {
            Some(line.strip_prefix("ready ")?.to_owned())
        });
        Some(Self {
            _program: program,
            target,
        })
    }

    fn address(&self) -> SocketAddr {
        let (_, address) = self.target.split_once("://").unwrap();
        address.parse().unwrap()
    }
}

/// The sample of the group that blocks in this function.
fn of_group(metrics: &Metrics, name: &str, function: &str) -> Option<f64> {
    metrics.value(name, &[("blocking_frame", function)])
}

#[test]
fn a_leak_is_proven_parked_and_what_moves_is_not() {
    for version in [MIDDLE, NEW] {
        let Some(service) = Service::start(version, &["-leak=300", "-moving=40"]) else {
            return;
        };
        let exporter = Exporter::start(ON);
        let metrics = exporter.probe(&service.target, "default");
        let is = |name: &str, function: &str, expected: f64| {
            let found = of_group(&metrics, name, function);
            assert_eq!(
                found,
                Some(expected),
                "Go {version}: {name}\n{}",
                metrics.text
            );
        };
        metrics.is("goroutine_profile_success", &TRACE, 1.0);
        is("goroutine_group_goroutines", "main.leak", 300.0);
        is("goroutine_group_parked_goroutines", "main.leak", 300.0);
        is("goroutine_group_parked_ratio", "main.leak", 1.0);
        is("goroutine_trace_parked_goroutines", "main.leak", 300.0);
        is("goroutine_group_goroutines", "main.move", 40.0);
        is("goroutine_group_parked_ratio", "main.move", 0.0);
        let moved = of_group(&metrics, "goroutine_trace_blocked_events", "main.move").unwrap();
        assert!(moved >= 40.0, "Go {version}: {moved}");
        let window = metrics
            .value("goroutine_trace_window_seconds", &[])
            .unwrap();
        assert!(window >= 0.05, "{window}");
        let checked = metrics
            .value("goroutine_trace_checked_goroutines", &[])
            .unwrap();
        assert!(checked >= 340.0, "{checked}");
        let cores = metrics.value("goroutine_trace_processors", &[]);
        assert!(cores.is_none_or(|cores| cores >= 1.0), "{cores:?}");
        // A page has it in a column of its own; somebody who looks a moment later gets what is repeated.
        let path = probe_path(&service.target, &[]).replacen("/probe", "/target", 1);
        let page = exporter.get(&path).text();
        assert!(
            page.contains("Did not move") && page.contains("proven parked"),
            "{page}"
        );
        let own = exporter.metrics();
        let bytes = own.value("goroutine_exporter_fetched_bytes_total", &TRACE);
        assert_eq!(bytes, metrics.value("goroutine_profile_body_bytes", &TRACE));
        own.is(
            "goroutine_exporter_trace_skipped_total",
            &[("reason", "interval")],
            1.0,
        );
    }
}

#[test]
fn a_second_tracer_of_a_real_program_is_busy() {
    for version in [MIDDLE, NEW] {
        let Some(service) = Service::start(version, &[]) else {
            return;
        };
        let exporter = Exporter::start(ON);
        // Until somebody else is told that it is being traced, it may not have begun.
        let _tracer = until("the first tracer", || {
            let mut stream = TcpStream::connect(service.address()).unwrap();
            write!(stream, "GET /debug/pprof/trace?seconds=60 HTTP/1.0\r\n\r\n").unwrap();
            let second = get(service.address(), "/debug/pprof/trace?seconds=0.01");
            (second.status == 500).then_some(stream)
        });
        failed(&exporter.probe(&service.target, "default"), "busy");
    }
}

#[test]
fn a_real_program_of_an_old_go_is_not_supported() {
    let Some(service) = Service::start(OLD, &["-leak=30"]) else {
        return;
    };
    let exporter = Exporter::start(ON);
    let metrics = exporter.probe(&service.target, "default");
    failed(&metrics, "unsupported_version");
    metrics.is("goroutine_profile_supported", &TRACE, 0.0);
    assert_eq!(metrics.all("goroutine_group_parked_ratio", &[]).count(), 0);
}

/// Memory of a process, in bytes.
fn memory(process: u32, what: &str) -> Option<u64> {
    let mut text = String::new();
    let status = std::fs::File::open(format!("/proc/{process}/status"));
    status.ok()?.read_to_string(&mut text).unwrap();
    let line = text.lines().find(|line| line.starts_with(what))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

#[test]
fn an_endless_trace_takes_no_more_memory_than_it_may() {
    const LIMIT: u64 = 64 << 20;
    let target = Target::new(|mut stream| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\ngo 1.26 trace\0\0\0";
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = stream.write_all(&[1; 8 << 10]);
        }
    });
    let exporter = Exporter::start(ON);
    let process = exporter.program.id();
    let Some(before) = memory(process, "VmHWM:") else {
        skip("no /proc to read memory from");
        return;
    };
    failed(
        &exporter.probe(&target.server.target(), "default"),
        "too_large",
    );
    let peak = memory(process, "VmHWM:").unwrap() - before;
    assert!(
        (LIMIT / 2..LIMIT * 5 / 4).contains(&peak),
        "{} MiB",
        peak >> 20
    );
    let own = exporter.metrics();
    own.is("goroutine_exporter_decode_errors_total", &TRACE, 1.0);
}
