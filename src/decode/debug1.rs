//! Counted stacks as text (`debug=1`).
//!
//! ```text
//! goroutine profile: total 1296
//! 1200 @ 0x48b7aa 0x41816e 0x417c92 0x728058 0x492ce1
//! # labels: {"tenant":"a"}
//! #       0x728057        main.worker+0x17        /home/ci/svc/main.go:19
//! ```
//!
//! Source: `writeProto`'s sibling `printCountProfile` and `printStackRecord` in Go's runtime/pprof/pprof.go, Go
//! 1.19 to 1.27. The runtime's frames at the leaf are left out of the lines and stand only in the addresses:
//! [`super::hidden`] finds out what it can about them.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::debug2::unquote;
use super::hidden::Hidden;
use super::text::{self, Section, Sections};
use super::{DecodeError, MAX_FRAMES};
use crate::profile::{Encoding, Facts, FrameId, FrameText, Leaf, Sink, Stack, StackId, Summary};

/// The most stacks and calls remembered by the hash of their text.
const MAX_REMEMBERED: usize = 1 << 15;

/// Whether a text begins as this encoding does: `NAME profile: total N`.
pub(super) fn is_debug1(head: &[u8]) -> bool {
    profile_name(head).is_some()
}

/// Name and rest of the first line.
fn profile_name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, _) = text::line(text);
    let at = memchr::memmem::find(line, b" profile: total ")?;
    let name = line
        .get(..at)
        .filter(|name| !name.is_empty() && name.iter().all(u8::is_ascii_alphanumeric))?;
    Some((name, line.get(at + b" profile: total ".len()..)?))
}

/// The state between pieces.
#[derive(Debug, Default)]
pub(super) struct Debug1 {
    sections: Sections,
    reader: Reader,
}

#[derive(Debug, Default)]
struct Reader {
    /// The first line: whether it was read, and what it says.
    started: bool,
    wrong_kind: bool,
    leaked_only: bool,
    declared_total: Option<u64>,
    counted: u64,
    hasher: RandomState,
    stacks: HashTable<(u64, StackId)>,
    calls: HashTable<(u64, FrameId)>,
    hidden: Hidden,
    frames: Vec<FrameId>,
    addresses: Vec<u64>,
    damage: u64,
    truncated: bool,
}

impl Debug1 {
    /// Reads the stacks that end in this piece.
    pub(super) fn push<S: Sink>(&mut self, piece: &[u8], sink: &mut S) {
        let reader = &mut self.reader;
        self.sections
            .push(piece, |section| reader.section(section, sink));
    }

    /// Reads the rest, and tells the sink what was hidden.
    ///
    /// # Errors
    /// When it is the profile of something else than goroutines.
    pub(super) fn finish<S: Sink>(self, sink: &mut S) -> Result<Summary, DecodeError> {
        let Self {
            sections,
            mut reader,
        } = self;
        sections.finish(|section| reader.section(section, sink));
        if reader.wrong_kind || !reader.started {
            return Err(DecodeError::NotPprof {
                found: "the text of another profile",
            });
        }
        reader.hidden.reveal(sink);
        let missing = reader
            .declared_total
            .is_some_and(|total| reader.counted < total)
            && reader.damage == 0;
        Ok(Summary {
            encoding: Encoding::Debug1,
            leaked_only: reader.leaked_only,
            declared_total: reader.declared_total,
            truncated: reader.truncated || missing,
            damage: reader.damage,
            process: None,
        })
    }
}

impl Reader {
    fn section<S: Sink>(&mut self, section: Section<'_>, sink: &mut S) {
        let (text, cut) = match section {
            Section::Part(text) if !self.started => {
                self.first_line(text, false);
                self.damage += 1;
                return;
            }
            Section::Whole(text) => (text, false),
            // Go ends each stack with a blank line; without one it may lack frames, unless it completes the total. Further
            // blank lines say nothing.
            Section::Last(text) => {
                let blank = text.iter().all(u8::is_ascii_whitespace);
                (text, !blank && !self.completes_the_total(text))
            }
            Section::Cut(text) => (text, true),
            Section::Part(_) | Section::Overlong => {
                self.damage += 1;
                return;
            }
        };
        let rest = if self.started {
            text
        } else {
            self.first_line(text, cut)
        };
        let rest = begun(rest);
        if self.wrong_kind || rest.iter().all(u8::is_ascii_whitespace) {
            self.truncated |= cut;
        } else if cut {
            self.truncated = true;
        } else if self.stack(rest, sink).is_none() {
            self.damage += 1;
        }
    }

    /// Reads what the dump says of itself; returns what follows that line.
    fn first_line<'t>(&mut self, text: &'t [u8], cut: bool) -> &'t [u8] {
        self.started = true;
        let (_, rest) = text::line(text);
        match profile_name(text) {
            Some((name @ (b"goroutine" | b"goroutineleak"), total)) => {
                self.leaked_only = name == b"goroutineleak";
                self.declared_total = text::number(total)
                    .filter(|_| !cut || !rest.is_empty())
                    .map(|(total, _)| total);
            }
            _ => self.wrong_kind = true,
        }
        rest
    }

    fn completes_the_total(&self, text: &[u8]) -> bool {
        let number = |text| text::number(text).map(|(number, _)| number);
        let (total, stack) = if self.started {
            (self.declared_total, text)
        } else {
            let total = profile_name(text).and_then(|(_, total)| number(total));
            (total, text::line(text).1)
        };
        let count = number(begun(stack)).unwrap_or(0);
        total.is_some_and(|total| total == self.counted.saturating_add(count))
    }

    /// Reads one counted stack; `None` when it is damaged.
    fn stack<S: Sink>(&mut self, text: &[u8], sink: &mut S) -> Option<()> {
        let (head, mut lines) = text::line(text);
        let (count, addresses) = text::number(head)?;
        let addresses = addresses.strip_prefix(b" @")?;
        if count == 0 || count > super::MAX_COUNT {
            return None;
        }
        let mut label_text = Vec::new();
        let mut pairs = Vec::new();
        if let Some(written) = lines.strip_prefix(b"# labels: {") {
            let (written, after) = text::line(written);
            lines = after;
            if sink.wants_labels() {
                labels(written.strip_suffix(b"}")?, &mut label_text, &mut pairs)?;
            }
        }
        let hash = self.hasher.hash_one(addresses);
        let known = self
            .stacks
            .find(hash, |(known, _)| *known == hash)
            .map(|(_, stack)| *stack);
        let stack = match known {
            Some(stack) => stack,
            None => self.new_stack(hash, addresses, lines, sink)?,
        };
        let label = |(key, value): &(std::ops::Range<usize>, std::ops::Range<usize>)| {
            label_text
                .get(key.clone())
                .zip(label_text.get(value.clone()))
        };
        let labels: Vec<(&[u8], &[u8])> = pairs.iter().filter_map(label).collect();
        self.counted = self.counted.saturating_add(count);
        // Only the address of the function that goroutines return to: nothing has run yet.
        let not_started = lines.iter().all(u8::is_ascii_whitespace);
        sink.count(
            stack,
            &Facts {
                count,
                leaked: self.leaked_only,
                not_started,
                labels: &labels,
                ..Facts::default()
            },
        );
        Some(())
    }

    fn new_stack<S: Sink>(
        &mut self,
        hash: u64,
        addresses: &[u8],
        lines: &[u8],
        sink: &mut S,
    ) -> Option<StackId> {
        self.frames.clear();
        let mut rest = lines;
        while !rest.is_empty() {
            let (line, after) = text::line(rest);
            rest = after;
            if line.is_empty() {
                break;
            }
            let (address, call) = split(line)?;
            if self.frames.len() < MAX_FRAMES {
                let frame = self.frame(address, call, sink)?;
                self.frames.push(frame);
            }
        }
        let leaf = if self.frames.is_empty() {
            each(addresses).try_for_each(|address| hex(address).map(drop))?;
            Leaf::Complete
        } else {
            let (address, call) = split(text::line(lines).0)?;
            let function = frame(call)?.function;
            hidden_before(hex(address)?, addresses, &mut self.addresses)?;
            Leaf::Hidden(self.hidden.note(&self.addresses, function))
        };
        let depth = memchr::memchr_iter(b' ', addresses).count();
        let root_cut = super::is_cut_depth(depth) || self.frames.len() == MAX_FRAMES;
        let stack = sink.stack(Stack {
            frames: &self.frames,
            leaf,
            root_cut,
        });
        if stack != StackId::TRANSIENT && self.stacks.len() < MAX_REMEMBERED {
            self.stacks
                .insert_unique(hash, (hash, stack), |(hash, _)| *hash);
        }
        Some(stack)
    }

    /// The frame of a line. The text of a call that was met before is not read again, whatever its address.
    fn frame<S: Sink>(&mut self, address: &[u8], call: &[u8], sink: &mut S) -> Option<FrameId> {
        let hash = self.hasher.hash_one(call);
        if let Some(&(_, frame)) = self.calls.find(hash, |(known, _)| *known == hash) {
            return Some(frame);
        }
        hex(address)?;
        let frame = sink.frame(frame(call)?);
        if self.calls.len() < MAX_REMEMBERED {
            self.calls
                .insert_unique(hash, (hash, frame), |(hash, _)| *hash);
        }
        Some(frame)
    }
}

fn each(addresses: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = addresses.split(|&byte| byte == b' ');
    words.filter(|address| !address.is_empty())
}

/// Collects the addresses before that of the first visible call, whose line has the address of the call and not that
/// behind it; none where that is not among them.
fn hidden_before(visible: u64, addresses: &[u8], hidden: &mut Vec<u64>) -> Option<()> {
    hidden.clear();
    for address in each(addresses) {
        let address = hex(address)?;
        if address == visible || address == visible.wrapping_add(1) {
            return Some(());
        }
        hidden.push(address);
    }
    hidden.clear();
    Some(())
}

/// A section without further blank lines before it: which of two sections those fall to, the pieces decide.
fn begun(section: &[u8]) -> &[u8] {
    let blank = section
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    section.get(blank.count()..).unwrap_or_default()
}

/// Address and call of `#\t0x728057\tmain.worker+0x17\t\t/home/ci/svc/main.go:19`. A frame without a symbol has only its
/// address.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let fields = line.strip_prefix(b"#\t")?;
    let tab = memchr::memchr(b'\t', fields).unwrap_or(fields.len());
    Some((
        fields.get(..tab)?,
        fields.get(tab + 1..).unwrap_or_default(),
    ))
}

/// Reads `main.worker+0x17\t\t/home/ci/svc/main.go:19`; tabs pad the columns.
fn frame(call: &[u8]) -> Option<FrameText<'_>> {
    if call.is_empty() {
        return Some(FrameText {
            function: super::NO_SYMBOL,
            file: b"",
            line: 0,
        });
    }
    let symbol = call.get(..memchr::memchr(b'\t', call)?)?;
    let function = symbol.get(..memchr::memmem::rfind(symbol, b"+0x").unwrap_or(symbol.len()))?;
    let function = if function.is_empty() {
        super::NO_SYMBOL
    } else {
        function
    };
    let place = call.get(memchr::memrchr(b'\t', call)? + 1..)?;
    let (file, line, _) = text::location(place)?;
    Some(FrameText {
        function,
        file,
        line,
    })
}

fn hex(text: &[u8]) -> Option<u64> {
    let digits = text
        .strip_prefix(b"0x")
        .filter(|digits| (1..=16).contains(&digits.len()))?;
    digits.iter().try_fold(0, |value, &byte| {
        Some(value << 4 | u64::from(char::from(byte).to_digit(16)?))
    })
}

type Pairs = Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>;

/// Reads `"key":"value", "k2":"v2"` (runtime/pprof/label.go, `labelMap.String`).
fn labels(written: &[u8], text: &mut Vec<u8>, pairs: &mut Pairs) -> Option<()> {
    let mut rest = written;
    while !rest.is_empty() {
        let start = text.len();
        rest = unquote(rest.strip_prefix(b"\"")?, text)?;
        let middle = text.len();
        rest = unquote(rest.strip_prefix(b":\"")?, text)?;
        pairs.push((start..middle, middle..text.len()));
        rest = rest.strip_prefix(b", ").unwrap_or(rest);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        let check = |line: &str, expected: Option<(u64, &str, &str, u32)>| {
            let found = split(line.as_bytes())
                .and_then(|(address, call)| Some((hex(address)?, frame(call)?)));
            let expected = expected.map(|(address, function, file, line)| {
                (
                    address,
                    FrameText {
                        function: function.as_bytes(),
                        file: file.as_bytes(),
                        line,
                    },
                )
            });
            assert_eq!(found, expected, "{line}");
        };
        check(
            "#\t0x728057\tmain.kTimer+0x17\t/w/waits.go:424",
            Some((0x0072_8057, "main.kTimer", "/w/waits.go", 424)),
        );
        check(
            "#\t0x4de\tinternal/poll.(*FD).Read+0x295\t\t\t/go/fd_unix.go:170",
            Some((0x4de, "internal/poll.(*FD).Read", "/go/fd_unix.go", 170)),
        );
        check("#\t0x4de", Some((0x4de, "(no symbol)", "", 0)));
        check(
            "#\t0x4de\t+0x1\t/a.go:1",
            Some((0x4de, "(no symbol)", "/a.go", 1)),
        );
        check("#\t0x4de\tmain.f", None);
        check("#\tx\tmain.f+0x1\t/a.go:1", None);
        check("main.f", None);
    }

    #[test]
    fn heads() {
        assert!(is_debug1(b"goroutine profile: total 12\n1 @ 0x1"));
        assert!(is_debug1(b"threadcreate profile: total 12\n"));
        assert!(!is_debug1(b"goroutine 1 [running]:\n"));
        assert!(!is_debug1(b"<p>goroutine profile: total 12\n"));
    }
    fn read(body: &str) -> (Vec<String>, Result<Summary, DecodeError>) {
        let (recorder, summary) = crate::decode::recorder::Recorder::read(body.as_bytes());
        (recorder.goroutines, summary)
    }

    #[test]
    fn counts_and_addresses_at_the_edge_of_their_types() {
        let (goroutines, summary) = read(
            "goroutine profile: total 5\n4294967295 @ 0xffffffffffffffff 0x1\n#\t0xffffffffffffffff\tmain.a+0x1\t/a.go:1\n\n4294967296 @ 0x2\n\n0 @ 0x3\n\n18446744073709551616 @ 0x4\n\n1 @ 0x10000000000000000\n\n",
        );
        assert_eq!(goroutines, ["4294967295 | #0 main.a@/a.go:1"]);
        assert_eq!(summary.unwrap().damage, 4);
    }

    #[test]
    fn a_last_stack_counts_only_when_it_is_known_to_be_whole() {
        let first = "2 @ 0x10 0x20\n#\t0x1f\tmain.a+0x1\t/a.go:1\n";
        let second = "1 @ 0x30 0x20\n#\t0x2f\tmain.b+0x1\t/a.go:2\n";
        let check = |total: u64, stacks: &str, counted: usize, truncated: bool| {
            let (goroutines, summary) =
                read(&format!("goroutine profile: total {total}\n{stacks}"));
            let summary = summary.unwrap();
            assert_eq!(
                (goroutines.len(), summary.truncated, summary.damage),
                (counted, truncated, 0),
                "{total} {stacks}"
            );
        };
        check(2, &format!("{first}\n"), 1, false);
        check(2, first, 1, false);
        check(3, first, 0, true);
        check(3, &format!("{first}\n"), 1, true);
        check(3, &format!("{first}\n{second}\n"), 2, false);
        check(3, &format!("{first}\n{second}"), 2, false);
        check(4, &format!("{first}\n{second}"), 1, true);
        check(3, &format!("{first}\n{}", second.trim_end()), 1, true);
        check(0, "", 0, false);
        check(1, "", 0, true);
    }

    #[test]
    fn a_section_without_end_is_damage_and_the_first_line_still_says_what_it_is() {
        let stack = "1 @ 0x10 0x20\n#\t0x1f\tmain.a+0x1\t/a.go:1\n";
        let (goroutines, summary) = read(&format!(
            "goroutineleak profile: total 50000\n{}\n{stack}\n",
            stack.repeat(49_999)
        ));
        let summary = summary.unwrap();
        assert!(summary.leaked_only && summary.damage > 0, "{summary:?}");
        assert_eq!(summary.declared_total, Some(50_000));
        assert_eq!(goroutines, ["1 leaked | #0 main.a@/a.go:1"]);
    }
}
