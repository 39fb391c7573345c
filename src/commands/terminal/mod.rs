//! What a terminal is and how text is fitted to it: colour, width, numbers for people, and the table of groups.
//!
//! It knows nothing of profiles. Every text that did not come from this program goes through [`clean`].

mod listing;
pub(super) mod numbers;
pub(super) mod place;
pub(super) mod stacks;
mod wrap;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal};

use anstream::AutoStream;
use anstream::ColorChoice;
use anstyle::{AnsiColor, Color, Style};
use terminal_size::{Height, Width, terminal_size};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub(super) use listing::{Cell, Column, Entry, Listing};
pub(super) use wrap::{Segment, write_wrapped};

use crate::cli::Colour;

/// The width where output is no terminal and `COLUMNS` does not say: wide enough for names, narrow enough to mail.
const PIPED_WIDTH: usize = 120;
/// The narrowest that is fitted to; a terminal below it breaks lines itself. The widest: beyond, `COLUMNS` is a mistake.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=1000;

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BAR: Style = colour(AnsiColor::Blue);
pub(super) const CODE_LINE: Style = colour(AnsiColor::Cyan);
pub(super) const WARNING: Style = colour(AnsiColor::Yellow);
pub(super) const BAD: Style = colour(AnsiColor::Red).bold();
pub(super) const GOOD: Style = colour(AnsiColor::Green);

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) colour: bool,
    pub(super) width: usize,
    /// Rows of the terminal; `None` where output is none.
    pub(super) rows: Option<usize>,
}

impl Screen {
    /// As standard output is now. Without `--color`, colours are decided as clap decides them for help: `NO_COLOR`
    /// (<https://no-color.org>), `CLICOLOR`, `CLICOLOR_FORCE`, `TERM=dumb`, and no colours in a pipe. Fitted to the
    /// terminal's width; elsewhere to `COLUMNS`.
    pub(super) fn of_stdout(choice: Colour) -> Self {
        let colour = match choice {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        };
        let size = terminal_size().filter(|_| io::stdout().is_terminal());
        let columns = |value: OsString| value.to_str()?.parse::<usize>().ok();
        let width = size
            .map(|(Width(width), _)| usize::from(width))
            .or_else(|| std::env::var_os("COLUMNS").and_then(columns))
            .filter(|&width| width > 0)
            .unwrap_or(PIPED_WIDTH);
        Self {
            colour,
            width: width.clamp(*WIDTHS.start(), *WIDTHS.end()),
            rows: size.map(|(_, Height(rows))| usize::from(rows)),
        }
    }

    pub(super) fn paint(self, style: Style, text: &str) -> String {
        if self.colour && style != PLAIN && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// Text from elsewhere (names of functions, of files) as a terminal may show it: what would move the cursor, change
/// colours or turn the direction of writing is shown as U+FFFD.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let harmless = |c| {
        if is_harmful(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    Cow::Owned(text.chars().map(harmless).collect())
}

fn is_harmful(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// Columns that a text takes.
pub(super) fn width_of(text: &str) -> usize {
    text.width()
}

pub(super) fn width_of_char(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// A bar for `part` of `whole` in at most `width` columns, exact to an eighth; never empty for what is not nothing.
pub(super) fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::try_from(width).unwrap_or(0) * 8;
    let filled = (u128::from(part.min(whole)) * eighths).div_ceil(u128::from(whole.max(1)));
    let filled = usize::try_from(filled).unwrap_or(0);
    let mut bar = "█".repeat(filled / 8);
    bar.push_str(EIGHTHS.get(filled % 8).copied().unwrap_or_default());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_a_terminal() {
        assert_eq!(clean("main.(*T).f"), "main.(*T).f");
        let check = |text: &str| {
            let clean = clean(text);
            assert!(!clean.chars().any(is_harmful), "{clean:?}");
            assert_eq!(clean.chars().count(), text.chars().count());
        };
        check("a\u{1b}[31mb");
        check("a\r\nb\u{7f}\u{9b}2J");
        check("a\u{202e}b\u{2066}");
    }

    #[test]
    fn bars_show_shares() {
        let check = |part, whole, width, expected: &str| {
            assert_eq!(bar(part, whole, width), expected, "{part} of {whole}");
        };
        check(0, 10, 4, "");
        check(10, 10, 4, "████");
        check(5, 10, 4, "██");
        check(1, 1_000_000, 4, "▏");
        check(9, 16, 2, "█▏");
        check(u64::MAX, u64::MAX, 3, "███");
        check(3, 0, 3, "");
    }
}
