//! Goroutines through their states, in the order that their sequence numbers give, and what is counted of it.
//!
//! Every event about a goroutine is a [`Record`]. A record is taken when the state and the sequence number before it admit
//! it, and waits otherwise: two processors' clocks may differ by more than it takes to wake a goroutine, so that its start
//! is read before the wake-up. What still waits when a generation ends is taken by sequence number, and what is missing
//! is counted. This is the part of Go's own order (internal/trace/order.go) that concerns goroutines; processors, which
//! need the rest of it, are not followed.

use std::collections::BTreeMap;

use super::overlap::Stretches;
use super::tables::{Groups, Map, UNLISTED};
use super::window::{Births, Blame, Cause, Collector, Damage, Owner, Runnable, Spans, Waited};
use super::{Limits, latency::Latency};

/// The most records that wait for others.
const MAX_WAITING: usize = 1 << 16;

/// No goroutine: its number is not kept, since there are too many.
pub(super) const NOBODY: u32 = u32::MAX;

/// What a goroutine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Named, but neither made nor found so far.
    Unknown,
    Runnable(Option<Cause>),
    Running,
    Syscall,
    Waiting,
}

#[derive(Clone, Copy, Debug)]
struct Goroutine {
    id: u64,
    /// The last sequence number, of the generation in which it was last met.
    sequence: u64,
    generation: u64,
    state: State,
    /// Since when.
    since: u64,
    /// Whether it was so before that: the window's start, or that of a generation after damage.
    left: bool,
    /// Whether it is a worker of the garbage collector.
    worker: bool,
    /// Whether records of it wait.
    waiting: bool,
    /// Where it waits, or is in a system call.
    group: u32,
    /// Where it was made: [`OLDER`] before the window.
    site: u32,
    /// Since when it helps the collector, and whether it did before.
    assist: Option<(u64, bool)>,
}

/// A goroutine made before the window.
const OLDER: u32 = UNLISTED - 1;

/// One thing that happens to a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The goroutine's sequence number with it.
    pub(super) sequence: u64,
    /// When.
    pub(super) at: u64,
    /// What.
    pub(super) step: Step,
}

/// What happens to a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It was so when the generation began: as [`Status`], with the group it waits in.
    Status(Status, u32),
    /// It is made at a site; in the group, if it waits at once.
    Create(u32, Option<u32>),
    /// C code calls Go, at that site and group.
    Callback(u32, u32),
    Unblock,
    Start,
    /// The goroutine that ran switched to it.
    Switched,
    Stop(Cause),
    Block(u32),
    SyscallBegin(u32),
    SyscallEnd,
    /// The system call ended after its processor was given away.
    SyscallLost,
    Destroy,
    AssistActive,
    AssistBegin,
    AssistEnd,
    /// It is a worker of the garbage collector.
    Worker,
}

/// What a generation says of a goroutine at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Runnable,
    Running,
    Syscall,
    Waiting,
}

impl Status {
    /// As the trace writes it (tracev2.GoStatus).
    pub(super) fn of(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Runnable),
            2 => Some(Self::Running),
            3 => Some(Self::Syscall),
            4 => Some(Self::Waiting),
            _ => None,
        }
    }
}

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
        let goroutine = Goroutine {
            id,
            sequence: 0,
            generation: 0,
            state: State::Unknown,
            since: 0,
            left: false,
            worker: false,
            waiting: false,
            group: UNLISTED,
            site: OLDER,
            assist: None,
        };
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
        let Some(goroutine) = self.get(at) else {
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
                if let Some(goroutine) = self.get_mut(at) {
                    goroutine.waiting = false;
                }
                return;
            };
            let generation = self.generation;
            if !self
                .get(at)
                .is_some_and(|goroutine| goroutine.admits(generation, &record))
            {
                return;
            }
            self.waiting.remove(&key);
            self.take(at, &record);
        }
    }

    /// A generation ends: takes what still waits, by goroutine and sequence number.
    pub(super) fn end(&mut self) {
        while let Some(((at, ..), record)) = self.waiting.pop_first() {
            let generation = self.generation;
            let Some(goroutine) = self.get_mut(at) else {
                continue;
            };
            goroutine.waiting = false;
            if !goroutine.admits(generation, &record) {
                let expected = if goroutine.generation == generation {
                    goroutine.sequence.saturating_add(1)
                } else {
                    0
                };
                self.damage.gaps += record.sequence.saturating_sub(expected).max(1);
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
                self.runnable.world_stopped += stopped;
                self.runnable.marking += marking;
                self.runnable.other += time.saturating_sub(stopped + marking);
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
                group.world_stopped += stopped;
                group.marking += marking;
                if goroutine.assist.is_some() && !(left && right) {
                    group.assisting += time;
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

impl Goroutine {
    /// Whether it is this record's turn.
    #[inline]
    fn admits(&self, generation: u64, record: &Record) -> bool {
        let met = self.generation == generation;
        let next = met && record.sequence == self.sequence.wrapping_add(1);
        match record.step {
            Step::Status(..) => !met,
            Step::Create(..) | Step::Callback(..) => true,
            Step::AssistActive => met,
            Step::Start => next && matches!(self.state, State::Runnable(_)),
            Step::Unblock | Step::Switched => next && self.state == State::Waiting,
            _ => met && record.sequence == self.sequence,
        }
    }
}

impl State {
    /// Whether a goroutine in this state can do that.
    fn fits(self, step: Step) -> bool {
        match step {
            Step::Status(..)
            | Step::AssistActive
            | Step::AssistBegin
            | Step::AssistEnd
            | Step::Worker => true,
            Step::Create(..) | Step::Callback(..) => self == Self::Unknown,
            Step::Unblock | Step::Switched => self == Self::Waiting,
            Step::Start => matches!(self, Self::Runnable(_)),
            Step::Stop(_) | Step::Block(_) | Step::SyscallBegin(_) => self == Self::Running,
            Step::SyscallEnd | Step::SyscallLost => self == Self::Syscall,
            Step::Destroy => matches!(self, Self::Running | Self::Syscall),
        }
    }
}
