//! From decoded profiles to counted groups, and from groups to a bounded number of series.
//!
//! [`Collector`] takes what a decoder pushes and counts it by group in bounded memory; [`select`] chooses which
//! groups get series of their own. The sum over the groups and the rest is the total, always. [`ContentionCollector`]
//! and [`select_contention`] do the same for waits that are over, and [`Threads`] counts threads.

mod collector;
mod contention;
mod focus;
mod group_stacks;
mod interner;
mod judge;
mod labels;
mod learnt;
mod merge;
mod namer;
mod parked;
mod series;
mod stacks;
mod threads;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use collector::Collector;
pub use contention::{
    Contention, ContentionCollector, ContentionMemory, ContentionPlace, ContentionSelection,
    OTHER_PLACES, select_contention,
};
pub use focus::Focused;
pub use group_stacks::{Call, CountedStack, GroupStacks, StackCollector};
pub use learnt::{Leaks, Origins, Waits};
pub use namer::{Function, Name, NamedStack, Namer};
pub use parked::{Parked, ParkedGroups};
pub use series::{Memory, Selection, SeriesLimits, select, steady};
pub use stacks::Stacks;
pub use threads::Threads;

use crate::classify::names::fingerprint;
use crate::classify::{Origin, WaitReason};
use crate::profile::Summary;

/// The waits that are counted as "at least this long", in minutes: a minute, ten, an hour, a day.
pub const WAITED_MINUTES: [u64; 4] = [1, 10, 60, 24 * 60];

/// From how long a wait for a lock or a send means that somebody is stuck.
pub const STUCK: Duration = Duration::from_secs(10 * 60);

/// The key of a group: the first 8 bytes of SHA-256 over wait reason, blocking frame and application frame,
/// each followed by a newline. Prints as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The key of the group with these labels.
    #[must_use]
    pub fn of(wait_reason: WaitReason, blocking_frame: &str, app_frame: &str) -> Self {
        Self(fingerprint(&[
            wait_reason.as_str(),
            blocking_frame,
            app_frame,
        ]))
    }
}

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
    /// How many did not move while they were watched; absent where nobody watched.
    pub parked: Option<Parked>,
    /// Source file of the application's frame (the blocking frame's where there is none), relative to its
    /// module; the most frequent one, empty where unknown.
    pub file: Arc<str>,
    /// Its line; 0 where unknown.
    pub line: u32,
    /// All such places that were counted, the most frequent first; the first is in `file` and `line`, unless
    /// [`steady`] kept an earlier one.
    pub places: Vec<Place>,
    /// The outermost function; empty where the stack was cut.
    pub entry: Arc<str>,
    /// The function with the `go` statement, the most frequent one: `None` where the encoding cannot tell,
    /// empty where nothing created it.
    pub created_by: Option<Arc<str>>,
    /// Whose code the blocking frame is.
    pub origin: Origin,
}

/// A place in the source, and how many goroutines of a group are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Source file, relative to its module.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
    /// How many goroutines.
    pub goroutines: u64,
}

impl Group {
    /// Whether it waits for a lock or a send for so long that it is stuck.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.wait_reason.is_lock_or_send() && self.longest_wait.is_some_and(|wait| wait >= STUCK)
    }
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
    /// Goroutines that waited at least [`WAITED_MINUTES`], by wait reason, same orders; cumulative.
    pub waited: [[u64; WAITED_MINUTES.len()]; WaitReason::ALL.len()],
    /// Proven leaked, whole target; `None` where nothing in the profile tells.
    pub leaked: Option<u64>,
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
    /// Goroutines that were in the profiles before and after an execution trace; absent where there was none.
    pub checked: Option<u64>,
    /// Calls on all stacks together, as the profile shows them: what a dump of every goroutine has to walk while the
    /// world stands still. Stacks whose root is cut count for as many calls as Go keeps at most, or more.
    pub frames: u64,
}

impl Tally {
    /// How many goroutines wait for something of package sync.
    #[must_use]
    pub fn at_locks(&self) -> u64 {
        let reasons = WaitReason::ALL.iter().zip(&self.wait_reasons);
        let at_locks = reasons.filter(|(reason, _)| reason.is_semaphore());
        at_locks.map(|(_, count)| count).sum()
    }

    /// Whether every goroutine was counted: nothing cut short, no record left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.summary.truncated && self.summary.damage == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_ids_are_what_sha256sum_says() {
        // printf '%s\n' 'chan receive' main.worker main.worker | sha256sum | cut -c1-16
        let id = GroupId::of(WaitReason::ChanReceive, "main.worker", "main.worker");
        assert_eq!(id.to_string(), "fab86a6a5c6be373");
        assert_ne!(id, GroupId::of(WaitReason::ChanReceive, "main.worker", ""));
    }
}
