//! The tables, and which goals are met.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use crate::load::{Groups, Row};
use crate::machine::{load, processor, thousands, trimmed, unknown};
use crate::peer::{Peers, Round};

const MIB: f64 = 1024.0 * 1024.0;
/// How often a target that is asked all the time is met as if anew: `detail.min_interval` as it is by default.
pub(crate) const MET_EVERY: Duration = Duration::from_mins(10);
/// The goals: CPU time against `blackbox_exporter`...
const GOAL_PART: f64 = 0.5;
/// ...with so many targets...
const GOAL_TARGETS: usize = 2_000;
/// ...probed so often...
const GOAL_INTERVAL: Duration = Duration::from_secs(15);
/// ...so much of one core, details included...
const GOAL_SHARE: f64 = 0.12;
/// ...on a machine where `blackbox_exporter` takes so long for a probe: hosts differ by two, so the same is judged as a part
/// of what it takes in this run...
const GOAL_BLACKBOX: Duration = Duration::from_micros(1070);
/// ...memory, at its most...
const GOAL_RESIDENT: f64 = 100.0 * MIB;
/// ...and added latency of 99 in 100 probes...
const GOAL_ADDED: Duration = Duration::from_millis(10);
/// ...and, alone, from the start to the first answer...
const GOAL_FIRST: Duration = Duration::from_millis(50);
/// ...and on the disk.
const GOAL_SIZE: f64 = 15.0 * MIB;

/// Everything measured in one run; what was not is absent.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) begun: SystemTime,
    pub(crate) load: [String; 2],
    pub(crate) peers: Option<Peers>,
    pub(crate) rows: Vec<Row>,
    pub(crate) groups: Vec<Groups>,
    pub(crate) first_answers: Vec<Duration>,
    pub(crate) size: Option<u64>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            begun: SystemTime::now(),
            load: [load(), String::new()],
            peers: None,
            rows: Vec::new(),
            groups: Vec::new(),
            first_answers: Vec::new(),
            size: None,
        }
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.load[1] = load();
    }

    /// What was measured of something else than what was to be measured.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(peers) = &self.peers {
            faults.extend(peers.faults.iter().map(|fault| format!("peers: {fault}")));
        }
        for row in &self.rows {
            let named = |fault| format!("{} targets: {fault}", row.targets);
            faults.extend(row.faults.iter().map(named));
        }
        for row in &self.groups {
            let named = |fault| format!("{} groups: {fault}", row.groups);
            faults.extend(row.faults.iter().map(named));
        }
        faults
    }

    /// Each goal that this run can judge, and whether it is met.
    pub(crate) fn goals(&self) -> Vec<(String, bool)> {
        let mut goals = Vec::new();
        if let Some(peers) = &self.peers {
            let part = peers.part();
            goals.push((
                format!("CPU time against blackbox_exporter: {part:.2}, at most {GOAL_PART}"),
                part <= GOAL_PART,
            ));
        }
        for row in &self.rows {
            if row.targets != GOAL_TARGETS || row.interval != GOAL_INTERVAL {
                continue;
            }
            let share = row.share_with_details(MET_EVERY);
            goals.push((
                format!(
                    "{GOAL_TARGETS} targets: {:.1} % of one core, below {:.0} %",
                    share * 100.0,
                    GOAL_SHARE * 100.0
                ),
                share < GOAL_SHARE,
            ));
            if let Some(peers) = &self.peers {
                let a_probe = GOAL_INTERVAL.div_f64(GOAL_TARGETS as f64).as_secs_f64();
                let blackbox = median(&cpu(&peers.blackbox)).as_secs_f64() / 1e3;
                let part = share * a_probe / blackbox;
                let goal = GOAL_SHARE * a_probe / GOAL_BLACKBOX.as_secs_f64();
                goals.push((
                    format!(
                        "{GOAL_TARGETS} targets: a probe takes {part:.2} of one of blackbox_exporter, below {goal:.2} ({:.0} % of one core where that takes {:.2} ms)",
                        GOAL_SHARE * 100.0,
                        GOAL_BLACKBOX.as_secs_f64() * 1e3,
                    ),
                    part < goal,
                ));
            }
            let resident = row.held.most_resident as f64;
            goals.push((
                format!(
                    "{GOAL_TARGETS} targets: {:.1} MiB, below {:.0} MiB",
                    resident / MIB,
                    GOAL_RESIDENT / MIB
                ),
                resident < GOAL_RESIDENT,
            ));
            let added = row.added(990);
            goals.push((
                format!(
                    "{GOAL_TARGETS} targets: 99 in 100 probes with {} added, below {}",
                    time(added),
                    time(GOAL_ADDED)
                ),
                added < GOAL_ADDED,
            ));
        }
        if !self.first_answers.is_empty() {
            let first = median(&self.first_answers);
            goals.push((
                format!(
                    "first answer after {}, below {}",
                    time(first),
                    time(GOAL_FIRST)
                ),
                first < GOAL_FIRST,
            ));
        }
        if let Some(size) = self.size {
            goals.push((
                format!(
                    "stripped program: {:.1} MiB, below {:.0} MiB",
                    size as f64 / MIB,
                    GOAL_SIZE / MIB
                ),
                (size as f64) < GOAL_SIZE,
            ));
        }
        goals
    }
}

impl Peers {
    /// Our CPU time as a part of theirs, by medians.
    pub(crate) fn part(&self) -> f64 {
        let of = |rounds: &[Round]| median(&cpu(rounds)).as_secs_f64();
        of(&self.ours) / of(&self.blackbox)
    }
}

fn cpu(rounds: &[Round]) -> Vec<Duration> {
    rounds.iter().map(|round| round.cpu).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{}: {} cores, {}, kernel {}, exporter built {}; load {} at the start, {} at the end.",
            humantime::format_rfc3339_seconds(self.begun),
            available_parallelism().map_or(0, usize::from),
            processor(),
            fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), trimmed),
            if cfg!(debug_assertions) {
                "for debugging"
            } else {
                "for release"
            },
            self.load[0],
            self.load[1],
        )?;
        if let Some(peers) = &self.peers {
            peers_table(out, peers)?;
        }
        if !self.rows.is_empty() {
            targets_table(out, &self.rows)?;
        }
        if !self.groups.is_empty() {
            groups_table(out, &self.groups)?;
        }
        if !self.first_answers.is_empty() {
            let worst = self.first_answers.iter().max();
            writeln!(
                out,
                "\nFrom the start to the first answer: median {}, worst {}, of {}.",
                time(median(&self.first_answers)),
                time(worst.copied().unwrap_or_default()),
                self.first_answers.len(),
            )?;
        }
        if let Some(size) = self.size {
            writeln!(
                out,
                "\nThe program without symbols: {:.1} MiB.",
                size as f64 / MIB
            )?;
        }
        let goals = self.goals();
        if !goals.is_empty() {
            out.write_str("\n| goal | |\n|---|---|\n")?;
        }
        for (goal, met) in goals {
            let met = if met { "met" } else { "missed" };
            writeln!(out, "| {goal} | {met} |")?;
        }
        Ok(())
    }
}

fn peers_table(out: &mut fmt::Formatter<'_>, peers: &Peers) -> fmt::Result {
    writeln!(
        out,
        "\n| {} rounds of {} probes, {} | CPU time for 1,000 probes: median | least | most | answer | CPU time of the service for 1,000 |\n|---|--:|--:|--:|--:|--:|",
        peers.ours.len(),
        thousands(peers.probes as u64),
        peers.go,
    )?;
    let blackbox = format!("blackbox_exporter {}", peers.version);
    for (name, rounds) in [
        ("goroutine_exporter", &peers.ours),
        (&blackbox, &peers.blackbox),
    ] {
        let cpu = cpu(rounds);
        let of =
            |value: fn(&Round) -> Duration| -> Vec<Duration> { rounds.iter().map(value).collect() };
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} |",
            time(median(&cpu)),
            time(cpu.iter().min().copied().unwrap_or_default()),
            time(cpu.iter().max().copied().unwrap_or_default()),
            time(median(&of(|round| round.answer))),
            time(median(&of(|round| round.service))),
        )?;
    }
    writeln!(out, "| ours as a part | {:.2} | | | | |", peers.part())
}

fn targets_table(out: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    out.write_str(
        "\n| targets | every | s | probes | refused | CPU of one core | with details | CPU of a probe | added: p50 | p99 | worst | MiB | at most | files | threads |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    )?;
    for row in rows {
        writeln!(
            out,
            "| {} | {} | {:.0} | {} | {} | {:.1} % | {:.1} % | {} | {} | {} | {} | {:.1} | {:.1} | {} | {} |",
            thousands(row.targets as u64),
            humantime::format_duration(row.interval),
            row.took.as_secs_f64(),
            thousands(row.probes as u64),
            row.refused,
            row.share() * 100.0,
            row.share_with_details(MET_EVERY) * 100.0,
            time(row.cpu_of_probe()),
            time(row.added(500)),
            time(row.added(990)),
            time(row.added(1000)),
            row.held.resident as f64 / MIB,
            row.held.most_resident as f64 / MIB,
            thousands(row.held.files as u64),
            row.held.threads,
        )?;
    }
    Ok(())
}

fn groups_table(out: &mut fmt::Formatter<'_>, groups: &[Groups]) -> fmt::Result {
    out.write_str(
        "\n| groups | goroutines | profile | probes | CPU of a probe | answer | its bytes | compressed | MiB | at most |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    )?;
    for row in groups {
        writeln!(
            out,
            "| {} | {} | {:.1} kB | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
            thousands(row.groups as u64),
            thousands(row.goroutines),
            row.body_bytes / 1e3,
            row.probes,
            time(row.cpu_of_probe),
            time(row.answer),
            thousands(row.answer_bytes as u64),
            thousands(row.answer_bytes_packed as u64),
            row.held.resident as f64 / MIB,
            row.held.most_resident as f64 / MIB,
        )?;
    }
    Ok(())
}

/// The one in the middle; the mean of two.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let low = times.get(times.len().saturating_sub(1) / 2);
    let high = times.get(times.len() / 2);
    (low.copied().unwrap_or_default() + high.copied().unwrap_or_default()) / 2
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.2} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
