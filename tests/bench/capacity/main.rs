//! What the exporter costs where it runs: `cargo bench --bench capacity`.
//!
//! Against `blackbox_exporter` with the same URL of a real Go service; with more and more targets, as an instance of a
//! cluster has them; with more and more groups in one target; and at its start. Tables go to standard output as Markdown,
//! progress to standard error. `README.md` beside this folder says what the columns mean.
//!
//! Every answer is held to what the target said: a probe that failed is a cheap one, and must not pass for a good one.
//!
//! Without `--bench`, as `cargo test` runs it, it only shows on a few targets that the tables come about.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    clippy::unchecked_time_subtraction,
    reason = "a benchmark that cannot go on must say so, and its figures are small"
)]

mod ask;
mod exporter;
mod fleet;
#[path = "../gobuild.rs"]
mod gobuild;
#[path = "../../it/http.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod http;
mod load;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod machine;
mod peer;
mod plot;
mod profile;
#[path = "../../it/programs.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod programs;
mod report;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use programs::skip;
use report::Report;

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "capacity")]
struct Options {
    /// Parts of the run
    #[arg(
        long,
        value_name = "PART,...",
        value_delimiter = ',',
        default_value = "start,peers,groups,targets"
    )]
    parts: Vec<Part>,
    /// How many targets, in turn
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "100,500,1000,2000,5000"
    )]
    targets: Vec<usize>,
    /// How often each target is probed
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Intervals to measure, after one to warm up
    #[arg(long, default_value_t = 3)]
    intervals: usize,
    /// Groups of one target, in turn
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "10,100,1000,10000"
    )]
    groups: Vec<usize>,
    /// Rounds against `blackbox_exporter`
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Probes in each of them
    #[arg(long, default_value_t = 1000)]
    probes: usize,
    /// Starts to measure
    #[arg(long, default_value_t = 20)]
    starts: usize,
    /// Where to draw CPU time and memory over the number of targets, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Names of benchmarks to run; nothing happens if none of them is part of this one's
    names: Vec<String>,
    /// As cargo bench says it
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From the start to the first answer, and the size of the program
    Start,
    /// Against `blackbox_exporter`
    Peers,
    /// One target with more and more groups
    Groups,
    /// More and more targets
    Targets,
}

fn main() -> ExitCode {
    let given: BTreeSet<String> = std::env::args().collect();
    // The asker's client wants one, though all is plain HTTP.
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    // Each target is a listener and a connection here, and a connection in the exporter, which sees to its own.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if given.contains("--test") || !given.contains("--bench") {
        runtime.block_on(check());
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    if !options.names.is_empty() && !options.names.iter().any(|n| "capacity".contains(&**n)) {
        return ExitCode::SUCCESS;
    }
    let report = runtime.block_on(run(&options));
    println!("{report}");
    let faults = report.faults();
    for fault in &faults {
        eprintln!("FAULT: {fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// All parts that are wanted, one after the other.
async fn run(options: &Options) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let mut report = Report::new();
    if options.parts.contains(&Part::Start) {
        let starts = (0..options.starts).map(|_| exporter::first_answer());
        report.first_answers = starts.collect();
        report.size = exporter::stripped_size(folder.path());
        if report.size.is_none() {
            skip("no strip, which measures the program without its symbols");
        }
    }
    if options.parts.contains(&Part::Peers) {
        report.peers = peer::compare(options.rounds, options.probes, folder.path()).await;
    }
    if options.parts.contains(&Part::Groups) {
        for &groups in &options.groups {
            let row = load::of_groups(groups).await;
            eprintln!("{groups} groups: {:?}", row.cpu_of_probe);
            report.groups.push(row);
        }
    }
    if options.parts.contains(&Part::Targets) {
        for &targets in &options.targets {
            let row = load::steady(targets, options.interval, options.intervals).await;
            eprintln!(
                "{targets} targets: {:.2} % of one core",
                row.share() * 100.0
            );
            report.rows.push(row);
        }
        if let Some(file) = &options.picture {
            plot::draw(&report.rows, file);
        }
    }
    report.finish();
    report
}

/// The tables come about, whole, and the picture. No time is judged.
async fn check() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("capacity.svg");
    let options = Options {
        parts: vec![Part::Start, Part::Peers, Part::Groups, Part::Targets],
        targets: vec![3, 30],
        interval: Duration::from_millis(600),
        intervals: 2,
        groups: vec![10, 100],
        rounds: 2,
        probes: 10,
        starts: 2,
        picture: Some(picture.clone()),
        names: Vec::new(),
        bench: false,
    };
    let report = run(&options).await;
    let text = report.to_string();
    assert_eq!(report.faults(), Vec::<String>::new(), "{text}");
    assert_eq!(report.first_answers.len(), 2);
    if let Some(peers) = &report.peers {
        assert_eq!((peers.ours.len(), peers.blackbox.len()), (2, 2));
    }
    for (row, targets) in report.rows.iter().zip([3, 30]) {
        // Nothing of the warming up is among what is measured.
        assert_eq!((row.targets, row.probes), (targets, 2 * targets));
        assert_eq!(row.details, targets as u64, "one detail of each target");
        // A connection to each target is kept.
        assert!(row.held.files > targets, "{row:?}");
    }
    for (row, groups) in report.groups.iter().zip([10, 100]) {
        assert_eq!((row.groups, row.goroutines), (groups, 20 * groups as u64));
        assert!(row.answer_bytes_packed < row.answer_bytes);
    }
    let cells = |line: &str| line.matches('|').count();
    for part in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let widths: BTreeSet<usize> = part.lines().map(cells).collect();
        assert_eq!(widths.len(), 1, "{part}");
    }
    let drawn = std::fs::read_to_string(picture).unwrap();
    assert!(drawn.contains("</svg>") && drawn.contains("one core"));
    println!("{text}");
}
