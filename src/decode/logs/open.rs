//! One dump on its way from clean lines into a sink.

use crate::decode::debug1::Debug1;
use crate::decode::debug2::Debug2;
use crate::decode::text::location;
use crate::profile::{Facts, FrameId, FrameText, HiddenId, Leaf, Sink, Stack, StackId, Summary};

/// Clean lines gathered before they are decoded.
const PIECE_BYTES: usize = 64 << 10;
/// The ids remembered of the start of a dump: those by which it is known to begin again.
const FIRST_IDS: usize = 8;
/// The headers after which the one of the main goroutine can only be another dump's: Go prints the writer first and
/// the others in the order they were made.
const MAIN_AMONG_FIRST: u64 = 3;

/// The decoder of a dump.
#[derive(Debug)]
pub(super) enum Text {
    Counts(Box<Debug1>),
    Blocks(Box<Debug2>),
}

impl Text {
    pub(super) fn counts() -> Self {
        Self::Counts(Box::default())
    }

    pub(super) fn blocks() -> Self {
        Self::Blocks(Box::default())
    }
}

/// A dump that is being read.
#[derive(Debug)]
pub(super) struct Open<S> {
    number: u32,
    sink: S,
    text: Text,
    clean: Vec<u8>,
    first_ids: Vec<u64>,
    /// Headers or counted stacks so far, goroutines 0 aside.
    records: u64,
    /// Another thread printed its part of the same dump: goroutines may come again.
    pub(super) threads: bool,
    /// The dump begins in the middle.
    pub(super) start_cut: bool,
    /// Records that were found damaged before they reached the decoder.
    pub(super) damage: u64,
    /// The first number of a run of hidden addresses of this dump, and of the next.
    hidden: u16,
    next_hidden: u16,
    before: Option<Summary>,
}

/// A dump that was read.
#[derive(Debug)]
pub(super) struct Done<S> {
    pub(super) number: u32,
    pub(super) sink: S,
    pub(super) summary: Summary,
    /// The damage the decoder found in this dump alone.
    pub(super) own_damage: u64,
    several: bool,
    hidden: u16,
}

impl<S> Done<S> {
    /// A dump of several goroutines says more than the stack of one that panicked, and a whole one more than one that
    /// is cut.
    pub(super) fn rank(&self) -> (bool, bool) {
        (self.several, !self.summary.truncated)
    }
}

impl<S: Sink> Open<S> {
    pub(super) fn new(number: u32, sink: S, text: Text) -> Self {
        Self {
            number,
            sink,
            text,
            clean: Vec::new(),
            first_ids: Vec::new(),
            records: 0,
            threads: false,
            start_cut: false,
            damage: 0,
            hidden: 0,
            next_hidden: 0,
            before: None,
        }
    }

    /// Adds a dump to what another was counted into.
    pub(super) fn after(done: Done<S>, text: Text) -> Self {
        let mut open = Self::new(done.number.saturating_add(1), done.sink, text);
        (open.hidden, open.next_hidden) = (done.hidden, done.hidden);
        open.before = Some(done.summary);
        open
    }

    pub(super) fn is_blocks(&self) -> bool {
        matches!(self.text, Text::Blocks(_))
    }

    pub(super) fn has_stacks(&self) -> bool {
        self.records > 0
    }

    /// Whether a header with this id can only be of another dump.
    pub(super) fn begins_again(&self, id: u64) -> bool {
        let main = id == 1 && self.records >= MAIN_AMONG_FIRST;
        !self.threads && id != 0 && (main || self.first_ids.contains(&id))
    }

    pub(super) fn note(&mut self, id: u64) {
        if id != 0 || !self.is_blocks() {
            self.records += 1;
        }
        if id != 0 && self.first_ids.len() < FIRST_IDS {
            self.first_ids.push(id);
        }
    }

    pub(super) fn push_line(&mut self, line: &[u8]) {
        self.clean.extend_from_slice(line);
        self.clean.push(b'\n');
        if self.clean.len() >= PIECE_BYTES {
            self.flush();
        }
    }

    pub(super) fn push_place(&mut self, place: &[u8]) {
        self.clean.push(b'\t');
        self.push_line(place);
    }

    /// A line below a counted stack, whose tabs may have become spaces where somebody pasted it.
    pub(super) fn push_counted(&mut self, line: &[u8]) {
        if line.starts_with(b"#\t") || line.starts_with(b"# labels") {
            self.push_line(line);
            return;
        }
        if line.starts_with(b"##011") {
            let mut tabs = Vec::new();
            let mut rest = line;
            while let Some(at) = memchr::memmem::find(rest, b"#011") {
                tabs.extend_from_slice(rest.get(..at).unwrap_or_default());
                tabs.push(b'\t');
                rest = rest.get(at + 4..).unwrap_or_default();
            }
            tabs.extend_from_slice(rest);
            self.push_line(&tabs);
            return;
        }
        let rest = line.get(1..).unwrap_or_default().trim_ascii();
        let word = |text: &[u8]| {
            text.iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(text.len())
        };
        let (address, rest) = rest.split_at(word(rest));
        let rest = rest.trim_ascii_start();
        // Paths may hold spaces, names of functions do not.
        let (symbol, place) = rest.split_at(word(rest));
        let place = place.trim_ascii_start();
        if location(place).is_some() {
            self.push_line(&[b"#\t", address, b"\t", symbol, b"\t", place].concat());
        } else {
            self.push_line(&[b"#\t", address].concat());
        }
    }

    pub(super) fn push_cut(&mut self, line: &[u8]) {
        self.clean.extend_from_slice(line);
    }

    fn flush(&mut self) {
        let mut sink = Shifted {
            sink: &mut self.sink,
            by: self.hidden,
            next: self.next_hidden,
        };
        match &mut self.text {
            Text::Counts(text) => text.push(&self.clean, &mut sink),
            Text::Blocks(text) => text.push(&self.clean, &mut sink),
        }
        self.next_hidden = sink.next;
        self.clean.clear();
    }

    /// Reads the rest; `None` when there was no dump at all.
    pub(super) fn close(mut self) -> Option<Done<S>> {
        self.flush();
        let mut sink = Shifted {
            sink: &mut self.sink,
            by: self.hidden,
            next: self.next_hidden,
        };
        let several = self.records > 1 || !matches!(self.text, Text::Blocks(_));
        let summary = match self.text {
            Text::Counts(text) => text.finish(&mut sink),
            Text::Blocks(text) => text.finish(&mut sink),
        };
        let hidden = sink.next;
        let mut summary = summary.ok()?;
        let own_damage = summary.damage;
        summary.damage = summary.damage.saturating_add(self.damage);
        summary.truncated |= self.start_cut;
        if let Some(before) = self.before {
            summary.damage = summary.damage.saturating_add(before.damage);
            summary.truncated |= before.truncated;
            summary.leaked_only &= before.leaked_only;
            summary.declared_total = None;
        }
        Some(Done {
            number: self.number,
            sink: self.sink,
            summary,
            own_damage,
            several,
            hidden,
        })
    }
}

/// A sink that several dumps go to: each numbers its hidden addresses from 0 on, so those of a later one are moved.
struct Shifted<'a, S> {
    sink: &'a mut S,
    by: u16,
    next: u16,
}

impl<S> Shifted<'_, S> {
    /// The number for the sink. Too many end at one that is never revealed.
    fn shift(&mut self, id: HiddenId) -> HiddenId {
        let id = self.by.saturating_add(id.0);
        self.next = self.next.max(id.saturating_add(1));
        HiddenId(id)
    }
}

impl<S: Sink> Sink for Shifted<'_, S> {
    fn wants_labels(&self) -> bool {
        self.sink.wants_labels()
    }

    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        self.sink.frame(frame)
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        let leaf = match stack.leaf {
            Leaf::Hidden(id) => Leaf::Hidden(self.shift(id)),
            other => other,
        };
        self.sink.stack(Stack { leaf, ..stack })
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        self.sink.count(stack, facts);
    }

    fn reveal(&mut self, id: HiddenId, functions: &[&str]) {
        let id = self.shift(id);
        if id.0 < u16::MAX {
            self.sink.reveal(id, functions);
        }
    }
}
