//! The window as JSON, for scripts. Its shape is a promise: fields are added, never renamed. Times are seconds.

use std::io::{self, Write};

use serde::Serialize;

use super::Traced;
use crate::tally::{Group, Tally};
use crate::trace::{Blame, Blocked, Cause, Damage, Owner, Site, Spans, Stop, Sum, Window};

#[derive(Serialize)]
struct Report<'a> {
    source: &'a str,
    profile: &'static str,
    format: String,
    generations: u64,
    window_seconds: f64,
    events: u64,
    goroutines: u64,
    processors: Option<u64>,
    truncated: bool,
    damage: DamageReport,
    waiting: Vec<WaitingReport>,
    blocked: Vec<BlockedReport<'a>>,
    blocked_other: Option<Other>,
    scheduling: Vec<SchedulingReport>,
    runnable: RunnableReport,
    stop_the_world: Vec<StopReport<'a>>,
    gc: GcReport,
    syscalls: Vec<BlockedReport<'a>>,
    syscalls_other: Option<Other>,
    syscalls_lost_processor: u64,
    created: Vec<SiteReport<'a>>,
    created_other: Option<OtherSites>,
    ended_created_before: u64,
    /// Of targets only.
    cross_check: Option<CrossCheck>,
}

/// Goroutines in the profiles before and behind the trace.
#[derive(Serialize)]
struct CrossCheck {
    /// Those in both.
    goroutines: u64,
    groups: Vec<CrossChecked>,
}

#[derive(Serialize)]
struct CrossChecked {
    group_id: String,
    /// Before.
    goroutines: u64,
    /// Those of them that did not move.
    parked_goroutines: u64,
}

impl CrossCheck {
    fn of(profile: &Tally) -> Self {
        let group = |group: &Group| {
            group.parked.map(|parked| CrossChecked {
                group_id: group.id.to_string(),
                goroutines: parked.of,
                parked_goroutines: parked.goroutines,
            })
        };
        Self {
            goroutines: profile.checked.unwrap_or_default(),
            groups: profile.groups.iter().filter_map(group).collect(),
        }
    }
}

#[derive(Serialize)]
struct DamageReport {
    generations: u64,
    bytes: u64,
    batches: u64,
    events: u64,
    tables: u64,
    gaps: u64,
    conflicts: u64,
    unknown_goroutines: u64,
    dropped: u64,
    stretches: u64,
}

#[derive(Serialize)]
struct WaitingReport {
    cause: &'static str,
    seconds: f64,
    parked_seconds: f64,
}

#[derive(Serialize)]
struct BlockedReport<'a> {
    group_id: String,
    wait_reason: &'static str,
    blocking_frame: &'a str,
    app_frame: &'a str,
    owner: &'static str,
    seconds: f64,
    events: u64,
    parked_goroutines: u64,
    world_stopped_seconds: f64,
    gc_marking_seconds: f64,
}

/// What `--top`, or the bound on groups, left out.
#[derive(Serialize)]
struct Other {
    groups: usize,
    seconds: f64,
    events: u64,
    parked_goroutines: u64,
}

#[derive(Serialize)]
struct SchedulingReport {
    cause: &'static str,
    events: u64,
    seconds: f64,
    quantiles: Vec<Quantile>,
}

#[derive(Serialize)]
struct Quantile {
    quantile: f64,
    seconds: f64,
}

#[derive(Serialize)]
struct RunnableReport {
    events: u64,
    seconds: f64,
    world_stopped_seconds: f64,
    gc_marking_seconds: f64,
    other_seconds: f64,
}

#[derive(Serialize)]
struct StopReport<'a> {
    kind: &'a str,
    of_the_trace: bool,
    pauses: u64,
    seconds: f64,
    longest_seconds: f64,
}

#[derive(Serialize)]
struct GcReport {
    cycles: u64,
    mark_seconds: f64,
    assists: u64,
    assist_seconds: f64,
    sweep_seconds: f64,
    worker_seconds: f64,
    swept_bytes: u64,
    reclaimed_bytes: u64,
    heap_live_bytes: Option<u64>,
    heap_goal_bytes: Option<u64>,
}

#[derive(Serialize)]
struct SiteReport<'a> {
    created_by: &'a str,
    app_frame: &'a str,
    entry: &'a str,
    owner: &'static str,
    created: u64,
    ended: u64,
}

#[derive(Serialize)]
struct OtherSites {
    sites: usize,
    created: u64,
    ended: u64,
}

/// The quantiles of delays that are told.
pub(super) const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

/// Writes one object.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(
    source: &str,
    traced: &Traced,
    profile: Option<&Tally>,
    top: Option<u32>,
    out: &mut impl Write,
) -> io::Result<()> {
    let top = top
        .and_then(|top| usize::try_from(top).ok())
        .unwrap_or(usize::MAX);
    let report = Report {
        cross_check: profile.map(CrossCheck::of),
        ..report(source, traced, top)
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn report<'a>(source: &'a str, traced: &'a Traced, top: usize) -> Report<'a> {
    let window = &traced.window;
    Report {
        source,
        profile: "trace",
        format: format!("go {}", window.format.as_str()),
        generations: window.generations,
        window_seconds: seconds(window.nanoseconds),
        events: window.events,
        goroutines: window.goroutines,
        processors: window.processors,
        truncated: traced.cut,
        damage: damage(&window.damage),
        waiting: waiting(window),
        blocked: window.blocked.iter().take(top).map(blocked).collect(),
        blocked_other: other(&window.blocked, window.blocked_unlisted, top),
        scheduling: scheduling(window),
        runnable: RunnableReport {
            events: window.runnable.spans.all().count,
            seconds: seconds(window.runnable.spans.all().nanoseconds),
            world_stopped_seconds: seconds(window.runnable.world_stopped),
            gc_marking_seconds: seconds(window.runnable.marking),
            other_seconds: seconds(window.runnable.other),
        },
        stop_the_world: window.stops.iter().map(stop).collect(),
        gc: gc(window),
        syscalls: window.syscalls.iter().take(top).map(blocked).collect(),
        syscalls_other: other(&window.syscalls, window.syscalls_unlisted, top),
        syscalls_lost_processor: window.syscalls_lost_processor,
        created: window.sites.iter().take(top).map(site).collect(),
        created_other: other_sites(window, top),
        ended_created_before: window.ended_older,
        cross_check: None,
    }
}

/// Nanoseconds as JSON says them.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a window is far shorter than the 104 days that are exact"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn damage(damage: &Damage) -> DamageReport {
    DamageReport {
        generations: damage.generations,
        bytes: damage.bytes,
        batches: damage.batches,
        events: damage.events,
        tables: damage.tables,
        gaps: damage.gaps,
        conflicts: damage.conflicts,
        unknown_goroutines: damage.unknown_goroutines,
        dropped: damage.dropped,
        stretches: damage.stretches,
    }
}

fn waiting(window: &Window) -> Vec<WaitingReport> {
    let waiting = |(cause, waited): (Blame, crate::trace::Waited)| WaitingReport {
        cause: cause.as_str(),
        seconds: seconds(waited.moved),
        parked_seconds: seconds(waited.parked),
    };
    Blame::ALL
        .into_iter()
        .zip(window.verdict)
        .map(waiting)
        .collect()
}

fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Application => "application",
        Owner::Runtime => "runtime",
        Owner::Tracer => "tracer",
    }
}

fn blocked(group: &Blocked) -> BlockedReport<'_> {
    let moved = group.spans.moved();
    BlockedReport {
        group_id: group.id.to_string(),
        wait_reason: group.wait_reason.as_str(),
        blocking_frame: &group.blocking_frame,
        app_frame: &group.app_frame,
        owner: owner(group.owner),
        seconds: seconds(moved.nanoseconds),
        events: moved.count,
        parked_goroutines: group.spans.both.count,
        world_stopped_seconds: seconds(group.world_stopped),
        gc_marking_seconds: seconds(group.marking),
    }
}

fn other(groups: &[Blocked], unlisted: Spans, top: usize) -> Option<Other> {
    let rest = groups.get(top..).unwrap_or_default();
    let (mut moved, mut parked) = (unlisted.moved(), unlisted.both);
    for group in rest {
        moved = moved.and(group.spans.moved());
        parked = parked.and(group.spans.both);
    }
    let other = Other {
        groups: rest.len(),
        seconds: seconds(moved.nanoseconds),
        events: moved.count,
        parked_goroutines: parked.count,
    };
    Some(other).filter(|_| moved != Sum::default() || parked != Sum::default())
}

fn scheduling(window: &Window) -> Vec<SchedulingReport> {
    let report = |(cause, latency): (Cause, &crate::trace::Latency)| SchedulingReport {
        cause: cause.as_str(),
        events: latency.count,
        seconds: seconds(latency.nanoseconds),
        quantiles: QUANTILES
            .into_iter()
            .filter_map(|quantile| {
                let found = latency.quantile(quantile)?;
                Some(Quantile {
                    quantile,
                    seconds: seconds(found),
                })
            })
            .collect(),
    };
    Cause::ALL
        .into_iter()
        .zip(&window.latency)
        .map(report)
        .collect()
}

fn stop(stop: &Stop) -> StopReport<'_> {
    StopReport {
        kind: &stop.kind,
        of_the_trace: stop.tracer,
        pauses: stop.sum.count,
        seconds: seconds(stop.sum.nanoseconds),
        longest_seconds: seconds(stop.longest),
    }
}

fn gc(window: &Window) -> GcReport {
    let gc = &window.collector;
    GcReport {
        cycles: gc.mark.all().count,
        mark_seconds: seconds(gc.mark.all().nanoseconds),
        assists: gc.assist.all().count,
        assist_seconds: seconds(gc.assist.all().nanoseconds),
        sweep_seconds: seconds(gc.sweep.nanoseconds),
        worker_seconds: seconds(gc.workers.nanoseconds),
        swept_bytes: gc.swept_bytes,
        reclaimed_bytes: gc.reclaimed_bytes,
        heap_live_bytes: gc.heap_live,
        heap_goal_bytes: gc.heap_goal,
    }
}

fn site(site: &Site) -> SiteReport<'_> {
    SiteReport {
        created_by: &site.created_by,
        app_frame: &site.app_frame,
        entry: &site.entry,
        owner: owner(site.owner),
        created: site.births.created,
        ended: site.births.ended,
    }
}

fn other_sites(window: &Window, top: usize) -> Option<OtherSites> {
    let rest = window.sites.get(top..).unwrap_or_default();
    let (mut created, mut ended) = (window.sites_unlisted.created, window.sites_unlisted.ended);
    for site in rest {
        created = created.saturating_add(site.births.created);
        ended = ended.saturating_add(site.births.ended);
    }
    let other = OtherSites {
        sites: rest.len(),
        created,
        ended,
    };
    Some(other).filter(|_| created > 0 || ended > 0)
}
