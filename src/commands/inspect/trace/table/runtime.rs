//! What the runtime did: delays before running, stops of the world, the collector.

use std::io::{self, Write};

use super::{number, row, size, title};
use crate::commands::inspect::trace::json::QUANTILES;
use crate::commands::terminal::numbers::{share, span};
use crate::commands::terminal::{BOLD, Cell, Column, DIM, Listing, Screen, clean};
use crate::numbers::count;
use crate::trace::{Cause, Window};

/// From being able to run to running.
pub(super) fn delays(window: &Window, screen: Screen, out: &mut impl Write) -> io::Result<()> {
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

pub(super) fn stops(window: &Window, screen: Screen, out: &mut impl Write) -> io::Result<()> {
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

pub(super) fn collector(window: &Window, screen: Screen, out: &mut impl Write) -> io::Result<()> {
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
