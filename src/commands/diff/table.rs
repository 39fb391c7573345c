//! The comparison for a person at a terminal.

use std::io::{self, Write};

use super::compare::{Change, Comparison, Excuse, Kind};
use super::side::Side;
use crate::commands::terminal::numbers::{change, share};
use crate::commands::terminal::place::Place;
use crate::commands::terminal::{
    BAD, BOLD, Cell, Column, DIM, Entry, GOOD, Listing, PLAIN, Screen, Segment, WARNING, clean,
    stacks, write_wrapped,
};
use crate::numbers::{count, count_of, grouped};

/// Rows; the rest is counted.
const ROWS: usize = 40;

/// Writes verdict, totals, changes of at least `min` goroutines, and the stacks of the `most` largest.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(
    found: &Comparison,
    min: u64,
    most: usize,
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    if let Some(verdict) = found.verdict() {
        let style = if found.failed() { BAD } else { GOOD };
        write_wrapped(&[Segment::new(verdict, style)], screen, out)?;
    }
    let (before, after) = (found.before.total, found.after.total);
    let mut totals = vec![Segment::new(
        format!("{} -> {}", grouped(before), count(after, "goroutine")),
        BOLD,
    )];
    if before != after {
        totals.push(Segment::new(" (", PLAIN));
        let style = if after > before { BAD } else { GOOD };
        totals.push(Segment::new(change(before, after), style));
        totals.push(Segment::new(")", PLAIN));
    }
    totals.push(Segment::new(": ", PLAIN));
    totals.push(Segment::file(source(&found.before), PLAIN));
    totals.push(Segment::new(" -> ", PLAIN));
    totals.push(Segment::file(source(&found.after), PLAIN));
    write_wrapped(&totals, screen, out)?;
    for side in [&found.before, &found.after] {
        if let Some(why) = side.incomplete() {
            let text = format!(
                "{}: {why}; what it lacks looks like a change.",
                clean(&side.name)
            );
            write_wrapped(&[Segment::new(text, WARNING)], screen, out)?;
        }
    }
    if found.before.encoding != found.after.encoding
        && [&found.before, &found.after]
            .iter()
            .any(|side| side.encoding == "debug1")
    {
        let text = "One of the two is debug=1, which hides why some goroutines wait: their groups look changed.";
        write_wrapped(&[Segment::new(text, WARNING)], screen, out)?;
    }
    let (shown, hidden) = found.shown(min);
    let rows: Vec<&Change> = shown.iter().take(ROWS).copied().collect();
    if !rows.is_empty() {
        writeln!(out)?;
        listing(&rows, found).write(screen, out)?;
    }
    let rest = shown.len() - rows.len();
    let notes = [
        (rest, format!("{} changed", count_of(rest, "more group"))),
        (
            hidden,
            format!("{} changed by fewer than {min}", count_of(hidden, "group")),
        ),
        (
            found.unchanged,
            format!("{} as before", count_of(found.unchanged, "group")),
        ),
    ];
    let notes = notes.into_iter().filter(|(groups, _)| *groups > 0);
    let notes: Vec<String> = notes.map(|(_, text)| text).collect();
    if !notes.is_empty() {
        write_wrapped(&[Segment::new(notes.join(", "), DIM)], screen, out)?;
    }
    if found.changes.is_empty() {
        write_wrapped(&[Segment::new("Nothing changed.", GOOD)], screen, out)?;
    }
    for change in rows.iter().take(most) {
        let Some(id) = change.id else { continue };
        let side = if change.after > 0 {
            &found.after
        } else {
            &found.before
        };
        let of = side.stacks.of(id);
        let headline = format!(
            "{id}: {}, {} -> {} in {}",
            change.kind.as_str(),
            grouped(change.before),
            count(change.after, "goroutine"),
            change.group.wait_reason
        );
        if of.is_empty() {
            writeln!(out)?;
            let text = format!("{headline}; a report has no stacks, a saved profile has");
            write_wrapped(&[Segment::new(text, DIM)], screen, out)?;
            continue;
        }
        let goroutines = change
            .after
            .max(if change.after > 0 { 0 } else { change.before });
        stacks::write(&headline, &place(change), goroutines, of, screen, out)?;
    }
    Ok(())
}

fn listing(changes: &[&Change], found: &Comparison) -> Listing {
    let entry = |change: &&Change| {
        let style = match change.kind {
            Kind::Appeared | Kind::Grew => BAD,
            Kind::Shrank | Kind::Gone => GOOD,
        };
        let style = if change.excuse.is_some() { DIM } else { style };
        let kind = match (change.fails, change.excuse) {
            (true, _) => format!("{} FAIL", change.kind.as_str()),
            (_, Some(Excuse::Look)) => format!("{} (this look)", change.kind.as_str()),
            (_, Some(Excuse::Known)) => format!("{} (known)", change.kind.as_str()),
            _ => change.kind.as_str().to_owned(),
        };
        let share = share(change.after, found.after.total);
        Entry {
            cells: vec![
                Cell::new(self::change(change.before, change.after), style),
                Cell::plain(grouped(change.before)),
                Cell::plain(grouped(change.after)),
                Cell::plain(if change.after > 0 {
                    share
                } else {
                    String::new()
                }),
                Cell::new(kind, style),
                Cell::plain(clean(&change.group.wait_reason)),
            ],
            place: place(change),
            created_by: change
                .group
                .created_by
                .clone()
                .filter(|name| !name.is_empty()),
            id: change.id.map(|id| id.to_string()).unwrap_or_default(),
        }
    };
    Listing {
        places: "blocked in, line",
        columns: vec![
            Column::right("change"),
            Column {
                spare: true,
                ..Column::right("before")
            },
            Column::right("after"),
            Column {
                spare: true,
                ..Column::right("share")
            },
            Column::left(""),
            Column::left("wait reason"),
        ],
        entries: changes.iter().map(entry).collect(),
    }
}

fn place(change: &Change) -> Place {
    Place {
        blocking_frame: change.group.blocking_frame.clone(),
        app_frame: change.group.app_frame.clone(),
        file: change.group.file.clone(),
        line: change.group.line,
    }
}

fn source(side: &Side) -> String {
    format!("{} ({})", clean(&side.name), clean(&side.encoding))
}
