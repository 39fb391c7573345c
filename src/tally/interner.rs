//! Frames and names by number, so that each is kept and judged once.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::classify::names::{display, relative_file};
use crate::classify::{FrameClass, Rules};
use crate::profile::{FrameId, FrameText};

/// The most functions kept of one profile, and the most bytes of their text, with the path of its file for each: far above
/// what stands in the stacks of real programs (some thousand), so that only made-up profiles meet them.
const MAX_FUNCTIONS: usize = 1 << 17;
const MAX_TEXT_BYTES: usize = 16 << 20;

/// Room for the functions in the stacks of most services, and for their text: a table that grows is copied each time.
const ORDINARY_FUNCTIONS: usize = 112;
const ORDINARY_TEXT_BYTES: usize = 16 << 10;

/// The frames of a profile. Text is kept and judged once for each function of a file, of which there are far fewer than
/// frames; a frame is the number of its function and its line, and takes no room.
#[derive(Debug)]
pub(super) struct Frames {
    text: Vec<u8>,
    functions: Vec<Function>,
    /// Where the paths of the files lie in the text.
    files: Vec<Span>,
    function_index: HashTable<u32>,
    file_index: HashTable<u32>,
    hasher: RandomState,
    /// The bytes of symbols and paths that were judged.
    judged: usize,
    /// The function that was asked for last.
    last: u32,
}

#[derive(Debug)]
struct Function {
    /// Where the symbol lies in the text.
    symbol: Span,
    /// The number of the file. Few files have most of the functions, so the text that is compared is nearly always at hand.
    path: u32,
    /// The function that was asked for after it: most have one caller, and stacks are told call by call.
    next: u32,
    class: FrameClass,
    /// The display name of the symbol, and of the file, once they were asked for.
    name: Option<NameId>,
    file: Option<NameId>,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of(self, text: &[u8]) -> &[u8] {
        let range = usize::try_from(self.start)
            .ok()
            .zip(usize::try_from(self.end).ok());
        range
            .and_then(|(start, end)| text.get(start..end))
            .unwrap_or_default()
    }
}

impl Frames {
    /// Stands for every frame of a function that is not kept, since there are too many.
    pub(super) const OVERFLOW: FrameId = FrameId(u64::MAX);

    pub(super) fn new() -> Self {
        Self {
            text: Vec::with_capacity(ORDINARY_TEXT_BYTES),
            functions: Vec::with_capacity(ORDINARY_FUNCTIONS),
            files: Vec::with_capacity(ORDINARY_FUNCTIONS),
            function_index: HashTable::with_capacity(ORDINARY_FUNCTIONS),
            file_index: HashTable::with_capacity(ORDINARY_FUNCTIONS),
            hasher: RandomState::default(),
            judged: 0,
            last: 0,
        }
    }

    pub(super) fn intern(&mut self, frame: FrameText<'_>, rules: &Rules) -> FrameId {
        let function = self.function(frame.function, frame.file, rules);
        function.map_or(Self::OVERFLOW, |function| {
            Self::at_line(function, frame.line)
        })
    }

    /// The frame at a line of a function that [`function`](Self::function) has numbered.
    pub(super) fn at_line(function: u32, line: u32) -> FrameId {
        FrameId((u64::from(function) << 32) | u64::from(line))
    }

    /// The number of a function of a file; nothing where there is no room for its text. Cost: its text is compared with that
    /// of the one that is foreseen, where it is another hashed and compared once more, and where it is new kept and judged.
    pub(super) fn function(&mut self, symbol: &[u8], file: &[u8], rules: &Rules) -> Option<u32> {
        let foreseen = at(&self.functions, self.last).map(|last| last.next);
        if let Some(number) =
            foreseen.filter(|&number| self.text_of(number) == Some((symbol, file)))
        {
            self.last = number;
            return Some(number);
        }
        let number = self.find(symbol, file, rules)?;
        let last = std::mem::replace(&mut self.last, number);
        if let Some(last) = self.of_mut(last) {
            last.next = number;
        }
        Some(number)
    }

    fn find(&mut self, symbol: &[u8], file: &[u8], rules: &Rules) -> Option<u32> {
        let hash = hash_text(&self.hasher, symbol, file);
        let same = |&known: &u32| self.text_of(known) == Some((symbol, file));
        if let Some(&known) = self.function_index.find(hash, same) {
            return Some(known);
        }
        let judged = self.judged + symbol.len() + file.len();
        if self.functions.len() >= MAX_FUNCTIONS || judged > MAX_TEXT_BYTES {
            return None;
        }
        self.judged = judged;
        let next = u32::try_from(self.functions.len()).ok()?;
        let kept = self.keep(symbol)?;
        let path = self.path(file)?;
        self.functions.push(Function {
            symbol: kept,
            path,
            next: u32::MAX,
            class: rules.frame(symbol, file),
            name: None,
            file: None,
        });
        let (text, functions, files) = (&self.text, &self.functions, &self.files);
        let hasher = &self.hasher;
        self.function_index.insert_unique(hash, next, |&known| {
            let (symbol, file) = text_of(text, functions, files, known).unwrap_or_default();
            hash_text(hasher, symbol, file)
        });
        Some(next)
    }

    /// The number of a file.
    fn path(&mut self, file: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(file);
        let (text, files) = (&self.text, &self.files);
        let same = |&known: &u32| at(files, known).is_some_and(|span| span.of(text) == file);
        if let Some(&known) = self.file_index.find(hash, same) {
            return Some(known);
        }
        let next = u32::try_from(self.files.len()).ok()?;
        let span = self.keep(file)?;
        self.files.push(span);
        let (text, files, hasher) = (&self.text, &self.files, &self.hasher);
        self.file_index.insert_unique(hash, next, |&known| {
            hasher.hash_one(at(files, known).map_or(&[][..], |span| span.of(text)))
        });
        Some(next)
    }

    /// Adds to the text.
    fn keep(&mut self, piece: &[u8]) -> Option<Span> {
        let bound = |at: usize| u32::try_from(at).ok();
        let (start, end) = (
            bound(self.text.len())?,
            bound(self.text.len() + piece.len())?,
        );
        self.text.extend_from_slice(piece);
        Some(Span { start, end })
    }

    /// Symbol and file of a function.
    fn text_of(&self, function: u32) -> Option<(&[u8], &[u8])> {
        text_of(&self.text, &self.functions, &self.files, function)
    }

    pub(super) fn class(&self, id: FrameId) -> Option<FrameClass> {
        at(&self.functions, parts(id)?.0).map(|function| function.class)
    }

    /// The display name of a frame's function, worked out once.
    pub(super) fn name(&mut self, id: FrameId, names: &mut Names) -> Option<NameId> {
        let (number, _) = parts(id)?;
        let function = at(&self.functions, number)?;
        if function.name.is_some() {
            return function.name;
        }
        let name = names.intern(&display(function.symbol.of(&self.text)));
        self.of_mut(number)?.name = Some(name);
        Some(name)
    }

    /// Source file, relative to its module, and line of a frame. The file is worked out once.
    pub(super) fn place(&mut self, id: FrameId, names: &mut Names) -> Option<(NameId, u32)> {
        let (number, line) = parts(id)?;
        if let Some(file) = at(&self.functions, number)?.file {
            return Some((file, line));
        }
        let (symbol, file) = self.text_of(number)?;
        let file = names.intern(&relative_file(symbol, file));
        self.of_mut(number)?.file = Some(file);
        Some((file, line))
    }

    fn of_mut(&mut self, function: u32) -> Option<&mut Function> {
        self.functions.get_mut(usize::try_from(function).ok()?)
    }
}

/// The number of the function, and the line.
fn parts(FrameId(id): FrameId) -> Option<(u32, u32)> {
    let function = u32::try_from(id >> 32).ok()?;
    Some((function, u32::try_from(id & u64::from(u32::MAX)).ok()?))
}

fn at<T>(table: &[T], number: u32) -> Option<&T> {
    table.get(usize::try_from(number).ok()?)
}

fn hash_text(hasher: &RandomState, function: &[u8], file: &[u8]) -> u64 {
    let mut hash = hasher.build_hasher();
    hash.write(function);
    hash.write(file);
    hash.finish()
}

/// Symbol and file of a function.
fn text_of<'t>(
    text: &'t [u8],
    functions: &[Function],
    files: &[Span],
    number: u32,
) -> Option<(&'t [u8], &'t [u8])> {
    let function = at(functions, number)?;
    let file = at(files, function.path)?;
    Some((function.symbol.of(text), file.of(text)))
}

/// A display name by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NameId(u32);

/// The display names in use.
#[derive(Debug)]
pub(super) struct Names {
    names: Vec<Arc<str>>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    /// The empty name.
    pub(super) const EMPTY: NameId = NameId(0);

    pub(super) fn new() -> Self {
        let mut names = Self {
            names: Vec::with_capacity(ORDINARY_FUNCTIONS),
            index: HashTable::with_capacity(ORDINARY_FUNCTIONS),
            hasher: RandomState::default(),
        };
        names.intern("");
        names
    }

    pub(super) fn intern(&mut self, name: &str) -> NameId {
        let at = |at: &u32| usize::try_from(*at).ok();
        let hash = self.hasher.hash_one(name);
        let same = |candidate: &u32| {
            at(candidate)
                .and_then(|at| self.names.get(at))
                .is_some_and(|known| **known == *name)
        };
        if let Some(&found) = self.index.find(hash, same) {
            return NameId(found);
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.into());
        let (names, hasher) = (&self.names, &self.hasher);
        self.index.insert_unique(hash, number, |known| {
            hasher.hash_one(
                at(known)
                    .and_then(|at| names.get(at))
                    .map_or("", |name| &**name),
            )
        });
        NameId(number)
    }

    pub(super) fn get(&self, id: NameId) -> Arc<str> {
        usize::try_from(id.0)
            .ok()
            .and_then(|at| self.names.get(at))
            .cloned()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_same_frame_has_one_number_and_the_table_has_an_end() {
        let (mut frames, rules) = (Frames::new(), Rules::default());
        let frame = |function, line| FrameText {
            function,
            file: b"/a/main.go",
            line,
        };
        let first = frames.intern(frame(b"main.f", 1), &rules);
        assert_eq!(frames.intern(frame(b"main.f", 1), &rules), first);
        assert_ne!(frames.intern(frame(b"main.f", 2), &rules), first);
        let mut names = Names::new();
        let (name, place) = (
            frames.name(first, &mut names),
            frames.place(first, &mut names),
        );
        assert_eq!(&*names.get(name.unwrap()), "main.f");
        assert_eq!(
            (&*names.get(place.unwrap().0), place.unwrap().1),
            ("main.go", 1)
        );
        for number in 0..MAX_FUNCTIONS + 9 {
            let function = format!("main.g{number}");
            let id = frames.function(function.as_bytes(), b"/a/main.go", &rules);
            assert_eq!(id.is_some(), number < MAX_FUNCTIONS - 1, "{number}");
        }
        assert_eq!(frames.intern(frame(b"main.h", 1), &rules), Frames::OVERFLOW);
        assert_eq!(frames.intern(frame(b"main.f", 1), &rules), first);
        assert!(frames.class(Frames::OVERFLOW).is_none());
    }

    #[test]
    fn each_function_of_a_file_has_one_number_in_whatever_order_they_come() {
        let (mut frames, rules) = (Frames::new(), Rules::default());
        let mut known = BTreeMap::new();
        let mut seed = 1_u64;
        for _ in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Runs in one order, as stacks come, between jumps.
            let number = if seed >> 62 == 0 {
                seed >> 33
            } else {
                seed >> 62
            };
            let symbol = format!("main.f{}", number % 5);
            let file = format!("/a/{}.go", number % 3);
            let function = frames.function(symbol.as_bytes(), file.as_bytes(), &rules);
            let function = function.unwrap();
            let text = frames.text_of(function).unwrap();
            assert_eq!(text, (symbol.as_bytes(), file.as_bytes()));
            let first = known.entry((symbol, file)).or_insert(function);
            assert_eq!(*first, function);
        }
        assert_eq!(known.len(), 15);
        assert_eq!((frames.functions.len(), frames.files.len()), (15, 3));
    }

    #[test]
    fn text_has_an_end_and_what_is_known_stays_known() {
        let (mut frames, rules) = (Frames::new(), Rules::default());
        let symbol = |number: usize| format!("main.{}{number}", "f".repeat(1 << 20)).into_bytes();
        let file = format!("/a/{}.go", "x".repeat(1 << 20));
        let file = file.as_bytes();
        // The path is kept once, and judged with each.
        let kept = MAX_TEXT_BYTES / (symbol(0).len() + file.len());
        for number in 0..kept + 3 {
            let function = frames.function(&symbol(number), file, &rules);
            assert_eq!(function.is_some(), number < kept, "{number}");
        }
        assert_eq!(frames.function(&symbol(1), file, &rules), Some(1));
        assert_eq!(frames.text.len(), symbol(0).len() * kept + file.len());
    }
}
