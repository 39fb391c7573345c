//! One block of text for each goroutine: `debug=2`, panics, SIGQUIT, and logs with such a dump in them.
//!
//! ```text
//! goroutine 42 [chan receive, 7 minutes, locked to thread]:
//! main.worker(0xc000012345, {0x1, 0x2})
//!         /home/ci/svc/main.go:19 +0x1d
//! created by main.start in goroutine 1
//!         /home/ci/svc/main.go:7 +0x5c
//! ```
//!
//! Source: Go's runtime/traceback.go (`goroutineheader`, `traceback2`, `printcreatedby`, `printAncestorTraceback`),
//! read in Go 1.19 to 1.27. Goroutines are counted as they come; a block met before costs one hash of its text.
//! A block that does not read costs itself: the next header is looked for from there on.

mod block;
mod header;
mod seen;
#[cfg(test)]
mod tests;
mod tree;

use super::DecodeError;
use super::text::{self, Lines, Section, Sections, ask_ahead};
use crate::profile::{Encoding, Facts, FrameId, FrameText, Leaf, Sink, Stack, StackId, Summary};
use block::Said;
use header::Header;
use seen::Seen;
use tree::{At, Tree};

pub(super) use header::unquote;

/// The number in a header, and whether the goroutine is running; otherwise as [`header::parse`].
pub(super) fn header(line: &[u8]) -> Option<Result<(u64, bool), ()>> {
    header::parse(line)
        .map(|header| header.map(|header| (header.id, header.wait_reason == b"running")))
}

/// Where Go cuts a dump without a word: the largest buffer net/http/pprof tries (runtime/pprof/pprof.go,
/// `writeGoroutineStacks`).
pub(super) const GO_CUT_BYTES: u64 = 64 << 20;
/// The most calls kept of one stack. Go prints 100; a GOTRACEBACK=crash dump adds the runtime's own.
const MAX_CALLS: usize = 512;
/// Go 1.19 prints at most 100 frames, up to three of them hidden, and says nothing when there were more.
const SILENT_CUT_FRAMES: usize = 97;

/// The state between pieces.
#[derive(Debug, Default)]
pub(super) struct Debug2 {
    sections: Sections,
    reader: Reader,
}

#[derive(Debug, Default)]
struct Reader {
    known: Tree<Known>,
    block: Block,
    seen: Seen,
    label_text: Vec<u8>,
    headers: u64,
    damage: u64,
    truncated: bool,
}

/// What was read of a block below its header.
#[derive(Debug, Default)]
struct Block {
    frames: Vec<FrameId>,
    created_by: Option<FrameId>,
    /// Whether the last call stands at its first instruction.
    at_entry: bool,
    elided: bool,
    root_cut: bool,
}

/// What a block says beside its header.
#[derive(Clone, Copy, Debug)]
struct Known {
    stack: StackId,
    created_by: Option<FrameId>,
    /// Whether its only call stands at its first instruction.
    at_entry: bool,
}

impl Debug2 {
    /// Reads the blocks that end in this piece.
    pub(super) fn push<S: Sink>(&mut self, piece: &[u8], sink: &mut S) {
        let reader = &mut self.reader;
        self.sections
            .push_runs(piece, |run| reader.section(run, sink));
    }

    /// Reads the rest.
    ///
    /// # Errors
    /// When there was no header of a goroutine.
    pub(super) fn finish<S: Sink>(self, sink: &mut S) -> Result<Summary, DecodeError> {
        let Self {
            sections,
            mut reader,
        } = self;
        let bytes = sections.bytes();
        sections.finish(|section| reader.section(section, sink));
        if reader.headers == 0 {
            return Err(DecodeError::NotPprof {
                found: "text without the header of a goroutine",
            });
        }
        Ok(Summary {
            encoding: Encoding::Debug2,
            leaked_only: false,
            declared_total: None,
            truncated: reader.truncated || bytes == GO_CUT_BYTES,
            damage: reader.damage,
            process: None,
        })
    }
}

impl Reader {
    fn section<S: Sink>(&mut self, section: Section<'_>, sink: &mut S) {
        match section {
            Section::Whole(text) | Section::Last(text) => self.blocks(text, false, sink),
            Section::Cut(text) => self.blocks(text, true, sink),
            Section::Part(text) => {
                // A dump without blank lines: all blocks but the last are whole, and that one is lost.
                self.blocks(text, true, sink);
                self.damage += u64::from(std::mem::take(&mut self.truncated));
            }
            Section::Overlong => self.damage += u64::from(self.headers > 0),
        }
    }

    /// Reads the blocks of a section. `cut`: the text goes on beyond it, so its last block is incomplete.
    fn blocks<S: Sink>(&mut self, section: &[u8], cut: bool, sink: &mut S) {
        let mut lines = Lines::new(section);
        while let Some(line) = lines.next() {
            let last = cut && line.below == section.len();
            match header::parse(line.text) {
                None if last => {
                    self.truncated |= line.text.starts_with(header::GOROUTINE)
                        || header::GOROUTINE.starts_with(line.text);
                }
                None => {}
                Some(Err(())) if last => self.truncated = true,
                Some(Err(())) => {
                    self.headers += 1;
                    self.damage += 1;
                }
                Some(Ok(header)) => {
                    self.headers += 1;
                    self.block(&header, &mut lines, cut, sink);
                }
            }
        }
    }

    /// Counts the goroutine whose block comes next.
    fn block<S: Sink>(
        &mut self,
        header: &Header<'_>,
        lines: &mut Lines<'_>,
        cut: bool,
        sink: &mut S,
    ) {
        match self.read(lines, sink) {
            (_, false) if cut => self.truncated = true,
            (Some(known), _) => self.goroutine(header, &known, sink),
            (None, _) => self.damage += 1,
        }
    }

    /// What a block says, nothing where it does not read; and whether the text shows where it ends. Cost: of one met
    /// before, see [`Tree::follow`]; of another each byte is looked at three times.
    fn read<S: Sink>(&mut self, lines: &mut Lines<'_>, sink: &mut S) -> (Option<Known>, bool) {
        if let Some(known) = self.recognise(lines) {
            return (Some(known), lines.start() < lines.text().len());
        }
        let (text, block) = (lines.text(), &mut self.block);
        block.clear();
        let (mut at, mut here) = (Some(At::ROOT), lines.start());
        let (mut ancestors, mut readable) = (false, true);
        loop {
            ask_ahead(text.get(lines.start()..).unwrap_or_default());
            let (said, gap) = block::next(lines);
            at = match gap {
                Some(gap) => {
                    let part = text.get(here..gap.start);
                    here = gap.end;
                    at.zip(part).and_then(|(at, part)| {
                        let part = self.known.part(part, gap.kind)?;
                        self.known.grow(at, &part)
                    })
                }
                None => at,
            };
            match said {
                Said::Call(call) => {
                    let place = block::place(lines);
                    // Such a line is the header of the next goroutine when its arguments are so.
                    at = at.filter(|_| !call.function.starts_with(header::GOROUTINE));
                    let full = block.frames.len() >= MAX_CALLS;
                    if ancestors || full || call.is_goexit() {
                        continue;
                    }
                    if let Some((frame, offset)) = call.at(place) {
                        block.frames.push(sink.frame(frame));
                        block.at_entry = !offset;
                    } else {
                        readable = false;
                    }
                }
                Said::Creator(function, placed) => {
                    let place = if placed { block::place(lines) } else { b"" };
                    if !ancestors {
                        let (file, line, _) = text::location(place).unwrap_or_default();
                        block.created_by = Some(sink.frame(FrameText {
                            function,
                            file,
                            line,
                        }));
                    }
                }
                Said::Elided { .. } if ancestors => {}
                Said::Elided { root_cut } => {
                    (block.elided, block.root_cut) = (true, root_cut);
                }
                Said::Ancestors => ancestors = true,
                Said::Nothing => {}
                Said::End { ended } if !readable => return (None, ended),
                Said::End { ended } => {
                    let known = block.known(sink);
                    if let Some(at) =
                        at.filter(|_| gap.is_some() && known.stack != StackId::TRANSIENT)
                    {
                        self.known.remember(at, known);
                    }
                    return (Some(known), ended);
                }
                Said::Broken { ended } => return (None, ended),
            }
        }
    }

    /// What is known of a block that was met before; `lines` goes on behind it then.
    fn recognise(&self, lines: &mut Lines<'_>) -> Option<Known> {
        let text = lines.text();
        let (mut at, mut rest) = (At::ROOT, text.get(lines.start()..)?);
        loop {
            if self.known.follow(&mut at, &mut rest) {
                break;
            }
            // Paths part here, and the end of the part is looked for, from the place of the last call on.
            let mut reading = Lines::new(rest);
            if at != At::ROOT {
                block::place(&mut reading);
            }
            let gap = loop {
                match block::next(&mut reading) {
                    (_, Some(gap)) => break gap,
                    (Said::End { .. } | Said::Broken { .. }, None) => return None,
                    (Said::Call(_) | Said::Creator(_, true), None) => {
                        block::place(&mut reading);
                    }
                    _ => {}
                }
            };
            let part = self.known.part(rest.get(..gap.start)?, gap.kind)?;
            at = self.known.find(at, &part)?;
            rest = rest.get(gap.end..)?;
            if gap.kind.is_end() {
                break;
            }
        }
        let known = self.known.known(at)?;
        *lines = Lines::at(text, text.len() - rest.len());
        Some(known)
    }

    fn goroutine<S: Sink>(&mut self, header: &Header<'_>, block: &Known, sink: &mut S) {
        if !self.seen.is_new(header.id) {
            return;
        }
        let mut pairs = Vec::new();
        if sink.wants_labels() && !header.labels.is_empty() {
            self.label_text.clear();
            header::labels(header.labels, &mut self.label_text, &mut pairs);
        }
        let labels: Vec<(&[u8], &[u8])> = pairs
            .iter()
            .filter_map(|(key, value)| {
                self.label_text
                    .get(key.clone())
                    .zip(self.label_text.get(value.clone()))
            })
            .collect();
        sink.count(
            block.stack,
            &Facts {
                count: 1,
                delay_nanoseconds: 0,
                wait_reason: Some(header.wait_reason),
                waited_minutes: header.minutes,
                leaked: header.leaked,
                not_started: block.at_entry && header.wait_reason == b"runnable",
                created_by: block.created_by,
                id: Some(header.id),
                labels: &labels,
            },
        );
    }
}

impl Block {
    fn clear(&mut self) {
        self.frames.clear();
        *self = Self {
            frames: std::mem::take(&mut self.frames),
            ..Self::default()
        };
    }

    fn known<S: Sink>(&self, sink: &mut S) -> Known {
        let silently_cut = !self.elided && self.frames.len() >= SILENT_CUT_FRAMES;
        let stack = sink.stack(Stack {
            frames: &self.frames,
            leaf: Leaf::Stated,
            root_cut: self.root_cut || silently_cut,
        });
        Known {
            stack,
            created_by: self.created_by,
            at_entry: self.at_entry && self.frames.len() == 1,
        }
    }
}
