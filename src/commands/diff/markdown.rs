//! The comparison as Markdown: a comment on a pull request.
//!
//! Names come from profiles, and a profile may come from anywhere: each is written so that nothing in it is markup,
//! a link, a mention or the end of a table's cell.

use std::io::{self, Write};

use super::compare::{Change, Comparison, Excuse};
use crate::commands::terminal::clean;
use crate::commands::terminal::numbers::change;
use crate::commands::terminal::place::location;
use crate::numbers::{count, count_of, grouped};
use crate::tally::CountedStack;

/// Rows, and distinct stacks of a group: comments on GitHub end at 65,536 characters.
const ROWS: usize = 30;
const STACKS: usize = 2;
const CALLS: usize = 60;

/// Writes it.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(
    found: &Comparison,
    min: u64,
    stacks: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    let mark = match (found.gates.any(), found.failed()) {
        (false, _) => "",
        (true, false) => "✅ ",
        (true, true) => "❌ ",
    };
    let (before, after) = (found.before.total, found.after.total);
    let verdict = found.verdict().map(|text| text + " ").unwrap_or_default();
    let delta = Some(change(before, after)).filter(|text| !text.is_empty());
    writeln!(
        out,
        "**{mark}{verdict}Goroutines: {} → {}{}**",
        grouped(before),
        grouped(after),
        delta.map(|delta| format!(" ({delta})")).unwrap_or_default()
    )?;
    let (shown, hidden) = found.shown(min);
    let rows: Vec<&Change> = shown.iter().take(ROWS).copied().collect();
    if rows.is_empty() {
        writeln!(out, "\nNo group changed.")?;
    } else {
        writeln!(
            out,
            "\n| | change | before | after | wait reason | blocked in, line |"
        )?;
        writeln!(out, "|---|---:|---:|---:|---|---|")?;
    }
    for row in &rows {
        let kind = row.kind.as_str();
        let kind = match (row.fails, row.excuse) {
            (true, _) => format!("❌ {kind}"),
            (_, Some(Excuse::Look)) => format!("{kind} (this look)"),
            (_, Some(Excuse::Known)) => format!("{kind} (known)"),
            _ => kind.to_owned(),
        };
        writeln!(
            out,
            "| {kind} | {} | {} | {} | {} | {} |",
            change(row.before, row.after),
            grouped(row.before),
            grouped(row.after),
            text(&row.group.wait_reason),
            place(row)
        )?;
    }
    let rest = shown.len() - rows.len() + hidden;
    if rest > 0 {
        writeln!(out, "\n{} changed, by less.", count_of(rest, "more group"))?;
    }
    for row in rows.iter().take(stacks) {
        let Some(id) = row.id else { continue };
        let side = if row.after > 0 {
            &found.after
        } else {
            &found.before
        };
        let of = side.stacks.of(id);
        if !of.is_empty() {
            details(row, of, out)?;
        }
    }
    Ok(())
}

fn place(row: &Change) -> String {
    let group = &row.group;
    let mut place = code(&group.blocking_frame);
    if !group.app_frame.is_empty() && group.app_frame != group.blocking_frame {
        place += " for ";
        place += &code(&group.app_frame);
    }
    if !group.file.is_empty() {
        place += " ";
        place += &code(&location(&group.file, group.line));
    }
    place
}

/// Stacks that open at a click. Without an empty line: it would end the block, and what follows were Markdown.
fn details(row: &Change, stacks: &[CountedStack], out: &mut impl Write) -> io::Result<()> {
    let name = html(&row.group.blocking_frame);
    writeln!(
        out,
        "\n<details><summary>Stacks of <code>{name}</code></summary><pre>"
    )?;
    for stack in stacks.iter().take(STACKS) {
        writeln!(out, "{}:", count(stack.goroutines, "goroutine"))?;
        for call in stack.calls.iter().take(CALLS) {
            let at = location(&call.file, call.line);
            writeln!(out, "  {}  {}", html(&call.function), html(&at))?;
        }
        if stack.calls.len() > CALLS {
            writeln!(
                out,
                "  and {}",
                count_of(stack.calls.len() - CALLS, "more call")
            )?;
        }
    }
    writeln!(out, "</pre></details>")
}

fn code(name: &str) -> String {
    format!("<code>{}</code>", text(name))
}

/// Text in which nothing means anything: whatever is neither letter, digit nor harmless is a numeric reference, which
/// Markdown never takes for markup.
fn text(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in clean(name).chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '.' | '/' | ',' | '-') {
            escaped.push(c);
        } else {
            escaped.push_str(&format!("&#{};", u32::from(c)));
        }
    }
    // GitHub makes links of what looks like one, even where only words are written.
    escaped.replace("www.", "www&#46;")
}

/// Text inside a block of HTML.
fn html(name: &str) -> String {
    clean(name)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_in_markdown() {
        let check = |name: &str, expected: &str| assert_eq!(text(name), expected);
        check("main.(*T).f", "main.&#40;&#42;T&#41;.f");
        check("a|b", "a&#124;b");
        check("`</code><script>", "&#96;&#60;/code&#62;&#60;script&#62;");
        check("[x](http://e)", "&#91;x&#93;&#40;http&#58;//e&#41;");
        check("@you www.e.com", "&#64;you www&#46;e.com");
        check("a\nb\u{202e}", "a&#65533;b&#65533;");
        assert_eq!(html("<b>&\n"), "&lt;b&gt;&amp;\u{fffd}");
    }
}
