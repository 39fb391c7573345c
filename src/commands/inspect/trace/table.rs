//! The window for a person at a terminal: what goroutines waited for, where, and whose doing it was.

mod groups;
mod runtime;

use std::cmp::Reverse;
use std::io::{self, Write};

use super::Traced;
use crate::commands::terminal::numbers::{share, span};
use crate::commands::terminal::place::Place;
use crate::commands::terminal::{
    BAR, BOLD, Cell, Column, DIM, Entry, Listing, PLAIN, Screen, Segment, WARNING, bar, clean,
    write_wrapped,
};
use crate::numbers::{count, grouped};
use crate::trace::{Blame, Damage, Window};

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
    groups::blocked(window, top.unwrap_or(GROUPS), screen, out)?;
    runtime::delays(window, screen, out)?;
    runtime::stops(window, screen, out)?;
    runtime::collector(window, screen, out)?;
    groups::syscalls(window, top.unwrap_or(PLACES), screen, out)?;
    groups::sites(window, top.unwrap_or(PLACES), screen, out)
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
        Blame::Other => "waited for something else, or nobody knows",
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
