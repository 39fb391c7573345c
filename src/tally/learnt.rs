//! What expensive profiles told, kept while only cheap ones are read.
//!
//! Each part is taken from the tally of such a profile and put into the tallies of later cheap ones, by group: ids are
//! the same whichever encoding a group was read from.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::{Group, GroupId, Tally, WAITED_MINUTES};
use crate::classify::WaitReason;

/// Groups of one target that are remembered, at most: five times those that can have series.
const MAX_REMEMBERED: usize = 512;
/// Bytes of names that are remembered of one target, at most: those of some 300 groups. A target may make its names as
/// long as a label value.
const MAX_NAME_BYTES: usize = 32 << 10;

/// How long goroutines wait, and which of them are marked leaked: what a detailed profile tells beside counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    longest: [Option<Duration>; WaitReason::ALL.len()],
    waited: [[u64; WAITED_MINUTES.len()]; WaitReason::ALL.len()],
    groups: BTreeMap<GroupId, Duration>,
}

/// Goroutines proven leaked: all there are, and by group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaks {
    total: u64,
    groups: BTreeMap<GroupId, u64>,
}

/// Who started the goroutines of a group: what a cheap profile never tells, or not where a stack is too deep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<GroupId, (Arc<str>, Arc<str>)>);

impl Waits {
    /// Those of a detailed profile. Cost: a sort of the groups that wait.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        let waiting = tally.groups.iter().filter_map(|group| {
            let longest = group.longest_wait?;
            Some((group, longest))
        });
        Self {
            longest: tally.longest_waits,
            waited: tally.waited,
            groups: largest(waiting),
        }
    }
}

impl Leaks {
    /// Those of a profile of nothing else, or of one that marks them; `None` where the latter marks none, which proves
    /// nothing. Cost: a sort of the groups that have some.
    #[must_use]
    pub fn of(tally: &Tally) -> Option<Self> {
        let count = |group: &Group| {
            if tally.summary.leaked_only {
                group.goroutines
            } else {
                group.leaked
            }
        };
        let leaking = tally.groups.iter().map(|group| (group, count(group)));
        Some(Self {
            total: tally.leaked?,
            groups: largest(leaking.filter(|(_, leaked)| *leaked > 0)),
        })
    }
}

impl Origins {
    /// Adds what a detailed profile tells, of the largest groups first. What was learnt of groups that are not in it
    /// stays while there is room.
    pub fn learn(&mut self, tally: &Tally) {
        // Groups come largest first.
        let told = tally.groups.iter().filter_map(|group| {
            let created_by = group.created_by.clone()?;
            Some((group.id, (created_by, group.entry.clone())))
        });
        let before = std::mem::take(&mut self.0);
        let mut bytes = 0_usize;
        for (id, origin) in told.chain(before) {
            let more = bytes
                .saturating_add(origin.0.len())
                .saturating_add(origin.1.len());
            if self.0.len() >= MAX_REMEMBERED || more > MAX_NAME_BYTES {
                break;
            }
            if let Entry::Vacant(free) = self.0.entry(id) {
                free.insert(origin);
                bytes = more;
            }
        }
    }
}

impl Tally {
    /// Puts in how long goroutines waited when they were last asked.
    pub fn adopt_waits(&mut self, waits: &Waits) {
        self.longest_waits = waits.longest;
        self.waited = waits.waited;
        for group in &mut self.groups {
            group.longest_wait = waits.groups.get(&group.id).copied();
        }
    }

    /// Puts in which goroutines were proven leaked when that was last asked; they are never more than there are.
    pub fn adopt_leaks(&mut self, leaks: &Leaks) {
        self.leaked = Some(leaks.total.min(self.total));
        for group in &mut self.groups {
            let leaked = leaks.groups.get(&group.id).copied().unwrap_or(0);
            group.leaked = leaked.min(group.goroutines);
        }
    }

    /// Puts in who started the goroutines, where this profile does not tell.
    pub fn adopt_origins(&mut self, origins: &Origins) {
        for group in &mut self.groups {
            let Some((created_by, entry)) = origins.0.get(&group.id) else {
                continue;
            };
            if group.created_by.is_none() {
                group.created_by = Some(created_by.clone());
            }
            if group.entry.is_empty() {
                group.entry = entry.clone();
            }
        }
    }
}

/// What is known of the largest groups, as many as are remembered.
fn largest<'g, T>(known: impl Iterator<Item = (&'g Group, T)>) -> BTreeMap<GroupId, T> {
    let mut known: Vec<_> = known.collect();
    if known.len() > MAX_REMEMBERED {
        known.sort_by_key(|(group, _)| (Reverse(group.goroutines), group.id));
        known.truncate(MAX_REMEMBERED);
    }
    known
        .into_iter()
        .map(|(group, known)| (group.id, known))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Limits, decode};
    use crate::tally::Collector;

    /// The tally of a dump of these goroutines: function, header's words, creator.
    fn dump(goroutines: &[(&str, &str, &str)]) -> Tally {
        let mut text = String::new();
        for (number, (function, header, creator)) in goroutines.iter().enumerate() {
            text += &format!(
                "goroutine {} [{header}]:\n{function}()\n\t/a/a.go:7 +0x1\n",
                number + 1
            );
            if !creator.is_empty() {
                text += &format!("created by {creator} in goroutine 1\n\t/a/a.go:9 +0x1\n");
            }
            text += "\n";
        }
        let mut collector = Collector::new(&crate::classify::Rules::default());
        let limits = Limits { inflated_bytes: 0 };
        let summary = decode(text.as_bytes(), &limits, &mut collector).unwrap();
        collector.finish(summary)
    }

    fn named<'t>(tally: &'t Tally, name: &str) -> &'t Group {
        let mut groups = tally.groups.iter();
        groups.find(|group| &*group.blocking_frame == name).unwrap()
    }

    #[test]
    fn waits_leaks_and_origins_survive_cheap_profiles() {
        let detail = dump(&[
            ("main.a", "chan receive, 12 minutes", "main.start"),
            ("main.a", "chan receive (leaked)", "main.start"),
            ("main.b", "select", "main.other"),
        ]);
        let mut later = dump(&[
            ("main.a", "chan receive", ""),
            ("main.new", "chan receive", ""),
        ]);
        // A cheap profile does not tell.
        for group in &mut later.groups {
            group.created_by = None;
            group.entry = Arc::default();
        }
        let mut origins = Origins::default();
        origins.learn(&detail);
        later.adopt_waits(&Waits::of(&detail));
        later.adopt_leaks(&Leaks::of(&detail).unwrap());
        later.adopt_origins(&origins);
        let known = named(&later, "main.a");
        assert_eq!(known.longest_wait, Some(Duration::from_mins(12)));
        assert_eq!((known.leaked, later.leaked), (1, Some(1)));
        assert_eq!(known.created_by.as_deref(), Some("main.start"));
        assert_eq!(&*known.entry, "main.a");
        assert_eq!(later.waited[WaitReason::ChanReceive.index()], [1, 1, 0, 0]);
        let new = named(&later, "main.new");
        assert_eq!((new.longest_wait, new.leaked), (None, 0));
        assert_eq!(new.created_by, None);
    }

    #[test]
    fn leaks_are_never_more_than_goroutines() {
        let leaky = dump(&[("main.a", "chan receive (leaked)", ""); 5]);
        let mut fewer = dump(&[("main.a", "chan receive", ""); 2]);
        fewer.adopt_leaks(&Leaks::of(&leaky).unwrap());
        assert_eq!((fewer.leaked, fewer.groups[0].leaked), (Some(2), 2));
        // No mark proves nothing; a profile of leaks alone proves that there are none.
        let mut none = dump(&[("main.a", "chan receive", "")]);
        assert_eq!(Leaks::of(&none), None);
        none.summary.leaked_only = true;
        none.leaked = Some(0);
        none.groups.clear();
        fewer.adopt_leaks(&Leaks::of(&none).unwrap());
        assert_eq!((fewer.leaked, fewer.groups[0].leaked), (Some(0), 0));
    }

    #[test]
    fn what_is_learnt_is_bounded_and_the_newest_stays() {
        let names: Vec<String> = (0..MAX_REMEMBERED + 9)
            .map(|n| format!("main.f{n}"))
            .collect();
        let many: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), "select, 2 minutes", "main.start"))
            .collect();
        let tally = dump(&many);
        let mut origins = Origins::default();
        origins.learn(&tally);
        assert_eq!(origins.0.len(), MAX_REMEMBERED);
        assert_eq!(Waits::of(&tally).groups.len(), MAX_REMEMBERED);
        let newest = dump(&[("main.newest", "select", "main.late")]);
        origins.learn(&newest);
        assert_eq!(origins.0.len(), MAX_REMEMBERED);
        assert!(origins.0.contains_key(&newest.groups[0].id));
    }

    #[test]
    fn long_names_take_the_room_of_more_groups() {
        let names: Vec<String> = (0..MAX_REMEMBERED)
            .map(|n| format!("main.f{n}{}", "x".repeat(180)))
            .collect();
        let many: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), "select", name.as_str()))
            .collect();
        let mut origins = Origins::default();
        let bytes = |origins: &Origins| -> usize {
            let names = origins.0.values();
            names
                .map(|(creator, entry)| creator.len() + entry.len())
                .sum()
        };
        for _ in 0..2 {
            origins.learn(&dump(&many));
            assert!(bytes(&origins) <= MAX_NAME_BYTES);
            assert!(bytes(&origins) > MAX_NAME_BYTES - 400, "room is used");
        }
    }
}
