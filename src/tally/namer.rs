//! Stacks by the names of their group, for what counts more than goroutines at them: an execution trace.

use std::sync::Arc;

use super::interner::{Frames, NameId};
use super::judge::Judge;
use crate::classify::{Rules, Wait};
use crate::profile::{FrameId, Stack};

/// Judges stacks as [`Collector`](super::Collector) does, and holds the names. Memory: the text of the distinct frames.
#[derive(Debug)]
pub struct Namer {
    judge: Judge,
}

/// A name that a [`Namer`] holds; the same name has one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(NameId);

/// A function of a file that a [`Namer`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function(u32);

impl Name {
    /// The empty one.
    pub const EMPTY: Self = Self(super::interner::Names::EMPTY);
}

/// What makes a stack's group, and who stands at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedStack {
    /// Why a goroutine waits there, as far as frames tell.
    pub wait: Wait,
    /// As [`Group::blocking_frame`](super::Group::blocking_frame).
    pub blocking: Name,
    /// As [`Group::app_frame`](super::Group::app_frame).
    pub app: Name,
    /// The leaf; empty for an empty stack.
    pub leaf: Name,
    /// The outermost function that is not the runtime's start of a goroutine; empty where there is none.
    pub entry: Name,
}

impl Namer {
    /// An empty one.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            judge: Judge::new(rules),
        }
    }

    /// A function of a file; nothing where there is no room for its text. Cost: in proportion to that.
    pub fn function(&mut self, symbol: &[u8], file: &[u8]) -> Option<Function> {
        let judge = &mut self.judge;
        let function = judge.frames.function(symbol, file, &judge.rules);
        function.map(Function)
    }

    /// The number of the frame at a line of a function.
    #[must_use]
    pub fn frame(function: Option<Function>, line: u32) -> FrameId {
        function.map_or(Frames::OVERFLOW, |function| {
            Frames::at_line(function.0, line)
        })
    }

    /// The names of a stack made of frames it has numbered; nothing where a frame was not kept, since there were too
    /// many.
    pub fn stack(&mut self, stack: Stack<'_>) -> Option<NamedStack> {
        let judged = self.judge.stack(stack);
        let (blocking, app) = self.judge.labels(&judged)?;
        Some(NamedStack {
            wait: judged.wait,
            blocking: Name(blocking),
            app: Name(app),
            leaf: self.name_of(stack.frames.first().copied())?,
            entry: self.name_of(judged.entry)?,
        })
    }

    /// A name of its own.
    pub fn name(&mut self, text: &str) -> Name {
        Name(self.judge.names.intern(text))
    }

    /// The text of a name.
    #[must_use]
    pub fn text(&self, name: Name) -> Arc<str> {
        self.judge.names.get(name.0)
    }

    fn name_of(&mut self, frame: Option<FrameId>) -> Option<Name> {
        let Some(frame) = frame else {
            return Some(Name::EMPTY);
        };
        let judge = &mut self.judge;
        judge.frames.name(frame, &mut judge.names).map(Name)
    }
}
