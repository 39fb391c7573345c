//! All stacks in one picture: the roots on top, each call as wide as the goroutines that are in it.
//!
//! The picture is drawn by the inferno crate. Of its document only the frames are taken, into the page: its own style and
//! script would not run under the pages' policy, and those of the pages do the same work.

use inferno::flamegraph::{Direction, Options, TextTruncateDirection, from_lines};
use maud::{Markup, PreEscaped, html};

use super::words;
use crate::numbers;
use crate::tally::GroupStacks;

/// Bytes of all stacks together, at most; the smallest stacks go first. A call takes some 300 bytes in the picture.
const STACK_BYTES: usize = 256 << 10;
/// Bytes of the picture, at most.
const PICTURE_BYTES: usize = 2 << 20;
/// The narrowest frame, in percent; below it neither eye nor pointer finds anything.
const MIN_WIDTH: f64 = 0.1;

const WIDTH: usize = 1100;
const FRAME_HEIGHT: usize = 18;
const FONT_SIZE: usize = 12;
/// Width of a character, in font sizes.
const FONT_WIDTH: f64 = 0.6;

/// Where the frames begin and end in inferno's document.
const BEGIN: &str = "<svg id=\"frames\"";
const END: &str = "</svg></svg>";

/// The picture with its search, and a sentence on what is not in it.
pub(super) fn flame(stacks: &mut GroupStacks, total: u64) -> Markup {
    // Deep stacks of short names make more frames than their names tell, so the largest few are tried, too.
    let drawn = [1, 4, 16].into_iter().find_map(|part| {
        let (folded, left_out) = stacks.folded(STACK_BYTES / part);
        Some((draw(&folded)?, left_out))
    });
    let Some((picture, left_out)) = drawn else {
        return html! { p.soft { "There is nothing to draw: the stacks are too many or too long. The profile itself has them all." } };
    };
    html! {
        div.tools hidden data-for="flame" {
            label { "Search "
                input #flame-search type="search" autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="part of a function's name";
            }
            button #flame-reset type="button" hidden { "Show all" }
            output #flame-found for="flame-search" aria-live="polite" {}
        }
        p #flame-detail.soft { "The first call is on top, the blocked one at the bottom; the wider, the more goroutines. The same stacks are below each group, as text." }
        div.scroll tabindex="0" role="region" aria-label="Stacks as a picture" {
            (picture)
        }
        @if left_out > 0 {
            p.soft { "Not drawn: " (numbers::count(left_out, "goroutine")) " of " (numbers::grouped(total)) ", in stacks that did not fit." }
        }
    }
}

fn draw(folded: &[(String, u64)]) -> Option<Markup> {
    let lines: Vec<String> = folded
        .iter()
        .map(|(stack, goroutines)| {
            let stack: String = stack.chars().map(words::visible).collect();
            format!("{stack} {goroutines}")
        })
        .collect();
    let mut options = Options::default();
    options.direction = Direction::Inverted;
    options.title = String::new();
    options.count_name = String::from("goroutines");
    options.image_width = Some(WIDTH);
    options.frame_height = FRAME_HEIGHT;
    options.font_size = FONT_SIZE;
    options.font_width = FONT_WIDTH;
    options.min_width = MIN_WIDTH;
    options.no_javascript = true;
    options.text_truncate_direction = TextTruncateDirection::Right;
    // The same function has the same colour in every picture.
    options.hash = true;
    options.deterministic = true;
    let mut document = Vec::new();
    from_lines(
        &mut options,
        lines.iter().map(String::as_str),
        &mut document,
    )
    .ok()?;
    let document = String::from_utf8(document).ok()?;
    // What comes before the frames is the same whatever the names are, and names are escaped.
    let (_, frames) = document.split_once(BEGIN)?;
    let (_, frames) = frames.split_once('>')?;
    let (frames, _) = frames.rsplit_once(END)?;
    if frames.len() > PICTURE_BYTES {
        return None;
    }
    let (top, bottom) = extent(frames)?;
    Some(html! {
        svg #flame.flame role="img" aria-label="Stacks of all goroutines; the first call on top" width=(WIDTH) height=(bottom - top) viewBox={ "0 " (top) " " (WIDTH) " " (bottom - top) } {
            (PreEscaped(frames))
        }
    })
}

/// Where the first row begins and the last one ends.
fn extent(frames: &str) -> Option<(usize, usize)> {
    let rows = frames.split("<rect ").skip(1).filter_map(|rect| {
        let (_, rest) = rect.split_once(" y=\"")?;
        rest.split_once('"')?.0.parse::<usize>().ok()
    });
    let (top, bottom) = rows.fold((usize::MAX, 0), |(top, bottom), y| {
        (top.min(y), bottom.max(y))
    });
    (top <= bottom).then_some((top, bottom + FRAME_HEIGHT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(stacks: &[(&str, u64)]) -> Vec<(String, u64)> {
        let line = |(stack, goroutines): &(&str, u64)| ((*stack).to_owned(), *goroutines);
        stacks.iter().map(line).collect()
    }

    #[test]
    fn a_call_is_as_wide_as_its_goroutines() {
        let text = draw(&lines(&[
            ("main.main;main.a", 30),
            ("main.main;main.b", 10),
        ]))
        .unwrap()
        .into_string();
        let frame = |name: &str| {
            let (_, rest) = text.split_once(&format!("<title>{name} (")).unwrap();
            let (_, rest) = rest.split_once(" width=\"").unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        assert_eq!(frame("main.main"), "100.0000%");
        assert_eq!(frame("main.a"), "75.0000%");
        assert_eq!(frame("main.b"), "25.0000%");
        for word in ["<script", "<style", "onload", "style="] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn names_are_escaped_and_end_no_document() {
        let hostile = "</svg></svg><script>alert(1)</script>\"'&";
        let text = draw(&lines(&[(hostile, 3), ("<svg_id=\"frames\">", 2)]))
            .unwrap()
            .into_string();
        assert!(!text.contains("<script"), "{text}");
        assert!(
            text.contains("&lt;/svg&gt;&lt;/svg&gt;&lt;script&gt;"),
            "{text}"
        );
        assert_eq!(text.matches("<svg").count(), 1);
    }

    #[test]
    fn odd_stacks_neither_panic_nor_vanish() {
        for stack in ["#", "-", "--", ";", ";;", "a_5", "a;a;a", "0", ""] {
            let drawn = draw(&lines(&[(stack, 1), ("main.main", 1)]));
            assert!(drawn.is_some(), "{stack}");
        }
        assert!(draw(&[]).is_none());
    }
}
