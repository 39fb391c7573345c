//! The events of one generation: threads merged by time, each event told to the goroutine it is about.
//!
//! A thread writes its own events in their order; those of several are merged by their times, which is nearly the order
//! in which things happened. Where it is not, [`Machine`] holds records back. An event without a goroutine's number is about
//! the one that runs on the thread, and carries the sequence number with which that one began to run there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::goroutine::{Record, Status, Step};
use super::machine::{Machine, NOBODY};
use super::tables::{Map, Tables};
use super::window::Cause;
use super::wire::{self, Batch, Bytes, Event, Format, event};
use super::world::{Clock, World};
use crate::classify::WaitReason;
use crate::tally::Name;

/// Batches of tables and of goroutines that did nothing have no thread.
const NO_THREAD: u64 = u64::MAX;
/// How the runtime labels the collector's workers (runtime/traceruntime.go, `gcMarkWorkerModeStrings`).
const WORKERS: &[u8] = b"GC (";
/// What stands for the function of a goroutine that C code called.
const CALLBACK: &str = "(cgo callback)";

/// A generation, as it was read.
#[derive(Debug)]
pub(super) struct Generation<'g> {
    pub(super) format: Format,
    pub(super) raw: &'g [u8],
    /// Where the content of each batch of events begins, as the stream had them.
    pub(super) batches: &'g [(usize, Batch)],
    pub(super) clock: Clock,
}

/// The most threads that sweep when a generation ends; each has a processor.
const MAX_SWEEPING: usize = 256;

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
    /// What ran there when the last generation ended: place and number of a goroutine.
    before: Option<(u32, u64)>,
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
                before: None,
                sweep: None,
            });
        }
        if let Some(cursor) = cursors.get_mut(at) {
            cursor.batches.push((start, batch));
        }
    }
    for (thread, goroutine) in world.running.drain(..) {
        let cursor = threads.get(&thread).and_then(|&at| cursors.get_mut(at));
        if let Some(cursor) = cursor {
            cursor.before = Some(goroutine);
        }
    }
    world.sweeping.retain(|&(thread, since)| {
        let at = threads.get(&thread);
        let Some(cursor) = at.and_then(|&at| cursors.get_mut(at)) else {
            return true;
        };
        cursor.sweep = Some(since);
        false
    });
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
        let running = cursor.running.and_then(|(at, _)| machine.named(at));
        if let Some(goroutine) = running {
            world.running.push((cursor.thread, goroutine));
        }
    }
    // They end in a generation to come.
    let open = cursors
        .iter()
        .filter_map(|cursor| Some((cursor.thread, cursor.sweep?)));
    for sweep in open {
        if world.sweeping.len() < MAX_SWEEPING {
            world.sweeping.push(sweep);
        } else {
            machine.damage.dropped += 1;
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
            event::STW_BEGIN => {
                let kind = self.tables.string(first);
                self.world.stop(self.machine, cursor.thread, at, kind);
            }
            event::STW_END => self.world.go_on(self.machine, cursor.thread, at),
            event::GC_ACTIVE => self.world.marking(self.machine, first, at),
            event::GC_BEGIN => self.world.phase(self.machine, (first, Some(true), at)),
            event::GC_END => self.world.phase(self.machine, (first, Some(false), at)),
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
            // Now and then a goroutine that was about to stop when the generation began does so without its status.
            None => match cursor.before {
                Some(goroutine) => self.machine.left_over(goroutine, at, step),
                None => self.machine.damage.conflicts += 1,
            },
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
}
