//! Hours of life in minutes: `cargo bench --bench soak`.
//!
//! A fleet of HTTP servers stands in for targets, a tenth of them ill in ways that change, and each knows what it said.
//! The exporter is asked for them at a steady pace by scrapers that sometimes hang up, while its configuration is reloaded
//! every second. What it answers is held to what the target said, and what it holds at the end (memory, files, threads,
//! tasks) to what it held at the beginning. `README.md` beside this folder says more.
//!
//! Without `--bench`, as `cargo test` runs it, it takes a minute.

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
    reason = "a run that cannot go on must say so, and its figures are small"
)]

mod fleet;
#[path = "../../it/http.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod http;
mod load;
#[path = "../../it/programs.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod programs;
mod report;
mod watch;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use fleet::Fleet;
use load::Load;
use report::Report;
use watch::Watched;

/// How to run.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak")]
struct Options {
    /// How long, the warming up aside
    #[arg(long, default_value_t = 15.0)]
    minutes: f64,
    /// Servers to probe; every tenth is ill
    #[arg(long, default_value_t = 300)]
    targets: usize,
    /// Probes in a second
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Names of benchmarks to run; nothing happens if none of them is part of this one's
    names: Vec<String>,
    /// As cargo bench says it
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Before the first third: every target was probed five times, so that what is kept of each is there. The last third is compared
    /// with the first, and a fleet that is still being met would be taken for a leak.
    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(5.0 * self.targets as f64 / f64::from(self.rate))
    }

    fn soak(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }
}

fn main() -> ExitCode {
    let given: BTreeSet<String> = std::env::args().collect();
    let options = if given.contains("--bench") {
        let options = Options::parse();
        if !options.names.is_empty() && !options.names.iter().any(|n| "soak".contains(&**n)) {
            return ExitCode::SUCCESS;
        }
        options
    } else {
        Options {
            minutes: 0.6,
            ..Options::parse_from(["soak"])
        }
    };
    // The scrapers' client wants one, though all is plain HTTP.
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(run(options));
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

async fn run(options: Options) -> Report {
    let fleet = Fleet::start(options.targets).await;
    let watched = Arc::new(Watched::start(&fleet));
    let bar = report::progress(options.warm_up() + options.soak());
    let load = Load::new(options.rate, Arc::clone(&fleet), Arc::clone(&watched));
    let mut parts = Vec::new();
    let third = options.soak() / 3;
    for long in [options.warm_up(), third, third, third] {
        parts.push(load.part(long, &bar).await);
    }
    bar.finish_and_clear();
    drop(load);
    Report::new(options, parts, watched.end())
}
