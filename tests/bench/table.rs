//! The table of what looking costs, as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use crate::machine::{load, processor, thousands, trimmed, unknown};
use crate::{Cost, Look, Size};

/// The goal: with so many goroutines...
const GOAL_GOROUTINES: u64 = 100_000;
/// ...a probe holds the program up for no longer than this...
const GOAL_GAP: Duration = Duration::from_millis(50);
/// ...and for this part of what debug=2 does.
const GOAL_PART: u32 = 20;

/// Everything measured in one run.
#[derive(Debug)]
pub(crate) struct Table {
    go: String,
    started: SystemTime,
    load: [String; 2],
    /// By size and look.
    pub(crate) rows: BTreeMap<(Size, Look), Row>,
    ended: SystemTime,
}

/// All rounds of one way to look at one program.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) costs: Vec<Cost>,
}

impl Table {
    /// An empty one, of this machine.
    pub(crate) fn new(go: &str) -> Self {
        let now = SystemTime::now();
        Self {
            go: go.to_owned(),
            started: now,
            load: [load(), String::new()],
            rows: BTreeMap::new(),
            ended: now,
        }
    }

    /// One more look.
    pub(crate) fn add(&mut self, size: Size, look: Look, cost: Cost) {
        let row = self.rows.entry((size, look)).or_default();
        row.costs.push(cost);
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self, now: SystemTime) {
        self.ended = now;
        self.load[1] = load();
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.ended.duration_since(self.started).unwrap_or_default();
        writeln!(
            out,
            "{}: {} cores, {}, kernel {}, {}, exporter built {}; {} s; load {} at the start, {} at the end.\n",
            humantime::format_rfc3339_seconds(self.started),
            available_parallelism().map_or(0, usize::from),
            processor(),
            fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), trimmed),
            self.go,
            if cfg!(debug_assertions) {
                "for debugging"
            } else {
                "for release"
            },
            took.as_secs(),
            self.load[0],
            self.load[1],
        )?;
        out.write_str(
            "| goroutines | stacks | looking | rounds | gap, median | gap, worst | answer, median | sent |\n\
             |--:|---|---|--:|--:|--:|--:|---|\n",
        )?;
        for ((size, look), row) in &self.rows {
            writeln!(out, "{}", row.cells(*size, *look))?;
        }
        out.write_str(
            "\n| goroutines | stacks | gap, median: probe | debug=2 | part | gap, worst: probe | debug=2 | part | goal |\n\
             |--:|---|--:|--:|--:|--:|--:|--:|---|\n",
        )?;
        let sizes: BTreeSet<Size> = self.rows.keys().map(|(size, _)| *size).collect();
        for size in sizes {
            writeln!(out, "{}", self.compare(size))?;
        }
        Ok(())
    }
}

impl Table {
    /// A probe against debug=2. The first probe counts for the worst: it is ours, too.
    fn compare(&self, size: Size) -> String {
        let gaps = |look| -> Vec<Duration> {
            let row = self.rows.get(&(size, look));
            row.map_or_else(Vec::new, |row| row.costs.iter().map(|c| c.gap).collect())
        };
        let (first, probe, debug2) = (gaps(Look::First), gaps(Look::Probe), gaps(Look::Debug2));
        let (median_probe, median_debug2) = (median(&probe), median(&debug2));
        let worst = |gaps: &[Duration]| gaps.iter().max().copied().unwrap_or_default();
        let (worst_probe, worst_debug2) = (worst(&probe).max(worst(&first)), worst(&debug2));
        let goal = if size.goroutines < GOAL_GOROUTINES {
            ""
        } else if worst_probe <= GOAL_GAP && worst_probe * GOAL_PART <= worst_debug2 {
            "met"
        } else {
            "missed"
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {goal} |",
            thousands(size.goroutines),
            shape(size),
            time(median_probe),
            time(median_debug2),
            part(median_probe, median_debug2),
            time(worst_probe),
            time(worst_debug2),
            part(worst_probe, worst_debug2),
        )
    }
}

impl Row {
    fn cells(&self, size: Size, look: Look) -> String {
        let looking = match look {
            Look::First => "our first probe",
            Look::Nobody => "nobody",
            Look::Probe => "our probe",
            Look::Debug2 => "debug=2",
            Look::Leak => "goroutineleak",
        };
        let gaps: Vec<Duration> = self.costs.iter().map(|cost| cost.gap).collect();
        let answers: Vec<Duration> = self.costs.iter().map(|cost| cost.answer).collect();
        let answer = match look {
            Look::Nobody => String::new(),
            _ => time(median(&answers)),
        };
        format!(
            "| {} | {} | {looking} | {} | {} | {} | {answer} | {} |",
            thousands(size.goroutines),
            shape(size),
            self.costs.len(),
            time(median(&gaps)),
            time(gaps.iter().max().copied().unwrap_or_default()),
            self.sent(),
        )
    }

    /// The most bytes of each profile, and the rounds that failed.
    fn sent(&self) -> String {
        let mut most: BTreeMap<&str, u64> = BTreeMap::new();
        for (profile, bytes) in self.costs.iter().flat_map(|cost| &cost.sent) {
            let most = most.entry(profile).or_default();
            *most = (*bytes).max(*most);
        }
        let mut parts: Vec<String> = most
            .into_iter()
            .map(|(profile, bytes)| format!("{profile} {}", size_of(bytes)))
            .collect();
        let failures: Vec<&str> = self
            .costs
            .iter()
            .filter_map(|cost| cost.failure.as_deref())
            .collect();
        if !failures.is_empty() {
            parts.push(format!(
                "{} FAILED: {}",
                failures.len(),
                failures.join(", ")
            ));
        }
        parts.join("; ")
    }
}

/// The one in the middle; the mean of two.
fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let low = times.get(times.len().saturating_sub(1) / 2);
    let high = times.get(times.len() / 2);
    (low.copied().unwrap_or_default() + high.copied().unwrap_or_default()) / 2
}

fn shape(size: Size) -> String {
    format!("{:?}", size.shape).to_lowercase()
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// `1/33`.
fn part(small: Duration, large: Duration) -> String {
    let times = large.as_secs_f64() / small.as_secs_f64();
    if times >= 10.0 {
        format!("1/{times:.0}")
    } else {
        format!("1/{times:.1}")
    }
}

fn size_of(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
