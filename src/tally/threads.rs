//! Threads of the operating system, as far as the runtime made them.

use crate::profile::{Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId};

/// A sink that counts and keeps nothing else: what a `threadcreate` profile says of stacks is of no use, since Go
/// knows hardly any of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads {
    total: u64,
}

impl Threads {
    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}

impl Sink for Threads {
    fn frame(&mut self, _frame: FrameText<'_>) -> FrameId {
        FrameId(0)
    }

    fn stack(&mut self, _stack: Stack<'_>) -> StackId {
        StackId(0)
    }

    fn count(&mut self, _stack: StackId, facts: &Facts<'_>) {
        self.total = self.total.saturating_add(facts.count);
    }

    fn reveal(&mut self, _id: HiddenId, _functions: &[&str]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_added_up_and_saturates() {
        let mut threads = Threads::default();
        let mut add = |count| {
            let facts = Facts {
                count,
                ..Facts::default()
            };
            threads.count(StackId(0), &facts);
            threads.total()
        };
        assert_eq!(add(8), 8);
        assert_eq!(add(1), 9);
        assert_eq!(add(u64::MAX), u64::MAX);
    }
}
