//! What is dropped when there is too much: a pure rule over the facts of all snapshots.
//!
//! An incident is what growth, dominance and leaks made the exporter keep of a target within a day of the first of it.
//! Baselines go first, then what was asked for and the later ones of incidents, then the first ones of incidents; the
//! oldest of each before the others. So the first of an incident outlives the later ones, always.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use super::entry::{Bounds, Entry, SnapshotId, Trigger};

/// How long after the first snapshot of an incident another one belongs to it.
const INCIDENT: Duration = Duration::from_hours(24);

/// How long the clock on the wall must have run evenly before a snapshot is judged by its age.
const STEADY: Duration = Duration::from_hours(1);

/// How far the two clocks may drift apart in the time they are compared.
const DRIFT: Duration = Duration::from_mins(5);

/// What is to be done so that the bounds hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// What to drop, in this order.
    pub(super) drop: Vec<SnapshotId>,
    /// Whether the newcomer may be kept. It may not when only what is worth more could make room for it.
    pub(super) admit: bool,
}

/// How much a snapshot is worth; the least is dropped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Baseline,
    Later,
    First,
}

#[derive(Clone, Copy, Debug)]
struct Candidate<'e> {
    entry: &'e Entry,
    worth: Worth,
    /// The first of its incident, itself perhaps.
    first: Option<&'e SnapshotId>,
}

/// Says what has to go so that `kept`, and `newcomer` with it, are within bounds. Without `now` nothing is too old.
///
/// Cost: looks at all entries, and sorts them when something has to go.
pub(super) fn plan<'e>(
    kept: impl IntoIterator<Item = &'e Entry>,
    newcomer: Option<&'e Entry>,
    bounds: Bounds,
    now: Option<SystemTime>,
) -> Plan {
    let all: Vec<&Entry> = kept.into_iter().chain(newcomer).collect();
    if let Some(new) = newcomer
        && holds(&all, new, bounds, now)
    {
        return Plan {
            drop: Vec::new(),
            admit: true,
        };
    }
    let mut candidates = ranked(all.into_iter());
    candidates.sort_by_key(|one| (one.worth, one.entry.taken, &one.entry.id));
    let newcomer = newcomer.and_then(|new| {
        let mut own = candidates.iter().copied();
        own.find(|one| one.entry.id == new.id)
    });
    let mut plan = Planning {
        newcomer,
        dropped: BTreeSet::new(),
        order: Vec::new(),
    };
    if let Some(now) = now {
        plan.drop_old(&candidates, bounds.max_age, now);
    }
    let mut admit = true;
    let mut by_target: BTreeMap<&str, Vec<Candidate<'_>>> = BTreeMap::new();
    for one in &candidates {
        by_target.entry(&one.entry.target).or_default().push(*one);
    }
    for own in by_target.values() {
        let limit = u64::try_from(bounds.per_target).unwrap_or(u64::MAX);
        admit &= plan.shrink(own, limit, |_| 1);
    }
    admit &= plan.shrink(&candidates, bounds.max_bytes, |entry| entry.bytes);
    // Nothing is dropped for what is not kept.
    let drop = if admit { plan.order } else { Vec::new() };
    Plan { drop, admit }
}

/// Whether the bounds hold with the newcomer, when they did without it.
fn holds(all: &[&Entry], new: &Entry, bounds: Bounds, now: Option<SystemTime>) -> bool {
    let of_target = all.iter().filter(|entry| entry.target == new.target);
    let lengths = all.iter().map(|entry| entry.bytes);
    let is_old = |entry: &&Entry| {
        let age = now.map(|now| now.duration_since(entry.taken).unwrap_or_default());
        age.is_some_and(|age| age > bounds.max_age)
    };
    of_target.count() <= bounds.per_target
        && lengths.fold(0, u64::saturating_add) <= bounds.max_bytes
        && !all.iter().any(is_old)
}

/// What is to be dropped so far.
struct Planning<'e> {
    newcomer: Option<Candidate<'e>>,
    dropped: BTreeSet<&'e SnapshotId>,
    order: Vec<SnapshotId>,
}

impl<'e> Planning<'e> {
    fn drop(&mut self, one: &Candidate<'e>) {
        if self.dropped.insert(&one.entry.id) {
            self.order.push(one.entry.id.clone());
        }
    }

    /// Drops what is too old; an incident as a whole, when its last one is.
    fn drop_old(&mut self, candidates: &[Candidate<'e>], max_age: Duration, now: SystemTime) {
        let mut last: BTreeMap<&SnapshotId, SystemTime> = BTreeMap::new();
        for one in candidates {
            if let Some(first) = one.first {
                let taken = last.entry(first).or_insert(one.entry.taken);
                *taken = (*taken).max(one.entry.taken);
            }
        }
        for one in candidates {
            let last = one.first.and_then(|first| last.get(first));
            // What was taken in the future is not old.
            let age = now.duration_since(*last.unwrap_or(&one.entry.taken));
            if age.unwrap_or_default() > max_age && !self.is_newcomer(one) {
                self.drop(one);
            }
        }
    }

    /// Drops from the front of `candidates` until their measure is within the limit, and says whether it came to that.
    fn shrink(
        &mut self,
        candidates: &[Candidate<'e>],
        limit: u64,
        measure: impl Fn(&Entry) -> u64,
    ) -> bool {
        let left = candidates
            .iter()
            .filter(|one| !self.dropped.contains(&one.entry.id));
        let mut sum = left.fold(0_u64, |sum, one| sum.saturating_add(measure(one.entry)));
        for one in candidates {
            if sum <= limit {
                break;
            }
            if !self.dropped.contains(&one.entry.id) && self.may_go(one) {
                sum = sum.saturating_sub(measure(one.entry));
                self.drop(one);
            }
        }
        sum <= limit
    }

    /// Whether it may make room for the newcomer.
    fn may_go(&self, one: &Candidate<'_>) -> bool {
        let Some(newcomer) = &self.newcomer else {
            return true;
        };
        if self.is_newcomer(one) {
            return false;
        }
        match newcomer.worth {
            Worth::Baseline => one.worth == Worth::Baseline,
            // Not the first of the same incident.
            Worth::Later => newcomer.first != Some(&one.entry.id),
            Worth::First => true,
        }
    }

    fn is_newcomer(&self, one: &Candidate<'_>) -> bool {
        self.newcomer
            .is_some_and(|new| new.entry.id == one.entry.id)
    }
}

/// What each is worth.
fn ranked<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<Candidate<'e>> {
    let mut entries: Vec<&Entry> = entries.collect();
    entries.sort_by_key(|entry| (&entry.target, entry.taken, &entry.id));
    let mut incident: Option<&Entry> = None;
    let ranked = entries.into_iter().map(|entry| match entry.trigger {
        Trigger::Baseline => Candidate {
            entry,
            worth: Worth::Baseline,
            first: None,
        },
        Trigger::Manual => Candidate {
            entry,
            worth: Worth::Later,
            first: None,
        },
        Trigger::Growth | Trigger::Dominant | Trigger::Leak => {
            let first = incident.filter(|first| {
                let since = entry.taken.duration_since(first.taken).unwrap_or_default();
                first.target == entry.target && since <= INCIDENT
            });
            incident = first.or(Some(entry));
            Candidate {
                entry,
                worth: first.map_or(Worth::First, |_| Worth::Later),
                first: Some(first.map_or(&entry.id, |first| &first.id)),
            }
        }
    });
    ranked.collect()
}

/// Tells the time only while the clock on the wall runs evenly: one that was set, or stood wrong when the machine
/// started, must not make everything look old.
#[derive(Clone, Copy, Debug)]
pub(super) struct SteadyClock {
    wall: SystemTime,
    steady: Instant,
}

impl SteadyClock {
    /// Begins to watch.
    pub(super) fn new(wall: SystemTime, steady: Instant) -> Self {
        Self { wall, steady }
    }

    /// The time, when it is sure.
    pub(super) fn now(&mut self, wall: SystemTime, steady: Instant) -> Option<SystemTime> {
        let passed = steady.saturating_duration_since(self.steady);
        let expected = self.wall.checked_add(passed)?;
        let apart = wall
            .duration_since(expected)
            .unwrap_or_else(|error| error.duration());
        if apart > DRIFT {
            *self = Self::new(wall, steady);
            return None;
        }
        (passed >= STEADY).then_some(wall)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn entry(number: u64, target: &str, trigger: Trigger, hour: u32, bytes: u64) -> Entry {
        let taken = UNIX_EPOCH + HOUR * hour;
        Entry {
            id: SnapshotId::new(taken, trigger, number),
            target: target.to_owned(),
            module: "default".to_owned(),
            taken,
            trigger,
            goroutines: 1,
            bytes,
        }
    }

    fn bounds(max_bytes: u64, per_target: usize) -> Bounds {
        Bounds {
            max_bytes,
            per_target,
            max_age: HOUR * 100,
        }
    }

    /// Keeps one after the other and says which are there in the end, and which were turned away.
    fn keep(new: &[Entry], bounds: Bounds) -> (Vec<Entry>, Vec<Entry>) {
        let (mut kept, mut refused): (Vec<Entry>, Vec<Entry>) = Default::default();
        for new in new {
            let plan = plan(&kept, Some(new), bounds, None);
            kept.retain(|one| !plan.drop.contains(&one.id));
            if plan.admit {
                kept.push(new.clone());
            } else {
                refused.push(new.clone());
            }
        }
        (kept, refused)
    }

    fn check(new: &[(Trigger, u32)], per_target: usize, expected: &[(Trigger, u32)]) {
        let new: Vec<_> = (0..)
            .zip(new)
            .map(|(number, (trigger, hour))| entry(number, "a", *trigger, *hour, 1))
            .collect();
        let (kept, _) = keep(&new, bounds(1000, per_target));
        let hours = |entry: &Entry| {
            let since = entry.taken.duration_since(UNIX_EPOCH).unwrap();
            (
                entry.trigger,
                u32::try_from(since.as_secs() / 3600).unwrap(),
            )
        };
        let kept: Vec<_> = kept.iter().map(hours).collect();
        assert_eq!(kept, expected, "{new:?}");
    }

    #[test]
    fn baselines_go_first_and_the_first_of_an_incident_last() {
        use Trigger::{Baseline, Dominant, Growth, Leak, Manual};
        check(
            &[(Baseline, 1), (Growth, 2), (Baseline, 3), (Dominant, 4)],
            3,
            &[(Growth, 2), (Baseline, 3), (Dominant, 4)],
        );
        check(
            &[(Growth, 2), (Dominant, 3), (Leak, 4)],
            2,
            &[(Growth, 2), (Leak, 4)],
        );
        // A day later it is another incident.
        check(
            &[(Growth, 2), (Growth, 30), (Leak, 31), (Manual, 32)],
            3,
            &[(Growth, 2), (Growth, 30), (Manual, 32)],
        );
        check(
            &[(Growth, 2), (Growth, 30), (Growth, 60)],
            2,
            &[(Growth, 30), (Growth, 60)],
        );
        // A later one does not push out its own first, nor a baseline an incident.
        check(&[(Growth, 2), (Leak, 3)], 1, &[(Growth, 2)]);
        check(&[(Growth, 2), (Baseline, 3)], 1, &[(Growth, 2)]);
        check(&[(Growth, 2), (Manual, 3)], 1, &[(Manual, 3)]);
        check(&[(Baseline, 2), (Baseline, 1)], 1, &[(Baseline, 1)]);
    }

    /// Every order of up to six snapshots of two targets, of different sizes, under every small bound.
    #[test]
    fn bounds_hold_and_no_first_goes_before_its_later_ones() {
        let kinds = [
            ("a", Trigger::Baseline, 1),
            ("a", Trigger::Growth, 2),
            ("a", Trigger::Leak, 1),
            ("a", Trigger::Manual, 3),
            ("b", Trigger::Growth, 1),
            ("b", Trigger::Baseline, 2),
        ];
        let mut checked = 0_u32;
        for length in 1..=6_u32 {
            // Long sequences are thinned out, by a step that is prime to their number.
            let step = if length < 5 { 1 } else { 5 };
            for code in (0..6_u32.pow(length)).step_by(step) {
                let new: Vec<Entry> = (0..length)
                    .map(|place| {
                        let kind = usize::try_from(code / 6_u32.pow(place) % 6).unwrap();
                        let (target, trigger, bytes) = kinds[kind];
                        // Some are further apart than an incident lasts, and one comes from a clock set back.
                        let hour = [0, 3, 40, 41, 2, 80][usize::try_from(place).unwrap()];
                        entry(place.into(), target, trigger, hour, bytes)
                    })
                    .collect();
                for (max_bytes, per_target) in [(3, 2), (4, 1), (5, 3), (9, 2)] {
                    check_all(&new, bounds(max_bytes, per_target));
                    checked += 1;
                }
            }
        }
        assert!(checked > 40_000, "{checked}");
    }

    fn check_all(new: &[Entry], bounds: Bounds) {
        let mut kept: Vec<Entry> = Vec::new();
        for new in new {
            let before = kept.clone();
            let plan = plan(&before, Some(new), bounds, None);
            for (at, dropped) in plan.drop.iter().enumerate() {
                let dropped = before.iter().find(|one| one.id == *dropped).unwrap();
                let left = before
                    .iter()
                    .filter(|one| !plan.drop[..at].contains(&one.id));
                // The newcomer stays, so it must not belong to what is dropped either.
                let left: Vec<&Entry> = left.chain(plan.admit.then_some(new)).collect();
                check_drop(dropped, &left);
            }
            kept.retain(|one| !plan.drop.contains(&one.id));
            if plan.admit {
                kept.push(new.clone());
            } else {
                assert_eq!(kept, before, "something was dropped for nothing");
                assert!(new.trigger != Trigger::Manual || new.bytes > bounds.max_bytes);
            }
            let bytes: u64 = kept.iter().map(|one| one.bytes).sum();
            assert!(bytes <= bounds.max_bytes);
            for target in ["a", "b"] {
                let count = kept.iter().filter(|one| one.target == target).count();
                assert!(count <= bounds.per_target);
            }
        }
    }

    /// Nothing that stays may be a later one of the incident that `dropped` is the first of. Told without the code
    /// above: the first is one with no other evidence of its target in the day before it.
    fn check_drop(dropped: &Entry, left: &[&Entry]) {
        let evidence = |one: &Entry| !matches!(one.trigger, Trigger::Baseline | Trigger::Manual);
        if !evidence(dropped) {
            return;
        }
        let own = left
            .iter()
            .filter(|one| evidence(one) && one.target == dropped.target && one.id != dropped.id);
        let day = HOUR * 24;
        let before = own
            .clone()
            .any(|one| one.taken <= dropped.taken && dropped.taken <= one.taken + day);
        let after = own
            .clone()
            .any(|one| one.taken >= dropped.taken && one.taken <= dropped.taken + day);
        assert!(
            before || !after,
            "{dropped:?} goes before its later ones in {left:#?}"
        );
    }

    #[test]
    fn age_counts_for_an_incident_as_a_whole() {
        let kept = [
            entry(1, "a", Trigger::Baseline, 0, 1),
            entry(2, "a", Trigger::Growth, 1, 1),
            entry(3, "a", Trigger::Leak, 20, 1),
            entry(4, "a", Trigger::Baseline, 5000, 1),
        ];
        let check = |hour: u32, expected: &[usize]| {
            let now = UNIX_EPOCH + HOUR * hour;
            let plan = plan(&kept, None, bounds(1000, 100), Some(now));
            let expected: Vec<_> = expected.iter().map(|&at| kept[at].id.clone()).collect();
            assert_eq!(plan.drop, expected, "{hour}");
        };
        check(100, &[]);
        check(101, &[0]);
        check(120, &[0]);
        check(121, &[0, 2, 1]);
        // The clock was set back: nothing is old.
        check(0, &[]);
    }

    #[test]
    fn a_clock_that_jumps_is_not_believed() {
        let (wall, steady) = (UNIX_EPOCH + HOUR * 1000, Instant::now());
        let mut clock = SteadyClock::new(wall, steady);
        assert_eq!(clock.now(wall + HOUR / 2, steady + HOUR / 2), None);
        assert_eq!(clock.now(wall + HOUR, steady + HOUR), Some(wall + HOUR));
        // It is set a year ahead, then back.
        let ahead = wall + HOUR * 8760;
        assert_eq!(clock.now(ahead, steady + HOUR), None);
        assert_eq!(clock.now(ahead + HOUR / 2, steady + HOUR * 3 / 2), None);
        assert_eq!(clock.now(wall + HOUR * 2, steady + HOUR * 2), None);
        assert_eq!(
            clock.now(wall + HOUR * 3, steady + HOUR * 3),
            Some(wall + HOUR * 3)
        );
    }
}
