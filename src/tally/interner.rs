//! Frames and names by number, so that each is kept and judged once.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::classify::{FrameClass, Rules};
use crate::profile::{FrameId, FrameText};

/// The most distinct frames kept of one profile, and the most bytes of their text: far above what real programs
/// have (a large one has 20,000), so that only made-up profiles meet them.
const MAX_FRAMES: usize = 1 << 18;
const MAX_TEXT_BYTES: usize = 24 << 20;

/// The distinct frames of a profile: their text, and what the rules make of each.
#[derive(Debug)]
pub(super) struct Frames {
    text: Vec<u8>,
    frames: Vec<Frame>,
    index: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Frame {
    function: (u32, u32),
    file: (u32, u32),
    line: u32,
    class: FrameClass,
    name: Option<NameId>,
    place: Option<NameId>,
}

impl Frames {
    /// Stands for every frame that is not kept, since there are too many.
    pub(super) const OVERFLOW: FrameId = FrameId(u32::MAX);

    pub(super) fn new() -> Self {
        Self {
            text: Vec::new(),
            frames: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    pub(super) fn intern(&mut self, frame: FrameText<'_>, rules: &Rules) -> FrameId {
        let hash = self.hash(frame);
        let same = |&at: &u32| self.text_of(FrameId(at)) == frame;
        if let Some(&at) = self.index.find(hash, same) {
            return FrameId(at);
        }
        let full = self.text.len() + frame.function.len() + frame.file.len() > MAX_TEXT_BYTES;
        let Ok(at) = u32::try_from(self.frames.len()) else {
            return Self::OVERFLOW;
        };
        if full || self.frames.len() >= MAX_FRAMES {
            return Self::OVERFLOW;
        }
        let (Some(function), Some(file)) = (self.keep(frame.function), self.keep(frame.file))
        else {
            return Self::OVERFLOW;
        };
        let class = rules.frame(frame.function, frame.file);
        self.frames.push(Frame {
            function,
            file,
            line: frame.line,
            class,
            name: None,
            place: None,
        });
        let (text, frames, hasher) = (&self.text, &self.frames, &self.hasher);
        self.index.insert_unique(hash, at, |&at| {
            hash_frame(hasher, text_of(text, frames, FrameId(at)))
        });
        FrameId(at)
    }

    pub(super) fn class(&self, id: FrameId) -> Option<FrameClass> {
        self.get(id).map(|frame| frame.class)
    }

    pub(super) fn text_of(&self, id: FrameId) -> FrameText<'_> {
        text_of(&self.text, &self.frames, id)
    }

    /// The display name of a frame's function, worked out once.
    pub(super) fn name(&mut self, id: FrameId, names: &mut Names) -> Option<NameId> {
        if let Some(name) = self.get(id)?.name {
            return Some(name);
        }
        let name = names.intern(&crate::classify::names::display(self.text_of(id).function));
        if let Some(frame) = usize::try_from(id.0)
            .ok()
            .and_then(|at| self.frames.get_mut(at))
        {
            frame.name = Some(name);
        }
        Some(name)
    }

    /// Source file, relative to its module, and line of a frame, worked out once: a hostile path may be megabytes.
    pub(super) fn place(&mut self, id: FrameId, names: &mut Names) -> Option<(NameId, u32)> {
        let frame = self.get(id)?;
        let line = frame.line;
        if let Some(file) = frame.place {
            return Some((file, line));
        }
        let text = self.text_of(id);
        let file = names.intern(&crate::classify::names::relative_file(
            text.function,
            text.file,
        ));
        if let Some(frame) = usize::try_from(id.0)
            .ok()
            .and_then(|at| self.frames.get_mut(at))
        {
            frame.place = Some(file);
        }
        Some((file, line))
    }

    fn get(&self, id: FrameId) -> Option<&Frame> {
        self.frames.get(usize::try_from(id.0).ok()?)
    }

    fn keep(&mut self, bytes: &[u8]) -> Option<(u32, u32)> {
        let start = u32::try_from(self.text.len()).ok()?;
        self.text.extend_from_slice(bytes);
        Some((start, u32::try_from(self.text.len()).ok()?))
    }

    fn hash(&self, frame: FrameText<'_>) -> u64 {
        hash_frame(&self.hasher, frame)
    }
}

fn hash_frame(hasher: &RandomState, frame: FrameText<'_>) -> u64 {
    let mut hash = hasher.build_hasher();
    hash.write(frame.function);
    hash.write(frame.file);
    hash.write_u32(frame.line);
    hash.finish()
}

fn text_of<'t>(text: &'t [u8], frames: &[Frame], id: FrameId) -> FrameText<'t> {
    let slice = |(start, end): (u32, u32)| {
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        range
            .and_then(|(start, end)| text.get(start..end))
            .unwrap_or_default()
    };
    match usize::try_from(id.0).ok().and_then(|at| frames.get(at)) {
        Some(frame) => FrameText {
            function: slice(frame.function),
            file: slice(frame.file),
            line: frame.line,
        },
        None => FrameText {
            function: b"",
            file: b"",
            line: 0,
        },
    }
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
        assert_eq!(frames.text_of(first), frame(b"main.f", 1));
        for line in 0..300_000 {
            frames.intern(frame(b"main.g", line), &rules);
        }
        assert_eq!(frames.intern(frame(b"main.h", 1), &rules), Frames::OVERFLOW);
        assert_eq!(frames.intern(frame(b"main.f", 1), &rules), first);
        assert!(frames.class(Frames::OVERFLOW).is_none());
    }
}
