//! Frames and stacks of one profile, each judged once, whatever is then counted at them.

use super::interner::{Frames, NameId, Names};
use crate::classify::{FrameClass, NO_STACK, Origin, Rules, Wait, WaitReason};
use crate::profile::{FrameId, FrameText, Stack, StackId};

/// The most distinct stacks that are judged once and remembered; further ones are judged each time.
pub(super) const MAX_STACKS: usize = 1 << 15;

/// How deep a stack is at least whose root was cut: what Go keeps of one since 1.23.
const CUT_DEPTH: usize = 128;

/// Judges by the rules of a module.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) rules: Rules,
    pub(super) frames: Frames,
    pub(super) names: Names,
    /// Stands for frames that are not kept.
    overflow: FrameClass,
}

/// What was made of a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) wait: Wait,
    pub(super) blocking: Option<FrameId>,
    pub(super) app: Option<FrameId>,
    pub(super) entry: Option<FrameId>,
    pub(super) origin: Origin,
    pub(super) watches: u32,
    /// How many calls a dump of it has to walk.
    pub(super) depth: u32,
}

impl Judged {
    /// Stands for a stack that nothing is known of.
    pub(super) const NOTHING: Self = Self {
        wait: Wait::Known(WaitReason::Unknown),
        blocking: None,
        app: None,
        entry: None,
        origin: Origin::Stdlib,
        watches: 0,
        depth: 1,
    };
}

impl Judge {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            frames: Frames::new(),
            names: Names::new(),
            overflow: rules.frame(b"", b""),
            rules: rules.clone(),
        }
    }

    pub(super) fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        self.frames.intern(frame, &self.rules)
    }

    pub(super) fn stack(&self, stack: Stack<'_>) -> Judged {
        let class_at = |at: usize| {
            stack
                .frames
                .get(at)
                .and_then(|&id| self.frames.class(id))
                .unwrap_or(self.overflow)
        };
        let class = self.rules.stack(stack.leaf, stack.frames.len(), class_at);
        let frame = |at: Option<usize>| at.and_then(|at| stack.frames.get(at)).copied();
        let least = if stack.root_cut { CUT_DEPTH } else { 1 };
        Judged {
            wait: class.wait,
            blocking: frame(class.blocking),
            app: frame(class.app),
            entry: if stack.root_cut {
                None
            } else {
                frame(class.entry)
            },
            origin: class
                .blocking
                .map_or(Origin::Stdlib, |at| class_at(at).origin()),
            watches: class.watches,
            depth: u32::try_from(stack.frames.len().max(least)).unwrap_or(u32::MAX),
        }
    }

    /// The names of blocking and application frame; nothing where a frame was not kept.
    pub(super) fn labels(&mut self, stack: &Judged) -> Option<(NameId, NameId)> {
        let (frames, names) = (&mut self.frames, &mut self.names);
        let blocking = match stack.blocking {
            Some(frame) => frames.name(frame, names),
            None => Some(names.intern(NO_STACK)),
        };
        let app = match stack.app {
            Some(frame) => frames.name(frame, names),
            None => Some(Names::EMPTY),
        };
        blocking.zip(app)
    }
}

/// What is known of each stack, by the number a decoder is told.
#[derive(Debug)]
pub(super) struct Kept<T> {
    stacks: Vec<T>,
    transient: T,
}

impl<T: Copy> Kept<T> {
    /// Empty; `nothing` stands for a stack that was never kept.
    pub(super) fn new(nothing: T) -> Self {
        Self {
            stacks: Vec::new(),
            transient: nothing,
        }
    }

    /// Remembers it for good, or until the next one when there are enough.
    pub(super) fn keep(&mut self, known: T) -> StackId {
        match u32::try_from(self.stacks.len()) {
            Ok(at) if self.stacks.len() < MAX_STACKS => {
                self.stacks.push(known);
                StackId(at)
            }
            _ => {
                self.transient = known;
                StackId::TRANSIENT
            }
        }
    }

    pub(super) fn get(&self, stack: StackId) -> &T {
        let at = usize::try_from(stack.0).ok();
        at.and_then(|at| self.stacks.get(at))
            .unwrap_or(&self.transient)
    }

    /// Those that were kept for good.
    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.stacks.iter_mut()
    }

    /// That of a stack that was kept for good.
    pub(super) fn get_mut(&mut self, stack: StackId) -> Option<&mut T> {
        self.stacks.get_mut(usize::try_from(stack.0).ok()?)
    }
}
