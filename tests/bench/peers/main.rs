//! What ours costs beside others that read the same dumps: `cargo bench --bench peers`.
//!
//! Ours and small Go programs around google/pprof, gostackparse and panicparse read the very same bytes in turn, each in
//! a process of its own that reports its own CPU time, and the table of medians and ratios goes to standard output.
//! `README.md` beside this folder says where the peers come from.
//!
//! Without `--bench`, as `cargo test` runs it, it shows on a few goroutines that the table comes about and that all
//! count the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark that cannot go on must say so, and its figures are small"
)]

#[path = "../dumps.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod dumps;
mod figures;
#[path = "../../it/http.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod http;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod machine;
mod ours;
mod plot;
#[path = "../../it/programs.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod programs;
mod readers;
mod table;
#[allow(dead_code, reason = "`allocations` needs more of it")]
mod work;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Parser;
use figures::median;
use machine::load;
use mimalloc::MiMalloc;
use plot::Curve;
use readers::{Cost, GO, Readers};
use table::{Row, Table};
use work::{CURVES, Encoding, Reader, SIZES, Work};

/// That of the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Options {
    /// A checkout of github.com/DataDog/gostackparse, which no package registry has
    #[arg(long, value_name = "FOLDER")]
    gostackparse: Option<PathBuf>,
    /// How often each reads each dump
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Draw CPU time over size into this SVG file, too
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Parts of names of dumps to read; all when it is this benchmark's name or none is given
    names: Vec<String>,
    /// As cargo bench says it
    #[arg(long, hide = true)]
    bench: bool,
    /// Read this file so often, and report; this is one of those that are measured
    #[arg(long, hide = true, num_args = 2, value_names = ["FILE", "REPEATS"])]
    ours: Option<Vec<String>>,
    /// Decode, and no more
    #[arg(long, hide = true)]
    alone: bool,
}

impl Options {
    fn picks(&self, work: &Work) -> bool {
        let names = |name: &String| work.name.contains(&**name) || "peers".contains(&**name);
        self.names.is_empty() || self.names.iter().any(names)
    }
}

fn main() {
    let given: BTreeSet<String> = std::env::args().collect();
    if !given.contains("--ours") && (given.contains("--test") || !given.contains("--bench")) {
        return check();
    }
    let options = Options::parse();
    if let Some([file, repeats]) = options.ours.as_deref() {
        return ours::measure(file, repeats, options.alone);
    }
    let works: Vec<Work> = work::all()
        .into_iter()
        .filter(|work| options.picks(work))
        .collect();
    if works.is_empty() && options.plot.is_none() {
        return;
    }
    let folder = scratch();
    let Some(readers) = Readers::build(folder.path(), options.gostackparse.as_deref()) else {
        panic!("no measurement without Go {GO}");
    };
    println!("{}", run(&works, options.rounds, &readers, folder.path()));
    if let Some(file) = &options.plot {
        plot::draw(
            file,
            &curves(&SIZES, options.rounds, &readers, folder.path()),
        );
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// All rounds of all works.
fn run(works: &[Work], rounds: usize, readers: &Readers, folder: &Path) -> Table {
    let mut table = Table {
        versions: readers.versions.clone(),
        rounds,
        started: SystemTime::now(),
        load: [load(), String::new()],
        rows: Vec::new(),
    };
    for work in works {
        eprintln!("{}", work.name);
        table.rows.push(row(work, rounds, readers, folder));
    }
    table.load[1] = load();
    table
}

/// Readers take turns, so that what else happens on the machine hits all of them.
fn row(work: &Work, rounds: usize, readers: &Readers, folder: &Path) -> Row {
    let [file, peers_file] = ["dump", "peers-dump"].map(|name| folder.join(name));
    let body = work.body();
    fs::write(&file, &body.bytes).unwrap();
    let peers_body = work.peers_body();
    if let Some(body) = &peers_body {
        fs::write(&peers_file, &body.bytes).unwrap();
    }
    let bytes = [body.bytes.len(), body.inflated];
    drop(body.bytes);
    let others = work.peers.iter().map(|(reader, _)| *reader);
    let mut costs: Vec<(Reader, Vec<Cost>)> = std::iter::once(Reader::Ours)
        .chain(others)
        .filter(|reader| readers.has(*reader))
        .map(|reader| (reader, Vec::new()))
        .collect();
    for round in 0..rounds {
        for (reader, costs) in &mut costs {
            let ours = reader.is_ours();
            let file = if ours || peers_body.is_none() {
                &file
            } else {
                &peers_file
            };
            let cost = readers.run(*reader, file, work.repeats);
            eprintln!("  round {}: {}: {cost:?}", round + 1, reader.name());
            let goroutines = u64::try_from(work.shape.goroutines).unwrap();
            assert_eq!(cost.goroutines, goroutines, "{reader:?} of {}", work.name);
            costs.push(cost);
        }
    }
    Row {
        work: work.clone(),
        bytes,
        peers_bytes: peers_body.map(|body| body.inflated),
        costs,
    }
}

/// What the plot shows, by the same readers, which take turns.
fn curves(sizes: &[usize], rounds: usize, readers: &Readers, folder: &Path) -> Vec<Curve> {
    let mut curves: Vec<(Curve, usize)> = CURVES
        .into_iter()
        .filter(|(_, reader, _)| readers.has(*reader))
        .map(|(encoding, reader, most)| {
            let points = Vec::new();
            let curve = Curve {
                encoding,
                reader,
                points,
            };
            (curve, most)
        })
        .collect();
    for &goroutines in sizes {
        eprintln!("plot, {goroutines} goroutines");
        let file = |encoding| folder.join(format!("{encoding:?}"));
        for encoding in [Encoding::Debug2, Encoding::Protobuf] {
            let body = work::point(encoding, goroutines).body();
            fs::write(file(encoding), body.bytes).unwrap();
        }
        let mut times = vec![Vec::new(); curves.len()];
        for _ in 0..rounds {
            for ((curve, most), times) in curves.iter().zip(&mut times) {
                if goroutines <= *most {
                    let repeats = work::point(curve.encoding, goroutines).repeats;
                    let cost = readers.run(curve.reader, &file(curve.encoding), repeats);
                    times.push(cost.cpu);
                }
            }
        }
        for ((curve, _), times) in curves.iter_mut().zip(times) {
            if !times.is_empty() {
                let time = median(times.into_iter());
                curve.points.push((goroutines, time.as_secs_f64() * 1e3));
            }
        }
    }
    curves.into_iter().map(|(curve, _)| curve).collect()
}

/// The table comes about, whole, the plot too, and all readers agree. No time is judged.
fn check() {
    let folder = scratch();
    let Some(readers) = Readers::build(folder.path(), None) else {
        return;
    };
    let works = work::tiny();
    let table = run(&works, 2, &readers, folder.path());
    for row in &table.rows {
        for (reader, costs) in &row.costs {
            assert_eq!(costs.len(), 2, "{reader:?}: {table}");
            let nothing = costs.iter().any(|cost| cost.cpu.is_zero());
            assert!(!nothing, "{reader:?} took no time: {table}");
        }
        let grouped = row.costs.iter().filter(|(reader, _)| reader.groups());
        let groups = grouped.flat_map(|(_, costs)| costs);
        let groups: BTreeSet<u64> = groups.map(|cost| cost.groups).collect();
        if row.work.groups_compare() {
            assert_eq!(groups.len(), 1, "{}: {groups:?}", row.work.name);
        }
    }
    let text = table.to_string();
    let cells: BTreeSet<usize> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.matches('|').count())
        .collect();
    assert_eq!(cells.len(), 1, "{text}");
    // Every dump was read by ours and by somebody else, but for peers that are not on this machine.
    let pprof = table.rows.iter().filter_map(|row| row.ratio(Reader::Pprof));
    assert_eq!(pprof.count(), 5, "{text}");
    let drawn = folder.path().join("plot.svg");
    let curves = curves(&SIZES[..2], 1, &readers, folder.path());
    assert!(
        curves.iter().all(|curve| curve.points.len() == 2),
        "{curves:?}"
    );
    plot::draw(&drawn, &curves);
    let drawn = fs::read_to_string(drawn).unwrap();
    assert!(
        drawn.contains("goroutines in the dump") && drawn.contains("google/pprof"),
        "{drawn}"
    );
    println!("{text}");
}
