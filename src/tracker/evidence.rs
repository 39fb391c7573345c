//! When a profile of a target is worth keeping.
//!
//! The usual level of a target is a moving mean of its totals over the last two hours, in powers (twice as many weigh as
//! much as half as many); in the first probes it is their most. What fires is latched, so that one incident fires once:
//! growth until the total has been near its level again for half an hour, which the level itself brings about when the
//! growth has come to stay; a group that holds most goroutines until it has held less for as long; proof of leaks until
//! there were none for as long. One thing at most fires in a probe; what else is new fires in the next, if it still is.
//!
//! A restart of the target changes nothing here: another process with the same code has the same usual level.

use std::time::{Duration, Instant};

use crate::snapshots::Trigger;
use crate::tally::{GroupId, Tally};

/// Probes of which nothing but proof of leaks and a baseline comes: until then nobody knows what is usual.
const FIRST_PROBES: u32 = 5;

/// How fast the level follows: after this time it has come closer to a new total by some two thirds.
const FOLLOW: Duration = Duration::from_hours(2);

/// How many times its level is growth, and below how many times it is over.
const GROWN: f64 = 2.0;
const NEAR: f64 = 1.5;

/// Fewer goroutines are not many, neither as growth nor to have most of them in one group.
const MANY: u64 = 100;

/// A group holds most goroutines above one half of them, and has ceased to below two fifths.
const DOMINANT: (u64, u64) = (1, 2);
const STILL: (u64, u64) = (2, 5);

/// How long things must have been as usual before the same fires again.
const CALM: Duration = Duration::from_mins(30);

/// From one baseline to the next.
pub const BASELINE_INTERVAL: Duration = Duration::from_hours(1);

/// Groups that are known to hold most goroutines, at most; no more than two of them do at once.
const MAX_KNOWN: usize = 8;

/// What is remembered of a target to tell what is new.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    probes: u32,
    /// The logarithm of the usual total, and when it last followed.
    level: Option<(f64, Instant)>,
    /// While growth is latched, when the total was last high.
    grown: Option<Instant>,
    /// Groups that hold most goroutines, or have lately.
    known: Vec<(GroupId, Instant)>,
    /// While proof is latched, when there last was some.
    leaked: Option<Instant>,
    baseline: Option<Instant>,
}

/// What a probe saw.
#[derive(Clone, Copy, Debug)]
pub struct Look<'t> {
    /// All that was counted.
    pub tally: &'t Tally,
    /// When.
    pub at: Instant,
    /// Whether a baseline may be taken.
    pub baseline: bool,
}

/// A profile is worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Why.
    pub trigger: Trigger,
    /// The group that came to hold most goroutines, where that is why.
    group: Option<GroupId>,
}

impl Evidence {
    /// Takes note of a whole profile, and says whether it is worth keeping. Whoever cannot keep it says so by
    /// [`Evidence::undo`].
    pub fn look(&mut self, look: Look<'_>) -> Option<Decision> {
        let Look { tally, at, .. } = look;
        self.probes = self.probes.saturating_add(1);
        let early = self.probes <= FIRST_PROBES;
        let decide = |trigger, group| Some(Decision { trigger, group });
        let leak = self.proves(tally.leaked, at);
        let growth = self.grows(tally.total, at, early);
        let dominant = self.dominates(tally, at, early);
        self.follow(tally.total, at, early);
        if leak {
            self.leaked = Some(at);
            return decide(Trigger::Leak, None);
        }
        if growth {
            self.grown = Some(at);
            return decide(Trigger::Growth, None);
        }
        if let Some(group) = dominant {
            self.learn(group, at);
            return decide(Trigger::Dominant, Some(group));
        }
        let due = self
            .baseline
            .is_none_or(|last| at.saturating_duration_since(last) >= BASELINE_INTERVAL);
        if due && look.baseline {
            self.baseline = Some(at);
            return decide(Trigger::Baseline, None);
        }
        None
    }

    /// Makes what was decided fire again in the next probe, if it is still so.
    pub fn undo(&mut self, decision: Decision) {
        match decision.trigger {
            Trigger::Growth => self.grown = None,
            Trigger::Leak => self.leaked = None,
            Trigger::Baseline => self.baseline = None,
            Trigger::Dominant => self
                .known
                .retain(|(known, _)| Some(*known) != decision.group),
            Trigger::Manual => {}
        }
    }

    /// The usual total; `None` before the first probe.
    #[must_use]
    pub fn level(&self) -> Option<f64> {
        self.level.map(|(level, _)| level.exp())
    }

    fn proves(&mut self, leaked: Option<u64>, at: Instant) -> bool {
        match (leaked, self.leaked) {
            (Some(1..), None) => return true,
            (Some(1..), Some(_)) => self.leaked = Some(at),
            (Some(0), Some(last)) if is_calm(last, at) => self.leaked = None,
            // Without an answer nothing is over.
            _ => {}
        }
        false
    }

    fn grows(&mut self, total: u64, at: Instant, early: bool) -> bool {
        let Some(level) = self.level() else {
            return false;
        };
        let now = number(total);
        if let Some(last) = self.grown {
            if now > level * NEAR {
                self.grown = Some(at);
                return false;
            }
            if !is_calm(last, at) {
                return false;
            }
            self.grown = None;
        }
        !early && now >= level * GROWN && now - level >= number(MANY)
    }

    fn dominates(&mut self, tally: &Tally, at: Instant, early: bool) -> Option<GroupId> {
        if tally.total < MANY {
            return None;
        }
        // Only two can be above two fifths.
        for group in tally.groups.iter().take(2) {
            if has_share(group.goroutines, tally.total, STILL) && self.knows(group.id, at) {
                self.learn(group.id, at);
            }
        }
        let largest = tally.groups.first()?;
        let dominant = has_share(largest.goroutines, tally.total, DOMINANT);
        if !dominant || self.knows(largest.id, at) {
            return None;
        }
        if early {
            // It has been so for as long as anybody knows.
            self.learn(largest.id, at);
            return None;
        }
        Some(largest.id)
    }

    fn knows(&self, group: GroupId, at: Instant) -> bool {
        let mut known = self.known.iter();
        known.any(|(known, last)| *known == group && !is_calm(*last, at))
    }

    fn learn(&mut self, group: GroupId, at: Instant) {
        self.known.retain(|(known, _)| *known != group);
        if self.known.len() >= MAX_KNOWN {
            self.known.remove(0);
        }
        self.known.push((group, at));
    }

    fn follow(&mut self, total: u64, at: Instant, early: bool) {
        let new = number(total.max(1)).ln();
        let level = match self.level {
            None => new,
            Some((level, _)) if early => level.max(new),
            Some((level, last)) => {
                let passed = at.saturating_duration_since(last).as_secs_f64();
                let share = -(-passed / FOLLOW.as_secs_f64()).exp_m1();
                level + (new - level) * share
            }
        };
        self.level = Some((level, at));
    }
}

fn is_calm(last: Instant, at: Instant) -> bool {
    at.saturating_duration_since(last) >= CALM
}

/// Whether a part is more than this share of the whole.
fn has_share(part: u64, whole: u64, (of, out_of): (u64, u64)) -> bool {
    part.saturating_mul(out_of) > whole.saturating_mul(of)
}

fn number(count: u64) -> f64 {
    // Exact up to what 32 bits count; there are no more goroutines.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
