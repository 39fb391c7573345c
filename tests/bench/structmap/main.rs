//! What the five ways of `examples/go/structmap` to turn a struct into a map cost, and what the exporter sees of a service
//! that does so under load: `cargo bench --bench structmap`.
//!
//! Go's own benchmark tells time and allocations of one conversion. Then the service runs with each of the ways in turn,
//! with the same load, and the exporter probes it all the time. The table goes to standard output, and with `--write` into
//! the README of that folder, beside a picture of it.
//!
//! Without `--bench`, as `cargo test` runs it, it shows with little load that table and picture come about.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark that cannot go on must say so, and its figures are small"
)]

#[path = "../../it/http.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod http;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod machine;
mod plot;
#[path = "../../it/programs.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod programs;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use machine::{load, processor, thousands};
use programs::{Exporter, Program, repository, skip};

/// The newest Go, with which everything is built.
const GO: &str = "1.27.3";

/// The ways, as the README lists them.
pub(crate) const WAYS: [&str; 5] = ["json", "decoder", "plan", "offsets", "generated"];

const FOLDER: &str = "examples/go/structmap";

/// Between these lines of the README is what a run has written.
const MARKS: [&str; 2] = ["<!-- written by a run -->", "<!-- to here -->"];

/// Small groups have series, too, and a service without a free processor has time to answer.
const CONFIG: &str = "modules: { default: { timeout: 1m, detail: { mode: off }, limits: { groups: 5, min_goroutines: 1 } } }\n";

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "structmap")]
struct Options {
    /// Conversions a second that the service is given
    #[arg(long, default_value_t = 30_000)]
    rate: u64,
    /// For how long each way is probed, in seconds
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How long each benchmark of Go takes, as -benchtime has it
    #[arg(long, default_value = "2s")]
    benchtime: String,
    /// Write the table into the README, and the picture beside it
    #[arg(long)]
    write: bool,
    /// Names of benchmarks to run; nothing happens if none of them is part of this one's
    names: Vec<String>,
    /// As cargo bench says it
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one way came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) way: &'static str,
    /// Of one conversion.
    pub(crate) nanoseconds: f64,
    pub(crate) bytes: u64,
    pub(crate) allocations: u64,
    /// Conversions a second under load, and what was refused.
    pub(crate) done: f64,
    pub(crate) refused: u64,
    /// All goroutines by time since the load began, in seconds.
    pub(crate) goroutines: Vec<(f64, f64)>,
    /// At the probe with most goroutines.
    pub(crate) share: f64,
    pub(crate) wait_reason: String,
    pub(crate) frame: String,
}

impl Figures {
    fn most(&self) -> f64 {
        let all = self.goroutines.iter().map(|&(_, count)| count);
        all.fold(0.0, f64::max)
    }

    fn median(&self) -> f64 {
        let mut all: Vec<f64> = self.goroutines.iter().map(|&(_, count)| count).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }
}

fn main() {
    let given: BTreeSet<String> = std::env::args().collect();
    if given.contains("--test") || !given.contains("--bench") {
        return check();
    }
    let options = Options::parse();
    if !options.names.is_empty()
        && !options
            .names
            .iter()
            .any(|name| "structmap".contains(&**name))
    {
        return;
    }
    let started = SystemTime::now();
    let busy = load();
    let Some(figures) = run(&options) else {
        panic!("no measurement without Go {GO}");
    };
    let table = table(&figures, &options, started, &busy);
    println!("{table}");
    if options.write {
        let readme = repository(FOLDER).join("README.md");
        let text = fs::read_to_string(&readme).unwrap();
        fs::write(&readme, rewritten(&text, &table)).unwrap();
        plot::draw(&repository(FOLDER).join("cost.svg"), &figures, options.rate);
    }
}

/// Both halves for all ways; nothing when this machine has no such Go.
fn run(options: &Options) -> Option<Vec<Figures>> {
    let program = build()?;
    let mut figures: Vec<Figures> = WAYS
        .iter()
        .map(|way| Figures {
            way,
            ..Figures::default()
        })
        .collect();
    let text = go(&[
        "test",
        "-C",
        "examples/go",
        "-run",
        "^$",
        "-bench",
        "BenchmarkMap",
        "-benchmem",
        "-benchtime",
        &options.benchtime,
        "./structmap/convert",
    ])?;
    for figure in &mut figures {
        measured(&text, figure);
    }
    for figure in &mut figures {
        under_load(&program, options, figure);
    }
    Some(figures)
}

/// Runs that Go; what it wrote to standard output, or nothing when this machine does not have it.
fn go(arguments: &[&str]) -> Option<String> {
    let output = Command::new(repository("tests/tools/go.sh"))
        .arg(GO)
        .args(arguments)
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
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {error}{text}");
    Some(text)
}

fn build() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("structmap");
    let out = program.to_str().unwrap();
    go(&["build", "-C", "examples/go", "-o", out, "./structmap"])?;
    Some(program)
}

/// `BenchmarkMap/plan-2  123  4567 ns/op  890 B/op  12 allocs/op`
fn measured(text: &str, figure: &mut Figures) {
    let begin = format!("BenchmarkMap/{}", figure.way);
    let of_way = |line: &&str| {
        let rest = line.strip_prefix(&begin);
        rest.is_some_and(|rest| rest.starts_with(['-', ' ', '\t']))
    };
    let line = text.lines().find(of_way);
    let line = line.unwrap_or_else(|| panic!("no {begin} in {text}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let before = |unit: &str| -> f64 {
        let at = words.iter().position(|word| *word == unit).unwrap();
        words[at - 1].parse().unwrap()
    };
    figure.nanoseconds = before("ns/op");
    figure.bytes = before("B/op") as u64;
    figure.allocations = before("allocs/op") as u64;
}

/// The service with one way, and what the exporter sees of it.
fn under_load(program: &Path, options: &Options, figure: &mut Figures) {
    let exporter = Exporter::start(CONFIG);
    let rate = options.rate.to_string();
    let service =
        Program::start(Command::new(program).args(["-converter", figure.way, "-rate", &rate]));
    let target = service.line("target", |line| {
        Some(line.strip_prefix("ready ")?.to_owned())
    });
    let begun = Instant::now();
    let mut most = 0.0;
    // Probes follow each other at once: what they cost the service is the same for all ways.
    while begun.elapsed() < Duration::from_secs(options.seconds) {
        let metrics = exporter.probe(&target, "default");
        metrics.is("goroutine_probe_success", &[], 1.0);
        let total = metrics.value("goroutine_goroutines", &[]).unwrap();
        figure
            .goroutines
            .push((begun.elapsed().as_secs_f64(), total));
        if total > most {
            most = total;
            figure.share = metrics.value("goroutine_largest_group_ratio", &[]).unwrap();
            let groups = metrics.all("goroutine_group_goroutines", &[]);
            let largest = groups.max_by(|a, b| a.value.total_cmp(&b.value)).unwrap();
            largest
                .label("wait_reason")
                .clone_into(&mut figure.wait_reason);
            largest
                .label("blocking_frame")
                .clone_into(&mut figure.frame);
        }
        thread::park_timeout(Duration::from_millis(50));
    }
    let took = begun.elapsed().as_secs_f64();
    let (_, address) = target.split_once("://").unwrap();
    let truth = http::get(address.parse().unwrap(), "/truth").json();
    assert_eq!(truth["converter"], figure.way);
    assert_eq!(truth["failed"], 0, "{truth}");
    figure.done = truth["converted"].as_f64().unwrap() / took;
    figure.refused = truth["refused"].as_u64().unwrap();
}

/// The table as Markdown, with where and when.
fn table(figures: &[Figures], options: &Options, started: SystemTime, busy: &str) -> String {
    let mut text = String::from(
        "| way | one conversion | allocations | done a second | goroutines: median, most | largest group at the most |\n|---|--:|--:|--:|--:|---|\n",
    );
    for f in figures {
        writeln!(
            text,
            "| `{}` | {:.1} µs | {}, {} bytes | {}{} | {}, {} | {:.0} % {}, `{}` |",
            f.way,
            f.nanoseconds / 1e3,
            f.allocations,
            thousands(f.bytes),
            thousands(f.done as u64),
            if f.refused > 0 {
                ", the rest refused"
            } else {
                ""
            },
            thousands(f.median() as u64),
            thousands(f.most() as u64),
            100.0 * f.share,
            f.wait_reason,
            f.frame,
        )
        .unwrap();
    }
    let day = humantime::format_rfc3339_seconds(started).to_string();
    writeln!(
        text,
        "\n{} conversions a second asked of each for {} seconds; go{GO}, {} processors ({}), {}, load of the machine before {busy}.",
        thousands(options.rate),
        options.seconds,
        thread::available_parallelism().map_or(1, usize::from),
        processor(),
        &day[..10],
    )
    .unwrap();
    text
}

/// A README with another table between its marks.
fn rewritten(readme: &str, table: &str) -> String {
    let (before, rest) = readme.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    format!(
        "{before}{}\n{}\n{}{after}",
        MARKS[0],
        table.trim_end(),
        MARKS[1]
    )
}

/// Little load and short benchmarks: table and picture come about, and hold what was measured.
fn check() {
    let options = Options {
        rate: 2000,
        seconds: 1,
        benchtime: "20x".to_owned(),
        write: false,
        names: Vec::new(),
        bench: false,
    };
    let Some(figures) = run(&options) else { return };
    let text = table(&figures, &options, SystemTime::UNIX_EPOCH, "0");
    for (figure, way) in figures.iter().zip(WAYS) {
        assert!(text.contains(&format!("\n| `{way}` | ")), "{text}");
        assert!(
            figure.nanoseconds > 100.0 && figure.allocations > 5,
            "{figure:?}"
        );
        assert!(figure.done > 100.0 && figure.refused == 0, "{figure:?}");
        assert!(figure.most() >= 4.0 && figure.share > 0.0, "{figure:?}");
    }
    let readme = fs::read_to_string(repository(FOLDER).join("README.md")).unwrap();
    let written = rewritten(&readme, &text);
    // Each way is explained in another table, and measured in this one alone.
    let rows = written.matches("| `plan` | ").count();
    assert!(written.contains(text.trim_end()) && rows == 2, "{written}");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let picture = folder.path().join("cost.svg");
    plot::draw(&picture, &figures, options.rate);
    let drawn = fs::read_to_string(picture).unwrap();
    assert!(
        drawn.contains("</svg>") && WAYS.iter().all(|way| drawn.contains(way)),
        "{drawn}"
    );
}
