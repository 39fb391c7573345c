//! The sink that counts: frames, stacks and goroutines in, a [`Tally`] out.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::interner::{NameId, Names};
use super::judge::{Judge, Judged, Kept};
use super::labels::LabelValues;
use super::{Group, GroupId, Place, Tally, WAITED_MINUTES};
use crate::classify::{NOT_STARTED, Origin, Rules, Wait, WaitReason, names, stated};
use crate::profile::{Facts, FrameId, FrameText, HiddenId, Sink, Stack, StackId, Summary};

/// The most groups kept apart; goroutines of further ones are counted in [`Tally::unlisted`].
pub(super) const MAX_GROUPS: usize = 1 << 14;
/// Room for the groups of most services: a table that grows is copied each time.
const ORDINARY_GROUPS: usize = 56;
/// The most locations, entries and creators kept for one group, among which the most frequent one is found.
const MAX_ALTERNATIVES: usize = 32;

/// Counts what a decoder pushes. Memory: about 100 bytes a distinct stack up to 32,768 of them, the text of the
/// distinct functions, and some hundred bytes a group; the number of goroutines does not matter.
#[derive(Debug)]
pub struct Collector {
    judge: Judge,
    stacks: Kept<KnownStack>,
    groups: Vec<Counted>,
    index: HashTable<u32>,
    hasher: RandomState,
    hidden: BTreeMap<u16, WaitReason>,
    total: u64,
    leaked: u64,
    unlisted: u64,
    watches: Vec<u64>,
    labels: Vec<LabelValues>,
    highest_id: Option<u64>,
    depths: u64,
    stated: Stated,
}

/// What was made of a stack.
#[derive(Clone, Copy, Debug)]
struct KnownStack {
    judged: Judged,
    /// Where the goroutines of this stack were counted last: they nearly always go there again.
    last: Option<Last>,
}

/// A group, by its number, and what has led there.
#[derive(Clone, Copy, Debug)]
struct Last {
    wait: Pending,
    group: u32,
    /// Goroutines whose places the group has not been told yet: they are the same for all of one stack.
    untold: u64,
}

/// What makes two goroutines one group, before hidden addresses are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    wait: Pending,
    blocking: NameId,
    app: NameId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pending {
    Known(WaitReason),
    Hidden(u16),
}

impl Pending {
    /// What frames tell they tell in every encoding, so it goes before words.
    fn new(stack: Wait, words: Option<WaitReason>) -> Self {
        match (stack, words) {
            (Wait::Stated(told), Some(WaitReason::Semacquire)) => Self::Known(told),
            (Wait::Known(reason), _) | (_, Some(reason)) => Self::Known(reason),
            (Wait::Hidden(id), None) => Self::Hidden(id),
            (Wait::Stated(_), None) => Self::Known(WaitReason::Unknown),
        }
    }
}

/// The words for a wait that came last, and what they mean: those of the next goroutine are nearly always the same.
#[derive(Debug)]
struct Stated {
    words: Vec<u8>,
    reason: WaitReason,
}

impl Stated {
    fn reason(&mut self, words: Option<&[u8]>) -> Option<WaitReason> {
        let words = words?;
        if self.words != words {
            self.words.clear();
            self.words.extend_from_slice(words);
            self.reason = stated(words);
        }
        Some(self.reason)
    }
}

#[derive(Debug)]
struct Counted {
    key: Key,
    goroutines: u64,
    leaked: u64,
    longest: Option<u64>,
    waited: [u64; WAITED_MINUTES.len()],
    located: Alternatives,
    entries: Alternatives,
    creators: Alternatives,
    /// The nearest to the application among those of the blocking frames: functions of one name may come from several
    /// files, and the order of a dump must not matter.
    origin: Origin,
}

/// Frames with how many goroutines have them. Beyond [`MAX_ALTERNATIVES`] new ones are left out: the most
/// frequent one comes early. Most groups have one, which takes no memory of its own.
#[derive(Clone, Debug, Default)]
struct Alternatives {
    first: Option<(Option<FrameId>, u64)>,
    others: Vec<(Option<FrameId>, u64)>,
}

impl Alternatives {
    fn add(&mut self, frame: Option<FrameId>, count: u64) {
        let Some(first) = &mut self.first else {
            self.first = Some((frame, count));
            return;
        };
        let mut all = std::iter::once(first).chain(&mut self.others);
        if let Some((_, known)) = all.find(|(known, _)| *known == frame) {
            *known = known.saturating_add(count);
        } else if self.others.len() + 1 < MAX_ALTERNATIVES {
            self.others.push((frame, count));
        }
    }

    fn iter(&self) -> impl Iterator<Item = (Option<FrameId>, u64)> {
        self.first.iter().chain(&self.others).copied()
    }

    /// What `view` makes of the frames, with its goroutines, the most frequent first; ties by the view, so that the
    /// order of a dump does not matter.
    fn by_frequency<T: Ord>(&self, mut view: impl FnMut(Option<FrameId>) -> T) -> Vec<(T, u64)> {
        let mut seen: Vec<(T, u64)> = Vec::with_capacity(self.others.len() + 1);
        seen.extend(self.iter().map(|(frame, count)| (view(frame), count)));
        seen.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        seen.dedup_by(|(next, more), (known, count)| {
            let same = next == known;
            if same {
                *count = count.saturating_add(*more);
            }
            same
        });
        seen.sort_by_key(|(_, count)| Reverse(*count));
        seen
    }

    fn most_frequent<T: Ord>(&self, mut view: impl FnMut(Option<FrameId>) -> T) -> Option<T> {
        if self.others.is_empty() {
            return self.first.map(|(frame, _)| view(frame));
        }
        let best = self.by_frequency(view).into_iter().next();
        best.map(|(best, _)| best)
    }
}

impl Collector {
    /// An empty one.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            judge: Judge::new(rules),
            stacks: Kept::new(KnownStack {
                judged: Judged::NOTHING,
                last: None,
            }),
            groups: Vec::with_capacity(ORDINARY_GROUPS),
            index: HashTable::with_capacity(ORDINARY_GROUPS),
            hasher: RandomState::default(),
            hidden: BTreeMap::new(),
            total: 0,
            leaked: 0,
            unlisted: 0,
            watches: vec![0; rules.watches().len()],
            labels: vec![LabelValues::default(); rules.labels().len()],
            highest_id: None,
            depths: 0,
            stated: Stated {
                words: Vec::new(),
                reason: stated(b""),
            },
        }
    }

    /// The counts, once the decoder is done. Cost: linear in groups, with a sort.
    #[must_use]
    pub fn finish(mut self, summary: Summary) -> Tally {
        self.take(summary)
    }

    /// The counts, taken out; frames and names stay.
    pub(super) fn take(&mut self, summary: Summary) -> Tally {
        for stack in self.stacks.iter_mut() {
            if let Some(last) = stack.last.take() {
                tell(&mut self.groups, &stack.judged, &last);
            }
        }
        let mut tally = Tally {
            summary,
            total: self.total,
            wait_reasons: [0; WaitReason::ALL.len()],
            longest_waits: [None; WaitReason::ALL.len()],
            waited: [[0; WAITED_MINUTES.len()]; WaitReason::ALL.len()],
            leaked: if summary.leaked_only {
                Some(self.total)
            } else {
                Some(self.leaked).filter(|&marked| marked > 0)
            },
            groups: Vec::with_capacity(self.groups.len()),
            unlisted: self.unlisted,
            watches: self
                .judge
                .rules
                .watches()
                .iter()
                .cloned()
                .zip(self.watches.iter().copied())
                .collect(),
            labels: Vec::new(),
            highest_id: self.highest_id,
            checked: None,
            frames: self.depths,
        };
        for group in self.merged() {
            let reason = group.reason(&self.hidden);
            let at = reason.index();
            let longest = group
                .longest
                .map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
            add(&mut tally.wait_reasons, at, group.goroutines);
            if let Some(known) = tally.longest_waits.get_mut(at) {
                *known = (*known).max(longest);
            }
            if let Some(waited) = tally.waited.get_mut(at) {
                for (known, more) in waited.iter_mut().zip(group.waited) {
                    *known = known.saturating_add(more);
                }
            }
            let group = self.named(&group, reason, longest);
            tally.groups.push(group);
        }
        add(
            &mut tally.wait_reasons,
            WaitReason::Unknown.index(),
            self.unlisted,
        );
        tally
            .groups
            .sort_unstable_by_key(|group| (Reverse(group.goroutines), group.id));
        for (key, values) in self.judge.rules.labels().iter().zip(&self.labels) {
            let key: Arc<str> = names::cut_middle(key.as_str()).into();
            let named = values.named().into_iter();
            tally
                .labels
                .extend(named.map(|(value, count)| (key.clone(), value, count)));
        }
        tally.labels.sort();
        tally
    }

    /// The id of each group by the number it is counted under; several are one group in the end where they have one id.
    pub(super) fn ids(&self) -> Vec<GroupId> {
        let names = &self.judge.names;
        let id = |group: &Counted| {
            let (blocking, app) = (names.get(group.key.blocking), names.get(group.key.app));
            GroupId::of(group.reason(&self.hidden), &blocking, &app)
        };
        self.groups.iter().map(id).collect()
    }

    /// Frames and names, for what else is to be said of them.
    pub(super) fn into_judge(self) -> Judge {
        self.judge
    }

    /// The groups, those with the same revealed wait reason made one.
    fn merged(&mut self) -> Vec<Counted> {
        let hidden = |group: &Counted| matches!(group.key.wait, Pending::Hidden(_));
        if !self.groups.iter().any(hidden) {
            return std::mem::take(&mut self.groups);
        }
        let mut merged: Vec<Counted> = Vec::with_capacity(self.groups.len());
        let mut index: BTreeMap<(usize, NameId, NameId), usize> = BTreeMap::new();
        for group in std::mem::take(&mut self.groups) {
            let key = (
                group.reason(&self.hidden).index(),
                group.key.blocking,
                group.key.app,
            );
            if let Some(known) = index.get(&key).and_then(|&at| merged.get_mut(at)) {
                known.absorb(&group);
            } else {
                index.insert(key, merged.len());
                merged.push(group);
            }
        }
        merged
    }

    fn named(
        &mut self,
        group: &Counted,
        wait_reason: WaitReason,
        longest_wait: Option<Duration>,
    ) -> Group {
        let (frames, names) = (&mut self.judge.frames, &mut self.judge.names);
        let blocking_frame = names.get(group.key.blocking);
        let app_frame = names.get(group.key.app);
        let located = group.located.by_frequency(|frame| {
            let place = frame.and_then(|frame| frames.place(frame, names));
            place.map_or((Arc::default(), 0), |(file, line)| (names.get(file), line))
        });
        let place = |((file, line), goroutines)| Place {
            file,
            line,
            goroutines,
        };
        let places: Vec<Place> = located.into_iter().map(place).collect();
        let (file, line) = places
            .first()
            .map(|place| (place.file.clone(), place.line))
            .unwrap_or_default();
        let mut name = |frame: Option<FrameId>| {
            frame
                .and_then(|frame| frames.name(frame, names))
                .map(|name| names.get(name))
                .unwrap_or_default()
        };
        Group {
            id: GroupId::of(wait_reason, &blocking_frame, &app_frame),
            wait_reason,
            blocking_frame,
            app_frame,
            goroutines: group.goroutines,
            leaked: group.leaked,
            longest_wait,
            parked: None,
            file,
            line,
            places,
            entry: group.entries.most_frequent(&mut name).unwrap_or_default(),
            created_by: group.creators.most_frequent(&mut name),
            origin: group.origin,
        }
    }

    /// The number of the group that goroutines belong to; nothing where there are too many groups or names.
    fn group(&mut self, stack: &Judged, wait: Pending, not_started: bool) -> Option<u32> {
        let (blocking, app) = if not_started {
            (self.judge.names.intern(NOT_STARTED), Names::EMPTY)
        } else {
            self.judge.labels(stack)?
        };
        let key = Key {
            wait,
            blocking,
            app,
        };
        let hash = self.hasher.hash_one(Some(key));
        let groups = &self.groups;
        let key_at = |at: &u32| {
            usize::try_from(*at)
                .ok()
                .and_then(|at| groups.get(at))
                .map(|group| group.key)
        };
        if let Some(&at) = self.index.find(hash, |at| key_at(at) == Some(key)) {
            return Some(at);
        }
        let at = u32::try_from(self.groups.len())
            .ok()
            .filter(|_| self.groups.len() < MAX_GROUPS)?;
        self.groups.push(Counted::new(key));
        let (groups, hasher) = (&self.groups, &self.hasher);
        self.index.insert_unique(hash, at, |at| {
            hasher.hash_one(
                usize::try_from(*at)
                    .ok()
                    .and_then(|at| groups.get(at))
                    .map(|group| group.key),
            )
        });
        Some(at)
    }

    /// Counts goroutines, and tells the number of their group; nothing where they are of no group that is kept.
    pub(super) fn add(&mut self, stack: StackId, facts: &Facts<'_>) -> Option<u32> {
        self.total = self.total.saturating_add(facts.count);
        if facts.leaked {
            self.leaked = self.leaked.saturating_add(facts.count);
        }
        self.highest_id = self.highest_id.max(facts.id);
        if !self.labels.is_empty() {
            self.count_labels(facts);
        }
        let judged = &self.stacks.get(stack).judged;
        let depths = u64::from(judged.depth).saturating_mul(facts.count);
        self.depths = self.depths.saturating_add(depths);
        if judged.watches != 0 {
            for (bit, count) in self.watches.iter_mut().enumerate() {
                if judged.watches & (1 << bit) != 0 {
                    *count = count.saturating_add(facts.count);
                }
            }
        }
        let wait = Pending::new(judged.wait, self.stated.reason(facts.wait_reason));
        if let Some(KnownStack {
            judged,
            last: Some(last),
        }) = self.stacks.get_mut(stack)
            && last.wait == wait
            && !facts.not_started
            && let Some(group) = group(&mut self.groups, last.group)
        {
            last.untold = last.untold.saturating_add(facts.count);
            group.add(judged, facts);
            return Some(last.group);
        }
        self.add_elsewhere(stack, wait, facts)
    }

    /// Counts goroutines that do not go where the last of their stack went: there was none, or it waited for something else,
    /// or no group was left for it, or their stack is not kept, or does not count since they have not begun to run.
    fn add_elsewhere(&mut self, stack: StackId, wait: Pending, facts: &Facts<'_>) -> Option<u32> {
        let judged = self.stacks.get(stack).judged;
        let Some(number) = self.group(&judged, wait, facts.not_started) else {
            self.unlisted = self.unlisted.saturating_add(facts.count);
            return None;
        };
        if let Some(group) = group(&mut self.groups, number) {
            group.add(&judged, facts);
        }
        // Where one has not begun to run, its stack says nothing of places.
        if !facts.not_started {
            let new = Last {
                wait,
                group: number,
                untold: facts.count,
            };
            let before = match self.stacks.get_mut(stack) {
                Some(kept) => kept.last.replace(new),
                None => Some(new),
            };
            if let Some(before) = before {
                tell(&mut self.groups, &judged, &before);
            }
        }
        Some(number)
    }

    fn count_labels(&mut self, facts: &Facts<'_>) {
        for (key, values) in self.judge.rules.labels().iter().zip(&mut self.labels) {
            for (_, value) in facts
                .labels
                .iter()
                .filter(|(name, _)| *name == key.as_bytes())
            {
                values.add(value, facts.count);
            }
        }
    }
}

impl Sink for Collector {
    fn wants_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    fn frame(&mut self, frame: FrameText<'_>) -> FrameId {
        self.judge.frame(frame)
    }

    fn stack(&mut self, stack: Stack<'_>) -> StackId {
        self.stacks.keep(KnownStack {
            judged: self.judge.stack(stack),
            last: None,
        })
    }

    fn count(&mut self, stack: StackId, facts: &Facts<'_>) {
        self.add(stack, facts);
    }

    fn reveal(&mut self, id: HiddenId, functions: &[&str]) {
        self.hidden
            .insert(id.0, self.judge.rules.revealed(functions));
    }
}

impl Counted {
    fn new(key: Key) -> Self {
        Self {
            key,
            goroutines: 0,
            leaked: 0,
            longest: None,
            waited: [0; WAITED_MINUTES.len()],
            located: Alternatives::default(),
            entries: Alternatives::default(),
            creators: Alternatives::default(),
            origin: Origin::Stdlib,
        }
    }

    fn reason(&self, hidden: &BTreeMap<u16, WaitReason>) -> WaitReason {
        match self.key.wait {
            Pending::Known(reason) => reason,
            Pending::Hidden(id) => hidden.get(&id).copied().unwrap_or(WaitReason::Unknown),
        }
    }

    fn add(&mut self, stack: &Judged, facts: &Facts<'_>) {
        self.goroutines = self.goroutines.saturating_add(facts.count);
        if facts.leaked {
            self.leaked = self.leaked.saturating_add(facts.count);
        }
        self.longest = self.longest.max(facts.waited_minutes);
        for (count, least) in self.waited.iter_mut().zip(WAITED_MINUTES) {
            if facts.waited_minutes.is_some_and(|minutes| minutes >= least) {
                *count = count.saturating_add(facts.count);
            }
        }
        if matches!(stack.wait, Wait::Stated(_)) {
            self.creators.add(facts.created_by, facts.count);
        }
    }

    /// Notes the places of goroutines that are counted already.
    fn locate(&mut self, stack: &Judged, goroutines: u64) {
        self.located.add(stack.app.or(stack.blocking), goroutines);
        self.entries.add(stack.entry, goroutines);
        self.origin = self.origin.min(stack.origin);
    }

    fn absorb(&mut self, other: &Self) {
        self.goroutines = self.goroutines.saturating_add(other.goroutines);
        self.leaked = self.leaked.saturating_add(other.leaked);
        self.longest = self.longest.max(other.longest);
        self.origin = self.origin.min(other.origin);
        for (count, more) in self.waited.iter_mut().zip(other.waited) {
            *count = count.saturating_add(more);
        }
        for (mine, theirs) in [
            (&mut self.located, &other.located),
            (&mut self.entries, &other.entries),
            (&mut self.creators, &other.creators),
        ] {
            for (frame, count) in theirs.iter() {
                mine.add(frame, count);
            }
        }
    }
}

fn group(groups: &mut [Counted], number: u32) -> Option<&mut Counted> {
    groups.get_mut(usize::try_from(number).ok()?)
}

/// Tells a group the places of goroutines of one stack.
fn tell(groups: &mut [Counted], stack: &Judged, last: &Last) {
    if let Some(group) = group(groups, last.group) {
        group.locate(stack, last.untold);
    }
}

fn add(counts: &mut [u64], at: usize, more: u64) {
    if let Some(count) = counts.get_mut(at) {
        *count = count.saturating_add(more);
    }
}
