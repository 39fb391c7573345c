//! Execution traces of Go 1.22 to 1.27 (`/debug/pprof/trace`): for how long goroutines waited in a window, and for what.
//!
//! A goroutine profile says where goroutines are; a trace says what they did. [`Decoder`] takes the bytes and makes a
//! [`Window`] of them: waits and system calls by the groups of a profile, delays between being able to run and running, stops of the
//! world, the garbage collector's work, goroutines made and ended. It knows nothing of processors (`P`), user annotations and
//! CPU samples, and steps over them.
//!
//! # Map
//!
//! - `wire`: header, numbers, batches, events.
//! - `tables`: strings and stacks of a generation, and the groups they lead to.
//! - `order`: the threads of a generation merged by time.
//! - `goroutine`, `machine`: goroutines by state, in the order of their sequence numbers.
//! - `world`: stops of the world, mark phases, the clock.
//! - `overlap`, `latency`: what is counted in between. `window`: the result.
//!
//! # Order
//!
//! A trace is cut into generations of about a second. Each has all strings, stacks and states it needs, the tables behind
//! the events that use them, so one generation is held whole, and read when it is complete. What is known of goroutines is carried
//! from one to the next. Order within a goroutine is exact, whatever the clocks of processors say: only lengths of intervals whose
//! ends came from two processors are off by the difference of their clocks, and never negative.
//!
//! # What it cannot know
//!
//! A wait that began before the window has a reason and a place only if it lasts to the end of a generation, and none at all
//! in a trace of Go 1.22: it is `unknown` at `(no stack)`. Of a cut trace nothing is known but its whole generations.
//!
//! # Bounds
//!
//! Memory: [`Limits::generation_bytes`] for the generation, twice that while it grows, and beside it at most 74 MB for what is known of
//! its strings and stacks, 20 MB of batches, 110 bytes a goroutine up to [`Limits::goroutines`], 6 MB of events out of order, some
//! hundred bytes for each of [`Limits::groups`] groups and as many sites, and the text of the distinct functions, up to 24
//! MiB, with their names. What real programs need is far less: the bytes of one generation, and 1 to 10 MB. What does not fit is
//! counted in [`Damage`]. Time: linear in the bytes, and never more than three looks at each stack.
//!
//! Source: `internal/trace` of Go 1.27.3, against which the tests compare.

mod goroutine;
mod latency;
mod machine;
mod order;
mod overlap;
mod tables;
#[cfg(test)]
mod tests;
mod window;
mod wire;
mod world;

use std::cmp::Reverse;

pub use latency::Latency;
pub use window::{
    Births, Blame, Blocked, Cause, Collector, Damage, Owner, Runnable, Site, Spans, Stop, Sum,
    Waited, Window,
};
pub use wire::Format;

use machine::Machine;
use order::Generation;
use tables::{Group, Groups, Tables, UNLISTED};
use wire::{Batch, Bytes, Kind, Piece};
use world::{Clock, World};

use crate::classify::{Rules, WaitReason};

/// The most batches of one generation. Real ones have some thousands.
const MAX_BATCHES: usize = 1 << 16;

/// Bounds on what a trace may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of one generation; with a larger one the window ends.
    pub generation_bytes: usize,
    /// The most goroutines at once.
    pub goroutines: usize,
    /// The most groups, and the most sites.
    pub groups: usize,
    /// The most goroutines named in [`Window::parked`].
    pub parked: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            generation_bytes: 64 << 20,
            goroutines: 1 << 19,
            groups: 1 << 14,
            parked: 1 << 17,
        }
    }
}

/// Why nothing can be said of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The first bytes are no header.
    #[error("not an execution trace")]
    NotATrace,
    /// The form before Go 1.22, which is another one altogether.
    #[error("a trace in the form of Go 1.{minor}; what is read needs Go 1.22 or newer")]
    TooOld {
        /// The number behind `1.` in the header.
        minor: u8,
    },
    /// A form that nothing is known of.
    #[error("a trace in the form of Go 1.{minor}, which is not known")]
    UnknownFormat {
        /// The number behind `1.` in the header.
        minor: u8,
    },
    /// It ends before its first generation is whole; nothing can be made of a part.
    #[error("the trace ends before its first generation is whole, after {bytes} bytes")]
    Truncated {
        /// How many came.
        bytes: u64,
    },
    /// Its first generation is larger than the limit.
    #[error("the first generation of the trace has more than {limit} bytes")]
    TooLarge {
        /// [`Limits::generation_bytes`].
        limit: usize,
    },
    /// Its first generation has no clock, or no batch where one should be.
    #[error("the first generation of the trace is damaged")]
    Damaged,
}

/// Reads a trace that comes in pieces.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    format: Option<Format>,
    /// Bytes of the generation so far, then those that are not understood yet.
    raw: Vec<u8>,
    /// How many of them are of generations that were read.
    done: usize,
    /// How many behind them are batches that were seen.
    seen: usize,
    batches: Vec<(usize, Batch)>,
    generation: Option<u64>,
    /// The earliest time that a batch of it counts from.
    earliest: Option<u64>,
    /// Bytes that came.
    bytes: u64,
    /// Nothing more is read: a generation was too large, or no batch begins where one should.
    ended: Option<Refusal>,
    generations: u64,
    began: u64,
    machine: Machine,
    world: World,
}

impl Decoder {
    /// One that has read nothing.
    #[must_use]
    pub fn new(limits: &Limits, rules: &Rules) -> Self {
        let groups = Groups::new(rules, limits.groups);
        Self {
            limits: Limits {
                // Places in it are numbers of 32 bits.
                generation_bytes: limits.generation_bytes.min(1 << 31),
                ..*limits
            },
            format: None,
            raw: Vec::new(),
            done: 0,
            seen: 0,
            batches: Vec::new(),
            generation: None,
            earliest: None,
            bytes: 0,
            ended: None,
            generations: 0,
            began: 0,
            machine: Machine::new(groups, limits),
            world: World::default(),
        }
    }

    /// Takes the next bytes. Cost: that of the generations which end in them.
    ///
    /// # Errors
    /// When it is no trace that can be read.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        // In parts, so that a whole trace given at once is not copied whole.
        for part in bytes.chunks(1 << 20) {
            if self.ended.is_some() {
                break;
            }
            self.raw.extend_from_slice(part);
            self.read()?;
        }
        Ok(())
    }

    /// What was counted, once all bytes came.
    ///
    /// # Errors
    /// When not one generation is whole.
    pub fn finish(mut self) -> Result<Window, Refusal> {
        let Some(format) = self.format else {
            return Err(
                if b"go 1.".starts_with(self.raw.get(..5).unwrap_or(&self.raw)) {
                    Refusal::Truncated { bytes: self.bytes }
                } else {
                    Refusal::NotATrace
                },
            );
        };
        if self.ended.is_none() {
            let rest = self.raw.len() > self.seen;
            if !rest && !format.says_ends() && self.generation.is_some() {
                self.generation(format);
            } else if rest || self.generation.is_some() {
                self.machine.damage.generations += 1;
            }
        }
        if self.generations == 0 {
            let cut = Refusal::Truncated { bytes: self.bytes };
            return Err(self.ended.unwrap_or(cut));
        }
        self.world.finish(&mut self.machine);
        self.machine.finish(self.world.last);
        Ok(self.window(format))
    }

    /// Reads what is there.
    fn read(&mut self) -> Result<(), Refusal> {
        let format = if let Some(format) = self.format {
            format
        } else {
            let Some(header) = self.raw.get(..wire::HEADER_BYTES) else {
                return Ok(());
            };
            let format = Format::read(header)?;
            self.format = Some(format);
            self.raw.drain(..wire::HEADER_BYTES);
            format
        };
        loop {
            let rest = self.raw.get(self.done + self.seen..).unwrap_or_default();
            match wire::piece(rest, format) {
                Piece::Cut => break,
                Piece::Broken => {
                    let rest = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    self.machine.damage.bytes += rest;
                    self.end_early(Refusal::Damaged);
                    return Ok(());
                }
                Piece::End => {
                    self.generation(format);
                    self.drop_seen(1);
                }
                Piece::Batch(batch) => {
                    self.batch(batch, format);
                    if self.seen > self.limits.generation_bytes {
                        break;
                    }
                }
            }
        }
        // Once for all generations of a piece, of which each may be a byte.
        self.raw.drain(..self.done.min(self.raw.len()));
        self.done = 0;
        if self.raw.len() > self.limits.generation_bytes {
            self.end_early(Refusal::TooLarge {
                limit: self.limits.generation_bytes,
            });
        }
        Ok(())
    }

    /// Takes a batch, which is the next one that was not seen.
    fn batch(&mut self, batch: Batch, format: Format) {
        let next = self
            .generation
            .is_some_and(|known| known.checked_add(1) == Some(batch.generation));
        if next && !format.says_ends() {
            self.generation(format);
            self.drop_seen(0);
        }
        let known = *self.generation.get_or_insert(batch.generation);
        if known != batch.generation || self.batches.len() >= MAX_BATCHES {
            self.machine.damage.batches += 1;
        } else {
            let earliest = self.earliest.get_or_insert(batch.time);
            *earliest = batch.time.min(*earliest);
            if batch.kind != Kind::Other {
                self.batches.push((self.seen + batch.head, batch));
            }
        }
        self.seen += batch.head + batch.size;
    }

    /// Forgets the bytes of a generation that was read, and so many behind it.
    fn drop_seen(&mut self, more: usize) {
        self.done += self.seen + more;
        self.seen = 0;
        self.batches.clear();
        self.generation = None;
        self.earliest = None;
    }

    /// Nothing more is read, and what is there is no whole generation.
    fn end_early(&mut self, why: Refusal) {
        self.machine.damage.generations += 1;
        self.raw = Vec::new();
        self.done = 0;
        self.ended = Some(why);
    }

    /// Reads a generation whose batches are all there.
    fn generation(&mut self, format: Format) {
        let raw = self.raw.get(self.done..).unwrap_or_default();
        let mut tables = Tables::new(raw);
        let mut clock = None;
        for &(start, batch) in &self.batches {
            match batch.kind {
                Kind::Stacks => tables.note(start, batch.size, true),
                Kind::Strings => tables.note(start, batch.size, false),
                Kind::Sync => {
                    let content = raw.get(start..start + batch.size);
                    clock = clock.or(frequency(content.unwrap_or_default()));
                }
                Kind::Events | Kind::Other => {}
            }
        }
        let Some(clock) = clock.and_then(Clock::new) else {
            // Without its clock it is no whole one.
            self.machine.damage.generations += 1;
            return;
        };
        let began = clock.nanoseconds(self.earliest.unwrap_or(0));
        self.batches.retain(|(_, batch)| batch.kind == Kind::Events);
        if self.generations == 0 {
            self.began = began;
            self.world.last = began;
        }
        self.generations += 1;
        self.machine.begin(began);
        let generation = Generation {
            format,
            raw,
            batches: &self.batches,
            clock,
        };
        order::walk(&generation, &mut tables, &mut self.machine, &mut self.world);
        self.machine.damage.tables += tables.damage;
        self.machine.end();
        self.world.end(&mut self.machine);
    }

    fn window(self, format: Format) -> Window {
        let (machine, world) = (self.machine, self.world);
        let verdict = machine.verdict();
        let goroutines = u64::try_from(machine.len()).unwrap_or(u64::MAX);
        let groups = &machine.groups;
        let mut listed: Vec<(u32, &Group)> = groups
            .groups
            .iter()
            .enumerate()
            .filter(|(_, group)| group.spans != Spans::default())
            .map(|(at, group)| (u32::try_from(at).unwrap_or(UNLISTED), group))
            .collect();
        listed
            .sort_unstable_by_key(|(_, group)| (Reverse(group.spans.all().nanoseconds), group.id));
        let (mut blocked, mut syscalls) = (Vec::new(), Vec::new());
        let mut places = vec![usize::MAX; groups.groups.len()];
        for (at, group) in listed {
            let list = if group.wait_reason == WaitReason::Syscall {
                &mut syscalls
            } else {
                let place = usize::try_from(at).ok().and_then(|at| places.get_mut(at));
                if let Some(place) = place {
                    *place = blocked.len();
                }
                &mut blocked
            };
            list.push(Blocked {
                id: group.id,
                wait_reason: group.wait_reason,
                blocking_frame: groups.text(group.blocking),
                app_frame: groups.text(group.app),
                owner: group.owner,
                spans: group.spans,
                world_stopped: group.world_stopped,
                marking: group.marking,
            });
        }
        let place = |group: u32| usize::try_from(group).ok().and_then(|at| places.get(at));
        let mut parked: Vec<(u64, usize)> = machine
            .parked
            .iter()
            .filter_map(|&(id, group)| Some((id, *place(group)?)))
            .collect();
        parked.sort_unstable();
        parked.truncate(self.limits.parked);
        let parked_unlisted = machine.parked.len() - parked.len();
        let mut sites: Vec<Site> = groups
            .places
            .iter()
            .map(|place| {
                let (created_by, app_frame) =
                    (groups.text(place.created_by), groups.text(place.app));
                Site {
                    owner: tables::owner(&created_by, &app_frame),
                    created_by,
                    app_frame,
                    entry: groups.text(place.entry),
                    births: place.births,
                }
            })
            .collect();
        sites.sort_unstable_by(|left, right| left.order().cmp(&right.order()));
        let mut stops: Vec<Stop> = world
            .stops
            .into_iter()
            .map(|kind| Stop {
                kind: kind.words,
                tracer: kind.tracer,
                sum: kind.sum,
                longest: kind.longest,
            })
            .collect();
        stops.sort_unstable_by(|left, right| {
            let order = |stop: &Stop| (Reverse(stop.sum.nanoseconds), stop.kind.clone());
            order(left).cmp(&order(right))
        });
        let mut damage = machine.damage;
        damage.stretches = machine.stopped.dropped + machine.disturbed.dropped;
        Window {
            format,
            generations: self.generations,
            nanoseconds: world.last.saturating_sub(self.began),
            events: world.events,
            goroutines,
            processors: world.processors,
            blocked,
            blocked_unlisted: machine.blocked_unlisted,
            syscalls,
            syscalls_unlisted: machine.syscalls_unlisted,
            syscalls_lost_processor: machine.syscalls_lost_processor,
            latency: machine.latency,
            runnable: machine.runnable,
            stops,
            collector: machine.collector,
            sites,
            sites_unlisted: machine.sites_unlisted,
            ended_older: machine.ended_older,
            parked,
            parked_unlisted: u64::try_from(parked_unlisted).unwrap_or(u64::MAX),
            verdict,
            damage,
        }
    }
}

impl Site {
    fn order(&self) -> impl Ord + use<'_> {
        (
            Reverse(self.births.created),
            Reverse(self.births.ended),
            &self.created_by,
            &self.app_frame,
            &self.entry,
        )
    }
}

/// Units of the clock in a second, from a batch that tells it.
fn frequency(content: &[u8]) -> Option<u64> {
    let mut at = Bytes(content);
    let mut number = at.byte()?;
    if number == wire::SYNC {
        number = at.byte()?;
    }
    if number != wire::FREQUENCY {
        return None;
    }
    at.number()
}

/// Reads a whole trace.
///
/// # Errors
/// As [`Decoder::push`] and [`Decoder::finish`].
pub fn decode(bytes: &[u8], limits: &Limits, rules: &Rules) -> Result<Window, Refusal> {
    let mut decoder = Decoder::new(limits, rules);
    decoder.push(bytes)?;
    decoder.finish()
}
