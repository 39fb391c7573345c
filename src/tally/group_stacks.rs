//! The stacks behind each group, for people who want to see how it came to wait there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::collector::Collector;
use super::interner::Frames;
use super::judge::{Judge, MAX_STACKS};
use super::{GroupId, Tally};
use crate::classify::{NO_STACK, Rules};
use crate::profile::{Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId, Summary};

/// The most calls of distinct stacks kept; goroutines of further stacks are counted as [`GroupStacks::left_out`].
const MAX_CALLS: usize = 1 << 20;

/// The name in place of a function that was not kept.
const NOT_KEPT: &str = "(not kept)";

/// Counts as [`Collector`] does, and keeps the distinct stacks of each group beside it. Memory: 8 MiB of calls and
/// some ten bytes a stack, up to 32,768 of them, more than that.
#[derive(Debug)]
pub struct StackCollector {
    collector: Collector,
    stacks: Distinct,
    /// By the number a decoder is told, which stack that is.
    numbers: Vec<Option<u32>>,
    /// The same of the stack that was not given one.
    transient: Option<u32>,
    counts: HashMap<(u32, u32), u64, RandomState>,
    left_out: u64,
}

/// Stacks by their calls, each once.
#[derive(Debug, Default)]
struct Distinct {
    calls: Vec<FrameId>,
    ranges: Vec<Range<usize>>,
    index: HashTable<u32>,
    hasher: RandomState,
}

/// The stacks of a profile by group.
#[derive(Debug)]
pub struct GroupStacks {
    judge: Judge,
    stacks: Distinct,
    /// Stacks with their goroutines, largest first.
    by_group: BTreeMap<GroupId, Vec<(u32, u64)>>,
    left_out: u64,
}

/// One stack of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedStack {
    /// How many goroutines have it.
    pub goroutines: u64,
    /// Its calls, the blocked one first; at most as many as were asked for.
    pub calls: Vec<Call>,
    /// How many calls it has.
    pub depth: usize,
}

/// A call in a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The function, as labels show it.
    pub function: Arc<str>,
    /// Its source file, relative to its module; empty where unknown.
    pub file: Arc<str>,
    /// The line in it; 0 where unknown.
    pub line: u32,
}

impl StackCollector {
    /// An empty one.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            collector: Collector::new(rules),
            stacks: Distinct::default(),
            numbers: Vec::new(),
            transient: None,
            counts: HashMap::default(),
            left_out: 0,
        }
    }

    /// The counts and the stacks, once the decoder is done. Cost: linear in groups and stacks, with sorts.
    #[must_use]
    pub fn finish(mut self, summary: Summary) -> (Tally, GroupStacks) {
        let ids = self.collector.ids();
        let tally = self.collector.take(summary);
        let mut by_stack: BTreeMap<(GroupId, u32), u64> = BTreeMap::new();
        let mut left_out = self.left_out;
        for ((group, stack), goroutines) in self.counts {
            let id = usize::try_from(group).ok().and_then(|at| ids.get(at));
            let known = id.map(|id| by_stack.entry((*id, stack)).or_default());
            let known = known.unwrap_or(&mut left_out);
            *known = known.saturating_add(goroutines);
        }
        let mut by_group: BTreeMap<GroupId, Vec<(u32, u64)>> = BTreeMap::new();
        for ((id, stack), goroutines) in by_stack {
            by_group.entry(id).or_default().push((stack, goroutines));
        }
        for stacks in by_group.values_mut() {
            stacks.sort_by_key(|(_, goroutines)| Reverse(*goroutines));
        }
        let stacks = GroupStacks {
            judge: self.collector.into_judge(),
            stacks: self.stacks,
            by_group,
            left_out,
        };
        (tally, stacks)
    }
}

impl Sink for StackCollector {
    fn wants_labels(&self) -> bool {
        self.collector.wants_labels()
    }

    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        self.collector.frame(frame)
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        let number = self.stacks.number(stack.frames);
        let id = self.collector.stack(stack);
        if usize::try_from(id.0).ok() == Some(self.numbers.len()) {
            self.numbers.push(number);
        } else {
            self.transient = number;
        }
        id
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        let number = usize::try_from(stack.0)
            .ok()
            .and_then(|at| self.numbers.get(at))
            .copied()
            .unwrap_or(self.transient);
        let group = self.collector.add(stack, facts);
        let known = match group.zip(number) {
            Some(key) => self.counts.entry(key).or_default(),
            None => &mut self.left_out,
        };
        *known = known.saturating_add(facts.count);
    }

    fn reveal(&mut self, id: HiddenId, functions: &[&str]) {
        self.collector.reveal(id, functions);
    }
}

impl Distinct {
    /// The number of a stack with these calls; nothing when there is no room for it.
    fn number(&mut self, calls: &[FrameId]) -> Option<u32> {
        let hash = self.hasher.hash_one(calls);
        let same = |&number: &u32| self.calls(number) == calls;
        if let Some(&known) = self.index.find(hash, same) {
            return Some(known);
        }
        let start = self.calls.len();
        if self.ranges.len() >= MAX_STACKS || start + calls.len() > MAX_CALLS {
            return None;
        }
        let next = u32::try_from(self.ranges.len()).ok()?;
        self.calls.extend_from_slice(calls);
        self.ranges.push(start..self.calls.len());
        let (all, ranges, hasher) = (&self.calls, &self.ranges, &self.hasher);
        self.index.insert_unique(hash, next, |&number| {
            hasher.hash_one(calls_of(all, ranges, number))
        });
        Some(next)
    }

    fn calls(&self, number: u32) -> &[FrameId] {
        calls_of(&self.calls, &self.ranges, number)
    }
}

fn calls_of<'c>(calls: &'c [FrameId], ranges: &[Range<usize>], number: u32) -> &'c [FrameId] {
    let range = usize::try_from(number).ok().and_then(|at| ranges.get(at));
    range
        .and_then(|range| calls.get(range.clone()))
        .unwrap_or_default()
}

impl GroupStacks {
    /// How many distinct stacks a group has, those kept.
    #[must_use]
    pub fn count(&self, id: GroupId) -> usize {
        self.by_group.get(&id).map_or(0, Vec::len)
    }

    /// The `most` largest stacks of a group, with their first `calls` calls.
    pub fn of(&mut self, id: GroupId, most: usize, calls: usize) -> Vec<CountedStack> {
        let stacks = self.by_group.get(&id).map_or(&[][..], Vec::as_slice);
        let (judge, distinct) = (&mut self.judge, &self.stacks);
        let counted = |&(stack, goroutines): &(u32, u64)| {
            let all = distinct.calls(stack);
            CountedStack {
                goroutines,
                calls: all.iter().take(calls).map(|&id| call(judge, id)).collect(),
                depth: all.len(),
            }
        };
        stacks.iter().take(most).map(counted).collect()
    }

    /// Stacks in folded form, `root;...;leaf`, with their goroutines; the largest first, as long as their names take no
    /// more than `bytes`. The second number is how many goroutines are in none of them.
    ///
    /// Semicolons in names, which would end a frame, become colons, and blanks, which would end a stack, underscores.
    pub fn folded(&mut self, bytes: usize) -> (Vec<(String, u64)>, u64) {
        let mut sizes: BTreeMap<u32, u64> = BTreeMap::new();
        for &(stack, goroutines) in self.by_group.values().flatten() {
            let known = sizes.entry(stack).or_default();
            *known = known.saturating_add(goroutines);
        }
        let mut sizes: Vec<(u32, u64)> = sizes.into_iter().collect();
        sizes.sort_by_key(|(_, goroutines)| Reverse(*goroutines));
        let mut room = bytes;
        let mut rest = self.left_out;
        let mut folded = Vec::new();
        for (stack, goroutines) in sizes {
            let mut line = String::new();
            let all = self.stacks.calls(stack);
            for &id in all.iter().rev() {
                if line.len() > room {
                    break;
                }
                if !line.is_empty() {
                    line.push(';');
                }
                let name = function(&mut self.judge, id);
                line.extend(name.chars().map(|c| match c {
                    ';' => ':',
                    c if c.is_whitespace() => '_',
                    c => c,
                }));
            }
            if line.is_empty() {
                line.push_str(&NO_STACK.replace(' ', "_"));
            }
            if line.len() > room {
                rest = rest.saturating_add(goroutines);
                continue;
            }
            room -= line.len();
            folded.push((line, goroutines));
        }
        (folded, rest)
    }

    /// Goroutines whose stacks were not kept, since there were too many.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn function(judge: &mut Judge, id: FrameId) -> Arc<str> {
    let name = Some(id)
        .filter(|&id| id != Frames::OVERFLOW)
        .and_then(|id| judge.frames.name(id, &mut judge.names));
    name.map_or_else(|| Arc::from(NOT_KEPT), |name| judge.names.get(name))
}

fn call(judge: &mut Judge, id: FrameId) -> Call {
    let function = function(judge, id);
    let place = judge.frames.place(id, &mut judge.names);
    let (file, line) = place.map_or_else(Default::default, |(file, line)| {
        (judge.names.get(file), line)
    });
    Call {
        function,
        file,
        line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Limits, decode};

    const DUMP: &str = "goroutine 1 [select]:\nmain.a()\n\t/a.go:1 +0x1\nmain.main()\n\t/a.go:9 +0x1\n\ngoroutine 2 [select]:\nmain.a()\n\t/a.go:2 +0x1\nmain.main()\n\t/a.go:9 +0x1\n\ngoroutine 3 [select]:\nmain.a()\n\t/a.go:2 +0x1\nmain.main()\n\t/a.go:9 +0x1\n\ngoroutine 4 [sleep]:\nmain.b; c()\n\t/a.go:3 +0x1\n";
    const LIMITS: Limits = Limits {
        inflated_bytes: 1 << 24,
    };

    fn read(body: &[u8]) -> (Tally, GroupStacks) {
        let mut sink = StackCollector::new(&Rules::default());
        let summary = decode(body, &LIMITS, &mut sink).unwrap();
        sink.finish(summary)
    }

    #[test]
    fn a_group_has_its_distinct_stacks() {
        let (tally, mut stacks) = read(DUMP.as_bytes());
        let largest = tally.groups.first().unwrap();
        assert_eq!((largest.goroutines, stacks.count(largest.id)), (3, 2));
        let found = stacks.of(largest.id, 9, 9);
        let counts: Vec<_> = found.iter().map(|stack| stack.goroutines).collect();
        assert_eq!(counts, [2, 1]);
        let leaf = &found[0].calls[0];
        assert_eq!(
            (&*leaf.function, &*leaf.file, leaf.line),
            ("main.a", "a.go", 2)
        );
        let one = stacks.of(largest.id, 1, 1);
        assert_eq!((one.len(), one[0].calls.len(), one[0].depth), (1, 1, 2));
    }

    #[test]
    fn folded_within_its_room() {
        let (_, mut stacks) = read(DUMP.as_bytes());
        let line = |text: &str, goroutines| (text.to_owned(), goroutines);
        let (folded, rest) = stacks.folded(1000);
        let mut sorted = folded.clone();
        sorted.sort();
        assert_eq!(
            sorted,
            [
                line("main.b:_c", 1),
                line("main.main;main.a", 1),
                line("main.main;main.a", 2)
            ]
        );
        assert_eq!(rest, 0);
        let (folded, rest) = stacks.folded("main.main;main.a".len());
        assert_eq!((folded, rest), (vec![line("main.main;main.a", 2)], 2));
    }

    /// The counts are those of the plain collector, and every goroutine has its stack.
    #[test]
    fn recorded_profiles_come_to_the_same() {
        for body in [
            &include_bytes!("../../tests/data/go1.27.3/goroutine.debug0.pb.gz")[..],
            include_bytes!("../../tests/data/go1.27.3/goroutine.debug1.txt"),
            include_bytes!("../../tests/data/go1.27.3/goroutine.debug2.txt"),
        ] {
            let mut plain = Collector::new(&Rules::default());
            let summary = decode(body, &LIMITS, &mut plain).unwrap();
            let (tally, mut stacks) = read(body);
            assert_eq!(tally, plain.finish(summary));
            for group in &tally.groups {
                let found = stacks.of(group.id, usize::MAX, 200);
                let sum: u64 = found.iter().map(|stack| stack.goroutines).sum();
                assert_eq!(sum, group.goroutines, "{group:?}");
            }
            let (folded, rest) = stacks.folded(usize::MAX);
            let sum: u64 = folded.iter().map(|(_, goroutines)| goroutines).sum();
            assert_eq!((sum, rest), (tally.total, 0));
        }
    }

    #[test]
    fn there_is_an_end_to_stacks_and_none_is_lost() {
        let mut sink = StackCollector::new(&Rules::default());
        let frames: Vec<FrameId> = (0..300)
            .map(|line| {
                sink.frame(FrameText {
                    function: b"main.f",
                    file: b"/a.go",
                    line,
                })
            })
            .collect();
        for n in 0..40_000 {
            let calls = [frames[n / 200], frames[n % 200]];
            let id = sink.stack(Stack {
                frames: &calls,
                leaf: crate::profile::Leaf::Complete,
                root_cut: false,
            });
            let facts = Facts {
                count: 1,
                ..Facts::default()
            };
            sink.count(id, &facts);
        }
        assert_eq!(sink.left_out, 40_000 - u64::try_from(MAX_STACKS).unwrap());
    }
}
