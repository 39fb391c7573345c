//! Which groups get series of their own: a bounded number, chosen so that a series stays once it is there.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Group, GroupId, Tally};

/// How far below the last place a group may fall before it counts as out.
pub(super) const SLACK: usize = 5;
/// How many probes in a row a group must be out before it loses its series.
const PATIENCE: u8 = 3;
/// A group of fewer goroutines must be in for two probes before it gets a series.
const SMALL: u64 = 50;
/// How many times its size a newcomer must have to take the place of a group that is not yet out.
const CLEARLY_LARGER: u64 = 2;

/// A module's `limits:` that bound series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesLimits {
    /// Groups with series of their own, at most.
    pub groups: usize,
    /// The smallest group that gets them.
    pub min_goroutines: u64,
    /// The same as a share of the total, 0 to 1.
    pub min_ratio: f64,
}

/// What is remembered of a target from probe to probe. Starts empty; losing it does no harm. At most
/// five times `limits.groups` entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Whether there was a probe before: on the first look every group is new, and none is a newcomer.
    started: bool,
    /// Groups with series, and for how many probes running each has been out.
    held: BTreeMap<GroupId, u8>,
    /// Groups that had series and were not among the last probes' groups, and for how many probes running.
    missing: BTreeMap<GroupId, u8>,
    /// Small newcomers of the last probe.
    candidates: Vec<GroupId>,
    /// The place in the source told for each group with series.
    places: BTreeMap<GroupId, (Arc<str>, u32)>,
}

/// Which groups get series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Places in [`Tally::groups`], best first; at most `limits.groups`.
    pub shown: Vec<usize>,
    /// How many distinct groups are folded.
    pub folded: usize,
    /// How many goroutines they hold, those in no group included.
    pub other: u64,
}

/// How much a group is worth showing: proven leaks, then stuck ones, then the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Proven,
    Stuck,
    Plain,
}

/// Chooses the groups with series, and notes the choice in `memory` for the next probe.
///
/// Order: proven leaks, then groups stuck at a lock or send, then by size, ties by id. Groups below the minimum
/// are never shown unless proven or stuck. A newcomer below 50 goroutines must qualify twice in a row (nothing is a
/// newcomer in the first probe). A group keeps its series until it has ranked below `groups` + 5 in three probes
/// running; one that is missing for fewer than three is no newcomer when it is back. Only a newcomer that is more
/// urgent or at least twice as large takes the place of another earlier, since a fresh leak must not wait behind idle
/// groups.
///
/// Cost: a sort of the groups.
#[must_use]
pub fn select(tally: &Tally, limits: &SeriesLimits, memory: &mut Memory) -> Selection {
    let floor = floor(tally.total, limits);
    let mut ranked: Vec<(Urgency, usize, &Group)> = tally
        .groups
        .iter()
        .enumerate()
        .map(|(place, group)| (urgency(group), place, group))
        .filter(|(urgency, _, group)| *urgency != Urgency::Plain || group.goroutines >= floor)
        .collect();
    ranked.sort_unstable_by_key(|(urgency, _, group)| {
        (*urgency, Reverse(group.goroutines), group.id)
    });

    let mut held = BTreeMap::new();
    let mut kept: Vec<usize> = Vec::new();
    for (rank, (_, _, group)) in ranked.iter().enumerate() {
        if let Some(&misses) = memory.held.get(&group.id) {
            let misses = if rank < limits.groups.saturating_add(SLACK) {
                0
            } else {
                misses + 1
            };
            if misses < PATIENCE && kept.len() < limits.groups {
                held.insert(group.id, misses);
                kept.push(rank);
            }
        }
    }
    // A group that this probe missed, or that dipped below the floor, is not forgotten at once.
    let ranks: BTreeSet<GroupId> = ranked.iter().map(|(_, _, group)| group.id).collect();
    let missed = memory.held.keys().map(|id| (*id, 1));
    let missing = missed
        .chain(memory.missing.iter().map(|(id, probes)| (*id, probes + 1)))
        .filter(|(id, probes)| *probes < PATIENCE && !ranks.contains(id))
        .collect();
    let mut candidates = Vec::new();
    for (rank, (urgency, _, group)) in ranked.iter().enumerate().take(limits.groups) {
        if memory.held.contains_key(&group.id) {
            continue;
        }
        let known = memory.candidates.contains(&group.id) || memory.missing.contains_key(&group.id);
        let newcomer = memory.started && !known;
        if newcomer && *urgency == Urgency::Plain && group.goroutines < SMALL {
            candidates.push(group.id);
            continue;
        }
        if kept.len() >= limits.groups {
            let last = kept
                .iter()
                .copied()
                .max()
                .and_then(|last| ranked.get(last).map(|entry| (last, entry)));
            let Some((last, (last_urgency, _, last_group))) = last else {
                continue;
            };
            let larger = group.goroutines >= last_group.goroutines.saturating_mul(CLEARLY_LARGER);
            if last < rank || (urgency >= last_urgency && !larger) {
                candidates.push(group.id);
                continue;
            }
            kept.retain(|&kept| kept != last);
            held.remove(&last_group.id);
        }
        kept.push(rank);
        held.insert(group.id, 0);
    }
    memory.started = true;
    memory.held = held;
    memory.missing = missing;
    memory.candidates = candidates;

    kept.sort_unstable();
    let shown: Vec<usize> = kept
        .iter()
        .filter_map(|&rank| ranked.get(rank))
        .map(|(_, place, _)| *place)
        .collect();
    let counted: u64 = shown
        .iter()
        .filter_map(|&place| tally.groups.get(place))
        .map(|group| group.goroutines)
        .sum();
    Selection {
        folded: tally.groups.len() - shown.len(),
        other: tally.total.saturating_sub(counted),
        shown,
    }
}

/// Keeps the place told for a group with series while a good part of its goroutines is there: a group that is spread
/// over two lines must not change its line with every probe, and after a deploy, when the old line is gone, must.
///
/// Cost: linear in the places of the groups with series.
pub fn steady(tally: &mut Tally, selection: &Selection, memory: &mut Memory) {
    let mut told = BTreeMap::new();
    for &place in &selection.shown {
        let Some(group) = tally.groups.get_mut(place) else {
            continue;
        };
        let most = group.places.first().map_or(0, |place| place.goroutines);
        if let Some((file, line)) = memory.places.get(&group.id)
            && let Some(known) = group
                .places
                .iter()
                .find(|place| place.file == *file && place.line == *line)
            && known.goroutines.saturating_mul(CLEARLY_LARGER) > most
        {
            group.file = known.file.clone();
            group.line = known.line;
        }
        told.insert(group.id, (group.file.clone(), group.line));
    }
    memory.places = told;
}

fn urgency(group: &Group) -> Urgency {
    if group.leaked > 0 {
        Urgency::Proven
    } else if group.is_stuck() {
        Urgency::Stuck
    } else {
        Urgency::Plain
    }
}

/// The least goroutines of an ordinary group that is shown.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count, 0 to 1 times the total: rounding is harmless and `as` saturates"
)]
fn floor(total: u64, limits: &SeriesLimits) -> u64 {
    limits
        .min_goroutines
        .max((limits.min_ratio * total as f64).ceil() as u64)
}
