//! What recent probes came to, for people who look at the landing page. Not a source of metrics: it forgets.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::failure::FailureReason;
use crate::probe::ProbeOutcome;

/// One probe that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts probes from 1 on.
    pub id: u64,
    /// The target, as it prints.
    pub target: String,
    /// The modules, joined by a comma.
    pub module: String,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed; `None` when it succeeded.
    pub failure: Option<FailureReason>,
    /// All goroutines, where they could be counted.
    pub goroutines: Option<u64>,
}

/// The most recent probes, and failures somewhat longer: among a thousand successes a minute the one failure
/// is what people look for, so it outlives the probes around it.
#[derive(Debug)]
pub struct History {
    limit: usize,
    rings: Mutex<Rings>,
}

#[derive(Debug, Default)]
struct Rings {
    last_id: u64,
    /// Oldest first, at most `limit`.
    recent: VecDeque<Entry>,
    /// Failures that fell out of `recent`, oldest first, at most `limit`.
    failed: VecDeque<Entry>,
}

impl History {
    /// Keeps `limit` probes, and as many failures older than those. With 0 it keeps none.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            rings: Mutex::default(),
        }
    }

    /// Adds a probe. Cost: constant.
    pub fn add(&self, outcome: &ProbeOutcome) {
        let goroutines = outcome
            .result
            .as_ref()
            .ok()
            .map(|report| report.tally.total);
        let mut rings = self.rings();
        rings.last_id += 1;
        let entry = Entry {
            id: rings.last_id,
            target: outcome.target.clone(),
            module: outcome.module.clone(),
            started: outcome.started,
            duration: outcome.duration,
            failure: outcome.failure(),
            goroutines,
        };
        rings.recent.push_back(entry);
        if rings.recent.len() <= self.limit {
            return;
        }
        let Some(oldest) = rings.recent.pop_front() else {
            return;
        };
        if oldest.failure.is_some() {
            rings.failed.push_back(oldest);
            if rings.failed.len() > self.limit {
                rings.failed.pop_front();
            }
        }
    }

    /// All entries, newest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let rings = self.rings();
        rings
            .recent
            .iter()
            .rev()
            .chain(rings.failed.iter().rev())
            .cloned()
            .collect()
    }

    /// The newest entry of each of these targets that has one, in the order of `targets`.
    #[must_use]
    pub fn latest<'t>(&self, targets: impl IntoIterator<Item = &'t str>) -> Vec<Option<Entry>> {
        let rings = self.rings();
        let newest = |target: &str| {
            let mut entries = rings.recent.iter().rev().chain(rings.failed.iter().rev());
            entries.find(|entry| entry.target == target).cloned()
        };
        targets.into_iter().map(newest).collect()
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        // Entries are whole before they are added, so what a panic left behind is still good.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{ProbeError, test_outcome, test_report};

    fn outcome(target: &str, ok: bool) -> ProbeOutcome {
        let failed = Err(ProbeError::Panicked);
        test_outcome(target, if ok { Ok(test_report()) } else { failed })
    }

    /// Adds probes, `F` a failed one and `s` one that succeeded, and looks at the ids kept.
    fn check(limit: usize, probes: &str, ids: &[u64]) {
        let history = History::new(limit);
        for probe in probes.chars() {
            history.add(&outcome("a", probe == 's'));
        }
        let kept: Vec<_> = history.entries().iter().map(|entry| entry.id).collect();
        assert_eq!(kept, ids, "limit {limit}, probes {probes}");
    }

    #[test]
    fn failures_outlive_successes() {
        check(3, "", &[]);
        check(3, "sss", &[3, 2, 1]);
        check(3, "ssss", &[4, 3, 2]);
        check(2, "Fsss", &[4, 3, 1]);
        check(2, "FFFss", &[5, 4, 3, 2]);
        check(2, "FFFFFF", &[6, 5, 4, 3]);
        check(1, "FsF", &[3, 1]);
        check(0, "sF", &[]);
    }

    #[test]
    fn an_entry_says_what_happened() {
        let history = History::new(2);
        history.add(&outcome("a", true));
        history.add(&outcome("b", false));
        let entries = history.entries();
        assert_eq!(entries[0].failure, Some(FailureReason::Internal));
        assert_eq!(entries[0].goroutines, None);
        assert_eq!(entries[1].failure, None);
        assert_eq!(entries[1].goroutines, Some(100));
        assert_eq!(entries[1].target, "a");
    }

    #[test]
    fn the_last_of_each_target() {
        let history = History::new(3);
        for target in ["a", "b", "a"] {
            history.add(&outcome(target, true));
        }
        let ids: Vec<_> = history
            .latest(["a", "b", "c"])
            .into_iter()
            .map(|e| e.map(|e| e.id))
            .collect();
        assert_eq!(ids, [Some(3), Some(2), None]);
    }
}
