//! `inspect --trace`: files, standard input and targets alike, what goes wrong, and a live program.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::go::{GoProgram, NEW};
use crate::http::ask;
use crate::programs::{repository, run};
use crate::servers::{Server, nobody, ok};

const TRACE: &str = "tests/data/go1.27.3-trace/trace-1s.out.gz";

fn packed() -> Vec<u8> {
    std::fs::read(repository(TRACE)).unwrap()
}

fn unpacked() -> Vec<u8> {
    let mut body = Vec::new();
    let packed = packed();
    #[expect(clippy::disallowed_types, reason = "the capture is our own")]
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut body).unwrap();
    body
}

fn report(arguments: &[&str], input: &[u8]) -> Value {
    let arguments = [&["inspect", "--trace", "--format", "json"], arguments].concat();
    let output = run(&arguments, input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn fails(output: &Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty());
    for words in words {
        assert!(error.contains(words), "no {words:?} in: {error}");
    }
}

#[test]
fn files_standard_input_and_targets_are_read_alike() {
    let (packed, unpacked) = (packed(), unpacked());
    let folder = tempfile::tempdir().unwrap();
    let plain: PathBuf = folder.path().join("trace.out");
    std::fs::write(&plain, &unpacked).unwrap();
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let server = {
        let (asked, body) = (asked.clone(), unpacked.clone());
        Server::by_path(move |path| {
            asked.lock().unwrap().push(path.to_owned());
            ok(&body)
        })
    };
    let of = |arguments: &[&str], input: &[u8]| {
        let mut report = report(arguments, input);
        assert_eq!(report["source"].take(), *arguments.last().unwrap());
        report
    };
    let first = of(&[repository(TRACE).to_str().unwrap()], b"");
    assert_eq!(first["format"], "go 1.26");
    assert_eq!(first["truncated"], false);
    // As `go tool trace` counts them, and `tests/it/traces.rs` compares.
    assert_eq!(first["goroutines"], 186);
    assert_eq!(first, of(&[plain.to_str().unwrap()], b""));
    assert_eq!(first, of(&["-"], &packed));
    assert_eq!(first, of(&["-"], &unpacked));
    assert_eq!(first, of(&[&server.target()], b""));
    assert_eq!(first, of(&["--seconds", "0.5", &server.target()], b""));
    let url = format!("http://{}/x/trace?seconds=1", server.address);
    assert_eq!(first, of(&[&url], b""));
    assert_eq!(
        *asked.lock().unwrap(),
        [
            // Of a target the profile is asked for first, and not again when that told nothing.
            "/debug/pprof/goroutine",
            "/debug/pprof/trace?seconds=0.2",
            "/debug/pprof/goroutine",
            "/debug/pprof/trace?seconds=0.5",
            "/x/trace?seconds=1"
        ]
    );
}

#[test]
fn top_leaves_nothing_uncounted() {
    let all = report(&[repository(TRACE).to_str().unwrap()], b"");
    let top = report(&["--top", "2", repository(TRACE).to_str().unwrap()], b"");
    assert_eq!(top["blocked"].as_array().unwrap().len(), 2);
    assert_eq!(all["blocked_other"], Value::Null);
    let parked = |groups: &Value| -> u64 {
        let groups = groups.as_array().unwrap().iter();
        groups
            .map(|group| group["parked_goroutines"].as_u64().unwrap())
            .sum()
    };
    let rest = top["blocked_other"]["parked_goroutines"].as_u64().unwrap();
    assert_eq!(parked(&all["blocked"]), parked(&top["blocked"]) + rest);
    assert!(rest > 100, "{rest}");
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do() {
    let status = |line: &str, headers: &str, body: &str| {
        format!(
            "HTTP/1.1 {line}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let target = |answer: Vec<u8>, words: &[&str]| {
        let server = Server::answering(answer);
        let output = run(&["inspect", "--trace", &server.target()], b"");
        fails(&output, words);
    };
    // The sentences of Go 1.25 and newer, and of those before.
    for sentence in [
        "Could not enable tracing: execution tracer already enabled\n",
        "Could not enable tracing: tracing is already enabled\n",
    ] {
        target(
            status("500 Internal Server Error", "X-Go-Pprof: 1\r\n", sentence),
            &["somebody else is tracing it", "try again"],
        );
    }
    // Others may say so, and mean something else.
    target(
        status("500 Internal Server Error", "", "Could not enable tracing:"),
        &["the target answered with status 500\n"],
    );
    target(status("404 Not Found", "", ""), &["net/http/pprof"]);
    target(status("400 Bad Request", "", ""), &["WriteTimeout"]);
    let body = unpacked();
    target(
        ok(b"go 1.21 trace\0\0\0and another form"),
        &["Go 1.21", "needs Go 1.22 or newer"],
    );
    target(ok(b"go 1.99 trace\0\0\0"), &["Go 1.99", "a newer"]);
    target(ok(b"<html>"), &["not an execution trace"]);
    target(ok(&body[..5000]), &["take it again"]);
    let cut = ok(&body);
    let cut = cut[..cut.len() - body.len() + 5000].to_vec();
    target(cut, &["the connection ended after 5000 bytes", "ask again"]);
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 65 << 20);
    target(
        long.into_bytes(),
        &["longer than 67108864 bytes", "--seconds 0.05"],
    );
    let gone = nobody().to_string();
    fails(&run(&["inspect", "--trace", &gone], b""), &["refused"]);

    let file = repository(TRACE);
    let file = file.to_str().unwrap();
    let trace = |arguments: &[&str], words: &[&str]| {
        let output = run(&[&["inspect", "--trace"], arguments].concat(), b"");
        fails(&output, words);
    };
    trace(&[file, file], &["takes one source"]);
    trace(&["--format", "folded", file], &["table or json"]);
    trace(&["--seconds", "1", file], &["--seconds is for a target"]);
    trace(&["/no/such/file"], &["No such file"]);
    for input in [packed(), body] {
        let output = run(&["inspect", "-"], &input);
        fails(&output, &["an execution trace (--trace shows it)"]);
    }
}

#[test]
fn what_was_whole_of_a_cut_trace_is_shown_with_a_warning() {
    let body = unpacked();
    // The second generation lacks its end.
    let output = run(&["inspect", "--trace", "-"], &body[..body.len() - 1]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(table.contains("in 1 generation,"), "{table}");
    assert!(table.contains("(generation: 1)"), "{table}");
    let packed = packed();
    let output = run(&["inspect", "--trace", "-"], &packed[..packed.len() - 9]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("ends before its end"), "{table}");
}

#[test]
fn a_live_program_is_traced_and_its_leak_is_the_group_of_its_profile() {
    const LEAKED: u64 = 300;
    let Some(leaky) = GoProgram::start(NEW, "leaky", &[]) else {
        return;
    };
    ask(leaky.address(), "POST", "/leak?n=300", &[]).is(200, "");
    let leak = |groups: &Value| {
        let groups = groups.as_array().unwrap().iter();
        let mut leak = groups.filter(|group| group["app_frame"] == "main.(*Service).render");
        leak.next().unwrap().clone()
    };
    let output = run(&["inspect", "--format", "json", &leaky.target], b"");
    let profile: Value = serde_json::from_slice(&output.stdout).unwrap();
    let in_profile = leak(&profile["groups"]);
    assert_eq!(in_profile["goroutines"], LEAKED);

    let traced = report(&["--seconds", "0.1", &leaky.target], b"");
    let window = traced["window_seconds"].as_f64().unwrap();
    assert!((0.09..30.0).contains(&window), "{window}");
    let in_trace = leak(&traced["blocked"]);
    assert_eq!(in_trace["parked_goroutines"], LEAKED, "{in_trace}");
    for label in ["group_id", "wait_reason", "blocking_frame"] {
        assert_eq!(in_trace[label], in_profile[label], "{label}");
    }
    // Both profiles have all of them, and the trace saw none move.
    let groups = traced["cross_check"]["groups"].as_array().unwrap().iter();
    let mut checked = groups.filter(|group| group["group_id"] == in_profile["group_id"]);
    let checked = checked.next().unwrap();
    assert_eq!(checked["goroutines"], LEAKED, "{checked}");
    assert_eq!(checked["parked_goroutines"], LEAKED, "{checked}");
    // They did not move, so nothing of it is held against anything that did.
    assert_eq!(in_trace["events"], 0);
    let output = run(
        &["inspect", "--trace", "--seconds", "0.05", &leaky.target],
        b"",
    );
    let table = String::from_utf8(output.stdout).unwrap();
    let parked = "300    100%  chan send    main.(*Service).render";
    assert!(table.contains(parked), "{table}");
}
