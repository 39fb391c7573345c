//! The events of one generation: threads merged by time, each event told to the goroutine it is about.
//!
//! A thread writes its own events in their order; those of several are merged by their times, which is nearly the order
//! in which things happened. Where it is not, [`Machine`] holds records back. An event without a goroutine's number is about
//! the one that runs on the thread, and carries the sequence number with which that one began to run there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::machine::{Machine, NOBODY, Record, Status, Step};
use super::tables::{Map, Tables};
use super::window::{Cause, Sum};
use super::wire::{self, Batch, Bytes, Event, Format, event};
use crate::classify::{WaitReason, names};
use crate::tally::Name;

/// Batches of tables and of goroutines that did nothing have no thread.
const NO_THREAD: u64 = u64::MAX;
/// The most kinds of stops kept apart; Go has about thirty.
const MAX_KINDS: usize = 64;
/// The most events of the collector that wait for earlier ones.
const MAX_PHASES: usize = 64;

/// The first word of the stops that a trace makes itself (runtime/proc.go, `stwReasonStrings`).
const TRACER_STOPS: [&[u8]; 2] = [b"start trace", b"stop trace"];
/// How the runtime labels the collector's workers (runtime/traceruntime.go, `gcMarkWorkerModeStrings`).
const WORKERS: &[u8] = b"GC (";
/// What stands for the function of a goroutine that C code called.
const CALLBACK: &str = "(cgo callback)";

/// What concerns the whole program, carried from generation to generation.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Stops by kind.
    pub(super) stops: Vec<Kind>,
    /// Open ones: thread, since when, kind.
    stopping: Vec<(u64, u64, Option<usize>)>,
    phases: Phases,
    pub(super) processors: Option<u64>,
    pub(super) events: u64,
    /// The last moment.
    pub(super) last: u64,
}

/// Stops of one kind.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) words: Arc<str>,
    pub(super) tracer: bool,
    pub(super) sum: Sum,
    pub(super) longest: u64,
}

/// Mark phases, in the order of their own sequence numbers: their ends come from different threads.
#[derive(Debug, Default)]
struct Phases {
    sequence: Option<u64>,
    /// Since when one is open, and whether it was before the window.
    open: Option<(u64, bool)>,
    /// Those that came before their turn: number, whether one begins, or `None` where it says only that one is open, when.
    waiting: Vec<(u64, Option<bool>, u64)>,
}

/// Turns the units of a trace's clock into nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    frequency: u64,
    /// Nanoseconds of a unit, where that is a whole number: 64 on Linux.
    whole: Option<u64>,
}

impl Clock {
    /// Of so many units in a second; nothing for a clock that stands still.
    pub(super) fn new(frequency: u64) -> Option<Self> {
        const SECOND: u64 = 1_000_000_000;
        let rest = SECOND.checked_rem(frequency)?;
        Some(Self {
            frequency,
            whole: SECOND.checked_div(frequency).filter(|_| rest == 0),
        })
    }

    #[inline]
    pub(super) fn nanoseconds(self, units: u64) -> u64 {
        if let Some(whole) = self.whole {
            return units.saturating_mul(whole);
        }
        let exact = u128::from(units) * 1_000_000_000 / u128::from(self.frequency.max(1));
        u64::try_from(exact).unwrap_or(u64::MAX)
    }
}

/// A generation, as it was read.
#[derive(Debug)]
pub(super) struct Generation<'g> {
    pub(super) format: Format,
    pub(super) raw: &'g [u8],
    /// Where the content of each batch of events begins, as the stream had them.
    pub(super) batches: &'g [(usize, Batch)],
    pub(super) clock: Clock,
}

/// A thread's events.
#[derive(Debug)]
struct Cursor<'g> {
    thread: u64,
    /// Batches that come, the next one last.
    batches: Vec<(usize, Batch)>,
    rest: Bytes<'g>,
    /// Number and time of the next event.
    next: u8,
    time: u64,
    /// The goroutine that runs on the thread, and the sequence number with which it began to.
    running: Option<(u32, u64)>,
    /// Since when it sweeps.
    sweep: Option<u64>,
}

impl<'g> Cursor<'g> {
    /// Goes to the next event; `false` at the end.
    #[inline]
    fn advance(&mut self, generation: &Generation<'g>, damage: &mut u64) -> bool {
        loop {
            if self.rest.0.is_empty() {
                let Some((start, batch)) = self.batches.pop() else {
                    return false;
                };
                let content = generation.raw.get(start..start + batch.size);
                self.rest = Bytes(content.unwrap_or_default());
                self.time = batch.time;
                continue;
            }
            if let Some((number, since)) = wire::event_head(&mut self.rest, generation.format) {
                self.next = number;
                self.time = self.time.saturating_add(since);
                return true;
            }
            self.give_up(damage);
        }
    }

    /// Leaves out the rest of a batch, and forgets what ran: it may have ended there.
    fn give_up(&mut self, damage: &mut u64) {
        *damage += 1;
        self.rest = Bytes(b"");
        self.running = None;
    }
}

/// Takes all events of a generation. Cost: linear in its bytes, with a heap of threads.
pub(super) fn walk(
    generation: &Generation<'_>,
    tables: &mut Tables<'_>,
    machine: &mut Machine,
    world: &mut World,
) {
    let mut threads: Map<u64, usize> = Map::default();
    let mut cursors: Vec<Cursor<'_>> = Vec::new();
    for &(start, batch) in generation.batches.iter().rev() {
        let at = *threads.entry(batch.thread).or_insert(cursors.len());
        if at == cursors.len() {
            cursors.push(Cursor {
                thread: batch.thread,
                batches: Vec::new(),
                rest: Bytes(b""),
                next: 0,
                time: 0,
                running: None,
                sweep: None,
            });
        }
        if let Some(cursor) = cursors.get_mut(at) {
            cursor.batches.push((start, batch));
        }
    }
    let mut walk = Walk {
        tables,
        began: machine.began(),
        machine,
        world,
        clock: generation.clock,
        callbacks: None,
    };
    let mut damage = 0;
    let mut heap = BinaryHeap::with_capacity(cursors.len());
    for (at, cursor) in cursors.iter_mut().enumerate() {
        if cursor.advance(generation, &mut damage) {
            heap.push(Reverse((cursor.time, at)));
        }
    }
    while let Some(Reverse((_, at))) = heap.pop() {
        let until = heap.peek().map_or(u64::MAX, |Reverse((time, _))| *time);
        let Some(cursor) = cursors.get_mut(at) else {
            continue;
        };
        loop {
            match wire::event_arguments(&mut cursor.rest, cursor.next) {
                Some(event) => walk.event(cursor, &event),
                None => cursor.give_up(&mut damage),
            }
            if !cursor.advance(generation, &mut damage) {
                break;
            }
            if cursor.time > until {
                heap.push(Reverse((cursor.time, at)));
                break;
            }
        }
    }
    for cursor in &cursors {
        if let Some(since) = cursor.sweep {
            // Its end is in the next generation, which counts from its own beginning.
            walk.machine.collector.sweep.nanoseconds += walk.world.last.saturating_sub(since);
        }
    }
    machine.damage.events += damage;
}

struct Walk<'w, 'g> {
    tables: &'w mut Tables<'g>,
    machine: &'w mut Machine,
    world: &'w mut World,
    clock: Clock,
    began: u64,
    /// Site and group of goroutines that C code calls.
    callbacks: Option<(u32, u32)>,
}

impl Walk<'_, '_> {
    /// Takes an event.
    #[inline]
    fn event(&mut self, cursor: &mut Cursor<'_>, event: &Event) {
        let at = self.clock.nanoseconds(cursor.time);
        self.world.last = self.world.last.max(at);
        self.world.events += 1;
        let [first, second, third, fourth] = event.arguments;
        match event.number {
            event::GO_START => {
                let goroutine = self.machine.goroutine(first);
                self.tell(goroutine, second, at, Step::Start);
                cursor.running = Some((goroutine, second));
            }
            event::GO_UNBLOCK => {
                let goroutine = self.machine.goroutine(first);
                self.tell(goroutine, second, at, Step::Unblock);
            }
            event::GO_BLOCK => {
                let group = self.tables.wait(&mut self.machine.groups, first, second);
                self.current(cursor, at, Step::Block(group));
                cursor.running = None;
            }
            event::GO_STOP => {
                let cause = match self.tables.string(first) {
                    b"preempted" => Cause::Preempt,
                    _ => Cause::Yield,
                };
                self.current(cursor, at, Step::Stop(cause));
                cursor.running = None;
            }
            event::GO_SYSCALL_BEGIN => {
                let group = self.tables.syscall(&mut self.machine.groups, second);
                self.current(cursor, at, Step::SyscallBegin(group));
            }
            event::GO_SYSCALL_END => self.current(cursor, at, Step::SyscallEnd),
            event::GO_SYSCALL_END_BLOCKED => {
                self.current(cursor, at, Step::SyscallLost);
                cursor.running = None;
            }
            event::HEAP_ALLOC => self.machine.collector.heap_live = Some(first),
            event::GO_STATUS | event::GO_STATUS_STACK => {
                self.status(cursor, at, first, second, third, fourth);
            }
            event::GO_CREATE | event::GO_CREATE_BLOCKED => {
                let groups = &mut self.machine.groups;
                let site = self.tables.site(groups, second, third);
                let waits = event.number == event::GO_CREATE_BLOCKED;
                let group = waits.then(|| self.tables.coroutine(groups, second));
                let goroutine = self.machine.goroutine(first);
                self.tell(goroutine, 0, at, Step::Create(site, group));
            }
            event::GO_DESTROY | event::GO_DESTROY_SYSCALL => {
                self.current(cursor, at, Step::Destroy);
                cursor.running = None;
            }
            event::GO_CREATE_SYSCALL => self.callback(cursor, at, first),
            event::GO_SWITCH | event::GO_SWITCH_DESTROY => {
                let step = if event.number == event::GO_SWITCH {
                    let groups = &mut self.machine.groups;
                    Step::Block(groups.without_stack(WaitReason::Coroutine))
                } else {
                    Step::Destroy
                };
                self.current(cursor, at, step);
                let next = self.machine.goroutine(first);
                self.tell(next, second, at, Step::Switched);
                cursor.running = Some((next, second));
            }
            event::GO_LABEL => {
                if self.tables.string(first).starts_with(WORKERS) {
                    self.current(cursor, at, Step::Worker);
                }
            }
            event::ASSIST_ACTIVE => {
                let goroutine = self.machine.goroutine(first);
                self.tell(goroutine, 0, at, Step::AssistActive);
            }
            event::ASSIST_BEGIN => self.current(cursor, at, Step::AssistBegin),
            event::ASSIST_END => self.current(cursor, at, Step::AssistEnd),
            _ => self.of_program(cursor, at, event),
        }
    }

    /// Takes an event that is not about a goroutine.
    fn of_program(&mut self, cursor: &mut Cursor<'_>, at: u64, event: &Event) {
        let [first, second, ..] = event.arguments;
        match event.number {
            event::SWEEP_BEGIN => cursor.sweep = Some(at),
            event::SWEEP_END => {
                let since = cursor.sweep.take().unwrap_or(self.began);
                let collector = &mut self.machine.collector;
                collector.sweep.add(at.saturating_sub(since));
                collector.swept_bytes = collector.swept_bytes.saturating_add(first);
                collector.reclaimed_bytes = collector.reclaimed_bytes.saturating_add(second);
            }
            event::STW_BEGIN => self.stop(cursor.thread, at, first),
            event::STW_END => self.go_on(cursor.thread, at),
            event::GC_ACTIVE => self.marking(first, at),
            event::GC_BEGIN => self.phase(first, true, at),
            event::GC_END => self.phase(first, false, at),
            event::HEAP_GOAL => self.machine.collector.heap_goal = Some(first),
            event::PROCS_CHANGE => self.world.processors = Some(first),
            _ => {}
        }
    }

    #[inline]
    fn tell(&mut self, goroutine: u32, sequence: u64, at: u64, step: Step) {
        self.machine
            .record(goroutine, Record { sequence, at, step });
    }

    /// Tells the goroutine that runs on the thread.
    #[inline]
    fn current(&mut self, cursor: &Cursor<'_>, at: u64, step: Step) {
        match cursor.running {
            Some((goroutine, sequence)) => self.tell(goroutine, sequence, at, step),
            None => self.machine.damage.conflicts += 1,
        }
    }

    fn status(
        &mut self,
        cursor: &mut Cursor<'_>,
        at: u64,
        id: u64,
        thread: u64,
        status: u64,
        stack: u64,
    ) {
        let Some(status) = Status::of(status) else {
            self.machine.damage.conflicts += 1;
            return;
        };
        let groups = &mut self.machine.groups;
        let group = match status {
            Status::Waiting => self.tables.parked(groups, stack),
            Status::Syscall => self.tables.syscall(groups, stack),
            Status::Runnable | Status::Running => NOBODY,
        };
        let goroutine = self.machine.goroutine(id);
        self.tell(goroutine, 0, at, Step::Status(status, group));
        let here = match status {
            Status::Running => cursor.thread != NO_THREAD,
            Status::Syscall => cursor.thread == thread,
            Status::Runnable | Status::Waiting => false,
        };
        if here {
            cursor.running = Some((goroutine, 0));
        }
    }

    /// C code calls Go: such goroutines come and go within a generation, with the same number each time.
    fn callback(&mut self, cursor: &mut Cursor<'_>, at: u64, id: u64) {
        let groups = &mut self.machine.groups;
        let (site, group) = *self.callbacks.get_or_insert_with(|| {
            let entry = groups.namer.name(CALLBACK);
            (
                groups.place(Name::EMPTY, Name::EMPTY, entry),
                groups.without_stack(WaitReason::Syscall),
            )
        });
        let goroutine = self.machine.incarnation(id);
        self.tell(goroutine, 0, at, Step::Callback(site, group));
        cursor.running = Some((goroutine, 0));
    }

    fn stop(&mut self, thread: u64, at: u64, kind: u64) {
        let words = self.tables.string(kind);
        let shown = names::shown(words);
        let known = self
            .world
            .stops
            .iter()
            .position(|kind| *kind.words == *shown);
        let kind = known.or_else(|| {
            let room = self.world.stops.len() < MAX_KINDS;
            room.then(|| {
                self.world.stops.push(Kind {
                    words: shown.into(),
                    tracer: TRACER_STOPS.contains(&words),
                    sum: Sum::default(),
                    longest: 0,
                });
                self.world.stops.len() - 1
            })
        });
        if self.world.stopping.len() >= MAX_KINDS {
            self.machine.damage.conflicts += 1;
            return;
        }
        self.world.stopping.push((thread, at, kind));
        self.machine.stopped.begin(at);
        self.machine.disturbed.begin(at);
    }

    fn go_on(&mut self, thread: u64, at: u64) {
        let open = self.world.stopping.iter().position(|open| open.0 == thread);
        let Some(open) = open else {
            self.machine.damage.conflicts += 1;
            return;
        };
        let (_, since, kind) = self.world.stopping.swap_remove(open);
        let time = at.saturating_sub(since);
        if let Some(kind) = kind.and_then(|kind| self.world.stops.get_mut(kind)) {
            kind.sum.add(time);
            kind.longest = kind.longest.max(time);
        }
        self.machine.stopped.end(at);
        self.machine.disturbed.end(at);
    }

    /// A generation says that the collector was marking when it began.
    fn marking(&mut self, sequence: u64, at: u64) {
        let phases = &mut self.world.phases;
        if phases.sequence.is_none() {
            phases.sequence = Some(sequence);
            phases.open = Some((self.began, true));
            self.machine.disturbed.begin(self.began);
            self.settle();
        } else {
            self.wait_for(sequence, None, at);
        }
    }

    fn phase(&mut self, sequence: u64, begins: bool, at: u64) {
        self.wait_for(sequence, Some(begins), at);
    }

    /// Takes an event of the collector when those before it have come.
    fn wait_for(&mut self, sequence: u64, begins: Option<bool>, at: u64) {
        let waiting = &mut self.world.phases.waiting;
        if waiting.len() >= MAX_PHASES {
            self.machine.damage.dropped += 1;
            return;
        }
        waiting.push((sequence, begins, at));
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let phases = &mut self.world.phases;
            let turn = |&(sequence, begins, _): &(u64, Option<bool>, u64)| match phases.sequence {
                Some(last) => last.checked_add(1) == Some(sequence),
                None => begins == Some(true),
            };
            let Some(next) = phases.waiting.iter().position(turn) else {
                return;
            };
            let phase = phases.waiting.swap_remove(next);
            self.world.phase(phase, self.machine);
        }
    }
}

impl World {
    /// A generation ends: what came before its turn has its turn now.
    pub(super) fn settle(&mut self, machine: &mut Machine) {
        let mut waiting = std::mem::take(&mut self.phases.waiting);
        waiting.sort_unstable_by_key(|(sequence, ..)| *sequence);
        for phase in waiting {
            machine.damage.gaps += 1;
            self.phase(phase, machine);
        }
    }

    /// The window ends.
    pub(super) fn finish(&mut self, machine: &mut Machine) {
        if let Some((since, left)) = self.phases.open {
            let time = self.last.saturating_sub(since);
            machine.collector.mark.class(left, true).add(time);
        }
    }

    fn phase(&mut self, (sequence, begins, at): (u64, Option<bool>, u64), machine: &mut Machine) {
        self.phases.sequence = Some(sequence);
        match (begins, self.phases.open) {
            (Some(true), None) => {
                self.phases.open = Some((at, false));
                machine.disturbed.begin(at);
            }
            (Some(false), Some((since, left))) => {
                self.phases.open = None;
                let time = at.saturating_sub(since);
                machine.collector.mark.class(left, false).add(time);
                machine.disturbed.end(at);
            }
            (None, Some(_)) => {}
            (Some(true), Some(_)) | (Some(false) | None, None) => machine.damage.conflicts += 1,
        }
    }
}
