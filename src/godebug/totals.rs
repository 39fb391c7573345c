//! What comes of all lines: counters across restarts of the program, and what it said last.

use super::gctrace::{CpuTimes, Cycle};
use super::schedtrace::Sample;

/// How far apart two looks at the scheduler may be for what lies between them to be held against both, in milliseconds.
pub const JOIN_MILLISECONDS: u64 = 10_000;

/// Counters since the reader began, and the last lines. All counters stop at their largest value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lines of any text.
    pub lines: u64,
    /// Those of them longer than [`super::MAX_LINE_BYTES`], which nobody looked into.
    pub lines_too_long: u64,
    /// Lines of `gctrace` that were damaged. A line that others cut in two may count as two.
    pub malformed_cycles: u64,
    /// The same of `schedtrace`.
    pub malformed_samples: u64,
    /// Times that the program was seen to have started anew.
    pub restarts: u64,
    /// Cycles whose line was read.
    pub cycles: u64,
    /// Cycles that are missing between those.
    pub lost_cycles: u64,
    /// Those of `cycles` that the program asked for.
    pub forced_cycles: u64,
    /// Those of `cycles` that looked for leaked goroutines.
    pub leak_checks: u64,
    /// Pauses that end sweeping, in microseconds.
    pub sweep_termination_us: u64,
    /// Pauses that end marking, in microseconds.
    pub mark_termination_us: u64,
    /// Marking, in microseconds of the clock.
    pub mark_us: u64,
    /// CPU time of the garbage collector.
    pub cpu: CpuTimes,
    /// Looks at the scheduler.
    pub samples: u64,
    /// Rounds of the scheduler, as far as they were seen to go by.
    pub ticks: u64,
    /// Cycles held against the queues of the scheduler.
    pub joined: Joined,
    /// The last cycle.
    pub last_cycle: Option<Cycle>,
    /// The last look at the scheduler.
    pub last_sample: Option<Sample>,
}

/// Cycles between two looks at the scheduler, by the order in which lines came: the clocks of both kinds of lines begin at
/// different times, so they cannot be held against each other. Only looks [`JOIN_MILLISECONDS`] apart at most count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Cycles between two such looks.
    pub cycles: u64,
    /// Those with more runnable goroutines (all queues together) in the look behind them than in the one before.
    pub growing_cycles: u64,
    /// The pauses of those, in microseconds.
    pub growing_pause_us: u64,
}

/// A kind of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gctrace,
    Schedtrace,
}

/// The totals, and what it takes to go on with them.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) totals: Totals,
    /// The number of the next cycle, once it is known what it should be: the first that is seen may be any, since a stream
    /// need not begin where its program does.
    next_cycle: Option<u32>,
    /// When the last cycle of this life of the program ended.
    cycle_at: Option<u64>,
    /// When the last look of this life was.
    sample_at: Option<u64>,
    /// The rounds of the scheduler up to then; `None` when they did not begin before our eyes.
    ticks: Option<u64>,
    /// A restart was noticed, and lines of this kind have not yet shown it.
    due: Due,
    /// A damaged line of the kind began, and its end may be in a line of its own.
    open: Due,
    window: Option<Window>,
}

/// Something that holds for either kind of lines.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    gctrace: bool,
    schedtrace: bool,
}

/// What has happened since a look at the scheduler.
#[derive(Clone, Copy, Debug)]
struct Window {
    begun_at: u64,
    runnable: u64,
    cycles: u64,
    pause_us: u64,
}

impl Books {
    /// A line of any text.
    pub(super) fn line(&mut self) {
        add(&mut self.totals.lines, 1);
    }

    /// One that is passed over.
    pub(super) fn line_too_long(&mut self) {
        self.line();
        add(&mut self.totals.lines_too_long, 1);
    }

    /// A line of ours that begins, and is damaged behind its beginning.
    pub(super) fn begun(&mut self, kind: Kind) {
        self.malformed(kind);
        *self.open.of(kind) = true;
    }

    /// The end of a line of ours; with `begun` in the same line as its beginning. Without, it is what is left of one that is
    /// counted, or of one that lost its beginning.
    pub(super) fn ended(&mut self, kind: Kind, begun: bool) {
        let open = std::mem::take(self.open.of(kind));
        if !begun && !open {
            self.malformed(kind);
        }
    }

    /// What comes next does not belong to what came.
    pub(super) fn cut(&mut self) {
        self.open = Due::default();
    }

    pub(super) fn cycle(&mut self, cycle: Cycle) {
        self.open.gctrace = false;
        let back = self.next_cycle.is_some_and(|next| cycle.number < next)
            || self.cycle_at.is_some_and(|at| cycle.at_milliseconds < at);
        let due = std::mem::take(&mut self.due.gctrace);
        if back {
            self.next_cycle = Some(1);
            if !due {
                self.restarted();
                self.due.schedtrace = true;
            }
        }
        let totals = &mut self.totals;
        let expected = self.next_cycle.unwrap_or(cycle.number);
        let lost = cycle.number.saturating_sub(expected);
        add(&mut totals.lost_cycles, lost.into());
        self.next_cycle = Some(cycle.number.saturating_add(1));
        self.cycle_at = Some(cycle.at_milliseconds);
        add(&mut totals.cycles, 1);
        add(&mut totals.forced_cycles, cycle.forced.into());
        add(&mut totals.leak_checks, cycle.checks_leaks.into());
        add(&mut totals.sweep_termination_us, cycle.sweep_termination_us);
        add(&mut totals.mark_termination_us, cycle.mark_termination_us);
        add(&mut totals.mark_us, cycle.mark_us);
        add(&mut totals.cpu.pause_us, cycle.cpu.pause_us);
        add(&mut totals.cpu.assist_us, cycle.cpu.assist_us);
        add(&mut totals.cpu.background_us, cycle.cpu.background_us);
        add(&mut totals.cpu.idle_us, cycle.cpu.idle_us);
        totals.last_cycle = Some(cycle);
        if let Some(window) = &mut self.window {
            add(&mut window.cycles, 1);
            add(&mut window.pause_us, cycle.pause_us());
        }
    }

    pub(super) fn sample(&mut self, sample: Sample) {
        self.open.schedtrace = false;
        let back = self.sample_at.is_some_and(|at| sample.at_milliseconds < at);
        let due = std::mem::take(&mut self.due.schedtrace);
        if back {
            self.ticks = Some(0);
            if !due {
                self.restarted();
                self.due.gctrace = true;
                // Where no cycle was seen before, the new program's first is the next.
                self.next_cycle = self.next_cycle.or(Some(1));
            }
        }
        let totals = &mut self.totals;
        if let Some(ticks) = sample.ticks {
            // With fewer processors than before the sum falls: theirs are gone from it.
            let passed = self.ticks.map_or(0, |before| ticks.saturating_sub(before));
            add(&mut totals.ticks, passed);
            self.ticks = Some(ticks);
        }
        self.sample_at = Some(sample.at_milliseconds);
        add(&mut totals.samples, 1);
        totals.last_sample = Some(sample);
        let window = self.window.take();
        let now = sample.runnable();
        self.window = now.map(|runnable| Window {
            begun_at: sample.at_milliseconds,
            runnable,
            cycles: 0,
            pause_us: 0,
        });
        let (Some(window), Some(runnable)) = (window, now) else {
            return;
        };
        if sample.at_milliseconds.saturating_sub(window.begun_at) > JOIN_MILLISECONDS {
            return;
        }
        let joined = &mut totals.joined;
        add(&mut joined.cycles, window.cycles);
        if runnable > window.runnable {
            add(&mut joined.growing_cycles, window.cycles);
            add(&mut joined.growing_pause_us, window.pause_us);
        }
    }

    fn restarted(&mut self) {
        add(&mut self.totals.restarts, 1);
        self.window = None;
    }

    fn malformed(&mut self, kind: Kind) {
        add(
            match kind {
                Kind::Gctrace => &mut self.totals.malformed_cycles,
                Kind::Schedtrace => &mut self.totals.malformed_samples,
            },
            1,
        );
    }
}

impl Due {
    fn of(&mut self, kind: Kind) -> &mut bool {
        match kind {
            Kind::Gctrace => &mut self.gctrace,
            Kind::Schedtrace => &mut self.schedtrace,
        }
    }
}

fn add(total: &mut u64, more: u64) {
    *total = total.saturating_add(more);
}
