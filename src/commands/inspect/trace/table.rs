//! The window for a person at a terminal: what goroutines waited for, where, and whose doing it was.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::Traced;
use super::json::QUANTILES;
use crate::commands::terminal::numbers::{share, span};
use crate::commands::terminal::place::Place;
use crate::commands::terminal::{
    BAR, BOLD, Cell, Column, DIM, Entry, Listing, PLAIN, Screen, Segment, WARNING, bar, clean,
    write_wrapped,
};
use crate::numbers::{count, count_of, grouped};
use crate::trace::{Blame, Blocked, Cause, Damage, Owner, Site, Spans, Window};

/// Groups that waited, where `--top` does not say.
const GROUPS: usize = 25;
/// Places of system calls, and places that create; the same.
const PLACES: usize = 10;
/// The bar beside a share.
const SHARE_BAR: usize = 8;

/// Writes it.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(
    source: &str,
    traced: &Traced,
    top: Option<u32>,
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    let window = &traced.window;
    let top = top.and_then(|top| usize::try_from(top).ok());
    headline(source, window, screen, out)?;
    if traced.cut {
        let text = "The trace ends before its end: what was whole of it is shown.";
        sentence(text, WARNING, screen, out)?;
    }
    if let Some(text) = damaged(&window.damage) {
        sentence(&text, WARNING, screen, out)?;
    }
    verdict(window, screen, out)?;
    blocked(window, top.unwrap_or(GROUPS), screen, out)?;
    delays(window, screen, out)?;
    stops(window, screen, out)?;
    collector(window, screen, out)?;
    syscalls(window, top.unwrap_or(PLACES), screen, out)?;
    sites(window, top.unwrap_or(PLACES), screen, out)
}

fn headline(source: &str, window: &Window, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let processors = window
        .processors
        .map(|number| format!(" on {}", count(number, "processor")));
    let line = [
        Segment::file(clean(source), PLAIN),
        Segment::new(": ", PLAIN),
        Segment::new(format!("{} traced", span(window.nanoseconds)), BOLD),
        Segment::new(
            format!(
                " in {}, {} of {}{} (format go {})",
                count(window.generations, "generation"),
                count(window.events, "event"),
                count(window.goroutines, "goroutine"),
                processors.unwrap_or_default(),
                window.format.as_str(),
            ),
            PLAIN,
        ),
    ];
    write_wrapped(&line, screen, out)
}

/// What was lost, if anything.
fn damaged(damage: &Damage) -> Option<String> {
    if damage.is_none() {
        return None;
    }
    let lost = [
        (damage.generations, "generation"),
        (damage.bytes, "byte"),
        (damage.batches, "batch"),
        (damage.events, "rest of a batch"),
        (damage.tables, "string or stack"),
        (damage.gaps, "gap in a goroutine's events"),
        (damage.conflicts, "event that fits no state"),
        (damage.unknown_goroutines, "goroutine from nowhere"),
        (damage.dropped, "event too many"),
        (damage.stretches, "pause too many"),
    ];
    let lost: Vec<String> = lost
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{what}: {}", grouped(number)))
        .collect();
    Some(format!(
        "Some of the trace is missing or damaged, so numbers may be too low ({}).",
        lost.join(", ")
    ))
}

/// What the waiting is put down to.
fn verdict(window: &Window, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let moved: u64 = window
        .verdict
        .iter()
        .fold(0, |sum, waited| sum.saturating_add(waited.moved));
    let mut causes: Vec<_> = Blame::ALL.into_iter().zip(window.verdict).collect();
    causes.retain(|(_, waited)| waited.moved > 0 || waited.parked > 0);
    causes.sort_by_key(|(_, waited)| Reverse((waited.moved, waited.parked)));
    title(
        "Waiting",
        &format!(
            ": {} in all, of the application's goroutines that moved",
            span(moved)
        ),
        screen,
        out,
    )?;
    let entry = |(cause, waited): &(Blame, crate::trace::Waited)| {
        // Those that were parked all the time waited as long as the window is, each.
        let parked = waited.parked.checked_div(window.nanoseconds).unwrap_or(0);
        row([
            Cell::new(cause.as_str(), BOLD),
            Cell::plain(share(waited.moved, moved)),
            Cell::new(bar(waited.moved, moved, SHARE_BAR), BAR),
            Cell::plain(span(waited.moved)),
            number(parked),
            Cell::new(meaning(*cause), DIM),
        ])
    };
    Listing {
        columns: vec![
            Column::left("cause"),
            Column::right("share"),
            Column {
                spare: true,
                ..Column::left("")
            },
            Column::right("time"),
            Column::right("parked"),
            Column {
                spare: true,
                ..Column::left("goroutines")
            },
        ],
        places: "",
        entries: causes.iter().map(entry).collect(),
    }
    .write(screen, out)
}

/// A cause in words.
fn meaning(cause: Blame) -> &'static str {
    match cause {
        Blame::WorldStopped => "could run, but the world was stopped",
        Blame::Marking => "could run, but the collector was marking",
        Blame::Collector => "waited for the collector, or helped it",
        Blame::Scheduler => "could run, but no processor was free",
        Blame::Lock => "waited for a lock",
        Blame::Goroutines => "waited for other goroutines",
        Blame::Io => "waited for the network",
        Blame::Syscall => "were in the kernel, or in C code",
        Blame::Sleep => "slept",
        Blame::Other => "waited for something else",
    }
}

fn blocked(window: &Window, top: usize, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let (mut own, theirs): (Vec<&Blocked>, Vec<&Blocked>) = window
        .blocked
        .iter()
        .partition(|group| group.owner == Owner::Application);
    own.sort_by_key(|group| most_waited(group));
    if own.is_empty() {
        return Ok(());
    }
    title("Blocked", ", by group", screen, out)?;
    let all = own.iter().map(|group| group.spans.moved().nanoseconds);
    let all = all.fold(0, u64::saturating_add);
    let entry = |group: &&Blocked| {
        let moved = group.spans.moved();
        Entry {
            cells: vec![
                Cell::plain(share(moved.nanoseconds, all)),
                Cell::new(bar(moved.nanoseconds, all, SHARE_BAR), BAR),
                Cell::new(span(moved.nanoseconds), BOLD),
                number(moved.count),
                number(group.spans.both.count),
                Cell::plain(group.wait_reason.as_str()),
            ],
            place: place(group),
            created_by: None,
            id: group.id.to_string(),
        }
    };
    Listing {
        columns: vec![
            Column::right("share"),
            Column {
                spare: true,
                ..Column::left("")
            },
            Column::right("time"),
            Column::right("waits"),
            Column::right("parked"),
            Column::left("wait reason"),
        ],
        places: "blocked in",
        entries: own.iter().take(top).map(entry).collect(),
    }
    .write(screen, out)?;
    let rest = own.get(top..).unwrap_or_default();
    let hidden = added(rest, window.blocked_unlisted);
    more(rest.len(), hidden, screen, out)?;
    if !theirs.is_empty() {
        let spans = added(&theirs, Spans::default());
        let text = format!(
            "Not shown: {} of the runtime and of whoever traces, with {} in {} and {} parked",
            count_of(theirs.len(), "group"),
            span(spans.moved().nanoseconds),
            count(spans.moved().count, "wait"),
            grouped(spans.both.count),
        );
        sentence(&text, DIM, screen, out)?;
    }
    Ok(())
}

/// From being able to run to running.
fn delays(window: &Window, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let runnable = &window.runnable;
    let all = runnable.spans.all();
    if all.count == 0 {
        return Ok(());
    }
    let parts = [
        (runnable.other, "no processor was free"),
        (runnable.marking, "the collector was marking"),
        (runnable.world_stopped, "the world was stopped"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(part, _)| *part > 0)
        .map(|(part, why)| format!("{} {why}", share(part, all.nanoseconds)))
        .collect();
    title(
        "Able to run, not running",
        &format!(
            ": {} in {}: {}",
            span(all.nanoseconds),
            count(all.count, "delay"),
            parts.join(", ")
        ),
        screen,
        out,
    )?;
    let causes = Cause::ALL.into_iter().zip(&window.latency);
    let entry = |(cause, latency): (Cause, &crate::trace::Latency)| {
        let mut cells = vec![Cell::new(cause.as_str(), BOLD), number(latency.count)];
        cells.extend(QUANTILES.map(|part| {
            let found = latency.quantile(part);
            Cell::plain(found.map(span).unwrap_or_default())
        }));
        cells.push(Cell::plain(span(latency.nanoseconds)));
        row(cells)
    };
    Listing {
        columns: vec![
            Column::left("after"),
            Column::right("delays"),
            Column::right("half"),
            Column {
                spare: true,
                ..Column::right("90%")
            },
            Column::right("99%"),
            Column::right("longest"),
            Column::right("all"),
        ],
        places: "",
        entries: causes
            .filter(|(_, latency)| latency.count > 0)
            .map(entry)
            .collect(),
    }
    .write(screen, out)
}

fn stops(window: &Window, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    if window.stops.is_empty() {
        return Ok(());
    }
    title("World stopped", "", screen, out)?;
    let entries = window.stops.iter().map(|stop| {
        let of_the_trace = if stop.tracer {
            "by the trace itself"
        } else {
            ""
        };
        let style = if stop.tracer { DIM } else { BOLD };
        row([
            Cell::new(clean(&stop.kind), style),
            number(stop.sum.count),
            Cell::plain(span(stop.longest)),
            Cell::plain(span(stop.sum.nanoseconds)),
            Cell::new(of_the_trace, DIM),
        ])
    });
    Listing {
        columns: vec![
            Column::left("for"),
            Column::right("pauses"),
            Column::right("longest"),
            Column::right("all"),
            Column {
                spare: true,
                ..Column::left("")
            },
        ],
        places: "",
        entries: entries.collect(),
    }
    .write(screen, out)
}

fn collector(window: &Window, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let gc = &window.collector;
    let (mark, assist) = (gc.mark.all(), gc.assist.all());
    let rows = [
        ("marking", mark),
        ("assists", assist),
        ("sweeping", gc.sweep),
        ("workers", gc.workers),
    ];
    let heap = match (gc.heap_live, gc.heap_goal) {
        (Some(live), Some(goal)) => {
            format!(", heap {} of {} until the next", size(live), size(goal))
        }
        _ => String::new(),
    };
    if rows.iter().all(|(_, sum)| sum.count == 0) && heap.is_empty() {
        return Ok(());
    }
    title(
        "Garbage collector",
        &format!(": {}{heap}", count(mark.count, "cycle")),
        screen,
        out,
    )?;
    let entries = rows.into_iter().filter(|(_, sum)| sum.count > 0);
    let entry = |(what, sum): (&'static str, crate::trace::Sum)| {
        row([
            Cell::new(what, BOLD),
            number(sum.count),
            Cell::plain(span(sum.nanoseconds)),
        ])
    };
    Listing {
        columns: vec![
            Column::left("work"),
            Column::right("times"),
            Column::right("all"),
        ],
        places: "",
        entries: entries.map(entry).collect(),
    }
    .write(screen, out)
}

fn syscalls(window: &Window, top: usize, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let own = window.syscalls.iter();
    let mut own: Vec<&Blocked> = own
        .filter(|group| group.owner == Owner::Application)
        .collect();
    own.sort_by_key(|group| most_waited(group));
    if own.is_empty() {
        return Ok(());
    }
    let lost = match window.syscalls_lost_processor {
        0 => String::new(),
        lost => format!(
            "; {} lost the processor, with those of the runtime",
            grouped(lost)
        ),
    };
    title(
        "System calls",
        &format!(" and calls of C{lost}"),
        screen,
        out,
    )?;
    let entry = |group: &&Blocked| {
        let moved = group.spans.moved();
        Entry {
            cells: vec![
                Cell::new(span(moved.nanoseconds), BOLD),
                number(moved.count),
                number(group.spans.both.count),
            ],
            place: place(group),
            created_by: None,
            id: group.id.to_string(),
        }
    };
    Listing {
        columns: vec![
            Column::right("time"),
            Column::right("calls"),
            Column::right("all the time"),
        ],
        places: "called in",
        entries: own.iter().take(top).map(entry).collect(),
    }
    .write(screen, out)?;
    let rest = own.get(top..).unwrap_or_default();
    more(
        rest.len(),
        added(rest, window.syscalls_unlisted),
        screen,
        out,
    )
}

fn sites(window: &Window, top: usize, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let own = window.sites.iter();
    let own: Vec<&Site> = own
        .filter(|site| site.owner == Owner::Application)
        .collect();
    if own.is_empty() && window.ended_older == 0 {
        return Ok(());
    }
    let older = match window.ended_older {
        0 => String::new(),
        older => format!("; {} more ended, created before it", grouped(older)),
    };
    title("Created", &format!(" in the window{older}"), screen, out)?;
    let entry = |site: &&Site| {
        let creator = clean(&site.created_by);
        let app = clean(&site.app_frame);
        let created_by = if app.is_empty() || app == creator {
            creator.into_owned()
        } else {
            format!("{creator} for {app}")
        };
        Entry {
            cells: vec![
                Cell::new(grouped(site.births.created), BOLD),
                number(site.births.ended),
            ],
            place: Place {
                blocking_frame: site.entry.to_string(),
                app_frame: site.entry.to_string(),
                file: String::new(),
                line: 0,
            },
            created_by: Some(created_by).filter(|name| !name.is_empty()),
            id: String::new(),
        }
    };
    Listing {
        columns: vec![Column::right("created"), Column::right("ended")],
        places: "function",
        entries: own.iter().take(top).map(entry).collect(),
    }
    .write(screen, out)?;
    let rest = own.get(top..).unwrap_or_default();
    let created = rest.iter().map(|site| site.births.created);
    let created = created.fold(window.sites_unlisted.created, u64::saturating_add);
    if created > 0 {
        let text = format!(
            "{} with {}; --top N shows more",
            count_of(rest.len(), "more place"),
            count(created, "goroutine"),
        );
        sentence(&text, DIM, screen, out)?;
    }
    Ok(())
}

/// Most time first; what did not move within the window comes last, most of it first.
fn most_waited(group: &Blocked) -> impl Ord + use<> {
    let moved = group.spans.moved().nanoseconds;
    Reverse((moved, group.spans.both.count))
}

/// What the bound on rows left out.
fn more(groups: usize, spans: Spans, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    if spans == Spans::default() {
        return Ok(());
    }
    let parked = match spans.both.count {
        0 => String::new(),
        parked => format!(" and {} parked", grouped(parked)),
    };
    let text = format!(
        "{} with {} in {}{parked}; --top N shows more",
        count_of(groups, "more group"),
        span(spans.moved().nanoseconds),
        grouped(spans.moved().count),
    );
    sentence(&text, DIM, screen, out)
}

/// Groups together, and what is in none.
fn added(groups: &[&Blocked], unlisted: Spans) -> Spans {
    groups.iter().fold(unlisted, |sum, group| Spans {
        closed: sum.closed.and(group.spans.closed),
        left: sum.left.and(group.spans.left),
        right: sum.right.and(group.spans.right),
        both: sum.both.and(group.spans.both),
    })
}

fn place(group: &Blocked) -> Place {
    Place {
        blocking_frame: group.blocking_frame.to_string(),
        app_frame: group.app_frame.to_string(),
        file: String::new(),
        line: 0,
    }
}

/// A row without a place.
fn row(cells: impl Into<Vec<Cell>>) -> Entry {
    Entry {
        cells: cells.into(),
        place: Place {
            blocking_frame: String::new(),
            app_frame: String::new(),
            file: String::new(),
            line: 0,
        },
        created_by: None,
        id: String::new(),
    }
}

/// A count; nothing where there is none, as a column of zeros tells nothing.
fn number(number: u64) -> Cell {
    Cell::plain(if number == 0 {
        String::new()
    } else {
        grouped(number)
    })
}

/// Bytes with a digit behind the point.
fn size(bytes: u64) -> String {
    let (unit, name) = if bytes < 1 << 20 {
        (1 << 10, "KiB")
    } else {
        (1 << 20, "MiB")
    };
    let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// Begins a part.
fn title(what: &str, more: &str, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    writeln!(out)?;
    let line = [Segment::new(what, BOLD), Segment::new(more, PLAIN)];
    write_wrapped(&line, screen, out)
}

fn sentence(
    text: &str,
    style: anstyle::Style,
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    write_wrapped(&[Segment::new(text, style)], screen, out)
}
