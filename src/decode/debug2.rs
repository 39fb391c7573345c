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
//! read in Go 1.19 to 1.27. Goroutines are counted as they come; a stack met before costs one hash of its text.
//! A block that does not read costs itself: the next header is looked for from there on.

mod block;
mod header;
mod seen;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::DecodeError;
use super::text::{self, Lines, Section, Sections};
use crate::profile::{Encoding, Facts, FrameId, FrameText, Leaf, Sink, Stack, StackId, Summary};
use block::{Block, Call};
use header::Header;
use seen::Seen;

pub(super) use header::unquote;

/// The number in a header, and whether the goroutine is running; otherwise as [`header::parse`].
pub(super) fn header(line: &[u8]) -> Option<Result<(u64, bool), ()>> {
    header::parse(line)
        .map(|header| header.map(|header| (header.id, header.wait_reason == b"running")))
}

/// Where Go cuts a dump without a word: the largest buffer net/http/pprof tries (runtime/pprof/pprof.go,
/// `writeGoroutineStacks`).
pub(super) const GO_CUT_BYTES: u64 = 64 << 20;
/// The most blocks remembered by the hash of their text.
const MAX_REMEMBERED: usize = 1 << 15;
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
    hasher: RandomState,
    known: HashTable<(u64, Known)>,
    seen: Seen,
    calls: Vec<Call>,
    frames: Vec<FrameId>,
    label_text: Vec<u8>,
    headers: u64,
    damage: u64,
    truncated: bool,
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
                    self.truncated |= line.text.starts_with(b"goroutine ")
                        || b"goroutine ".starts_with(line.text);
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
        let mut hasher = self.hasher.build_hasher();
        let parsed = block::parse(lines, &mut self.calls, &mut hasher);
        let hash = hasher.finish();
        match parsed.block {
            _ if cut && !parsed.ended => self.truncated = true,
            Ok(block) => {
                let known = self.known.find(hash, |(known, _)| *known == hash);
                let known = known.map(|(_, known)| *known);
                // A block met before is what it was.
                match known.or_else(|| self.read(hash, &block, lines.text(), sink)) {
                    Some(known) => self.goroutine(header, &known, sink),
                    None => self.damage += 1,
                }
            }
            Err(()) => self.damage += 1,
        }
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

    /// What a block says; nothing when a location in it does not read.
    fn read<S: Sink>(
        &mut self,
        hash: u64,
        block: &Block<'_>,
        text: &[u8],
        sink: &mut S,
    ) -> Option<Known> {
        self.frames.clear();
        for call in &self.calls {
            self.frames.push(sink.frame(call.frame(text)?));
        }
        let silently_cut = !block.elided && self.calls.len() >= SILENT_CUT_FRAMES;
        let stack = sink.stack(Stack {
            frames: &self.frames,
            leaf: Leaf::Stated,
            root_cut: block.root_cut || silently_cut,
        });
        let created_by = block.created_by.map(|(function, location)| {
            let (file, line, _) = text::location(location).unwrap_or_default();
            sink.frame(FrameText {
                function,
                file,
                line,
            })
        });
        let at_entry = matches!(self.calls.as_slice(), [only] if only.at_entry(text));
        let read = Known {
            stack,
            created_by,
            at_entry,
        };
        if stack != StackId::TRANSIENT && self.known.len() < MAX_REMEMBERED {
            self.known
                .insert_unique(hash, (hash, read), |(hash, _)| *hash);
        }
        Some(read)
    }
}
