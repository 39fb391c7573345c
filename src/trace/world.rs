//! What concerns the whole program: stops of the world, mark phases, the clock.

use std::sync::Arc;

use super::machine::Machine;
use super::window::Sum;
use crate::classify::names;

/// The most kinds of stops kept apart; Go has about thirty.
const MAX_KINDS: usize = 64;
/// The most bytes of the word for one; the longest of Go's has 28.
const MAX_KIND_BYTES: usize = 64;
/// The most events of the collector that wait for earlier ones.
const MAX_PHASES: usize = 64;

/// The stops that a trace makes itself (runtime/proc.go, `stwReasonStrings`).
const TRACER_STOPS: [&[u8]; 2] = [b"start trace", b"stop trace"];

/// What concerns the whole program, carried from generation to generation.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Stops by kind.
    pub(super) stops: Vec<Kind>,
    /// Open ones: thread, since when, kind.
    stopping: Vec<(u64, u64, Option<usize>)>,
    phases: Phases,
    /// Threads on which something ran when the last generation ended: place and number of the goroutine.
    pub(super) running: Vec<(u64, (u32, u64))>,
    /// Threads that swept when the last generation ended, and since when.
    pub(super) sweeping: Vec<(u64, u64)>,
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
    /// Those that came before their turn.
    waiting: Vec<Phase>,
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

/// An event of the collector: its number, whether a phase begins, or nothing where it says only that one is open, and when.
type Phase = (u64, Option<bool>, u64);

impl World {
    /// The world begins to stop, on that thread, for that reason.
    pub(super) fn stop(&mut self, machine: &mut Machine, thread: u64, at: u64, kind: &[u8]) {
        if self.stopping.len() >= MAX_KINDS {
            machine.damage.dropped += 1;
            return;
        }
        let shown = names::shown(kind.get(..MAX_KIND_BYTES).unwrap_or(kind));
        let known = self.stops.iter().position(|kind| *kind.words == *shown);
        let room = self.stops.len() < MAX_KINDS;
        let place = known.or_else(|| room.then_some(self.stops.len()));
        if known.is_none() && room {
            self.stops.push(Kind {
                words: shown.into(),
                tracer: TRACER_STOPS.contains(&kind),
                sum: Sum::default(),
                longest: 0,
            });
        }
        self.stopping.push((thread, at, place));
        machine.stopped.begin(at);
        machine.disturbed.begin(at);
    }

    /// The world goes on: said on the thread that stopped it.
    pub(super) fn go_on(&mut self, machine: &mut Machine, thread: u64, at: u64) {
        let open = self.stopping.iter().position(|open| open.0 == thread);
        let Some(open) = open else {
            machine.damage.conflicts += 1;
            return;
        };
        let (_, since, kind) = self.stopping.swap_remove(open);
        let time = at.saturating_sub(since);
        if let Some(kind) = kind.and_then(|kind| self.stops.get_mut(kind)) {
            kind.sum.add(time);
            kind.longest = kind.longest.max(time);
        }
        machine.stopped.end(at);
        machine.disturbed.end(at);
    }

    /// A generation says that the collector was marking when it began.
    pub(super) fn marking(&mut self, machine: &mut Machine, sequence: u64, at: u64) {
        if self.phases.sequence.is_some() {
            return self.phase(machine, (sequence, None, at));
        }
        self.phases.sequence = Some(sequence);
        self.phases.open = Some((machine.began(), true));
        machine.disturbed.begin(machine.began());
        self.settle(machine);
    }

    /// Takes an event of the collector when those before it have come.
    pub(super) fn phase(&mut self, machine: &mut Machine, phase: Phase) {
        if self.phases.waiting.len() >= MAX_PHASES {
            machine.damage.dropped += 1;
            return;
        }
        self.phases.waiting.push(phase);
        self.settle(machine);
    }

    fn settle(&mut self, machine: &mut Machine) {
        loop {
            let last = self.phases.sequence;
            let turn = |&(sequence, begins, _): &Phase| match last {
                Some(last) => last.checked_add(1) == Some(sequence),
                None => begins == Some(true),
            };
            let Some(next) = self.phases.waiting.iter().position(turn) else {
                return;
            };
            let phase = self.phases.waiting.swap_remove(next);
            self.take(machine, phase);
        }
    }

    /// A generation ends: what came before its turn has its turn now.
    pub(super) fn end(&mut self, machine: &mut Machine) {
        let mut waiting = std::mem::take(&mut self.phases.waiting);
        waiting.sort_unstable_by_key(|(sequence, ..)| *sequence);
        for phase in waiting {
            machine.damage.gaps = machine.damage.gaps.saturating_add(1);
            self.take(machine, phase);
        }
    }

    /// The window ends.
    pub(super) fn finish(&mut self, machine: &mut Machine) {
        if let Some((since, left)) = self.phases.open {
            let time = self.last.saturating_sub(since);
            machine.collector.mark.class(left, true).add(time);
        }
    }

    fn take(&mut self, machine: &mut Machine, (sequence, begins, at): Phase) {
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
