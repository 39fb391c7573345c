//! What an execution trace costs the program that is traced: `cargo bench --bench trace_cost`.
//!
//! A real Go service answers requests, with nobody looking and while a trace of it is made just as the exporter asks for it,
//! in turn, and the table of what it answered, how fast, and with how much processor time goes to standard output.
//! `README.md` beside this says what the columns mean.
//!
//! Without `--bench`, as `cargo test` runs it, it only shows with short windows that the table comes about.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that cannot go on must say so"
)]
#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts of requests are far below 2^53"
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

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use programs::Program;

/// Clients at once.
const CLIENTS: usize = 8;

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "trace_cost")]
struct Options {
    /// Rounds for each load
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// The length of a window, in milliseconds: those with a trace and those without
    #[arg(long, default_value_t = 500)]
    window: u64,
    /// Names of benchmarks to run; nothing happens if none of them is part of this one's
    names: Vec<String>,
    /// As cargo bench says it
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is asked of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// As much as it answers.
    All,
    /// So many requests a second, all clients together.
    Paced(u32),
}

/// What came of one window.
#[derive(Clone, Debug)]
struct Outcome {
    /// Requests answered.
    requests: f64,
    /// The same in a second.
    rate: f64,
    /// Of the service, in microseconds for each request.
    cpu: f64,
    /// How long half of the requests took at most, and 99 in 100, in microseconds.
    half: f64,
    most: f64,
    /// Bytes of the trace.
    bytes: u64,
}

fn main() {
    let given: Vec<String> = std::env::args().collect();
    let tested =
        given.iter().any(|word| word == "--test") || !given.iter().any(|word| word == "--bench");
    let options = if tested {
        Options {
            rounds: 2,
            window: 60,
            names: Vec::new(),
            bench: false,
        }
    } else {
        Options::parse()
    };
    if !options.names.is_empty() && !options.names.iter().any(|n| "trace_cost".contains(&**n)) {
        return;
    }
    let Some(service) = gobuild::build("service") else {
        assert!(tested, "no measurement without Go {}", gobuild::GO);
        return;
    };
    let loads = if tested {
        vec![Load::All]
    } else {
        vec![Load::All, Load::Paced(4_000), Load::Paced(400)]
    };
    let mut table = String::new();
    for load in loads {
        // 300 goroutines wait for ever, as in services that leak.
        let program = Program::start(Command::new(&service).env_clear().arg("-leak=300"));
        let address: SocketAddr = program.line("target", |line| {
            line.strip_prefix("ready http://")?.parse().ok()
        });
        let clients = Clients::start(address, load);
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            for traced in [false, true] {
                let outcome = clients.watch(address, Duration::from_millis(options.window), traced);
                eprintln!("{load:?} round {}: traced {traced}: {outcome:?}", round + 1);
                if traced { &mut with } else { &mut without }.push(outcome);
            }
        }
        clients.stop();
        for (name, outcomes) in [("nobody", &without), ("a trace", &with)] {
            assert!(
                outcomes.iter().all(|outcome| outcome.rate > 0.0),
                "{outcomes:?}"
            );
            assert_eq!(
                outcomes.iter().all(|outcome| outcome.bytes > 0),
                name == "a trace"
            );
            row(&mut table, load, name, outcomes, &without);
        }
    }
    let at = humantime::format_rfc3339_seconds(SystemTime::now());
    println!(
        "{at}: {} cores, {}, {}, load {}, windows of {} ms, {} rounds",
        thread::available_parallelism().map_or(1, Into::into),
        machine::processor(),
        gobuild::version(&service),
        machine::load(),
        options.window,
        options.rounds,
    );
    println!(
        "\n| requests | looking | answered in a second | | processor time of a request | | half took at most | 99 in 100 | trace, bytes | for each request |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    print!("{table}");
    assert!(table.lines().count() >= 2);
}

fn row(table: &mut String, load: Load, name: &str, outcomes: &[Outcome], without: &[Outcome]) {
    let of = |outcomes: &[Outcome], value: fn(&Outcome) -> f64| {
        let mut values: Vec<f64> = outcomes.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let change = |value: fn(&Outcome) -> f64| {
        if name == "nobody" {
            return String::new();
        }
        format!(
            "{:+.0} %",
            (of(outcomes, value) / of(without, value) - 1.0) * 100.0
        )
    };
    let load = match load {
        Load::All => format!("as many as {CLIENTS} clients get"),
        Load::Paced(rate) => format!("{rate} a second"),
    };
    let bytes = if outcomes.iter().any(|outcome| outcome.bytes > 0) {
        let all = of(outcomes, |outcome| outcome.bytes as f64) / 1e3;
        let each = of(outcomes, |outcome| outcome.bytes as f64 / outcome.requests);
        format!("{all:.0} kB | {each:.0} B")
    } else {
        " | ".to_owned()
    };
    writeln!(
        table,
        "| {load} | {name} | {:.0} | {} | {:.1} µs | {} | {:.0} µs | {:.0} µs | {bytes} |",
        of(outcomes, |outcome| outcome.rate),
        change(|outcome| outcome.rate),
        of(outcomes, |outcome| outcome.cpu),
        change(|outcome| outcome.cpu),
        of(outcomes, |outcome| outcome.half),
        of(outcomes, |outcome| outcome.most),
    )
    .unwrap();
}

/// Clients that ask and ask.
struct Clients {
    stop: Arc<AtomicBool>,
    /// When each request ended and how long it took, since the last look.
    took: Arc<Mutex<Vec<(Instant, Duration)>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    fn start(address: SocketAddr, load: Load) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let took = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..CLIENTS).map(|client| {
            let (stop, took) = (Arc::clone(&stop), Arc::clone(&took));
            thread::spawn(move || ask(address, load, client, &stop, &took))
        });
        let threads = threads.collect();
        Self {
            stop,
            took,
            threads,
        }
    }

    /// What is answered in a window, in which a trace of that length is made or nothing.
    fn watch(&self, address: SocketAddr, window: Duration, traced: bool) -> Outcome {
        let cpu = || -> f64 {
            let text = http::get(address, "/cpu").text();
            text.trim().parse().unwrap()
        };
        let before = cpu();
        let begun = Instant::now();
        self.took.lock().unwrap().clear();
        let mut bytes = 0;
        if traced {
            let path = format!("/debug/pprof/trace?seconds={}", window.as_secs_f64());
            let answer = http::get(address, &path);
            assert_eq!(answer.status, 200, "{}", answer.text());
            bytes = answer.body.len() as u64;
        } else {
            // Not a wait for something: this is the time in which the service is watched.
            thread::sleep(window);
        }
        let ended = Instant::now();
        let took = std::mem::take(&mut *self.took.lock().unwrap());
        let used = cpu() - before;
        let mut took: Vec<Duration> = took
            .into_iter()
            .filter(|(at, _)| (begun..ended).contains(at))
            .map(|(_, took)| took)
            .collect();
        took.sort();
        assert!(!took.is_empty(), "nothing was answered");
        let at = |part: f64| {
            let place = (took.len() as f64 * part).floor();
            let place: usize = format!("{place:.0}").parse().unwrap();
            took[place.min(took.len() - 1)].as_secs_f64() * 1e6
        };
        let requests = took.len() as f64;
        Outcome {
            requests,
            rate: requests / (ended - begun).as_secs_f64(),
            cpu: used * 1e6 / requests,
            half: at(0.5),
            most: at(0.99),
            bytes,
        }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// One client, on one connection. A paced one asks at its times, or at once when they have passed.
fn ask(
    address: SocketAddr,
    load: Load,
    client: usize,
    stop: &AtomicBool,
    took: &Mutex<Vec<(Instant, Duration)>>,
) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut line = String::new();
    let mut body = Vec::new();
    let every = match load {
        Load::All => Duration::ZERO,
        Load::Paced(rate) => Duration::from_secs(1) * u32::try_from(CLIENTS).unwrap() / rate,
    };
    // Not all at the same moment.
    let mut due = Instant::now() + every * u32::try_from(client).unwrap() / 8;
    while !stop.load(Ordering::SeqCst) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        due = (due + every).max(begun);
        writer
            .write_all(b"GET /work HTTP/1.1\r\nHost: service\r\n\r\n")
            .unwrap();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        assert!(length > 0, "an answer without its length");
        body.resize(length, 0);
        reader.read_exact(&mut body).unwrap();
        let ended = Instant::now();
        took.lock().unwrap().push((ended, ended - begun));
    }
}
