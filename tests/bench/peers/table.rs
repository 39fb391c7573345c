//! The table of who reads at what cost, as Markdown.

use std::fmt;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use crate::figures::{median, met, size, time};
use crate::machine::{processor, thousands};
use crate::readers::Cost;
use crate::work::{Reader, Work};

/// Everything measured in one run.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) versions: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) started: SystemTime,
    /// Of the last minute, before and after.
    pub(crate) load: [String; 2],
    pub(crate) rows: Vec<Row>,
}

/// All rounds of one work.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) work: Work,
    /// Of the dump: as it is sent, and inflated.
    pub(crate) bytes: [usize; 2],
    /// Of the dump that peers read, where it is another.
    pub(crate) peers_bytes: Option<usize>,
    /// Ours first.
    pub(crate) costs: Vec<(Reader, Vec<Cost>)>,
}

impl Row {
    pub(crate) fn cpu(&self, reader: Reader) -> Option<Duration> {
        let (_, costs) = self.costs.iter().find(|(known, _)| *known == reader)?;
        Some(median(costs.iter().map(|cost| cost.cpu)))
    }

    /// How many times our CPU time a peer's is.
    pub(crate) fn ratio(&self, peer: Reader) -> Option<f64> {
        Some(self.cpu(peer)?.as_secs_f64() / self.cpu(peer.ours())?.as_secs_f64())
    }

    fn line(&self, reader: Reader, costs: &[Cost]) -> String {
        let cpu = median(costs.iter().map(|cost| cost.cpu));
        let peak = median(costs.iter().map(|cost| cost.peak_bytes));
        let ours = reader.is_ours();
        let read = match self.peers_bytes {
            Some(bytes) if !ours => bytes,
            _ => self.bytes[1],
        };
        let speed = read as f64 / cpu.as_secs_f64();
        let (ratio, goal) = if ours {
            let goals = (reader == Reader::Ours).then(|| self.own_goals(speed, peak));
            (String::new(), goals.unwrap_or_default())
        } else {
            let ratio = self.ratio(reader).unwrap_or_default();
            let mut peers = self.work.peers.iter();
            let goal = peers.find(|(known, _)| *known == reader);
            let goal = goal.and_then(|(_, goal)| *goal);
            let goal = goal.map_or_else(String::new, |goal| {
                format!("{goal:.0}x: {}", met(ratio >= goal))
            });
            (format!("{ratio:.1}x"), goal)
        };
        let cut = self.peers_bytes.is_some() && !ours;
        format!(
            "| {} | {} | {} | {}{} | {} | {} MB/s | {ratio} | {goal} | {} | {} |",
            self.work.name,
            thousands(self.work.shape.goroutines as u64),
            reader.name(),
            size(read),
            if cut { ", labels cut" } else { "" },
            time(cpu),
            thousands((speed / 1e6) as u64),
            costs
                .first()
                .and_then(|cost| cost.allocations)
                .map_or_else(String::new, thousands),
            size(peak as usize),
        )
    }

    fn own_goals(&self, speed: f64, peak: u64) -> String {
        let goals = self.work.goals;
        let speed = goals
            .speed
            .map(|goal| format!("{:.0} GB/s: {}", goal / 1e9, met(speed >= goal)));
        let peak = goals.peak_bytes(self.bytes[1]).map(|goal| {
            let most = size(goal as usize);
            format!("resident {most}: {}", met(peak <= goal))
        });
        let goals: Vec<String> = speed.into_iter().chain(peak).collect();
        goals.join(", ")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{}: {} cores, {}; {}; ours built {}; medians of {} rounds; load {} at the start, {} at the end.\n",
            humantime::format_rfc3339_seconds(self.started),
            available_parallelism().map_or(0, usize::from),
            processor(),
            self.versions.join(", "),
            if cfg!(debug_assertions) {
                "for debugging"
            } else {
                "for release"
            },
            self.rounds,
            self.load[0],
            self.load[1],
        )?;
        out.write_str(
            "| dump | goroutines | reader | inflated | CPU time | speed | of ours | goal | allocations | resident beside the dump |\n\
             |---|--:|---|--:|--:|--:|--:|---|--:|--:|\n",
        )?;
        for row in &self.rows {
            for (reader, costs) in &row.costs {
                writeln!(out, "{}", row.line(*reader, costs))?;
            }
        }
        Ok(())
    }
}
