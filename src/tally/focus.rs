//! Keeping only the goroutines that have, or lack, a function somewhere in their stack.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use regex::bytes::Regex;

use crate::profile::{Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId};

/// The most frames looked at, far above what real programs have; further ones match nothing.
const MAX_FRAMES: usize = 1 << 18;

/// A sink that passes on the goroutines whose stack has a function that matches `focus` and none that matches
/// `ignore`; without an expression, that side lets everything through.
///
/// Cost: both expressions over each distinct frame, and some 20 bytes a frame and one a stack to remember.
#[derive(Debug)]
pub struct Focused<S> {
    inner: S,
    focus: Option<Regex>,
    ignore: Option<Regex>,
    frames: HashMap<FrameId, (bool, bool), RandomState>,
    stacks: Vec<bool>,
    transient: bool,
}

impl<S: Sink> Focused<S> {
    /// Passes on to `inner`.
    pub fn new(inner: S, focus: Option<Regex>, ignore: Option<Regex>) -> Self {
        Self {
            inner,
            focus,
            ignore,
            frames: HashMap::default(),
            stacks: Vec::new(),
            transient: false,
        }
    }

    /// The sink behind it.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn marks(&self, id: FrameId) -> (bool, bool) {
        self.frames.get(&id).copied().unwrap_or_default()
    }
}

impl<S: Sink> Sink for Focused<S> {
    fn wants_labels(&self) -> bool {
        self.inner.wants_labels()
    }

    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        let id = self.inner.frame(frame);
        if !self.frames.contains_key(&id) && self.frames.len() < MAX_FRAMES {
            let matches = |expression: &Option<Regex>| {
                expression
                    .as_ref()
                    .is_some_and(|expression| expression.is_match(frame.function))
            };
            let marks = (matches(&self.focus), matches(&self.ignore));
            self.frames.insert(id, marks);
        }
        id
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        let focused = self.focus.is_none() || stack.frames.iter().any(|&id| self.marks(id).0);
        let passes = focused && !stack.frames.iter().any(|&id| self.marks(id).1);
        let id = self.inner.stack(stack);
        if usize::try_from(id.0).ok() == Some(self.stacks.len()) {
            self.stacks.push(passes);
        } else {
            self.transient = passes;
        }
        id
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        let known = usize::try_from(stack.0)
            .ok()
            .and_then(|at| self.stacks.get(at))
            .copied();
        if known.unwrap_or(self.transient) {
            self.inner.count(stack, facts);
        }
    }

    fn reveal(&mut self, id: HiddenId, functions: &[&str]) {
        self.inner.reveal(id, functions);
    }
}
