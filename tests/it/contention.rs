//! Contention and threads as Go's own pprof reads them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use goroutine_exporter::classify::Rules;
use goroutine_exporter::decode::{Wanted, decode_as};
use goroutine_exporter::tally::{
    Contention, ContentionCollector, ContentionMemory, Threads, select_contention,
};

use crate::captures::LIMITS;
use crate::go::{GoProgram, MIDDLE, NEW, OLD};
use crate::http::get;
use crate::programs::repository;

/// Blocking frame and application frame.
type Place = (String, String);

/// Events and nanoseconds by place.
type Places = BTreeMap<Place, (u64, u64)>;

/// One sample as pprof prints it: its values, and the functions of its stack, leaf first.
#[derive(Debug)]
struct Sample {
    values: Vec<u64>,
    functions: Vec<String>,
}

/// Reads what `pprof -raw` prints.
fn samples(raw: &str) -> Vec<Sample> {
    let (before, locations) = raw.split_once("\nLocations\n").unwrap();
    let (_, listed) = before.split_once("\nSamples:\n").unwrap();
    let (locations, _) = locations.split_once("Mappings\n").unwrap();
    let mut calls: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = "";
    for line in locations.lines() {
        // `     1: 0x46d8f3 M=1 sync.(*Mutex).Lock sync/mutex.go:90:0 s=81`, and a line for each call that the first was
        // inlined into, without number, address and mapping.
        let mut call = line.trim_start();
        if let Some((number, rest)) = call.split_once(": 0x") {
            current = number;
            (_, call) = rest.split_once(' ').unwrap();
            if call.starts_with("M=") {
                (_, call) = call.split_once(' ').unwrap();
            }
        }
        let (call, _) = call.rsplit_once(" s=").unwrap();
        let (function, _) = call.rsplit_once(' ').unwrap();
        calls.entry(current).or_default().push(function);
    }
    let mut samples = Vec::new();
    // The first line names the values.
    for line in listed.lines().skip(1) {
        let (values, stack) = line.split_once(':').unwrap();
        samples.push(Sample {
            values: values
                .split_whitespace()
                .map(|value| value.parse().unwrap())
                .collect(),
            functions: stack
                .split_whitespace()
                .flat_map(|number| calls[number].iter().map(|function| (*function).to_owned()))
                .collect(),
        });
    }
    samples
}

/// The samples of a recording, which keeps what pprof printed.
fn recorded(truth: &serde_json::Value, profile: &str) -> Vec<Sample> {
    let samples = truth[profile].as_array().unwrap();
    let number = |sample: &serde_json::Value, key: &str| sample[key].as_u64();
    samples
        .iter()
        .map(|sample| Sample {
            values: ["threads", "events", "nanoseconds"]
                .iter()
                .filter_map(|key| number(sample, key))
                .collect(),
            functions: serde_json::from_value(sample["functions"].clone()).unwrap(),
        })
        .collect()
}

/// The import path of a function that has no dot in it.
fn package(function: &str) -> &str {
    let path = function.rfind('/').map_or(0, |slash| slash + 1);
    let dot = function[path..].find('.').unwrap_or(function.len() - path);
    &function[..path + dot]
}

/// As the documentation of the labels has it, as far as this program and what serves it need.
fn place(functions: &[String]) -> Place {
    const PLUMBING: [&str; 12] = [
        "runtime",
        "sync",
        "sync/atomic",
        "time",
        "net",
        "os",
        "syscall",
        "io",
        "bufio",
        "bytes",
        "reflect",
        "panic",
    ];
    let plumbing = |function: &str| {
        let package = package(function);
        PLUMBING.contains(&package) || package.starts_with("internal/")
    };
    let blocking = functions.iter().find(|function| !plumbing(function));
    let outermost = || {
        let own = |function: &&String| package(function) != "runtime";
        functions.iter().rfind(own).or(functions.last())
    };
    let app = functions
        .iter()
        .find(|function| package(function) == "main");
    let name = |function: Option<&String>| function.cloned().unwrap_or_default();
    (name(blocking.or_else(outermost)), name(app))
}

/// Events and nanoseconds by place, from what pprof printed.
fn places(samples: &[Sample]) -> Places {
    let mut places = Places::new();
    for sample in samples {
        let [events, nanoseconds] = sample.values[..] else {
            panic!("{sample:?}");
        };
        let known = places.entry(place(&sample.functions)).or_default();
        known.0 += events;
        known.1 += nanoseconds;
    }
    places
}

fn count(body: &[u8]) -> Contention {
    let mut collector = ContentionCollector::new(&Rules::default());
    let summary = decode_as(Wanted::Contention, body, &LIMITS, &mut collector).unwrap();
    assert_eq!((summary.damage, summary.truncated), (0, false));
    collector.finish()
}

fn threads(body: &[u8]) -> u64 {
    let mut threads = Threads::default();
    let summary = decode_as(Wanted::Threads, body, &LIMITS, &mut threads).unwrap();
    assert_eq!(summary.damage, 0);
    threads.total()
}

/// A body counted is what pprof says, and holds at least what the program did on purpose.
fn check(body: &[u8], samples: &[Sample], truth: &serde_json::Value, profile: &str) {
    let counted = count(body);
    let expected = places(samples);
    let found: Places = counted
        .places
        .iter()
        .map(|place| {
            let key = (
                place.blocking_frame.to_string(),
                place.app_frame.to_string(),
            );
            (key, (place.events, place.nanoseconds))
        })
        .collect();
    assert_eq!(found, expected, "{profile}");
    assert_eq!(found.len(), counted.places.len(), "places of one name");
    let sum = |value: usize| -> u64 { samples.iter().map(|sample| sample.values[value]).sum() };
    assert_eq!((counted.events, counted.nanoseconds), (sum(0), sum(1)));
    assert!(
        counted
            .places
            .is_sorted_by(|a, b| a.nanoseconds >= b.nanoseconds)
    );
    let mut known = 0;
    for least in truth["at_least"].as_array().unwrap() {
        if least["profile"] != profile {
            continue;
        }
        let text = |key: &str| least[key].as_str().unwrap().to_owned();
        let (events, nanoseconds) = found[&(text("blocking_frame"), text("app_frame"))];
        let number = |key: &str| least[key].as_u64().unwrap();
        assert!(events >= number("events"), "{least}: {events}");
        assert!(
            nanoseconds >= number("nanoseconds"),
            "{least}: {nanoseconds}"
        );
        known += 1;
    }
    assert_eq!(known, if profile == "block" { 6 } else { 2 });
    let selection = select_contention(&counted, 3, &mut ContentionMemory::default());
    let shown: u64 = counted
        .places
        .iter()
        .take(3)
        .map(|place| place.nanoseconds)
        .sum();
    assert_eq!(selection.other_nanoseconds, counted.nanoseconds - shown);
}

/// What Go's own reader prints of a profile.
fn raw(file: &Path) -> String {
    let output = Command::new(repository("tests/tools/go.sh"))
        .args([NEW, "tool", "pprof", "-raw"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", file.display());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn contention_of_a_program_is_what_pprof_says() {
    for version in [OLD, MIDDLE, NEW] {
        let Some(program) = GoProgram::start(version, "contention", &[]) else {
            return;
        };
        let truth = get(program.address(), "/truth").json();
        assert_eq!(truth["go"], format!("go{version}"));
        let folder = tempfile::tempdir().unwrap();
        let fetch = |profile: &str| {
            let body = get(program.address(), &format!("/debug/pprof/{profile}")).body;
            let file = folder.path().join(profile);
            std::fs::write(&file, &body).unwrap();
            (body, samples(&raw(&file)))
        };
        for profile in ["block", "mutex"] {
            let (body, samples) = fetch(profile);
            check(&body, &samples, &truth, profile);
        }
        let (body, samples) = fetch("threadcreate");
        let expected: u64 = samples.iter().map(|sample| sample.values[0]).sum();
        assert!(expected > 1);
        assert_eq!(threads(&body), expected, "Go {version}");
    }
}

#[test]
fn recorded_contention_is_what_pprof_said() {
    for folder in ["go1.21.13-contention", "go1.27.3-contention"] {
        let folder = repository("tests/data").join(folder);
        let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
        let truth = serde_json::from_slice(&read("truth.json")).unwrap();
        for profile in ["block", "mutex"] {
            let body = read(&format!("{profile}.pb.gz"));
            check(&body, &recorded(&truth, profile), &truth, profile);
        }
        let expected = recorded(&truth, "threadcreate");
        let expected: u64 = expected.iter().map(|sample| sample.values[0]).sum();
        assert_eq!(threads(&read("threadcreate.pb.gz")), expected);
    }
}
