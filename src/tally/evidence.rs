//! Whole stacks by group: what a person reads once the group is known.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::GroupId;
use crate::profile::{FrameId, StackId};

/// The most calls in distinct stacks kept; goroutines of further stacks are in their group, and not in its stacks.
const MAX_CALLS: usize = 1 << 22;

/// One call of a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The function.
    pub function: Arc<str>,
    /// Its source file, relative to its module; empty where unknown.
    pub file: Arc<str>,
    /// The line; 0 where unknown.
    pub line: u32,
}

/// Goroutines of a group with the same stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeStack {
    /// How many.
    pub goroutines: u64,
    /// Leaf first.
    pub calls: Vec<Call>,
}

/// The largest stacks of each group, largest first. A group may have goroutines in none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStacks(BTreeMap<GroupId, Vec<WholeStack>>);

impl GroupStacks {
    /// Those of a group.
    #[must_use]
    pub fn of(&self, group: GroupId) -> &[WholeStack] {
        self.0.get(&group).map(Vec::as_slice).unwrap_or_default()
    }

    /// Puts those of a group, keeping the largest `most`; ties by the calls, so that the order of a dump does not matter.
    pub(super) fn put(&mut self, group: GroupId, mut stacks: Vec<WholeStack>, most: usize) {
        stacks.sort_by(|left, right| {
            let count = right.goroutines.cmp(&left.goroutines);
            count.then_with(|| left.calls.cmp(&right.calls))
        });
        stacks.truncate(most);
        self.0.insert(group, stacks);
    }

    /// Adds those of another target: the same stack is one.
    pub fn absorb(&mut self, other: Self, most: usize) {
        for (group, stacks) in other.0 {
            let mut known = self.0.remove(&group).unwrap_or_default();
            for stack in stacks {
                match known.iter_mut().find(|known| known.calls == stack.calls) {
                    Some(known) => {
                        known.goroutines = known.goroutines.saturating_add(stack.goroutines);
                    }
                    None => known.push(stack),
                }
            }
            self.put(group, known, most);
        }
    }
}

/// What a collector keeps while it counts: the calls of its stacks, and how many goroutines of which of its groups
/// are there. Memory: 4 bytes a call, some 40 a stack.
#[derive(Debug, Default)]
pub(super) struct Kept {
    calls: Vec<FrameId>,
    stacks: HashMap<StackId, std::ops::Range<usize>, RandomState>,
    counts: HashMap<(u32, StackId), u64, RandomState>,
}

impl Kept {
    pub(super) fn stack(&mut self, id: StackId, frames: &[FrameId]) {
        if id == StackId::TRANSIENT || self.calls.len() + frames.len() > MAX_CALLS {
            return;
        }
        let start = self.calls.len();
        self.calls.extend_from_slice(frames);
        self.stacks.insert(id, start..self.calls.len());
    }

    pub(super) fn count(&mut self, group: u32, id: StackId, goroutines: u64) {
        if self.stacks.contains_key(&id) {
            let known = self.counts.entry((group, id)).or_default();
            *known = known.saturating_add(goroutines);
        }
    }

    /// The stacks of each group, with their goroutines. `group` tells which one a number of the collector means: two
    /// numbers may mean one. Cost: a sort of the stacks.
    pub(super) fn finish(
        self,
        group: impl Fn(u32) -> Option<GroupId>,
        mut call: impl FnMut(FrameId) -> Call,
        most: usize,
    ) -> GroupStacks {
        let mut groups: BTreeMap<GroupId, BTreeMap<&[FrameId], u64>> = BTreeMap::new();
        for ((number, stack), goroutines) in &self.counts {
            let range = self.stacks.get(stack).cloned();
            let calls = range.and_then(|range| self.calls.get(range));
            if let Some((id, calls)) = group(*number).zip(calls) {
                let known = groups.entry(id).or_default().entry(calls).or_default();
                *known = known.saturating_add(*goroutines);
            }
        }
        let mut kept = GroupStacks::default();
        for (id, stacks) in groups {
            let mut stacks: Vec<_> = stacks.into_iter().collect();
            stacks.sort_by_key(|(calls, goroutines)| (Reverse(*goroutines), *calls));
            let whole = stacks.into_iter().take(most).map(|(calls, goroutines)| {
                let calls = calls.iter().map(|&frame| call(frame)).collect();
                WholeStack { goroutines, calls }
            });
            let whole = whole.collect();
            kept.put(id, whole, most);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use crate::classify::Rules;
    use crate::decode::{Limits, decode};
    use crate::tally::{Collector, GroupStacks, Tally};

    fn read(dump: &str, most: usize) -> (Tally, GroupStacks) {
        let mut collector = Collector::new(&Rules::default()).keeping_stacks();
        let summary = decode(
            dump.as_bytes(),
            &Limits { inflated_bytes: 0 },
            &mut collector,
        )
        .unwrap();
        collector.finish_with_stacks(summary, most)
    }

    /// The stacks of the largest group, as text.
    fn texts((tally, stacks): &(Tally, GroupStacks)) -> Vec<(u64, String)> {
        let stacks = stacks.of(tally.groups[0].id).iter();
        let text = |stack: &super::WholeStack| {
            let calls = stack.calls.iter();
            let calls = calls.map(|call| format!("{}@{}:{}", call.function, call.file, call.line));
            (stack.goroutines, calls.collect::<Vec<_>>().join(" "))
        };
        stacks.map(text).collect()
    }

    const TWO_LINES: &str = "\
goroutine 1 [select]:\nmain.a()\n\t/x/a.go:1 +0x1\nmain.main()\n\t/x/a.go:9 +0x1\n
goroutine 2 [select]:\nmain.a()\n\t/x/a.go:2 +0x1\nmain.main()\n\t/x/a.go:9 +0x1\n
goroutine 3 [select]:\nmain.a()\n\t/x/a.go:2 +0x1\nmain.main()\n\t/x/a.go:9 +0x1\n
goroutine 4 [sleep]:\nmain.a()\n\t/x/a.go:2 +0x1\nmain.main()\n\t/x/a.go:9 +0x1\n";

    #[test]
    fn a_group_has_its_stacks_by_line_and_only_its_own() {
        let found = read(TWO_LINES, 9);
        let second = (2, "main.a@a.go:2 main.main@a.go:9".to_owned());
        let first = (1, "main.a@a.go:1 main.main@a.go:9".to_owned());
        assert_eq!(texts(&found), [second.clone(), first]);
        let (tally, stacks) = &found;
        assert_eq!(stacks.of(tally.groups[1].id).len(), 1);
        assert_eq!(texts(&read(TWO_LINES, 1)), [second]);
        let mut plain = Collector::new(&Rules::default());
        let limits = Limits { inflated_bytes: 0 };
        let summary = decode(TWO_LINES.as_bytes(), &limits, &mut plain).unwrap();
        assert_eq!(&plain.finish(summary), tally, "keeping changes nothing");
    }

    #[test]
    fn the_same_stack_of_two_targets_is_one() {
        let (tally, mut stacks) = read(TWO_LINES, 9);
        stacks.absorb(read(TWO_LINES, 9).1, 9);
        let counts: Vec<u64> = texts(&(tally, stacks))
            .iter()
            .map(|(count, _)| *count)
            .collect();
        assert_eq!(counts, [4, 2]);
    }
}
