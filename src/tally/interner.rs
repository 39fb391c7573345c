//! Frames and names by number, so that each is kept and judged once.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::classify::names::{display, relative_file};
use crate::classify::{FrameClass, Rules};
use crate::profile::{FrameId, FrameText};

/// The most functions kept of one profile, and the most bytes of their text: far above what stands in the stacks of real
/// programs (some thousand), so that only made-up profiles meet them.
const MAX_FUNCTIONS: usize = 1 << 18;
const MAX_TEXT_BYTES: usize = 24 << 20;

/// The frames of a profile. Text is kept and judged once for each function of a file, of which there are far fewer than
/// frames; a frame is the number of its function and its line, and takes no room.
#[derive(Debug)]
pub(super) struct Frames {
    text: Vec<u8>,
    functions: Vec<Function>,
    index: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Function {
    /// Where symbol and file begin in the text, and where the file ends.
    start: u32,
    middle: u32,
    end: u32,
    class: FrameClass,
    /// The display name of the symbol, and of the file, once they were asked for.
    name: Option<NameId>,
    file: Option<NameId>,
}

impl Frames {
    /// Stands for every frame of a function that is not kept, since there are too many.
    pub(super) const OVERFLOW: FrameId = FrameId(u64::MAX);

    pub(super) fn new() -> Self {
        Self {
            text: Vec::new(),
            functions: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
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

    /// The number of a function of a file; nothing where there is no room for its text.
    pub(super) fn function(&mut self, symbol: &[u8], file: &[u8], rules: &Rules) -> Option<u32> {
        let hash = hash_text(&self.hasher, symbol, file);
        let (text, functions) = (&self.text, &self.functions);
        let same = |&known: &u32| text_of(text, at(functions, known)) == (symbol, file);
        if let Some(&known) = self.index.find(hash, same) {
            return Some(known);
        }
        let room = self.functions.len() < MAX_FUNCTIONS;
        let next = u32::try_from(self.functions.len()).ok().filter(|_| room)?;
        let middle = self.text.len() + symbol.len();
        let end = middle + file.len();
        if end > MAX_TEXT_BYTES {
            return None;
        }
        let bound = |at: usize| u32::try_from(at).ok();
        let (start, middle, end) = (bound(self.text.len())?, bound(middle)?, bound(end)?);
        self.text.extend_from_slice(symbol);
        self.text.extend_from_slice(file);
        let class = rules.frame(symbol, file);
        self.functions.push(Function {
            start,
            middle,
            end,
            class,
            name: None,
            file: None,
        });
        let (text, functions, hasher) = (&self.text, &self.functions, &self.hasher);
        self.index.insert_unique(hash, next, |&known| {
            let (function, file) = text_of(text, at(functions, known));
            hash_text(hasher, function, file)
        });
        Some(next)
    }

    pub(super) fn class(&self, id: FrameId) -> Option<FrameClass> {
        self.of(id).map(|function| function.class)
    }

    /// The display name of a frame's function, worked out once.
    pub(super) fn name(&mut self, id: FrameId, names: &mut Names) -> Option<NameId> {
        let function = self.of(id)?;
        if function.name.is_some() {
            return function.name;
        }
        let (symbol, _) = text_of(&self.text, Some(function));
        let name = names.intern(&display(symbol));
        self.of_mut(id)?.name = Some(name);
        Some(name)
    }

    /// Source file, relative to its module, and line of a frame. The file is worked out once.
    pub(super) fn place(&mut self, id: FrameId, names: &mut Names) -> Option<(NameId, u32)> {
        let (_, line) = parts(id)?;
        let function = self.of(id)?;
        if let Some(file) = function.file {
            return Some((file, line));
        }
        let (symbol, file) = text_of(&self.text, Some(function));
        let file = names.intern(&relative_file(symbol, file));
        self.of_mut(id)?.file = Some(file);
        Some((file, line))
    }

    fn of(&self, id: FrameId) -> Option<&Function> {
        at(&self.functions, parts(id)?.0)
    }

    fn of_mut(&mut self, id: FrameId) -> Option<&mut Function> {
        let (function, _) = parts(id)?;
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
fn text_of<'t>(text: &'t [u8], function: Option<&Function>) -> (&'t [u8], &'t [u8]) {
    let slice = |start: u32, end: u32| {
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        range
            .and_then(|(start, end)| text.get(start..end))
            .unwrap_or_default()
    };
    function.map_or((b"", b""), |function| {
        (
            slice(function.start, function.middle),
            slice(function.middle, function.end),
        )
    })
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
            names: Vec::new(),
            index: HashTable::new(),
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
}
