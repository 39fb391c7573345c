//! The line of `gctrace=1`, at the end of each cycle of the garbage collector.

use super::cursor::Cursor;

/// One cycle as its line tells it. The runtime has cut all times to two digits, and all sizes to MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycle {
    /// Its number since the start of the program, from 1 on.
    pub number: u32,
    /// When it ended, in milliseconds since the start of the program.
    pub at_milliseconds: u64,
    /// The share of CPU time that collecting has taken since the start, in percent.
    pub cpu_percent: u64,
    /// Whether it was run to look for leaked goroutines (Go 1.26 and later).
    pub checks_leaks: bool,
    /// Whether the program asked for it, instead of its heap's growth.
    pub forced: bool,
    /// The pause that ends sweeping, in microseconds.
    pub sweep_termination_us: u64,
    /// Marking beside the program, in microseconds.
    pub mark_us: u64,
    /// The pause that ends marking, in microseconds.
    pub mark_termination_us: u64,
    /// CPU time by who used it.
    pub cpu: CpuTimes,
    /// The heap when it began, in bytes.
    pub heap_start: u64,
    /// The heap when it ended, in bytes.
    pub heap_end: u64,
    /// What of it is live, in bytes.
    pub heap_live: u64,
    /// The heap that it was to stay below, in bytes.
    pub goal: u64,
    /// Stacks that are scanned, in bytes.
    pub stacks: u64,
    /// Global variables that are scanned, in bytes.
    pub globals: u64,
    /// Processors that Go code runs on at once.
    pub gomaxprocs: u64,
}

/// CPU time of the garbage collector in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Of both pauses, on all processors.
    pub pause_us: u64,
    /// Of goroutines that allocate, and have to help.
    pub assist_us: u64,
    /// Of workers of its own, dedicated and fractional.
    pub background_us: u64,
    /// Of workers on processors that had nothing else to do.
    pub idle_us: u64,
}

impl Cycle {
    /// Both pauses together, in microseconds.
    #[must_use]
    pub fn pause_us(&self) -> u64 {
        self.sweep_termination_us
            .saturating_add(self.mark_termination_us)
    }
}

/// What every such line begins with.
pub(super) const BEGIN: &[u8] = b"gc ";

/// Whether what stands at the cursor begins as such a line does: its number, and a time behind it.
pub(super) fn begins(mut at: Cursor<'_>) -> bool {
    let mut begin = || {
        at.word(BEGIN)?;
        at.number()?;
        at.word(b" @")?;
        at.number()
    };
    begin().is_some()
}

/// Whether a line ends as such a line does.
pub(super) fn ends(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    (line.ends_with(b" P") || line.ends_with(b" P (forced)"))
        && memchr::memmem::find(line, b" MB globals, ").is_some()
}

/// The line, all of it.
pub(super) fn parse(mut at: Cursor<'_>) -> Option<Cycle> {
    at.word(BEGIN)?;
    let number = u32::try_from(at.number()?)
        .ok()
        .filter(|&number| number > 0)?;
    at.word(b" @")?;
    let at_milliseconds = at.seconds()?;
    at.word(b"s ")?;
    let cpu_percent = at.number()?;
    at.word(b"%")?;
    let checks_leaks = at.has(b" (checking for goroutine leaks)");
    at.word(b": ")?;
    let sweep_termination_us = at.milliseconds()?;
    at.word(b"+")?;
    let mark_us = at.milliseconds()?;
    at.word(b"+")?;
    let mark_termination_us = at.milliseconds()?;
    at.word(b" ms clock, ")?;
    let first_pause_us = at.milliseconds()?;
    at.word(b"+")?;
    let assist_us = at.milliseconds()?;
    at.word(b"/")?;
    let background_us = at.milliseconds()?;
    at.word(b"/")?;
    let idle_us = at.milliseconds()?;
    at.word(b"+")?;
    let last_pause_us = at.milliseconds()?;
    at.word(b" ms cpu, ")?;
    let heap_start = at.mebibytes()?;
    arrow(&mut at)?;
    let heap_end = at.mebibytes()?;
    arrow(&mut at)?;
    let heap_live = at.mebibytes()?;
    at.word(b" MB, ")?;
    let goal = at.mebibytes()?;
    at.word(b" MB goal, ")?;
    let stacks = at.mebibytes()?;
    at.word(b" MB stacks, ")?;
    let globals = at.mebibytes()?;
    at.word(b" MB globals, ")?;
    let gomaxprocs = at.number().filter(|&number| number > 0)?;
    at.word(b" P")?;
    let forced = at.has(b" (forced)");
    at.is_at_end().then_some(Cycle {
        number,
        at_milliseconds,
        cpu_percent,
        checks_leaks,
        forced,
        sweep_termination_us,
        mark_us,
        mark_termination_us,
        cpu: CpuTimes {
            pause_us: first_pause_us.checked_add(last_pause_us)?,
            assist_us,
            background_us,
            idle_us,
        },
        heap_start,
        heap_end,
        heap_live,
        goal,
        stacks,
        globals,
        gomaxprocs,
    })
}

/// `->`; Docker's JSON has another name for the second of its characters.
fn arrow(at: &mut Cursor<'_>) -> Option<()> {
    at.word(b"-")?;
    (at.has(b">") || at.has(b"\\u003e")).then_some(())
}
