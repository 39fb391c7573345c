//! The lines below a header: calls with their places, and who created the goroutine.

use memchr::memrchr;

use crate::decode::text::{Line, Lines, location};
use crate::profile::FrameText;

/// The function that stands below every stack.
const GOEXIT: &[u8] = b"runtime.goexit";
/// What the line of the creator begins with.
const CREATED_BY: &[u8] = b"created by ";
/// What stands between the creator and the number of its goroutine, since Go 1.21.
const IN_GOROUTINE: &[u8] = b" in goroutine ";

/// What the next line of a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'t> {
    /// A call. The next line is its place.
    Call(Call<'t>),
    /// The function with the `go` statement, and whether the next line is the place of that.
    Creator(&'t [u8], bool),
    /// Frames were left out: the outermost (`root_cut`), or some before those that follow.
    Elided { root_cut: bool },
    /// What follows are the stacks of those who created it.
    Ancestors,
    /// Nothing that matters.
    Nothing,
    /// The block ends here. `ended`: the text itself shows it, so that nothing of it can lie beyond the text.
    End { ended: bool },
    /// The same, and it does not read: a line is neither a call, nor its place, nor one of Go's remarks.
    Broken { ended: bool },
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call<'t> {
    pub(super) function: &'t [u8],
    /// Printed without parentheses, as C functions are.
    foreign: bool,
}

impl<'t> Call<'t> {
    /// Whether it stands below every stack.
    pub(super) fn is_goexit(&self) -> bool {
        self.function == GOEXIT
    }

    /// Its frame, and whether its offset in the function is printed: it does not stand at the first instruction. Nothing
    /// when the place is none; C functions may lack it.
    pub(super) fn at(&self, place: &'t [u8]) -> Option<(FrameText<'t>, bool)> {
        let (file, line, offset) = match location(place) {
            Some(location) => location,
            None if self.foreign => (&[][..], 0, true),
            None => return None,
        };
        let frame = FrameText {
            function: self.function,
            file,
            line,
        };
        Some((frame, offset))
    }
}

/// Passes the line with the place of what was said before.
pub(super) fn place<'t>(lines: &mut Lines<'t>) -> &'t [u8] {
    let place = lines.next().map(|line| line.text).unwrap_or_default();
    place.strip_prefix(b"\t").unwrap_or_default()
}

/// A place in a block where goroutines of one stack differ, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) kind: GapKind,
    /// Where it begins in the text, and where it ends: in all but an end behind the line.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GapKind {
    /// The arguments of a call, and the parenthesis behind them.
    Arguments,
    /// The number of the goroutine that created it.
    Number,
    /// Nothing: the blank line before ended the block.
    Blank,
    /// The header of the next goroutine.
    Header,
}

impl GapKind {
    pub(super) fn is_end(self) -> bool {
        matches!(self, Self::Blank | Self::Header)
    }

    /// A number of its own.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Arguments => 0,
            Self::Number => 1,
            Self::Blank => 2,
            Self::Header => 3,
        }
    }

    /// What follows this in a text, of which it is what stands behind a part; nothing where it is not written as usual,
    /// or something in it could be taken for its beginning.
    #[inline]
    pub(super) fn below<'t>(self, part: &[u8], text: &'t [u8]) -> Option<&'t [u8]> {
        if self == Self::Arguments {
            part.strip_suffix(b"(")?;
            return below_arguments(text);
        }
        self.below_other(text)
    }

    /// The same of those that each block has one of.
    #[inline(never)]
    fn below_other(self, text: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Number => {
                let number = text.strip_prefix(IN_GOROUTINE)?;
                let digits = number.iter().position(|byte| !byte.is_ascii_digit())?;
                let end = number.get(digits..)?;
                end.strip_prefix(b"\r").unwrap_or(end).strip_prefix(b"\n")
            }
            Self::Header => is_header(&Lines::new(text).next()?).then_some(text),
            Self::Blank => Some(text),
            Self::Arguments => None,
        }
    }
}

/// Reads on in a block, up to a blank line, the next header, or what is no part of it; there `lines` goes on from the
/// blank line or header that follows. Cost: each byte is looked at twice, once to find the lines.
#[inline]
pub(super) fn next<'t>(lines: &mut Lines<'t>) -> (Said<'t>, Option<Gap>) {
    let text = lines.text();
    let broken = |lines: &mut Lines<'t>| {
        skip(lines);
        Said::Broken {
            ended: lines.start() < text.len(),
        }
    };
    let Some(line) = lines.peek() else {
        return (Said::End { ended: false }, None);
    };
    let first = line.text.first();
    let header = first == Some(&b'g') && is_header(&line);
    if !header {
        lines.pass(&line);
    }
    if header || first.is_none() {
        let gap = Gap {
            kind: if header {
                GapKind::Header
            } else {
                GapKind::Blank
            },
            start: lines.start(),
            end: lines.start(),
        };
        let ended = lines.start() < text.len();
        return (Said::End { ended }, Some(gap));
    }
    if first == Some(&b'\t') {
        let other = line
            .text
            .starts_with(b"\tgoroutine running on other thread");
        return (if other { Said::Nothing } else { broken(lines) }, None);
    }
    let placed = text.get(line.below) == Some(&b'\t');
    let gap = |kind, start| {
        placed.then_some(Gap {
            kind,
            start: line.start + start,
            end: line.below,
        })
    };
    if first == Some(&b'c')
        && let Some(creator) = line.text.strip_prefix(CREATED_BY)
    {
        let function = without_number(creator);
        let gap = if function.len() < creator.len() {
            gap(GapKind::Number, CREATED_BY.len() + function.len())
        } else {
            None
        };
        return (Said::Creator(function, placed), gap);
    }
    if placed {
        let arguments = if line.text.ends_with(b")") {
            memrchr(b'(', line.text)
        } else {
            None
        };
        let name = arguments.unwrap_or(line.text.len());
        if name == 0 {
            return (broken(lines), None);
        }
        let call = Call {
            function: line.text.get(..name).unwrap_or_default(),
            foreign: arguments.is_none(),
        };
        let gap = arguments.and_then(|_| gap(GapKind::Arguments, name + 1));
        return (Said::Call(call), gap);
    }
    let said = remark(line.text).unwrap_or_else(|| {
        // Something else was printed right below the block (registers, an exit status), or into it.
        let tabs = skip(lines);
        let ended = line.below < text.len();
        // The line itself may be the start of a call, but not when another line follows it.
        if line.text.ends_with(b")") || tabs {
            Said::Broken { ended }
        } else {
            Said::End { ended }
        }
    });
    (said, None)
}

/// The function of `F in goroutine 7`, as Go 1.21 and later write it, or of `F`.
fn without_number(creator: &[u8]) -> &[u8] {
    let digits = creator
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let before = creator.get(..creator.len() - digits).unwrap_or_default();
    before.strip_suffix(IN_GOROUTINE).unwrap_or(creator)
}

/// What follows the arguments of a call and their line; nothing where another parenthesis opens in them, nor where they
/// look so, beyond ASCII. Cost: eight bytes are looked at at once, and nothing is set up: less than memchr, since few are
/// longer than 50.
fn below_arguments(arguments: &[u8]) -> Option<&[u8]> {
    /// The bits in which a line end and a parenthesis differ; without them a backspace and `*` are the same too.
    const BITS: u64 = every(b'\n' ^ b'(');
    const SAME: u64 = every(b'\n' & b'(');
    let mut end = 0;
    for word in arguments.as_chunks().0 {
        // The highest bit of each byte that is one of those; it may also be so behind the first, or beyond ASCII.
        let word = (u64::from_le_bytes(*word) & !BITS) ^ SAME;
        let found = word.wrapping_sub(every(0x01)) & every(0x80);
        if found != 0 {
            end += usize::try_from(found.trailing_zeros() / 8).unwrap_or_default();
            return match arguments.split_at_checked(end)? {
                ([.., b')'] | [.., b')', b'\r'], [b'\n', below @ ..]) => Some(below),
                _ => None,
            };
        }
        end += 8;
    }
    None
}

/// A word of one byte.
const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Go's remarks that stand alone on a line.
fn remark(line: &[u8]) -> Option<Said<'static>> {
    if line.starts_with(b"...") && line.ends_with(b" frames elided...") {
        // "...additional frames elided..." ends a stack; "...53 frames elided..." is followed by its root.
        return Some(Said::Elided {
            root_cut: line.starts_with(b"...additional"),
        });
    }
    if line.starts_with(b"[originating from goroutine ") {
        return Some(Said::Ancestors);
    }
    line.starts_with(b"non-Go function at pc=")
        .then_some(Said::Nothing)
}

fn is_header(line: &Line<'_>) -> bool {
    line.text.starts_with(super::header::GOROUTINE) && super::header::parse(line.text).is_some()
}

/// Goes on from the next header or blank line. Whether a line with a tab was passed that is not the first.
fn skip(lines: &mut Lines<'_>) -> bool {
    let (mut first, mut tabs) = (true, false);
    while let Some(line) = lines.peek() {
        if line.text.is_empty() || is_header(&line) {
            break;
        }
        tabs |= !first && line.text.starts_with(b"\t");
        first = false;
        lines.pass(&line);
    }
    tabs
}
