//! Goroutines through their states, in the order that their sequence numbers give, and what is counted of it.
//!
//! Every event about a goroutine is a [`Record`]. A record is taken when the state and the sequence number before it admit
//! it, and waits otherwise: two processors' clocks may differ by more than it takes to wake a goroutine, so that its start
//! is read before the wake-up. What still waits when a generation ends is taken by sequence number, and what is missing
//! is counted. This is the part of Go's own order (internal/trace/order.go) that concerns goroutines; processors, which
//! need the rest of it, are not followed.

use std::collections::BTreeMap;

use super::goroutine::{Goroutine, OLDER, Record, State, Status, Step};
use super::overlap::Stretches;
use super::tables::{Groups, Map, UNLISTED};
use super::window::{Births, Blame, Cause, Collector, Damage, Owner, Runnable, Spans, Waited};
use super::{Limits, latency::Latency};

/// The most records that wait for others.
const MAX_WAITING: usize = 1 << 16;

/// No goroutine: its number is not kept, since there are too many.
pub(super) const NOBODY: u32 = u32::MAX;

/// All goroutines, and what was counted of them.
#[derive(Debug)]
pub(super) struct Machine {
    goroutines: Vec<Goroutine>,
    free: Vec<u32>,
    index: Map<u64, u32>,
    waiting: BTreeMap<(u32, u64, u64), Record>,
    waited: u64,
    max: usize,
    /// Counts generations from 1, and when this one began.
    generation: u64,
    began: u64,
    pub(super) groups: Groups,
    pub(super) stopped: Stretches,
    /// A stopped world, or marking.
    pub(super) disturbed: Stretches,
    pub(super) blocked_unlisted: Spans,
    pub(super) syscalls_unlisted: Spans,
    pub(super) syscalls_lost_processor: u64,
    pub(super) latency: [Latency; Cause::ALL.len()],
    pub(super) runnable: Runnable,
    pub(super) collector: Collector,
    pub(super) sites_unlisted: Births,
    pub(super) ended_older: u64,
    /// Goroutines that never moved, with their group.
    pub(super) parked: Vec<(u64, u32)>,
    pub(super) damage: Damage,
}

impl Machine {
    pub(super) fn new(groups: Groups, limits: &Limits) -> Self {
        Self {
            goroutines: Vec::new(),
            free: Vec::new(),
            index: Map::default(),
            waiting: BTreeMap::new(),
            waited: 0,
            max: limits.goroutines,
            generation: 0,
            began: 0,
            groups,
            stopped: Stretches::default(),
            disturbed: Stretches::default(),
            blocked_unlisted: Spans::default(),
            syscalls_unlisted: Spans::default(),
            syscalls_lost_processor: 0,
            latency: Default::default(),
            runnable: Runnable::default(),
            collector: Collector::default(),
            sites_unlisted: Births::default(),
            ended_older: 0,
            parked: Vec::new(),
            damage: Damage::default(),
        }
    }

    /// A generation begins.
    pub(super) fn begin(&mut self, at: u64) {
        self.generation += 1;
        self.began = at;
    }

    /// When the generation began.
    pub(super) fn began(&self) -> u64 {
        self.began
    }

    /// How many goroutines there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The place of the goroutine of that number; [`NOBODY`] where there are too many.
    #[inline]
    pub(super) fn goroutine(&mut self, id: u64) -> u32 {
        if let Some(&known) = self.index.get(&id) {
            return known;
        }
        self.insert(id)
    }

    /// The place of a new goroutine of that number, whatever there was before.
    pub(super) fn incarnation(&mut self, id: u64) -> u32 {
        let known = self.index.get(&id).copied();
        let unmet = known.filter(|&at| {
            self.get(at)
                .is_some_and(|goroutine| goroutine.state == State::Unknown)
        });
        unmet.unwrap_or_else(|| self.insert(id))
    }

    fn insert(&mut self, id: u64) -> u32 {
        let goroutine = Goroutine::new(id);
        let at = if let Some(at) = self.free.pop() {
            if let Some(slot) = self.get_mut(at) {
                *slot = goroutine;
            }
            at
        } else {
            let at = u32::try_from(self.goroutines.len()).unwrap_or(NOBODY);
            if self.goroutines.len() >= self.max {
                return NOBODY;
            }
            self.goroutines.push(goroutine);
            at
        };
        self.index.insert(id, at);
        at
    }

    #[inline]
    fn get(&self, at: u32) -> Option<&Goroutine> {
        self.goroutines.get(usize::try_from(at).ok()?)
    }

    #[inline]
    fn get_mut(&mut self, at: u32) -> Option<&mut Goroutine> {
        self.goroutines.get_mut(usize::try_from(at).ok()?)
    }

    /// Takes a record of a goroutine, now or when it is its turn.
    #[inline]
    pub(super) fn record(&mut self, at: u32, record: Record) {
        let Some(goroutine) = self.get(at).filter(|goroutine| !goroutine.gone) else {
            self.damage.dropped += 1;
            return;
        };
        if goroutine.admits(self.generation, &record) {
            let waiting = goroutine.waiting;
            self.take(at, &record);
            if waiting {
                self.settle(at);
            }
        } else {
            self.defer(at, record);
        }
    }

    /// A place, with the number of the goroutine that has it.
    pub(super) fn named(&self, at: u32) -> Option<(u32, u64)> {
        let goroutine = self.get(at).filter(|goroutine| !goroutine.gone)?;
        Some((at, goroutine.id))
    }

    /// Takes what a goroutine does that ran when the last generation ended, and of which this one has said nothing: it is
    /// the end of what was.
    #[cold]
    pub(super) fn left_over(&mut self, (at, id): (u32, u64), when: u64, step: Step) {
        let generation = self.generation;
        let known = self.get(at).copied().filter(|goroutine| {
            goroutine.id == id && !goroutine.gone && goroutine.generation < generation
        });
        let Some(goroutine) = known.filter(|goroutine| goroutine.state.fits(step)) else {
            self.damage.conflicts += 1;
            return;
        };
        let record = Record {
            sequence: goroutine.sequence,
            at: when,
            step,
        };
        self.take(at, &record);
        // Its status is still to come.
        if let Some(slot) = self.get_mut(at).filter(|slot| !slot.gone) {
            slot.generation = goroutine.generation;
        }
    }

    #[cold]
    fn defer(&mut self, at: u32, record: Record) {
        if self.waiting.len() >= MAX_WAITING {
            self.damage.dropped += 1;
            return;
        }
        self.waited += 1;
        self.waiting
            .insert((at, record.sequence, self.waited), record);
        if let Some(goroutine) = self.get_mut(at) {
            goroutine.waiting = true;
        }
    }

    /// Takes what waited for the record before.
    #[cold]
    fn settle(&mut self, at: u32) {
        loop {
            let first = self
                .waiting
                .range((at, 0, 0)..=(at, u64::MAX, u64::MAX))
                .next();
            let Some((&key, &record)) = first else {
                self.waits_no_more(at);
                return;
            };
            let generation = self.generation;
            if !self
                .get(at)
                .is_some_and(|goroutine| !goroutine.gone && goroutine.admits(generation, &record))
            {
                return;
            }
            self.waiting.remove(&key);
            self.take(at, &record);
        }
    }

    /// No record of it waits. One that has ended leaves its place behind.
    fn waits_no_more(&mut self, at: u32) {
        let Some(goroutine) = self.get_mut(at) else {
            return;
        };
        if std::mem::take(&mut goroutine.waiting) && goroutine.gone {
            self.free.push(at);
        }
    }

    /// A generation ends: takes what still waits, by goroutine and sequence number.
    pub(super) fn end(&mut self) {
        while let Some(((at, ..), record)) = self.waiting.pop_first() {
            let generation = self.generation;
            self.waits_no_more(at);
            let Some(goroutine) = self.get(at).filter(|goroutine| !goroutine.gone) else {
                self.damage.dropped += 1;
                continue;
            };
            if !goroutine.admits(generation, &record) {
                let expected = if goroutine.generation == generation {
                    goroutine.sequence.saturating_add(1)
                } else {
                    0
                };
                let missing = record.sequence.saturating_sub(expected).max(1);
                self.damage.gaps = self.damage.gaps.saturating_add(missing);
            }
            self.take(at, &record);
        }
    }

    /// The window ends.
    pub(super) fn finish(&mut self, at: u64) {
        for slot in 0..self.goroutines.len() {
            let slot = u32::try_from(slot).unwrap_or(NOBODY);
            let Some(goroutine) = self.get(slot).copied() else {
                continue;
            };
            // Those that have gone leave their place behind.
            if goroutine.state == State::Unknown || self.index.get(&goroutine.id) != Some(&slot) {
                continue;
            }
            if goroutine.state == State::Waiting && goroutine.left {
                self.parked.push((goroutine.id, goroutine.group));
            }
            self.close(&goroutine, at, true);
            if let Some((since, left)) = goroutine.assist {
                let time = self.elapsed(since, at);
                self.collector.assist.class(left, true).add(time);
            }
        }
    }

    /// Takes a record whose turn it is, or that nothing better is known of.
    fn take(&mut self, at: u32, record: &Record) {
        let Some(&before) = self.get(at) else {
            return;
        };
        let mut after = before;
        if record.step != Step::AssistActive {
            after.sequence = record.sequence;
        }
        after.generation = self.generation;
        let fits = before.state.fits(record.step);
        match record.step {
            Step::Status(status, group) => self.status(&mut after, status, group),
            Step::AssistActive => {
                after.assist.get_or_insert((self.began, true));
            }
            Step::AssistBegin => after.assist = Some((record.at, false)),
            Step::AssistEnd => {
                if let Some((since, left)) = after.assist.take() {
                    let time = self.elapsed(since, record.at);
                    self.collector.assist.class(left, false).add(time);
                } else {
                    self.damage.conflicts += 1;
                }
            }
            Step::Worker => after.worker = true,
            _ => {
                if fits {
                    self.close(&before, record.at, false);
                } else {
                    self.damage.conflicts += 1;
                }
                after.since = record.at;
                after.left = false;
            }
        }
        match record.step {
            Step::Create(site, group) => {
                after.site = site;
                after.assist = None;
                after.state =
                    group.map_or(State::Runnable(Some(Cause::Create)), |_| State::Waiting);
                after.group = group.unwrap_or(UNLISTED);
                self.born(site);
            }
            Step::Callback(site, group) => {
                after.site = site;
                after.state = State::Syscall;
                after.group = group;
                self.born(site);
            }
            Step::Unblock => after.state = State::Runnable(Some(Cause::Unblock)),
            Step::Start | Step::Switched | Step::SyscallEnd => after.state = State::Running,
            Step::Stop(cause) => after.state = State::Runnable(Some(cause)),
            Step::Block(group) => {
                after.state = State::Waiting;
                after.group = group;
            }
            Step::SyscallBegin(group) => {
                after.state = State::Syscall;
                after.group = group;
            }
            Step::SyscallLost => {
                after.state = State::Runnable(Some(Cause::Syscall));
                self.syscalls_lost_processor += 1;
            }
            Step::Destroy => {
                self.die(at, &before);
                return;
            }
            Step::Status(..)
            | Step::AssistActive
            | Step::AssistBegin
            | Step::AssistEnd
            | Step::Worker => {}
        }
        if let Some(slot) = self.get_mut(at) {
            *slot = after;
        }
    }

    /// A status, which must be what is known already; the first generation knows nothing.
    fn status(&mut self, goroutine: &mut Goroutine, status: Status, group: u32) {
        let said = match status {
            Status::Runnable => State::Runnable(None),
            Status::Running => State::Running,
            Status::Syscall => State::Syscall,
            Status::Waiting => State::Waiting,
        };
        let same = match (goroutine.state, said) {
            (State::Runnable(_), State::Runnable(_)) => true,
            (known, said) => known == said,
        };
        if same {
            // Only a stack at the end of a generation says where a goroutine waits that waited when the trace began.
            if goroutine.left && group != UNLISTED && self.is_better(group, goroutine.group) {
                goroutine.group = group;
            }
            return;
        }
        if goroutine.state != State::Unknown {
            self.damage.conflicts += 1;
        } else if self.generation > 1 {
            self.damage.unknown_goroutines += 1;
        }
        goroutine.state = said;
        goroutine.since = self.began;
        goroutine.left = true;
        goroutine.group = group;
    }

    /// Whether a group says more of a wait than the one before, which had no stack.
    fn is_better(&self, group: u32, before: u32) -> bool {
        let has_stack = |group: u32| {
            let group = usize::try_from(group).ok();
            let group = group.and_then(|at| self.groups.groups.get(at));
            group.is_some_and(|group| group.blocking != self.groups.no_stack)
        };
        has_stack(group) && !has_stack(before)
    }

    fn born(&mut self, site: u32) {
        self.births(site).created += 1;
    }

    fn births(&mut self, site: u32) -> &mut Births {
        let place = usize::try_from(site)
            .ok()
            .and_then(|at| self.groups.places.get_mut(at));
        place.map_or(&mut self.sites_unlisted, |place| &mut place.births)
    }

    fn die(&mut self, at: u32, goroutine: &Goroutine) {
        match goroutine.site {
            OLDER => self.ended_older += 1,
            site => self.births(site).ended += 1,
        }
        if self.index.get(&goroutine.id) == Some(&at) {
            self.index.remove(&goroutine.id);
        }
        if let Some(slot) = self.get_mut(at) {
            slot.state = State::Unknown;
            slot.generation = 0;
            slot.gone = true;
        }
        if !goroutine.waiting {
            self.free.push(at);
        }
    }

    /// The time between two moments; none where the clocks of two processors turn them round.
    fn elapsed(&mut self, from: u64, until: u64) -> u64 {
        until.checked_sub(from).unwrap_or_else(|| {
            self.damage.clamped += 1;
            0
        })
    }

    /// Counts the interval that a goroutine is in, up to a moment. `right`: it goes on.
    fn close(&mut self, goroutine: &Goroutine, until: u64, right: bool) {
        let (from, left) = (goroutine.since, goroutine.left);
        let time = self.elapsed(from, until);
        match goroutine.state {
            State::Unknown => {}
            State::Running => {
                if goroutine.worker {
                    self.collector.workers.add(time);
                }
            }
            State::Runnable(cause) => {
                if goroutine.worker {
                    if !left && !right {
                        self.wait_of(Cause::Collector, time);
                    }
                    return;
                }
                if let Some(cause) = cause.filter(|_| !left && !right) {
                    self.wait_of(cause, time);
                }
                let (stopped, marking) = self.disturbed(from, until);
                self.runnable.spans.class(left, right).add(time);
                let other = time.saturating_sub(stopped.saturating_add(marking));
                add(&mut self.runnable.world_stopped, stopped);
                add(&mut self.runnable.marking, marking);
                add(&mut self.runnable.other, other);
            }
            State::Syscall | State::Waiting => {
                let (stopped, marking) = if left && right {
                    (0, 0)
                } else {
                    self.disturbed(from, until)
                };
                let unlisted = if goroutine.state == State::Waiting {
                    &mut self.blocked_unlisted
                } else {
                    &mut self.syscalls_unlisted
                };
                let group = usize::try_from(goroutine.group).ok();
                let Some(group) = group.and_then(|at| self.groups.groups.get_mut(at)) else {
                    unlisted.class(left, right).add(time);
                    return;
                };
                group.spans.class(left, right).add(time);
                add(&mut group.world_stopped, stopped);
                add(&mut group.marking, marking);
                if goroutine.assist.is_some() && !(left && right) {
                    add(&mut group.assisting, time);
                }
            }
        }
    }

    fn wait_of(&mut self, cause: Cause, time: u64) {
        if let Some(latency) = self.latency.get_mut(cause.index()) {
            latency.add(time);
        }
    }

    /// How much of an interval the world was stopped, and how much of the rest was marked.
    fn disturbed(&self, from: u64, until: u64) -> (u64, u64) {
        let stopped = self.stopped.within(from, until);
        let disturbed = self.disturbed.within(from, until);
        (stopped, disturbed.saturating_sub(stopped))
    }

    /// What goroutines of the application waited for, all together.
    pub(super) fn verdict(&self) -> [Waited; Blame::ALL.len()] {
        let mut verdict = [Waited::default(); Blame::ALL.len()];
        let mut add = |blame: Blame, moved: u64, parked: u64| {
            if let Some(waited) = verdict.get_mut(blame.index()) {
                waited.moved = waited.moved.saturating_add(moved);
                waited.parked = waited.parked.saturating_add(parked);
            }
        };
        add(Blame::WorldStopped, self.runnable.world_stopped, 0);
        add(Blame::Marking, self.runnable.marking, 0);
        add(Blame::Scheduler, self.runnable.other, 0);
        for group in &self.groups.groups {
            if group.owner != Owner::Application {
                continue;
            }
            let moved = group.spans.moved().nanoseconds;
            let parked = group.spans.both.nanoseconds;
            add(group.blame, moved.saturating_sub(group.assisting), parked);
            add(Blame::Collector, group.assisting, 0);
        }
        verdict
    }
}

/// Adds times, which may be anything in a trace that is damaged.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}
