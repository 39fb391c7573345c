//! The lines below a header: calls with their places, and who created the goroutine.

use std::hash::Hasher;

use memchr::memrchr;

use crate::decode::text::{Lines, location};
use crate::profile::FrameText;

/// The most calls kept of one stack. Go prints 100; a GOTRACEBACK=crash dump adds the runtime's own.
const MAX_CALLS: usize = 512;
/// The function that stands below every stack.
const GOEXIT: &[u8] = b"runtime.goexit";
/// What the line of the creator begins with.
const CREATED_BY: &[u8] = b"created by ";

/// A call: its function and its location. The location has not been read: it is the same text in all goroutines of one
/// stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Begin and end in the text.
    function: (usize, usize),
    location: (usize, usize),
    /// Printed without parentheses, as C functions are.
    foreign: bool,
}

impl Call {
    /// Function, file and line; nothing when the location is none. C functions may lack it.
    pub(super) fn frame<'t>(&self, text: &'t [u8]) -> Option<FrameText<'t>> {
        let (file, line) = match self.location(text) {
            Some((file, line, _)) => (file, line),
            None if self.foreign => (&[][..], 0),
            None => return None,
        };
        Some(FrameText {
            function: self.function(text),
            file,
            line,
        })
    }

    /// Whether it stands at its function's first instruction: no offset is printed for it.
    pub(super) fn at_entry(&self, text: &[u8]) -> bool {
        self.location(text).is_some_and(|(_, _, offset)| !offset)
    }

    fn function<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let (start, end) = self.function;
        text.get(start..end).unwrap_or_default()
    }

    fn location<'t>(&self, text: &'t [u8]) -> Option<(&'t [u8], u32, bool)> {
        let (start, end) = self.location;
        location(text.get(start..end)?)
    }
}

/// What a block says beside its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// Function and location of the `go` statement.
    pub(super) created_by: Option<(&'a [u8], &'a [u8])>,
    /// Frames in the middle were left out, and the outermost follow.
    pub(super) elided: bool,
    /// The outermost frames were left out.
    pub(super) root_cut: bool,
}

/// A block that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    /// The block. An error: a line is neither a call, nor its place, nor one of Go's remarks.
    pub(super) block: Result<Block<'a>, ()>,
    /// Whether the text itself shows where the block ends, so that nothing of it can lie beyond the text.
    pub(super) ended: bool,
}

/// Reads a block up to a blank line, the next header, or what is no part of it; `lines` goes on from the blank line or
/// header that follows. The calls go to `calls`, except [`GOEXIT`].
///
/// To `hasher` goes all of the block but the arguments of calls and the number of the goroutine that created it: where
/// it got the same from two blocks, they read the same. Cost: each byte is looked at twice, once to find the lines.
pub(super) fn parse<'t>(
    lines: &mut Lines<'t>,
    calls: &mut Vec<Call>,
    hasher: &mut impl Hasher,
) -> Parsed<'t> {
    calls.clear();
    let text = lines.text();
    let mut block = Block::default();
    let mut ancestors = false;
    let mut fed = lines.start();
    // Feeds what has not been fed yet up to a place, and goes on from another.
    let mut feed = |to: usize, from: usize| {
        hasher.write(text.get(fed..to).unwrap_or_default());
        fed = from;
    };
    let block = loop {
        let Some(line) = lines.peek() else {
            feed(text.len(), text.len());
            break Ok(block);
        };
        let Some(&first) = line.text.first() else {
            feed(line.start, line.below);
            lines.pass(&line);
            break Ok(block);
        };
        if first == b'g'
            && line.text.starts_with(b"goroutine ")
            && super::header::parse(line.text).is_some()
        {
            feed(line.start, line.start);
            break Ok(block);
        }
        lines.pass(&line);
        if first == b'\t' {
            if line
                .text
                .starts_with(b"\tgoroutine running on other thread")
            {
                continue;
            }
            skip(lines);
            break Err(());
        }
        if text.get(line.below) == Some(&b'\t')
            && let Some(place) = lines.next()
        {
            if first == b'c'
                && let Some(creator) = line.text.strip_prefix(CREATED_BY)
            {
                let location = place.text.get(1..).unwrap_or_default();
                let function = without_goroutine(creator);
                if function.len() < creator.len() {
                    feed(line.start + CREATED_BY.len() + function.len(), line.below);
                }
                if !ancestors {
                    block.created_by = Some((function, location));
                }
                continue;
            }
            let arguments = if line.text.ends_with(b")") {
                memrchr(b'(', line.text)
            } else {
                None
            };
            let name = arguments.unwrap_or(line.text.len());
            if name == 0 {
                skip(lines);
                break Err(());
            }
            if arguments.is_some() {
                feed(line.start + name + 1, line.below);
            }
            let below_all = name == GOEXIT.len() && line.text.starts_with(GOEXIT);
            if !ancestors && !below_all && calls.len() < MAX_CALLS {
                calls.push(Call {
                    function: (line.start, line.start + name),
                    location: (place.start + 1, place.start + place.text.len()),
                    foreign: arguments.is_none(),
                });
            }
        } else if let Some(creator) = line.text.strip_prefix(CREATED_BY) {
            if !ancestors {
                block.created_by = Some((without_goroutine(creator), &[]));
            }
        } else if !is_remark(line.text, &mut block, &mut ancestors) {
            // Something else was printed right below the block (registers, an exit status), or into it.
            feed(line.start, line.start);
            let tabs = skip(lines);
            // The line itself may be the start of a call, but not when another line follows it.
            let torn = line.text.ends_with(b")") || tabs;
            return Parsed {
                block: if torn { Err(()) } else { Ok(block) },
                ended: line.below < text.len(),
            };
        }
    };
    Parsed {
        block,
        ended: lines.start() < text.len(),
    }
}

/// The function of `F in goroutine 7`, as Go 1.21 and later write it, or of `F`.
fn without_goroutine(creator: &[u8]) -> &[u8] {
    let digits = creator
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let before = creator.get(..creator.len() - digits).unwrap_or_default();
    before.strip_suffix(b" in goroutine ").unwrap_or(creator)
}

/// Go's remarks that stand alone on a line.
fn is_remark(line: &[u8], block: &mut Block<'_>, ancestors: &mut bool) -> bool {
    if line.starts_with(b"...") && line.ends_with(b" frames elided...") {
        // "...additional frames elided..." ends a stack; "...53 frames elided..." is followed by its root.
        block.root_cut = line.starts_with(b"...additional");
        block.elided = true;
        return true;
    }
    if line.starts_with(b"[originating from goroutine ") {
        *ancestors = true;
        return true;
    }
    line.starts_with(b"non-Go function at pc=")
}

/// Goes on from the next header or blank line. Whether a line with a tab was passed that is not the first.
fn skip(lines: &mut Lines<'_>) -> bool {
    let (mut first, mut tabs) = (true, false);
    while let Some(line) = lines.peek() {
        if line.text.is_empty() || super::header::parse(line.text).is_some() {
            break;
        }
        tabs |= !first && line.text.starts_with(b"\t");
        first = false;
        lines.pass(&line);
    }
    tabs
}
