//! Dumps as people keep and paste them: within logs, each line wrapped by a logger or a collector, other lines between.
//!
//! For files and standard input only. A probe decodes what a target answers as it is ([`super::Decoder`]), so that a
//! page of logs in place of a profile is no profile.
//!
//! ```text
//! {"log":"goroutine 7 [select]:\n","stream":"stderr","time":"2026-11-25T01:02:03Z"}    Docker, and the like of the CRI
//! [pod/web-0/app] goroutine 7 [select]:                                                any prefix, learnt from headers
//! level=error msg="goroutine 7 [running]:\nmain.main()\n\t/a.go:1 +0x1\n"              a dump within one field
//! ```
//!
//! Bytes become lines (`lines`), wrapped lines what the program wrote (`unwrap`), and those become dumps (`dumps`),
//! which the decoders of [`super`] read. A log may hold several dumps, each of another moment: they are told apart, and
//! one is read, or all when that is asked for. Cost: one pass over plain text, one more for each wrapper; a few times
//! the longest line is held, which is at most 8 MiB, and what a compressed text or a protobuf needs.

mod dumps;
mod escapes;
mod kind;
mod lines;
mod open;
mod shape;
#[cfg(test)]
mod tests;
mod unwrap;

use std::fmt;

use super::debug2::GO_CUT_BYTES;
use super::{
    BYTE_ORDER_MARK, DecodeError, Decoder, GZIP_MAGIC, Limits, SNIFF_BYTES, debug1, gzip, is_binary,
};
use crate::profile::{Sink, Summary};
use dumps::{Dumps, Finished};
use lines::Lines;
use unwrap::Unwrapper;

/// Which of the dumps of a text is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The last one that is whole. A dump of several goroutines goes before the stack of a single one, as panics that
    /// are recovered leave them, and a whole dump before one that is cut.
    #[default]
    Best,
    /// The one with this number, from 1 on.
    Number(u32),
    /// All of them, added up.
    All,
}

/// What was found beside the goroutines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The wrappers that were taken off, in words; empty for plain text and protobufs.
    pub wrappers: Vec<String>,
    /// Lines that are of no dump.
    pub skipped: u64,
    /// The first of them, cut and without control characters.
    pub examples: Vec<String>,
    /// Records that could not be read, in all dumps.
    pub damaged: u64,
    /// The dumps found.
    pub dumps: u32,
    /// The number of the one that was read; `None` when all were.
    pub read: Option<u32>,
}

impl Report {
    /// Whether there is something a person should know: not of a plain dump alone in its text.
    #[must_use]
    pub fn says_something(&self) -> bool {
        self.dumps > 1 || self.skipped > 0 || !self.wrappers.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.dumps > 1 {
            parts.push(match self.read {
                Some(number) => format!(
                    "{} dumps in this file, reading number {number} (--dump N reads another, --dump all adds them)",
                    self.dumps
                ),
                None => format!("{} dumps in this file, added up", self.dumps),
            });
        }
        if !self.wrappers.is_empty() {
            parts.push(format!("unwrapped {}", self.wrappers.join(", ")));
        }
        if self.skipped > 0 {
            let examples: Vec<String> = self
                .examples
                .iter()
                .map(|line| format!("{line:?}"))
                .collect();
            let lines = if self.skipped == 1 { "line" } else { "lines" };
            parts.push(format!(
                "skipped {} other {lines} ({})",
                self.skipped,
                examples.join(", ")
            ));
        }
        if self.damaged > 0 {
            parts.push(format!("{} damaged", self.damaged));
        }
        f.write_str(&parts.join("; "))
    }
}

/// A dump that was read.
#[derive(Debug)]
pub struct Outcome<S> {
    /// What the dump was counted into.
    pub sink: S,
    /// What the decoder says of it. With [`Choice::All`] the damage of all, and the encoding of the last.
    pub summary: Summary,
    /// What else was in the text.
    pub report: Report,
}

/// Reads a text piece by piece; the pieces may end anywhere. Bodies of every other form go to the ordinary decoder.
#[derive(Debug)]
pub struct Reader<S, F> {
    limits: Limits,
    choice: Choice,
    state: State<S, F>,
}

#[derive(Debug)]
enum State<S, F> {
    Sniffing(Vec<u8>, F),
    Gzip(Vec<u8>, F),
    Binary(Box<Decoder>, S),
    Text(Box<Texts<S, F>>),
    /// Between two of the others.
    Turning,
}

impl<S: Sink, F: FnMut() -> S> Reader<S, F> {
    /// One that has seen nothing yet. `make` makes the sink of a dump; those of dumps that are not chosen are dropped.
    pub fn new(limits: &Limits, choice: Choice, make: F) -> Self {
        Self {
            limits: *limits,
            choice,
            state: State::Sniffing(Vec::new(), make),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// When a protobuf or a compressed body grows past the limit.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        match &mut self.state {
            State::Sniffing(head, _) => {
                head.extend_from_slice(piece);
                if head.len() < SNIFF_BYTES + BYTE_ORDER_MARK.len() {
                    return Ok(());
                }
                self.start()
            }
            State::Gzip(kept, _) => {
                let limit = self.limits.inflated_bytes;
                kept.extend_from_slice(piece);
                if gzip::len(kept) > limit {
                    return Err(DecodeError::TooLarge { limit });
                }
                Ok(())
            }
            State::Binary(decoder, sink) => decoder.push(piece, sink),
            State::Text(text) => {
                text.push(piece);
                Ok(())
            }
            State::Turning => Ok(()),
        }
    }

    /// Reads what is left.
    ///
    /// # Errors
    /// When there is no goroutine profile in it, or none with the number asked for, and as [`super::decode`].
    pub fn finish(mut self) -> Result<Outcome<S>, DecodeError> {
        self.start()?;
        match self.state {
            State::Sniffing(..) | State::Turning => Err(DecodeError::NotPprof {
                found: "an empty body",
            }),
            State::Gzip(body, make) => inflate(&body, self.limits, self.choice, make),
            State::Binary(decoder, mut sink) => {
                let summary = decoder.finish(&mut sink)?;
                let report = Report {
                    dumps: 1,
                    read: Some(1),
                    damaged: summary.damage,
                    ..Report::default()
                };
                Ok(Outcome {
                    sink,
                    summary,
                    report,
                })
            }
            State::Text(text) => text.finish(self.choice),
        }
    }

    /// Recognises what it is from its first bytes, unless that is done or there are none.
    fn start(&mut self) -> Result<(), DecodeError> {
        let (head, mut make) = match std::mem::replace(&mut self.state, State::Turning) {
            State::Sniffing(head, make) if !head.is_empty() => (head, make),
            other => {
                self.state = other;
                return Ok(());
            }
        };
        let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head);
        let first = text.get(..SNIFF_BYTES).unwrap_or(text);
        let (state, text) = match text {
            [] => (State::Sniffing(Vec::new(), make), text),
            [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] => {
                let lines = Lines::utf16(text.starts_with(b"\xfe"));
                let text = Texts::new(lines, self.choice, make);
                (State::Text(Box::new(text)), rest)
            }
            _ if first.starts_with(GZIP_MAGIC) => (State::Gzip(Vec::new(), make), text),
            _ if is_binary(first) => {
                let sink = make();
                let decoder = Decoder::new(&self.limits);
                (State::Binary(Box::new(decoder), sink), text)
            }
            _ => {
                let text_of = Texts::new(Lines::default(), self.choice, make);
                (State::Text(Box::new(text_of)), text)
            }
        };
        self.state = state;
        match text {
            [] => Ok(()),
            text => self.push(text),
        }
    }
}

/// Inflates a compressed body a piece at a time into a reader of what is inside.
fn inflate<S: Sink, F: FnMut() -> S>(
    body: &[u8],
    limits: Limits,
    choice: Choice,
    make: F,
) -> Result<Outcome<S>, DecodeError> {
    let mut inner = Reader::new(&limits, choice, make);
    let refuse = |inner: &Reader<S, F>| match inner.state {
        State::Gzip(..) => Err(DecodeError::NotPprof {
            found: "gzip inside gzip",
        }),
        _ => Ok(()),
    };
    let end = gzip::inflate(body, limits.inflated_bytes, |piece| {
        inner.push(piece)?;
        refuse(&inner)
    })?;
    inner.start()?;
    refuse(&inner)?;
    let cut = end == gzip::End::Cut;
    if cut && matches!(inner.state, State::Binary(..)) {
        return Err(DecodeError::Damaged {
            problem: "the compressed profile ends early",
            offset: gzip::len(body),
        });
    }
    let mut outcome = inner.finish()?;
    outcome.summary.truncated |= cut;
    outcome.summary.damage += u64::from(end == gzip::End::Trailing);
    Ok(outcome)
}

/// What a text is read with.
#[derive(Debug)]
struct Texts<S, F> {
    lines: Lines,
    unwrapper: Unwrapper,
    dumps: Dumps<S, F>,
    /// The beginning of a line where the text ends.
    cut: Option<Vec<u8>>,
    bytes: u64,
    /// The first line is that of a profile of something else.
    other_profile: Option<bool>,
}

impl<S: Sink, F: FnMut() -> S> Texts<S, F> {
    fn new(lines: Lines, choice: Choice, make: F) -> Self {
        Self {
            lines,
            unwrapper: Unwrapper::default(),
            dumps: Dumps::new(choice, make),
            cut: None,
            bytes: 0,
            other_profile: None,
        }
    }

    fn push(&mut self, piece: &[u8]) {
        self.bytes = self.bytes.saturating_add(gzip::len(piece));
        let Self {
            lines,
            unwrapper,
            dumps,
            other_profile,
            ..
        } = self;
        lines.push(piece, |line, end| {
            other_profile.get_or_insert_with(|| debug1::is_debug1(line));
            unwrapper.line(line, end, dumps);
        });
    }

    fn finish(mut self, choice: Choice) -> Result<Outcome<S>, DecodeError> {
        let Self {
            lines,
            unwrapper,
            dumps,
            cut,
            ..
        } = &mut self;
        lines.finish(|line, end| *cut = unwrapper.line(line, end, dumps));
        let cut = unwrapper.finish(dumps).or(self.cut);
        let Finished {
            chosen,
            found,
            damaged,
            skipped,
            examples,
        } = self.dumps.finish(cut.as_deref());
        let Some(done) = chosen else {
            return Err(DecodeError::NotPprof {
                found: match choice {
                    Choice::Number(_) if found > 0 => {
                        "a text with fewer dumps, or none that is not cut there"
                    }
                    _ if self.other_profile == Some(true) => "the text of another profile",
                    _ => "text without the header of a goroutine",
                },
            });
        };
        let mut summary = done.summary;
        summary.truncated |= self.bytes == GO_CUT_BYTES;
        let report = Report {
            wrappers: self.unwrapper.into_names(),
            skipped,
            examples,
            damaged,
            dumps: found,
            read: (choice != Choice::All).then_some(done.number),
        };
        Ok(Outcome {
            sink: done.sink,
            summary,
            report,
        })
    }
}

/// The start of a line as a person may see it: at most so many characters, none of them a control character.
fn printable(line: &[u8], chars: usize) -> String {
    // Four bytes are the longest character.
    let start = line.get(..chars * 4).unwrap_or(line);
    let text = String::from_utf8_lossy(start);
    let mut shown: String = text
        .trim()
        .chars()
        .take(chars)
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    if text.trim().chars().count() > chars {
        shown.push('…');
    }
    shown
}
