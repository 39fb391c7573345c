//! The answer as JSON, for tests and scripts. Its shape is a promise: fields are added, never renamed.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::Look;
use crate::classify::WaitReason;
use crate::tally::{Group, Tally};

#[derive(Serialize)]
struct Report<'a> {
    source: &'a str,
    profile: &'a str,
    encoding: &'a str,
    total: u64,
    truncated: bool,
    damage: u64,
    wait_reasons: BTreeMap<&'a str, u64>,
    groups: Vec<GroupReport<'a>>,
    /// What `--top`, or the bound on groups, left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<Other>,
}

#[derive(Serialize)]
struct Other {
    groups: usize,
    goroutines: u64,
}

#[derive(Serialize)]
struct GroupReport<'a> {
    group_id: String,
    wait_reason: &'a str,
    blocking_frame: &'a str,
    app_frame: &'a str,
    goroutines: u64,
    leaked: u64,
    longest_wait_seconds: Option<u64>,
    file: &'a str,
    line: u32,
    entry: &'a str,
    created_by: Option<&'a str>,
    origin: &'a str,
}

/// Writes one object; for several sources an array of them.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn json(
    looks: &[Look],
    several: bool,
    top: Option<u32>,
    out: &mut impl Write,
) -> io::Result<()> {
    let reports: Vec<Report<'_>> = looks
        .iter()
        .map(|look| report(&look.name, &look.tally, top))
        .collect();
    match reports.as_slice() {
        [report] if !several => serde_json::to_writer_pretty(&mut *out, report)?,
        reports => serde_json::to_writer_pretty(&mut *out, reports)?,
    }
    writeln!(out)
}

fn report<'a>(source: &'a str, tally: &'a Tally, top: Option<u32>) -> Report<'a> {
    let top = top
        .and_then(|top| usize::try_from(top).ok())
        .unwrap_or(usize::MAX);
    let shown: Vec<GroupReport<'_>> = tally.groups.iter().take(top).map(group).collect();
    let other = Other {
        groups: tally.groups.len() - shown.len(),
        goroutines: tally.total - shown.iter().map(|group| group.goroutines).sum::<u64>(),
    };
    Report {
        source,
        profile: if tally.summary.leaked_only {
            "goroutineleak"
        } else {
            "goroutine"
        },
        encoding: tally.summary.encoding.as_str(),
        total: tally.total,
        truncated: tally.summary.truncated,
        damage: tally.summary.damage,
        wait_reasons: WaitReason::ALL
            .iter()
            .zip(tally.wait_reasons)
            .filter(|(_, goroutines)| *goroutines > 0)
            .map(|(reason, goroutines)| (reason.as_str(), goroutines))
            .collect(),
        groups: shown,
        other: Some(other).filter(|other| other.goroutines > 0),
    }
}

fn group(group: &Group) -> GroupReport<'_> {
    GroupReport {
        group_id: group.id.to_string(),
        wait_reason: group.wait_reason.as_str(),
        blocking_frame: &group.blocking_frame,
        app_frame: &group.app_frame,
        goroutines: group.goroutines,
        leaked: group.leaked,
        longest_wait_seconds: group.longest_wait.map(|wait| wait.as_secs()),
        file: &group.file,
        line: group.line,
        entry: &group.entry,
        created_by: group.created_by.as_deref(),
        origin: group.origin.as_str(),
    }
}
