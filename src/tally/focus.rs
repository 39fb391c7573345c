//! Keeping only the goroutines that have, or lack, a function somewhere in their stack.

use regex::bytes::Regex;

use crate::profile::{Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId};

/// A sink that passes on the goroutines whose stack has a function that matches `focus` and none that matches
/// `ignore`; without an expression, that side lets everything through.
///
/// Cost: both expressions over each distinct frame, and two bits a frame and one a stack to remember.
#[derive(Debug)]
pub struct Focused<S> {
    inner: S,
    focus: Option<Regex>,
    ignore: Option<Regex>,
    frames: Vec<(bool, bool)>,
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
            frames: Vec::new(),
            stacks: Vec::new(),
            transient: false,
        }
    }

    /// The sink behind it.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn marks(&self, id: FrameId) -> (bool, bool) {
        usize::try_from(id.0)
            .ok()
            .and_then(|at| self.frames.get(at))
            .copied()
            .unwrap_or_default()
    }
}

impl<S: Sink> Sink for Focused<S> {
    fn wants_labels(&self) -> bool {
        self.inner.wants_labels()
    }

    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        let id = self.inner.frame(frame);
        // Sinks number frames from 0 on; one that stands for all that is not kept has no place here.
        if usize::try_from(id.0).ok() == Some(self.frames.len()) {
            let matches = |expression: &Option<Regex>| {
                expression
                    .as_ref()
                    .is_some_and(|expression| expression.is_match(frame.function))
            };
            self.frames
                .push((matches(&self.focus), matches(&self.ignore)));
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
