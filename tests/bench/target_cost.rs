//! What a look costs the program that is looked at: `cargo bench --bench target_cost`.
//!
//! A real Go program parks goroutines and keeps the longest time that one more goroutine, which wakes each millisecond,
//! was held up. It is left alone, probed by the exporter with its default settings, asked for debug=2 and for the
//! `goroutineleak` profile, in turn, and the table of its longest gaps goes to standard output. `README.md` beside this
//! says what the columns mean.
//!
//! Without `--bench`, as `cargo test` runs it, it only shows on a few goroutines that the table comes about.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that cannot go on must say so"
)]

mod gobuild;
#[path = "../it/http.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod http;
#[path = "machine.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod machine;
#[path = "../it/programs.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod programs;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::{Parser, ValueEnum};
use http::Metrics;
use programs::{Program, command, probe_path};
use table::Table;

/// However short the answer, the program is watched for so long: no way of looking may seem better because it was
/// watched for less, and what follows an answer counts, too.
const WATCH: Duration = Duration::from_millis(500);
/// A way of looking that has taken so long with one size is not tried again with it.
const ENOUGH: Duration = Duration::from_secs(30);
/// debug=2 of 100,000 goroutines takes half a minute, the leak profile with one lock a minute, on two idle cores.
const PATIENCE: Duration = Duration::from_secs(600);
/// As much of an answer as is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "target_cost")]
struct Options {
    /// How many goroutines are parked
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "1000,10000,100000"
    )]
    goroutines: Vec<u64>,
    /// How they are parked
    #[arg(
        long,
        value_name = "SHAPE,...",
        value_delimiter = ',',
        default_value = "shallow,deep,lock"
    )]
    shapes: Vec<Shape>,
    /// Rounds for each; what takes long gets fewer
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Names of benchmarks to run; nothing happens if none of them is part of this one's
    names: Vec<String>,
    /// As cargo bench says it
    #[arg(long, hide = true)]
    bench: bool,
    /// How long to watch at least
    #[arg(skip = WATCH)]
    watch: Duration,
}

/// How goroutines are parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Shape {
    /// 10 frames, 20 distinct stacks, each at its own channel
    Shallow,
    /// 36 frames, 2,000 distinct stacks, each at its own channel
    Deep,
    /// As shallow, but all at one mutex
    Lock,
}

impl Shape {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Shallow => &["-depth=10", "-stacks=20"],
            Self::Deep => &["-depth=36", "-stacks=2000"],
            Self::Lock => &["-depth=10", "-stacks=20", "-lock"],
        }
    }
}

/// A program to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Size {
    goroutines: u64,
    shape: Shape,
}

/// Who looks, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// The exporter that has not seen this program before: it may read more than later.
    First,
    Nobody,
    Probe,
    Debug2,
    Leak,
}

/// A round. [`Look::First`] comes once, before all rounds.
const ROUND: [Look; 4] = [Look::Nobody, Look::Probe, Look::Debug2, Look::Leak];

/// What one look cost.
#[derive(Debug)]
struct Cost {
    /// The longest time the program was held up.
    gap: Duration,
    /// From the request to the end of the answer.
    answer: Duration,
    /// What the program sent, by profile.
    sent: BTreeMap<String, u64>,
    /// Why it was no good, if so.
    failure: Option<String>,
}

fn main() {
    let given: BTreeSet<String> = std::env::args().collect();
    if given.contains("--test") || !given.contains("--bench") {
        return check();
    }
    let options = Options::parse();
    if !options.names.is_empty() && !options.names.iter().any(|n| "target_cost".contains(&**n)) {
        return;
    }
    let Some(gaps) = gobuild::build("gaps") else {
        panic!("no measurement without Go {}", gobuild::GO);
    };
    println!("{}", run(&options, &gaps));
}

/// The table comes about, whole. No time is judged, but what the program itself cannot undercut.
fn check() {
    let Some(gaps) = gobuild::build("gaps") else {
        return;
    };
    let options = Options {
        goroutines: vec![200],
        shapes: vec![Shape::Shallow, Shape::Deep, Shape::Lock],
        rounds: 2,
        names: Vec::new(),
        bench: false,
        watch: Duration::from_millis(20),
    };
    let table = run(&options, &gaps);
    assert_eq!(table.rows.len(), 3 * (ROUND.len() + 1), "{table}");
    for ((_, look), row) in &table.rows {
        let rounds = if *look == Look::First { 1 } else { 2 };
        assert_eq!(row.costs.len(), rounds, "{look:?}: {table}");
        for cost in &row.costs {
            assert_eq!(cost.failure, None, "{look:?}: {table}");
            // A sleep never ends early, so the watcher is never awake twice within its millisecond.
            let asleep = Duration::from_millis(1);
            assert!(cost.gap >= asleep, "{look:?}: {cost:?}: nobody watched");
            let sent = cost.sent.values().all(|bytes| *bytes > 0);
            assert!(sent && cost.sent.is_empty() == (*look == Look::Nobody));
        }
    }
    let text = table.to_string();
    let cells = |line: &str| line.matches('|').count();
    for part in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let widths: BTreeSet<usize> = part.lines().map(cells).collect();
        assert_eq!(widths.len(), 1, "{part}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| 200 |"));
    assert_eq!(rows.count(), table.rows.len() + 3, "{text}");
    println!("{text}");
}

/// All rounds of all sizes.
fn run(options: &Options, gaps: &Path) -> Table {
    let exporter = Exporter::start();
    let mut table = Table::new(&gobuild::version(gaps));
    for &goroutines in &options.goroutines {
        for &shape in &options.shapes {
            let size = Size { goroutines, shape };
            let service = Service::start(gaps, size);
            for (look, cost) in rounds(options, &service, &exporter) {
                table.add(size, look, cost);
            }
        }
    }
    table.finish(SystemTime::now());
    table
}

/// All rounds of one size.
fn rounds(options: &Options, service: &Service, exporter: &Exporter) -> Vec<(Look, Cost)> {
    let mut costs = vec![(
        Look::First,
        service.cost(Look::First, exporter, options.watch),
    )];
    let mut spent: BTreeMap<Look, Duration> = BTreeMap::new();
    for round in 0..options.rounds {
        for look in ROUND {
            let spent = spent.entry(look).or_default();
            if *spent < ENOUGH {
                let cost = service.cost(look, exporter, options.watch);
                eprintln!("{} round {}: {look:?} {cost:?}", service.name, round + 1);
                *spent += cost.answer;
                costs.push((look, cost));
            }
        }
    }
    costs
}

/// The Go program, running.
#[derive(Debug)]
struct Service {
    _program: Program,
    name: String,
    /// The form that the exporter takes as a target.
    target: String,
    address: SocketAddr,
    goroutines: u64,
}

impl Service {
    fn start(gaps: &Path, size: Size) -> Self {
        // Without an environment: GOMAXPROCS, GOGC and GODEBUG are Go's own choice.
        let program = Program::start(
            Command::new(gaps)
                .env_clear()
                .arg(format!("-goroutines={}", size.goroutines))
                .args(size.shape.flags()),
        );
        let target = program.line("target", |line| {
            Some(line.strip_prefix("ready ")?.to_owned())
        });
        let (_, address) = target.split_once("://").unwrap();
        Self {
            _program: program,
            name: format!("{} {:?}", size.goroutines, size.shape),
            address: address.parse().unwrap(),
            target,
            goroutines: size.goroutines,
        }
    }

    /// Its longest gap while somebody looks.
    fn cost(&self, look: Look, exporter: &Exporter, watch: Duration) -> Cost {
        let before = exporter.fetched();
        self.gap("/gap?reset=1&collect=1");
        let start = Instant::now();
        let mut sent = BTreeMap::new();
        let failure = match look {
            Look::Nobody => None,
            Look::First | Look::Probe => exporter.probe(self),
            Look::Debug2 => self.profile("goroutine?debug=2", &mut sent),
            Look::Leak => self.profile("goroutineleak", &mut sent),
        };
        let answer = start.elapsed();
        // Not a wait for something: this is the time in which the program is watched.
        thread::sleep(watch.saturating_sub(answer));
        let gap = self.gap("/gap");
        for (profile, bytes) in exporter.fetched() {
            let bytes = bytes - before.get(&profile).copied().unwrap_or(0);
            if bytes > 0 {
                sent.insert(profile, bytes);
            }
        }
        Cost {
            gap,
            answer,
            sent,
            failure,
        }
    }

    fn gap(&self, path: &str) -> Duration {
        let text = http::get(self.address, path).text();
        Duration::from_secs_f64(text.trim().parse().unwrap())
    }

    /// Asks for a profile and reads it to its end, without keeping it; says what was wrong with the answer.
    fn profile(&self, name: &str, sent: &mut BTreeMap<String, u64>) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // HTTP/1.0 knows no chunks and ends with the connection.
        write!(stream, "GET /debug/pprof/{name} HTTP/1.0\r\n\r\n").unwrap();
        let mut piece = vec![0; PIECE_BYTES];
        let mut status = Vec::new();
        let mut bytes = 0;
        loop {
            let read = stream.read(&mut piece).unwrap();
            if read == 0 {
                break;
            }
            bytes += u64::try_from(read).unwrap();
            if !status.contains(&b'\n') {
                status.extend_from_slice(&piece[..read]);
            }
        }
        let status = String::from_utf8_lossy(&status);
        let status = status.lines().next().unwrap_or_default();
        sent.insert(name.to_owned(), bytes);
        (!status.ends_with(" 200 OK")).then(|| status.to_owned())
    }
}

/// The exporter as it is when nothing is configured.
#[derive(Debug)]
struct Exporter {
    _program: Program,
    address: SocketAddr,
}

impl Exporter {
    fn start() -> Self {
        let program = Program::start(command().args(["--web.listen-address", "127.0.0.1:0"]));
        let address = program.listening();
        Self {
            _program: program,
            address,
        }
    }

    /// Probes with the module of the defaults; says what was wrong with the answer.
    fn probe(&self, service: &Service) -> Option<String> {
        let answer = http::get(self.address, &probe_path(&service.target, &[]));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let metrics = Metrics::parse(&answer.text());
        // A probe that failed is a cheap one: it must not pass for a good one.
        if metrics.value("goroutine_probe_success", &[]) != Some(1.0) {
            let failure = metrics.all("goroutine_probe_failure", &[]).next();
            return Some(
                failure
                    .map_or("no success", |f| f.label("reason"))
                    .to_owned(),
            );
        }
        let total = whole(metrics.value("goroutine_goroutines", &[]).unwrap());
        (total < service.goroutines).then(|| format!("only {total} goroutines"))
    }

    /// The bytes that it has fetched so far, by profile.
    fn fetched(&self) -> BTreeMap<String, u64> {
        let metrics = Metrics::parse(&http::get(self.address, "/metrics").text());
        metrics
            .all("goroutine_exporter_fetched_bytes_total", &[])
            .map(|sample| (sample.label("profile").to_owned(), whole(sample.value)))
            .collect()
    }
}

/// A count, from a format that has only floating-point numbers.
fn whole(count: f64) -> u64 {
    format!("{count:.0}").parse().unwrap()
}
