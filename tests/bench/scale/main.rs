//! What no one machine shows: 100,000 targets over many exporters, worked out. `cargo bench --bench scale`.
//!
//! Nothing is probed. Targets are spread as Prometheus spreads them (`hashing`); which groups get series, what a target may be
//! asked for and what is remembered of it are decided by the exporter's own code; what a probe may cost is what
//! `capacity` holds the exporter to. Tables go to standard output as Markdown; `README.md` beside this folder says what the columns mean.
//!
//! Without `--bench`, as `cargo test` runs it, the hash is held to values of Prometheus, its balance to that of a fair one,
//! and the documents to what comes out here; what takes long is done for fewer targets.

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
    clippy::cast_sign_loss,
    reason = "a benchmark that cannot go on must say so, and its figures are small"
)]

mod asked;
mod capacity;
mod check;
mod fleet;
mod hashing;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "other benchmarks need more of it")]
mod machine;
mod remembered;
mod report;
mod sizing;

use std::process::ExitCode;
use std::time::Duration;

use fleet::Fleet;
use report::Report;

/// Targets of the run.
const TARGETS: usize = 100_000;

/// Exporters, in turn.
const REPLICAS: [usize; 4] = [1, 3, 10, 30];

/// Targets whose hours are played through, probe by probe.
const SAMPLE: usize = 1_000;

/// How often Prometheus asks for a target in our recipes.
const INTERVAL: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let is = |flag: &str| given.iter().any(|arg| arg == flag);
    if is("--test") || !is("--bench") {
        check::all();
        return ExitCode::SUCCESS;
    }
    let names: Vec<&String> = given.iter().filter(|arg| !arg.starts_with('-')).collect();
    if names.is_empty() || names.iter().any(|name| "scale".contains(&***name)) {
        println!("{}", Report::of(&Fleet::new(TARGETS), SAMPLE));
    }
    ExitCode::SUCCESS
}
