//! The answer for a person at a terminal.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::TABLE_GROUPS;
use crate::classify::WaitReason;
use crate::cli::InspectArgs;
use crate::commands::look::{Look, Looker};
use crate::commands::terminal::numbers::{age, change, share};
use crate::commands::terminal::place::Place;
use crate::commands::terminal::{
    BAD, BAR, BOLD, Cell, Column, DIM, Entry, GOOD, Listing, PLAIN, Screen, Segment, WARNING, bar,
    clean, stacks, write_wrapped,
};
use crate::numbers::{count, count_of, grouped};
use crate::profile::Encoding;
use crate::tally::{Group, GroupId, Tally};

/// The bar of a wait reason: a part of the width, within these.
const REASON_BARS: std::ops::RangeInclusive<usize> = 8..=40;
/// The bar beside a share.
const SHARE_BAR: usize = 8;
/// Sources listed with their totals; the rest is added up.
const SOURCES: usize = 20;

/// From how many goroutines on a group with half of them all stands out.
const DOMINANT: u64 = 50;

/// Goroutines at an earlier look.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    total: u64,
    groups: BTreeMap<GroupId, u64>,
}

impl Counts {
    pub(super) fn of(tally: &Tally) -> Self {
        let groups = tally.groups.iter();
        Self {
            total: tally.total,
            groups: groups.map(|group| (group.id, group.goroutines)).collect(),
        }
    }

    fn group(&self, id: GroupId) -> u64 {
        self.groups.get(&id).copied().unwrap_or(0)
    }
}

/// The first look and the one before this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since<'a> {
    pub(super) first: &'a Counts,
    pub(super) last: &'a Counts,
}

/// Everything that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture<'a> {
    looks: &'a [Look],
    all: &'a Look,
    top: usize,
    stacks: usize,
    filters: bool,
    since: Option<Since<'a>>,
}

impl<'a> Picture<'a> {
    /// Of these looks, which together are `all`.
    pub(super) fn new(
        looks: &'a [Look],
        all: &'a Look,
        arguments: &InspectArgs,
        looker: &Looker,
    ) -> Self {
        let number = |number: Option<u32>| number.and_then(|number| usize::try_from(number).ok());
        Self {
            looks,
            all,
            top: number(arguments.top).unwrap_or(TABLE_GROUPS),
            stacks: number(arguments.stacks).unwrap_or(0),
            filters: looker.filters(),
            since: None,
        }
    }

    /// With what changed since.
    pub(super) fn since(self, since: Since<'a>) -> Self {
        Self {
            since: Some(since),
            ..self
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub(super) fn write(self, screen: Screen, out: &mut impl Write) -> io::Result<()> {
        let tally = &self.all.tally;
        self.headline(screen, out)?;
        for warning in warnings(tally) {
            sentence(&warning, WARNING, screen, out)?;
        }
        if self.looks.len() > 1 {
            writeln!(out)?;
            self.sources(screen, out)?;
        }
        if tally.total == 0 {
            return sentence(self.nothing(), PLAIN, screen, out);
        }
        writeln!(out)?;
        wait_reasons(tally, screen, out)?;
        writeln!(out)?;
        let shown: Vec<&Group> = tally.groups.iter().take(self.top).collect();
        self.listing(&shown).write(screen, out)?;
        self.rest(&shown, screen, out)?;
        for group in shown.iter().take(self.stacks) {
            let headline = format!(
                "{}: {} in {}",
                group.id,
                count(group.goroutines, "goroutine"),
                group.wait_reason
            );
            let stacks = self.all.stacks.of(group.id);
            stacks::write(
                &headline,
                &place(group),
                group.goroutines,
                stacks,
                screen,
                out,
            )?;
        }
        Ok(())
    }

    fn headline(self, screen: Screen, out: &mut impl Write) -> io::Result<()> {
        let tally = &self.all.tally;
        let name = match self.looks {
            [] | [_] => clean(&self.all.name).into_owned(),
            looks => count_of(looks.len(), "source"),
        };
        let leaked = match (tally.summary.leaked_only, tally.leaked) {
            (true, _) => ", all proven leaked".to_owned(),
            (false, Some(leaked)) if leaked > 0 => {
                format!(", {} proven leaked", grouped(leaked))
            }
            _ => String::new(),
        };
        let filters = if self.filters {
            ", those with matching functions"
        } else {
            ""
        };
        let mut line = vec![
            Segment::file(name, PLAIN),
            Segment::new(": ", PLAIN),
            Segment::new(count(tally.total, "goroutine"), BOLD),
            Segment::new(
                format!(
                    " in {} ({}{filters})",
                    count_of(tally.groups.len(), "group"),
                    self.encoding()
                ),
                PLAIN,
            ),
        ];
        line.push(Segment::new(leaked, BAD));
        if let Some(since) = self.since {
            for (before, when) in [(since.last, "last"), (since.first, "first")] {
                let cell = changed(before.total, tally.total);
                if !cell.text.is_empty() {
                    line.push(Segment::new(", ", PLAIN));
                    line.push(Segment::new(cell.text, cell.style));
                    line.push(Segment::new(format!(" since the {when} look"), PLAIN));
                }
            }
        }
        write_wrapped(&line, screen, out)
    }

    fn encoding(self) -> &'static str {
        let own = self.all.tally.summary.encoding;
        let mut looks = self.looks.iter();
        if looks.any(|look| look.tally.summary.encoding != own) {
            return "in several encodings";
        }
        own.as_str()
    }

    fn nothing(self) -> &'static str {
        if self.filters {
            "No goroutine is left: none has functions that pass --focus and --ignore. Without them all are shown."
        } else if self.all.tally.summary.leaked_only {
            "Nothing leaked that the runtime can prove. A leak may still be there: goroutines that something could wake count as alive."
        } else {
            "The profile is empty: no goroutines are in it."
        }
    }

    /// The total of each source, largest first.
    fn sources(self, screen: Screen, out: &mut impl Write) -> io::Result<()> {
        let mut looks: Vec<&Look> = self.looks.iter().collect();
        looks.sort_by_key(|look| std::cmp::Reverse(look.tally.total));
        let total = self.all.tally.total;
        let digits = grouped(looks.first().map_or(0, |look| look.tally.total)).len();
        for look in looks.iter().take(SOURCES) {
            let own = look.tally.total;
            let line = [
                Segment::new(
                    format!("{:>5}  {:>digits$}  ", share(own, total), grouped(own)),
                    PLAIN,
                ),
                Segment::file(clean(&look.name), PLAIN),
            ];
            write_wrapped(&line, screen, out)?;
        }
        if looks.len() > SOURCES {
            let rest = looks.iter().skip(SOURCES).map(|look| look.tally.total);
            let text = format!(
                "{} with {}",
                count_of(looks.len() - SOURCES, "more source"),
                count(rest.sum(), "goroutine")
            );
            writeln!(out, "{}", screen.paint(DIM, &text))?;
        }
        Ok(())
    }

    fn listing(self, groups: &[&Group]) -> Listing {
        let columns = vec![
            Column::right("share"),
            Column {
                spare: true,
                ..Column::left("")
            },
            Column::right("count"),
            Column::right("since last"),
            Column::right("since first"),
            Column::right("leaked"),
            Column::right("parked"),
            Column::left("wait reason"),
            Column::right("longest"),
        ];
        let total = self.all.tally.total;
        let entry = |group: &&Group| {
            let count = group.goroutines;
            let dominant = count >= DOMINANT && count >= total - count;
            let since = |counts: fn(Since<'a>) -> &'a Counts| {
                self.since.map_or(Cell::plain(""), |since| {
                    changed(counts(since).group(group.id), count)
                })
            };
            let leaked = Some(grouped(group.leaked)).filter(|_| group.leaked > 0);
            let longest = group.longest_wait.map(age).unwrap_or_default();
            let parked = group
                .parked
                .map(|parked| share(parked.goroutines, parked.of));
            Entry {
                cells: vec![
                    Cell::new(share(count, total), if dominant { BAD } else { PLAIN }),
                    Cell::new(bar(count, total, SHARE_BAR), BAR),
                    Cell::new(grouped(count), BOLD),
                    since(|since| since.last),
                    since(|since| since.first),
                    Cell::new(leaked.unwrap_or_default(), BAD),
                    Cell::plain(parked.unwrap_or_default()),
                    Cell::plain(group.wait_reason.as_str()),
                    Cell::new(longest, if group.is_stuck() { WARNING } else { PLAIN }),
                ],
                place: place(group),
                created_by: group
                    .created_by
                    .as_deref()
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned),
                id: group.id.to_string(),
            }
        };
        Listing {
            columns,
            places: "blocked in, line",
            entries: groups.iter().map(entry).collect(),
        }
    }

    /// What the table leaves out: smaller groups, and those that are gone.
    fn rest(self, shown: &[&Group], screen: Screen, out: &mut impl Write) -> io::Result<()> {
        let tally = &self.all.tally;
        let counted: u64 = shown.iter().map(|group| group.goroutines).sum();
        if let rest @ 1.. = tally.total.saturating_sub(counted) {
            let text = format!(
                "{} with {}; --top N shows more",
                count_of(tally.groups.len() - shown.len(), "more group"),
                count(rest, "goroutine"),
            );
            sentence(&text, DIM, screen, out)?;
        }
        let Some(since) = self.since else {
            return Ok(());
        };
        let here = Counts::of(tally);
        let gone = since.first.groups.iter();
        let gone = gone.filter(|(id, _)| !here.groups.contains_key(id));
        let gone: Vec<u64> = gone.map(|(_, count)| *count).collect();
        if !gone.is_empty() {
            let text = format!(
                "{} of the first look, with {}, gone",
                count_of(gone.len(), "group"),
                count(gone.iter().sum(), "goroutine"),
            );
            sentence(&text, DIM, screen, out)?;
        }
        Ok(())
    }
}

/// A change as a cell: growth is what one looks for.
fn changed(before: u64, after: u64) -> Cell {
    let style = if after > before { BAD } else { GOOD };
    Cell::new(change(before, after), style)
}

fn place(group: &Group) -> Place {
    Place {
        blocking_frame: group.blocking_frame.to_string(),
        app_frame: group.app_frame.to_string(),
        file: group.file.to_string(),
        line: group.line,
    }
}

fn sentence(
    text: &str,
    style: anstyle::Style,
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    write_wrapped(&[Segment::new(text, style)], screen, out)
}

fn warnings(tally: &Tally) -> Vec<String> {
    let mut warnings = Vec::new();
    if tally.summary.truncated {
        let declared = tally.summary.declared_total;
        let declared = declared.map(|total| format!(" of {}", grouped(total)));
        warnings.push(format!(
            "The dump was cut: {}{} goroutines could be read.",
            grouped(tally.total),
            declared.unwrap_or_default()
        ));
    }
    if tally.summary.damage > 0 {
        warnings.push(format!(
            "{} could not be read and are not counted.",
            count(tally.summary.damage, "record")
        ));
    }
    let unknown = tally.wait_reasons.get(WaitReason::Unknown.index());
    let unknown = unknown.copied().unwrap_or(0);
    if unknown > 0 && tally.summary.encoding == Encoding::Debug1 {
        warnings.push(format!(
            "debug=1 hides why {} of them wait; ask without a debug parameter.",
            grouped(unknown)
        ));
    }
    if tally.unlisted > 0 {
        warnings.push(format!(
            "{} are in no group: there are too many groups to keep.",
            count(tally.unlisted, "goroutine")
        ));
    }
    warnings
}

fn wait_reasons(tally: &Tally, screen: Screen, out: &mut impl Write) -> io::Result<()> {
    let mut counts: Vec<(WaitReason, u64)> = WaitReason::ALL
        .into_iter()
        .zip(tally.wait_reasons)
        .filter(|(_, count)| *count > 0)
        .collect();
    counts.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    let names = counts.iter().map(|(reason, _)| reason.as_str().len());
    let names = names.max().unwrap_or(0);
    let digits = counts.first().map_or(0, |(_, count)| grouped(*count).len());
    let bars = (screen.width / 4).clamp(*REASON_BARS.start(), *REASON_BARS.end());
    for (reason, count) in counts {
        let longest = tally.longest_waits.get(reason.index()).copied().flatten();
        let bar = bar(count, tally.total, bars);
        let (blanks, longest) = match longest {
            Some(wait) => (
                (bars + 2).saturating_sub(bar.chars().count()),
                format!("longest {}", age(wait)),
            ),
            None => (0, String::new()),
        };
        writeln!(
            out,
            "{:>names$}  {:>digits$}  {:>5}  {}{}{}",
            reason.as_str(),
            grouped(count),
            share(count, tally.total),
            screen.paint(BAR, &bar),
            " ".repeat(blanks),
            screen.paint(DIM, &longest)
        )?;
    }
    Ok(())
}
