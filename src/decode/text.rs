//! Text in pieces of any size, handed on as sections: runs of lines that a blank line ends.
//!
//! Go separates the goroutines of a dump by blank lines, so a section is one goroutine, or what precedes the first.
//! At most [`SECTION_BYTES`] are held.

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};
use prefetch_index::prefetch_index;

/// The longest section that is kept whole. Go prints at most 100 frames, with names of some hundred bytes.
pub(super) const SECTION_BYTES: usize = 1 << 20;
/// How far a blank line is looked for at first: a goroutine of some dozen frames.
const WINDOW_BYTES: usize = 4 << 10;

/// What a [`Sections`] hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section<'a> {
    /// Lines up to a blank one, or up to the header of another goroutine where the section grew too long; of a run, all
    /// that end in one piece.
    Whole(&'a [u8]),
    /// The last lines, which end where the text ends.
    Last(&'a [u8]),
    /// The text ended in mid-line.
    Cut(&'a [u8]),
    /// Lines of a section that is longer than allowed.
    Part(&'a [u8]),
    /// A line that alone is longer than allowed was dropped.
    Overlong,
}

/// Cuts pieces into sections.
#[derive(Debug)]
pub(super) struct Sections {
    blank: Blank,
    held: Vec<u8>,
    /// Whether the line being read is too long and being skipped.
    skipping: bool,
    bytes: u64,
}

impl Default for Sections {
    fn default() -> Self {
        let blank = Blank {
            unix: Finder::new(b"\n\n"),
            dos: Finder::new(b"\n\r\n"),
        };
        Self {
            blank,
            held: Vec::new(),
            skipping: false,
            bytes: 0,
        }
    }
}

impl Sections {
    /// The bytes pushed so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a piece and hands on the sections that end in it, one by one.
    pub(super) fn push(&mut self, piece: &[u8], mut take: impl FnMut(Section<'_>)) {
        let blank = self.blank.clone();
        self.push_runs(piece, |run| match run {
            Section::Whole(mut run) => {
                while let Some(end) = blank.end(run) {
                    let (section, rest) = run.split_at(end);
                    take(Section::Whole(section));
                    run = rest;
                }
                if !run.is_empty() {
                    take(Section::Whole(run));
                }
            }
            other => take(other),
        });
    }

    /// Takes a piece and hands on the sections that end in it as one run, for whoever sees by himself where each ends:
    /// then only the last blank line is looked for.
    pub(super) fn push_runs(&mut self, piece: &[u8], mut take: impl FnMut(Section<'_>)) {
        for part in piece.chunks(SECTION_BYTES) {
            self.push_part(part, &mut take);
        }
    }

    fn push_part(&mut self, piece: &[u8], take: &mut impl FnMut(Section<'_>)) {
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let mut piece = piece;
        if self.skipping {
            let Some(end) = memchr(b'\n', piece) else {
                return;
            };
            self.skipping = false;
            piece = piece.get(end + 1..).unwrap_or_default();
        }
        // Only the section that began in an earlier piece is copied; the others are read where they lie.
        if !self.held.is_empty() {
            let end = self.first_end(piece);
            let (mine, rest) = piece.split_at(end.unwrap_or(piece.len()));
            self.held.extend_from_slice(mine);
            if end.is_none() {
                self.bound(take);
                return;
            }
            take(Section::Whole(&self.held));
            self.held.clear();
            piece = rest;
        }
        if let Some(end) = last_blank(piece) {
            let (run, rest) = piece.split_at(end);
            take(Section::Whole(run));
            piece = rest;
        }
        self.held.extend_from_slice(piece);
        self.bound(take);
    }

    /// Hands on what is left.
    pub(super) fn finish(mut self, mut take: impl FnMut(Section<'_>)) {
        if self.skipping || self.held.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.held);
        take(if held.ends_with(b"\n") {
            Section::Last(&held)
        } else {
            Section::Cut(&held)
        });
    }

    /// Where in `piece` the held section ends: after a blank line that may have begun in what is held.
    fn first_end(&self, piece: &[u8]) -> Option<usize> {
        let tail = self
            .held
            .get(self.held.len().saturating_sub(2)..)
            .unwrap_or_default();
        let mut joint = [0_u8; 4];
        let head = piece.get(..piece.len().min(2)).unwrap_or_default();
        let joint_len = tail.len() + head.len();
        for (slot, byte) in joint.iter_mut().zip(tail.iter().chain(head)) {
            *slot = *byte;
        }
        if let Some(end) = joint
            .get(..joint_len)
            .and_then(|joint| self.blank.end(joint))
            && end > tail.len()
        {
            return Some(end - tail.len());
        }
        self.blank.end(piece)
    }

    /// Keeps what is held below the limit: hands on the goroutines before the last header, else the whole lines, or
    /// drops a line that is too long by itself.
    fn bound(&mut self, take: &mut impl FnMut(Section<'_>)) {
        if self.held.len() <= SECTION_BYTES {
            return;
        }
        // Some who keep logs drop their blank lines.
        if let Some(at) = memchr::memmem::rfind(&self.held, b"\ngoroutine ") {
            take(Section::Whole(self.held.get(..=at).unwrap_or_default()));
            self.held.drain(..=at);
            return;
        }
        let end = memrchr(b'\n', &self.held).map_or(0, |at| at + 1);
        if end == 0 {
            self.held.clear();
            self.skipping = true;
            take(Section::Overlong);
            return;
        }
        take(Section::Part(self.held.get(..end).unwrap_or_default()));
        self.held.drain(..end);
    }
}

/// Where the last blank line ends, `\n` or `\r\n` alike. Cost: in proportion to what follows it.
fn last_blank(text: &[u8]) -> Option<usize> {
    memchr::memrchr_iter(b'\n', text).find_map(|at| match text.get(at + 1..)? {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// Searchers for a blank line, set up once.
#[derive(Clone, Debug)]
struct Blank {
    unix: Finder<'static>,
    dos: Finder<'static>,
}

impl Blank {
    /// Where the first blank line ends, `\n` or `\r\n` alike. Cost: in proportion to how far away that is, whichever
    /// of the two the text has none of.
    fn end(&self, text: &[u8]) -> Option<usize> {
        let (mut seen, mut window) = (0, WINDOW_BYTES);
        loop {
            let head = text.get(..window).unwrap_or(text);
            let part = head.get(seen..).unwrap_or_default();
            let unix = self.unix.find(part).map(|at| at + 2);
            let before = unix.and_then(|end| part.get(..end)).unwrap_or(part);
            // Texts may mix their line ends.
            if let Some(end) = self.dos.find(before).map(|at| at + 3).or(unix) {
                return Some(seen + end);
            }
            if head.len() == text.len() {
                return None;
            }
            // A blank line may lie across the border.
            seen = window - 2;
            window = window.saturating_mul(2);
        }
    }
}

/// Asks memory for what comes a little later in a text, about as much as a call and its place take. Otherwise the processor
/// waits at each page, and fetches nothing while it hashes what came. Cost: less than what it spares, even where all is in
/// a cache.
pub(super) fn ask_ahead(text: &[u8]) {
    const AHEAD_BYTES: usize = 1536;
    /// Of a cache.
    const LINE_BYTES: usize = 64;
    for line in 0..3 {
        prefetch_index(text, AHEAD_BYTES + line * LINE_BYTES);
    }
}

/// The next line without its end, and the rest.
pub(super) fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match memchr(b'\n', text) {
        Some(end) => (
            text.get(..end).unwrap_or_default(),
            text.get(end + 1..).unwrap_or_default(),
        ),
        None => (text, &[][..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// A line of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'t> {
    /// Without its end, `\n` or `\r\n`.
    pub(super) text: &'t [u8],
    /// Where it begins in the whole text.
    pub(super) start: usize,
    /// Where the next one begins.
    pub(super) below: usize,
}

/// Walks through the lines of a text. The last one may lack its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'t> {
    text: &'t [u8],
    start: usize,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self::at(text, 0)
    }

    /// From the start of a line on.
    pub(super) fn at(text: &'t [u8], start: usize) -> Self {
        Self { text, start }
    }

    /// The whole text.
    pub(super) fn text(&self) -> &'t [u8] {
        self.text
    }

    /// Where the next line begins.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// The next line, which stays the next one.
    pub(super) fn peek(&self) -> Option<Line<'t>> {
        let rest = self
            .text
            .get(self.start..)
            .filter(|rest| !rest.is_empty())?;
        let end = memchr(b'\n', rest);
        let text = rest.get(..end.unwrap_or(rest.len()))?;
        Some(Line {
            text: text.strip_suffix(b"\r").unwrap_or(text),
            start: self.start,
            below: self.start + text.len() + usize::from(end.is_some()),
        })
    }

    /// Goes on behind a line that was peeked at.
    pub(super) fn pass(&mut self, line: &Line<'t>) {
        self.start = line.below;
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Option<Line<'t>> {
        let line = self.peek()?;
        self.pass(&line);
        Some(line)
    }
}

/// The digits at the start of `text` as a number, and the rest; `None` without digits or beyond 64 bits.
pub(super) fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    /// So many digits never make more than 64 bits.
    const FIT: usize = 19;
    let (mut value, mut digits) = (0_u64, 0);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = if digits < FIT {
            value.wrapping_mul(10).wrapping_add(digit.into())
        } else {
            value.checked_mul(10)?.checked_add(digit.into())?
        };
        digits += 1;
    }
    let rest = text.get(digits..)?;
    (digits > 0).then_some((value, rest))
}

/// File and line of `path.go:12 +0x1d fp=0x.. sp=0x.. pc=0x..`, where what follows the number is optional, and
/// whether an offset follows. Paths may hold spaces and colons: the number stands behind the last colon.
pub(super) fn location(text: &[u8]) -> Option<(&[u8], u32, bool)> {
    let colon = memrchr(b':', text)?;
    let (line, rest) = number(text.get(colon + 1..)?)?;
    if !(rest.is_empty() || rest.starts_with(b" ")) {
        return None;
    }
    Some((
        text.get(..colon)?,
        u32::try_from(line).ok()?,
        rest.starts_with(b" +0x"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sections, without the line ends around each: which of two a further blank line falls to, pieces decide.
    fn sections(text: &[u8], size: usize) -> Vec<String> {
        fn trimmed(text: &[u8]) -> &str {
            std::str::from_utf8(text)
                .unwrap()
                .trim_matches(['\r', '\n'])
        }
        let mut found = Vec::new();
        let mut take = |section: Section<'_>| {
            let (kind, text) = match section {
                Section::Whole(text) => ("Whole", trimmed(text)),
                Section::Last(text) => ("Last", trimmed(text)),
                Section::Cut(text) => ("Cut", trimmed(text)),
                Section::Part(text) => ("Part", trimmed(text)),
                Section::Overlong => ("Overlong", "a line"),
            };
            if !text.is_empty() {
                found.push(format!("{kind}: {text}"));
            }
        };
        let mut sections = Sections::default();
        for piece in text.chunks(size) {
            sections.push(piece, &mut take);
        }
        sections.finish(&mut take);
        found
    }

    /// What is handed on as whole when runs are asked for, and what is left.
    fn runs(text: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut whole, mut last) = (Vec::new(), Vec::new());
        let mut take = |section: Section<'_>| match section {
            Section::Whole(run) => whole.extend_from_slice(run),
            Section::Last(rest) | Section::Cut(rest) => last.extend_from_slice(rest),
            other => panic!("{other:?}"),
        };
        let mut sections = Sections::default();
        for piece in text.chunks(size) {
            sections.push_runs(piece, &mut take);
        }
        sections.finish(&mut take);
        (whole, last)
    }

    #[test]
    fn pieces_of_any_size_give_the_same_sections() {
        let text = b"a\nb\n\nc\r\n\r\nd\n\n\n\ne\nf";
        let whole = sections(text, text.len());
        assert_eq!(whole.len(), 4, "{whole:?}");
        for size in 1..text.len() {
            assert_eq!(sections(text, size), whole, "pieces of {size}");
        }
    }

    #[test]
    fn every_short_text_is_cut_the_same_way_in_any_pieces() {
        for number in 0..5_usize.pow(6) {
            let text: Vec<u8> = (0..6)
                .map(|digit| b"\n\ra\n\t"[number / 5_usize.pow(digit) % 5])
                .collect();
            let whole = sections(&text, 6);
            for size in 1..=6 {
                assert_eq!(sections(&text, size), whole, "{text:?} in pieces of {size}");
                // The run ends behind the last blank line, and nothing is lost.
                let (run, rest) = runs(&text, size);
                assert_eq!([&run[..], &rest].concat(), text, "in pieces of {size}");
                let rest = String::from_utf8(rest).unwrap();
                let blank = rest.contains("\n\n") || rest.contains("\n\r\n");
                assert!(!blank, "{text:?} in pieces of {size}: {rest:?}");
            }
        }
    }

    #[test]
    fn long_sections_come_in_parts_and_long_lines_are_dropped() {
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let found = sections(&line.repeat(30_000), 1 << 16);
        assert!(
            found.len() > 2 && found[0].starts_with("Part"),
            "{}",
            found.len()
        );
        let endless = sections(&b"x".repeat(3 << 20), 1 << 16);
        assert_eq!(endless, ["Overlong: a line"]);
        let mut text = b"y".repeat(3 << 20);
        text.extend_from_slice(b"\nz\n");
        assert_eq!(sections(&text, 1 << 16).last().unwrap(), "Last: z");
    }

    #[test]
    fn numbers_of_every_length_are_read_whatever_follows() {
        let check = |digits: &str, expected: Option<u64>| {
            for tail in [
                "",
                " ",
                ":",
                "/",
                "a",
                "-1",
                "x1234567890123456",
                "\n\u{ff}",
            ] {
                let text = format!("{digits}{tail}");
                let read = expected.map(|value| (value, tail.as_bytes()));
                assert_eq!(number(text.as_bytes()), read, "{text}");
            }
        };
        for value in (0..1_100).chain((1..20).flat_map(|power| {
            let value = 10_u64.pow(power);
            [value - 1, value, value + 1, value / 10 * 7 + 3, value / 9]
        })) {
            check(&value.to_string(), Some(value));
            check(&format!("00{value}"), Some(value));
        }
        check(&u64::MAX.to_string(), Some(u64::MAX));
        check("18446744073709551616", None);
        check("", None);
        // The bytes around the digits, in each place.
        for other in 0..=u8::MAX {
            for at in 0..9 {
                let mut text = *b"123456789";
                text[at] = other;
                let bytes = &text[..];
                let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
                let digits = digits.count();
                let plain = std::str::from_utf8(&bytes[..digits]).unwrap().parse().ok();
                let read = plain.map(|value: u64| (value, &bytes[digits..]));
                assert_eq!(number(bytes), read, "{bytes:?}");
            }
        }
    }

    #[test]
    fn locations() {
        let check = |text: &str, expected: Option<(&str, u32, bool)>| {
            let found = location(text.as_bytes());
            assert_eq!(
                found,
                expected.map(|(file, line, offset)| (file.as_bytes(), line, offset)),
                "{text}"
            );
        };
        check("/a/main.go:12 +0x1d", Some(("/a/main.go", 12, true)));
        check("/a/main.go:12", Some(("/a/main.go", 12, false)));
        check(
            "/a b/C:/main.go:12 +0x1d fp=0xc0 sp=0xc0 pc=0x40",
            Some(("/a b/C:/main.go", 12, true)),
        );
        check("<autogenerated>:1", Some(("<autogenerated>", 1, false)));
        check("/a/main.go:12x", None);
        check("/a/main.go:", None);
        check("/a/main.go", None);
        check("/a/main.go:99999999999", None);
    }
}
