//! Whole stacks, as a person reads them: a call a line, its code line beside it or, where that does not fit, below.

use std::io::{self, Write};

use super::place::{Place, location};
use super::wrap::{Segment, paint, width, wrap};
use super::{BOLD, CODE_LINE, DIM, PLAIN, Screen, clean, width_of};
use crate::numbers::{count, grouped};
use crate::tally::{Call, CountedStack};

/// Distinct stacks shown of a group; the rest is counted.
pub(in crate::commands) const MOST: usize = 5;
/// The widest that functions get before code lines move below them.
const FUNCTIONS: usize = 64;

/// Writes the stacks of a group that has `goroutines`, under a headline.
///
/// # Errors
/// When `out` cannot be written.
pub(in crate::commands) fn write(
    headline: &str,
    place: &Place,
    goroutines: u64,
    stacks: &[CountedStack],
    screen: Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out)?;
    let title = [Segment::new(clean(headline), BOLD)];
    for line in wrap(&title, screen.width, 2) {
        writeln!(out, "{}", paint(&line, screen))?;
    }
    let counts = grouped(goroutines).len().max(5);
    let room = screen.width.saturating_sub(counts + 2);
    let mut seen = 0;
    for (number, stack) in stacks.iter().take(MOST).enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        seen += stack.goroutines;
        let functions = stack
            .calls
            .iter()
            .map(|call| width_of(&clean(&call.function)));
        let functions = functions.max().unwrap_or(0).min(FUNCTIONS);
        // All beside their functions, or all below: an eye that goes down finds them in one column.
        let fits = |call: &Call| {
            let function = width_of(&clean(&call.function)).max(functions);
            function + 2 + width_of(&location(&call.file, call.line)) <= room
        };
        let beside = stack.calls.iter().all(fits);
        let mut before = format!("{:>counts$}  ", grouped(stack.goroutines));
        for call in &stack.calls {
            let function = clean(&call.function);
            let style = if *function == place.app_frame {
                BOLD
            } else {
                PLAIN
            };
            let code = location(&call.file, call.line);
            let mut line = vec![Segment::new(function, style)];
            let blanks = functions.saturating_sub(width(&line));
            line.push(Segment::new(" ".repeat(blanks + 2), PLAIN));
            let mut lines = Vec::new();
            if beside {
                line.push(Segment::file(code, CODE_LINE));
                lines.push(line);
            } else {
                line.truncate(1);
                lines.extend(wrap(&line, room, 2));
                let code = [Segment::file(format!("    {code}"), CODE_LINE)];
                lines.extend(wrap(&code, room, 6));
            }
            for line in lines {
                writeln!(out, "{before}{}", paint(&line, screen))?;
                before = " ".repeat(counts + 2);
            }
        }
        if stack.calls.is_empty() {
            writeln!(out, "{before}{}", screen.paint(DIM, "(no stack)"))?;
        }
    }
    if let rest @ 1.. = goroutines.saturating_sub(seen) {
        let text = format!("{} in other stacks", count(rest, "goroutine"));
        writeln!(out, "{}", screen.paint(DIM, &text))?;
    }
    Ok(())
}
