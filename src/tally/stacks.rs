//! Whole stacks with their counts, for what is drawn from them.

use std::collections::HashMap;

use crate::classify::{NO_STACK, NOT_STARTED, names};
use crate::profile::{Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId};

/// The most frames and the most calls in distinct stacks kept; goroutines of further stacks are counted as
/// [`Stacks::left_out`].
const MAX_FRAMES: usize = 1 << 18;
const MAX_CALLS: usize = 1 << 22;

/// A sink that keeps every distinct stack. Memory: the names of the functions and 4 bytes a call.
#[derive(Debug, Default)]
pub struct Stacks {
    functions: Vec<String>,
    known: HashMap<String, u32, foldhash::fast::RandomState>,
    calls: Vec<u32>,
    stacks: Vec<Kept>,
    not_started: u64,
    left_out: u64,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    calls: std::ops::Range<usize>,
    goroutines: u64,
}

impl Stacks {
    /// Each distinct stack in folded form, `root;...;leaf`, with its goroutines; largest first, then by name.
    /// Semicolons in names, which would end a frame, become colons.
    #[must_use]
    pub fn folded(&self) -> Vec<(String, u64)> {
        let mut folded: HashMap<String, u64> = HashMap::new();
        for stack in &self.stacks {
            let calls = self.calls.get(stack.calls.clone()).unwrap_or_default();
            let name = |number: &u32| {
                usize::try_from(*number)
                    .ok()
                    .and_then(|at| self.functions.get(at))
            };
            let names: Vec<&str> = calls
                .iter()
                .rev()
                .filter_map(name)
                .map(String::as_str)
                .collect();
            let line = if names.is_empty() {
                NO_STACK.to_owned()
            } else {
                names.join(";")
            };
            *folded.entry(line).or_default() += stack.goroutines;
        }
        *folded.entry(NOT_STARTED.to_owned()).or_default() += self.not_started;
        let mut folded: Vec<_> = folded
            .into_iter()
            .filter(|(_, goroutines)| *goroutines > 0)
            .collect();
        folded.sort_unstable_by(|left, right| {
            right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0))
        });
        folded
    }

    /// Goroutines whose stacks were not kept, since there were too many.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl Sink for Stacks {
    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        let name = names::display(frame.function).replace(';', ":");
        if let Some(&known) = self.known.get(&name) {
            return FrameId(known.into());
        }
        let Ok(next) = u32::try_from(self.functions.len()) else {
            return FrameId(u32::MAX.into());
        };
        if self.functions.len() >= MAX_FRAMES {
            return FrameId(u32::MAX.into());
        }
        self.functions.push(name.clone());
        self.known.insert(name, next);
        FrameId(next.into())
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        let Ok(next) = u32::try_from(self.stacks.len()) else {
            return StackId::TRANSIENT;
        };
        if self.calls.len() + stack.frames.len() > MAX_CALLS || self.stacks.len() > MAX_FRAMES {
            return StackId::TRANSIENT;
        }
        let start = self.calls.len();
        let numbers = stack.frames.iter().map(|id| u32::try_from(id.0));
        self.calls.extend(numbers.map(|id| id.unwrap_or(u32::MAX)));
        self.stacks.push(Kept {
            calls: start..self.calls.len(),
            goroutines: 0,
        });
        StackId(next)
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        let kept = usize::try_from(stack.0)
            .ok()
            .and_then(|at| self.stacks.get_mut(at));
        let count = match kept {
            _ if facts.not_started => &mut self.not_started,
            Some(kept) => &mut kept.goroutines,
            None => &mut self.left_out,
        };
        *count = count.saturating_add(facts.count);
    }

    fn reveal(&mut self, _id: HiddenId, _functions: &[&str]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Limits, decode};
    use crate::tally::Focused;

    const DUMP: &str = "goroutine 1 [select]:\nmain.a()\n\t/a.go:1 +0x1\nmain.main()\n\t/a.go:9 +0x1\n\ngoroutine 2 [select]:\nmain.a()\n\t/a.go:2 +0x1\nmain.main()\n\t/a.go:9 +0x1\n\ngoroutine 3 [sleep]:\nmain.b[...]()\n\t/a.go:3 +0x1\n";

    fn folded(focus: Option<&str>, ignore: Option<&str>) -> Vec<(String, u64)> {
        let expression =
            |text: Option<&str>| text.map(|text| regex::bytes::Regex::new(text).unwrap());
        let mut sink = Focused::new(Stacks::default(), expression(focus), expression(ignore));
        decode(DUMP.as_bytes(), &Limits { inflated_bytes: 0 }, &mut sink).unwrap();
        sink.into_inner().folded()
    }

    #[test]
    fn stacks_fold_by_function_root_first() {
        let line = |text: &str, goroutines| (text.to_owned(), goroutines);
        assert_eq!(
            folded(None, None),
            [line("main.main;main.a", 2), line("main.b[...]", 1)]
        );
        assert_eq!(
            folded(Some("^main.main$"), None),
            [line("main.main;main.a", 2)]
        );
        assert_eq!(folded(None, Some("a$")), [line("main.b[...]", 1)]);
        assert_eq!(folded(Some("main"), Some("main.main|b")), []);
    }
}
