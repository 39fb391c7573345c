//! Contention: waits that are over, by the function that waited, counted since the program was started.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::collector::MAX_GROUPS;
use super::interner::NameId;
use super::judge::{Judge, Kept};
use super::series::SLACK;
use crate::classify::Rules;
use crate::profile::{Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId};

#[cfg(test)]
mod tests;

/// Counts what a decoder pushes of a `block` or `mutex` profile. Memory: as [`Collector`](super::Collector), less a
/// place than a group.
#[derive(Debug)]
pub struct ContentionCollector {
    judge: Judge,
    /// Blocking and application frame of a stack, where both were kept.
    stacks: Kept<Option<Key>>,
    places: HashMap<Key, Sum, RandomState>,
    total: Sum,
}

type Key = (NameId, NameId);

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    events: u64,
    nanoseconds: u64,
}

/// Everything counted in one profile of contention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contention {
    /// How many waits, those of no place in `places` included.
    pub events: u64,
    /// How long, all together; the same.
    pub nanoseconds: u64,
    /// Longest first, then most events, then by name.
    pub places: Vec<ContentionPlace>,
}

/// Waits with the same blocking frame and application frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentionPlace {
    /// The first function, leaf first, that is not plumbing.
    pub blocking_frame: Arc<str>,
    /// The first function of the application; empty when there is none.
    pub app_frame: Arc<str>,
    /// How many waits.
    pub events: u64,
    /// How long, all together.
    pub nanoseconds: u64,
}

impl ContentionCollector {
    /// An empty one.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            judge: Judge::new(rules),
            stacks: Kept::new(None),
            places: HashMap::default(),
            total: Sum::default(),
        }
    }

    /// The counts, once the decoder is done. Cost: linear in places, with a sort.
    #[must_use]
    pub fn finish(self) -> Contention {
        let names = &self.judge.names;
        let place = |(&(blocking, app), sum): (&Key, &Sum)| ContentionPlace {
            blocking_frame: names.get(blocking),
            app_frame: names.get(app),
            events: sum.events,
            nanoseconds: sum.nanoseconds,
        };
        let mut places: Vec<ContentionPlace> = self.places.iter().map(place).collect();
        places.sort_unstable_by(|left, right| left.order().cmp(&right.order()));
        Contention {
            events: self.total.events,
            nanoseconds: self.total.nanoseconds,
            places,
        }
    }
}

impl Sum {
    fn add(&mut self, facts: &Facts<'_>) {
        self.events = self.events.saturating_add(facts.count);
        self.nanoseconds = self.nanoseconds.saturating_add(facts.delay_nanoseconds);
    }
}

impl ContentionPlace {
    fn order(&self) -> impl Ord + use<'_> {
        (
            Reverse(self.nanoseconds),
            Reverse(self.events),
            &self.blocking_frame,
            &self.app_frame,
        )
    }
}

impl Sink for ContentionCollector {
    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        self.judge.frame(frame)
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        let judged = self.judge.stack(stack);
        self.stacks.keep(self.judge.labels(&judged))
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        self.total.add(facts);
        let Some(key) = *self.stacks.get(stack) else {
            return;
        };
        let full = self.places.len() >= MAX_GROUPS;
        if let Some(sum) = self.places.get_mut(&key) {
            sum.add(facts);
        } else if !full {
            self.places.entry(key).or_default().add(facts);
        }
    }

    fn reveal(&mut self, _id: HiddenId, _functions: &[&str]) {}
}

/// Stands for all places without series of their own.
pub const OTHER_PLACES: &str = "other";

/// What is remembered of a target's places from probe to probe: those with series, by a hash of their names, which may be
/// long. Starts empty; losing it does no harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentionMemory {
    held: BTreeSet<u64>,
}

/// Which places get series of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentionSelection {
    /// Places in [`Contention::places`], longest first: the first `limit`, and up to five that had series before.
    pub shown: Vec<usize>,
    /// Waits elsewhere.
    pub other_events: u64,
    /// How long those were, all together.
    pub other_nanoseconds: u64,
}

/// Chooses the places with series, and notes the choice in `memory` for the next probe: the first `limit`, and each
/// that has series already while it is among the first `limit` + 5. They become counters, which must not come and go,
/// and a new place must not wait behind old ones: so there may be up to five more than `limit`.
///
/// Cost: linear in `limit`, and in the places for the rest.
#[must_use]
pub fn select_contention(
    contention: &Contention,
    limit: usize,
    memory: &mut ContentionMemory,
) -> ContentionSelection {
    let hash = |place: &ContentionPlace| {
        FixedState::default().hash_one((&place.blocking_frame, &place.app_frame))
    };
    let within = limit.saturating_add(if limit == 0 { 0 } else { SLACK });
    let mut selection = ContentionSelection {
        shown: Vec::new(),
        other_events: contention.events,
        other_nanoseconds: contention.nanoseconds,
    };
    let mut held = BTreeSet::new();
    for (rank, place) in contention.places.iter().enumerate().take(within) {
        // A place of that name would be a series twice.
        let is_other =
            [&place.blocking_frame, &place.app_frame].map(|name| &**name == OTHER_PLACES);
        let hash = hash(place);
        if is_other != [true; 2] && (rank < limit || memory.held.contains(&hash)) {
            held.insert(hash);
            selection.shown.push(rank);
            selection.other_events = selection.other_events.saturating_sub(place.events);
            selection.other_nanoseconds = selection
                .other_nanoseconds
                .saturating_sub(place.nanoseconds);
        }
    }
    memory.held = held;
    selection
}
