//! Whether the process behind a target is still the one it was.
//!
//! A restart resets everything that was learnt of a target. It shows in the mappings of the profile (another program, or
//! the kernel's vdso at another address), in numbers that only grow within a process, and where neither is known in
//! a new connection that leads to other groups. Nothing is guessed from a falling number of goroutines.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use crate::tally::{GroupId, Tally};

/// Groups that are compared, the largest ones.
const MAX_COMPARED: usize = 64;
/// With fewer groups their exchange says nothing.
const MIN_COMPARED: usize = 3;
/// One in so many of the smaller set may be common to both and they still count as replaced.
const COMMON_SHARE: usize = 10;
/// How far the highest goroutine id lies below half of an earlier one, at least, when another process handed it out.
/// Ids are handed out to processors in batches of 16 (runtime/proc.go, `_GoidCacheBatch`), and one that had nothing to
/// start for long still has some of an old batch: in one busy process of 16 processors one dump in ten had a highest id
/// that was 5,000 to 370,000 below that of an earlier one, and one in two hundred less than half of it.
const ID_SLACK: u64 = 16 * 256;

/// A number that only grows within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cumulative {
    /// Events in the block profile.
    BlockEvents,
    /// Events in the mutex profile.
    MutexEvents,
    /// The highest goroutine id, nearly.
    HighestId,
}

/// A goroutine profile, as far as it tells processes apart.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The fingerprint of its mappings.
    pub process: Option<u64>,
    /// Whether a connection was opened for it.
    pub new_connection: bool,
    /// Its largest groups.
    pub groups: BTreeSet<GroupId>,
    /// When it was asked for.
    pub asked: Instant,
}

/// What is remembered to recognise a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    process: Option<u64>,
    groups: BTreeSet<GroupId>,
    block_events: Option<u64>,
    mutex_events: Option<u64>,
    highest_id: Option<u64>,
    /// Whether a connection was opened since the highest id was last noted: a restart closes them all.
    connected: bool,
    /// When the last of all this had been seen: what was asked for before then may be older, whenever it arrives.
    seen: Option<Instant>,
    noticed: Option<SystemTime>,
}

impl Sighting {
    /// What a goroutine profile tells.
    #[must_use]
    pub fn of(tally: &Tally, new_connection: bool, asked: Instant) -> Self {
        let compared = tally.groups.iter().take(MAX_COMPARED);
        Self {
            process: tally.summary.process,
            new_connection,
            groups: compared.map(|group| group.id).collect(),
            asked,
        }
    }
}

impl Identity {
    /// Takes note of a goroutine profile, and says whether another process wrote it than the last one.
    pub fn sees(&mut self, sighting: Sighting, now: Instant) -> bool {
        if self.is_stale(sighting.asked) {
            return false;
        }
        self.seen = Some(now);
        self.connected |= sighting.new_connection;
        let restarted = match (self.process, sighting.process) {
            (Some(before), Some(process)) => before != process,
            _ => sighting.new_connection && self.replaced_by(&sighting.groups),
        };
        self.process = sighting.process;
        self.groups = sighting.groups;
        if restarted {
            self.forget_numbers();
        }
        restarted
    }

    /// Takes note of a number that only grows, and says whether it fell.
    pub fn counts(&mut self, what: Cumulative, value: u64, asked: Instant, now: Instant) -> bool {
        if self.is_stale(asked) {
            return false;
        }
        self.seen = Some(now);
        let before = *self.number(what);
        let fell = before.is_some_and(|before| match what {
            Cumulative::BlockEvents | Cumulative::MutexEvents => value < before,
            Cumulative::HighestId => self.connected && value.saturating_add(ID_SLACK) < before / 2,
        });
        self.connected &= what != Cumulative::HighestId;
        if fell {
            self.forget_numbers();
        }
        // The highest id may come and go with a goroutine; the highest that was seen stays the highest.
        let known = self.number(what);
        *known = Some(known.map_or(value, |known| known.max(value)));
        fell
    }

    /// Notes when a restart was noticed.
    pub fn restarted(&mut self, at: SystemTime) {
        self.noticed = Some(at);
    }

    /// Forgets what the process before had counted: with it the next one's numbers are not compared.
    fn forget_numbers(&mut self) {
        self.block_events = None;
        self.mutex_events = None;
        self.highest_id = None;
    }

    fn number(&mut self, what: Cumulative) -> &mut Option<u64> {
        match what {
            Cumulative::BlockEvents => &mut self.block_events,
            Cumulative::MutexEvents => &mut self.mutex_events,
            Cumulative::HighestId => &mut self.highest_id,
        }
    }

    /// When a restart was last noticed.
    #[must_use]
    pub fn noticed(&self) -> Option<SystemTime> {
        self.noticed
    }

    fn is_stale(&self, asked: Instant) -> bool {
        self.seen.is_some_and(|seen| asked < seen)
    }

    fn replaced_by(&self, groups: &BTreeSet<GroupId>) -> bool {
        let smaller = self.groups.len().min(groups.len());
        let common = self.groups.intersection(groups).count();
        smaller >= MIN_COMPARED && common.saturating_mul(COMMON_SHARE) <= smaller
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::classify::WaitReason;

    const SECOND: Duration = Duration::from_secs(1);

    /// A process seen at one second after the other.
    struct Seen {
        identity: Identity,
        now: Instant,
    }

    impl Seen {
        fn new() -> Self {
            Self {
                identity: Identity::default(),
                now: Instant::now(),
            }
        }

        fn sees(&mut self, process: Option<u64>, new_connection: bool, names: &[&str]) -> bool {
            self.now += SECOND;
            let sighting = Sighting {
                process,
                new_connection,
                groups: names
                    .iter()
                    .map(|name| GroupId::of(WaitReason::Select, name, name))
                    .collect(),
                asked: self.now,
            };
            self.identity.sees(sighting, self.now)
        }

        fn counts(&mut self, what: Cumulative, value: u64) -> bool {
            self.now += SECOND;
            self.identity.counts(what, value, self.now, self.now)
        }
    }

    #[test]
    fn another_fingerprint_is_another_process() {
        let mut seen = Seen::new();
        assert!(!seen.sees(Some(1), true, &["a"]));
        assert!(!seen.sees(Some(1), true, &["b", "c", "d"]));
        assert!(seen.sees(Some(2), false, &["b", "c", "d"]));
        assert!(!seen.sees(Some(2), true, &["x", "y", "z"]));
    }

    #[test]
    fn without_fingerprint_it_takes_a_new_connection_and_new_groups() {
        let check = |new_connection, names: &[&str], expected| {
            let mut seen = Seen::new();
            assert!(!seen.sees(None, true, &["a", "b", "c", "d"]));
            assert_eq!(
                seen.sees(None, new_connection, names),
                expected,
                "{new_connection} {names:?}"
            );
        };
        check(true, &["w", "x", "y", "z"], true);
        check(false, &["w", "x", "y", "z"], false);
        check(true, &["a", "x", "y", "z"], false);
        // Too few to tell.
        check(true, &["x", "y"], false);
        check(true, &[], false);
    }

    #[test]
    fn what_only_grows_has_not_fallen() {
        for what in [Cumulative::BlockEvents, Cumulative::MutexEvents] {
            let mut seen = Seen::new();
            assert!(!seen.counts(what, 100));
            assert!(!seen.counts(what, 100));
            assert!(!seen.counts(what, 105));
            assert!(seen.counts(what, 104));
            assert!(!seen.counts(what, 104));
        }
    }

    #[test]
    fn ids_fall_with_the_connection_and_by_more_than_half() {
        let id = Cumulative::HighestId;
        let mut seen = Seen::new();
        assert!(!seen.sees(None, true, &[]));
        assert!(!seen.counts(id, 20_000));
        assert!(!seen.sees(None, false, &[]));
        assert!(!seen.counts(id, 1), "the process still has its connection");
        assert!(!seen.sees(None, true, &[]));
        assert!(!seen.counts(id, 10_000 - ID_SLACK));
        assert!(!seen.counts(id, 1), "no connection was opened since");
        assert!(!seen.sees(None, true, &[]));
        assert!(!seen.sees(None, false, &[]));
        assert!(seen.counts(id, 10_000 - ID_SLACK - 1));
        assert!(!seen.counts(id, 20_000));
    }

    #[test]
    fn another_process_is_noticed_once() {
        let mut seen = Seen::new();
        assert!(!seen.sees(Some(1), true, &[]));
        assert!(!seen.counts(Cumulative::BlockEvents, 100));
        assert!(!seen.counts(Cumulative::MutexEvents, 100));
        assert!(seen.sees(Some(2), true, &[]));
        assert!(!seen.counts(Cumulative::BlockEvents, 1));
        assert!(!seen.counts(Cumulative::MutexEvents, 50));
        assert!(seen.counts(Cumulative::BlockEvents, 0));
        assert!(!seen.counts(Cumulative::MutexEvents, 1));
    }

    #[test]
    fn what_was_asked_for_earlier_and_arrives_later_says_nothing() {
        let mut seen = Seen::new();
        let asked = seen.now;
        assert!(!seen.counts(Cumulative::BlockEvents, 100));
        let late = seen.now + SECOND;
        let identity = &mut seen.identity;
        assert!(!identity.counts(Cumulative::BlockEvents, 90, asked, late));
        let sighting = Sighting {
            process: Some(7),
            new_connection: true,
            groups: BTreeSet::new(),
            asked,
        };
        assert!(!identity.sees(sighting, late));
        // Nor was it taken note of.
        assert!(identity.counts(Cumulative::BlockEvents, 95, late, late));
    }
}
