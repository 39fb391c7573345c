//! stub

mod series;
pub use series::{Memory, Selection, SeriesLimits, select};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::classify::{Origin, WaitReason};
use crate::profile::{Encoding, Summary};

/// The key of a group: the first 8 bytes of SHA-256 over wait reason, blocking frame and application frame,
/// each followed by a newline. Prints as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u64);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Goroutines with the same wait reason, blocking frame and application frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The hash of the next three.
    pub id: GroupId,
    /// Why they wait.
    pub wait_reason: WaitReason,
    /// The first function, leaf first, that is not plumbing.
    pub blocking_frame: Arc<str>,
    /// The first function of the application; empty when there is none.
    pub app_frame: Arc<str>,
    /// How many.
    pub goroutines: u64,
    /// How many of them are proven leaked.
    pub leaked: u64,
    /// The longest wait, in whole minutes; absent where none was reported.
    pub longest_wait: Option<Duration>,
    /// Source file of the application's frame (the blocking frame's where there is none), relative to its
    /// module; the most frequent one, empty where unknown.
    pub file: Arc<str>,
    /// Its line; 0 where unknown.
    pub line: u32,
    /// The outermost function; empty where the stack was cut.
    pub entry: Arc<str>,
    /// The function with the `go` statement, the most frequent one: `None` where the encoding cannot tell,
    /// empty where nothing created it.
    pub created_by: Option<Arc<str>>,
    /// Whose code the blocking frame is.
    pub origin: Origin,
}

/// Everything counted in one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What the decoder said of the dump.
    pub summary: Summary,
    /// All goroutines.
    pub total: u64,
    /// By wait reason, in the order of [`WaitReason::ALL`].
    pub wait_reasons: [u64; WaitReason::ALL.len()],
    /// The longest wait by wait reason, same order.
    pub longest_waits: [Option<Duration>; WaitReason::ALL.len()],
    /// Largest first, ties by id.
    pub groups: Vec<Group>,
    /// Goroutines of no group in `groups`, since there were too many groups or names to keep.
    pub unlisted: u64,
    /// By `classify.watch`, in the order of the configuration.
    pub watches: Vec<(Arc<str>, u64)>,
    /// By allow-listed pprof label: key, value, goroutines. Sorted; the rest of a key in value `other`.
    pub labels: Vec<(Arc<str>, Arc<str>, u64)>,
    /// The highest goroutine id met.
    pub highest_id: Option<u64>,
}

impl Tally {
    /// The encoding it was read from.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.summary.encoding
    }
}
