//! The line of `schedtrace=N`, every N milliseconds.

use super::cursor::Cursor;

/// One look at the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When, in milliseconds since the first such line of the program, which is later than its start.
    pub at_milliseconds: u64,
    /// Processors that Go code runs on at once.
    pub gomaxprocs: u64,
    /// Those of them with nothing to do.
    pub idle_procs: u64,
    /// Threads of the system.
    pub threads: u64,
    /// Those that look for something to do.
    pub spinning_threads: u64,
    /// Those that sleep.
    pub idle_threads: u64,
    /// Goroutines that wait for a processor in the common queue.
    pub global_queue: u64,
    /// Those in the queues of processors, all together. `None` under `scheddetail`, which tells them elsewhere.
    pub local_queues: Option<u64>,
    /// Rounds of the scheduler since the start, all processors together (Go 1.25 and later).
    pub ticks: Option<u64>,
}

impl Sample {
    /// Goroutines that could run and do not.
    #[must_use]
    pub fn runnable(&self) -> Option<u64> {
        self.local_queues
            .map(|local| local.saturating_add(self.global_queue))
    }
}

/// What every such line begins with.
pub(super) const BEGIN: &[u8] = b"SCHED ";

/// Whether what stands at the cursor begins as such a line does.
pub(super) fn begins(mut at: Cursor<'_>) -> bool {
    head(&mut at).is_some()
}

/// Whether a line ends as such a line does.
pub(super) fn ends(line: &[u8]) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
    (line.trim_ascii_end().ends_with(b"]") && has(b"runqueue=")) || has(b" sysmonwait=")
}

/// The line, all of it. Words are in any order, and such as are not known may be among them; each that is known must be
/// there once.
pub(super) fn parse(mut at: Cursor<'_>) -> Option<Sample> {
    let at_milliseconds = head(&mut at)?;
    let mut found = Found::default();
    while !at.is_at_end() {
        at.word(b" ")?;
        if at.has(b"[") {
            set(&mut found.local_queues, list(&mut at)?)?;
            continue;
        }
        let key = at.letters();
        at.word(b"=")?;
        if at.has(b"[") {
            let sum = list(&mut at)?;
            if key == b"schedticks" {
                set(&mut found.ticks, sum)?;
            }
            continue;
        }
        let value = if at.has(b"true") {
            None
        } else if at.has(b"false") {
            Some(0)
        } else {
            Some(at.number()?)
        };
        match key {
            b"gomaxprocs" => set(&mut found.gomaxprocs, value?)?,
            b"idleprocs" => set(&mut found.idle_procs, value?)?,
            b"threads" => set(&mut found.threads, value?)?,
            b"spinningthreads" => set(&mut found.spinning_threads, value?)?,
            b"idlethreads" => set(&mut found.idle_threads, value?)?,
            b"runqueue" => set(&mut found.global_queue, value?)?,
            b"sysmonwait" => set(&mut found.detail_end, ())?,
            b"" => return None,
            _ => {}
        }
    }
    found.finish(at_milliseconds)
}

/// `SCHED 501ms:`; the milliseconds.
fn head(at: &mut Cursor<'_>) -> Option<u64> {
    at.word(BEGIN)?;
    let milliseconds = at.number()?;
    at.word(b"ms:")?;
    Some(milliseconds)
}

/// A list behind its bracket: how many, and their sum. From Go 1.25 on with a space inside each bracket.
fn list(at: &mut Cursor<'_>) -> Option<(u64, u64)> {
    let spaced = at.has(b" ");
    let (mut count, mut sum) = (0_u64, 0_u64);
    loop {
        sum = sum.checked_add(at.number()?)?;
        count = count.checked_add(1)?;
        if !spaced && at.has(b"]") {
            return Some((count, sum));
        }
        at.word(b" ")?;
        if spaced && at.has(b"]") {
            return Some((count, sum));
        }
    }
}

/// Sets what was not set before.
fn set<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// What was met so far.
#[derive(Debug, Default)]
struct Found {
    gomaxprocs: Option<u64>,
    idle_procs: Option<u64>,
    threads: Option<u64>,
    spinning_threads: Option<u64>,
    idle_threads: Option<u64>,
    global_queue: Option<u64>,
    /// One number for each processor: how many, and their sum.
    local_queues: Option<(u64, u64)>,
    ticks: Option<(u64, u64)>,
    /// The last word under `scheddetail`.
    detail_end: Option<()>,
}

impl Found {
    fn finish(self, at_milliseconds: u64) -> Option<Sample> {
        let gomaxprocs = self.gomaxprocs.filter(|&number| number > 0)?;
        // A list that is not as long as it should be has lost something, or has something else in it.
        let whole = |list: Option<(u64, u64)>| match list {
            Some((count, _)) if count != gomaxprocs => None,
            list => Some(list.map(|(_, sum)| sum)),
        };
        let local_queues = whole(self.local_queues)?;
        if local_queues.is_none() && self.detail_end.is_none() {
            return None;
        }
        Some(Sample {
            at_milliseconds,
            gomaxprocs,
            idle_procs: self.idle_procs?,
            threads: self.threads?,
            spinning_threads: self.spinning_threads?,
            idle_threads: self.idle_threads?,
            global_queue: self.global_queue?,
            local_queues,
            ticks: whole(self.ticks)?,
        })
    }
}
