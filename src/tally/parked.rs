//! Goroutines proven parked: in the profiles before and after an execution trace, and not once on the move in between.
//!
//! A profile names no goroutines, so groups are compared: of a group that had 100 before and 90 after, and of which the trace
//! saw 95 that did not move, at most 90 can be in all three.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{GroupId, Tally};
use crate::classify::WaitReason;

/// Groups of one target that are remembered, at most: five times those that can have series.
const MAX_REMEMBERED: usize = 512;

/// What is known of the goroutines of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Those that did not move.
    pub goroutines: u64,
    /// Those that were there before, which is what the first are a share of.
    pub of: u64,
}

/// The same of all groups that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkedGroups {
    /// Goroutines in both profiles, as far as counts by group tell.
    pub checked: u64,
    groups: BTreeMap<GroupId, Parked>,
}

impl Parked {
    /// The share, 0 to 1.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "a share of counts that are far below 2^53"
    )]
    pub fn ratio(self) -> f64 {
        if self.of == 0 {
            return 0.0;
        }
        self.goroutines as f64 / self.of as f64
    }
}

impl ParkedGroups {
    /// What two profiles and the trace between them prove together: `still` has the goroutines by group that the trace saw
    /// in one place from its first moment to its last.
    ///
    /// Cost: a sort of the groups.
    #[must_use]
    pub fn of(before: &Tally, still: &BTreeMap<GroupId, u64>, after: &Tally) -> Self {
        let after: BTreeMap<GroupId, u64> = after
            .groups
            .iter()
            .map(|group| (group.id, group.goroutines))
            .collect();
        let in_both = |id: GroupId, goroutines: u64| {
            let after = after.get(&id).copied().unwrap_or(0);
            after.min(goroutines)
        };
        let checked = before
            .groups
            .iter()
            .map(|group| in_both(group.id, group.goroutines))
            .sum();
        let mut parked: Vec<(GroupId, Parked)> = before
            .groups
            .iter()
            .filter(|group| group.wait_reason != WaitReason::Running)
            .map(|group| {
                let still = still.get(&group.id).copied().unwrap_or(0);
                let goroutines = still.min(in_both(group.id, group.goroutines));
                let of = group.goroutines;
                (group.id, Parked { goroutines, of })
            })
            .collect();
        parked.sort_by_key(|(id, parked)| (Reverse(parked.of), *id));
        parked.truncate(MAX_REMEMBERED);
        Self {
            checked,
            groups: parked.into_iter().collect(),
        }
    }
}

impl Tally {
    /// Puts in which goroutines were proven parked when that was last tried.
    pub fn adopt_parked(&mut self, parked: &ParkedGroups) {
        self.checked = Some(parked.checked);
        for group in &mut self.groups {
            group.parked = parked.groups.get(&group.id).copied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::test_report;

    /// Groups 1, 2 and so on with so many goroutines each.
    fn tally(goroutines: &[u64]) -> Tally {
        let mut tally = test_report().tally;
        let group = tally.groups[0].clone();
        tally.groups = goroutines
            .iter()
            .zip(1..)
            .map(|(&goroutines, id)| {
                let mut group = group.clone();
                group.id = GroupId(id);
                group.goroutines = goroutines;
                group
            })
            .collect();
        tally
    }

    #[test]
    fn no_more_are_proven_than_each_of_the_three_allows() {
        let check = |before: u64, still_there: u64, after: u64, expected: u64| {
            let still = BTreeMap::from([(GroupId(1), still_there)]);
            let of = ParkedGroups::of(&tally(&[before]), &still, &tally(&[after]));
            let mut adopting = tally(&[7]);
            adopting.adopt_parked(&of);
            let parked = adopting.groups[0].parked.unwrap();
            assert_eq!((parked.goroutines, parked.of), (expected, before));
            assert_eq!(of.checked, before.min(after));
        };
        check(100, 100, 100, 100);
        check(100, 95, 90, 90);
        // Newcomers are no part of those that were there before.
        check(100, 120, 130, 100);
        check(100, 60, 100, 60);
        check(100, 0, 100, 0);
        check(100, 100, 0, 0);
    }

    #[test]
    fn what_was_not_watched_is_not_known() {
        let of = ParkedGroups::of(&tally(&[5]), &BTreeMap::new(), &tally(&[5]));
        let mut later = tally(&[5, 3]);
        later.adopt_parked(&of);
        let parked: Vec<_> = later.groups.iter().map(|group| group.parked).collect();
        let known = Parked {
            goroutines: 0,
            of: 5,
        };
        assert_eq!(parked, [Some(known), None]);
        assert!((known.ratio() - 0.0).abs() < f64::EPSILON);
        let mut running = tally(&[5]);
        running.groups[0].wait_reason = WaitReason::Running;
        let of = ParkedGroups::of(&running, &BTreeMap::new(), &running);
        running.adopt_parked(&of);
        assert_eq!(running.groups[0].parked, None, "it does not wait");
    }

    #[test]
    fn no_more_groups_are_remembered_than_the_largest() {
        let many: Vec<u64> = (1..=600).collect();
        let of = ParkedGroups::of(&tally(&many), &BTreeMap::new(), &tally(&many));
        assert_eq!(of.groups.len(), MAX_REMEMBERED);
        assert!(of.groups.contains_key(&GroupId(600)));
        assert_eq!(of.checked, many.iter().sum::<u64>());
    }
}
