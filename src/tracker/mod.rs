//! What is remembered of each target from one probe to the next, within bounds. Losing any of it does no harm,
//! and all of it is lost on restart.

mod evidence;
mod identity;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::budget::Ledger;

pub use evidence::{BASELINE_INTERVAL, Decision, Evidence, Look};
pub use identity::{Cumulative, Identity, Sighting};
pub use state::{Attempt, Kept, LastLook, Lore, TargetState, TraceAttempt, View};

/// Who is remembered: a process, as far as its address tells. Modules share what is known of it, above all when it was
/// asked for what costs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrackKey {
    /// The target, as it prints.
    pub target: String,
    /// Where its profiles are: behind another path may be another process.
    pub path: String,
}

/// Bounds on what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerLimits {
    /// How many targets, at most.
    pub targets: usize,
    /// How long after its last probe a target is forgotten.
    pub forget_after: Duration,
}

/// The state of all targets.
#[derive(Debug)]
pub struct Tracker {
    tracked: Mutex<Tracked>,
}

#[derive(Debug)]
struct Tracked {
    limits: TrackerLimits,
    /// Counts uses; gives each its place in `by_use`.
    uses: u64,
    states: HashMap<Arc<TrackKey>, Place>,
    /// Least recently used first: when, and who.
    by_use: BTreeMap<u64, (Instant, Arc<TrackKey>)>,
}

#[derive(Debug)]
struct Place {
    last_use: u64,
    state: Arc<Mutex<TargetState>>,
}

impl Tracker {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(limits: TrackerLimits) -> Self {
        let tracked = Tracked {
            limits,
            uses: 0,
            states: HashMap::new(),
            by_use: BTreeMap::new(),
        };
        Self {
            tracked: Mutex::new(tracked),
        }
    }

    /// The state of a target, empty when nothing is remembered. Two probes of one target share it; lock it
    /// for moments only.
    ///
    /// Makes room by forgetting who was not used for longest. Where that is needed, nobody knows when the target was
    /// asked for what costs it, so it is not asked at once: with more targets than room each is forgotten before its next
    /// probe. Cost: logarithmic in the number of targets.
    #[must_use]
    pub fn state(&self, key: TrackKey, now: Instant) -> Arc<Mutex<TargetState>> {
        let mut tracked = self.tracked();
        tracked.uses += 1;
        let last_use = tracked.uses;
        tracked.shrink(now);
        let (key, state) = match tracked.forget(&key) {
            Some(known) => known,
            None if tracked.states.len() >= tracked.limits.targets => {
                let mut state = TargetState::default();
                state.ledger = Ledger::wary(now);
                (Arc::new(key), Arc::new(Mutex::new(state)))
            }
            None => (Arc::new(key), Arc::default()),
        };
        tracked.by_use.insert(last_use, (now, Arc::clone(&key)));
        tracked.states.insert(
            key,
            Place {
                last_use,
                state: Arc::clone(&state),
            },
        );
        tracked.shrink(now);
        state
    }

    /// Changes the bounds, forgetting at once what is beyond them.
    pub fn set_limits(&self, limits: TrackerLimits, now: Instant) {
        let mut tracked = self.tracked();
        tracked.limits = limits;
        tracked.shrink(now);
    }

    /// How many targets are remembered, those whose time has passed aside.
    #[must_use]
    pub fn count(&self, now: Instant) -> usize {
        let mut tracked = self.tracked();
        tracked.shrink(now);
        tracked.states.len()
    }

    fn tracked(&self) -> MutexGuard<'_, Tracked> {
        // No caller's code runs under this lock, so nothing in it can be half done.
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracked {
    fn forget(&mut self, key: &TrackKey) -> Option<(Arc<TrackKey>, Arc<Mutex<TargetState>>)> {
        let (key, place) = self.states.remove_entry(key)?;
        self.by_use.remove(&place.last_use);
        Some((key, place.state))
    }

    fn shrink(&mut self, now: Instant) {
        while let Some((&use_number, (at, _))) = self.by_use.first_key_value() {
            let expired = now.saturating_duration_since(*at) > self.limits.forget_after;
            if !expired && self.states.len() <= self.limits.targets {
                break;
            }
            if let Some((_, key)) = self.by_use.remove(&use_number) {
                self.states.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn tracker(targets: usize) -> Tracker {
        Tracker::new(TrackerLimits {
            targets,
            forget_after: HOUR,
        })
    }

    fn key(target: &str) -> TrackKey {
        TrackKey {
            target: target.to_owned(),
            path: "/debug/pprof".to_owned(),
        }
    }

    fn known(tracker: &Tracker) -> Vec<String> {
        let inner = tracker.tracked();
        let by_use: Vec<_> = inner
            .by_use
            .values()
            .map(|(_, key)| key.target.clone())
            .collect();
        assert_eq!(by_use.len(), inner.states.len());
        by_use
    }

    #[test]
    fn a_target_keeps_its_state() {
        let (tracker, now) = (tracker(5), Instant::now());
        let first = tracker.state(key("a"), now);
        assert!(Arc::ptr_eq(&first, &tracker.state(key("a"), now)));
        assert!(!Arc::ptr_eq(&first, &tracker.state(key("b"), now)));
        let elsewhere = TrackKey {
            path: "/other".to_owned(),
            ..key("a")
        };
        assert!(!Arc::ptr_eq(&first, &tracker.state(elsewhere, now)));
        assert_eq!(tracker.count(now), 3);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let (tracker, now) = (tracker(2), Instant::now());
        for target in ["a", "b", "a", "c"] {
            drop(tracker.state(key(target), now));
        }
        assert_eq!(known(&tracker), ["a", "c"]);
        tracker.set_limits(
            TrackerLimits {
                targets: 1,
                forget_after: HOUR,
            },
            now,
        );
        assert_eq!(known(&tracker), ["c"]);
        tracker.set_limits(
            TrackerLimits {
                targets: 0,
                forget_after: HOUR,
            },
            now,
        );
        drop(tracker.state(key("d"), now));
        assert_eq!(tracker.count(now), 0);
    }

    #[test]
    fn time_forgets() {
        let (tracker, now) = (tracker(9), Instant::now());
        drop(tracker.state(key("a"), now));
        drop(tracker.state(key("b"), now + HOUR / 2));
        assert_eq!(tracker.count(now + HOUR), 2);
        assert_eq!(tracker.count(now + HOUR + Duration::from_secs(1)), 1);
        assert_eq!(known(&tracker), ["b"]);
        // Using it again gives it a new hour.
        drop(tracker.state(key("b"), now + HOUR + HOUR / 3));
        assert_eq!(tracker.count(now + HOUR * 2), 1);
    }

    #[test]
    fn who_was_perhaps_forgotten_may_have_been_asked_a_moment_ago() {
        let (tracker, now) = (tracker(2), Instant::now());
        let ledger = |target: &str, now| {
            let state = tracker.state(key(target), now);
            state.lock().unwrap().ledger.clone()
        };
        for target in ["a", "b"] {
            assert_eq!(ledger(target, now), Ledger::default());
        }
        for target in ["c", "a", "b", "c"] {
            assert_eq!(ledger(target, now), Ledger::wary(now), "{target}");
        }
        // Those whose time has passed need their room no more.
        let later = now + HOUR * 2;
        assert_eq!(ledger("d", later), Ledger::default());
    }

    #[test]
    fn a_state_in_use_survives_being_forgotten() {
        let (tracker, now) = (tracker(1), Instant::now());
        let held = tracker.state(key("a"), now);
        drop(tracker.state(key("b"), now));
        assert!(held.lock().is_ok());
        assert!(!Arc::ptr_eq(&held, &tracker.state(key("a"), now)));
    }
}
