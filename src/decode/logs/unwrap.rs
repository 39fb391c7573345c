//! Lines as loggers and collectors wrap them in, lines as the program wrote them out.
//!
//! Three wrappers are known by their shape: Docker's JSON, the CRI's, and journald's JSON. Anything else is learnt where
//! it stands in front of `goroutine 7 [select]:`, which nothing but a dump contains: what precedes it on its line is
//! either within an open quote, then the dump's lines are in that string, or is a prefix, and the lines below have the
//! same, or the start of it, or none (loggers that write several lines put theirs before the first only).

use memchr::memmem;

use super::dumps::Dumps;
use super::escapes::{self, Unescaped, unescape};
use super::kind::{Kind, is_total, kind};
use super::lines::{End, LINE_BYTES};
use super::shape::{Shape, name};
use crate::profile::Sink;

/// How often a line is unwrapped: JSON of a collector, JSON of a logger, a prefix, colours.
const LAYERS: usize = 6;
/// How often `goroutine` is looked at in one line.
const CANDIDATES: usize = 8;
/// The names kept of wrappers that were met.
const NAMES: usize = 8;
/// Lines before the first header kept to see whether a goroutine without one precedes it, and their length.
const RECENT: usize = 4;
const RECENT_BYTES: usize = 1 << 10;
/// Lines below a header that are tried for the start of its prefix.
const TRIES: u8 = 8;
/// The longest name of a field that is learnt.
const FIELD_BYTES: usize = 64;

/// What a line turned out to be.
enum Step {
    /// A line of text that starts here.
    Text(usize),
    /// More text, which was wrapped; whether all of it is there.
    Inner(Vec<u8>, bool),
    /// Nothing, yet.
    Nothing,
}

/// Text from within a line.
struct Inner {
    text: Vec<u8>,
    at: usize,
    complete: bool,
    lines: u64,
}

/// A field of structured log lines: the bytes before its value.
#[derive(Debug)]
struct Field {
    key: Vec<u8>,
    json: bool,
}

/// What was learnt of the wrappers of a text.
#[derive(Debug, Default)]
pub(super) struct Unwrapper {
    field: Option<Field>,
    /// The prefix before headers, and the part of it that stands before other lines.
    full: Option<Shape>,
    short: Option<Shape>,
    /// The prefix as it was, until it is known which part of it the next lines have.
    prefix: Vec<u8>,
    /// How many more lines are tried.
    tries: u8,
    /// Whether lines below a header had the prefix.
    confirmed: bool,
    /// Lines that come in parts, of standard error and of other streams.
    parts: [Vec<u8>; 2],
    recent: Vec<Vec<u8>>,
    names: Vec<String>,
}

impl Unwrapper {
    /// The wrappers that were met, in the words of their users.
    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }

    /// Takes a line as it stands in the text, and hands on the lines in it. Returns the beginning of a line that the
    /// end of the text cut.
    pub(super) fn line<S: Sink, F: FnMut() -> S>(
        &mut self,
        raw: &[u8],
        end: End,
        dumps: &mut Dumps<S, F>,
    ) -> Option<Vec<u8>> {
        let mut inner: Vec<Inner> = Vec::new();
        match self.step(raw, 0, end == End::Whole, dumps) {
            Step::Text(at) => {
                let text = raw.get(at..).unwrap_or_default();
                match end {
                    End::Whole => self.hand_on(text, dumps),
                    End::Text => return Some(text.to_vec()),
                    End::Dropped => dumps.torn(),
                }
                return None;
            }
            Step::Inner(text, complete) => inner.push(Inner::new(text, complete)),
            Step::Nothing => {}
        }
        while let Some(mut top) = inner.pop() {
            let depth = inner.len() + 1;
            let Some((line, whole)) = top.next() else {
                if top.lines > 1 {
                    dumps.end();
                }
                continue;
            };
            let line = top.text.get(line).unwrap_or_default();
            match self.step(line, depth, whole, dumps) {
                Step::Text(at) => {
                    let text = line.get(at..).unwrap_or_default();
                    match end {
                        _ if whole => self.hand_on(text, dumps),
                        End::Text => return Some(text.to_vec()),
                        End::Whole | End::Dropped => dumps.torn(),
                    }
                    inner.push(top);
                }
                Step::Inner(text, complete) => {
                    inner.push(top);
                    inner.push(Inner::new(text, complete));
                }
                Step::Nothing => inner.push(top),
            }
        }
        None
    }

    fn hand_on<S: Sink, F: FnMut() -> S>(&mut self, text: &[u8], dumps: &mut Dumps<S, F>) {
        if self.full.is_none() && self.field.is_none() && !dumps.inside() {
            if self.recent.len() == RECENT {
                self.recent.remove(0);
            }
            self.recent
                .push(text.get(..RECENT_BYTES).unwrap_or(text).to_vec());
        }
        dumps.line(text.trim_ascii_end());
    }

    fn step<S: Sink, F: FnMut() -> S>(
        &mut self,
        line: &[u8],
        depth: usize,
        whole: bool,
        dumps: &mut Dumps<S, F>,
    ) -> Step {
        if depth >= LAYERS {
            return Step::Text(0);
        }
        if let Some(step) = self.known(line, whole) {
            return step;
        }
        if let Some(text) = escapes::without_colours(line) {
            return inner(text, whole);
        }
        if let Some(length) = self.full.as_ref().and_then(|shape| shape.length(line)) {
            let rest = line.get(length..).unwrap_or_default();
            let header = rest.starts_with(b"goroutine ");
            self.confirmed |= !header;
            if header {
                self.retry_prefix(line, length);
            }
            return Step::Text(length);
        }
        if let Some(length) = self.short.as_ref().and_then(|shape| shape.length(line)) {
            return Step::Text(length);
        }
        if let Some(field) = &self.field
            && let Some(value) = field.value(line, whole)
        {
            return inner(value.text, value.complete);
        }
        if line.ends_with(b")") || line.starts_with(b"\t/") || line.is_empty() {
            return match self.shorter(line) {
                Some(length) => Step::Text(length),
                None => Step::Text(0),
            };
        }
        self.learn(line, dumps)
    }

    /// Wrappers that are known by their shape.
    fn known(&mut self, line: &[u8], whole: bool) -> Option<Step> {
        match line.first()? {
            b'{' => {
                let docker = line.strip_prefix(b"{\"log\":\"");
                if let Some(value) = docker {
                    let value = unescape(value);
                    self.name("docker JSON");
                    let stream =
                        usize::from(memmem::find(line, b"\"stream\":\"stderr\"").is_none());
                    return Some(self.part(stream, value.text, value.complete));
                }
                let at = memmem::find(line, b"\"MESSAGE\"")?;
                let value = line.get(at + b"\"MESSAGE\"".len()..)?.trim_ascii_start();
                let value = value.strip_prefix(b":")?.trim_ascii_start();
                self.name("journald JSON");
                match value.split_first()? {
                    (b'"', value) => {
                        let value = unescape(value);
                        Some(inner(value.text, value.complete))
                    }
                    (b'[', value) => Some(match escapes::bytes(value) {
                        Some(text) => inner(text, true),
                        None => inner(Vec::new(), false),
                    }),
                    _ => Some(Step::Nothing),
                }
            }
            b'0'..=b'9' => {
                let (stream, partial, text) = cri(line)?;
                self.name("CRI");
                let held = self.parts.get(stream).is_some_and(|held| !held.is_empty());
                if !partial && !held {
                    return Some(inner(text.to_vec(), whole));
                }
                let mut text = text.to_vec();
                if !partial && whole {
                    text.push(b'\n');
                }
                Some(self.part(stream, text, whole))
            }
            _ => None,
        }
    }

    /// Takes text that is a whole line only if it ends as one; else the next text of the stream continues it.
    fn part(&mut self, stream: usize, mut text: Vec<u8>, complete: bool) -> Step {
        let Some(held) = self.parts.get_mut(stream) else {
            return Step::Nothing;
        };
        if !held.is_empty() {
            held.append(&mut text);
            text = std::mem::take(held);
        }
        if text.ends_with(b"\n") || !complete || text.len() > LINE_BYTES {
            let complete = complete && text.ends_with(b"\n");
            Step::Inner(text, complete)
        } else {
            *held = text;
            Step::Nothing
        }
    }

    /// Hands on lines whose last part never came.
    pub(super) fn finish<S: Sink, F: FnMut() -> S>(
        &mut self,
        dumps: &mut Dumps<S, F>,
    ) -> Option<Vec<u8>> {
        let mut cut = None;
        for stream in 0..self.parts.len() {
            let part = self.parts.get_mut(stream).map(std::mem::take);
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                cut = self.line(&part, End::Text, dumps).or(cut);
            }
        }
        cut
    }

    /// Whether a line has the start of the prefix that stood before a header, and is of a dump then. What it has is
    /// remembered.
    fn shorter(&mut self, line: &[u8]) -> Option<usize> {
        if self.tries == 0 {
            return None;
        }
        self.tries -= 1;
        let fits = |shape: &Shape| {
            let length = shape.length(line)?;
            let rest = line.get(length..).unwrap_or_default();
            let of_dump = matches!(kind(rest), Kind::Call | Kind::Place(_) | Kind::Elsewhere(_));
            Some(length).filter(|_| of_dump)
        };
        let found = Shape::shorter(&self.prefix).find_map(|shape| {
            let length = fits(&shape)?;
            Some((shape, length))
        });
        let (shape, length) = found?;
        self.tries = 0;
        self.short = Some(shape);
        self.confirmed = true;
        Some(length)
    }

    fn retry_prefix(&mut self, line: &[u8], length: usize) {
        if !self.confirmed && self.short.is_none() {
            self.prefix = line.get(..length).unwrap_or_default().to_vec();
            self.tries = TRIES;
        }
    }

    /// Looks for a header in a line, and learns what stands before it.
    fn learn<S: Sink, F: FnMut() -> S>(&mut self, line: &[u8], dumps: &mut Dumps<S, F>) -> Step {
        for at in memmem::find_iter(line, b"goroutine").take(CANDIDATES) {
            let text = line.get(at..).unwrap_or_default();
            if at == 0 || !may_be_header(text) {
                continue;
            }
            if let Some(quote) = escapes::open_quote(line, at) {
                let value = unescape(line.get(quote + 1..).unwrap_or_default());
                let field = Field::before(line, quote);
                self.name(&field.as_ref().map_or_else(
                    || "quoted text".to_owned(),
                    |field| format!("field {}", super::printable(&field.key, 40)),
                ));
                if let Some(field) = field {
                    self.precedes(dumps, |line| {
                        field.value(line, true).map(|value| value.text)
                    });
                    self.field = Some(field);
                }
                return inner(value.text, value.complete);
            }
            if !matches!(kind(text.trim_ascii_end()), Kind::Header(..)) && !is_total(text) {
                continue;
            }
            let prefix = line.get(..at).unwrap_or_default();
            let shape = Shape::new(prefix);
            if shape != self.full {
                if self.full.is_some() && self.confirmed {
                    dumps.other_process();
                }
                if let Some(shape) = &shape {
                    self.name(&name(prefix));
                    self.precedes(dumps, |line| {
                        let length = shape.length(line)?;
                        line.get(length..).map(<[u8]>::to_vec)
                    });
                }
                self.full = shape;
                self.short = None;
                self.confirmed = false;
                self.prefix = prefix.to_vec();
                self.tries = TRIES;
            }
            return Step::Text(at);
        }
        Step::Text(self.shorter(line).unwrap_or(0))
    }

    /// Whether the lines before the first header, unwrapped as it is, are of a goroutine whose header is not there.
    fn precedes<S: Sink, F: FnMut() -> S>(
        &mut self,
        dumps: &mut Dumps<S, F>,
        unwrap: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) {
        for line in std::mem::take(&mut self.recent).iter().rev() {
            let Some(text) = unwrap(line) else { return };
            match kind(text.trim_ascii_end()) {
                Kind::Blank => {}
                Kind::Place(_) | Kind::Call | Kind::Creator => {
                    dumps.orphan();
                    return;
                }
                _ => return,
            }
        }
    }

    fn name(&mut self, name: &str) {
        if self.names.len() < NAMES && !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
    }
}

impl Inner {
    fn new(text: Vec<u8>, complete: bool) -> Self {
        Self {
            text,
            at: 0,
            complete,
            lines: 0,
        }
    }

    /// The next line, and whether it is whole.
    fn next(&mut self) -> Option<(std::ops::Range<usize>, bool)> {
        let rest = self.text.get(self.at..)?;
        let start = self.at;
        let end = memchr::memchr(b'\n', rest);
        let whole = end.is_some();
        if rest.is_empty() && self.complete {
            return None;
        }
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.lines += 1;
        self.at = end.map_or(self.text.len() + 1, |end| start + end + 1);
        Some((start..start + line.len(), whole))
    }
}

impl Field {
    /// The field whose value begins with the quote that stands at `quote`.
    fn before(line: &[u8], quote: usize) -> Option<Self> {
        let before = line.get(..quote)?;
        let (key, json) = if let Some(key) = before.strip_suffix(b"=") {
            let start = key.iter().rposition(u8::is_ascii_whitespace);
            (key.get(start.map_or(0, |at| at + 1)..)?, false)
        } else {
            let key = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
            let key = key.strip_suffix(b"\"")?;
            (key.get(memchr::memrchr(b'"', key)? + 1..)?, true)
        };
        let good = !key.is_empty() && key.len() <= FIELD_BYTES;
        good.then(|| Self {
            key: key.to_vec(),
            json,
        })
    }

    /// The value in a line, which is whole or cut.
    fn value(&self, line: &[u8], whole: bool) -> Option<Unescaped> {
        let key = if self.json {
            [b"\"", &*self.key, b"\""].concat()
        } else {
            [&*self.key, b"="].concat()
        };
        let at = memmem::find(line, &key)?;
        let before = at.checked_sub(1).and_then(|at| line.get(at));
        let mut rest = line.get(at + key.len()..)?;
        if self.json {
            rest = rest
                .trim_ascii_start()
                .strip_prefix(b":")?
                .trim_ascii_start();
        } else if before.is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return None;
        }
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            return Some(unescape(quoted));
        }
        // Loggers that write key=value quote only what needs it.
        let end = rest
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(rest.len());
        Some(Unescaped {
            text: rest.get(..end).filter(|_| !self.json)?.to_vec(),
            complete: whole || end < rest.len(),
        })
    }
}

/// Whether a text goes on as the first line of a goroutine or of a profile does.
fn may_be_header(text: &[u8]) -> bool {
    if text.starts_with(b"goroutine profile: total ")
        || text.starts_with(b"goroutineleak profile: total ")
    {
        return true;
    }
    let rest = text.strip_prefix(b"goroutine ").unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let state = rest.get(digits..).unwrap_or_default();
    digits > 0 && (state.starts_with(b" [") || state.starts_with(b" gp="))
}

/// `2026-11-25T01:02:03.123456789Z stderr F text`: the stream, whether more of the line follows, and the text.
fn cri(line: &[u8]) -> Option<(usize, bool, &[u8])> {
    if line.get(4) != Some(&b'-') || line.get(10) != Some(&b'T') {
        return None;
    }
    let space = memchr::memchr(b' ', line)?;
    let rest = line.get(space + 1..)?;
    let (stream, rest) = match rest.strip_prefix(b"stderr ") {
        Some(rest) => (0, rest),
        None => (1, rest.strip_prefix(b"stdout ")?),
    };
    let (partial, rest) = match rest {
        [b'F', rest @ ..] => (false, rest),
        [b'P', rest @ ..] => (true, rest),
        _ => return None,
    };
    match rest {
        [] => Some((stream, partial, rest)),
        [b' ', rest @ ..] => Some((stream, partial, rest)),
        _ => None,
    }
}

/// A text that was wrapped in a line; one that is whole ends as a line does.
fn inner(mut text: Vec<u8>, complete: bool) -> Step {
    if complete && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    Step::Inner(text, complete)
}
