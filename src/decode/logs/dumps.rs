//! Lines of logs in, dumps out: which lines belong to a dump, where one ends and the next begins, and which of them is
//! the one that was asked for.
//!
//! Nothing is guessed: a line that can only be of something else is skipped and counted, and where a dump's own lines
//! do not fit together any more, they are handed on as they are, for the decoder to count the damage.

use super::kind::{Kind, bare_place, kind};
use super::open::{Done, Open, Text};
use super::{Choice, printable};
use crate::profile::Sink;

/// Examples kept of lines that were skipped, and their length.
const EXAMPLES: usize = 2;
const EXAMPLE_CHARS: usize = 80;
/// A line that is damage wherever it stands in a dump.
const MISSING: &[u8] = b"\tlines are missing here";

/// Where the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between goroutines, or in no dump at all; whether the last line was a call.
    Outside { call: bool },
    /// In frames without a header, which were counted as damage already, or belong to no goroutine.
    Orphans,
    /// In a goroutine; whether the last of its lines was a call, whose place follows.
    Block { awaiting: bool },
    /// In a profile with counts; whether in one of its stacks.
    Counts { open: bool },
}

/// Takes lines and reads the dumps in them.
#[derive(Debug)]
pub(super) struct Dumps<S, F> {
    make: F,
    choice: Choice,
    state: State,
    current: Option<Open<S>>,
    chosen: Option<Done<S>>,
    found: u32,
    /// The header of a running goroutine, until it is known whether a dump begins with it.
    held: Option<(Vec<u8>, u64)>,
    /// A word alone, which is a call if a place follows right below.
    word: Option<Vec<u8>>,
    /// The goroutine or counted stack being read must have calls, and none came yet.
    bare: bool,
    /// The goroutine being read has calls.
    calls: bool,
    /// The next header begins a dump.
    fresh: bool,
    /// The last line was `-----`.
    dashes: bool,
    /// Goroutines that lack their beginning, before the first dump or the next.
    orphans: u64,
    damaged: u64,
    skipped: u64,
    examples: Vec<String>,
}

/// What [`Dumps::finish`] knows.
#[derive(Debug)]
pub(super) struct Finished<S> {
    pub(super) chosen: Option<Done<S>>,
    pub(super) found: u32,
    pub(super) damaged: u64,
    pub(super) skipped: u64,
    pub(super) examples: Vec<String>,
}

impl<S: Sink, F: FnMut() -> S> Dumps<S, F> {
    pub(super) fn new(choice: Choice, make: F) -> Self {
        Self {
            make,
            choice,
            state: State::Outside { call: false },
            current: None,
            chosen: None,
            found: 0,
            held: None,
            word: None,
            bare: false,
            calls: false,
            fresh: false,
            dashes: false,
            orphans: 0,
            damaged: 0,
            skipped: 0,
            examples: Vec::new(),
        }
    }

    /// Whether a goroutine or counted stack is being read.
    pub(super) fn inside(&self) -> bool {
        matches!(self.state, State::Block { .. } | State::Counts { .. })
    }

    /// Takes a whole line.
    pub(super) fn line(&mut self, line: &[u8]) {
        let kind = kind(line);
        match kind {
            Kind::Place(place) => self.place(line, place),
            Kind::Call if matches!(self.state, State::Block { .. }) => self.call(line),
            Kind::Blank => self.blank(),
            Kind::Header(id, running) => self.header(line, id, running),
            Kind::BrokenHeader => self.broken_header(line),
            Kind::Total => self.total(line),
            Kind::Banner => {
                self.end_block();
                let next_thread = std::mem::take(&mut self.dashes) && line.starts_with(b"SIG");
                self.fresh = !next_thread;
                if let Some(open) = &mut self.current {
                    open.threads |= next_thread;
                }
            }
            Kind::Dashes => {
                self.end_block();
                self.dashes = true;
            }
            Kind::RuntimeStack => {
                self.end_block();
                self.state = State::Orphans;
            }
            _ => match self.state {
                State::Block { .. } => self.in_block(line, kind),
                State::Counts { open } => self.in_counts(line, kind, open),
                State::Outside { .. } | State::Orphans => self.outside(line, kind),
            },
        }
    }

    /// A line that something else says is none of a dump.
    pub(super) fn skip(&mut self, line: &[u8]) {
        self.skipped += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(printable(line, EXAMPLE_CHARS));
        }
    }

    /// The text that is read ends here, in a field of a log line: nothing below belongs to its last goroutine.
    pub(super) fn end(&mut self) {
        self.blank();
    }

    /// A line, or several, of what is being read are missing here, or cannot be told from others.
    pub(super) fn torn(&mut self) {
        match self.state {
            State::Block { .. } => {
                self.release(false);
                self.drop_word();
                self.emit(MISSING);
                self.end_block();
            }
            State::Counts { open: true } => {
                self.emit(MISSING);
                self.blank();
            }
            State::Counts { open: false } | State::Outside { .. } | State::Orphans => {}
        }
    }

    /// Another process writes from here on: its goroutines are another dump.
    pub(super) fn other_process(&mut self) {
        self.torn();
        self.fresh = true;
    }

    /// A goroutine whose beginning is not there.
    pub(super) fn orphan(&mut self) {
        if let Some(open) = &mut self.current {
            open.damage += 1;
        } else {
            self.orphans += 1;
        }
        self.damaged += 1;
    }

    /// Takes the beginning of a line where the text ends, and says what was found.
    pub(super) fn finish(mut self, cut: Option<&[u8]>) -> Finished<S> {
        if let Some(cut) = cut {
            let kind = kind(cut);
            match (self.state, kind) {
                // Where a field was cut between two lines, the decoder is told by what it cannot take for more.
                (State::Block { .. }, Kind::Blank) => self.cut(b"\t"),
                (State::Counts { open: true }, Kind::Blank) => self.cut(b"#"),
                (_, Kind::Blank) => {}
                (State::Block { .. } | State::Counts { open: true }, _) => self.cut(cut),
                (State::Counts { .. }, Kind::Other | Kind::Word | Kind::Chatter) => self.skip(cut),
                (State::Counts { .. }, _) | (_, Kind::BrokenHeader) => self.cut(cut),
                (_, Kind::Header(id, _)) => {
                    if self.begins_again(id) {
                        self.open(Text::blocks());
                    }
                    self.cut(cut);
                }
                (_, Kind::Total) => {
                    self.open(Text::counts());
                    self.cut(cut);
                }
                _ if b"goroutine ".starts_with(cut) || cut.starts_with(b"goroutine ") => {
                    self.cut(cut);
                }
                _ => self.line(cut),
            }
        }
        self.release(false);
        self.drop_word();
        if cut.is_none() {
            self.end_bare();
        }
        self.close();
        Finished {
            chosen: self.chosen,
            found: self.found,
            damaged: self.damaged,
            skipped: self.skipped,
            examples: self.examples,
        }
    }

    fn cut(&mut self, line: &[u8]) {
        self.release(false);
        if let Some(word) = self.word.take() {
            self.emit(&word);
        }
        if let Some(open) = &mut self.current {
            open.push_cut(line);
        }
    }

    fn blank(&mut self) {
        self.end_block();
        match self.state {
            State::Counts { open: true } => {
                self.end_bare();
                self.emit(b"");
                self.state = State::Counts { open: false };
            }
            State::Counts { open: false } => {}
            _ => self.state = State::Outside { call: false },
        }
    }

    /// Ends the goroutine that is being read, if one is.
    fn end_block(&mut self) {
        if let State::Block { .. } = self.state {
            self.release(false);
            self.drop_word();
            self.end_bare();
            self.emit(b"");
            self.state = State::Outside { call: false };
        }
    }

    fn header(&mut self, line: &[u8], id: u64, running: bool) {
        self.end_block();
        self.dashes = false;
        let again = self.begins_again(id);
        self.state = State::Block { awaiting: false };
        if again {
            self.open(Text::blocks());
        } else if running && self.current.as_ref().is_some_and(|open| !open.threads) {
            // In a dump of all goroutines, only the one that writes it runs, and it stands first. Others that run say
            // that they do so on another thread.
            self.held = Some((line.to_vec(), id));
            return;
        }
        self.begin(line, id);
    }

    /// Whether a header with this id begins a dump, whatever else is in it.
    fn begins_again(&mut self, id: u64) -> bool {
        let fresh = std::mem::take(&mut self.fresh);
        match &self.current {
            Some(open) if open.is_blocks() => fresh || open.begins_again(id),
            _ => true,
        }
    }

    fn begin(&mut self, line: &[u8], id: u64) {
        self.calls = false;
        if let Some(open) = &mut self.current {
            open.note(id);
            open.push_line(line);
        }
    }

    /// Decides where the header that is held belongs.
    fn release(&mut self, begins: bool) {
        if let Some((line, id)) = self.held.take() {
            if begins {
                self.open(Text::blocks());
            }
            self.begin(&line, id);
        }
    }

    fn broken_header(&mut self, line: &[u8]) {
        if matches!(self.state, State::Counts { .. }) {
            self.skip(line);
            return;
        }
        self.end_block();
        if self.current.is_none() {
            self.open(Text::blocks());
        }
        self.emit(line);
        self.emit(b"");
        self.state = State::Outside { call: false };
    }

    fn total(&mut self, line: &[u8]) {
        self.end_block();
        self.end_bare();
        self.open(Text::counts());
        self.emit(line);
        self.state = State::Counts { open: true };
    }

    fn call(&mut self, line: &[u8]) {
        self.release(true);
        self.has_calls();
        self.drop_word();
        self.emit(line);
        self.state = State::Block { awaiting: true };
    }

    fn place(&mut self, line: &[u8], place: &[u8]) {
        match self.state {
            State::Block { .. } => {
                self.release(false);
                self.has_calls();
                if let Some(word) = self.word.take() {
                    // It may be a call of C, or any line between a call and its place; the decoder says damage then.
                    self.emit(&word);
                }
                if let Some(open) = &mut self.current {
                    open.push_place(place);
                }
                self.state = State::Block { awaiting: false };
            }
            State::Outside { call: true } => {
                self.orphan();
                self.state = State::Orphans;
            }
            State::Orphans => {}
            State::Outside { call: false } | State::Counts { .. } => self.skip(line),
        }
    }

    fn in_block(&mut self, line: &[u8], kind: Kind<'_>) {
        let State::Block { awaiting } = self.state else {
            return;
        };
        match kind {
            Kind::Creator => {
                self.release(false);
                self.drop_word();
                self.emit(line);
                self.state = State::Block { awaiting: true };
            }
            Kind::Elsewhere(text) => {
                self.release(false);
                self.has_calls();
                self.drop_word();
                if let Some(open) = &mut self.current {
                    open.push_place(text);
                }
            }
            Kind::Remark | Kind::Tabbed => {
                self.release(false);
                self.drop_word();
                self.emit(line);
            }
            Kind::Word => {
                self.drop_word();
                self.word = Some(line.to_vec());
            }
            Kind::Chatter => self.drop_word(),
            _ if awaiting && bare_place(line) => self.place(line, line),
            _ => {
                self.drop_word();
                self.skip(line);
                self.bare |= !self.calls;
            }
        }
    }

    fn has_calls(&mut self) {
        (self.calls, self.bare) = (true, false);
    }

    /// Says that calls are missing where there must be some: their lines are there, and were not understood.
    fn end_bare(&mut self) {
        if std::mem::take(&mut self.bare) {
            self.emit(MISSING);
        }
    }

    fn in_counts(&mut self, line: &[u8], kind: Kind<'_>, open: bool) {
        match kind {
            Kind::Counted => {
                if open && self.current.as_ref().is_some_and(Open::has_stacks) {
                    self.end_bare();
                    self.emit(b"");
                }
                self.emit(line);
                // Only a goroutine that has not run yet has one address and no call.
                self.bare = memchr::memmem::find_iter(line, b"0x").nth(1).is_some();
                if let Some(current) = &mut self.current {
                    current.note(0);
                }
                self.state = State::Counts { open: true };
            }
            Kind::CountedFrame => {
                self.state = State::Counts { open: true };
                self.bare &= memchr::memmem::find(line, b"0x").is_none();
                if let Some(current) = &mut self.current {
                    current.push_counted(line);
                }
            }
            _ => self.skip(line),
        }
    }

    fn outside(&mut self, line: &[u8], kind: Kind<'_>) {
        match kind {
            Kind::Call | Kind::Creator if self.state != State::Orphans => {
                self.state = State::Outside { call: true };
            }
            Kind::Chatter => {}
            Kind::Call | Kind::Creator | Kind::Remark if self.state == State::Orphans => {}
            _ => self.skip(line),
        }
    }

    /// The word that is held was a line of its own.
    fn drop_word(&mut self) {
        if let Some(word) = self.word.take() {
            self.skip(&word);
        }
    }

    fn emit(&mut self, line: &[u8]) {
        if let Some(open) = &mut self.current {
            open.push_line(line);
        }
    }

    /// Ends the dump that is being read and begins another.
    fn open(&mut self, text: Text) {
        self.end_bare();
        self.close();
        self.found = self.found.saturating_add(1);
        let mut open = match (self.choice, self.chosen.take()) {
            (Choice::All, Some(done)) => Open::after(done, text),
            (_, chosen) => {
                self.chosen = chosen;
                Open::new(self.found, (self.make)(), text)
            }
        };
        // A dump that lacks its start lacks an unknown number of goroutines.
        open.damage += self.orphans;
        open.start_cut = std::mem::take(&mut self.orphans) > 0;
        self.current = Some(open);
    }

    fn close(&mut self) {
        let Some(done) = self.current.take().and_then(Open::close) else {
            return;
        };
        self.damaged = self.damaged.saturating_add(done.own_damage);
        let keep = match (self.choice, &self.chosen) {
            (Choice::Number(number), _) => done.number == number,
            (Choice::Best, Some(chosen)) => done.rank() >= chosen.rank(),
            (Choice::Best | Choice::All, _) => true,
        };
        if keep {
            self.chosen = Some(done);
        }
    }
}
