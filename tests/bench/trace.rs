//! What reading an execution trace costs beside Go's own reader: `cargo bench --bench trace`.
//!
//! A Go program traces itself; ours and a Go program around `internal/trace` count the same in it, in turn, and the table of
//! the medians of their CPU time goes to standard output. `README.md` beside this says what the columns mean.
//!
//! Without `--bench`, as `cargo test` runs it, it shows on short traces that the table comes about.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on must say so, and its figures are small"
)]

#[path = "../it/traces/build.rs"]
mod build;
#[path = "../it/http.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod http;
#[path = "machine.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod machine;
#[path = "../it/programs.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod programs;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use goroutine_exporter::classify::Rules;
use goroutine_exporter::trace::{Limits, decode};

/// The versions whose traces are read.
const VERSIONS: [&str; 3] = ["1.24.11", "1.26.6", "1.27.3"];
/// How many times our CPU time Go's reader should take.
const GOAL: f64 = 3.0;

/// What a round of the measurement is.
#[derive(Clone, Copy, Debug)]
struct Plan {
    busy: &'static str,
    ping: &'static str,
    rounds: usize,
    /// Readings of a round: short traces are read often enough to be measured.
    bytes: usize,
}

/// Medians of one trace.
#[derive(Debug)]
struct Row {
    name: String,
    bytes: usize,
    events: u64,
    ours: Duration,
    theirs: Duration,
}

fn main() {
    let given: BTreeSet<String> = std::env::args().collect();
    let measure = given.contains("--bench") && !given.contains("--test");
    let plan = if measure {
        Plan {
            busy: "3s",
            ping: "2s",
            rounds: 7,
            bytes: 40_000_000,
        }
    } else {
        Plan {
            busy: "100ms",
            ping: "20ms",
            rounds: 1,
            bytes: 0,
        }
    };
    let Some(oracle) = build::oracle() else {
        assert!(!measure, "no measurement without Go");
        return;
    };
    let started = SystemTime::now();
    let load = machine::load();
    let mut rows = Vec::new();
    for version in VERSIONS {
        for (kind, flags) in [
            ("busy", vec!["-for", plan.busy]),
            ("ping", vec!["-for", plan.ping, "-ping"]),
        ] {
            let Some(body) = build::traced(version, &flags, "") else {
                return;
            };
            rows.push(row(&format!("{kind}, Go {version}"), &body, &oracle, plan));
        }
    }
    println!(
        "{}: {} cores, {}; ours built for {}; medians of {} rounds; load {load} at the start, {} at the end.\n",
        humantime::format_rfc3339_seconds(started),
        available_parallelism().map_or(0, usize::from),
        machine::processor(),
        if cfg!(debug_assertions) {
            "debugging"
        } else {
            "release"
        },
        plan.rounds,
        machine::load(),
    );
    println!("{}", table(&rows));
    assert_eq!(rows.len(), 2 * VERSIONS.len());
}

/// Both read a trace in turn. That both count the same in it, the tests show (`tests/it/traces.rs`).
fn row(name: &str, body: &[u8], oracle: &Path, plan: Plan) -> Row {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    fs::write(&file, body).unwrap();
    let repeat = (plan.bytes / body.len()).max(1);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut events = 0;
    for round in 0..plan.rounds {
        let start = cpu();
        for _ in 0..repeat {
            let window = decode(body, &Limits::default(), &Rules::default()).unwrap();
            assert!(window.damage.is_none(), "{name}: {:?}", window.damage);
            events = window.events;
        }
        let spent = cpu().saturating_sub(start);
        ours.push(spent / u32::try_from(repeat).unwrap());
        let output = Command::new(oracle)
            .args(["-repeat", &repeat.to_string()])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let figure = |key: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_else(|| panic!("no {key} in {text}"))
                .trim()
                .parse()
                .unwrap()
        };
        assert!(figure("events") > 0, "{name}");
        theirs.push(Duration::from_nanos(figure("cpu_ns")));
        eprintln!(
            "{name}, round {}: {:?} {:?}",
            round + 1,
            ours.last(),
            theirs.last()
        );
    }
    Row {
        name: name.to_owned(),
        bytes: body.len(),
        events,
        ours: median(&mut ours),
        theirs: median(&mut theirs),
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = "| trace | size | events | ours | speed | events a second | Go's reader | speed | of ours | goal |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    for row in rows {
        let megabytes = row.bytes as f64 / 1e6;
        let (ours, theirs) = (row.ours.as_secs_f64(), row.theirs.as_secs_f64());
        let times = theirs / ours;
        writeln!(
            text,
            "| {} | {megabytes:.1} MB | {} | {:.1} ms | {:.0} MB/s | {:.1} M/s | {:.1} ms | {:.0} MB/s | {times:.1}x | {GOAL:.0}x: {} |",
            row.name,
            machine::thousands(row.events),
            ours * 1e3,
            megabytes / ours,
            row.events as f64 / 1e6 / ours,
            theirs * 1e3,
            megabytes / theirs,
            match times {
                _ if cfg!(debug_assertions) => "not for release",
                GOAL.. => "met",
                _ => "MISSED",
            },
        )
        .unwrap();
    }
    text
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}
