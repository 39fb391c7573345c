//! From bytes to lines, and from lines to what counts.

use memchr::{memchr, memmem};

use super::cursor::Line;
use super::totals::{Books, Kind, Totals};
use super::{gctrace, schedtrace};

/// Bytes of a line, at most: a `SCHED` line of some thousand processors. What is longer is skipped.
pub const MAX_LINE_BYTES: usize = 64 << 10;

/// Reads one stream. Holds a line of [`MAX_LINE_BYTES`] at most, and takes memory only for lines that come in pieces.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// The begin of a line whose end has not come.
    line: Vec<u8>,
    /// Whether everything up to the next line end is passed over.
    skipping: bool,
    books: Books,
}

impl Reader {
    /// Passes over everything up to the next line end: it may be the end of something that nobody saw begin.
    pub fn skip_line(&mut self) {
        self.line.clear();
        self.skipping = true;
    }

    /// Takes the next bytes. Cost: two searches over them, and what the lines of ours in them take.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((piece, after)) = memchr(b'\n', rest).and_then(|end| split_off(rest, end)) {
            self.end_line(piece);
            rest = after;
        }
        self.hold(rest);
    }

    /// What is begun does not go on: the stream ends here, or goes on elsewhere.
    pub fn cut(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.books.line();
            self.examine(&line, false);
        }
        self.books.cut();
        self.skipping = false;
    }

    /// What came of everything so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.books.totals
    }

    fn end_line(&mut self, piece: &[u8]) {
        if !self.line.is_empty() {
            self.hold(piece);
        } else if piece.len() > MAX_LINE_BYTES && !self.skipping {
            self.too_long();
        }
        if std::mem::take(&mut self.skipping) {
            return;
        }
        self.books.line();
        if self.line.is_empty() {
            self.examine(piece, true);
        } else {
            let mut line = std::mem::take(&mut self.line);
            self.examine(&line, true);
            line.clear();
            self.line = line;
        }
    }

    /// Keeps what is no whole line yet.
    fn hold(&mut self, piece: &[u8]) {
        if self.skipping {
            return;
        }
        if self.line.len().saturating_add(piece.len()) > MAX_LINE_BYTES {
            self.line.clear();
            self.too_long();
            return;
        }
        self.line.extend_from_slice(piece);
    }

    fn too_long(&mut self) {
        self.skipping = true;
        self.books.line_too_long();
    }

    /// Looks for lines of ours in a line. Only one whose end has come can be whole. Cost: linear, since what is of all of
    /// the line is found once, and what is read of one of ours ends where the next of its kind begins: neither `gc ` nor
    /// `SCHED ` is anywhere in such a line behind its own begin.
    fn examine(&mut self, line: &[u8], ended: bool) {
        let all = Line::of(line);
        let mut begun = false;
        for at in memmem::find_iter(line, gctrace::BEGIN) {
            let Some(cursor) = all.cursor(at).filter(|at| gctrace::begins(*at)) else {
                continue;
            };
            begun = true;
            match gctrace::parse(cursor).filter(|_| ended) {
                Some(cycle) => self.books.cycle(cycle),
                None => self.books.begun(Kind::Gctrace),
            }
        }
        if gctrace::ends(line) {
            self.books.ended(Kind::Gctrace, begun);
        }
        begun = false;
        for at in memmem::find_iter(line, schedtrace::BEGIN) {
            let Some(cursor) = all.cursor(at).filter(|at| schedtrace::begins(*at)) else {
                continue;
            };
            begun = true;
            match schedtrace::parse(cursor).filter(|_| ended) {
                Some(sample) => self.books.sample(sample),
                None => self.books.begun(Kind::Schedtrace),
            }
        }
        if schedtrace::ends(line) {
            self.books.ended(Kind::Schedtrace, begun);
        }
    }
}

/// What is before a line end, and what is behind it.
fn split_off(bytes: &[u8], end: usize) -> Option<(&[u8], &[u8])> {
    let (piece, after) = bytes.split_at_checked(end)?;
    Some((piece, after.get(1..)?))
}
