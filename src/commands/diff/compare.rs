//! The comparison: every group of either side, what became of it, and whether that fails a gate.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::allow::Allowed;
use super::own::own;
use super::side::{Known, Side};
use crate::tally::GroupId;

/// When a change is a failure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gates {
    pub(super) growth: Option<u64>,
    pub(super) new: Option<u64>,
}

impl Gates {
    pub(super) fn any(self) -> bool {
        self.growth.is_some() || self.new.is_some()
    }
}

/// What became of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Appeared,
    Grew,
    Shrank,
    Gone,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Grew => "grew",
            Self::Shrank => "shrank",
            Self::Gone => "gone",
        }
    }
}

/// Why a change fails no gate, though it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excuse {
    /// It is of the looks themselves.
    Look,
    /// The file of known groups has it.
    Known,
}

impl Excuse {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Known => "known",
        }
    }
}

/// A group whose count changed.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// `None` for the goroutines of no group.
    pub(super) id: Option<GroupId>,
    pub(super) kind: Kind,
    pub(super) before: u64,
    pub(super) after: u64,
    /// Its labels, as the later side that has it tells them.
    pub(super) group: Known,
    pub(super) fails: bool,
    pub(super) excuse: Option<Excuse>,
}

impl Change {
    pub(super) fn size(&self) -> u64 {
        self.before.abs_diff(self.after)
    }
}

/// Two sides and their differences.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) before: Side,
    pub(super) after: Side,
    pub(super) gates: Gates,
    /// What fails first, then growth before loss, each largest first.
    pub(super) changes: Vec<Change>,
    /// Groups with the same count in both.
    pub(super) unchanged: usize,
}

impl Comparison {
    pub(super) fn new(before: Side, after: Side, gates: Gates, allowed: &Allowed) -> Self {
        let (own_before, own_after) = (own(&before), own(&after));
        let ids: BTreeSet<GroupId> = before
            .groups
            .keys()
            .chain(after.groups.keys())
            .copied()
            .collect();
        let mut changes = Vec::new();
        let mut unchanged = 0;
        for id in ids {
            let (old, new) = (before.groups.get(&id), after.groups.get(&id));
            let Some(group) = new.or(old) else { continue };
            let counts = [old, new].map(|group| group.map_or(0, |group| group.goroutines));
            let own =
                |own: &std::collections::BTreeMap<GroupId, u64>| own.get(&id).copied().unwrap_or(0);
            let judged = Judged {
                before: counts[0],
                after: counts[1],
                own: [own(&own_before), own(&own_after)],
                known: allowed.goroutines(id, group),
            };
            let Some(mut change) = judged.change(gates) else {
                unchanged += 1;
                continue;
            };
            change.id = Some(id);
            change.group = group.clone();
            if change.group.created_by.is_none() {
                change.group.created_by = old.and_then(|group| group.created_by.clone());
            }
            changes.push(change);
        }
        let other = Judged {
            before: before.other,
            after: after.other,
            own: [0, 0],
            known: Some(0),
        };
        if let Some(mut change) = other.change(gates) {
            "(other groups)".clone_into(&mut change.group.blocking_frame);
            changes.push(change);
        }
        let order = |change: &Change| {
            let loss = change.after < change.before;
            (!change.fails, loss, Reverse(change.size()), change.id)
        };
        changes.sort_by_key(order);
        Self {
            before,
            after,
            gates,
            changes,
            unchanged,
        }
    }

    pub(super) fn failing(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.fails)
    }

    pub(super) fn failed(&self) -> bool {
        self.failing().next().is_some()
    }

    /// The changes of at least `min` goroutines, and those that fail; how many others there are.
    pub(super) fn shown(&self, min: u64) -> (Vec<&Change>, usize) {
        let shown = |change: &&Change| change.fails || change.size() >= min;
        let shown: Vec<&Change> = self.changes.iter().filter(shown).collect();
        let hidden = self.changes.len() - shown.len();
        (shown, hidden)
    }

    /// Goroutines of growth, and of loss, over all groups.
    pub(super) fn moved(&self) -> (u64, u64) {
        let sum = |growth: bool| {
            let changes = self.changes.iter();
            let changes = changes.filter(|change| (change.after > change.before) == growth);
            changes.fold(0_u64, |sum, change| sum.saturating_add(change.size()))
        };
        (sum(true), sum(false))
    }

    /// How the gates went, in one sentence; nothing without a gate.
    pub(super) fn verdict(&self) -> Option<String> {
        if !self.gates.any() {
            return None;
        }
        let rules = [
            self.gates
                .growth
                .map(|most| format!("no group may grow by more than {most}")),
            self.gates.new.map(|least| match least {
                1 => "no group may appear".to_owned(),
                least => format!("no group of {least} or more may appear"),
            }),
        ];
        let rules: Vec<String> = rules.into_iter().flatten().collect();
        let rules = rules.join(", ");
        Some(match self.failing().count() {
            0 => format!("The gate passed: {rules}."),
            1 => format!("The gate failed at one group: {rules}."),
            failing => format!("The gate failed at {failing} groups: {rules}."),
        })
    }
}

/// A group as a gate sees it.
#[derive(Clone, Copy, Debug)]
struct Judged {
    before: u64,
    after: u64,
    /// Goroutines of the looks themselves, before and after.
    own: [u64; 2],
    /// How many may be there; `None` for any number.
    known: Option<u64>,
}

impl Judged {
    fn change(self, gates: Gates) -> Option<Change> {
        let kind = match (self.before, self.after) {
            (before, after) if before == after => return None,
            (0, _) => Kind::Appeared,
            (_, 0) => Kind::Gone,
            (before, after) if after > before => Kind::Grew,
            _ => Kind::Shrank,
        };
        let plain = Self {
            own: [0, 0],
            known: Some(0),
            ..self
        };
        let without_looks = Self {
            known: Some(0),
            ..self
        };
        let fails = self.fails(gates);
        // Told only where it made the difference, or would have for the strictest gate.
        let strictest = Gates {
            growth: Some(0),
            new: Some(1),
        };
        let excuse = if fails || !plain.fails(strictest) {
            None
        } else if !without_looks.fails(strictest) {
            Some(Excuse::Look)
        } else if !self.fails(strictest) {
            Some(Excuse::Known)
        } else {
            None
        };
        Some(Change {
            id: None,
            kind,
            before: self.before,
            after: self.after,
            group: Known::default(),
            fails,
            excuse,
        })
    }

    /// Whether it grew too much, or is new: counted without the looks, and from what is known on.
    fn fails(self, gates: Gates) -> bool {
        let Some(known) = self.known else {
            return false;
        };
        let [own_before, own_after] = self.own;
        let before = self.before.saturating_sub(own_before);
        let after = self.after.saturating_sub(own_after);
        let growth = after.saturating_sub(before.max(known));
        let grew = gates.growth.is_some_and(|most| growth > most);
        let new = before == 0 && gates.new.is_some_and(|least| growth >= least);
        grew || new
    }
}

#[cfg(test)]
mod tests;
