//! The answer for a person at a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Color, Style};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets};

use crate::classify::WaitReason;
use crate::profile::Encoding;
use crate::tally::{Group, Tally};

/// Columns of the table where output is no terminal: wide enough for names, narrow enough to mail.
const PIPED_WIDTH: u16 = 120;
/// The narrowest the table gets; a terminal below it wraps lines.
const MIN_WIDTH: u16 = 40;
/// The widest bar of a wait reason.
const BAR_WIDTH: u64 = 24;

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: bool,
    pub(super) width: u16,
}

impl Look {
    /// Fitted to the terminal; without colour for pipes and where `NO_COLOR` (<https://no-color.org>) is set.
    pub(super) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = Table::new()
            .width()
            .filter(|_| terminal)
            .unwrap_or(PIPED_WIDTH);
        Self {
            colour: terminal && !refused,
            width: width.max(MIN_WIDTH),
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

const BOLD: Style = Style::new().bold();
const WARNING: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Yellow)));
const DIM: Style = Style::new().dimmed();

/// Writes headline, wait reasons and the `top` largest groups.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(
    source: &str,
    tally: &Tally,
    top: usize,
    look: Look,
    out: &mut impl Write,
) -> io::Result<()> {
    let total = look.paint(
        BOLD,
        &format!(
            "{} {}",
            grouped(tally.total),
            plural(tally.total, "goroutine")
        ),
    );
    let kind = if tally.summary.leaked_only {
        ", all proven leaked"
    } else {
        ""
    };
    writeln!(
        out,
        "{source}: {total} in {} {} ({}{kind})",
        tally.groups.len(),
        plural_of(tally.groups.len(), "group"),
        tally.summary.encoding
    )?;
    for warning in warnings(tally) {
        writeln!(out, "{}", look.paint(WARNING, &warning))?;
    }
    if tally.total == 0 {
        writeln!(
            out,
            "No goroutines: nothing matches, or the profile is empty."
        )?;
        return Ok(());
    }
    writeln!(out)?;
    wait_reasons(tally, look, out)?;
    writeln!(out)?;
    let shown = tally
        .groups
        .get(..top.min(tally.groups.len()))
        .unwrap_or_default();
    writeln!(out, "{}", groups(shown, tally.total, look))?;
    let counted: u64 = shown.iter().map(|group| group.goroutines).sum();
    if let rest @ 1.. = tally.total - counted {
        let more = tally.groups.len() - shown.len();
        let line = format!(
            "{more} more {} with {} goroutines; --top N shows more",
            plural_of(more, "group"),
            grouped(rest)
        );
        writeln!(out, "{}", look.paint(DIM, &line))?;
    }
    Ok(())
}

fn warnings(tally: &Tally) -> Vec<String> {
    let mut warnings = Vec::new();
    if tally.summary.truncated {
        let declared = tally
            .summary
            .declared_total
            .map(|total| format!(" of {}", grouped(total)))
            .unwrap_or_default();
        warnings.push(format!(
            "The dump was cut: {}{declared} goroutines could be read.",
            grouped(tally.total)
        ));
    }
    if tally.summary.damage > 0 {
        let records = plural(tally.summary.damage, "record");
        warnings.push(format!(
            "{} {records} could not be read and are not counted.",
            grouped(tally.summary.damage)
        ));
    }
    let unknown = tally
        .wait_reasons
        .get(WaitReason::Unknown.index())
        .copied()
        .unwrap_or(0);
    if tally.summary.encoding == Encoding::Debug1 && unknown > 0 {
        let count = grouped(unknown);
        warnings.push(format!(
            "debug=1 hides why {count} goroutines wait; debug=0 and debug=2 tell."
        ));
    }
    let leaked = tally.leaked.unwrap_or(0);
    if leaked > 0 && !tally.summary.leaked_only {
        warnings.push(format!("{} goroutines are proven leaked.", grouped(leaked)));
    }
    warnings
}

fn wait_reasons(tally: &Tally, look: Look, out: &mut impl Write) -> io::Result<()> {
    let mut counts: Vec<(WaitReason, u64)> = WaitReason::ALL
        .into_iter()
        .zip(tally.wait_reasons)
        .filter(|(_, count)| *count > 0)
        .collect();
    counts.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    for (reason, count) in counts {
        let blocks = (count.saturating_mul(BAR_WIDTH)).div_ceil(tally.total.max(1));
        let bar = "█".repeat(usize::try_from(blocks).unwrap_or(0));
        let longest = tally.longest_waits.get(reason.index()).copied().flatten();
        let longest = longest
            .map(|wait| format!("  longest {}", age(wait)))
            .unwrap_or_default();
        let share = share(count, tally.total);
        writeln!(
            out,
            "{:>20} {:>9} {share:>6}  {}{longest}",
            reason.as_str(),
            grouped(count),
            look.paint(DIM, &bar)
        )?;
    }
    Ok(())
}

fn groups(groups: &[Group], total: u64, look: Look) -> Table {
    let waits = groups.iter().any(|group| group.longest_wait.is_some());
    let creators = groups.iter().any(|group| group.created_by.is_some());
    let leaks = groups.iter().any(|group| group.leaked > 0);
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    for between_rows in [
        TableComponent::HorizontalLines,
        TableComponent::MiddleIntersections,
        TableComponent::LeftBorderIntersections,
        TableComponent::RightBorderIntersections,
    ] {
        table.remove_style(between_rows);
    }
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(look.width);
    let columns = [
        ("share", true),
        ("count", true),
        ("leaked", leaks),
        ("wait reason", true),
        ("longest", waits),
        ("blocked in, line", true),
        ("created by", creators),
        ("group", true),
    ];
    table.set_header(
        columns
            .iter()
            .filter(|(_, shown)| *shown)
            .map(|(name, _)| *name),
    );
    for group in groups {
        let cells = [
            Cell::new(share(group.goroutines, total)).set_alignment(CellAlignment::Right),
            Cell::new(grouped(group.goroutines)).set_alignment(CellAlignment::Right),
            Cell::new(if group.leaked > 0 {
                grouped(group.leaked)
            } else {
                String::new()
            }),
            Cell::new(group.wait_reason),
            Cell::new(group.longest_wait.map(age).unwrap_or_default()),
            Cell::new(place(group)),
            Cell::new(group.created_by.as_deref().unwrap_or_default()),
            Cell::new(group.id),
        ];
        table.add_row(
            cells
                .into_iter()
                .zip(columns)
                .filter(|(_, (_, shown))| *shown)
                .map(|(cell, _)| cell),
        );
    }
    table
}

/// Where a group is blocked, with the line of the application's frame, on a line of its own where that is another.
fn place(group: &Group) -> String {
    let own_line = !group.app_frame.is_empty() && group.app_frame != group.blocking_frame;
    let mut text = group.blocking_frame.to_string();
    if own_line {
        text.push_str("\n  for ");
        text.push_str(&group.app_frame);
    }
    if !group.file.is_empty() {
        text.push_str(&format!(" {}:{}", group.file, group.line));
    }
    text
}

/// A share in percent, rounded, with one digit behind the point below ten; 100% only for all.
fn share(part: u64, total: u64) -> String {
    let (part, total) = (u128::from(part), u128::from(total.max(1)));
    let tenths = (part * 1000 + total / 2) / total;
    match tenths {
        0..100 => format!("{}.{}%", tenths / 10, tenths % 10),
        _ if part < total => format!("{}%", ((tenths + 5) / 10).min(99)),
        _ => "100%".to_owned(),
    }
}

/// `47218` as `47,218`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}

fn plural_of(count: usize, word: &str) -> String {
    plural(u64::try_from(count).unwrap_or(u64::MAX), word)
}

/// Whole minutes as a person says them: `7m`, `3h20m`, `2d4h`.
fn age(wait: Duration) -> String {
    let minutes = wait.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, 0) => format!("{hours}h"),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, 0, _) => format!("{days}d"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let check = |number, expected| assert_eq!(grouped(number), expected);
        check(0, "0");
        check(999, "999");
        check(1000, "1,000");
        check(47_218, "47,218");
        check(1_234_567, "1,234,567");
        assert_eq!(share(1, 1000), "0.1%");
        assert_eq!(share(108, 831), "13%");
        assert_eq!(share(9_999, 10_000), "99%");
        assert_eq!(share(5, 5), "100%");
        assert_eq!(age(Duration::from_secs(420)), "7m");
        assert_eq!(age(Duration::from_secs(3600)), "1h");
        assert_eq!(age(Duration::from_secs(12_000)), "3h20m");
        assert_eq!(age(Duration::from_secs(187_200)), "2d4h");
    }
}
