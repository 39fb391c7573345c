//! Breaking lines where Go names may be broken: behind a slash, before a dot, at a space.

use std::io::{self, Write};

use anstyle::Style;

use super::{Screen, width_of, width_of_char};

/// A piece of a line in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Segment {
    pub(in crate::commands) text: String,
    pub(in crate::commands) style: Style,
    /// Whether it may break before a dot: a function, not the name of a file.
    dots: bool,
}

impl Segment {
    /// A function, or words.
    pub(in crate::commands) fn new(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
            dots: true,
        }
    }

    /// A source file and its line, kept together as far as possible.
    pub(in crate::commands) fn file(text: impl Into<String>, style: Style) -> Self {
        Self {
            dots: false,
            ..Self::new(text, style)
        }
    }
}

/// The columns a line takes.
pub(in crate::commands) fn width(line: &[Segment]) -> usize {
    line.iter().map(|segment| width_of(&segment.text)).sum()
}

/// A line as printed, without blanks at its end.
pub(in crate::commands) fn paint(line: &[Segment], screen: Screen) -> String {
    let inked = line
        .iter()
        .rposition(|segment| !segment.text.trim_end().is_empty());
    let mut painted = String::new();
    for (at, segment) in line.iter().enumerate() {
        let text = match inked {
            Some(last) if at < last => segment.text.as_str(),
            Some(last) if at == last => segment.text.trim_end(),
            _ => break,
        };
        painted.push_str(&screen.paint(segment.style, text));
    }
    painted
}

/// Writes a line as it is.
///
/// # Errors
/// When `out` cannot be written.
pub(in crate::commands) fn write_line(
    line: &[Segment],
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "{}", paint(line, screen))
}

/// Writes a line, broken where it does not fit.
///
/// # Errors
/// When `out` cannot be written.
pub(in crate::commands) fn write_wrapped(
    line: &[Segment],
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    for line in wrap(line, screen.width, 2) {
        write_line(&line, screen, out)?;
    }
    Ok(())
}

/// Breaks a line into lines of at most `width` columns; those behind the first begin with `indent` spaces.
///
/// Cost: linear in its length.
pub(in crate::commands) fn wrap(
    line: &[Segment],
    width: usize,
    indent: usize,
) -> Vec<Vec<Segment>> {
    let width = width.max(indent + 8);
    let mut lines = vec![Vec::new()];
    let mut used = 0;
    let mut fresh = true;
    for segment in line {
        for piece in pieces(segment) {
            let mut piece = piece;
            // What is longer than a line is broken anywhere.
            loop {
                let wide = width_of(piece.trim_end());
                if used + wide <= width {
                    break;
                }
                if fresh {
                    let (head, rest) = piece.split_at(fitting(piece, width - used));
                    push(&mut lines, head, segment);
                    piece = rest;
                }
                lines.push(vec![Segment::new(" ".repeat(indent), Style::new())]);
                used = indent;
                fresh = true;
                piece = piece.trim_start();
            }
            if !(fresh && piece.trim().is_empty() && lines.len() > 1) {
                used += width_of(piece);
                push(&mut lines, piece, segment);
                fresh = fresh && piece.trim().is_empty();
            }
        }
    }
    lines
}

/// Bytes of a text that fit in some columns: at least one character, so that there is an end.
fn fitting(text: &str, width: usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += width_of_char(c);
        if used > width && at > 0 {
            return at;
        }
    }
    text.len()
}

fn push(lines: &mut [Vec<Segment>], text: &str, like: &Segment) {
    let Some(line) = lines.last_mut() else { return };
    match line.last_mut() {
        Some(last) if last.style == like.style => last.text.push_str(text),
        _ => line.push(Segment {
            text: text.to_owned(),
            ..like.clone()
        }),
    }
}

/// The parts between which a segment may be broken.
fn pieces(segment: &Segment) -> Vec<&str> {
    let text = segment.text.as_str();
    let mut found = Vec::new();
    let mut start = 0;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        let behind = matches!(previous, '/' | ' ') && c != ' ';
        let before = c == '.' && segment.dots;
        if at > start && (behind || before) {
            found.extend(text.get(start..at));
            start = at;
        }
        previous = c;
    }
    found.extend(text.get(start..));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::terminal::PLAIN;

    fn wrapped(text: &str, width: usize) -> Vec<String> {
        let line = [
            Segment::new(text, PLAIN),
            Segment::file("  server/main.go:12", super::super::DIM),
        ];
        let lines = wrap(&line, width, 2);
        let text = |line: Vec<Segment>| line.into_iter().map(|segment| segment.text).collect();
        lines.into_iter().map(text).collect()
    }

    #[test]
    fn lines_break_where_names_may_break() {
        assert_eq!(
            wrapped("example.com/svc/pool.(*Pool).get", 60),
            ["example.com/svc/pool.(*Pool).get  server/main.go:12"]
        );
        assert_eq!(
            wrapped("example.com/svc/pool.(*Pool).get", 24),
            [
                "example.com/svc/pool",
                "  .(*Pool).get  server/",
                "  main.go:12"
            ]
        );
    }

    #[test]
    fn no_line_is_wider_and_nothing_is_lost() {
        let texts = [
            "main.f".to_owned(),
            "x".repeat(200),
            "a/".repeat(90),
            ".".repeat(70),
            "世界/世界.世界".repeat(9),
            String::new(),
            "   ".to_owned(),
        ];
        for text in texts {
            for width in 10..70 {
                let lines = wrapped(&text, width);
                for line in &lines {
                    let wide = width_of(line.trim_end());
                    assert!(wide <= width, "{width}: {line:?}");
                }
                let squeezed = |text: &str| text.replace(' ', "");
                let all = squeezed(&lines.concat());
                assert_eq!(all, squeezed(&text) + "server/main.go:12", "{width}");
            }
        }
    }
}
