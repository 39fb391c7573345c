//! What is known of a program after one trace of it.

use std::sync::Arc;

use super::latency::Latency;
use super::wire::Format;
use crate::classify::WaitReason;
use crate::tally::GroupId;

/// Everything counted in one trace. All times are nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The form the trace was in.
    pub format: Format,
    /// How many generations it had.
    pub generations: u64,
    /// How long it lasted, from the first thread's first batch to the last event.
    pub nanoseconds: u64,
    /// Events read.
    pub events: u64,
    /// Goroutines that were there at the end.
    pub goroutines: u64,
    /// `GOMAXPROCS`, the last value said.
    pub processors: Option<u64>,
    /// Waits by group, most time first, then by id.
    pub blocked: Vec<Blocked>,
    /// Waits of no group in `blocked`, since there were too many.
    pub blocked_unlisted: Spans,
    /// System calls by where they were made; the same. What the trace began with has no place.
    pub syscalls: Vec<Blocked>,
    /// System calls of no group in `syscalls`.
    pub syscalls_unlisted: Spans,
    /// System calls that took so long that another thread got the processor.
    pub syscalls_lost_processor: u64,
    /// From being able to run to running, by what came before, in the order of [`Cause::ALL`]; only those whose both ends
    /// were seen.
    pub latency: [Latency; Cause::ALL.len()],
    /// All time between being able to run and running, those of the GC's workers left out.
    pub runnable: Runnable,
    /// Times at which the world was stopped, by kind, most time first.
    pub stops: Vec<Stop>,
    /// What the garbage collector did.
    pub collector: Collector,
    /// Where goroutines were made, and how many of them ended; most made first, then most ended.
    pub sites: Vec<Site>,
    /// Goroutines of no site in `sites`.
    pub sites_unlisted: Births,
    /// Goroutines that ended and had been made before the window.
    pub ended_older: u64,
    /// Goroutines that were parked from the first moment to the last, with their group's place in `blocked`; by number.
    pub parked: Vec<(u64, usize)>,
    /// Parked goroutines that `parked` has no room for.
    pub parked_unlisted: u64,
    /// What goroutines waited for, all together, in the order of [`Blame::ALL`].
    pub verdict: [Waited; Blame::ALL.len()],
    /// What could not be read or does not fit together.
    pub damage: Damage,
}

/// Times something happened, and how long all of them took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// All together.
    pub nanoseconds: u64,
}

impl Sum {
    /// One more.
    pub(super) fn add(&mut self, nanoseconds: u64) {
        self.count += 1;
        self.nanoseconds = self.nanoseconds.saturating_add(nanoseconds);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            nanoseconds: self.nanoseconds.saturating_add(other.nanoseconds),
        }
    }
}

/// Intervals by how much of them lies in the window. Time outside is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Both ends were seen.
    pub closed: Sum,
    /// Those that had begun before.
    pub left: Sum,
    /// Those that went on.
    pub right: Sum,
    /// The whole window.
    pub both: Sum,
}

impl Spans {
    /// Those that changed within the window.
    #[must_use]
    pub fn moved(&self) -> Sum {
        self.closed.and(self.left).and(self.right)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Sum {
        self.moved().and(self.both)
    }

    pub(super) fn class(&mut self, left: bool, right: bool) -> &mut Sum {
        match (left, right) {
            (false, false) => &mut self.closed,
            (true, false) => &mut self.left,
            (false, true) => &mut self.right,
            (true, true) => &mut self.both,
        }
    }
}

/// Whose goroutines a group's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// The application's, or what it uses.
    Application,
    /// The runtime's own.
    Runtime,
    /// Those that make the trace or answer a request for a profile, and would not be there without.
    Tracer,
}

/// Waits, or system calls, of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The same id as the group of a goroutine profile.
    pub id: GroupId,
    /// Why; what the trace says in a few words is told further by the stack.
    pub wait_reason: WaitReason,
    /// As in a goroutine profile.
    pub blocking_frame: Arc<str>,
    /// As in a goroutine profile.
    pub app_frame: Arc<str>,
    /// Whose goroutines.
    pub owner: Owner,
    /// How many, how long.
    pub spans: Spans,
    /// How much of the time of those that moved the world was stopped. A coincidence unless the waker was held up.
    pub world_stopped: u64,
    /// How much of it the garbage collector was marking, and the world not stopped.
    pub marking: u64,
}

/// What came before a goroutine could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// It was woken.
    Unblock,
    /// It was made.
    Create,
    /// It was stopped, for it had run for long or was in the way of the runtime.
    Preempt,
    /// It yielded.
    Yield,
    /// It came back from a system call, and its processor was gone.
    Syscall,
    /// Any of these, for a worker of the garbage collector.
    Collector,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 6] = [
        Self::Unblock,
        Self::Create,
        Self::Preempt,
        Self::Yield,
        Self::Syscall,
        Self::Collector,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unblock => "unblock",
            Self::Create => "create",
            Self::Preempt => "preempt",
            Self::Yield => "yield",
            Self::Syscall => "syscall",
            Self::Collector => "gc worker",
        }
    }

    /// Its place in [`Cause::ALL`].
    #[must_use]
    #[expect(clippy::as_conversions, reason = "a fieldless enum with repr(u8)")]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Time in which goroutines could run and did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runnable {
    /// All of it.
    pub spans: Spans,
    /// While the world was stopped.
    pub world_stopped: u64,
    /// While the garbage collector was marking, and the world not stopped.
    pub marking: u64,
    /// Neither: there were more of them than processors.
    pub other: u64,
}

/// Times the world was stopped for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The runtime's words: `GC mark termination`.
    pub kind: Arc<str>,
    /// Whether it is the trace's own, and would not be there without.
    pub tracer: bool,
    /// How many, how long: from asking all to stop until all may go on.
    pub sum: Sum,
    /// The longest.
    pub longest: u64,
}

/// What the garbage collector did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collector {
    /// Mark phases of which an end was seen, or that went on.
    pub mark: Spans,
    /// Time that goroutines had to help with marking: by being called to, whether it had begun before, or went on.
    pub assist: Spans,
    /// Time in sweeping.
    pub sweep: Sum,
    /// Bytes swept.
    pub swept_bytes: u64,
    /// Bytes of them that became free.
    pub reclaimed_bytes: u64,
    /// Time its workers ran.
    pub workers: Sum,
    /// Bytes in use, the last value said.
    pub heap_live: Option<u64>,
    /// The size at which the next cycle is to end, the last value said.
    pub heap_goal: Option<u64>,
}

/// Goroutines made and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Births {
    /// Made in the window.
    pub created: u64,
    /// Those of them that ended in it.
    pub ended: u64,
}

/// A place that makes goroutines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The function with the `go` statement; empty for what C code called.
    pub created_by: Arc<str>,
    /// The first function of the application above it, itself included; empty where there is none.
    pub app_frame: Arc<str>,
    /// The function the goroutines run.
    pub entry: Arc<str>,
    /// Whose goroutines.
    pub owner: Owner,
    /// How many.
    pub births: Births,
}

/// What goroutines waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Blame {
    /// They could run, but the world was stopped.
    WorldStopped,
    /// They could run, but the collector was marking.
    Marking,
    /// They waited for the collector, or helped it.
    Collector,
    /// They could run, but no processor was free.
    Scheduler,
    /// A lock.
    Lock,
    /// Other goroutines: channels, conditions, wait groups.
    Goroutines,
    /// The network.
    Io,
    /// The kernel, or C code.
    Syscall,
    /// Time to pass.
    Sleep,
    /// Anything else, or nobody knows.
    Other,
}

impl Blame {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::WorldStopped,
        Self::Marking,
        Self::Collector,
        Self::Scheduler,
        Self::Lock,
        Self::Goroutines,
        Self::Io,
        Self::Syscall,
        Self::Sleep,
        Self::Other,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorldStopped => "world stopped",
            Self::Marking => "gc marking",
            Self::Collector => "gc wait",
            Self::Scheduler => "scheduler",
            Self::Lock => "lock",
            Self::Goroutines => "goroutines",
            Self::Io => "io",
            Self::Syscall => "syscall",
            Self::Sleep => "sleep",
            Self::Other => "other",
        }
    }

    /// Its place in [`Blame::ALL`].
    #[must_use]
    #[expect(clippy::as_conversions, reason = "a fieldless enum with repr(u8)")]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whom a wait for this reason is put down to.
    pub(super) const fn of(reason: WaitReason) -> Self {
        match reason {
            WaitReason::MutexLock
            | WaitReason::RwMutexRLock
            | WaitReason::RwMutexLock
            | WaitReason::Semacquire => Self::Lock,
            WaitReason::ChanReceive
            | WaitReason::ChanSend
            | WaitReason::Select
            | WaitReason::SelectNoCases
            | WaitReason::WaitGroupWait
            | WaitReason::CondWait
            | WaitReason::Coroutine => Self::Goroutines,
            WaitReason::IoWait => Self::Io,
            WaitReason::Syscall => Self::Syscall,
            WaitReason::Sleep => Self::Sleep,
            WaitReason::Runtime => Self::Collector,
            WaitReason::Running | WaitReason::Unknown => Self::Other,
        }
    }
}

/// Time goroutines of the application waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// Waits that began or ended in the window.
    pub moved: u64,
    /// Waits that lasted longer than the window: its length for each goroutine.
    pub parked: u64,
}

/// What could not be read, does not fit together, or was too much. All zero for what Go writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Generations whose end is missing, or that came when one before was too large.
    pub generations: u64,
    /// Bytes that no batch begins with: all from there to the end.
    pub bytes: u64,
    /// Batches of the wrong generation, or too many of them.
    pub batches: u64,
    /// Batches whose rest holds no event that is known.
    pub events: u64,
    /// Strings and stacks that no table holds, or that it had no room for.
    pub tables: u64,
    /// Sequence numbers of goroutines that are missing.
    pub gaps: u64,
    /// Events that the goroutine's state does not admit, statuses that say otherwise, ends without a beginning.
    pub conflicts: u64,
    /// Goroutines that came from nowhere after the first generation.
    pub unknown_goroutines: u64,
    /// Events of goroutines beyond the limit, or that waited for too many before them.
    pub dropped: u64,
    /// Stretches of a stopped world or of marking that were too many to be remembered.
    pub stretches: u64,
    /// Times of intervals that were negative, since clocks of two processors differ, and count as nothing. Not damage.
    pub clamped: u64,
}

impl Damage {
    /// Whether anything was lost.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let clamped = self.clamped;
        *self
            == Self {
                clamped,
                ..Self::default()
            }
    }
}
