//! Several targets as one: a deployment is leaking even where no single pod of it stands out.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Group, GroupId, Place, Tally};

impl Tally {
    /// Adds the goroutines of another target, group by group. What differs between the two (the creator, the entry, the
    /// place told) is what more goroutines have. Goroutine ids of two processes mean nothing together and are forgotten.
    ///
    /// Cost: a sort of the groups of both.
    pub fn absorb(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        self.unlisted = self.unlisted.saturating_add(other.unlisted);
        self.frames = self.frames.saturating_add(other.frames);
        self.highest_id = None;
        if let Some(leaked) = other.leaked {
            self.leaked = Some(self.leaked.unwrap_or(0).saturating_add(leaked));
        }
        let summary = &mut self.summary;
        summary.truncated |= other.summary.truncated;
        summary.damage = summary.damage.saturating_add(other.summary.damage);
        summary.leaked_only &= other.summary.leaked_only;
        summary.declared_total = None;
        summary.process = None;
        for (count, more) in self.wait_reasons.iter_mut().zip(other.wait_reasons) {
            *count = count.saturating_add(more);
        }
        for (longest, theirs) in self.longest_waits.iter_mut().zip(other.longest_waits) {
            *longest = (*longest).max(theirs);
        }
        let waited = self.waited.iter_mut().flatten();
        for (count, more) in waited.zip(other.waited.into_iter().flatten()) {
            *count = count.saturating_add(more);
        }
        for ((_, count), (_, more)) in self.watches.iter_mut().zip(other.watches) {
            *count = count.saturating_add(more);
        }
        self.labels.extend(other.labels);
        self.labels.sort();
        self.labels.dedup_by(|right, left| {
            let same = left.0 == right.0 && left.1 == right.1;
            if same {
                left.2 = left.2.saturating_add(right.2);
            }
            same
        });
        let known = std::mem::take(&mut self.groups);
        let mut groups: BTreeMap<GroupId, Group> =
            known.into_iter().map(|group| (group.id, group)).collect();
        for group in other.groups {
            match groups.get_mut(&group.id) {
                Some(known) => known.absorb(group),
                None => {
                    groups.insert(group.id, group);
                }
            }
        }
        self.groups = groups.into_values().collect();
        self.groups
            .sort_by_key(|group| (Reverse(group.goroutines), group.id));
    }
}

impl Group {
    fn absorb(&mut self, other: Self) {
        let larger = other.goroutines > self.goroutines;
        self.goroutines = self.goroutines.saturating_add(other.goroutines);
        self.leaked = self.leaked.saturating_add(other.leaked);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.origin = self.origin.min(other.origin);
        if self.created_by.is_none() || (larger && other.created_by.is_some()) {
            self.created_by = other.created_by;
        }
        if self.entry.is_empty() || (larger && !other.entry.is_empty()) {
            self.entry = other.entry;
        }
        for place in other.places {
            let same = |known: &&mut Place| known.file == place.file && known.line == place.line;
            match self.places.iter_mut().find(same) {
                Some(known) => known.goroutines = known.goroutines.saturating_add(place.goroutines),
                None => self.places.push(place),
            }
        }
        self.places.sort_by(|left, right| {
            let count = right.goroutines.cmp(&left.goroutines);
            count
                .then_with(|| left.file.cmp(&right.file))
                .then_with(|| left.line.cmp(&right.line))
        });
        if let Some(place) = self.places.first() {
            self.file = place.file.clone();
            self.line = place.line;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::classify::Rules;
    use crate::decode::{Limits, decode};
    use crate::tally::{Collector, Tally};

    fn read(dump: &str) -> Tally {
        let mut collector = Collector::new(&Rules::default());
        let limits = Limits { inflated_bytes: 0 };
        let summary = decode(dump.as_bytes(), &limits, &mut collector).unwrap();
        collector.finish(summary)
    }

    fn goroutine(id: u32, state: &str, function: &str, line: u32) -> String {
        format!("goroutine {id} [{state}]:\nmain.{function}()\n\t/x/a.go:{line} +0x1\n\n")
    }

    #[test]
    fn two_targets_are_counted_as_one_that_has_the_goroutines_of_both() {
        let of_a = goroutine(1, "select, 3 minutes", "a", 1) + &goroutine(2, "sleep", "b", 5);
        let of_b = goroutine(3, "select, 70 minutes", "a", 2)
            + &goroutine(4, "select (leaked)", "a", 2)
            + &goroutine(5, "chan send", "c", 9);
        let mut merged = read(&of_a);
        merged.absorb(read(&of_b));
        let mut together = read(&(of_a + &of_b));
        together.highest_id = None;
        assert_eq!(merged, together);
        assert_eq!((merged.total, merged.groups[0].line), (5, 2));
        assert_eq!(merged.leaked, Some(1));
    }
}
