//! By group and by site: who was blocked, who was in the kernel, who was created.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::{SHARE_BAR, number, sentence, title};
use crate::commands::terminal::numbers::{share, span};
use crate::commands::terminal::place::Place;
use crate::commands::terminal::{BAR, BOLD, Cell, Column, DIM, Entry, Listing, Screen, bar, clean};
use crate::numbers::{count, count_of, grouped};
use crate::trace::{Blocked, Owner, Site, Spans, Window};

pub(super) fn blocked(
    window: &Window,
    top: usize,
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
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

pub(super) fn syscalls(
    window: &Window,
    top: usize,
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
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

pub(super) fn sites(
    window: &Window,
    top: usize,
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
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
