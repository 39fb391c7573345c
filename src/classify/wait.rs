//! Wait reasons: the closed set of the `wait_reason` label.

use std::fmt;

/// Why a goroutine waits, in the words of the newest Go runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum WaitReason {
    /// `<-ch`, `range ch`, a `select` with one case.
    ChanReceive,
    /// `ch <- v`.
    ChanSend,
    /// `select` with two cases or more.
    Select,
    /// `select {}`.
    SelectNoCases,
    /// `sync.Mutex.Lock`, and whatever is built on it (`sync.Once`, a writer behind a writer).
    MutexLock,
    /// `sync.RWMutex.RLock`.
    RwMutexRLock,
    /// `sync.RWMutex.Lock` behind readers.
    RwMutexLock,
    /// `sync.WaitGroup.Wait`.
    WaitGroupWait,
    /// `sync.Cond.Wait`.
    CondWait,
    /// A semaphore of the runtime that none of the above stands for.
    Semacquire,
    /// `time.Sleep`.
    Sleep,
    /// The network poller: sockets, pipes.
    IoWait,
    /// A system call or C code.
    Syscall,
    /// The other side of an `iter.Pull`.
    Coroutine,
    /// Not parked: running, runnable, preempted.
    Running,
    /// The runtime's own waits: garbage collection, finalizers, debugging, tracing.
    Runtime,
    /// The dump does not tell.
    Unknown,
}

impl WaitReason {
    /// Every wait reason, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::ChanReceive,
        Self::ChanSend,
        Self::Select,
        Self::SelectNoCases,
        Self::MutexLock,
        Self::RwMutexRLock,
        Self::RwMutexLock,
        Self::WaitGroupWait,
        Self::CondWait,
        Self::Semacquire,
        Self::Sleep,
        Self::IoWait,
        Self::Syscall,
        Self::Coroutine,
        Self::Running,
        Self::Runtime,
        Self::Unknown,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChanReceive => "chan receive",
            Self::ChanSend => "chan send",
            Self::Select => "select",
            Self::SelectNoCases => "select (no cases)",
            Self::MutexLock => "sync.Mutex.Lock",
            Self::RwMutexRLock => "sync.RWMutex.RLock",
            Self::RwMutexLock => "sync.RWMutex.Lock",
            Self::WaitGroupWait => "sync.WaitGroup.Wait",
            Self::CondWait => "sync.Cond.Wait",
            Self::Semacquire => "semacquire",
            Self::Sleep => "sleep",
            Self::IoWait => "IO wait",
            Self::Syscall => "syscall",
            Self::Coroutine => "coroutine",
            Self::Running => "running",
            Self::Runtime => "runtime",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a long wait for this reason means somebody is stuck: locks and sends, which end soon in a
    /// healthy program, as against receives, which may idle for days.
    #[must_use]
    pub const fn is_lock_or_send(self) -> bool {
        matches!(
            self,
            Self::ChanSend | Self::MutexLock | Self::RwMutexRLock | Self::RwMutexLock
        )
    }

    /// Whether the runtime queues it at a semaphore, behind all others that wait for the same one
    /// (runtime/sema.go): locks, and wait groups.
    #[must_use]
    pub const fn is_semaphore(self) -> bool {
        matches!(
            self,
            Self::MutexLock
                | Self::RwMutexRLock
                | Self::RwMutexLock
                | Self::WaitGroupWait
                | Self::Semacquire
        )
    }

    /// Its place in [`WaitReason::ALL`].
    #[must_use]
    #[expect(clippy::as_conversions, reason = "a fieldless enum with repr(u8)")]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
