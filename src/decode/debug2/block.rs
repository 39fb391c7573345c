//! The lines below a header: calls with their places, and who created the goroutine.

use std::hash::Hasher;

use memchr::{memchr, memrchr};

use crate::decode::text::{line, location};
use crate::profile::FrameText;

/// The most calls kept of one stack. Go prints 100; a GOTRACEBACK=crash dump adds the runtime's own.
const MAX_CALLS: usize = 512;

/// A call: where its function and its location stand in the text of the block. The location has not been read: it is the
/// same text in all goroutines of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    function: (u32, u32),
    location: (u32, u32),
    /// Printed without parentheses, as C functions are.
    foreign: bool,
}

impl Call {
    /// Function, file and line; nothing when the location is none. C functions may lack it.
    pub(super) fn frame<'t>(&self, text: &'t [u8]) -> Option<FrameText<'t>> {
        let (file, line) = match location(slice(text, self.location)) {
            Some((file, line, _)) => (file, line),
            None if self.foreign => (&[][..], 0),
            None => return None,
        };
        Some(FrameText {
            function: slice(text, self.function),
            file,
            line,
        })
    }

    /// Whether it stands at its function's first instruction: no offset is printed for it.
    pub(super) fn at_entry(&self, text: &[u8]) -> bool {
        location(slice(text, self.location)).is_some_and(|(_, _, offset)| !offset)
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

/// A block that was read, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    /// The block. An error: a line is neither a call, nor its place, nor one of Go's remarks.
    pub(super) block: Result<Block<'a>, ()>,
    /// The text from the next header or blank line on.
    pub(super) rest: &'a [u8],
    /// Whether the text itself shows where the block ends, so that nothing of it can lie beyond the text.
    pub(super) ended: bool,
}

impl<'a> Parsed<'a> {
    fn new(block: Result<Block<'a>, ()>, rest: &'a [u8]) -> Self {
        Self {
            block,
            rest,
            ended: !rest.is_empty(),
        }
    }
}

/// Feeds a plain block to `hasher`, all but the arguments of its calls and the number of the goroutine that created it,
/// and returns what follows the blank line that ends it. Blocks that feed the same read the same.
///
/// Plain are calls with their places, frames left out among them, then perhaps the creator. `None`: the block is not,
/// and [`parse`] has to look at it. Cost: each byte is looked at two to three times, nothing is kept.
pub(super) fn skim<'t>(text: &'t [u8], hasher: &mut impl Hasher) -> Option<&'t [u8]> {
    // What has not been fed yet starts at `fed`, the next line at `at`.
    let (mut fed, mut at) = (0, 0);
    loop {
        let rest = text.get(at..)?;
        let end = memchr(b'\n', rest)?;
        let current = rest.get(..end)?;
        let below = at + end + 1;
        let current = current.strip_suffix(b"\r").unwrap_or(current);
        match (current, text.get(below)) {
            ([], _) => {
                hasher.write(text.get(fed..at)?);
                return text.get(below..);
            }
            ([b'\t', ..], _) => return None,
            ([b'c', ..], _) if current.starts_with(b"created by ") => {
                hasher.write(text.get(fed..at)?);
                hasher.write(without_goroutine(current));
                let (place, after) = line(text.get(below..)?);
                hasher.write(place.strip_prefix(b"\t").map(|_| place)?);
                return after.strip_prefix(b"\n");
            }
            ([b'g', ..], _) if current.starts_with(b"goroutine ") => return None,
            (_, Some(b'\t')) => {
                if current.last() == Some(&b')') {
                    let arguments = memrchr(b'(', current).filter(|&name| name > 0)?;
                    hasher.write(text.get(fed..=at + arguments)?);
                    fed = below;
                }
                at = below + memchr(b'\n', text.get(below..)?)? + 1;
            }
            (_, _) if current.starts_with(b"...") => at = below,
            _ => return None,
        }
    }
}

/// Reads a block up to a blank line, the next header, or what is no part of it. The calls go to `calls`, except
/// `runtime.goexit`, which stands below every stack.
pub(super) fn parse<'t>(text: &'t [u8], calls: &mut Vec<Call>) -> Parsed<'t> {
    calls.clear();
    let mut block = Block::default();
    let mut ancestors = false;
    let mut rest = text;
    loop {
        let (current, after) = line(rest);
        let Some(&first) = current.first() else {
            return Parsed::new(Ok(block), after);
        };
        if first == b'\t' {
            if !current.starts_with(b"\tgoroutine running on other thread") {
                return Parsed::new(Err(()), skip(after));
            }
            rest = after;
            continue;
        }
        if first == b'g'
            && current.starts_with(b"goroutine ")
            && super::header::parse(current).is_some()
        {
            return Parsed::new(Ok(block), rest);
        }
        if let [b'\t', below @ ..] = after {
            let (place, after) = line(below);
            rest = after;
            if first == b'c'
                && let Some(creator) = current.strip_prefix(b"created by ")
            {
                if !ancestors {
                    block.created_by = Some((without_goroutine(creator), place));
                }
                continue;
            }
            let arguments = if current.ends_with(b")") {
                memrchr(b'(', current)
            } else {
                None
            };
            let name = current
                .get(..arguments.unwrap_or(current.len()))
                .unwrap_or_default();
            if name.is_empty() {
                return Parsed::new(Err(()), skip(after));
            }
            if !ancestors && calls.len() < MAX_CALLS && name != b"runtime.goexit" {
                calls.push(Call {
                    function: range(text, name),
                    location: range(text, place),
                    foreign: arguments.is_none(),
                });
            }
        } else if let Some(creator) = current.strip_prefix(b"created by ") {
            if !ancestors {
                block.created_by = Some((without_goroutine(creator), &[]));
            }
            rest = after;
        } else if is_remark(current, &mut block, &mut ancestors) {
            rest = after;
        } else {
            // Something else was printed right below the block (registers, an exit status), or into it.
            let end = skip(after);
            let foreign = after.get(..after.len() - end.len()).unwrap_or_default();
            let torn = current.ends_with(b")") || memchr::memmem::find(foreign, b"\n\t").is_some();
            // The line itself may be the start of a call, but not when another line follows it.
            return Parsed {
                block: if torn { Err(()) } else { Ok(block) },
                rest: end,
                ended: !foreign.is_empty() || !end.is_empty(),
            };
        }
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

/// The text from the next header or blank line on.
fn skip(text: &[u8]) -> &[u8] {
    let mut rest = text;
    loop {
        let (current, after) = line(rest);
        if rest.is_empty() || current.is_empty() || super::header::parse(current).is_some() {
            return rest;
        }
        rest = after;
    }
}

/// Where `part`, a slice of `text`, stands in it.
fn range(text: &[u8], part: &[u8]) -> (u32, u32) {
    let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    match u32::try_from(start)
        .ok()
        .zip(u32::try_from(part.len()).ok())
    {
        Some((start, len)) => (start, start.saturating_add(len)),
        None => (0, 0),
    }
}

fn slice(text: &[u8], (start, end): (u32, u32)) -> &[u8] {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(start, end)| text.get(start..end))
        .unwrap_or_default()
}
