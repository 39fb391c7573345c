//! The table, and what in it must not be.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::Options;
use crate::load::Part;
use crate::watch::{End, Held};

const MIB: f64 = 1024.0 * 1024.0;
/// Room for what the allocator keeps: what leaks, leaks with every probe, reload and client that hangs up, and there are
/// thousands of them.
const ROOM_RATIO: f64 = 1.10;
const ROOM_BYTES: f64 = 4.0 * MIB;
/// Room for connections that open and close.
const ROOM_COUNT: f64 = 16.0;

/// Everything that was seen.
#[derive(Debug)]
pub(crate) struct Report {
    options: Options,
    /// Warming up, then the three thirds.
    parts: Vec<Part>,
    end: End,
}

/// What shows how far the run is, on a terminal.
pub(crate) fn progress(long: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {elapsed} of {len} s {msg}").unwrap();
    ProgressBar::new(long.as_secs()).with_style(style)
}

impl Report {
    pub(crate) fn new(options: Options, parts: Vec<Part>, end: End) -> Self {
        Self {
            options,
            parts,
            end,
        }
    }

    /// What should not be; nothing when all is well.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for part in &self.parts {
            faults.extend(part.sentences.iter().cloned());
        }
        let [_, first, _, last] = self.parts.as_slice() else {
            panic!("not four parts");
        };
        let mut grown = |what: &str, of: fn(&Held) -> u64, ratio: f64, more: f64| {
            let (before, after) = (median(first, of), median(last, of));
            if after > before * ratio + more {
                faults.push(format!("{what} grew from {before} to {after}"));
            }
        };
        grown("memory", |held| held.resident, ROOM_RATIO, ROOM_BYTES);
        grown("open files", |held| held.files, 1.0, ROOM_COUNT);
        grown("threads", |held| held.threads, 1.0, ROOM_COUNT);
        grown("tasks", |held| held.tasks, 1.0, ROOM_COUNT);
        // A soak that did not happen shows nothing.
        let pace = |part: &Part| part.probes() as f64 / part.took.as_secs_f64();
        if pace(last) < 0.9 * f64::from(self.options.rate) {
            faults.push(format!("only {:.1} probes in a second", pace(last)));
        }
        for part in &self.parts {
            let enough = part.right > 0 && part.hung_up > 0 && part.reloads > 0;
            if !enough || part.reloads_refused == 0 || part.ill.len() < 3 {
                faults.push(format!("not everything happened: {:?}", part.ill));
            }
        }
        let metric = |name: &str| self.end.metrics.value(name, &[]);
        if metric("goroutine_exporter_probes_in_flight") != Some(0.0) {
            faults.push("probes are in flight after the last one".to_owned());
        }
        if metric("goroutine_exporter_config_last_reload_successful") != Some(1.0) {
            faults.push("the last reload is said to have failed".to_owned());
        }
        if self.end.panics > 0 {
            faults.push(format!("{} panics in the log", self.end.panics));
        }
        if self.end.status != "exit status: 0" {
            faults.push(format!("it ended with {}", self.end.status));
        }
        faults
    }
}

impl Part {
    fn probes(&self) -> u64 {
        self.right + self.ill.values().sum::<u64>() + self.hung_up + self.wrong
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} targets, a tenth of them ill; {} probes in a second, one in twenty hangs up; a reload each second, every fourth wrong; exporter built {}.\n",
            self.options.targets,
            self.options.rate,
            if cfg!(debug_assertions) {
                "for debugging"
            } else {
                "for release"
            },
        )?;
        writeln!(
            f,
            "| part | s | right | ill, as expected | hung up | reloads, refused | wrong | p50, p99, worst ms | MiB median, most | files | threads | tasks |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for (name, part) in ["warming up", "first third", "second third", "last third"]
            .iter()
            .zip(&self.parts)
        {
            let most = part.held.iter().map(|held| held.resident).max();
            writeln!(
                f,
                "| {name} | {:.0} | {} | {} | {} | {}, {} | {} | {:.1}, {:.1}, {:.1} | {:.1}, {:.1} | {:.0} | {:.0} | {:.0} |",
                part.took.as_secs_f64(),
                part.right,
                part.ill.values().sum::<u64>(),
                part.hung_up,
                part.reloads,
                part.reloads_refused,
                part.wrong,
                part.latency(50),
                part.latency(99),
                part.latency(100),
                median(part, |held| held.resident) / MIB,
                most.unwrap_or_default() as f64 / MIB,
                median(part, |held| held.files),
                median(part, |held| held.threads),
                median(part, |held| held.tasks),
            )?;
        }
        Ok(())
    }
}

impl Part {
    /// Milliseconds within which so many in a hundred probes were answered.
    fn latency(&self, percent: usize) -> f64 {
        let rank = (self.latencies.len() * percent).div_ceil(100);
        let found = self.latencies.get(rank.saturating_sub(1));
        found.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

fn median(part: &Part, of: fn(&Held) -> u64) -> f64 {
    let mut values: Vec<u64> = part.held.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default() as f64
}
