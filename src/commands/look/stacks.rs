//! The largest stacks of each group, of one source or of several.

use std::collections::BTreeMap;

use crate::tally::{CountedStack, GroupId, GroupStacks, Tally};

/// Calls kept of a stack: more than Go records.
const MAX_CALLS: usize = 512;

/// Stacks by group, largest first. A group may have goroutines in none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::commands) struct WholeStacks(BTreeMap<GroupId, Vec<CountedStack>>);

impl WholeStacks {
    /// The `most` largest stacks of each group.
    pub(super) fn of_groups(tally: &Tally, stacks: &mut GroupStacks, most: usize) -> Self {
        let mut kept = Self::default();
        for group in &tally.groups {
            kept.put(group.id, stacks.of(group.id, most, MAX_CALLS), most);
        }
        kept
    }

    /// Those of a group.
    pub(in crate::commands) fn of(&self, group: GroupId) -> &[CountedStack] {
        self.0.get(&group).map(Vec::as_slice).unwrap_or_default()
    }

    /// Puts those of a group, keeping the largest; ties by the calls, so that the order of a dump does not matter.
    fn put(&mut self, group: GroupId, mut stacks: Vec<CountedStack>, most: usize) {
        stacks.sort_by(|left, right| {
            let count = right.goroutines.cmp(&left.goroutines);
            count.then_with(|| left.calls.cmp(&right.calls))
        });
        stacks.truncate(most);
        self.0.insert(group, stacks);
    }

    /// Adds those of another source: the same stack is one.
    pub(super) fn absorb(&mut self, other: Self, most: usize) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Rules;
    use crate::decode::{Limits, decode};
    use crate::tally::StackCollector;

    const DUMP: &str = "\
goroutine 1 [select]:\nmain.a()\n\t/x/a.go:1 +0x1\nmain.main()\n\t/x/a.go:9 +0x1\n
goroutine 2 [select]:\nmain.a()\n\t/x/a.go:2 +0x1\nmain.main()\n\t/x/a.go:9 +0x1\n
goroutine 3 [select]:\nmain.a()\n\t/x/a.go:2 +0x1\nmain.main()\n\t/x/a.go:9 +0x1\n";

    #[test]
    fn the_same_stack_of_two_sources_is_one() {
        let read = |most| {
            let mut sink = StackCollector::new(&Rules::default());
            let limits = Limits { inflated_bytes: 0 };
            let summary = decode(DUMP.as_bytes(), &limits, &mut sink).unwrap();
            let (tally, mut stacks) = sink.finish(summary);
            let kept = WholeStacks::of_groups(&tally, &mut stacks, most);
            (tally.groups[0].id, kept)
        };
        let counts = |(id, stacks): &(GroupId, WholeStacks)| -> Vec<u64> {
            stacks
                .of(*id)
                .iter()
                .map(|stack| stack.goroutines)
                .collect()
        };
        assert_eq!(counts(&read(9)), [2, 1]);
        assert_eq!(counts(&read(1)), [2]);
        let (id, mut both) = read(9);
        both.absorb(read(9).1, 9);
        assert_eq!(counts(&(id, both)), [4, 2]);
    }
}
