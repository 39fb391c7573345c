//! What is remembered of one target.

use std::time::{Duration, Instant, SystemTime};

use super::evidence::Evidence;
use super::identity::Identity;
use crate::budget::Ledger;
use crate::classify::ClassifySpec;
use crate::failure::{FailureReason, TraceFailure};
use crate::reading::Reading;
use crate::tally::{ContentionMemory, GroupId, Leaks, Memory, Origins, ParkedGroups, Tally, Waits};
use crate::traced::Traced;

/// Modules, and ways to classify, that are told apart for one target; the least recently used is forgotten.
const MAX_VIEWS: usize = 8;

/// Groups of the last look that are remembered: as many as a page shows.
const MAX_LOOKED_AT: usize = 100;

/// How many intervals a result is repeated for.
const REPEATED_INTERVALS: u32 = 2;

/// What is remembered of one target, whichever modules look at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetState {
    /// When it was asked for what costs it, and what that came to.
    pub ledger: Ledger,
    /// Which process it is.
    pub identity: Identity,
    /// What tells when its profile is worth keeping.
    pub evidence: Evidence,
    views: Vec<(String, View)>,
    lore: Vec<(ClassifySpec, Lore)>,
}

/// What is remembered for one module, or set of modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Which groups have series, and for how long.
    pub memory: Memory,
    /// Which places of contention have series.
    pub block: ContentionMemory,
    /// The same of mutexes.
    pub mutex: ContentionMemory,
    /// Why the last probe failed; `None` when it succeeded, and before the first one.
    pub failure: Option<FailureReason>,
    /// What was counted last.
    pub last_look: Option<LastLook>,
}

/// What one look came to, so that the next one can tell what has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLook {
    /// When it began.
    pub at: SystemTime,
    /// All goroutines.
    pub total: u64,
    /// The largest groups, the largest first.
    groups: Vec<(GroupId, u64)>,
    /// Goroutines a group may have had without being in the list.
    below: u64,
}

/// What expensive profiles told, in the groups that one way to classify makes. Modules that classify alike share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lore {
    /// How long goroutines wait.
    pub waits: Option<Kept<Waits>>,
    /// Which were marked leaked in that profile.
    pub marks: Option<Kept<Leaks>>,
    /// Which are proven leaked.
    pub leaks: Option<Kept<Leaks>>,
    /// Who started them.
    pub origins: Origins,
    /// How the detailed profile was last read.
    pub detail_attempt: Option<Attempt>,
    /// How the leak profile was.
    pub leak_attempt: Option<Attempt>,
    /// What goroutines did in the last window that was traced.
    pub traced: Option<Kept<Traced>>,
    /// Which of them did not move in it.
    pub parked: Option<Kept<ParkedGroups>>,
    /// How the trace was read.
    pub trace_attempt: Option<TraceAttempt>,
}

/// A result that is repeated for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// It.
    pub what: T,
    /// When it was asked for.
    pub asked: Instant,
    /// When it had been read.
    pub read_at: SystemTime,
}

/// How an expensive profile was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it was asked for.
    pub asked: Instant,
    /// How it went.
    pub reading: Reading,
}

/// How a trace was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceAttempt {
    /// As any expensive profile is.
    pub attempt: Attempt,
    /// Why it was not read whole, in the words for traces.
    pub failure: Option<TraceFailure>,
}

impl TargetState {
    /// What is remembered for the modules of this label.
    pub fn view(&mut self, label: &str) -> &mut View {
        entry(&mut self.views, |known| known == label, || label.to_owned())
    }

    /// What was told to this way to classify.
    pub fn lore(&mut self, classify: &ClassifySpec) -> &mut Lore {
        entry(
            &mut self.lore,
            |known| known == classify,
            || classify.clone(),
        )
    }

    /// Forgets what was learnt of the process before this one: its groups, who started them, what it did not have.
    /// Which requests it was sent, that its probes failed, and what is usual of it stays.
    pub fn restarted(&mut self, at: SystemTime) {
        self.identity.restarted(at);
        self.ledger.restarted();
        self.lore.clear();
        for (_, view) in &mut self.views {
            view.memory = Memory::default();
            view.block = ContentionMemory::default();
            view.mutex = ContentionMemory::default();
        }
    }
}

impl LastLook {
    /// Of these counts.
    #[must_use]
    pub fn new(tally: &Tally, at: SystemTime) -> Self {
        let listed = tally.groups.iter().take(MAX_LOOKED_AT);
        let first_left_out = tally.groups.get(MAX_LOOKED_AT);
        Self {
            at,
            total: tally.total,
            groups: listed.map(|group| (group.id, group.goroutines)).collect(),
            below: first_left_out.map_or(tally.unlisted, |group| group.goroutines),
        }
    }

    /// How many goroutines a group had; `None` when that is not known any more.
    #[must_use]
    pub fn goroutines(&self, id: GroupId) -> Option<u64> {
        let known = self.groups.iter().find(|(known, _)| *known == id);
        known
            .map(|(_, goroutines)| *goroutines)
            .or((self.below == 0).then_some(0))
    }
}

impl<T> Kept<T> {
    /// It, while it is not older than two intervals.
    #[must_use]
    pub fn current(&self, now: Instant, interval: Duration) -> Option<&Self> {
        is_current(self.asked, now, interval).then_some(self)
    }
}

impl Attempt {
    /// It, while it is not older than two intervals.
    #[must_use]
    pub fn current(&self, now: Instant, interval: Duration) -> Option<&Self> {
        is_current(self.asked, now, interval).then_some(self)
    }
}

fn is_current(asked: Instant, now: Instant, interval: Duration) -> bool {
    now.saturating_duration_since(asked) <= interval.saturating_mul(REPEATED_INTERVALS)
}

/// The entry that matches, the most recently used last; a new one takes the place of the oldest when there is no room.
fn entry<K, V: Default>(
    entries: &mut Vec<(K, V)>,
    matches: impl Fn(&K) -> bool,
    key: impl FnOnce() -> K,
) -> &mut V {
    let found = entries.iter().position(|(known, _)| matches(known));
    let used = if let Some(at) = found {
        entries.remove(at)
    } else {
        if entries.len() >= MAX_VIEWS {
            entries.remove(0);
        }
        (key(), V::default())
    };
    &mut entries.push_mut(used).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Module;
    use crate::probe::test_report;
    use crate::tally::{Contention, ContentionPlace, select, select_contention};

    #[test]
    fn modules_have_views_of_their_own_and_share_what_is_classified_alike() {
        let mut state = TargetState::default();
        state.view("a").failure = Some(FailureReason::Dns);
        assert_eq!(state.view("b").failure, None);
        assert_eq!(state.view("a").failure, Some(FailureReason::Dns));
        let other = ClassifySpec {
            plumbing: vec!["x".to_owned()],
            ..ClassifySpec::default()
        };
        state.lore(&ClassifySpec::default()).detail_attempt = Some(Attempt {
            asked: Instant::now(),
            reading: Reading::default(),
        });
        assert_eq!(state.lore(&other).detail_attempt, None);
        assert!(
            state
                .lore(&ClassifySpec::default())
                .detail_attempt
                .is_some()
        );
    }

    #[test]
    fn the_least_recently_used_view_goes_first() {
        let mut state = TargetState::default();
        for n in 0..MAX_VIEWS {
            state.view(&n.to_string()).failure = Some(FailureReason::Dns);
        }
        state.view("0");
        state.view("more");
        assert_eq!(state.views.len(), MAX_VIEWS);
        assert!(state.view("0").failure.is_some());
        assert!(state.view("1").failure.is_none());
    }

    #[test]
    fn a_restart_forgets_what_was_learnt() {
        let mut state = TargetState::default();
        let now = Instant::now();
        state.ledger.missing(now);
        state.view("a").failure = Some(FailureReason::Dns);
        state.lore(&ClassifySpec::default()).leak_attempt = Some(Attempt {
            asked: now,
            reading: Reading::default(),
        });
        let place = ContentionPlace {
            blocking_frame: "main.f".into(),
            app_frame: "main.f".into(),
            events: 1,
            nanoseconds: 1,
        };
        let contention = Contention {
            places: vec![place],
            ..Contention::default()
        };
        let view = state.view("a");
        for memory in [&mut view.block, &mut view.mutex] {
            assert_eq!(select_contention(&contention, 1, memory).shown, [0]);
        }
        let report = test_report();
        let limits = Module::default().series;
        assert!(
            !select(&report.tally, &limits, &mut view.memory)
                .shown
                .is_empty()
        );
        for memory in [&view.block, &view.mutex] {
            assert_ne!(*memory, ContentionMemory::default());
        }
        assert_ne!(view.memory, Memory::default());
        let at = SystemTime::UNIX_EPOCH;
        state.restarted(at);
        assert_eq!(state.identity.noticed(), Some(at));
        assert!(!state.ledger.is_missing());
        assert_eq!(state.lore(&ClassifySpec::default()), &Lore::default());
        let forgotten = View {
            failure: Some(FailureReason::Dns),
            ..View::default()
        };
        assert_eq!(*state.view("a"), forgotten);
    }

    #[test]
    fn the_last_look_knows_the_largest_groups() {
        let mut tally = test_report().tally;
        tally.unlisted = 0;
        let last = LastLook::new(&tally, SystemTime::UNIX_EPOCH);
        assert_eq!(last.goroutines(GroupId(2)), Some(15));
        assert_eq!(last.goroutines(GroupId(9)), Some(0));
        let smallest = tally.groups[2].clone();
        tally.groups.resize(MAX_LOOKED_AT + 1, smallest);
        let last = LastLook::new(&tally, SystemTime::UNIX_EPOCH);
        assert_eq!(last.groups.len(), MAX_LOOKED_AT);
        // It may have been among those that are not remembered.
        assert_eq!(last.goroutines(GroupId(9)), None);
    }

    #[test]
    fn results_are_repeated_for_two_intervals() {
        let now = Instant::now();
        let kept = Kept {
            what: (),
            asked: now,
            read_at: SystemTime::UNIX_EPOCH,
        };
        let minute = Duration::from_mins(1);
        assert!(kept.current(now + minute * 20, minute * 10).is_some());
        let later = now + minute * 20 + Duration::from_nanos(1);
        assert!(kept.current(later, minute * 10).is_none());
    }
}
