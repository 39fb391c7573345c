//! A goroutine's state, and what may happen to it in which.

use super::tables::UNLISTED;
use super::window::Cause;

/// What a goroutine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Named, but neither made nor found so far.
    Unknown,
    Runnable(Option<Cause>),
    Running,
    Syscall,
    Waiting,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Goroutine {
    pub(super) id: u64,
    /// The last sequence number, of the generation in which it was last met.
    pub(super) sequence: u64,
    pub(super) generation: u64,
    pub(super) state: State,
    /// Since when.
    pub(super) since: u64,
    /// Whether it was so before that: the window's start, or that of a generation after damage.
    pub(super) left: bool,
    /// Whether it is a worker of the garbage collector.
    pub(super) worker: bool,
    /// Whether records of it wait.
    pub(super) waiting: bool,
    /// Whether it ended. Its place is given to another when no record of it waits.
    pub(super) gone: bool,
    /// Where it waits, or is in a system call.
    pub(super) group: u32,
    /// Where it was made: [`OLDER`] before the window.
    pub(super) site: u32,
    /// Since when it helps the collector, and whether it did before.
    pub(super) assist: Option<(u64, bool)>,
}

/// A goroutine made before the window.
pub(super) const OLDER: u32 = UNLISTED - 1;

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

impl Goroutine {
    /// One that nothing is known of but its number.
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            sequence: 0,
            generation: 0,
            state: State::Unknown,
            since: 0,
            left: false,
            worker: false,
            waiting: false,
            gone: false,
            group: UNLISTED,
            site: OLDER,
            assist: None,
        }
    }

    /// Whether it is this record's turn.
    #[inline]
    pub(super) fn admits(&self, generation: u64, record: &Record) -> bool {
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
    pub(super) fn fits(self, step: Step) -> bool {
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
